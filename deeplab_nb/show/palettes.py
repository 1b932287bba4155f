"""Colours of classes: VOC's own, and colours that people who see red and green alike can tell apart too."""
import functools

import numpy as np

from deeplab_nb.data import voc

# Linear light to what is seen without one kind of cone (Machado, Oliveira and Fernandes 2009, table 1, severity 1.0).
DEFICIENCIES = {
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
_TO_XYZ = np.array(((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505)))  # sRGB, D65
_LEVELS = (0, 51, 102, 153, 204, 255)  # of each channel: 216 colours to choose from


@functools.lru_cache(maxsize=None)
def safe_palette(size=256):
    """Colours of class ids, uint8 [size, 3]: each the farthest from those before it, for the eye that tells it apart worst.

    Background stays black and void VOC's cream. From about 30 classes on, neighbours in the list stay
    apart but some pairs come close: no palette of so many colours is safe.
    """
    candidates = np.array(np.meshgrid(_LEVELS, _LEVELS, _LEVELS)).reshape(3, -1).T
    void = voc.palette()[voc.VOID]
    chosen, nearest = [np.zeros(3, int)], np.minimum(distances(candidates, (0, 0, 0)), distances(candidates, void))
    while len(chosen) < min(size, len(candidates) - 1):
        chosen.append(candidates[nearest.argmax()])
        nearest = np.minimum(nearest, distances(candidates, chosen[-1]))
    colours = np.resize(np.array(chosen, np.uint8), (size, 3))
    if size > voc.VOID:
        colours[voc.VOID] = void
    colours.setflags(write=False)  # the same array serves every caller
    return colours


PALETTES = {"VOC": voc.palette, "colour-blind safe": safe_palette}


def distances(colours, other):
    """How far colours [n, 3] in 0..255 are from another one in CIELAB, for the eye that tells them apart worst: float [n]."""
    colours, other = _linear(colours), _linear([other])
    views = [np.eye(3)] + [np.array(matrix) for matrix in DEFICIENCIES.values()]
    return np.min([np.linalg.norm(_lab(colours @ view.T) - _lab(other @ view.T), axis=1) for view in views], axis=0)


def _linear(colours):
    """sRGB's curve undone: light, 0..1."""
    values = np.asarray(colours, float) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _lab(light):
    """CIELAB of linear sRGB [n, 3]; equal distances look about equally different."""
    xyz = light.clip(0, 1) @ _TO_XYZ.T / _TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)
