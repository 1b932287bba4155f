"""The explorer's pictures: panels in two rows, borders over a photograph, words beside a PNG."""

import numpy as np
from matplotlib.figure import Figure

# borders drawn on the photograph, and of both where they agree; far apart for every kind of eye
BORDER_COLOURS = {"predicted": (255, 160, 0), "mask": (0, 60, 255), "both": (255, 255, 255)}


class Picture:
    """A PNG with words that stand for it, shown by Jupyter, nbviewer and GitHub alike."""

    def __init__(self, png, words):
        self.png, self.words = png, words

    def _repr_mimebundle_(self, **_):
        data = {"image/png": self.png, "text/plain": self.words}
        return data, {"image/png": {"alt": self.words}}


def two_rows(panels, width=3.1):
    """Pictures in two rows, with room for captions above and a legend below.

    Faster than a layout that is solved for.
    """
    columns, (height, breadth) = -(-len(panels) // 2), panels[0][1].shape[:2]
    caption, legend = 0.3, 0.5  # inches
    row = width * height / breadth + caption
    total = 2 * row + legend
    figure = Figure(figsize=(width * columns, total))
    for place, (title, picture) in enumerate(panels, start=1):
        axes = figure.add_subplot(2, columns, place)
        # a map of colours that is equal for every kind of eye
        axes.imshow(picture, interpolation="nearest", cmap="cividis", vmin=0, vmax=1)
        axes.set_title(title, fontsize=10)
        axes.axis("off")
    figure.subplots_adjust(
        left=0.005,
        right=0.995,
        top=1 - caption / total,
        bottom=legend / total,
        wspace=0.02,
        hspace=caption / row,
    )
    return figure


def borders(image, labels, truth=None):
    """The photograph, paler, with the borders of predicted classes and of the mask's.

    uint8 [h, w, 3] in BORDER_COLOURS. A border is a pixel whose right or lower neighbour has
    another class. Where the mask is void lies its own border, so that the band is drawn by its edge
    to either side.
    """
    picture = (image // 2 + 64).astype(np.uint8)
    predicted = _edges(labels)
    picture[predicted] = BORDER_COLOURS["predicted"]
    if truth is not None:
        masked = _edges(truth)
        picture[masked] = BORDER_COLOURS["mask"]
        picture[predicted & masked] = BORDER_COLOURS["both"]
    return picture


def _edges(labels):
    """Where a pixel differs from its right or lower neighbour, bool [h, w]."""
    found = np.zeros(labels.shape, bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found
