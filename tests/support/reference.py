"""The one run that is committed: `make reference` executes the sample, then calls this."""

import collections
import os
import sys
import tempfile

import numpy as np
from PIL import Image

from deeplab_nb import files, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.evaluate import read_pair
from deeplab_nb.files import write_text
from deeplab_nb.runs import state
from deeplab_nb.show import plots

TEXTS = (".ipynb", ".json", ".html", ".txt")
PICTURES = 6  # of the README, from the best to the median


def publish(run):
    """Makes a run's texts those of any clone; draws RUN/overlays.png, returns its path.

    Paths begin at the project's folder, or at that of temporary files. Raises WorkbookError for a
    folder that no run wrote.
    """
    state.read_run(run)
    for name in os.listdir(run):
        if name.endswith(TEXTS):
            _make_relative(os.path.join(run, name))
    path = os.path.join(run, "overlays.png")
    rows = _overlays(run)
    Image.fromarray(rows).quantize(256).save(path, optimize=True)
    return path


def _make_relative(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    write_text(
        path, text.replace(files.ROOT + os.sep, "").replace(tempfile.gettempdir() + os.sep, "")
    )


def _overlays(run):
    """Photograph, prediction, mask and error map of PICTURES images of the commonest size."""
    settings = settings_module.resolve(settings_module.load(run))
    scores = state.evaluation_of(run)["image_miou"]
    pairs = {image_id: read_pair(settings.data_root, image_id, settings) for image_id in scores}
    size, _ = collections.Counter(truth.shape for _, truth in pairs.values()).most_common(1)[0]
    ranked = sorted(
        (image_id for image_id in scores if pairs[image_id][1].shape == size),
        key=lambda image_id: (-scores[image_id], image_id),
    )
    rows = []
    for position in np.linspace(0, len(ranked) // 2, PICTURES).astype(int):
        image, truth = pairs[ranked[position]]
        prediction, _ = voc.read_mask(
            os.path.join(run, "eval", "predictions", ranked[position] + ".png")
        )
        rows.append(
            np.hstack(
                [
                    image,
                    plots.overlay(image, prediction),
                    plots.overlay(image, truth),
                    plots.error_map(prediction, truth, settings.ignore_label),
                ]
            )
        )
    return np.vstack(rows)


if __name__ == "__main__":
    print(publish(sys.argv[1]))
