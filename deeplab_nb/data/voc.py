"""PASCAL VOC 2012 as it lies on disk: folders, lists, classes, palette, masks.

Source: Everingham et al., The PASCAL Visual Object Classes Challenge 2012, development kit.
"""

import codecs
import glob
import os
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from deeplab_nb.data import pictures
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import MARK, beside

CLASSES = tuple(
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tv".split()
)
NAMES = "classes.txt"  # of a data folder that is not VOC: a class name a line, from number 0 on
VOID = 255  # object borders and difficult pixels

# Official sizes of the segmentation lists; a list of another size is a subset or another set.
LIST_SIZES = {"train": 1464, "val": 1449, "trainval": 2913, "trainaug": 10582}


def palette():
    """VOC's colours, uint8 [256, 3], by class id.

    Bit 3i of the class id becomes bit 7-i of red, bit 3i+1 of green, bit 3i+2 of blue.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for i in range(8):
        for channel in range(3):
            colours[:, channel] |= ((ids >> (3 * i + channel) & 1) << (7 - i)).astype(np.uint8)
    return colours


def class_names(num_classes, root=None):
    """Names by class id: a data folder's NAMES if it has so many, else VOC's 21, else numbered."""
    path = os.path.join(root or "", NAMES)
    if root and os.path.isfile(path):
        names = tuple(read_text(path).splitlines())
        if len(names) == num_classes:
            return names
    return CLASSES if num_classes == len(CLASSES) else numbered_names(num_classes)


def numbered_names(num_classes):
    return ("background",) + tuple(f"class {i}" for i in range(1, num_classes))


def image_path(root, image_id):
    """Of the photograph that is there, whatever its ending; else where one is to be."""
    return _existing(os.path.join(root, "JPEGImages", image_id), ".jpg")


def mask_path(root, image_id):
    """As `image_path`."""
    return _existing(os.path.join(root, "SegmentationClass", image_id), ".png")


def _existing(stem, usual):
    endings = (usual, *pictures.SUFFIXES)
    paths = (stem + form(ending) for ending in endings for form in (str.lower, str.upper))
    return next(filter(os.path.exists, paths), stem + usual)


def list_path(root, name):
    return os.path.join(root, "ImageSets", "Segmentation", name + ".txt")


def make_folders(root):
    """The folders of photographs and masks."""
    for path in (image_path(root, ""), mask_path(root, "")):
        os.makedirs(os.path.dirname(path), exist_ok=True)


def check_root(root):
    """The folder itself, or the VOC2012 inside it; WorkbookError where neither is a VOC folder."""
    if not os.path.isdir(root):
        raise WorkbookError(
            f"data folder {root} does not exist: `deeplab-nb fetch voc` brings VOC 2012, or give "
            "the folder that holds JPEGImages"
        )
    candidates = (
        root,
        os.path.join(root, "VOC2012"),
        os.path.join(root, "VOCdevkit", "VOC2012"),
    )
    found = [path for path in candidates if os.path.isdir(os.path.join(path, "JPEGImages"))]
    if not found:
        raise WorkbookError(
            f"data folder {root} has no JPEGImages: give the VOC2012 folder of an unpacked "
            "VOCdevkit"
        )
    for name in ("SegmentationClass", os.path.join("ImageSets", "Segmentation")):
        if not os.path.isdir(os.path.join(found[0], name)):
            raise WorkbookError(
                f"data folder {found[0]} has no {name}: masks and lists are needed beside the "
                "photographs"
            )
    return found[0]


def read_list(root, name):
    """Image ids of a list, in its order: paths below the folders, without ending.

    Raises WorkbookError if the list is missing or empty, and for an id that leads out of the data.
    """
    path = list_path(root, name)
    if not os.path.isfile(path):
        has = ", ".join(list_names(root)) or "no list"
        raise WorkbookError(f"list {path} does not exist: the folder has {has}")
    return read_ids(path)


def read_ids(path):
    """The ids of a text file, as `read_list` gives them."""
    ids = [os.path.normpath(word.replace("\\", "/")) for word in read_text(path).split()]
    if not ids:
        raise WorkbookError(f"list {path} is empty: write one image id a line")
    for image_id in ids:
        if image_id.startswith(("/", "..")) or image_id[1:3] == ":/":
            raise WorkbookError(
                f"list {path} names {image_id}, outside the data folder: write ids as paths below "
                "JPEGImages, without ending"
            )
    return ids


def read_text(path):
    """A text in UTF-8, UTF-16 with its mark, or Latin-1. Raises WorkbookError for one with NUL."""
    content = Path(path).read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text:
        raise WorkbookError(f"{path} holds NUL bytes, so it is no text: write it again")
    return text


def list_names(root):
    """Names of the lists that are there, sorted."""
    files = glob.glob(list_path(glob.escape(root), "*"))
    return sorted(os.path.basename(file)[:-4] for file in files)


# beside the paths of what they read
read_image, image_size = pictures.read_image, pictures.image_size


def read_mask(path):
    """(class ids as uint8 [height, width], kind of file).

    The kind is 'palette' (VOC's own), 'index' (grey values, or three equal channels, are ids) or
    'rgb' (VOC's colours). Raises WorkbookError for a missing or broken file, for a JPEG and for a
    colour that is not VOC's.
    """
    return ids_of(pictures.read_stored(path), path)


def ids_of(stored, path):
    """As `read_mask`, of what it has read."""
    numbers = stored.numbers
    # black and the grey of a bus are VOC's colours too
    if numbers is not None and (stored.mode != "RGB" or set(np.unique(numbers)) - {0, 128}):
        return numbers, "palette" if stored.mode == "P" else "index"
    ids = by_colour(stored.colours, {tuple(palette()[i]): i for i in (*range(len(CLASSES)), VOID)})
    if (ids < 0).any():
        y, x = np.argwhere(ids < 0)[0]
        raise WorkbookError(
            f"mask {path} has colour {tuple(stored.colours[y, x].tolist())} at row {y}, column {x},"
            " which is not one of VOC's: save the masks as class ids"
        )
    return ids.astype(np.uint8), "rgb"


def by_colour(rgb, table):
    """Class ids int [h, w] of colours uint8 [h, w, 3] by {colour: class id}, -1 of others."""
    digits = 1 << 16, 1 << 8, 1  # a colour as one number
    known = {np.dot(colour, digits): class_id for colour, class_id in table.items()}
    codes, where = np.unique(rgb.astype(np.int64) @ digits, return_inverse=True)
    return np.array([known.get(code, -1) for code in codes])[where].reshape(rgb.shape[:2])


def write_mask(path, ids, mark=None):
    """Writes class ids uint8 [height, width] as a palette PNG, VOC's own form; makes its folder.

    mark: what a prediction is made by and from, see `files.mark_of`; a mask has none.
    """
    image = Image.fromarray(np.asarray(ids, np.uint8), mode="P")
    image.putpalette(palette().ravel().tolist())
    text = PngInfo()
    if mark:
        text.add_text(MARK, mark)
    with beside(path) as part:
        image.save(part, format="PNG", pnginfo=text)
