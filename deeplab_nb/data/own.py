"""Photographs and masks of your own, in whatever form they come, laid out as VOC lays out its own.

Looks before it writes: what form the masks have, which values or colours, which sizes. Every wrong
guess at this point becomes a bad score much later, so a form that is not certain is refused.
"""
import collections
import io
import json
import os
import re
import shutil
from typing import Dict, NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageOps

from deeplab_nb.data import voc
from deeplab_nb.data.audit import in_threads
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_text

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
MOST_COLOURS = 64  # more than any painter chose: the file was smoothed or saved as a JPEG

PALETTE, INDEX, BINARY, RGB = "palette", "index", "0/255", "rgb"
SAID = {PALETTE: "palette PNGs: the stored numbers are the classes, the colours come from a table beside them",
        INDEX: "grey PNGs: the grey values are the classes (they look black, and are not)",
        BINARY: "only 0 and 255: 255 is taken for class 1, for as a class number it would mean 'ignore'",
        RGB: "colours: each one is a class"}


class Found(NamedTuple):
    """What the masks turned out to be. classes: names by id; colours: {colour: class id}, with RGB masks alone; counts: of lists."""
    form: str
    classes: Tuple[str, ...]
    colours: Dict[tuple, int]
    counts: Dict[str, int]

    def __str__(self):
        lines = ["the masks are {}".format(SAID[self.form])]
        named = {class_id: colour for colour, class_id in self.colours.items()}
        lines += ["  {:3d} {}{}".format(i, name, "  {}".format(named[i]) if i in named else "") for i, name in enumerate(self.classes)]
        return "\n".join(lines + ["{}: {} images".format(*item) for item in self.counts.items()])


def convert(images, masks, out, *, classes=(), colours=None, val_share=0.2, seed=1):
    """Lays photographs and masks of the same names out under `out`; returns what was `Found`.

    classes: names from background on; missing ones are numbered. colours: {(r, g, b): class id} of RGB
    masks; None gives black 0 and the others numbers in the order of their values. val_share: of the
    images that go into the list val, the same ones for a seed.
    Built beside and renamed. Raises WorkbookError for a photograph without mask or the other way round, a
    form that cannot be told, sizes that differ, names that would collide, and for `out` if anything is there.
    """
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise WorkbookError("{} holds something already: name a new folder for the converted set".format(out))
    pairs = _pairs(images, masks)
    looks = dict(zip(pairs, in_threads(lambda name: _look(pairs[name][1]), list(pairs), label="reading masks")))
    lists, form = _split(list(pairs), val_share, seed), _form(looks, pairs)
    table = _colours(looks, colours) if form == RGB else {}
    highest = max(table.values()) if form == RGB else 1 if form == BINARY else _highest(looks)
    found = Found(form, _names(classes, highest + 1), table, {name: len(ids) for name, ids in lists.items()})
    part = os.path.abspath(out) + ".part"
    shutil.rmtree(part, ignore_errors=True)
    _fill(part, pairs, lists, found)
    if os.path.isdir(out):
        os.rmdir(out)  # seen to be empty above
    os.replace(part, out)
    return found


def _fill(root, pairs, lists, found):
    """Photographs, masks, lists and class names, under a root that is new."""
    for folder in (voc.image_path(root, ""), voc.mask_path(root, ""), voc.list_path(root, "")):
        os.makedirs(os.path.dirname(folder))
    in_threads(lambda name: _write(root, name, *pairs[name], found), list(pairs), label="writing")
    for name, ids in lists.items():
        write_text(voc.list_path(root, name), "".join(image_id + "\n" for image_id in ids))
    write_text(os.path.join(root, voc.NAMES), "".join(name + "\n" for name in found.classes))


def _pairs(images, masks):
    """{id: (photograph, mask)} of the files that bear the same name; an id holds no blanks, for lists are split at them."""
    photographs, drawn = _files(images), _files(masks)
    for ours, theirs, what, other in ((photographs, drawn, "photograph", masks), (drawn, photographs, "mask", images)):
        alone = sorted(set(ours) - set(theirs))
        if alone:
            raise WorkbookError("{} {} has no partner of that name in {} ({} such): add it, or take the file out".format(
                what, ours[alone[0]], other, len(alone)))
    if len(photographs) < 2:
        raise WorkbookError("{} holds {} photograph: at least two are needed, one to train and one to score".format(
            images, len(photographs)))
    return {name: (photographs[name], drawn[name]) for name in sorted(photographs)}


def _files(folder):
    """{id: path} of the picture files in a folder."""
    if not os.path.isdir(folder):
        raise WorkbookError("folder {} does not exist: give the folder that holds the files".format(folder))
    found = {}
    for file in sorted(os.listdir(folder)):
        stem, suffix = os.path.splitext(file)
        image_id, path = re.sub(r"\s+", "_", stem), os.path.join(folder, file)
        if suffix.lower() not in SUFFIXES:
            continue
        if image_id in found:
            raise WorkbookError("{} and {} would bear the same name: rename one".format(found[image_id], path))
        found[image_id] = path
    if not found:
        raise WorkbookError("{} holds no pictures ({}): give the folder of the files themselves".format(folder, " ".join(SUFFIXES)))
    return found


def holds_pictures(folder):
    """Whether a folder has a file that could be a photograph or a mask."""
    return any(name.lower().endswith(SUFFIXES) for name in os.listdir(folder))


def _look(path):
    """(PIL mode reduced to P, L or RGB, {value or colour}) of a mask."""
    image = _opened(path)
    if image.mode == "P":
        return "P", frozenset(np.unique(np.asarray(image)).tolist())
    if image.mode in ("L", "1"):
        return "L", frozenset(np.unique(np.asarray(image.convert("L"))).tolist())
    if image.mode in ("I;16", "I"):
        raise WorkbookError("mask {} has 16 or more bits a pixel: save it with 8, class numbers 0 to 254".format(path))
    seen = image.convert("RGB").getcolors(MOST_COLOURS)
    if seen is None:
        raise WorkbookError("mask {} has more than {} colours: it was smoothed or saved as a JPEG, so edges hold mixed colours; "
                            "save it anew as PNG without smoothing".format(path, MOST_COLOURS))
    return "RGB", frozenset(colour for _, colour in seen)


def _form(looks, pairs):
    """One of the forms in SAID, for all masks together."""
    modes = collections.Counter(mode for mode, _ in looks.values()).most_common()
    mode, rare = modes[0][0], modes[-1][0]
    if rare != mode:
        odd = next(name for name, (other, _) in looks.items() if other == rare)
        raise WorkbookError("masks are of different forms, mode {} in {} and {} in most: save all in one form".format(
            rare, pairs[odd][1], mode))
    if mode == "L" and _values(looks) <= {0, voc.VOID} and voc.VOID in _values(looks):
        return BINARY
    return {"P": PALETTE, "L": INDEX, "RGB": RGB}[mode]


def _values(looks):
    return set().union(*(values for _, values in looks.values()))


def _highest(looks):
    """The highest class number. Numbers with wide gaps are grey shades, not classes."""
    values = sorted(_values(looks) - {voc.VOID})
    if values and values[-1] > 4 * len(values) + 16:
        raise WorkbookError("the masks' values are {}: such wide gaps are shades of grey or a colour map read as grey, not class "
                            "numbers; save the masks as class numbers 0, 1, 2, ... or in colour".format(
                                ", ".join(map(str, values[:8])) + ", ..." * (len(values) > 8)))
    return max(values + [1])


def _colours(looks, given):
    """{colour: class id}; VOC's cream stays 'ignore' unless it was given a class."""
    cream, seen = tuple(int(v) for v in voc.palette()[voc.VOID]), _values(looks)
    if given is None:
        order = sorted(seen - {cream, (0, 0, 0)})
        given = {colour: i for i, colour in enumerate([(0, 0, 0)] + order)}
    unknown = sorted(seen - set(given) - {cream})
    if unknown:
        raise WorkbookError("the masks hold colour {}, which was given no class: name every colour ({} are in the masks)".format(
            unknown[0], len(seen)))
    return given


def _names(classes, count):
    """Names for all class ids. Raises WorkbookError for more names than there are classes in the masks."""
    if len(classes) > count:
        raise WorkbookError("{} class names for {} classes in the masks ({}): is background among the names, as number 0?".format(
            len(classes), count, ", ".join(classes)))
    return tuple(classes) + voc.numbered_names(count)[len(classes):]


def _split(ids, share, seed):
    """{list: ids}, drawn by the seed; both lists get at least one image."""
    if not 0 < share < 1:
        raise WorkbookError("a share of {} of the images for val leaves one list empty: give one between 0 and 1".format(share))
    drawn = [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))]
    size = min(max(round(share * len(ids)), 1), len(ids) - 1)
    return {"train": sorted(drawn[size:]), "val": sorted(drawn[:size]), "trainval": ids}


def _write(root, name, photograph, mask, found):
    """One pair, in the photograph's upright size."""
    image, ids = _upright(photograph), _ids(mask, found)
    if image.size != ids.shape[::-1]:
        raise WorkbookError("mask {} is {}x{}, its photograph {}x{}: save it at the photograph's size, without smoothing".format(
            mask, ids.shape[1], ids.shape[0], *image.size))
    with open(photograph, "rb") as file:
        content = file.read()
    if _must_be_written_anew(photograph):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")  # without loss; TensorFlow tells the form by its bytes, not by the name
        content = buffer.getvalue()
    with open(voc.image_path(root, name), "wb") as file:
        file.write(content)
    voc.write_mask(voc.mask_path(root, name), ids)


def _upright(path):
    return ImageOps.exif_transpose(_opened(path)).convert("RGB")


def _must_be_written_anew(path):
    """Whether TensorFlow would see another picture than a person does: another format, a mark that turns it, other channels."""
    image = _opened(path)
    return image.format not in ("JPEG", "PNG") or image.mode not in ("RGB", "L") or image.getexif().get(0x0112, 1) != 1


def _ids(path, found):
    """Class ids uint8 [h, w] of a mask."""
    image = _opened(path)
    if found.form == PALETTE:
        return np.asarray(image)
    if found.form == INDEX:
        return np.asarray(image.convert("L"))
    if found.form == BINARY:
        return (np.asarray(image.convert("L")) == 255).astype(np.uint8)
    rgb = np.asarray(image.convert("RGB"))
    ids = np.full(rgb.shape[:2], voc.VOID, np.uint8)
    for colour, class_id in found.colours.items():
        ids[(rgb == colour).all(axis=2)] = class_id
    return ids


def _opened(path):
    try:
        image = Image.open(path)
        image.load()
        return image
    except (OSError, ValueError, SyntaxError) as error:
        raise WorkbookError("{} cannot be read as a picture ({}): replace the file".format(path, error))


def read_colours(path):
    """({(r, g, b): class id}, [names]) of a JSON file {"name": [r, g, b], ...}, in its order; the first is number 0."""
    try:
        with open(path) as file:
            named = json.load(file)
        table = {tuple(int(v) for v in colour): i for i, colour in enumerate(named.values())}
        if any(len(colour) != 3 or not all(0 <= v <= 255 for v in colour) for colour in table) or len(table) < len(named):
            raise ValueError("each class needs a colour of its own, three numbers 0..255")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise WorkbookError('colours {} cannot be used ({}): write {{"background": [0, 0, 0], "name": [r, g, b]}}'.format(path, error))
    return table, list(named)
