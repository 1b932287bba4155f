"""Networks for use elsewhere: frozen graphs, a SavedModel and ONNX, each read back and compared before it counts.

Tensor names and types are those of the original's export: ImageTensor uint8 [1, h, w, 3] in,
SemanticPredictions int32 [1, h, w] and SemanticProbabilities float32 [1, h, w, classes] out.
"""
import collections
import os
import re
import shutil

import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.convert import freeze, open_onnx, to_onnx
from deeplab_nb.evaluation.offline import INPUT, LABELS, PROBABILITIES, RESULT, atc_command, warped
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.files import write_json
from deeplab_nb.network.checkpoints import find_checkpoint, restore
from deeplab_nb.network.deeplab import build_logits, variables_of
from deeplab_nb.network.fast_layers import DilatedLayers, FoldedLayers
from deeplab_nb.network.layers import resize
from deeplab_nb.progress import progress
from deeplab_nb.settings import MEAN_PIXEL, crop_for
from deeplab_nb.tf1 import host_session, tf

FORMATS = ("frozen", "saved_model", "onnx")
MARKER = "export.json"  # a folder without it is not ours to replace

# Converted logits differ by rounding, at most 3e-4 where it was measured. So a pixel may change its class only
# where TensorFlow gives both classes probabilities within a thousandth of each other: a tie, for float32.
TIE = 1e-3

# an exported network, opened from its file. run: image uint8 [h, w, 3] -> labels int32 [h, w];
# tensors: {name: type and shape}
Form = collections.namedtuple("Form", "run tensors")


def export(settings, checkpoint, out, *, images, formats=FORMATS, size=513, soc_version="Ascend310"):
    """Writes the folder OUT, whole or not at all; an earlier export there is replaced. Returns what its export.json holds.

    images: photographs uint8 [h, w, 3] on which every form must give the labels of `Predictor`.
    size: 16k+1; the side of the fixed form, and of the frame that smaller photographs are laid into by the others.
    Raises WorkbookError for a folder that holds something else, and for a form whose labels differ.
    """
    prefix, out = find_checkpoint(checkpoint), os.path.abspath(out)
    if size < 33 or crop_for(size) != size:
        raise WorkbookError("size {} must be 16k+1 and at least 33, such as {}".format(size, max(33, crop_for(size))))
    _refuse_foreign(out)
    part = out + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    try:
        files = [file for name in formats for file in _WRITERS[name](settings, prefix, part, size)]
        description = dict(_describe(settings, prefix, size), forms=_check(settings, prefix, part, files, images, size))
        if "frozen" in formats:
            _write_notes(part, size, soc_version)
        write_json(os.path.join(part, MARKER), description)
        shutil.rmtree(out, ignore_errors=True)
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return description


def build(settings, size, *, fixed=False, kind=FoldedLayers):
    """Builds the network between its named input and outputs in the current graph.

    fixed: takes images of exactly `size` each way, and no shape is computed while it runs, as Ascend's compiler wants it.
    Otherwise an image of any size is laid at the top left of a grey square of `size`, or of the smallest 16k+1 that holds it.
    """
    image = tf.placeholder(tf.uint8, [1, size, size, 3] if fixed else [1, None, None, 3], name=INPUT)
    pixels = tf.cast(image, tf.float32)
    if fixed:
        logits = resize(_logits(pixels, settings, kind), [size, size])
    else:
        height, width = tf.unstack(tf.shape(image)[1:3])
        side = tf.maximum(size, (tf.maximum(height, width) + 14) // 16 * 16 + 1)
        padded = tf.pad(pixels, [[0, 0], [0, side - height], [0, side - width], [0, 0]], constant_values=MEAN_PIXEL)
        logits = resize(_logits(padded, settings, kind), [side, side])[:, :height, :width]
    tf.argmax(logits, axis=3, output_type=tf.int32, name=LABELS)
    tf.nn.softmax(logits, name=PROBABILITIES)


def _logits(pixels, settings, kind):
    network = settings.for_evaluation()
    return build_logits(pixels, settings=network, layers=kind(variables_of(network)))


# --- writing: each returns the names of what it wrote

def _write_frozen(settings, prefix, folder, size):
    names = ("frozen_inference_graph.pb", "frozen_inference_graph_{0}x{0}.pb".format(size))
    for name, fixed in zip(names, (False, True)):
        graph = freeze(lambda: build(settings, size, fixed=fixed), prefix, [INPUT], [LABELS, PROBABILITIES])
        _write(os.path.join(folder, name), graph.SerializeToString())
    return names


def _write_saved_model(settings, prefix, folder, size):
    with tf.Graph().as_default() as graph, host_session() as session:
        build(settings, size)
        restore(session, prefix, tf.global_variables(), complete=True)
        tensors = {name: graph.get_tensor_by_name(name + ":0") for name in (INPUT, LABELS, PROBABILITIES)}
        tf.saved_model.simple_save(session, os.path.join(folder, "saved_model"), {INPUT: tensors.pop(INPUT)}, tensors)
    return ("saved_model",)


def _write_onnx(settings, prefix, folder, size):
    graph = freeze(lambda: build(settings, size, kind=DilatedLayers), prefix, [INPUT], [LABELS, PROBABILITIES])
    _write(os.path.join(folder, "model.onnx"), to_onnx(graph, [INPUT], [LABELS, PROBABILITIES]))
    return ("model.onnx",)


_WRITERS = {"frozen": _write_frozen, "saved_model": _write_saved_model, "onnx": _write_onnx}


def _write(path, content):
    with open(path, "wb") as file:
        file.write(content)


def _write_notes(folder, size, soc_version):
    command = atc_command("frozen_inference_graph_{0}x{0}.pb".format(size), "deeplab_{}".format(size), soc_version=soc_version, size=size)
    _write(os.path.join(folder, "README.md"), _NOTES.format(command=command, size=size, result=RESULT.format("ID")).encode())


_NOTES = """# An exported DeepLab network

`export.json` names each form's tensors and how its labels compared with the checkpoint's.
Pictures are RGB, 0..255; normalisation is part of the network.

## On an Ascend card

Not run on hardware. In this folder, with CANN's environment set:

    {command}

The chip is `Ascend` and what `npu-smi info` shows as Name; on an Atlas A3 it is Chip Name and
NPU Name of `npu-smi info -t board -i 0 -c 0`, joined by `_`. Ascend910B without a digit is a
first-generation 910, no Atlas A2. From CANN 8.5 on, atc also needs the chip's package of
operators, such as Ascend-cann-910b-ops for an Ascend910B3. The model computes in float16, the
default of every version.

Pictures for it and scores from its results, in Python:

    from deeplab_nb.evaluation.offline import preprocess_bins, score_bins
    preprocess_bins("VOC_ROOT", "bins", size={size})    # ID.bin: uint8 [{size}, {size}, 3]
    # run the model on each; its labels belong into results/{result}, as float32 or int32
    print(score_bins("VOC_ROOT", "results", size={size}).mean_iou)

Pictures and masks are stretched to {size} x {size}, so this mean IoU is not that of the DeepLab protocol.
"""


# --- reading back

def open_form(path):
    """An exported network as a `Form`: a frozen graph (.pb), a SavedModel's folder or an ONNX model (.onnx).

    Raises WorkbookError for a file that is none.
    """
    if path.endswith(".onnx"):
        with open(path, "rb") as file:
            return _onnx_form(open_onnx(file.read()))
    session = host_session(tf.Graph())
    try:
        with session.graph.as_default():
            if os.path.isdir(path):
                tf.saved_model.load(session, [tf.saved_model.tag_constants.SERVING], path)
            else:
                with open(path, "rb") as file:
                    tf.import_graph_def(tf.GraphDef.FromString(file.read()), name="")
        tensors = [session.graph.get_tensor_by_name(name + ":0") for name in (INPUT, LABELS, PROBABILITIES)]
    except Exception as error:  # protobuf's, TensorFlow's and the file system's own
        raise WorkbookError("{} is not an exported network ({}): export it again".format(path, str(error)[:200]))
    return Form(lambda image: session.run(tensors[1], {tensors[0]: image[None]})[0],
                {t.op.name: "{} {}".format(t.dtype.name, _dimensions(t.shape.as_list())) for t in tensors})


def _onnx_form(session):
    import onnxruntime
    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True  # else the probabilities are computed for nobody
    tensors = session.get_inputs() + session.get_outputs()
    return Form(lambda image: session.run([LABELS], {INPUT: image[None]}, options)[0][0],
                {t.name: "{} {}".format(_NUMPY_NAMES[t.type], _dimensions(t.shape)) for t in tensors})


_NUMPY_NAMES = {"tensor(uint8)": "uint8", "tensor(int32)": "int32", "tensor(float)": "float32"}


def _dimensions(shape):
    return "[{}]".format(", ".join(str(side) if isinstance(side, int) else "?" for side in shape))


def rehearse_bins(model, bins, results):
    """Runs a frozen graph of fixed size on raw pictures with TensorFlow, in a device's place.

    model: the .pb file; bins: folder of ID.bin; results: folder that gets each picture's labels as float32.
    """
    form = open_form(model)
    height, width = (int(side) for side in re.findall(r"\d+", form.tensors[LABELS].split("[")[1])[1:])
    os.makedirs(results, exist_ok=True)
    for name in progress(sorted(os.listdir(bins)), label="rehearsing"):
        image = np.fromfile(os.path.join(bins, name), np.uint8).reshape(height, width, 3)
        form.run(image).astype(np.float32).tofile(os.path.join(results, RESULT.format(os.path.splitext(name)[0])))


# --- comparing

def _check(settings, prefix, folder, files, images, size):
    """A description of each form; raises WorkbookError for one that labels differently from the checkpoint."""
    rows = []
    with Predictor(settings, prefix) as predictor:
        for name in files:
            form, equal, pixels = open_form(os.path.join(folder, name)), 0, 0
            for image in images:
                image = image if "?" in form.tensors[INPUT] else warped(image, size)
                wanted = predictor.labels(image, max(size, crop_for(max(image.shape[:2]))))
                labels = form.run(image)
                different = int((labels != wanted).sum())
                if different and not (name.endswith(".onnx") and different == _ties(
                        labels, wanted, _probabilities(settings, prefix, image, size))):
                    raise WorkbookError("{} labels {} of {} pixels otherwise than checkpoint {} does: nothing was exported".format(
                        name, different, wanted.size, prefix))
                equal, pixels = equal + wanted.size - different, pixels + wanted.size
            rows.append({"file": name, "bytes": _bytes(os.path.join(folder, name)), "tensors": form.tensors,
                         "equal_pixels": equal / pixels, "pixels": pixels})
    return rows


def _ties(labels, wanted, probabilities):
    """In how many pixels the labels differ where `probabilities` [h, w, classes] are as good as the same for both."""
    rows, columns = np.nonzero(labels != wanted)
    chosen, best = (probabilities[rows, columns, ids[rows, columns]] for ids in (labels, wanted))
    return int((chosen >= best * (1 - TIE)).sum())


def _probabilities(settings, prefix, image, size):
    """float32 [h, w, classes] by TensorFlow, from the checkpoint's variables."""
    with tf.Graph().as_default(), host_session() as session:
        build(settings, size)
        restore(session, prefix, tf.global_variables(), complete=True)
        return session.run(PROBABILITIES + ":0", {INPUT + ":0": image[None]})[0]


def _describe(settings, prefix, size):
    return {"checkpoint": os.path.basename(prefix), "backbone": settings.backbone, "num_classes": settings.num_classes,
            "output_stride": settings.eval_output_stride, "size": size}


def _bytes(path):
    """Size of a file, or of all files in a folder."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names] or [path]
    return sum(map(os.path.getsize, files))


def _refuse_foreign(folder):
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)) and not os.path.isfile(os.path.join(folder, MARKER)):
        raise WorkbookError("{} holds something that is no export: give another folder, or an empty one".format(folder))
