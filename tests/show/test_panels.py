"""What is drawn over a photograph."""

import numpy as np

from deeplab_nb.show import panels


def test_borders_are_told_apart():
    labels, truth = np.zeros((8, 8), int), np.zeros((8, 8), int)
    labels[:, 4:], truth[:4, 4:], truth[4:, 6:] = 1, 1, 1
    picture = panels.borders(np.zeros((8, 8, 3), np.uint8), labels, truth)
    assert tuple(picture[1, 3]) == panels.BORDER_COLOURS["both"]
    assert tuple(picture[6, 3]) == panels.BORDER_COLOURS["predicted"]
    assert tuple(picture[6, 5]) == panels.BORDER_COLOURS["mask"]
    assert tuple(picture[1, 1]) == (64, 64, 64)
