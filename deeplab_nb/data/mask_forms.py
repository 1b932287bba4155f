"""What form masks have that are pictures, and what they say in each.

Masks of class numbers and masks of colours look alike to many programs, so that a wrong guess is
easily made and seen late: a form that is not certain is refused.
"""

import collections

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.progress import in_threads

MOST_COLOURS = 64  # more than any painter chose: the file was smoothed or saved as a JPEG

PALETTE, INDEX, BINARY, RGB, OUTLINES = "palette", "index", "0/255", "rgb", "outlines"
SAID = {
    PALETTE: "palette PNGs: the stored numbers are the classes, the colours come from a table "
    "beside them",
    INDEX: "grey PNGs: the grey values are the classes (they look black, and are not)",
    BINARY: "only 0 and 255: 255 is taken for class 1, for as a class number it would mean "
    "'ignore'",
    RGB: "colours: each one is a class",
    OUTLINES: "outlines: each label is a class",
}


def find(masks, classes=(), colours=None):
    """(form, {colour: class id}, class names) of {id: path}, all masks together.

    classes, colours: as for `own.convert`. Raises WorkbookError for a form that is not certain, a
    colour of no class, and more names than there are classes.
    """
    looks = dict(zip(masks, in_threads(_look, list(masks.values()), label="reading masks")))
    form = _form(looks, masks)
    table = _colours(looks, colours) if form == RGB else {}
    highest = max(table.values()) if table else 1 if form == BINARY else _highest(looks)
    return form, table, _names(classes, highest + 1)


def read(path, form, colours):
    """Class ids uint8 [h, w] of a mask of that form."""
    if form != RGB:
        ids, _ = voc.read_mask(path)
        return (ids == 255).astype(np.uint8) if form == BINARY else ids
    rgb = voc.read_image(path)
    ids = np.full(rgb.shape[:2], voc.VOID, np.uint8)
    for colour, class_id in colours.items():
        ids[(rgb == colour).all(axis=2)] = class_id
    return ids


def _look(path):
    """(PIL mode reduced to P, L or RGB, {value or colour}) of a mask."""
    with voc.opened(path, "mask") as image:
        if image.mode in ("I;16", "I"):
            raise WorkbookError(
                f"mask {path} has 16 or more bits a pixel: save it with 8, class numbers 0 to 254"
            )
        if image.mode == "1":
            image = image.convert("L")
        if image.mode in ("P", "L"):
            return image.mode, set(np.unique(np.asarray(image)).tolist())
        seen = image.convert("RGB").getcolors(MOST_COLOURS)
    if seen is None:
        raise WorkbookError(
            f"mask {path} has more than {MOST_COLOURS} colours: it was smoothed or saved as a "
            "JPEG, so edges hold mixed colours; save it anew as PNG without smoothing"
        )
    return "RGB", {colour for _, colour in seen}


def _form(looks, masks):
    """One of the forms in SAID, for all masks together."""
    modes = collections.Counter(mode for mode, _ in looks.values()).most_common()
    mode, rare = modes[0][0], modes[-1][0]
    if rare != mode:
        odd = next(name for name, (other, _) in looks.items() if other == rare)
        raise WorkbookError(
            f"masks are of different forms, mode {rare} in {masks[odd]} and "
            f"{mode} in most: save all in one form"
        )
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
            "colour"
        )
    return max(values + [1])


def _colours(looks, given):
    """{colour: class id}; VOC's cream stays 'ignore' unless it was given a class."""
    cream, seen = tuple(voc.palette()[voc.VOID].tolist()), _values(looks)
    if given is None:
        order = sorted(seen - {cream, (0, 0, 0)})
        given = {colour: i for i, colour in enumerate([(0, 0, 0)] + order)}
    unknown = sorted(seen - set(given) - {cream})
    if unknown:
        raise WorkbookError(
            f"the masks hold colour {unknown[0]}, which was given no class: name "
            f"every colour ({len(seen)} are in the masks)"
        )
    return given


def _names(classes, count):
    """Names for all class ids. Raises WorkbookError for more than the masks have classes."""
    if len(classes) > count:
        raise WorkbookError(
            f"{len(classes)} class names for {count} classes in the masks ({', '.join(classes)}): "
            "is background among the names, as number 0?"
        )
    return tuple(classes) + voc.numbered_names(count)[len(classes) :]
