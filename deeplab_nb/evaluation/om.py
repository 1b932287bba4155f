"""The way through an offline model (.om) of an Ascend card: the compiler's command line, its pictures in, its labels out.

Not run on hardware: the command follows the vendor's DeepLabv3+ inference package, the files are rehearsed with
TensorFlow in the tests. Needs neither TensorFlow nor CANN, so it runs wherever the device is.
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
RESULT = "davinci_{}_output0.bin"  # how the package's benchmark program names a picture's first output


def chip(soc_version=None, profile=None):
    """The chip that `atc` compiles for: the given one, or one of a profile's, or the published.

    profile: a name. Raises WorkbookError for a chip that the profile's CANN does not know.
    """
    if profile is None:
        return soc_version or "Ascend310"
    profile = ascend_profiles.chosen(profile)
    soc_version = soc_version or profile.soc_version
    if profile.cann == 5 and ascend_profiles.hardware_of(soc_version) in ("a2", "a3"):
        raise WorkbookError(f"soc_version {soc_version} is newer than CANN 5, which the profile "
                            f"{profile.name} names: give a profile of CANN 8 or 9")
    return soc_version


def atc_command(model, output, *, soc_version="Ascend310", size=513):
    """The command that compiles a frozen graph of fixed size into OUTPUT.om, for CANN's `atc`.

    The options are those of CANN 5 to 9. soc_version: the chip as CANN names it. Raises
    WorkbookError for what cannot be such a name.
    """
    if not re.fullmatch(rf"Ascend((?!910)\d{{3}}\w*|{ascend_profiles.CHIPS})", soc_version):
        raise WorkbookError(f"soc_version '{soc_version}' is no chip of this kind: give one such "
                            "as Ascend310, Ascend910A, Ascend910B3 or Ascend910_9391")
    return " \\\n    ".join([
        "atc --model={}".format(model), "--framework=3", "--output={}".format(output), "--output_type=FP32",
        "--soc_version={}".format(soc_version), '--input_shape="{}:1,{},{},3"'.format(INPUT, size, size),
        "--out_nodes={}:0".format(LABELS), "--log=info"])


def warped(image, size):
    """A photograph uint8 [h, w, 3] stretched to [size, size, 3]; its aspect is not kept, as in the vendor's package."""
    return np.asarray(Image.fromarray(image).resize((size, size), Image.BILINEAR))


def preprocess_bins(root, out, *, list_name="val", size=513, first=None):
    """Writes each photograph of a list, or its first so many, to OUT/ID.bin: raw uint8 [size, size, 3], RGB. Returns how many."""
    root = voc.check_root(root)
    ids = voc.read_list(root, list_name)[:first]
    os.makedirs(out, exist_ok=True)
    for image_id in progress(ids, label="preprocessing"):
        warped(voc.read_image(voc.image_path(root, image_id)), size).tofile(os.path.join(out, image_id + ".bin"))
    return len(ids)


def score_bins(root, results, *, list_name="val", size=513, first=None, num_classes=21, ignore_label=voc.VOID):
    """`metrics.Scores` of the labels that a device wrote to RESULTS, the masks stretched to them.

    These scores are of stretched pictures, so they are no figures of the DeepLab protocol.
    Raises WorkbookError naming a file that is missing, of another size or no class numbers.
    """
    root, confusion = voc.check_root(root), 0
    for image_id in progress(voc.read_list(root, list_name)[:first], label="scoring"):
        labels = read_labels(os.path.join(results, RESULT.format(image_id)), size, num_classes)
        mask, _ = voc.read_mask(voc.mask_path(root, image_id))
        truth = np.asarray(Image.fromarray(mask).resize((size, size), Image.NEAREST))
        confusion += confusion_matrix(truth, labels, num_classes=num_classes, ignore_label=ignore_label)
    return Scores(confusion)


def read_labels(path, size, num_classes):
    """Class ids uint8 [size, size] from raw float32 or int32 numbers: only one of the two readings gives class numbers."""
    try:
        raw = np.fromfile(path, np.int32)
    except OSError as error:
        raise WorkbookError("result {} is not readable ({}): run the model on all pictures of the list".format(path, error.strerror))
    if raw.size != size * size:
        raise WorkbookError("result {} has {} numbers of 4 bytes, {}x{} labels need {}: was the model compiled for this size?".format(
            path, raw.size, size, size, size * size))
    for numbers in (raw, raw.view(np.float32)):
        labels = numbers.astype(np.uint8)
        if (labels == numbers).all() and labels.max() < num_classes:
            return labels.reshape(size, size)
    raise WorkbookError("result {} holds no class numbers 0..{}: take the model's output {}".format(path, num_classes - 1, LABELS))
