"""Photographs and masks of your own, in whatever form they come, laid out as VOC lays out its own.

Looks before it writes: what form the masks have, which values or colours, which sizes. Every wrong
guess at this point becomes a bad score much later, so a form that is not certain is refused.
"""
import collections
import io
import json
import os
import re
from typing import Dict, NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageOps

from deeplab_nb.data import outlines, voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import beside, write_lines
from deeplab_nb.progress import in_threads

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MOST_COLOURS = 64  # more than any painter chose: the file was smoothed or saved as a JPEG

PALETTE, INDEX, BINARY, RGB, OUTLINES = "palette", "index", "0/255", "rgb", "outlines"
SAID = {PALETTE: "palette PNGs: the stored numbers are the classes, the colours come from a table "
                 "beside them",
        INDEX: "grey PNGs: the grey values are the classes (they look black, and are not)",
        BINARY: "only 0 and 255: 255 is taken for class 1, for as a class number it would mean "
                "'ignore'",
        RGB: "colours: each one is a class",
        OUTLINES: "outlines: each label is a class"}


class Found(NamedTuple):
    """What the masks turned out to be.

    classes: names by id; colours: {colour: class id}, of RGB masks; counts: of lists.
    """
    form: str
    classes: Tuple[str, ...]
    colours: Dict[tuple, int]
    counts: Dict[str, int]

    def __str__(self):
        named = {class_id: f"  {colour}" for colour, class_id in self.colours.items()}
        return "\n".join(
            [f"the masks are {SAID[self.form]}"] +
            [f"  {i:3d} {name}{named.get(i, '')}" for i, name in enumerate(self.classes)] +
            [f"{name}: {count} images" for name, count in self.counts.items()])


def convert(images, masks, out, *, classes=(), colours=None, val_share=0.2, seed=1):
    """Lays photographs and masks of the same names out under `out`; returns what was `Found`.

    masks: a folder of pictures, one of labelme's files, which may be that of the photographs, or a
    file of COCO's. classes: names from background on; missing ones are numbered, or outlines'
    labels. colours: {(r, g, b): class id} of RGB masks; None gives black 0 and the others numbers
    in the order of their values. val_share: of the images that go into the list val, the same ones
    for a seed.
    Built beside and renamed. Raises WorkbookError for a photograph without mask or the other way
    round, a form that cannot be told, sizes that differ, names that would collide, shapes without
    an inside or of no class, and for `out` if anything is there.
    """
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise WorkbookError(f"{out} holds something already: name a new folder for the converted "
                            "set")
    outlined = _are_outlines(images, masks)
    if outlined:
        found, labels = outlines.read(masks)
        drawn = _by_id((one.name, one) for one in found)
    else:
        drawn = _files(masks)
    pairs = _pairs(images, masks, drawn)
    lists = _split(list(pairs), val_share, seed)
    if outlined:
        form, table, classes = OUTLINES, {}, tuple(classes) or ("background", *labels)
    else:
        form, table, classes = _painted(pairs, classes, colours)
    found = Found(form, classes, table, {name: len(ids) for name, ids in lists.items()})
    with beside(out) as part:
        _fill(part, pairs, lists, found)
    return found


def _are_outlines(images, masks):
    """Whether outlines take the masks' place; with masks, a JSON file holds something else."""
    if not os.path.isdir(masks):
        return masks.lower().endswith(".json")
    names = [name.lower() for name in os.listdir(masks)]
    beside_photographs = os.path.realpath(masks) == os.path.realpath(images)
    return any(name.endswith(".json") for name in names) and (
        beside_photographs or not any(map(_is_picture, names)))


def _is_picture(name):
    return name.lower().endswith(SUFFIXES)


def _painted(pairs, classes, colours):
    """(form, {colour: class id}, class names) of masks that are pictures."""
    looks = dict(zip(pairs, in_threads(
        lambda name: _look(pairs[name][1]), list(pairs), label="reading masks")))
    form = _form(looks, pairs)
    table = _colours(looks, colours) if form == RGB else {}
    highest = max(table.values()) if table else 1 if form == BINARY else _highest(looks)
    return form, table, _names(classes, highest + 1)


def _fill(root, pairs, lists, found):
    """Photographs, masks, lists and class names, under a root that is new."""
    for folder in (voc.image_path(root, ""), voc.mask_path(root, "")):
        os.makedirs(os.path.dirname(folder))
    in_threads(lambda name: _write(root, name, *pairs[name], found), list(pairs), label="writing")
    for name, ids in lists.items():
        write_lines(voc.list_path(root, name), ids)
    write_lines(os.path.join(root, voc.NAMES), found.classes)


def _pairs(images, masks, drawn):
    """{id: (photograph, mask)} of those that bear the same name."""
    photographs = _files(images)
    for ours, theirs, what, other in ((photographs, drawn, "photograph", masks),
                                      (drawn, photographs, "mask", images)):
        alone = sorted(set(ours) - set(theirs))
        if alone:
            raise WorkbookError(f"{what} {ours[alone[0]]} has no partner of that name in {other} "
                                f"({len(alone)} such): add it, or take the file out")
    if len(photographs) < 2:
        raise WorkbookError(f"{images} holds {len(photographs)} photograph: at least two are "
                            "needed, one to train and one to score")
    return {name: (photographs[name], drawn[name]) for name in sorted(photographs)}


def _files(folder):
    """{id: path} of the picture files in a folder."""
    if not os.path.isdir(folder):
        raise WorkbookError(f"folder {folder} does not exist: give the folder that holds the files")
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))
             if _is_picture(name)]
    if not paths:
        raise WorkbookError(f"{folder} holds no pictures ({' '.join(SUFFIXES)}): give the folder "
                            "of the files themselves")
    return _by_id((path, path) for path in paths)


def _by_id(items):
    """{id: item} of pairs (file name, item); an id holds no blanks, for lists are split at them."""
    found = {}
    for path, item in items:
        image_id = re.sub(r"\s+", "_", os.path.splitext(os.path.basename(path))[0])
        if image_id in found:
            raise WorkbookError(f"{found[image_id]} and {path} would bear the same name: rename "
                                "one")
        found[image_id] = item
    return found


def _look(path):
    """(PIL mode reduced to P, L or RGB, {value or colour}) of a mask."""
    image = _opened(path)
    if image.mode == "P":
        return "P", frozenset(np.unique(np.asarray(image)).tolist())
    if image.mode in ("L", "1"):
        return "L", frozenset(np.unique(_grey(image)).tolist())
    if image.mode in ("I;16", "I"):
        raise WorkbookError(f"mask {path} has 16 or more bits a pixel: save it with 8, class "
                            "numbers 0 to 254")
    seen = image.convert("RGB").getcolors(MOST_COLOURS)
    if seen is None:
        raise WorkbookError(
            f"mask {path} has more than {MOST_COLOURS} colours: it was smoothed or saved as a "
            "JPEG, so edges hold mixed colours; save it anew as PNG without smoothing")
    return "RGB", frozenset(colour for _, colour in seen)


def _form(looks, pairs):
    """One of the forms in SAID, for all masks together."""
    modes = collections.Counter(mode for mode, _ in looks.values()).most_common()
    mode, rare = modes[0][0], modes[-1][0]
    if rare != mode:
        odd = next(name for name, (other, _) in looks.items() if other == rare)
        raise WorkbookError(f"masks are of different forms, mode {rare} in {pairs[odd][1]} and "
                            f"{mode} in most: save all in one form")
    if mode == "L" and {voc.VOID} <= _values(looks) <= {0, voc.VOID}:
        return BINARY
    return {"P": PALETTE, "L": INDEX, "RGB": RGB}[mode]


def _values(looks):
    return set().union(*(values for _, values in looks.values()))


def _highest(looks):
    """The highest class number. Numbers with wide gaps are grey shades, not classes."""
    values = sorted(_values(looks) - {voc.VOID})
    if values and values[-1] > 4 * len(values) + 16:
        shown = ", ".join(map(str, values[:8])) + ", ..." * (len(values) > 8)
        raise WorkbookError(
            f"the masks' values are {shown}: such wide gaps are shades of grey or a colour map "
            "read as grey, not class numbers; save the masks as class numbers 0, 1, 2, ... or in "
            "colour")
    return max(values + [1])


def _colours(looks, given):
    """{colour: class id}; VOC's cream stays 'ignore' unless it was given a class."""
    cream, seen = tuple(int(v) for v in voc.palette()[voc.VOID]), _values(looks)
    if given is None:
        order = sorted(seen - {cream, (0, 0, 0)})
        given = {colour: i for i, colour in enumerate([(0, 0, 0)] + order)}
    unknown = sorted(seen - set(given) - {cream})
    if unknown:
        raise WorkbookError(f"the masks hold colour {unknown[0]}, which was given no class: name "
                            f"every colour ({len(seen)} are in the masks)")
    return given


def _names(classes, count):
    """Names for all class ids. Raises WorkbookError for more than the masks have classes."""
    if len(classes) > count:
        raise WorkbookError(
            f"{len(classes)} class names for {count} classes in the masks ({', '.join(classes)}): "
            "is background among the names, as number 0?")
    return tuple(classes) + voc.numbered_names(count)[len(classes):]


def _split(ids, share, seed):
    """{list: ids}, drawn by the seed; both lists get at least one image."""
    if not 0 < share < 1:
        raise WorkbookError(f"a share of {share} of the images for val leaves one list empty: give "
                            "one between 0 and 1")
    drawn = [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))]
    size = min(max(round(share * len(ids)), 1), len(ids) - 1)
    return {"train": sorted(drawn[size:]), "val": sorted(drawn[:size]), "trainval": ids}


def _write(root, name, photograph, mask, found):
    """One pair, in the photograph's upright size."""
    opened, ids = _opened(photograph), _ids(mask, found)
    image = ImageOps.exif_transpose(opened).convert("RGB")
    if image.size != ids.shape[::-1]:
        raise WorkbookError(
            "mask {} is {}x{}, its photograph {}x{}: save it at the photograph's size, without "
            "smoothing".format(mask, *ids.shape[::-1], *image.size))
    with open(photograph, "rb") as file:
        content = file.read()
    # TensorFlow would see another picture than a person does: turned, or with other channels
    if (opened.format not in ("JPEG", "PNG") or opened.mode not in ("RGB", "L")
            or opened.getexif().get(0x0112, 1) != 1):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")  # without loss; TensorFlow goes by the bytes, not by the name
        content = buffer.getvalue()
    with open(voc.image_path(root, name), "wb") as file:
        file.write(content)
    voc.write_mask(voc.mask_path(root, name), ids)


def _ids(mask, found):
    """Class ids uint8 [h, w] of a mask."""
    if found.form == OUTLINES:
        return outlines.draw(mask, found.classes)
    image = _opened(mask)
    if found.form == PALETTE:
        return np.asarray(image)
    if found.form in (INDEX, BINARY):
        return _grey(image) if found.form == INDEX else (_grey(image) == 255).astype(np.uint8)
    rgb = np.asarray(image.convert("RGB"))
    ids = np.full(rgb.shape[:2], voc.VOID, np.uint8)
    for colour, class_id in found.colours.items():
        ids[(rgb == colour).all(axis=2)] = class_id
    return ids


def _grey(image):
    return np.asarray(image.convert("L"))


def _opened(path):
    try:
        image = Image.open(path)
        image.load()
        return image
    except (OSError, ValueError, SyntaxError) as error:
        raise WorkbookError(f"{path} cannot be read as a picture ({error}): replace the file")


def read_colours(path):
    """({(r, g, b): class id}, [names]) of a JSON file {"name": [r, g, b], ...}, in its order."""
    try:
        with open(path, encoding="utf-8") as file:
            named = json.load(file)
        table = {tuple(int(v) for v in colour): i for i, colour in enumerate(named.values())}
        if (len(table) < len(named) or any(len(colour) != 3 or min(colour) < 0 or max(colour) > 255
                                           for colour in table)):
            raise ValueError("each class needs a colour of its own, three numbers 0..255")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WorkbookError(f"colours {path} cannot be used ({error}): write "
                            '{"background": [0, 0, 0], "name": [r, g, b]}')
    return table, list(named)
