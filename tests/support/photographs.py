"""The committed run's second part: photographs that may be published, labelled by real weights.

`python -m tests.support.photographs CHECKPOINT FOLDER` with the published MobileNetV2 of full
width and a folder into which the wheels of scikit-image 0.19.3 and scikit-learn 1.0.2 were
unzipped. Neither the weights nor the packages are part of this project.
"""

import os
import sys

import numpy as np
from PIL import Image

from deeplab_nb import files, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.files import beside
from deeplab_nb.network.described import describe
from deeplab_nb.show import plots

OUT = os.path.join(files.RUNS, "reference", "photographs")
SIDE = 400  # pixels, the longest of a copy
FIELD = 300, 240  # of the overview, width and height
# name: path in its package; author and licence stand in OUT/README.md
PHOTOGRAPHS = {
    "chelsea": "skimage/data/chelsea.png",
    "astronaut": "skimage/data/astronaut.png",
    "coffee": "skimage/data/coffee.png",
    "china": "sklearn/datasets/images/china.jpg",
    "rocket": "skimage/data/rocket.jpg",
}


def small(path):
    """A photograph uint8 [h, w, 3] whose longest side has SIDE pixels."""
    with Image.open(path) as opened:
        copy = opened.convert("RGB")
    copy.thumbnail((SIDE, SIDE), Image.LANCZOS)
    return np.asarray(copy)


def in_field(picture, how):
    """A picture brought to the width or height of FIELD and laid in its middle, on white."""
    copy = Image.fromarray(picture)
    ratio = min(FIELD[0] / copy.width, FIELD[1] / copy.height)
    copy = copy.resize((round(copy.width * ratio), round(copy.height * ratio)), how)
    field = Image.new("RGB", FIELD, "white")
    field.paste(copy, ((FIELD[0] - copy.width) // 2, (FIELD[1] - copy.height) // 2))
    return np.asarray(field)


def labelled(checkpoint, folder):
    """{name: (photograph, class ids uint8 [h, w])} of PHOTOGRAPHS."""
    copies = {name: small(os.path.join(folder, path)) for name, path in PHOTOGRAPHS.items()}
    with Predictor(settings_module.read(describe(checkpoint)), checkpoint) as predictor:
        return {name: (copy, predictor.labels(copy)) for name, copy in copies.items()}


def overview(found):
    """The photographs above their overlays, with the classes that were predicted."""
    rows = [[(name, in_field(copy, Image.LANCZOS)) for name, (copy, _) in found.items()], []]
    for copy, ids in found.values():
        classes = [voc.CLASSES[i] for i in np.unique(ids) if i]
        overlay = in_field(plots.overlay(copy, ids), Image.LANCZOS)
        rows[1].append((", ".join(classes) or "background alone", overlay))
    figure = plots.show_grid(rows)
    everything = np.concatenate([ids.ravel() for _, ids in found.values()])
    plots.add_legend(figure, everything, None, voc.CLASSES, voc.VOID)
    return figure


def publish(checkpoint, folder):
    """Writes OUT/overlays.jpg and OUT/NAME.png, masks of class ids; prints shares of classes."""
    found = labelled(checkpoint, folder)
    os.makedirs(OUT, exist_ok=True)
    figure = overview(found)
    with beside(os.path.join(OUT, "overlays.jpg")) as part:
        figure.savefig(part, format="jpg", dpi=110, pil_kwargs={"quality": 80, "optimize": True})
    for name, (copy, ids) in found.items():
        voc.write_mask(os.path.join(OUT, name + ".png"), ids)
        print(f"{name}: {copy.shape[1]} x {copy.shape[0]}, {plots.shares(ids, voc.CLASSES)}")


if __name__ == "__main__":
    publish(*sys.argv[1:])
