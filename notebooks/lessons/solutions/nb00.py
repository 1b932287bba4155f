"""Answers to notebook 00."""

import numpy as np

from lessons.exercises import Exercise


def on_objects(mask):
    """Pixels that are neither background nor void."""
    return int(((mask != 0) & (mask != 255)).sum())


def classes_in(mask):
    """The class numbers in a mask, in order; void is none."""
    return sorted(int(i) for i in set(mask.ravel()) - {255})


def coloured(mask, colours):
    """A mask as a picture: each number's row of the table of colours."""
    return colours[mask]


_MASK = np.array([[0, 0, 255, 15], [0, 2, 255, 15]], dtype=np.uint8)
_COLOURS = np.arange(256 * 3).reshape(256, 3) % 251

EXERCISES = {
    "on_objects": Exercise(
        on_objects, "mask != 0 and mask != 255 are two arrays of truths; & joins them."
    ),
    "classes_in": Exercise(
        classes_in,
        "np.unique lists the numbers in a mask; one of them is no class.",
        cases=[(_MASK,), (_MASK[:, :2],), (_MASK[:, 2:3],)],
    ),
    "coloured": Exercise(
        coloured,
        "A table of colours can be indexed by a whole mask: table[mask] has a colour a pixel.",
        cases=[(_MASK, _COLOURS), (_MASK[:1], _COLOURS)],
    ),
}
