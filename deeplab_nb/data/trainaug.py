"""The training list of 10,582 images: VOC's own masks plus those of SBD.

The list is DeepLabv3's trainaug (section 4 of its paper); SBD is Hariharan et al., Semantic
Contours from Inverse Detectors, 2011. The rule: VOC train, SBD train and SBD val, without VOC val.
"""

import os
import shutil
import zlib

import scipy.io

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import beside, write_lines
from deeplab_nb.progress import in_threads


def make_trainaug(voc_root, sbd_root):
    """Path of ImageSets/Segmentation/trainaug.txt, made together with the masks it needs.

    SBD's masks are written as palette PNGs into VOC's own SegmentationClass, so that every list
    finds its masks in one place. A mask that exists there is never overwritten: VOC's own, with
    void borders, stay. Photographs that VOC lacks are copied from SBD. The list is written last;
    what an interrupted call has converted is kept and used by the next one.

    voc_root: VOC2012 folder; sbd_root: folder of an unpacked SBD (benchmark_RELEASE, or its
    dataset). Raises WorkbookError for missing or damaged files, and where VOC's lists are the
    official ones but 10,582 images do not come out. With a subset of VOC any number is accepted;
    `audit` says it is a subset.
    """
    voc_root, sbd = voc.check_root(voc_root), _dataset(sbd_root)
    train, val = voc.read_list(voc_root, "train"), voc.read_list(voc_root, "val")
    ids = trainaug_ids(train, val, _sbd_ids(sbd))
    check_trainaug(ids, train, val)
    in_threads(lambda image_id: _add(voc_root, sbd, image_id), ids, label="trainaug")
    return write_lines(voc.list_path(voc_root, "trainaug"), ids)


def trainaug_ids(voc_train, voc_val, sbd_ids):
    """Sorted ids of (VOC train and SBD) without VOC val."""
    return sorted((set(voc_train) | set(sbd_ids)) - set(voc_val))


def check_trainaug(ids, voc_train, voc_val):
    """WorkbookError where an evaluation image leaks in, or full VOC lists give another number."""
    leaked = sorted(set(ids) & set(voc_val))
    if leaked:
        raise WorkbookError(
            f"trainaug holds {len(leaked)} images of val, {leaked[0]} is the "
            "first: leave them out, or the score is worthless"
        )
    sizes, wanted = (len(voc_train), len(voc_val)), voc.LIST_SIZES["trainaug"]
    full = sizes == (voc.LIST_SIZES["train"], voc.LIST_SIZES["val"])
    if full and len(ids) != wanted:
        raise WorkbookError(
            f"trainaug comes to {len(ids)} images instead of {wanted}: unpack SBD "
            "anew, its train.txt or val.txt is not complete"
        )


def _dataset(sbd_root):
    """The folder of SBD that holds cls, img, train.txt and val.txt."""
    for below in ("", "dataset", os.path.join("benchmark_RELEASE", "dataset")):
        if os.path.isdir(os.path.join(sbd_root, below, "cls")):
            return os.path.join(sbd_root, below)
    raise WorkbookError(
        f"SBD folder {sbd_root} has no dataset/cls: give the benchmark_RELEASE "
        "folder of the unpacked archive"
    )


def _sbd_ids(sbd):
    ids = []
    for name in ("train.txt", "val.txt"):
        path = os.path.join(sbd, name)
        if not os.path.isfile(path):
            raise WorkbookError(f"SBD list {path} does not exist: unpack SBD anew")
        ids += voc.read_ids(path)
    return ids


def _add(voc_root, sbd, image_id):
    """Adds what VOC lacks of one image."""
    mask, image = voc.mask_path(voc_root, image_id), voc.image_path(voc_root, image_id)
    if not os.path.exists(mask):
        class_ids = read_sbd_mask(os.path.join(sbd, "cls", image_id + ".mat"))
        with beside(mask) as part:
            voc.write_mask(part, class_ids)
    if not os.path.exists(image):
        source = os.path.join(sbd, "img", image_id + ".jpg")
        if not os.path.isfile(source):
            raise WorkbookError(
                f"photograph {image} is missing in VOC, and SBD has no {source}: unpack both anew"
            )
        with beside(image) as part:
            shutil.copyfile(source, part)


def read_sbd_mask(path):
    """Class ids uint8 [height, width] of a .mat file (GTcls.Segmentation; 0..20, no void)."""
    try:
        return scipy.io.loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except FileNotFoundError:
        raise WorkbookError(f"SBD mask {path} does not exist: unpack SBD anew")
    except (OSError, KeyError, IndexError, TypeError, ValueError, zlib.error) as error:
        raise WorkbookError(f"SBD mask {path} is damaged ({error}): unpack SBD anew")
