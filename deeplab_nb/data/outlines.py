"""Masks as outlines: labelme's files, one for each photograph, and COCO's, one for all.

pycocotools tells which pixels lie inside. A pixel belongs to the shape drawn last: in labelme's
order, in COCO's the smallest. What COCO calls a crowd, and labelme's __ignore__, is left out of
loss and score.
"""

import contextlib
import glob
import json
import os
from typing import NamedTuple, Tuple

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError

LABELME, COCO = "labelme", "COCO"
IGNORED = "__ignore__"
NO_CLASS = {"background": 0, "_background_": 0, IGNORED: voc.VOID}  # the last two are labelme's


class Outlines(NamedTuple):
    """One photograph's shapes: [(label, segmentation as COCO has it)]."""

    kind: str
    name: str  # of the photograph's file
    source: str  # the file that holds the shapes
    size: Tuple[int, int]  # height, width
    shapes: list

    def __str__(self):
        return f"drawn from {self.source}"


def read(path):
    """([Outlines], labels) of a folder of labelme's files or of one file of COCO's.

    labels: those that occur, labelme's by alphabet, COCO's by number. Raises WorkbookError for a
    file that cannot be read.
    """
    if not os.path.isdir(path):
        with _readable(path, COCO):
            return _coco(path, _json(path))
    found = []
    for file in sorted(glob.glob(os.path.join(glob.escape(path), "*.json"))):
        with _readable(file, LABELME):
            found.append(_labelme(file, _json(file)))
    return found, sorted(_labels(found))


def draw(outlines, classes):
    """Class ids uint8 [height, width]; classes: names by id.

    Raises WorkbookError for a shape without an inside, and for one of no class.
    """
    ids = dict(NO_CLASS, **{name: number for number, name in enumerate(classes)})
    for label, _ in outlines.shapes:
        if label not in ids:
            raise WorkbookError(
                f"{outlines.source} has a shape of '{label}', which is not among the classes "
                f"{', '.join(classes)}: name it, or take it out"
            )
    with _readable(outlines.source, outlines.kind):
        shapes = [
            (ids[label], _inside(segmentation, outlines.size))
            for label, segmentation in outlines.shapes
        ]
    if outlines.kind == COCO:
        shapes.sort(key=lambda shape: -shape[1].sum())
    mask = np.zeros(outlines.size, np.uint8)
    for class_id, inside in shapes:
        mask[inside] = class_id
    return mask


def _labels(found):
    return {label for outlines in found for label, _ in outlines.shapes} - set(NO_CLASS)


def _labelme(path, values):
    size = values["imageHeight"], values["imageWidth"]
    shapes = [(shape["label"], [_corners(shape)]) for shape in values["shapes"]]
    return Outlines(LABELME, path, path, size, shapes)


def _corners(shape):
    """Of a labelme shape, [x, y, x, y, ...]."""
    points, kind = shape["points"], shape.get("shape_type") or "polygon"
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind != "polygon":
        raise ValueError(f"a {kind} has no inside: draw polygons and rectangles")
    return [float(value) for point in points for value in point]


def _coco(path, values):
    entries = sorted(values["categories"], key=lambda entry: entry["id"])
    names = {entry["id"]: entry["name"] for entry in entries}
    shapes = {entry["id"]: [] for entry in values["images"]}
    for entry in values["annotations"]:
        label = IGNORED if entry.get("iscrowd") else names[entry["category_id"]]
        shapes[entry["image_id"]].append((label, entry["segmentation"]))
    found = []
    for entry in values["images"]:
        size = entry["height"], entry["width"]
        found.append(Outlines(COCO, entry["file_name"], path, size, shapes[entry["id"]]))
    used = _labels(found)
    return found, [name for name in names.values() if name in used]


def _inside(segmentation, size):
    """bool [height, width] of COCO's polygons, or of its run lengths, packed or not."""
    from pycocotools import mask  # compiled, and wanted here only

    if isinstance(segmentation, list):
        points = min(len(outline) // 2 for outline in segmentation) if segmentation else 0
        if points < 3:
            raise ValueError(f"a polygon of {points} points has no inside")
        packed = mask.merge(mask.frPyObjects(segmentation, *size))
    elif isinstance(segmentation["counts"], list):
        packed = mask.frPyObjects(segmentation, *size)
    else:
        packed = segmentation
    inside = mask.decode(packed).astype(bool)
    if inside.shape != tuple(size):
        (height, width), (rows, columns) = inside.shape, size
        raise ValueError(f"a shape is of {width}x{height} pixels, its image of {columns}x{rows}")
    return inside


def _json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@contextlib.contextmanager
def _readable(path, kind):
    try:
        yield
    except Exception as error:  # pycocotools raises no kind of its own, and JSON may hold anything
        raise WorkbookError(
            f"{path} cannot be read as {kind}'s ({type(error).__name__}: {error}): "
            "export it anew, or take it out"
        )
