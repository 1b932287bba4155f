"""Photographs and masks of your own, in whatever form they come, laid out as VOC lays out its own.

Looks before it writes: what form the masks have, which values or colours, which sizes. Every wrong
guess at this point becomes a bad score much later, so a form that is not certain is refused.
"""

import os
import re
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

import numpy as np

from deeplab_nb.data import mask_forms, outlines, pictures, voc
from deeplab_nb.data.pictures import SUFFIXES
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import beside, read_json, write_lines
from deeplab_nb.progress import in_threads

CLASSES = "_classes.csv"  # of Roboflow, where masks lie beside photographs as NAME_mask.png


class Found(NamedTuple):
    """What the masks turned out to be.

    classes: names by id; colours: {colour: class id}, of RGB masks; counts: of lists;
    bad: sentences about shapes that were left out.
    """

    form: str
    classes: Tuple[str, ...]
    colours: Dict[tuple, int]
    counts: Dict[str, int]
    bad: Tuple[str, ...] = ()

    def __str__(self):
        named = {class_id: f"  {colour}" for colour, class_id in self.colours.items()}
        return "\n".join(
            [f"the masks are {mask_forms.SAID[self.form]}"]
            + [f"  {i:3d} {name}{named.get(i, '')}" for i, name in enumerate(self.classes)]
            + [f"{name}: {count} images" for name, count in self.counts.items()]
            + [f"{len(self.bad)} shapes were left out:" for _ in self.bad[:1]]
            + [f"  {sentence}" for sentence in self.bad]
        )


def convert(
    images,
    masks,
    out,
    *,
    classes=(),
    colours=None,
    val_share=0.2,
    seed=1,
    strict=False,
    ignore=None,
    shift=0,
):
    """Lays photographs and masks of the same names out under `out`; returns what was `Found`.

    masks: a folder of pictures, one of labelme's files, which may be that of the photographs, or a
    file of COCO's. classes: names from background on; missing ones are numbered, or outlines'
    labels, background put in front where the first is drawn. strict: a shape that cannot be
    drawn stops all. colours: {(r, g, b): class id} of RGB masks; None gives black 0 and the others
    numbers in the order of their values. val_share: of the images that go into the list
    val, the same ones for a seed. ignore: a class id of the masks that neither trains nor counts,
    beside 255; shift: what is added to the others.
    Built beside and renamed. Raises WorkbookError for a photograph without mask or the other way
    round, a form that cannot be told, sizes that differ, names that would collide, shapes of no
    class, and for `out` if anything is there.
    """
    out = os.path.abspath(out)
    if os.path.lexists(out + ".part"):
        raise WorkbookError(
            f"{out}.part is there already, of a convert that writes or was stopped: "
            "name another --out, or move it away"
        )
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise WorkbookError(
            f"{out} holds something already: name a new folder for the converted set"
        )
    outlined = _are_outlines(images, masks)
    if outlined and (shift or ignore is not None):
        raise WorkbookError(
            f"{masks} holds outlines, whose classes are names: leave out --ignore and --shift"
        )
    if outlined:
        read, labels = outlines.read(masks)
        drawn = _by_id((one.name, one) for one in read)
    else:
        drawn = _files(masks, masks=True)
    pairs = _pairs(images, masks, drawn)
    lists = _split(list(pairs), val_share, seed)
    if outlined:
        form, table, classes = mask_forms.OUTLINES, {}, _classes(classes or labels, labels)
    else:
        form, table, classes = mask_forms.find(drawn, classes, colours, ignore, shift)
    found = Found(form, classes, table, {name: len(ids) for name, ids in lists.items()})
    with beside(out) as part:
        _fill(part, pairs, lists, found, strict)
    bad = [sentence for one in drawn.values() for sentence in getattr(one, "bad", ())]
    return found._replace(bad=tuple(bad))


def _classes(names, labels):
    """Names with background in front: what no shape covers is 0, so no drawn label may be."""
    if names and names[0] not in labels:
        return tuple(names)
    return ("background", *(name for name in names if name not in outlines.NO_CLASS))


def _are_outlines(images, masks):
    """Whether outlines take the masks' place; with masks, a JSON file holds something else."""
    if not os.path.isdir(masks):
        return masks.lower().endswith(".json")
    names = [name.lower() for name in os.listdir(masks)]
    beside_photographs = os.path.realpath(masks) == os.path.realpath(images)
    return any(name.endswith(".json") for name in names) and (
        beside_photographs or not any(map(_is_picture, names))
    )


def _is_picture(name):
    return name.lower().endswith(SUFFIXES)


def _fill(root, pairs, lists, found, strict):
    """Photographs, masks, lists and class names, under a root that is new."""
    voc.make_folders(root)
    in_threads(
        lambda name: _write(root, name, *pairs[name], found, strict), list(pairs), label="writing"
    )
    for name, ids in lists.items():
        write_lines(voc.list_path(root, name), ids)
    write_lines(os.path.join(root, voc.NAMES), found.classes)


def _pairs(images, masks, drawn):
    """{id: (photograph, mask)} of those that bear the same name."""
    photographs = _files(images)
    for ours, theirs, what, other in (
        (photographs, drawn, "photograph", masks),
        (drawn, photographs, "mask", images),
    ):
        alone = sorted(set(ours) - set(theirs))
        if alone:
            raise WorkbookError(
                f"{what} {ours[alone[0]]} has no partner of that name in {other} "
                f"({len(alone)} such): add it, or take the file out"
            )
    if len(photographs) < 2:
        raise WorkbookError(
            f"{images} holds {len(photographs)} photograph: at least two are "
            "needed, one to train and one to score"
        )
    return {name: (photographs[name], drawn[name]) for name in sorted(photographs)}


def _files(folder, masks=False):
    """{id: path} of the picture files in a folder."""
    if not os.path.isdir(folder):
        raise WorkbookError(f"folder {folder} does not exist: give the folder that holds the files")
    both = CLASSES in os.listdir(folder)
    paths = [
        os.path.join(folder, name)
        for name in sorted(os.listdir(folder))
        if _is_picture(name) and (not both or name.endswith("_mask.png") == masks)
    ]
    if not paths:
        raise WorkbookError(
            f"{folder} holds no pictures ({' '.join(SUFFIXES)}): give the folder "
            "of the files themselves"
        )
    return _by_id((path.replace("_mask.png", ".png") if both else path, path) for path in paths)


def _by_id(items):
    """{id: item} of pairs (file name, item); an id holds no blanks, for lists are split at them."""
    found = {}
    for path, item in items:
        image_id = re.sub(r"\s+", "_", os.path.splitext(os.path.basename(path))[0])
        if image_id in found:
            raise WorkbookError(
                f"{found[image_id]} and {path} would bear the same name: rename one"
            )
        found[image_id] = item
    return found


def _split(ids, share, seed):
    """{list: ids}, drawn by the seed; both lists get at least one image."""
    if not 0 < share < 1:
        raise WorkbookError(
            f"a share of {share} of the images for val leaves one list empty: give "
            "one between 0 and 1"
        )
    drawn = [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))]
    size = min(max(round(share * len(ids)), 1), len(ids) - 1)
    return {"train": sorted(drawn[size:]), "val": sorted(drawn[:size]), "trainval": ids}


def _write(root, name, photograph, mask, found, strict):
    """One pair, in the photograph's upright size."""
    height, width = pictures.image_size(photograph)
    if found.form == mask_forms.OUTLINES:
        ids = outlines.draw(mask, found.classes, size=(height, width), strict=strict)
    else:
        ids = mask_forms.read(mask, found.form, found.colours)
    if (height, width) != ids.shape:
        raise WorkbookError(
            f"mask {mask} is {ids.shape[1]}x{ids.shape[0]}, its photograph {width}x{height}: save "
            "it at the photograph's size, without smoothing"
        )
    Path(voc.image_path(root, name)).write_bytes(pictures.as_trained(photograph))
    voc.write_mask(voc.mask_path(root, name), ids)


def _labelmap(path):
    """{name: (r, g, b)}, background first, of CVAT's lines `name:r,g,b:parts:actions`."""
    lines = Path(path).read_text("utf-8-sig").splitlines()
    fields = [line.split(":") for line in lines if line.strip() and not line.startswith("#")]
    fields.sort(key=lambda field: field[0] not in outlines.NO_CLASS)
    return {field[0]: field[1].split(",") for field in fields}


def read_names(path):
    """[name] by class number of Roboflow's lines `number, name`, after a line of titles."""
    lines = voc.read_text(path).splitlines()[1:]
    rows = dict(line.strip().split(",", 1) for line in lines if "," in line)
    return [rows.get(str(i), f"class {i}").strip() for i in range(len(rows))]


def read_colours(path):
    """({(r, g, b): class id}, [names]) of a JSON file {"name": [r, g, b], ...}, in its order, or of
    CVAT's labelmap.txt."""
    try:
        named = _labelmap(path) if path.endswith(".txt") else read_json(path)
        table = {tuple(int(v) for v in colour): i for i, colour in enumerate(named.values())}
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
