"""Networks as ONNX: logits by ONNX Runtime, on a CPU up to twice as fast as TensorFlow 1.15.

TensorFlow stays the reference and the fallback. A conversion is made once and kept beside its
checkpoint. Its name ends with a digest of the checkpoint's bytes, of the network's settings, of the
packages that made it and of its own bytes: so it serves nothing else, and one that is damaged is
made anew.
"""

import collections
import contextlib
import functools
import glob
import importlib
import json
import logging
import os
import time

import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import beside
from deeplab_nb.network.checkpoints import digest, restore
from deeplab_nb.network.deeplab import build_logits, variables_of
from deeplab_nb.network.fast_layers import DilatedLayers
from deeplab_nb.network.variables import constant
from deeplab_nb.settings import known
from deeplab_nb.tf1 import host_session, tf

ENGINES = ("auto", "tensorflow", "onnxruntime")
OPSET = 13  # the newest that was tried

PAYS_FROM = 100  # images: a conversion takes as long as it then saves on 50 to 100 of 513x513

# Largest difference from TensorFlow's logits, as a share of the largest logit; rounding was seen to
# make up to 5e-6.
TOLERANCE = 1e-4


def choose(engine, settings, prefix, reference, *, images, device):
    """`(name, logits)`: the engine taken, and what computes logits with it.

    logits: a function of float32 [batch, h, w, 3] in 0..255 to float32 [batch, h/s, w/s, classes].
    With TensorFlow it is None: the logits are computed in the graph that they are part of.
    settings: those of evaluation, see `Settings.for_evaluation`.
    engine: one of ENGINES; 'auto' takes ONNX Runtime on a CPU, if it is converted already or there
    are many images. Where ONNX Runtime fails, TensorFlow is taken; a line says what and why.
    prefix: of the checkpoint.
    reference: such a function by TensorFlow; a new conversion is compared with it.
    images: how many are to come.
    device: where TensorFlow computes; 'auto' stays with it on a GPU or NPU.
    """
    if engine not in ENGINES:
        raise WorkbookError(f"engine '{engine}' is unknown: there are {', '.join(ENGINES)}")
    if engine == "tensorflow" or engine == "auto" and device != "cpu":
        return "tensorflow", None
    try:
        conversion = Conversion(settings, prefix)
        model, how = conversion.kept(), "converted before"
        if model is None and engine == "auto" and images < PAYS_FROM:
            print(
                "engine: TensorFlow; --engine onnxruntime converts the network once, "
                f"which pays from {PAYS_FROM} images"
            )
            return "tensorflow", None
        if model:
            session = open_onnx(model)
        else:
            session, how = _convert(settings, conversion, reference)
    except WorkbookError as error:
        print(f"engine: TensorFlow, because {error}")
        return "tensorflow", None
    print(f"engine: ONNX Runtime, {how}")
    return "onnxruntime", functools.partial(_run, session)


def _convert(settings, conversion, reference):
    """`(session, sentence)` of a new conversion, which was seen to give the reference's logits.

    Its `images` float32 [batch, h, w, 3] give its `logits`.
    """
    started = time.time()
    key = conversion.key()  # before the weights are read: of later ones it would serve no one

    def build():
        images = tf.placeholder(tf.float32, [None, None, None, 3], name="images")
        layers = DilatedLayers(variables_of(settings))
        tf.identity(build_logits(images, settings=settings, layers=layers), name="logits")

    model = to_onnx(build, conversion.prefix, ["images"], ["logits"])
    session = open_onnx(model)
    _compare(functools.partial(_run, session), reference)
    return session, f"converted in {time.time() - started:.0f} s, {conversion.keep(model, key)}"


def _run(session, frames):
    return session.run(["logits"], {"images": frames})[0]


def _compare(logits, reference):
    """Raises WorkbookError unless both give the same for noise, at sides of 16k+1 and others."""
    for height, width in ((65, 65), (72, 91)):
        images = np.random.RandomState(0).uniform(0, 255, (1, height, width, 3)).astype(np.float32)
        try:
            ours, wanted = logits(images), reference(images)
        except Exception as error:  # ONNX Runtime's errors are of no common class
            raise WorkbookError(f"the converted network does not run ({str(error)[:200]})")
        allowed = TOLERANCE * np.abs(wanted).max()
        # written so that a NaN is refused
        if ours.shape != wanted.shape or not np.abs(ours - wanted).max() <= allowed:
            raise WorkbookError("the converted network gives other logits than TensorFlow")


class Conversion:
    """The conversion of a checkpoint's network, kept as PREFIX.engine-BACKBONE-osN-DIGEST.onnx.

    settings: those of evaluation; prefix: of the checkpoint. Raises WorkbookError where a package
    is missing.
    """

    def __init__(self, settings, prefix):
        network = {name: getattr(settings, name) for name in known("network")}
        versions = [import_package(name).__version__ for name in ("onnxruntime", "tf2onnx")]
        self.prefix, self._made_by = prefix, json.dumps([network, OPSET, versions], sort_keys=True)
        self._stem = f"{prefix}.engine-{settings.backbone}-os{settings.output_stride}"

    def key(self):
        """A hash of all that a conversion depends on; it reads the whole checkpoint."""
        return digest(self.prefix, self._made_by)

    def path(self, model, key):
        """Where a model's bytes are kept."""
        key = key.copy()
        key.update(model)
        return f"{self._stem}-{key.hexdigest()[:16]}.onnx"

    def kept(self):
        """The bytes of the conversion that is kept, or None; an outdated or damaged one is None."""
        paths = glob.glob(glob.escape(self._stem) + "-*.onnx")
        key = self.key() if paths else None
        for path in paths:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                model = file.read()
                if path == self.path(model, key):
                    return model
        return None

    def keep(self, model, key):
        """Writes a model's bytes in place of earlier ones; returns words that say where."""
        path = self.path(model, key)
        try:
            with beside(path) as part, open(part, "wb") as file:
                file.write(model)
        except WorkbookError as error:  # such as a full disk, or another shard that keeps it too
            return f"not kept, because the checkpoint's folder takes no files: {error}"
        self._remove_outdated(path)
        return f"kept as {path}"

    def _remove_outdated(self, kept):
        """Removes earlier conversions of this network, and those whose checkpoint is gone."""
        folder = glob.escape(os.path.dirname(self.prefix))
        for path in glob.glob(os.path.join(folder, "*.engine-*-os*-*.onnx")):
            checkpoint = path.rpartition(".engine-")[0]
            alive = os.path.exists(checkpoint + ".index") or os.path.exists(checkpoint)
            if path != kept and (path.startswith(self._stem + "-") or not alive):
                with contextlib.suppress(OSError):  # another process may have done so
                    os.remove(path)


# --- a network and its weights as one graph without variables, and that graph as ONNX


@contextlib.contextmanager
def filled(build, checkpoint):
    """A session on the host, of a graph of its own that `build` makes, with a checkpoint's weights.

    Raises WorkbookError for a checkpoint that is missing, damaged or of another network.
    """
    with tf.Graph().as_default(), host_session() as session:
        build()
        restore(session, checkpoint, tf.global_variables(), complete=True)
        yield session


# attributes, at their defaults, that TensorFlow 1.15 refuses in the graphs of a current one
_NEWER = ("explicit_paddings", "exponential_avg_factor")


def freeze(build, checkpoint, outputs):
    """GraphDef in which a checkpoint's weights, and all that follows from them, are constants.

    build, checkpoint: as for `filled`; outputs: names in that graph.
    """
    with filled(build, checkpoint) as session:
        graph = tf.graph_util.extract_sub_graph(session.graph.as_graph_def(), outputs)
        operations = [session.graph.get_operation_by_name(node.name) for node in graph.node]
        known = set()
        for one in operations:  # each comes after those it reads
            follows = one.inputs and known.issuperset(tensor.op for tensor in one.inputs)
            if one.type in ("VariableV2", "Const") or follows and len(one.outputs) == 1:
                known.add(one)
        read = {tensor for one in operations if one not in known for tensor in one.inputs}
        values = session.run({t.op.name: t for t in read if t.op in known})
    for node in graph.node:
        if node.name in values:
            node.CopyFrom(constant(node.name, values[node.name]))
        for name in _NEWER:
            node.attr.pop(name, None)
    return tf.graph_util.extract_sub_graph(graph, outputs)


def to_onnx(build, checkpoint, inputs, outputs):
    """As `freeze`, the bytes of an ONNX model; its ends keep their names, without ':0'.

    Raises WorkbookError where the converter is not installed or does not succeed.
    """
    converter = import_package("tf2onnx.convert")
    graph = freeze(build, checkpoint, outputs)
    inputs, outputs = ([name + ":0" for name in names] for names in (inputs, outputs))
    try:
        model, _ = converter.from_graph_def(
            graph,
            name="deeplab_nb",
            opset=OPSET,
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename={tensor: tensor[:-2] for tensor in inputs + outputs},
        )
    except Exception as error:  # whatever a converter of another project raises
        raise WorkbookError(
            f"the conversion to ONNX failed ({str(error)[:200]}): use TensorFlow's forms"
        )
    _pad_in_convolutions(model.graph)
    return model.SerializeToString()


def _pad_in_convolutions(graph):
    """Leaves zeros round a map to the convolution that reads it, which needs no padded copy."""
    to_array = import_package("onnx.numpy_helper").to_array
    attribute = import_package("onnx.helper").make_attribute
    constants = {tensor.name: to_array(tensor) for tensor in graph.initializer}
    readers = collections.Counter(name for node in graph.node for name in node.input)
    pads = {
        node.output[0]: node
        for node in graph.node
        if node.op_type == "Pad"
        and not node.attribute
        and len(node.input) == 2
        and node.input[1] in constants
        and not constants[node.input[1]][[0, 1, 4, 5]].any()  # batch and channels are not padded
        and readers[node.output[0]] == 1
    }
    for node in list(graph.node):
        own = {one.name for one in node.attribute}
        if node.op_type == "Conv" and node.input[0] in pads and not {"pads", "auto_pad"} & own:
            pad = pads[node.input[0]]
            sides = constants[pad.input[1]][[2, 3, 6, 7]].tolist()  # top, left, bottom, right
            node.attribute.append(attribute("pads", sides))
            node.input[0] = pad.input[0]
            graph.node.remove(pad)


def import_package(name):
    """A package that only ONNX needs.

    Importing tf2onnx sets TensorFlow's log level for all processes started from here: that is
    taken back.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise WorkbookError(
            f"ONNX needs the package {name.split('.')[0]} ({error}): run `make environment`"
        )
    finally:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = level
        logging.getLogger("tf2onnx").setLevel(logging.ERROR)


def open_onnx(model):
    """An ONNX Runtime session on the CPU for a model's bytes.

    Raises WorkbookError where that is not possible.
    """
    onnxruntime = import_package("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only
    # left to itself it may take a machine of two cores for one core with two threads, and use one
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    # threads that wait leave their core to others
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors are of no common class
        raise WorkbookError(f"ONNX Runtime refuses the model ({str(error)[:200]}): use TensorFlow")
