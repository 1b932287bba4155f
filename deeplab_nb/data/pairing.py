"""Which photograph and which mask belong together: those of one path below their folders.

Exports of annotation tools put both into one folder, or each split into a folder of its own.
"""

import collections
import glob
import os
import re
import textwrap
import unicodedata

from deeplab_nb.data import mask_forms, outlines
from deeplab_nb.data.pictures import SUFFIXES
from deeplab_nb.errors import WorkbookError

LISTS = "train", "val", "test"
_ENDINGS = re.compile(r"(\.(json|{}))+$".format("|".join(end[1:] for end in SUFFIXES)), re.I)
_FOLDER = re.compile(  # of a list, of one side, or of both: its list, and what says masks
    r"^(?:(train|val|test)(?:ing|id|idation)?(?:\d{4})?)?[_-]?"
    r"(?:images?|imgs?|jpegimages"
    r"|(masks?|labels?|ann|annot|annotations?|segmentationclass(?:raw|png)?))?$",
    re.I,
)


def sides(images, masks):
    """(photographs, masks, files of outlines, all that lies beside the masks), as paths.

    Masks or files of outlines are none. One folder within the other is no part of that.
    """
    ours, theirs = _below(images), _below(masks)
    shared = ours == theirs
    if ours > theirs:
        ours -= theirs
    elif theirs > ours:
        theirs -= ours
    pictures, painted = (
        {path for path in paths if path.lower().endswith(SUFFIXES)} for paths in (ours, theirs)
    )
    if shared:
        painted = {path for path in painted if _is_mask(path, masks)}
    written = [path for path in theirs if path.lower().endswith(".json")]
    photographs = pictures - painted
    if written and not (painted and photographs):
        return sorted(pictures), [], sorted(written), theirs
    if not (painted and photographs):
        raise WorkbookError(
            f"{masks if photographs else images} holds no pictures ({' '.join(SUFFIXES)}): give "
            "the folder of the files themselves, or one of both with folders images and masks"
        )
    return sorted(photographs), sorted(painted), [], theirs


def _below(path):
    """{path} of the files below a folder, hidden ones left out; a file is its own."""
    if not os.path.exists(path):
        raise WorkbookError(f"folder {path} does not exist: give the folder that holds the files")
    found = glob.glob(os.path.join(glob.escape(path), "**"), recursive=True)
    files = filter(os.path.isfile, [path, *found])
    return {file for file in files if "/segmentationobject/" not in file.lower()}  # CVAT's


def _is_mask(path, root):
    """Whether its place says that a picture is a mask, where photographs share the root."""
    told = map(_FOLDER.match, os.path.relpath(path, root).split(os.sep)[:-1])
    return any(match and match[2] for match in told) or _bare(path) != path


def _bare(path):
    """A mask's path without Roboflow's `_mask`."""
    listed = os.path.join(os.path.dirname(path), mask_forms.CLASSES)
    return path.replace("_mask.png", ".png") if os.path.isfile(listed) else path


def find(images, masks, paths, unlabelled, left_out):
    """({id: (photograph, mask or Outlines, list or None)}, labels of outlines, notes).

    paths: what `sides` gave. No photograph: labelme's file holds it; no mask: all is background.
    Raises WorkbookError for files that would bear one id, a mask without photograph, and a
    photograph that fits several masks.
    """
    photographs = _unique((_key(path, images), path) for path in paths[0])
    read, labels = outlines.read(paths[2], left_out)
    names = set(map(os.path.basename, photographs))
    drawn = [(_outlined(one, masks, names), one) for one in read]
    drawn = _unique(drawn or [(_key(_bare(path), masks), path) for path in paths[1]])
    partners = _partners(photographs, drawn)
    alone = sorted(set(photographs) - set(partners))
    others = sorted(set(drawn) - set(partners.values()))
    lost = [photographs[key] for key in alone if paths[1] and not unlabelled]
    lost += [drawn[key] for key in others if not getattr(drawn[key], "embedded", False)]
    if lost:
        raise WorkbookError(
            f"{lost[0]} has no partner of that name in {images} or {masks} ({len(lost)} such): "
            "add it, take the file out, or say --unlabelled for photographs"
        )
    pairs = {}
    for key in sorted([*photographs, *others]):
        other = partners.get(key, key)
        folders = f"{os.path.dirname(key)}/{os.path.dirname(other)}".split("/")
        name = next((name for name in LISTS if name in folders), None)
        pairs[key] = photographs.get(key), drawn.get(other), name
    empty = [key for key, (_, mask, _) in pairs.items() if not getattr(mask, "shapes", mask)]
    gone = {None: alone, "background": []}.get(unlabelled, empty)
    notes = [
        textwrap.shorten(
            f"{len(keys)} images without annotation are {said}: {', '.join(keys)}", 250
        )
        for keys, said in ((sorted(set(empty) - set(gone)), "background"), (gone, "left out"))
        if keys
    ]
    return {key: pair for key, pair in pairs.items() if key not in set(gone)}, labels, notes


def _plain(folder):
    """train, val or test for a folder's name that says so, nothing for one that names a side."""
    return _FOLDER.sub(lambda told: (told[1] or "").lower(), folder)


def _key(path, root=None):
    """What a photograph and its mask share, and its id: folders and stem, without blanks.

    Folders that only say which of both lies there are left out; `valid` is val.
    """
    path = os.path.relpath(path, root) if root else path.replace("\\", "/")
    path = _ENDINGS.sub("", unicodedata.normalize("NFC", path))
    *folders, name = re.sub(r"\s+", "_", os.path.normpath(path)).split("/")
    return "/".join(filter(None, [*map(_plain, folders), name]))


def _outlined(one, root, names):
    """The key of a photograph's outlines: by COCO's file_name, by labelme's own name or imagePath.

    names: of the photographs.
    """
    key = _key(one.source, root)
    place, stem = os.path.split(key)
    if one.kind == outlines.COCO:
        lists = [word for word in re.split("[_.-]", stem) if _plain(word) in LISTS]
        return _key("/".join([place, *lists, one.name]))
    pointed = _key(f"{place}/{one.name}")
    return pointed if stem not in names and os.path.basename(pointed) in names else key


def _unique(items):
    """{key: item} of pairs."""
    found = {}
    for key, item in items:
        if found.setdefault(key, item) is not item:
            raise WorkbookError(f"{found[key]} and {item} would bear the same name: rename one")
    return found


def _partners(photographs, drawn):
    """{photograph's key: mask's} of one path, else where one path ends as only one other does.

    `default/s1/a` goes to `s1/a` rather than to `a`. Raises WorkbookError for two that fit.
    """
    masks = {key: key for key in photographs if key in drawn}
    free = collections.defaultdict(list)
    for key in sorted(set(drawn) - set(masks), key=lambda key: (len(key), key)):
        free[os.path.basename(key)].append(key)
    for key in sorted(set(photographs) - set(masks), key=lambda key: (-len(key), key)):
        others = free[os.path.basename(key)]
        longer = [
            other for other in others if other not in masks and f"/{other}".endswith(f"/{key}")
        ]
        shorter = [other for other in others if f"/{key}".endswith(f"/{other}")][-1:]
        for other in longer or shorter:
            if len(longer) > 1 or other in masks:
                raise WorkbookError(
                    f"{drawn[other]} and {photographs[key]} have several partners of their name: "
                    "have photographs and masks lie in folders of the same names"
                )
            masks[other] = key
    return {photograph: mask for mask, photograph in masks.items()}
