"""The way to an offline model (.om) of an Ascend card and back: command, pictures, labels.

Not run on hardware: the compiler's command line follows the vendor's DeepLabv3+ inference package,
the files are rehearsed with TensorFlow in the tests. Needs neither TensorFlow nor CANN, so it runs
wherever the device is.
"""

import os
import re

import numpy as np
from PIL import Image

from deeplab_nb import ascend_profiles
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.progress import progress

INPUT, LABELS, PROBABILITIES = "ImageTensor", "SemanticPredictions", "SemanticProbabilities"
RESULT = "davinci_{}_output0.bin"  # as the package's benchmark program names a first output


def chip(soc_version=None, profile=None):
    """The chip that `atc` compiles for: the given one, or one of a profile's, or the published.

    profile: a name. Raises WorkbookError for a chip that the profile's CANN does not know.
    """
    if profile is None:
        return soc_version or "Ascend310"
    profile = ascend_profiles.chosen(profile)
    soc_version = soc_version or profile.soc_version
    if profile.cann == 5 and ascend_profiles.hardware_of(soc_version) in ("a2", "a3"):
        raise WorkbookError(
            f"soc_version {soc_version} is newer than CANN 5, which the profile "
            f"{profile.name} names: give a profile of CANN 8 or 9"
        )
    return soc_version


def atc_command(model, output, *, soc_version="Ascend310", size=513):
    """The command that compiles a frozen graph of fixed size into OUTPUT.om, for CANN's `atc`.

    The options are those of CANN 5 to 9. soc_version: the chip as CANN names it. Raises
    WorkbookError for what cannot be such a name.
    """
    if not re.fullmatch(rf"Ascend((?!910)\d{{3}}\w*|{ascend_profiles.CHIPS})", soc_version):
        raise WorkbookError(
            f"soc_version '{soc_version}' is no chip of this kind: give one such "
            "as Ascend310, Ascend910A, Ascend910B3 or Ascend910_9391"
        )
    return rf'''atc --model={model} \
    --framework=3 \
    --output={output} \
    --output_type=FP32 \
    --soc_version={soc_version} \
    --input_shape="{INPUT}:1,{size},{size},3" \
    --out_nodes={LABELS}:0 \
    --log=info'''


def notes(model, size, soc_version):
    """What the README.md beside an exported frozen graph of fixed size says."""
    command = atc_command(model, f"deeplab_{size}", soc_version=soc_version, size=size)
    result = RESULT.format("ID")
    return f"""# An exported DeepLab network

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

    from deeplab_nb.evaluation.om import preprocess_bins, score_bins
    preprocess_bins("VOC_ROOT", "bins", size={size})    # ID.bin: uint8 [{size}, {size}, 3]
    # run the model on each; its labels belong into results/{result}, as float32 or int32
    print(score_bins("VOC_ROOT", "results", size={size}).mean_iou)

Pictures and masks are stretched to {size} x {size}, so this mean IoU is not that of the DeepLab
protocol.
"""


def stretched(picture, size, kind=Image.BILINEAR):
    """A photograph or mask uint8 [h, w, ...] as [size, size, ...], like the vendor's package.

    Its aspect is not kept.
    """
    return np.asarray(Image.fromarray(picture).resize((size, size), kind))


def preprocess_bins(root, out, *, list_name="val", size=513, first=None):
    """Writes each photograph of a list, or its first so many, to OUT/ID.bin. Returns how many.

    Raw uint8 [size, size, 3], RGB.
    """
    root = voc.check_root(root)
    ids = voc.read_list(root, list_name)[:first]
    os.makedirs(out, exist_ok=True)
    for image_id in progress(ids, label="preprocessing"):
        image, path = voc.read_image(voc.image_path(root, image_id)), os.path.join(out, image_id)
        os.makedirs(os.path.dirname(path), exist_ok=True)  # an id may have a folder
        stretched(image, size).tofile(path + ".bin")
    return len(ids)


def score_bins(
    root, results, *, list_name="val", size=513, first=None, num_classes=21, ignore_label=voc.VOID
):
    """`metrics.Scores` of the labels that a device wrote to RESULTS, the masks stretched to them.

    These scores are of stretched pictures, so they are no figures of the DeepLab protocol.
    Raises WorkbookError naming a file that is missing, of another size or no class numbers.
    """
    root, confusion = voc.check_root(root), 0
    for image_id in progress(voc.read_list(root, list_name)[:first], label="scoring"):
        labels = read_labels(os.path.join(results, RESULT.format(image_id)), size, num_classes)
        mask, _ = voc.read_mask(voc.mask_path(root, image_id))
        confusion += confusion_matrix(
            stretched(mask, size, Image.NEAREST),
            labels,
            num_classes=num_classes,
            ignore_label=ignore_label,
        )
    return Scores(confusion)


def read_labels(path, size, num_classes):
    """Class ids uint8 [size, size] from raw float32 or int32 numbers.

    Only one of the two readings gives class numbers.
    """
    try:
        raw = np.fromfile(path, np.int32)
    except OSError as error:
        raise WorkbookError(
            f"result {path} is not readable ({error.strerror}): "
            "run the model on all pictures of the list"
        )
    if raw.size != size * size:
        raise WorkbookError(
            f"result {path} has {raw.size} numbers of 4 bytes, {size}x{size} labels need "
            f"{size * size}: was the model compiled for this size?"
        )
    for numbers in (raw, raw.view(np.float32)):
        labels = numbers.astype(np.uint8)
        if (labels == numbers).all() and labels.max() < num_classes:
            return labels.reshape(size, size)
    raise WorkbookError(
        f"result {path} holds no class numbers 0..{num_classes - 1}: "
        f"take the model's output {LABELS}"
    )
