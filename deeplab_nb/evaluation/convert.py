"""A network and its weights as one graph without variables, and that graph as an ONNX model."""
import collections
import importlib
import logging
import os

from tensorflow.tools.graph_transforms import TransformGraph

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.tf1 import host_session, tf

OPSET = 13  # the newest that was tried


def freeze(build, checkpoint, inputs, outputs):
    """GraphDef in which a checkpoint's weights, and all that follows from them alone, are constants.

    build: makes the network in the current graph; inputs, outputs: the names that it gives there.
    Raises WorkbookError for a checkpoint that is missing, damaged or of another network.
    """
    with tf.Graph().as_default() as graph, host_session() as session:
        build()
        restore(session, checkpoint, tf.global_variables(), complete=True)
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), outputs)
    return TransformGraph(frozen, inputs, outputs, ["fold_constants(ignore_errors=true)"])


def to_onnx(graph_def, inputs, outputs):
    """The bytes of the ONNX model of a frozen graph; inputs and outputs keep their names, without ':0'.

    Raises WorkbookError where the converter is not installed or does not succeed.
    """
    convert = import_package("tf2onnx.convert")
    tensors = [name + ":0" for name in inputs + outputs]
    try:
        model, _ = convert.from_graph_def(graph_def, name="deeplab_nb", input_names=tensors[:len(inputs)], opset=OPSET,
                                          output_names=tensors[len(inputs):], tensors_to_rename={t: t[:-2] for t in tensors})
    except Exception as error:  # whatever a converter of another project raises
        raise WorkbookError("the conversion to ONNX failed ({}): use TensorFlow's forms".format(str(error)[:200]))
    _pad_in_convolutions(model.graph)
    return model.SerializeToString()


def _pad_in_convolutions(graph):
    """Leaves zeros round a map to the convolution that reads it, which needs no padded copy and no other layout for that."""
    numpy_helper, helper = import_package("onnx.numpy_helper"), import_package("onnx.helper")
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    readers = collections.Counter(name for node in graph.node for name in node.input)
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad" and not node.attribute and len(node.input) == 2
            and node.input[1] in constants and readers[node.output[0]] == 1 and not constants[node.input[1]][[0, 1, 4, 5]].any()}
    for node in list(graph.node):
        if node.op_type == "Conv" and node.input[0] in pads and not {"pads", "auto_pad"} & {one.name for one in node.attribute}:
            pad = pads[node.input[0]]
            top, left, bottom, right = constants[pad.input[1]][[2, 3, 6, 7]].tolist()
            node.attribute.append(helper.make_attribute("pads", [top, left, bottom, right]))
            node.input[0] = pad.input[0]
            graph.node.remove(pad)


def import_package(name):
    """A package that only ONNX needs. Importing tf2onnx sets TensorFlow's log level for all processes started from here: that is taken back."""
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WorkbookError("ONNX needs the package {} ({}): run `make environment`".format(name.split(".")[0], error))
    finally:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = level
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)


def open_onnx(model):
    """An ONNX Runtime session on the CPU for a model's bytes. Raises WorkbookError where that is not possible."""
    onnxruntime = import_package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    # left to itself it may take a machine of two cores for one core with two threads, and use one
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave their core to others
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors are of no common class
        raise WorkbookError("ONNX Runtime refuses the model ({}): use TensorFlow".format(str(error)[:200]))
