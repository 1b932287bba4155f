"""Answers to notebook 07."""

import numpy as np

from lessons.exercises import Exercise


def raw_bytes(size):
    """Bytes of a raw picture of uint8 [size, size, 3]."""
    return size * size * 3


def normalised(image):
    """Pixels 0 to 255 as the network takes them, -1 to 1."""
    return 2 / 255 * image - 1


def equal_share(labels, wanted):
    """Share of pixels with the same label, 0 to 1."""
    return float((labels == wanted).mean())


def only_ties(labels, wanted, probabilities, tie):
    """Whether labels differ only where both classes are as good as equally probable.

    probabilities: float [h, w, classes]. A label's is at least (1 - tie) times the wanted one's.
    """
    rows, columns = np.nonzero(labels != wanted)
    one = probabilities[rows, columns, labels[rows, columns]]
    other = probabilities[rows, columns, wanted[rows, columns]]
    return bool((one >= (1 - tie) * other).all())


_WANTED = np.array([[0, 1], [2, 2]])
_OTHER = np.array([[0, 2], [2, 0]])
_SURE = np.array([[[0.8, 0.1, 0.1], [0.0, 0.7, 0.3]], [[0.1, 0.2, 0.7], [0.2, 0.1, 0.7]]])
_TIED = np.array([[[0.8, 0.1, 0.1], [0.2, 0.4, 0.4]], [[0.1, 0.2, 0.7], [0.4499, 0.1, 0.4501]]])

EXERCISES = {
    "raw_bytes": Exercise(raw_bytes, "Three colours a pixel, one byte each."),
    "normalised": Exercise(
        normalised,
        "A factor and a shift: 0 becomes -1 and 255 becomes 1.",
        cases=[(np.array([0, 51, 127.5, 255]),), (np.full((2, 3, 3), 204, np.uint8),)],
    ),
    "equal_share": Exercise(
        equal_share,
        "Compare the two arrays; the mean of an array of truths is the share of True.",
        cases=[(_WANTED, _WANTED), (_OTHER, _WANTED), (_WANTED[:1], _OTHER[:1])],
    ),
    "only_ties": Exercise(
        only_ties,
        "np.nonzero(labels != wanted) gives rows and columns with which to look up both classes.",
        cases=[
            (_WANTED, _WANTED, _SURE, 1e-3),
            (_OTHER, _WANTED, _TIED, 1e-3),
            (_OTHER, _WANTED, _SURE, 1e-3),
            (_OTHER, _WANTED, _TIED, 1e-4),
        ],
    ),
}
