"""Exports as annotation tools write them, of photographs of noise with a leaf and a spot each."""

import base64
import io
import json
import os

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 24, 36
LEAF, SPOT = [4, 4, 20, 4, 20, 12, 4, 12], [22, 14, 30, 14, 30, 20, 22, 20]  # COCO's polygons
IDS = np.zeros((HEIGHT, WIDTH), np.uint8)
IDS[4:12, 4:20], IDS[14:20, 22:30] = 1, 2


def pixels(seed):
    noise = np.random.RandomState(seed).randint(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def put(folder, name, content):
    """Writes a picture, a text, bytes or JSON below a folder; returns the path."""
    path = os.path.join(str(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(path)
        return path
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path


def photographs(folder, *names):
    """Each of another noise."""
    for name in names:
        put(folder, name, pixels(sum(map(ord, name))))


def mask(colours=None):
    """A grey mask of class numbers, or one with a palette, a list of three numbers a colour."""
    image = Image.fromarray(IDS, "P" if colours else "L")
    if colours:
        image.putpalette(colours)
    return image


def coco(names, annotations, categories=((1, "leaf"), (2, "spot")), **changed):
    """annotations: (number of the photograph's name, category, polygon)."""
    return dict(
        {
            "info": {"year": "2024", "description": ""},
            "licenses": [{"id": 1, "url": "", "name": ""}],
            "categories": [{"id": i, "name": n, "supercategory": ""} for i, n in categories],
            "images": [
                {"id": i, "license": 1, "file_name": name, "height": HEIGHT, "width": WIDTH}
                for i, name in enumerate(names)
            ],
            "annotations": [
                dict(id=i, image_id=of, category_id=kind, segmentation=[flat], iscrowd=0)
                for i, (of, kind, flat) in enumerate(annotations)
            ],
        },
        **changed,
    )


def labelme(picture, seed=None, **changed):
    """picture: imagePath; seed: of the noise that imageData holds, None for no imageData."""
    file = io.BytesIO()
    if seed is not None:
        pixels(seed).save(file, "PNG")
    points = [LEAF[i : i + 2] for i in range(0, 8, 2)]
    shape = {"label": "leaf", "points": points, "group_id": None, "flags": {}}
    return dict(
        {
            "version": "4.5.6",
            "flags": {},
            "shapes": [dict(shape, shape_type="polygon")],
            "imagePath": picture,
            "imageData": base64.b64encode(file.getvalue()).decode() or None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        },
        **changed,
    )
