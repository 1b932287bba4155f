"""Photographs and masks of your own, in whatever form they come, laid out as VOC lays out its own.

Looks before it writes: what form the masks have, which values or colours, which sizes. Every wrong
guess at this point becomes a bad score much later, so a form that is not certain is refused.
"""

import collections
import os
from pathlib import Path
from typing import Dict, NamedTuple, Tuple

import numpy as np

from deeplab_nb.data import mask_forms, outlines, pairing, pictures, voc
from deeplab_nb.data.pairing import LISTS
from deeplab_nb.errors import LeftOut, WorkbookError
from deeplab_nb.files import beside, write_lines
from deeplab_nb.progress import in_threads

read_colours = mask_forms.read_colours  # beside `convert`, which wants them


class Found(NamedTuple):
    """What the masks turned out to be.

    classes: names by id; colours: {colour: class id}, of RGB masks; counts: of lists;
    notes: sentences about what the files do not say; bad: about entries that were left out.
    """

    form: str
    classes: Tuple[str, ...]
    colours: Dict[tuple, int]
    counts: Dict[str, int]
    notes: Tuple[str, ...] = ()
    bad: Tuple[str, ...] = ()

    def __str__(self):
        named = {class_id: f"  {colour}" for colour, class_id in self.colours.items()}
        return "\n".join(
            [f"the masks are {mask_forms.SAID[self.form]}"]
            + [f"  {i:3d} {name}{named.get(i, '')}" for i, name in enumerate(self.classes)]
            + [f"{name}: {count} images" for name, count in self.counts.items()]
            + list(self.notes)
            + [f"{len(self.bad)} shapes or entries were left out:" for _ in self.bad[:1]]
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
    unlabelled=None,
):
    """Lays photographs and masks of the same paths out under `out`; returns what was `Found`.

    images, masks: folders, or one that holds both; masks may also be a file of COCO's, or hold
    files of labelme's or COCO's. classes: names from background on; missing ones are numbered, or
    outlines' labels, background put in front where they lack it. strict: an entry that cannot be
    read stops all. colours: {(r, g, b): class id} of RGB masks; None gives black 0 and the others
    numbers in the order of their values. Without either, CVAT's labelmap.txt and Roboflow's
    _classes.csv are followed. unlabelled: what becomes of photographs without annotation,
    'background' or 'leave-out'; None: background where outlines list them, left out where they do
    not, refused without a mask. Folders of train, valid and test become lists; else val_share of
    the images go into the list val, the same ones for a seed. ignore: a class id of the masks that
    neither trains nor counts, beside 255; shift: what is added to the others.
    Built beside and renamed. Raises WorkbookError for a mask without photograph, a form that cannot
    be told, sizes that differ, names that would collide, shapes of no class, and for `out` if
    anything is there.
    """
    images, masks, out = os.path.realpath(images), os.path.realpath(masks), os.path.abspath(out)
    if os.path.lexists(out + ".part"):
        raise WorkbookError(
            f"{out}.part is there already, of a convert that writes or was stopped: "
            "name another --out, or move it away"
        )
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise WorkbookError(
            f"{out} holds something already: name a new folder for the converted set"
        )
    paths = pairing.sides(images, masks)
    outlined = paths[2]
    if outlined and (shift or ignore is not None):
        raise WorkbookError(
            f"{masks} holds outlines, whose classes are names: leave out --ignore and --shift"
        )
    left_out = LeftOut(strict)
    pairs, labels, notes = pairing.find(images, masks, paths, unlabelled, left_out)
    lists = _lists(pairs, val_share, seed, notes)
    if outlined:
        form, table, named = mask_forms.OUTLINES, {}, _classes(classes or labels, labels)
    else:
        told = []
        if not colours:
            colours, told = mask_forms.told_beside(masks, paths[3], left_out)
        drawn = {key: mask for key, (_, mask, _) in pairs.items() if mask}
        form, table, named = mask_forms.find(drawn, classes, colours, ignore, shift)
        if not (classes or shift):
            named = (*told, *named[len(told) :])
    if classes and named[1 : len(classes) + 1] == tuple(classes):
        notes.append("background, which the class names lack, was put in front")
    found = Found(form, named, table, {name: len(ids) for name, ids in lists.items()})
    with beside(out) as part:
        _fill(part, pairs, lists, found, left_out)
    return found._replace(notes=tuple(notes), bad=tuple(sorted(left_out)))


def _classes(names, labels):
    """Names with background in front: what no shape covers is 0, so no drawn label may be."""
    if names and names[0] not in labels:
        return tuple(names)
    return ("background", *(name for name in names if name not in outlines.NO_CLASS))


def _lists(pairs, share, seed, notes):
    """{list: ids}, by folders of lists where there are several, else drawn by the seed."""
    told = collections.defaultdict(list)
    for key, (_, _, name) in pairs.items():
        told[name].append(key)
    lists = {name: told[name] for name in LISTS if name in told}
    if len(lists) < 2:
        lists = {"train": list(pairs)}
    elif None in told or "train" not in told:
        stray = f"{told[None][0]} lies in none" if None in told else "none is named train"
        raise WorkbookError(
            f"folders name the lists {', '.join(lists)}, but {stray}: give each image its list, or "
            "other names to the folders"
        )
    else:
        notes.append(f"{', '.join(lists)} are the lists that the folders name")
    if "val" not in lists:
        lists.update(_split(lists["train"], share, seed))
    return dict(lists, trainval=sorted(lists["train"] + lists["val"]))


def _split(ids, share, seed):
    """{list: ids}, drawn by the seed; both lists get at least one image."""
    if len(ids) < 2:
        raise WorkbookError(
            f"{len(ids)} photograph is to be trained: at least two are needed, one to train and "
            "one to score"
        )
    if not 0 < share < 1:
        raise WorkbookError(
            f"a share of {share} of the images for val leaves one list empty: give "
            "one between 0 and 1"
        )
    drawn = [ids[i] for i in np.random.RandomState(seed).permutation(len(ids))]
    size = min(max(round(share * len(ids)), 1), len(ids) - 1)
    return {"train": sorted(drawn[size:]), "val": sorted(drawn[:size])}


def _fill(root, pairs, lists, found, left_out):
    """Photographs, masks, lists and class names, under a root that is new."""
    voc.make_folders(root)
    shapes = sum(len(getattr(mask, "shapes", "")) for _, mask, _ in pairs.values())
    most = len(left_out) + shapes
    in_threads(
        lambda name: _write(root, name, *pairs[name][:2], found, left_out),
        list(pairs),
        label="writing",
    )
    if found.form == mask_forms.OUTLINES and len(left_out) == most:
        raise WorkbookError(
            f"no shape can be drawn, {', '.join(left_out[-1:]) or 'there is none'}: export "
            "polygons or masks"
        )
    for name, ids in lists.items():
        write_lines(voc.list_path(root, name), ids)
    write_lines(os.path.join(root, voc.NAMES), found.classes)


def _write(root, name, photograph, mask, found, left_out):
    """One pair, in the photograph's upright size."""
    photograph = photograph or outlines.photograph(mask)
    size = pictures.image_size(photograph)
    if mask is None:
        ids = np.zeros(size, np.uint8)
    elif found.form == mask_forms.OUTLINES:
        ids = outlines.draw(mask, found.classes, left_out, size=size)
    else:
        ids = mask_forms.read(mask, found.form, found.colours)
    if size != ids.shape:
        raise WorkbookError(
            f"mask {mask} is {ids.shape[1]}x{ids.shape[0]}, its photograph {size[1]}x{size[0]}: "
            "save it at the photograph's size, without smoothing"
        )
    path = voc.image_path(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_bytes(pictures.as_trained(photograph))
    voc.write_mask(voc.mask_path(root, name), ids)
