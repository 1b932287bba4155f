"""The safe colours are those of a search in CIELAB, and far enough apart for every kind of eye."""

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.show import plots

# Linear light to what is seen without one kind of cone (Machado, Oliveira and Fernandes 2009,
# table 1, severity 1.0).
DEFICIENCIES = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
TO_XYZ = np.array(
    ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
)  # sRGB, D65
LEVELS = (0, 51, 102, 153, 204, 255)  # of each channel: 216 colours to choose from


def searched():
    """Each the farthest from those before it, for the eye that tells it apart worst; [215, 3]."""
    candidates = np.array(np.meshgrid(LEVELS, LEVELS, LEVELS)).reshape(3, -1).T
    chosen = [np.zeros(3, int)]
    nearest = np.minimum(
        distances(candidates, (0, 0, 0)), distances(candidates, voc.palette()[voc.VOID])
    )
    while len(chosen) < len(candidates) - 1:
        chosen.append(candidates[nearest.argmax()])
        nearest = np.minimum(nearest, distances(candidates, chosen[-1]))
    return np.array(chosen)


def distances(colours, other):
    """How far colours [n, 3] in 0..255 are from another one in CIELAB: float [n].

    For the eye that tells them apart worst.
    """
    colours, other = linear(colours), linear([other])
    views = [np.eye(3)] + [np.array(matrix) for matrix in DEFICIENCIES.values()]
    return np.min(
        [np.linalg.norm(lab(colours @ view.T) - lab(other @ view.T), axis=1) for view in views],
        axis=0,
    )


def linear(colours):
    """sRGB's curve undone: light, 0..1."""
    values = np.asarray(colours, float) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light):
    """CIELAB of linear sRGB [n, 3]; equal distances look about equally different."""
    xyz = light.clip(0, 1) @ TO_XYZ.T / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def closest(colours):
    """Of all pairs, for the eye that tells them apart worst."""
    return min(distances(colours[i + 1 :], colours[i]).min() for i in range(len(colours) - 1))


def test_the_table_holds_what_the_search_finds():
    found, colours = searched(), plots.safe_palette()
    assert np.array_equal(colours[: len(found)], found)
    again = np.delete(colours, voc.VOID, axis=0)[len(found) :]
    assert np.array_equal(again, found[: len(again)]) and colours.shape == (256, 3)


def test_vocs_21_colours_come_close_for_some_eyes_and_the_safe_ones_do_not():
    assert closest(voc.palette()[:21]) < 2 < 15 < closest(plots.safe_palette()[:21])


def test_background_and_void_keep_their_colours():
    colours = plots.safe_palette()
    assert colours[0].tolist() == [0, 0, 0] and np.array_equal(colours[255], voc.palette()[255])


def test_distances_are_those_of_cielab_for_greys_which_every_eye_sees_alike():
    white, grey = distances(np.array([[255, 255, 255], [119, 119, 119]]), (0, 0, 0))
    assert abs(white - 100) < 0.1 and abs(grey - 50) < 0.1
