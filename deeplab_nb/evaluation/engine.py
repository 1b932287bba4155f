"""Logits by ONNX Runtime, on a CPU up to twice as fast as TensorFlow 1.15, which stays the reference and the fallback.

A conversion is made once and kept beside its checkpoint. Its name holds a digest of the checkpoint's
bytes, of the network's settings and of the packages that made it, so that it serves nothing else; and
one of its own bytes, so that a damaged file is made anew.
"""
import contextlib
import glob
import hashlib
import json
import os
import re
import time

import numpy as np
import pooch

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.convert import OPSET, freeze, import_package, open_onnx, to_onnx
from deeplab_nb.network.checkpoints import blocks, find_checkpoint
from deeplab_nb.network.deeplab import build_logits, variables_of
from deeplab_nb.network.fast_layers import DilatedLayers
from deeplab_nb.settings import known
from deeplab_nb.tf1 import tf

ENGINES = ("auto", "tensorflow", "onnxruntime")

PAYS_FROM = 100  # images: making a conversion takes as long as it then saves on 50 to 100 of 513x513

# Largest difference from TensorFlow's logits, as a share of the largest logit; rounding was seen to make up to 5e-6.
TOLERANCE = 1e-4


def choose(engine, settings, checkpoint, reference, *, images, device="cpu"):
    """`(name, logits)`: the engine taken, and a function float32 [batch, h, w, 3] in 0..255 -> logits float32 [batch, h/s, w/s, classes].

    With TensorFlow the function is None: the logits are computed in the graph that they are part of.
    engine: one of ENGINES; 'auto' takes ONNX Runtime on a CPU, if it is converted already or there are
    many images. Where ONNX Runtime fails, TensorFlow is taken; a line says what is taken and why.
    device: where TensorFlow computes; 'auto' stays with it on a GPU or NPU.
    reference: such a function by TensorFlow; a new conversion is compared with it.
    """
    if engine not in ENGINES:
        raise WorkbookError("engine '{}' is unknown: there are {}".format(engine, ", ".join(ENGINES)))
    if engine == "tensorflow" or engine == "auto" and device != "cpu":
        return "tensorflow", None
    try:
        prefix = find_checkpoint(checkpoint)
        name = conversion_name(settings, prefix)
        model = _kept(prefix, name)
        if model is None and engine == "auto" and images < PAYS_FROM:
            print("engine: TensorFlow; --engine onnxruntime converts the network once, which pays from {} images".format(PAYS_FROM))
            return "tensorflow", None
        session, how = (open_onnx(model), "converted before") if model else _convert(settings, prefix, name, reference)
    except WorkbookError as error:
        print("engine: TensorFlow, because {}".format(error))
        return "tensorflow", None
    print("engine: ONNX Runtime, {}".format(how))
    return "onnxruntime", lambda frames: _run(session, frames)


def _convert(settings, prefix, name, reference):
    """`(session, sentence)` of a new conversion, which was seen to give the reference's logits."""
    started = time.time()
    model = convert(settings, prefix)
    session = open_onnx(model)
    _compare(lambda frames: _run(session, frames), reference)
    return session, "converted in {:.0f} s, {}".format(time.time() - started, _keep(prefix, name, model))


def convert(settings, checkpoint):
    """The evaluation network as ONNX, bytes: `images` float32 [batch, h, w, 3] of any size -> `logits`."""
    network = settings.for_evaluation()

    def build():
        images = tf.placeholder(tf.float32, [None, None, None, 3], name="images")
        layers = DilatedLayers(variables_of(network))
        logits = build_logits(images, settings=network, layers=layers)
        tf.identity(logits, name="logits")
    return to_onnx(freeze(build, checkpoint, ["images"], ["logits"]), ["images"], ["logits"])


def _run(session, frames):
    return session.run(["logits"], {"images": frames})[0]


def _compare(logits, reference):
    """Raises WorkbookError unless both give the same for noise, at sides that are and are not 16k+1."""
    for height, width in ((65, 65), (72, 91)):
        images = np.random.RandomState(0).uniform(0, 255, (1, height, width, 3)).astype(np.float32)
        try:
            ours, wanted = logits(images), reference(images)
        except Exception as error:  # ONNX Runtime's errors are of no common class
            raise WorkbookError("the converted network does not run ({})".format(str(error)[:200]))
        # written so that a NaN is refused
        if ours.shape != wanted.shape or not np.abs(ours - wanted).max() <= TOLERANCE * np.abs(wanted).max():
            raise WorkbookError("the converted network gives other logits than TensorFlow")


# --- kept conversions

def conversion_name(settings, prefix):
    """Name of a conversion but for the digest of its own bytes."""
    network = {name: getattr(settings.for_evaluation(), name) for name in known("network")}
    digest = hashlib.sha256(json.dumps([network, OPSET, _versions()], sort_keys=True).encode())
    for block in blocks(prefix):
        digest.update(block)
    return "{}.engine-{}-os{}-{}".format(
        os.path.basename(prefix), settings.backbone, settings.eval_output_stride, digest.hexdigest()[:16])


def _versions():
    """Versions of the packages that make and run a conversion. Raises WorkbookError where one is missing."""
    return [import_package(name).__version__ for name in ("onnxruntime", "tf2onnx")]


def _folders(prefix):
    """Where a conversion may lie: beside its checkpoint or, if that folder takes no files, among the user's own."""
    folder = os.path.dirname(os.path.abspath(prefix))
    return folder, os.path.join(pooch.os_cache("deeplab_nb"), hashlib.sha256(folder.encode()).hexdigest()[:16])


def _kept(prefix, name):
    """The bytes of a kept conversion, or None; a damaged one is None too and will be replaced."""
    for folder in _folders(prefix):
        for path in glob.glob(os.path.join(glob.escape(folder), glob.escape(name) + "-*.onnx")):
            with open(path, "rb") as file:
                model = file.read()
            if path.endswith("-{}.onnx".format(_digest(model))):
                return model
    return None


def _keep(prefix, name, model):
    """Writes a conversion where it can be found again; returns words that say where."""
    for folder in _folders(prefix):
        path = os.path.join(folder, "{}-{}.onnx".format(name, _digest(model)))
        part = "{}.{}.part".format(path, os.getpid())
        try:
            os.makedirs(folder, exist_ok=True)
            with open(part, "wb") as file:
                file.write(model)
            os.replace(part, path)
        except OSError:  # such as a read-only or full disk
            with contextlib.suppress(OSError):
                os.remove(part)
            continue
        _remove_outdated(folder, os.path.dirname(os.path.abspath(prefix)), path)
        return "kept as {}".format(path)
    return "not kept, because neither the checkpoint's folder nor {} takes files".format(pooch.os_cache("deeplab_nb"))


def _remove_outdated(folder, checkpoints, kept):
    """Removes earlier conversions of the same checkpoint and network, and those whose checkpoint is gone."""
    conversion = re.compile(r"((.+)\.engine-\w+-os\d+)-\w{16}-\w{16}\.onnx")
    same = conversion.fullmatch(os.path.basename(kept)).group(1)
    for match in filter(None, map(conversion.fullmatch, os.listdir(folder))):
        prefix = os.path.join(checkpoints, match.group(2))
        alive = os.path.exists(prefix + ".index") or os.path.exists(prefix)
        if match.group() != os.path.basename(kept) and (match.group(1) == same or not alive):
            os.remove(os.path.join(folder, match.group()))


def _digest(model):
    return hashlib.sha256(model).hexdigest()[:16]
