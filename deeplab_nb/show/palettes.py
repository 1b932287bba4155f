"""Colours of classes: VOC's own, and colours that people who see red and green alike tell apart."""

import functools

import numpy as np

from deeplab_nb.data import voc

# Red, green and blue in steps of 17. Each colour is, of all those whose steps are multiples of 3,
# the farthest from those before it for the eye that tells it apart worst; tests/show/test_palettes
# holds the search. From about 30 classes on some pairs come close: no palette of so many is safe.
_SAFE = """
    000 f0f 0f0 060 969 009 f96 606 9cf f06 03f 030 690 c99 cf9 303 333 639 936 9f6 c6c 6ff
    90c 0cc 096 6c0 963 09f c3c f9c 006 9c9 933 00c 93f ffc 609 636 c9f 069 600 c00 ff0 0c6
    699 036 939 fc9 f63 f30 ccc 633 f3c 6fc 003 c63 363 60c fc0 93c 300 039 96f 00f 900 cc6
    c66 966 603 fff 39c c33 c90 f90 306 0f9 993 c6f 03c f66 66c cfc ff9 669 cc0 999 cc9 660
    cff ccf cf0 9c6 60f 393 90f 3cf c3f c39 fc6 f6c c69 903 033 906 996 9f9 c36 cf6 330 099
    696 99f 3c9 630 336 c03 663 c60 9f0 36c f99 c30 066 f60 3f6 c0c 930 0c3 666 ff6 090 69c
    63c 9c0 f09 309 6cc 9fc 99c 9cc 9ff 6c6 c96 c0f 69f 36f c93 990 693 63f f0c 6f3 fcf 909
    fcc 6c9 c09 c06 f6f f93 339 f9f 66f f00 366 6f9 063 30c f33 c9c f03 f69 6f6 cc3 9c3 6c3
    33c 360 6cf 30f fc3 0c0 33f 369 06c 093 f36 3f3 06f 390 396 399 09c f39 39f 3c0 3c3 3c6
    0c9 3cc 96c 0cf 6f0 9f3 cf3 ff3 3f0 0f6 3f9 960 f3f 0fc 0ff 0f3 3fc
""".split()


@functools.lru_cache(maxsize=None)
def safe_palette():
    """Colours of class ids, uint8 [256, 3]; background stays black and void VOC's cream."""
    table = [[17 * int(step, 16) for step in word] for word in _SAFE]
    colours = np.resize(np.array(table, np.uint8), (256, 3))
    colours[voc.VOID] = voc.palette()[voc.VOID]
    colours.setflags(write=False)  # the same array serves every caller
    return colours


PALETTES = {"VOC": voc.palette, "colour-blind safe": safe_palette}
