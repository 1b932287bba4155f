import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.show import palettes


def closest(colours):
    """Of all pairs, for the eye that tells them apart worst."""
    return min(palettes.distances(colours[i + 1:], colours[i]).min() for i in range(len(colours) - 1))


def test_vocs_21_colours_come_close_for_some_eyes_and_the_safe_ones_do_not():
    assert closest(voc.palette()[:21]) < 2 < 15 < closest(palettes.safe_palette()[:21])


def test_background_and_void_keep_their_colours():
    colours = palettes.safe_palette()
    assert colours[0].tolist() == [0, 0, 0] and np.array_equal(colours[255], voc.palette()[255])


def test_distances_are_those_of_cielab_for_greys_which_every_eye_sees_alike():
    white, grey = palettes.distances(np.array([[255, 255, 255], [119, 119, 119]]), (0, 0, 0))
    assert abs(white - 100) < 0.1 and abs(grey - 50) < 0.1
