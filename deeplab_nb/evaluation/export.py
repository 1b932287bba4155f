"""Networks for use elsewhere: frozen graphs, a SavedModel and ONNX, each compared before it counts.

Tensor names and types are those of the original's export: ImageTensor uint8 [1, h, w, 3] in,
SemanticPredictions int32 [1, h, w] and SemanticProbabilities float32 [1, h, w, classes] out.
"""

import collections
import functools
import os
import re
import shutil
from pathlib import Path

import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.om import INPUT, LABELS, PROBABILITIES, RESULT, notes, stretched
from deeplab_nb.evaluation.onnx_runtime import filled, freeze, open_onnx, to_onnx
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.files import beside, read_json, write_json, write_text
from deeplab_nb.network.checkpoints import find_checkpoint
from deeplab_nb.network.deeplab import build_logits, variables_of
from deeplab_nb.network.fast_layers import DilatedLayers, FoldedLayers
from deeplab_nb.network.layers import resize
from deeplab_nb.progress import progress
from deeplab_nb.settings import MEAN_PIXEL, crop_for
from deeplab_nb.tf1 import host_session, tf

FORMATS = ("frozen", "saved_model", "onnx")
ENDS = [INPUT], [LABELS, PROBABILITIES]
_FROZEN = "frozen_inference_graph.pb"
MARKER = "export.json"  # a folder without it is not ours to replace

# Converted logits differ by rounding, at most 3e-4 where it was measured. So a pixel may change its
# class only where TensorFlow gives both classes probabilities within a thousandth of each other: a
# tie, for float32.
TIE = 1e-3

# an exported network, opened from its file. run: image uint8 [h, w, 3] -> labels int32 [h, w];
# tensors: {name: type and shape}
Form = collections.namedtuple("Form", "run tensors")


def export(
    settings, checkpoint, out, *, images, formats=FORMATS, size=513, soc_version="Ascend310"
):
    """Writes the folder OUT, whole or not at all. Returns what its export.json holds.

    An earlier export there is replaced.
    images: photographs uint8 [h, w, 3] on which every form must give the labels of `Predictor`.
    size: 16k+1; the side of the fixed form, and of the frame that smaller photographs are laid into
      by the others.
    Raises WorkbookError for a folder that holds something else, and for a form whose labels differ.
    """
    prefix, out = find_checkpoint(checkpoint), os.path.abspath(out)
    if size < 33 or crop_for(size) != size:
        raise WorkbookError(
            f"size {size} must be 16k+1 and at least 33, such as {max(33, crop_for(size))}"
        )
    held = os.listdir(out) if os.path.isdir(out) else []
    other = sorted(set(held) - _made(out))
    if os.path.isfile(out) or other:
        raise WorkbookError(
            f"{os.path.join(out, *other[:1])}: {out} holds something that is no export: give "
            "another folder, or an empty one"
        )
    with beside(out) as part:
        os.mkdir(part)
        files = [file for name in formats for file in _WRITERS[name](settings, prefix, part, size)]
        with Predictor(settings, prefix) as predictor:
            forms = [_compared(predictor, os.path.join(part, name), images, size) for name in files]
        description = {
            "checkpoint": os.path.basename(prefix),
            "backbone": settings.backbone,
            "num_classes": settings.num_classes,
            "output_stride": settings.eval_output_stride,
            "size": size,
            "forms": forms,
        }
        if "frozen" in formats:
            write_text(os.path.join(part, "README.md"), notes(_fixed_name(size), size, soc_version))
        write_json(os.path.join(part, MARKER), description)
        shutil.rmtree(out, ignore_errors=True)
    return description


def _made(out):
    """Names of what an earlier export left in a folder."""
    try:
        forms = [row["file"] for row in read_json(os.path.join(out, MARKER))["forms"]]
        return {MARKER, *forms, *(["README.md"] if _FROZEN in forms else [])}
    except (OSError, ValueError, KeyError, TypeError):
        return set()


# --- writing


def build(settings, size, *, fixed=False, kind=FoldedLayers):
    """Builds the network between its named input and outputs in the current graph.

    fixed: takes images of exactly `size` each way, and no shape is computed while it runs, as
    Ascend's compiler wants it. Otherwise an image of any size is laid at the top left of a grey
    square of `size`, or of the smallest 16k+1 that holds it.
    """
    network, side = settings.for_evaluation(), size
    image = tf.placeholder(tf.uint8, [1] + [size if fixed else None] * 2 + [3], name=INPUT)
    pixels = tf.cast(image, tf.float32)
    if not fixed:
        height, width = tf.unstack(tf.shape(image)[1:3])
        side = tf.maximum(size, (tf.maximum(height, width) + 14) // 16 * 16 + 1)
        padding = [[0, 0], [0, side - height], [0, side - width], [0, 0]]
        pixels = tf.pad(pixels, padding, constant_values=MEAN_PIXEL)
    logits = build_logits(pixels, settings=network, layers=kind(variables_of(network)))
    logits = resize(logits, [side, side])
    if not fixed:
        logits = logits[:, :height, :width]
    tf.argmax(logits, axis=3, output_type=tf.int32, name=LABELS)
    tf.nn.softmax(logits, name=PROBABILITIES)


# each writer returns the names of what it wrote into the folder


def _write_frozen(settings, prefix, folder, size):
    names = _FROZEN, _fixed_name(size)
    for name, fixed in zip(names, (False, True)):
        made = functools.partial(build, settings, size, fixed=fixed)
        graph = freeze(made, prefix, ENDS[1])
        Path(folder, name).write_bytes(graph.SerializeToString())
    return names


def _write_saved_model(settings, prefix, folder, size):
    with filled(lambda: build(settings, size), prefix) as session:
        image, labels, probabilities = _tensors(session.graph)
        tf.saved_model.simple_save(
            session,
            os.path.join(folder, "saved_model"),
            {INPUT: image},
            {LABELS: labels, PROBABILITIES: probabilities},
        )
    return ["saved_model"]


def _write_onnx(settings, prefix, folder, size):
    made = functools.partial(build, settings, size, kind=DilatedLayers)
    Path(folder, "model.onnx").write_bytes(to_onnx(made, prefix, *ENDS))
    return ["model.onnx"]


_WRITERS = {"frozen": _write_frozen, "saved_model": _write_saved_model, "onnx": _write_onnx}


def _fixed_name(size):
    return f"frozen_inference_graph_{size}x{size}.pb"


def _tensors(graph):
    """Image, labels and probabilities of an exported graph."""
    return [graph.get_tensor_by_name(name + ":0") for name in (INPUT, LABELS, PROBABILITIES)]


# --- reading back


def open_form(path):
    """An exported network as a `Form`.

    path: a frozen graph (.pb), a SavedModel's folder or an ONNX model (.onnx). Raises WorkbookError
    for a file that is none.
    """
    if path.endswith(".onnx"):
        return _onnx_form(open_onnx(Path(path).read_bytes()))
    session = host_session(tf.Graph())
    try:
        with session.graph.as_default():
            if os.path.isdir(path):
                tf.saved_model.load(session, [tf.saved_model.tag_constants.SERVING], path)
            else:
                graph = tf.GraphDef.FromString(Path(path).read_bytes())
                tf.import_graph_def(graph, name="")
        image, labels, probabilities = tensors = _tensors(session.graph)
    except Exception as error:  # protobuf's, TensorFlow's and the file system's own
        raise WorkbookError(
            f"{path} is not an exported network ({str(error)[:200]}): export it again"
        )
    return Form(
        lambda picture: session.run(labels, {image: picture[None]})[0],
        {t.op.name: _kind(t.dtype.name, t.shape.as_list()) for t in tensors},
    )


def _onnx_form(session):
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.only_execute_path_to_fetches = True  # else probabilities are computed for nobody
    tensors = session.get_inputs() + session.get_outputs()
    return Form(
        lambda picture: session.run([LABELS], {INPUT: picture[None]}, options)[0][0],
        {t.name: _kind(_NUMPY_NAMES[t.type], t.shape) for t in tensors},
    )


_NUMPY_NAMES = {"tensor(uint8)": "uint8", "tensor(int32)": "int32", "tensor(float)": "float32"}


def _kind(dtype, shape):
    """Such as 'uint8 [1, ?, ?, 3]'."""
    sides = ", ".join(str(side) if isinstance(side, int) else "?" for side in shape)
    return f"{dtype} [{sides}]"


def rehearse_bins(model, bins, results):
    """Runs a frozen graph of fixed size on raw pictures with TensorFlow, in a device's place.

    model: the .pb file; bins: folder of ID.bin; results: folder that gets each picture's labels as
    float32.
    """
    form = open_form(model)
    size = int(re.findall(r"\d+", form.tensors[LABELS])[-1])
    os.makedirs(results, exist_ok=True)
    for name in progress(sorted(os.listdir(bins)), label="rehearsing"):
        image = np.fromfile(os.path.join(bins, name), np.uint8).reshape(size, size, 3)
        result = RESULT.format(os.path.splitext(name)[0])
        form.run(image).astype(np.float32).tofile(os.path.join(results, result))


# --- comparing


def _compared(predictor, path, images, size):
    """A description of a form; raises WorkbookError if it labels otherwise than the checkpoint."""
    form, name, wrong, pixels = open_form(path), os.path.basename(path), 0, 0
    for image in images:
        image = image if "?" in form.tensors[INPUT] else stretched(image, size)
        frame = max(size, crop_for(max(image.shape[:2])))
        labels, wanted = form.run(image), predictor.labels(image, frame)
        different, ties = int((labels != wanted).sum()), 0
        if different and name.endswith(".onnx"):
            ties = _ties(labels, wanted, predictor.probabilities(image, frame))
        if different > ties:
            raise WorkbookError(
                f"{name} labels {different} of {wanted.size} pixels otherwise than "
                f"checkpoint {predictor.checkpoint} does: nothing was exported"
            )
        wrong, pixels = wrong + different, pixels + wanted.size
    return {
        "file": name,
        "bytes": _bytes(path),
        "tensors": form.tensors,
        "equal_pixels": (pixels - wrong) / pixels,
        "pixels": pixels,
    }


def _ties(labels, wanted, probabilities):
    """In how many pixels the labels differ where both are as good as equally probable.

    probabilities: [h, w, classes], by TensorFlow.
    """
    rows, columns = np.nonzero(labels != wanted)
    chosen, best = (probabilities[rows, columns, ids[rows, columns]] for ids in (labels, wanted))
    return int((chosen >= best * (1 - TIE)).sum())


def _bytes(path):
    """Size of a file, or of all files in a folder."""
    files = [Path(path), *Path(path).rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())
