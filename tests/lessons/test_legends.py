"""Legends below pictures of masks."""

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.show import plots
from lessons.legends import with_legend
from tests.support.pictures import LABELS, TRUTH


def test_classes_of_masks_of_several_sizes_are_named_once():
    small = np.full((3, 4), 7, np.uint8)
    row = plots.show_row([("one", plots.coloured(TRUTH)), ("two", plots.coloured(small))])
    figure = with_legend(row, voc.CLASSES, LABELS, TRUTH, small)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert figure is row and texts == ["background", "car", "sheep", "void"]
    assert "background 93%" in plots.words(figure) and "car 1%" in plots.words(figure)
