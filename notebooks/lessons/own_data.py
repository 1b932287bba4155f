"""Notebook 09: drawn leaves for a reader's pictures, their colours, weights to start from."""

import numpy as np
from PIL import Image, ImageDraw

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.fields import known
from deeplab_nb.network.checkpoints import find_checkpoint, newest_checkpoint
from deeplab_nb.show import plots
from lessons.exercises import wrapped


def leaf(rng):
    """A drawn leaf with brown spots: (photograph uint8 [h, w, 3], class ids uint8 [h, w])."""
    width, height = rng.randint(150, 190), rng.randint(84, 108)
    photograph = Image.new("RGB", (width, height), tuple(map(int, rng.randint(150, 230, 3))))
    ids = Image.new("L", (width, height))

    def blob(x, y, wide, high, colour, class_id):
        for pen, ink in ((ImageDraw.Draw(photograph), colour), (ImageDraw.Draw(ids), class_id)):
            pen.ellipse([x - wide, y - high, x + wide, y + high], fill=ink)

    x, y = width * rng.uniform(0.4, 0.6), height / 2
    wide, high = width * rng.uniform(0.25, 0.38), height * rng.uniform(0.3, 0.42)
    blob(x, y, wide, high, (40, int(rng.randint(110, 170)), 50), 1)
    for _ in range(rng.randint(1, 4)):
        size = rng.uniform(6, 13)
        across, down = wide * rng.uniform(-0.6, 0.6), high * rng.uniform(-0.5, 0.5)
        blob(x + across, y + down, size, size * 0.8, (120, 70, 30), 2)
    grain = rng.normal(0, 8, (height, width, 3))
    return (np.asarray(photograph) + grain).clip(0, 255).astype(np.uint8), np.asarray(ids)


def palette_of(table):
    """{colour: class id} as a palette uint8 [256, 3]; ids without a colour keep VOC's."""
    palette = voc.palette().copy()
    palette[list(table.values())] = list(table)
    return palette


def first_weights(run):
    """Prefix of weights that another set's training may start from; "" where there are none.

    Those that the run has trained, else those given to it. The sample is trained here if need be,
    which takes minutes; other recipes would take days.
    """
    trained, given = newest_checkpoint(run.train_folder), run.settings.initial_checkpoint
    if run.recipe.name == "sample":
        return run.checkpoint()
    try:
        return trained or given and find_checkpoint(given)
    except WorkbookError as error:
        print(wrapped(f"{error}\nuntil then, training starts from random weights"))
        return ""


def network_of(settings):
    """{setting: value} of what the network is, without its number of classes."""
    return {name: getattr(settings, name) for name in known("network") if name != "num_classes"}


def show_in_colours(image, prediction, truth, names, table, *, title=""):
    """Photograph, prediction, mask and wrong pixels in the colours {colour: class id} of a set."""
    palette = palette_of(table)
    figure = plots.show_row(
        [
            ("photograph", image),
            ("prediction", plots.overlay(image, prediction, palette=palette)),
            ("mask", plots.overlay(image, truth, palette=palette)),
            ("wrong pixels", plots.error_map(prediction, truth, voc.VOID)),
        ],
        title=title,
    )
    plots.add_legend(figure, prediction, truth, names, voc.VOID, errors=True, palette=palette)
    figure.set_label("predicted: " + figure.get_label())
    return figure
