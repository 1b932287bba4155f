"""Masks as outlines: labelme's files, one for each photograph, and COCO's, one for all.

pycocotools tells which pixels lie inside. A pixel belongs to the shape drawn last: in labelme's
order, in COCO's the smallest. What COCO calls a crowd, where its category
has objects too, and labelme's __ignore__, is left out of loss and score.
"""

import base64
import contextlib
import glob
import io
import json
import os
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, ImageDraw

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError

LABELME, COCO = "labelme", "COCO"
IGNORED = "__ignore__"
MOST_PIXELS = 180000000  # of an image that is drawn
NO_CLASS = {"background": 0, "_background_": 0, IGNORED: voc.VOID}  # the last two are labelme's


class Outlines(NamedTuple):
    """One photograph's shapes: [(label, shape as its file has it)]."""

    kind: str
    name: str  # of the photograph's file
    source: str  # the file that holds the shapes
    size: Optional[Tuple[int, int]]  # height, width
    shapes: list
    bad: list  # sentences about shapes that `draw` left out

    def __str__(self):
        return f"{self.name}, drawn from {self.source},"


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


def draw(outlines, classes, *, size=None, strict=False):
    """Class ids uint8 [height, width]; classes: names by id; size: where the file gives none.

    A shape that cannot be drawn is left out and named in `outlines.bad`; with strict, and for a
    label of no class, raises WorkbookError. One shape is unpacked at a time.
    """
    ids = dict(NO_CLASS, **{name: number for number, name in enumerate(classes)})
    size = outlines.size or size
    drawn = []
    for number, (label, shape) in enumerate(outlines.shapes):
        try:
            if not isinstance(label, str):
                raise ValueError(f"its label {label!r} is no text")
            inside = _inside(shape, size)
            if not inside.any():
                raise ValueError("it lies outside the picture, or has no inside")
        except Exception as error:  # pycocotools raises no kind of its own
            said = f"{outlines.source}: shape {number + 1} of {outlines.name} ({label!r}): {error}"
            if strict:
                raise WorkbookError(f"{said}: draw it anew, or convert without --strict")
            outlines.bad.append(said)
            continue
        if label not in ids:
            raise WorkbookError(
                f"{outlines.source} has a shape of '{label}', which is not among the classes "
                f"{', '.join(classes)}: name it, or take it out"
            )
        drawn.append((int(inside.sum()), ids[label], np.packbits(inside)))
    if outlines.kind == COCO:
        drawn.sort(key=lambda shape: -shape[0])
    mask = np.zeros(size, np.uint8)
    for _, class_id, packed in drawn:
        mask[np.unpackbits(packed)[: mask.size].reshape(size).astype(bool)] = class_id
    return mask


def _labels(found):
    labels = {label for one in found for label, _ in one.shapes if isinstance(label, str)}
    return labels - set(NO_CLASS)


def _size(height, width):
    """(height, width), whole and of a size that can be drawn."""
    whole = int(height), int(width)
    if whole != (height, width) or min(whole) < 1 or height * width > MOST_PIXELS:
        raise ValueError(f"an image of {width}x{height} pixels, {MOST_PIXELS} at most")
    return whole


def _labelme(path, values):
    size = values.get("imageHeight"), values.get("imageWidth")
    size = None if size == (None, None) else _size(*size)  # version 3 gives none
    shapes = [(shape.get("label"), shape) for shape in values["shapes"]]
    return Outlines(LABELME, path, path, size, shapes, [])


def _coco(path, values):
    entries = sorted(values["categories"], key=lambda entry: entry["id"])
    names = {entry["id"]: str(entry["name"]) for entry in entries}
    shapes = {entry["id"]: [] for entry in values["images"]}
    # CVAT marks whatever is painted as a crowd: a category of nothing else is one of objects
    single = {entry["category_id"] for entry in values["annotations"] if not entry.get("iscrowd")}
    for entry in values["annotations"]:
        crowd = entry.get("iscrowd") and entry["category_id"] in single
        label = IGNORED if crowd else names[entry["category_id"]]
        shapes[entry["image_id"]].append((label, {"segmentation": entry.get("segmentation")}))
    found = [
        Outlines(
            COCO,
            str(entry["file_name"]).replace("\\", "/"),
            path,
            _size(entry["height"], entry["width"]),
            shapes[entry["id"]],
            [],
        )
        for entry in values["images"]
    ]
    used = {entry["category_id"] for entry in values["annotations"]}
    labels = dict.fromkeys(name for number, name in names.items() if number in used)
    return found, [name for name in labels if name not in NO_CLASS]


def _inside(shape, size):
    """bool [height, width] of a shape as labelme or COCO writes it."""
    if "segmentation" in shape:
        segmentation = shape["segmentation"]
        if isinstance(segmentation, list):
            return _polygons([np.reshape(flat, (-1, 2)) for flat in segmentation], size)
        return _runs(segmentation["counts"], segmentation["size"], size)
    kind = shape.get("shape_type") or "polygon"
    points = _points(shape["points"], size)
    if kind in ("rectangle", "mask"):
        (left, top), (right, bottom) = points.min(0), points.max(0)
        if kind == "mask":
            return _painted(shape["mask"], int(left), int(top), size)
        if len(points) == 2:
            points = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    if kind in ("polygon", "rectangle"):
        return _polygons([points], size)
    return _stroke(kind, points, size)


def _points(points, size):
    """float [n, 2]: x, y, none of them further off than the picture is large."""
    points = np.asarray(points, float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("a point is not of two numbers")
    far = np.array(size[::-1])
    if not (np.isfinite(points).all() and (abs(points) <= 2 * far).all()):
        raise ValueError("a point lies far outside the picture, or is no number")
    return points


def _polygons(outlines, size):
    from pycocotools import mask  # compiled, and wanted here only

    outlines = [_points(outline, size) for outline in outlines]
    fewest = min(map(len, outlines), default=0)
    if fewest < 3:
        raise ValueError(f"a polygon of {fewest} points has no inside")
    flat = [outline.ravel().tolist() for outline in outlines]
    return mask.decode(mask.merge(mask.frPyObjects(flat, *size))).astype(bool)


def _stroke(kind, points, size):
    """What labelme itself draws: circles filled, lines 10 pixels wide, points of radius 5."""
    image = Image.new("L", size[::-1])
    pen = ImageDraw.Draw(image)
    if kind == "circle" and len(points) == 2:
        (x, y), radius = points[0], np.hypot(*(points[1] - points[0]))
    elif kind == "point" and len(points) == 1:
        (x, y), radius = points[0], 5
    elif kind in ("line", "linestrip") and len(points) > 1:
        (x, y), radius = points[0], 0
        pen.line(points.ravel().tolist(), fill=1, width=10)
    else:
        raise ValueError(f"a {kind} of {len(points)} points has no inside")
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=1)
    return np.asarray(image) > 0


def _painted(text, left, top, size):
    """labelme's mask: a PNG whose first pixel lies at left, top."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        if image.width > size[1] or image.height > size[0]:
            raise ValueError("its mask is larger than the picture")
        whole = Image.new("L", size[::-1])
        whole.paste(Image.fromarray((np.asarray(image) > 0).astype(np.uint8)), (left, top))
    return np.asarray(whole) > 0


def _runs(counts, given, size):
    """COCO's run lengths, packed in text or not; they fill the picture exactly."""
    if tuple(given) != tuple(size):
        raise ValueError(
            "a shape is of {}x{} pixels, its image of {}x{}".format(*given[::-1], *size[::-1])
        )
    counts = _unpacked(counts) if isinstance(counts, str) else counts
    if any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("a run length is no count")
    if sum(counts) != size[0] * size[1]:
        raise ValueError(f"run lengths of {sum(counts)} pixels, the image has {size[0] * size[1]}")
    return np.repeat(np.arange(len(counts)) % 2, counts).reshape(size[::-1]).T.astype(bool)


def _unpacked(text):
    """Run lengths of COCO's text: five bits a letter, from the fourth on a change."""
    counts, value, shift = [], 0, 0
    for letter in text.encode("ascii"):
        bits = letter - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("its packed run lengths are damaged")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            counts.append(value - (bits // 16 << shift) + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("its packed run lengths are cut off")
    return counts


def _json(path):
    """Of JSON in UTF-8, with a byte order mark or without, or in what Chinese Windows writes."""
    with open(path, "rb") as file:
        content = file.read()
    for encoding in ("utf-8-sig", "gb18030", "latin-1"):
        with contextlib.suppress(UnicodeDecodeError):
            return json.loads(content.decode(encoding))


@contextlib.contextmanager
def _readable(path, kind):
    try:
        yield
    except Exception as error:  # pycocotools raises no kind of its own, and JSON may hold anything
        raise WorkbookError(
            f"{path} cannot be read as {kind}'s ({type(error).__name__}: {error}): "
            "export it anew, or take it out"
        )
