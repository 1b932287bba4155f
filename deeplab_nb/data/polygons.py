"""Masks from outlines: labelme's files, one for each photograph, and COCO's, one for all.

pycocotools tells which pixels lie inside. A pixel belongs to the shape drawn last: in labelme's order, in COCO's the
smallest. What COCO calls a crowd, and labelme's __ignore__, is left out of loss and score.
"""
import contextlib
import glob
import json
import os
import tempfile

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.data.own import holds_pictures
from deeplab_nb.errors import WorkbookError

NO_CLASS = {"background": 0, "_background_": 0, "__ignore__": voc.VOID}  # the last two are labelme's own names


@contextlib.contextmanager
def drawn(images, annotations, classes=()):
    """`(folder of masks, class names)` while the block lasts; a folder that holds masks already is handed on as it is.

    annotations: a COCO file or a folder of labelme files, which may be that of the photographs, `images`. classes: names
    from background on; without them they are COCO's by number, labelme's by alphabet. Raises WorkbookError for a file that
    cannot be read, a shape without an inside, and a label that is not among the classes.
    """
    files = sorted(glob.glob(os.path.join(glob.escape(annotations), "*.json")))
    if files and os.path.realpath(annotations) != os.path.realpath(images) and holds_pictures(annotations):
        files = []  # masks, and some other JSON beside them
    if not annotations.lower().endswith(".json") and not files:
        yield annotations, list(classes)
        return
    pictures, labels = _labelme(files) if files else _coco(annotations)
    names = list(classes) or ["background"] + labels
    ids = dict(NO_CLASS, **{name: number for number, name in enumerate(names)})
    with tempfile.TemporaryDirectory() as folder:
        folder = os.path.join(folder, "drawn from " + os.path.basename(os.path.abspath(annotations)))  # errors name its files
        os.mkdir(folder)
        for stem, source, size, shapes in pictures:
            mask = np.zeros(size, np.uint8)
            for label, inside in shapes:
                if label not in ids:
                    raise WorkbookError("{} has a shape of '{}', which is not among the classes {}: name it, or take it out".format(
                        source, label, ", ".join(names)))
                mask[inside] = ids[label]
            voc.write_mask(os.path.join(folder, stem + ".png"), mask)
        yield folder, names


def _labelme(files):
    """([(stem, file, size, [(label, bool [height, width])])], labels)."""
    pictures = []
    for path in files:
        with _readable(path, "labelme"):
            values = _json(path)
            size = values["imageHeight"], values["imageWidth"]
            shapes = [(shape["label"], _inside([_outline(shape)], size)) for shape in values["shapes"]]
            pictures.append((os.path.splitext(os.path.basename(path))[0], path, size, shapes))
    return pictures, sorted({label for *_, shapes in pictures for label, _ in shapes} - set(NO_CLASS))


def _outline(shape):
    """Corners of a labelme shape, [x, y, x, y, ...]."""
    points, kind = shape["points"], shape.get("shape_type") or "polygon"
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    elif kind != "polygon":
        raise ValueError("a {} has no inside: draw polygons and rectangles".format(kind))
    return [float(value) for point in points for value in point]


def _coco(path):
    """As `_labelme`, of one file; the labels that occur, in the order of COCO's numbers."""
    with _readable(path, "COCO"):
        values = _json(path)
        names = {entry["id"]: entry["name"] for entry in sorted(values["categories"], key=lambda entry: entry["id"])}
        shapes = {entry["id"]: [] for entry in values["images"]}
        sizes = {entry["id"]: (entry["height"], entry["width"]) for entry in values["images"]}
        for entry in values["annotations"]:
            label = "__ignore__" if entry.get("iscrowd") else names[entry["category_id"]]
            shapes[entry["image_id"]].append((label, _inside(entry["segmentation"], sizes[entry["image_id"]])))
        pictures = [(os.path.splitext(os.path.basename(entry["file_name"]))[0], path, sizes[entry["id"]],
                     sorted(shapes[entry["id"]], key=lambda shape: -shape[1].sum())) for entry in values["images"]]
    used = {label for *_, found in pictures for label, _ in found} - set(NO_CLASS)
    return pictures, [name for name in names.values() if name in used]


def _inside(segmentation, size):
    """bool [height, width] of COCO's polygons, or of its run lengths, packed or not."""
    from pycocotools import mask
    if isinstance(segmentation, list):
        points = min(len(outline) // 2 for outline in segmentation) if segmentation else 0
        if points < 3:
            raise ValueError("a polygon of {} points has no inside".format(points))
        packed = mask.merge(mask.frPyObjects(segmentation, *size))
    else:
        packed = mask.frPyObjects(segmentation, *size) if isinstance(segmentation["counts"], list) else segmentation
    inside = mask.decode(packed).astype(bool)
    if inside.shape != tuple(size):
        raise ValueError("a shape is of {}x{} pixels, its image of {}x{}".format(*inside.shape[::-1], *size[::-1]))
    return inside


def _json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@contextlib.contextmanager
def _readable(path, kind):
    try:
        yield
    except Exception as error:  # pycocotools raises no kind of its own, and JSON may hold anything
        raise WorkbookError("{} cannot be read as {}'s ({}: {}): export it anew, or take it out".format(
            path, kind, type(error).__name__, error))
