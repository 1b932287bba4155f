"""The workbook's own data set: drawn scenes with six of VOC's classes, in VOC's exact layout.

Picture i depends on the seed and i alone: with the same Pillow and numpy the files are the same
bytes, and a longer set begins with the shorter one's pictures. data/sample.zip holds what
`python data/painter/draw.py data/sample.zip` draws; deeplab_nb/data/sample.py, which unpacks it,
holds its digest.
"""

import argparse
import json
import os
import tempfile
import zipfile

import numpy as np
from PIL import Image

from deeplab_nb.data import voc
from deeplab_nb.data.sample import MARKER
from deeplab_nb.errors import WorkbookError
from deeplab_nb.progress import progress
from pen import Pen
from scenes import MOODS, SCENES, lap, quay
from sheep import sheep
from still_life import bottle, pottedplant
from vehicles import aeroplane, boat, car

VERSION = (
    2  # of the drawings: raise it when they change; samples that lie unpacked are then replaced
)
FINE = 3  # pixels drawn a pixel kept, each way; odd, so that a middle one exists
SIZES = ((160, 132), (160, 132), (132, 160), (152, 136), (144, 144))  # width, height

AEROPLANE, BOAT = voc.CLASSES.index("aeroplane"), voc.CLASSES.index("boat")

# class id of voc.CLASSES: (how to draw it, its unit's range as a share of the picture's mean side)
OBJECTS = {
    1: (aeroplane, (0.75, 1.35)),
    4: (boat, (0.45, 0.9)),
    5: (bottle, (0.65, 1.2)),
    7: (car, (0.55, 1.1)),
    16: (pottedplant, (0.5, 1.0)),
    17: (sheep, (0.45, 0.95)),
}

# where each class is mostly at home; one picture in four takes any scene
HOMES = {
    1: ("heights", "heights", "meadow", "street"),
    4: ("sea", "sea", "sea", "beach"),
    5: ("room", "yard", "room", "beach"),
    7: ("street", "street", "meadow", "yard"),
    16: ("room", "yard", "street", "room"),
    17: ("meadow", "meadow", "beach", "street"),
}


def draw_set(root, *, train=240, val=60, seed=1):
    """Draws the data set into the new folder `root` and returns `root`.

    train, val: pictures in the lists, at least 1; seed: at least 0. Raises WorkbookError for other
    counts and for a folder that holds something.
    """
    if min(train, val) < 1 or seed < 0:
        raise WorkbookError(
            f"a sample of {train} + {val} pictures with seed {seed} cannot be drawn: "
            "give counts of at least 1 and a seed of at least 0"
        )
    if os.path.exists(root) and os.listdir(root):
        raise WorkbookError(f"{root} is not empty: name a new folder")
    ids = [f"sample_{i + 1:06d}" for i in range(train + val)]
    for path in (voc.image_path(root, ""), voc.mask_path(root, ""), voc.list_path(root, "")):
        os.makedirs(os.path.dirname(path))
    with open(os.path.join(root, MARKER), "w") as file:
        json.dump({"version": VERSION, "seed": seed, "train": train, "val": val}, file)
    for name, listed in (("train", ids[:train]), ("val", ids[train:]), ("trainval", ids)):
        with open(voc.list_path(root, name), "w") as file:
            file.writelines(image_id + "\n" for image_id in listed)
    for i, image_id in enumerate(progress(ids, label="drawing the sample")):
        image, mask = draw(seed, i)
        Image.fromarray(image).save(voc.image_path(root, image_id), quality=92)
        voc.write_mask(voc.mask_path(root, image_id), mask)
    return root


def pack(root, path):
    """Writes all files below `root` as a zip of the same bytes each time: in order, undated."""
    found = [os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names]
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(os.path.relpath(file, root) for file in found):
            with open(os.path.join(root, name), "rb") as file:
                archive.writestr(zipfile.ZipInfo(name), file.read())


def draw(seed, i):
    """Picture i of a seed: (uint8 [height, width, 3], class ids uint8 [height, width])."""
    rng = np.random.RandomState([seed, i])
    width, height = SIZES[rng.randint(len(SIZES))]
    picture = Image.new("RGB", (width * FINE, height * FINE))
    labels = Image.new("L", picture.size)
    mood = MOODS[rng.choice(len(MOODS), p=(0.35, 0.25, 0.15, 0.15, 0.1))]
    classes = _cast(seed, i, rng)
    homes = tuple(SCENES) if rng.rand() < 0.25 else HOMES[classes[0]]
    stage = SCENES[homes[rng.randint(len(homes))]](picture, rng, mood)
    if stage.stand is None and set(classes) - {AEROPLANE, BOAT}:
        stage = quay(picture, rng, stage)
    _place(picture, labels, rng, stage, classes)
    return _develop(picture, rng, mood), _mask(np.asarray(labels), classes)


def _cast(seed, i, rng):
    """Class ids of the picture's 1 to 4 objects; six pictures in a row lead with six classes."""
    order = np.random.RandomState(seed).permutation(sorted(OBJECTS))
    extra = rng.choice(4, p=(0.3, 0.35, 0.25, 0.1))
    return [order[i % len(order)]] + list(rng.choice(order, extra))


def _place(picture, labels, rng, stage, classes):
    """Draws the objects from far to near; object k of `classes` gets label k + 1."""
    width, height = picture.size
    rows = [
        stage.float if c == BOAT and stage.float or not stage.stand else stage.stand
        for c in classes
    ]
    feet = np.array([rng.uniform(far, near) for far, near in rows])
    slots = (rng.permutation(len(classes)) + rng.uniform(0.2, 0.8, len(classes))) / len(classes)
    for k in np.argsort(feet):
        draw_object, (small, large) = OBJECTS[classes[k]]
        size = (
            rng.uniform(small, large)
            * (0.5 + 0.5 * feet[k])
            * (1.15 - 0.08 * len(classes))
            * (width * height) ** 0.5
        )
        foot, angle = [slots[k] * width, feet[k] * height], rng.normal(0, 2.5)
        afloat = classes[k] == BOAT and stage.float is not None
        aloft = classes[k] == AEROPLANE and stage.open and rng.rand() < 0.8
        if aloft:
            foot[1], angle = rng.uniform(0.28, 0.55) * height, rng.normal(0, 14)
        pen = Pen(
            picture,
            labels,
            label=int(k) + 1,
            foot=foot,
            size=size,
            angle=angle,
            flip=rng.rand() < 0.5,
            grounded=not (aloft or afloat),
        )
        draw_object(pen, rng)
        if afloat:
            lap(picture, labels, rng, foot, size, stage.water)


def _develop(picture, rng, mood):
    """The picture at its final size, in the mood's light, with the tooth of the paper."""
    width, height = picture.width // FINE, picture.height // FINE
    image = np.asarray(picture.reduce(FINE), np.float32)
    tooth = rng.normal(0, 3.0, (height, width, 1)) + 255 * 0.02 * rng.randn()
    return (image * np.float32(mood.grade) + tooth).clip(0, 255).astype(np.uint8)


def _mask(labels, classes):
    """Class ids at the pixels' centres; void wherever a neighbour belongs to another object."""
    labels = labels[FINE // 2 :: FINE, FINE // 2 :: FINE]
    height, width = labels.shape
    near = np.pad(labels, 1, mode="edge")
    shifted = [near[y : y + height, x : x + width] for y in range(3) for x in range(3)]
    mask = np.array([0] + list(classes), np.uint8)[labels]
    mask[np.min(shifted, 0) != np.max(shifted, 0)] = voc.VOID
    return mask


def main():
    """`draw.py OUT`: OUT is a new folder, or a zip such as data/sample.zip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", help="a new folder, or a file that ends in .zip")
    for name, default in (("train", 240), ("val", 60), ("seed", 1)):
        parser.add_argument("--" + name, type=int, default=default)
    options = vars(parser.parse_args())
    out = options.pop("out")
    if not out.endswith(".zip"):
        return draw_set(out, **options)
    with tempfile.TemporaryDirectory() as folder:
        pack(draw_set(os.path.join(folder, "VOC2012"), **options), out)


if __name__ == "__main__":
    main()
