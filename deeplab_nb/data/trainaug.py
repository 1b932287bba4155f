"""The training list of 10,582 images: VOC's own masks plus those of SBD.

The list is DeepLabv3's trainaug (section 4 of its paper); SBD is Hariharan et al., Semantic Contours
from Inverse Detectors, 2011. The rule: VOC train, SBD train and SBD val, without VOC val.
"""
import os
import shutil
import zlib

import scipy.io

from deeplab_nb.data import voc
from deeplab_nb.data.audit import in_threads
from deeplab_nb.errors import WorkbookError


def make_trainaug(voc_root, sbd_root):
    """Path of ImageSets/Segmentation/trainaug.txt, made together with the masks it needs.

    SBD's masks are written as palette PNGs into VOC's own SegmentationClass, so that every list finds its
    masks in one place. A mask that exists there is never overwritten: VOC's own, with void borders, stay.
    Photographs that VOC lacks are copied from SBD. The list is written last; what an interrupted call has
    converted is kept and used by the next one.

    voc_root: VOC2012 folder; sbd_root: folder of an unpacked SBD (benchmark_RELEASE, or its dataset).
    Raises WorkbookError for missing or damaged files, and where VOC's lists are the official ones but
    10,582 images do not come out. With a subset of VOC any number is accepted; `audit` says it is a subset.
    """
    voc_root, sbd = voc.check_root(voc_root), _dataset(sbd_root)
    train, val = voc.read_list(voc_root, "train"), voc.read_list(voc_root, "val")
    ids = trainaug_ids(train, val, _sbd_ids(sbd))
    check_trainaug(ids, train, val)
    in_threads(lambda image_id: _add(voc_root, sbd, image_id), ids, label="trainaug")
    path = voc.list_path(voc_root, "trainaug")
    _write(path, lambda part: _write_list(part, ids))
    return path


def trainaug_ids(voc_train, voc_val, sbd_ids):
    """Sorted ids of (VOC train and SBD) without VOC val."""
    return sorted((set(voc_train) | set(sbd_ids)) - set(voc_val))


def check_trainaug(ids, voc_train, voc_val):
    """WorkbookError where an evaluation image leaks in, or where full VOC lists do not give 10,582 ids."""
    leaked = sorted(set(ids) & set(voc_val))
    if leaked:
        raise WorkbookError("trainaug holds {} images of val, {} is the first: leave them out, "
                            "or the score is worthless".format(len(leaked), leaked[0]))
    full = len(voc_train) == voc.LIST_SIZES["train"] and len(voc_val) == voc.LIST_SIZES["val"]
    if full and len(ids) != voc.LIST_SIZES["trainaug"]:
        raise WorkbookError("trainaug comes to {} images instead of {}: unpack SBD anew, its train.txt or val.txt "
                            "is not complete".format(len(ids), voc.LIST_SIZES["trainaug"]))


def _dataset(sbd_root):
    """The folder of SBD that holds cls, img, train.txt and val.txt."""
    for folder in (sbd_root, os.path.join(sbd_root, "dataset"), os.path.join(sbd_root, "benchmark_RELEASE", "dataset")):
        if os.path.isdir(os.path.join(folder, "cls")):
            return folder
    raise WorkbookError("SBD folder {} has no dataset/cls: give the benchmark_RELEASE folder of the unpacked archive".format(
        sbd_root))


def _sbd_ids(sbd):
    ids = []
    for name in ("train.txt", "val.txt"):
        path = os.path.join(sbd, name)
        if not os.path.isfile(path):
            raise WorkbookError("SBD list {} does not exist: unpack SBD anew".format(path))
        with open(path) as file:
            ids += file.read().split()
    return ids


def _add(voc_root, sbd, image_id):
    """Adds what VOC lacks of one image."""
    mask, image = voc.mask_path(voc_root, image_id), voc.image_path(voc_root, image_id)
    if not os.path.exists(mask):
        class_ids = read_sbd_mask(os.path.join(sbd, "cls", image_id + ".mat"))
        _write(mask, lambda part: voc.write_mask(part, class_ids))
    if not os.path.exists(image):
        source = os.path.join(sbd, "img", image_id + ".jpg")
        if not os.path.isfile(source):
            raise WorkbookError("photograph {} is missing in VOC, and SBD has no {}: unpack both anew".format(image, source))
        _write(image, lambda part: shutil.copyfile(source, part))


def _write(path, write):
    """Calls `write` for a name beside `path` and renames, so that the file appears complete or not at all."""
    part = path + ".part"
    try:
        write(part)
        os.replace(part, path)
    except OSError as error:
        raise WorkbookError("{} cannot be written ({}): make room on its disk and run again".format(
            path, error.strerror or error))
    finally:
        if os.path.exists(part):
            os.remove(part)


def _write_list(path, ids):
    with open(path, "w") as file:
        file.write("".join(image_id + "\n" for image_id in ids))


def read_sbd_mask(path):
    """Class ids uint8 [height, width] of an SBD .mat file (GTcls.Segmentation; 0..20, no void border)."""
    try:
        return scipy.io.loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except FileNotFoundError:
        raise WorkbookError("SBD mask {} does not exist: unpack SBD anew".format(path))
    except (OSError, KeyError, IndexError, TypeError, ValueError, zlib.error) as error:
        raise WorkbookError("SBD mask {} is damaged ({}): unpack SBD anew".format(path, error))
