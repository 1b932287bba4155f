"""What form masks have that are pictures, and what they say in each.

Masks of class numbers and masks of colours look alike to many programs, so that a wrong guess is
easily made and seen late: a form that is not certain is refused.
"""

import collections
import os

import numpy as np
from PIL import Image

from deeplab_nb.data import pictures, voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import read_json
from deeplab_nb.progress import in_threads

SPECKLED = 8  # values from which on a grey mask is looked at for single pixels
MOST_COLOURS = 64  # more than any painter chose: the file was smoothed or saved as a JPEG
SMOOTHED = (
    "mask {} has {}: it was smoothed or saved as a JPEG, so edges hold mixed values; save it anew "
    "as PNG without smoothing"
)

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
LABELMAP, CLASSES = "labelmap.txt", "_classes.csv"  # CVAT's colours, Roboflow's numbers
_CREAM = tuple(voc.palette()[voc.VOID].tolist())


def find(masks, classes=(), colours=None, ignore=None, shift=0):
    """(form, {stored number or colour: class id}, class names) of {id: path}, all masks together.

    The table is {} where the stored numbers are the ids. classes, colours, ignore, shift: as for
    `own.convert`. Raises WorkbookError for a form that is not certain, a colour of no class, a
    number that the shift takes out of 0 to 254, and more names than there are classes.
    """
    looks = dict(zip(masks, in_threads(_look, list(masks.values()), label="reading masks")))
    seen = set().union(*(pairs for _, pairs in looks.values()))  # (stored, its colour)
    form = _form(looks, masks, seen, colours, ignore)
    if form == RGB:
        table = _colours({colour for _, colour in seen}, colours)
    elif form == BINARY:
        table = {0: 0, voc.VOID: 1}
    else:
        stored = {number if form == PALETTE else colour[0] for number, colour in seen}
        table = {number: number for number in sorted(stored - {voc.VOID})}
        _refuse_gaps(table)
    moved = {key: class_id + shift for key, class_id in table.items() if class_id != ignore}
    for key, class_id in moved.items():
        if not 0 <= class_id < voc.VOID:
            raise WorkbookError(
                f"class {table[key]} of the masks becomes {class_id} by --shift {shift}, where "
                f"0 to 254 are classes: shift otherwise, or give --ignore {table[key]} as well"
            )
    names = _names(classes, max([*moved.values(), 1]) + 1, moved != table)
    return form, {} if form in (PALETTE, INDEX) and moved == table else moved, names


def read(path, form, table):
    """Class ids uint8 [h, w] of a mask of that form."""
    stored = pictures.read_stored(path)
    if form == RGB:
        ids = voc.by_colour(stored.colours, table).astype(np.uint8)  # -1 becomes VOID
        if stored.mode == "P":
            ids[stored.numbers == voc.VOID] = voc.VOID
        return ids
    ids = stored.numbers if form == PALETTE else stored.colours[..., 0]
    if table:
        ids = np.array([table.get(i, voc.VOID) for i in range(256)], np.uint8)[ids]
    return ids


def _look(path):
    """(mode of its `pictures.Stored`, {(stored number or colour, colour)}) of a mask."""
    stored = pictures.read_stored(path)
    if stored.numbers is None:
        found = Image.fromarray(stored.colours).getcolors(MOST_COLOURS)
        if found is None:
            raise WorkbookError(SMOOTHED.format(path, f"more than {MOST_COLOURS} colours"))
        return stored.mode, {(colour, colour) for _, colour in found}
    pairs = stored.pairs
    if stored.mode != "P" and len(pairs) >= SPECKLED and _speckled(stored.numbers):
        raise WorkbookError(SMOOTHED.format(path, f"{len(pairs)} values, most in single pixels"))
    return stored.mode, set(pairs.items())


def _speckled(values):
    """Whether most values of a grey mask stand in single pixels, as those of no painted class do.

    So do a JPEG's along edges (0.8 and more of the values at any quality), also saved as PNG.
    """
    padded = np.pad(values.astype(np.int16), 1, "constant", constant_values=-1)
    beside = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    alone = np.all([values != neighbour for neighbour in beside], axis=0)
    counts, singles = (np.bincount(v, minlength=256) for v in (values.ravel(), values[alone]))
    return (2 * singles >= counts)[counts > 0].mean() > 0.5


def _form(looks, masks, seen, given, ignore):
    """One of the forms in SAID, for all masks together."""
    modes = collections.Counter(mode for mode, _ in looks.values()).most_common()
    (mode, _), (rare, _) = modes[0], modes[-1]
    colours = {colour for _, colour in seen}
    if given and ("RGB" in dict(modes) or colours <= {*given, _CREAM}):
        return RGB
    # one colour a number, or each file has a palette of its own
    if mode == rare == "P" and len(dict(seen)) == len(seen):
        return PALETTE
    greys = {colour[0] for colour in colours}
    if all(len(set(colour)) == 1 for colour in colours) and (mode == "L" or not _has_gaps(greys)):
        return BINARY if ignore is None and {voc.VOID} <= greys <= {0, voc.VOID} else INDEX
    if rare != mode:
        odd = next(name for name, (other, _) in looks.items() if other == rare)
        raise WorkbookError(
            f"masks are of different forms, mode {rare} in {masks[odd]} and "
            f"{mode} in most: save all in one form"
        )
    return RGB


def _has_gaps(numbers):
    """Whether numbers are so far apart that they are shades of grey and no classes."""
    classes = set(numbers) - {voc.VOID}
    return max(classes, default=0) > 4 * len(classes) + 16


def _refuse_gaps(numbers):
    if _has_gaps(numbers):
        shown = ", ".join(map(str, list(numbers)[:8])) + ", ..." * (len(numbers) > 8)
        raise WorkbookError(
            f"the masks' values are {shown}: such wide gaps are shades of grey or a colour map "
            "read as grey, not class numbers; save the masks as class numbers 0, 1, 2, ... or in "
            "colour"
        )


def _colours(seen, given):
    """{colour: class id}; VOC's cream stays 'ignore' unless it was given a class."""
    if given is None:
        order = sorted(seen - {_CREAM, (0, 0, 0)})
        given = {colour: i for i, colour in enumerate([(0, 0, 0)] + order)}
    unknown = sorted(seen - set(given) - {_CREAM})
    if unknown:
        raise WorkbookError(
            f"the masks hold colour {unknown[0]}, which was given no class: name "
            f"every colour ({len(seen)} are in the masks)"
        )
    return given


def _names(classes, count, moved):
    """Names for all class ids, background put in front where it lacks and one name does.

    Raises WorkbookError for more than the masks have classes.
    """
    if len(classes) > count:
        raise WorkbookError(
            f"{len(classes)} class names for {count} classes in the masks ({', '.join(classes)}): "
            "is background among the names, as number 0?"
        )
    first = classes[0].lower().strip("_") if classes else "background"
    if len(classes) < count and not moved and first != "background":
        classes = ("background", *classes)
    return tuple(classes) + voc.numbered_names(count)[len(classes) :]


def told_beside(masks, files, left_out):
    """({colour: class id} or None, [names]) by all LABELMAP or CLASSES of the masks' files.

    A LABELMAP may lie beside the masks' folder.
    """
    above = os.path.join(os.path.dirname(os.path.abspath(masks)), LABELMAP)
    files = sorted({*files, *filter(os.path.isfile, [above])})
    maps, tables = ([f for f in files if f.endswith(f"/{name}")] for name in (LABELMAP, CLASSES))
    return read_colours(*maps) if maps else (None, read_names(tables, left_out))


def read_names(paths, left_out):
    """[name] by class number of Roboflow's lines `number, name`, after a line of titles."""
    names = {}
    for path in paths:
        for number, line in enumerate(voc.read_text(path).splitlines()[1:], 2):
            if not line.strip():
                continue
            with left_out.unless(f"{path}: line {number}", line):
                number, name = line.split(",", 1)
                class_id, name = range(voc.VOID).index(int(number)), name.strip()
                if names.setdefault(class_id, name) != name:
                    raise WorkbookError(
                        f"{path} calls class {class_id} {name}, which is {names[class_id]} before: "
                        "give all splits one numbering"
                    )
    return [names.get(i, f"class {i}") for i in range(max(names, default=-1) + 1)]


def _labelmap(path):
    """{name: (r, g, b)}, background first, of CVAT's lines `name:r,g,b:parts:actions`."""
    lines = voc.read_text(path).splitlines()
    fields = [line.split(":") for line in lines if line.strip() and not line.startswith("#")]
    fields.sort(key=lambda field: field[0] != "background")
    return {field[0]: field[1].split(",") for field in fields}


def read_colours(*paths):
    """({(r, g, b): class id}, [names]) of JSON files {"name": [r, g, b], ...} or CVAT's LABELMAP.

    Ids follow the order there. Raises WorkbookError where files contradict each other.
    """
    named = {}
    try:
        for path in paths:
            told = _labelmap(path) if path.endswith(".txt") else read_json(path)
            for name, colour in told.items():
                colour = tuple(int(v) for v in colour)
                if named.setdefault(name, colour) != colour:
                    raise ValueError(f"{name} is {colour}, and {named[name]} in {paths[0]}")
        table = {colour: i for i, colour in enumerate(named.values())}
        if len(table) < len(named) or any(
            len(colour) != 3 or min(colour) < 0 or max(colour) > 255 for colour in table
        ):
            raise ValueError("each class needs a colour of its own, three numbers 0..255")
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        raise WorkbookError(
            f"colours {path} cannot be used ({error}): write "
            '{"background": [0, 0, 0], "name": [r, g, b]}'
        )
    return table, list(named)
