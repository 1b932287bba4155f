"""Which photograph and which mask belong together: those of one path below their folders.

Exports of annotation tools put both into one folder, or each split into a folder of its own.
"""

import collections
import itertools
import os
import re
import unicodedata

from deeplab_nb.data import mask_forms, outlines
from deeplab_nb.data.pictures import SUFFIXES
from deeplab_nb.errors import WorkbookError

UNLABELLED = BACKGROUND, LEAVE_OUT = "background", "leave-out"
LISTS = "train", "val", "test"
_ENDINGS = re.compile(r"(\.(json|{}))+$".format("|".join(end[1:] for end in SUFFIXES)), re.I)
_FOLDER = re.compile(  # of a list, of one side, or of both: its list, and what says masks
    r"^(?:(train|val|test)(?:ing|id|idation)?(?:\d{4})?)?[_-]?"
    r"(?:images?|imgs?|jpegimages"
    r"|(masks?|labels?|ann|annot|annotations?|segmentationclass(?:raw)?))?$",
    re.I,
)


def sides(images, masks):
    """(photographs, masks, files of outlines): paths; masks or outlines are none."""
    both = os.path.realpath(images) == os.path.realpath(masks)
    pictures, files = filter(_is_picture, below(images, masks)), below(masks, images)
    painted = [path for path in files if _is_picture(path) and (not both or _is_mask(path, masks))]
    written = [path for path in files if path.lower().endswith(".json")]
    pictures = list(pictures)
    photographs = sorted(set(pictures) - set(painted))
    if written and not (painted and photographs):
        return pictures, [], written
    for paths, folder in ((photographs, images), (painted, masks)):
        if not paths:
            raise WorkbookError(
                f"{folder} holds no pictures ({' '.join(SUFFIXES)}): give the folder of the files "
                "themselves, or one of both whose folders say which, such as images and masks"
            )
    return photographs, painted, []


def find(folders, paths, unlabelled, left_out):
    """({id: (photograph, mask or Outlines, list or None)}, labels of outlines, notes).

    folders: images, masks; paths: what `sides` gave. No photograph: labelme's file holds it; no
    mask: all is background. Raises WorkbookError for files that would bear one id, a mask without
    photograph, and a photograph that fits several masks.
    """
    images, masks = folders
    photographs = _unique((_key(path, images), path) for path in paths[0])
    read, labels = outlines.read(paths[2], left_out)
    names = set(map(os.path.basename, photographs))
    drawn = _unique(
        [(_key(_bare(path), masks), path) for path in paths[1]]
        + [(_outlined(one, masks, names), one) for one in read]
    )
    partners = _partners(photographs, drawn)
    alone = sorted(set(photographs) - set(partners))
    others = sorted(set(drawn) - set(partners.values()))
    for what, lonely, where in (
        ("photograph", [photographs[key] for key in alone if paths[1] and not unlabelled], masks),
        ("mask", [drawn[key] for key in others if not getattr(drawn[key], "embedded", 0)], images),
    ):
        if lonely:
            raise WorkbookError(
                f"{what} {lonely[0]} has no partner of that name in {where} ({len(lonely)} such): "
                "add it, take the file out, or for photographs say --unlabelled"
            )
    pairs = {key: (photographs[key], drawn[other], other) for key, other in partners.items()}
    pairs.update((key, (None, drawn[key], key)) for key in others)
    empty = [key for key, (_, mask, _) in pairs.items() if not getattr(mask, "shapes", True)]
    pairs.update((key, (photographs[key], None, key)) for key in alone)
    gone = {None: alone, BACKGROUND: []}.get(unlabelled, alone + empty)
    notes = []
    for keys, said in (({*alone, *empty} - {*gone}, "background"), (gone, "left out")):
        if keys:
            shown = ", ".join(sorted(keys)[:5]) + ", ..." * (len(keys) > 5)
            notes.append(f"{len(keys)} images without annotation are {said}: {shown}")
    kept = sorted(set(pairs) - set(gone))
    return {key: (*pairs[key][:2], _list_of(key, pairs[key][2])) for key in kept}, labels, notes


def below(path, other=""):
    """Paths of the files below a folder, not of hidden ones, nor of those below `other`."""
    if os.path.isfile(path):
        return [path]
    if not os.path.isdir(path):
        raise WorkbookError(f"folder {path} does not exist: give the folder that holds the files")
    found, other = [], os.path.realpath(other)
    for where, folders, names in os.walk(path):
        folders[:] = [
            name
            for name in sorted(folders)
            if name[0] != "."
            and name.lower() != "segmentationobject"  # CVAT's, numbers of objects
            and os.path.realpath(os.path.join(where, name)) != other
        ]
        found += [os.path.join(where, name) for name in sorted(names) if name[0] != "."]
    return found


def _is_picture(path):
    return path.lower().endswith(SUFFIXES)


def _is_mask(path, root):
    """Whether its place says that a picture is a mask, where photographs share the root."""
    told = map(_FOLDER.match, os.path.relpath(path, root).split(os.sep)[:-1])
    return any(match and match[2] for match in told) or _bare(path) != path


def _bare(path):
    """A mask's path without Roboflow's `_mask`."""
    listed = os.path.join(os.path.dirname(path), mask_forms.CLASSES)
    return path.replace("_mask.png", ".png") if os.path.isfile(listed) else path


def _plain(folder):
    """train, val or test for a folder's name that says so, nothing for one that names a side."""
    return _FOLDER.sub(lambda told: (told[1] or "").lower(), folder)


def _key(path, root=None):
    """What a photograph and its mask share, and its id: folders and stem, without blanks.

    Folders that only say which of both lies there are left out; `valid` is val.
    """
    if root:
        path = os.path.relpath(path, root if os.path.isdir(root) else os.path.dirname(root))
    path = _ENDINGS.sub("", unicodedata.normalize("NFC", path).replace("\\", "/"))
    *folders, name = re.sub(r"\s+", "_", os.path.normpath(path)).split("/")
    return "/".join(filter(None, [*map(_plain, folders), name]))


def _outlined(one, root, names):
    """The key of a photograph's outlines: by COCO's file_name, by labelme's own name or imagePath.

    names: of the photographs.
    """
    key = _key(one.source, root)
    place, stem = os.path.split(key)
    coco = one.kind == outlines.COCO
    words = [word for word in re.split("[_.-]", stem) if coco and _plain(word) in LISTS]
    pointed = _key("/".join([place, *words, one.name]))
    other = stem not in names and os.path.basename(pointed) in names
    return pointed if coco or other else key


def _unique(items):
    """{key: item} of pairs."""
    found = {}
    for key, item in items:
        if key in found:
            raise WorkbookError(f"{found[key]} and {item} would bear the same name: rename one")
        found[key] = item
    return found


def _partners(photographs, drawn):
    """{photograph's key: mask's} of one path, else where one path ends as only one other does."""
    partners = {key: key for key in photographs if key in drawn}
    free = collections.defaultdict(list)
    for key in set(drawn) - set(partners):
        free[os.path.basename(key)].append(key)
    near = [
        (key, other)
        for key in sorted(set(photographs) - set(partners))
        for other in free[os.path.basename(key)]
        if f"/{key}".endswith(f"/{other}") or f"/{other}".endswith(f"/{key}")
    ]
    for key, count in collections.Counter(itertools.chain(*near)).items():
        if count > 1:
            raise WorkbookError(
                f"{photographs.get(key) or drawn[key]} has {count} partners of its name in other "
                "folders: have photographs and masks lie in folders of the same names"
            )
    return dict(partners, **dict(near))


def _list_of(*keys):
    """The list that a folder on one of the paths names; None if none does."""
    folders = itertools.chain(*(key.split("/")[:-1] for key in keys))
    return next((folder for folder in folders if folder in LISTS), None)
