"""Masks as outlines: labelme's files, one for each photograph, and COCO's, one for all.

pycocotools tells which pixels lie inside. A pixel belongs to the shape drawn last: in labelme's
order, in COCO's the smallest. What COCO calls a crowd, where its category
has objects too, and labelme's __ignore__, is left out of loss and score.
"""

import base64
import contextlib
import io
import json
import os
from typing import NamedTuple, Optional, Tuple

import numpy as np
from PIL import Image, ImageDraw

from deeplab_nb.data import pictures, voc
from deeplab_nb.errors import WorkbookError

LABELME, COCO = "labelme", "COCO"
IGNORED = "__ignore__"
NO_CLASS = {"background": 0, "_background_": 0, IGNORED: voc.VOID}  # the last two are labelme's


class Outlines(NamedTuple):
    """One photograph's shapes: [(label, shape as its file has it)]."""

    kind: str
    name: str  # of the photograph's file, as the tool has it
    source: str  # the file that holds the shapes
    size: Optional[Tuple[int, int]]  # height, width
    shapes: list
    embedded: bool = False  # whether the source holds the photograph too

    def __str__(self):
        return f"{self.name}, drawn from {self.source},"


def read(paths, left_out):
    """([Outlines], labels) of labelme's and COCO's files.

    labels: those that occur, labelme's by alphabet, COCO's by number. left_out: an
    `errors.LeftOut`, for damaged entries. Raises WorkbookError for a file that cannot be read.
    """
    found, labels = [], {}
    for path in paths:
        with _readable(path):
            values = _json(path)
            if "shapes" in values:
                found.append(_labelme(path, values, left_out))
            else:
                images, names = _coco(path, values, left_out)
                found += images
                labels.update(dict.fromkeys(names))
    drawn = (label for one in found if one.kind == LABELME for label, _ in one.shapes if label)
    labels.update(dict.fromkeys(sorted(drawn)))
    return found, [label for label in labels if label not in NO_CLASS]


def photograph(outlines):
    """The bytes of the picture that labelme stores with its shapes, of a size that is allowed."""
    with _readable(outlines.source):
        content = base64.b64decode(_json(outlines.source)["imageData"])
        pictures.image_size(content)
        return content


def draw(outlines, classes, left_out, *, size=None):
    """Class ids uint8 [height, width]; classes: names by id; size: where the file gives none.

    left_out: an `errors.LeftOut`, for shapes that cannot be drawn. Raises WorkbookError for a
    label of no class. One shape is unpacked at a time.
    """
    ids = dict(NO_CLASS, **{name: number for number, name in enumerate(classes)})
    size = outlines.size or size
    drawn = []
    for number, (label, shape) in enumerate(outlines.shapes, 1):
        with left_out.unless(f"{outlines.source}: shape {number} of {outlines.name}", label):
            if not label:
                raise ValueError("its label is no text")
            inside = _inside(shape, size)
            if not inside.any():
                raise ValueError("it lies outside the picture, or has no inside")
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


def _label(name):
    """A label in one line; None of what is no text and no number."""
    return " ".join(str(name).split()) if isinstance(name, (str, int)) else None


def _size(height, width):
    """(height, width), whole and of a size that can be drawn."""
    most = pictures.most_pixels()
    sides = [side for side in (height, width) if isinstance(side, (int, float)) and side % 1 == 0]
    if len(sides) < 2 or min(sides) < 1 or height * width > most:
        raise ValueError(f"an image of {width} x {height} pixels, {most} at most")
    return int(height), int(width)


def _labelme(path, values, left_out):
    size, given = None, (values.get("imageHeight"), values.get("imageWidth"))
    with left_out.unless(f"{path}: its size", given):
        size = _size(*given) if any(given) else None  # version 3 gives none
    shapes = [
        (_label(shape.get("label")) if isinstance(shape, dict) else None, shape)
        for shape in values["shapes"]
    ]
    name = str(values.get("imagePath") or "")
    return Outlines(LABELME, name, path, size, shapes, bool(values.get("imageData")))


def _coco(path, values, left_out):
    """([Outlines], [label]) of COCO's lists, which refer to each other by numbers."""
    names, images, drawn = {}, {}, []
    kinds = "categories", "images", "annotations"
    entries = [(kind, *entry) for kind in kinds for entry in enumerate(values[kind], 1)]
    for kind, number, entry in entries:
        with left_out.unless(f"{path}: entry {number} of {kind}", entry):
            if kind == "categories":
                _put(path, names, entry["id"], _label(entry["name"]))
            elif kind == "images":
                one = Outlines(COCO, os.fspath(entry["file_name"]), path, None, [])
                with left_out.unless(f"{path}: the size of {one.name}", entry):
                    one = one._replace(size=_size(entry.get("height"), entry.get("width")))
                _put(path, images, entry["id"], one)
            else:
                shapes, category = images[entry["image_id"]].shapes, entry["category_id"]
                shape = {"segmentation": entry.get("segmentation")}
                drawn.append((shapes, names[category], category, entry.get("iscrowd"), shape))
    # CVAT marks whatever is painted as a crowd: a category of nothing else is one of objects
    single = {label for _, label, _, crowd, _ in drawn if not crowd}
    for shapes, label, _, crowd, shape in drawn:
        shapes.append((IGNORED if crowd and label in single else label, shape))
    crowds = sum(label in single and crowd == 1 for _, label, _, crowd, _ in drawn)
    if crowds:
        left_out.append(f"{path}: {crowds} crowds of categories that have objects too become 255")
    used = {category for _, _, category, _, _ in drawn}
    ids = sorted(used, key=lambda category: (isinstance(category, str), category))
    return list(images.values()), [names[category] for category in ids]


def _put(path, table, number, value):
    """Sets the value of an id; one of two values means neither for certain."""
    if not value or not isinstance(number, (int, float, str)):
        raise ValueError("its id or its name is no number or text")
    if table.setdefault(number, value) != value:
        raise WorkbookError(
            f"{path} gives id {number} twice, to {value} and {table[number]}: export it anew"
        )


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
def _readable(path):
    try:
        yield
    except Exception as error:  # JSON may hold anything
        if isinstance(error, WorkbookError) and path in str(error):
            raise
        raise WorkbookError(
            f"{path} cannot be read as labelme's or COCO's ({type(error).__name__}: {error}): "
            "export it anew, or take it out"
        )
