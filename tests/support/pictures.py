"""A photograph with its prediction and mask, and what a figure looks like."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

IMAGE = np.full((20, 30, 3), 100, np.uint8)
LABELS = np.zeros((20, 30), np.uint8)
LABELS[5:10, 5:10] = 17
TRUTH = LABELS.copy()
TRUTH[5:10, 9] = 0
TRUTH[0] = 255


def drawn(figure):
    """A matplotlib Figure as pixels uint8 [h, w, 4]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
