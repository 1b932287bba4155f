"""Answers to notebook 01."""

import numpy as np

from lessons.exercises import Exercise


def void_share(mask, ignore_label):
    """Share of a mask's pixels that are void, 0 to 1."""
    return float((mask == ignore_label).mean())


def frame_of(side):
    """The smallest 16k + 1 that is not below a side."""
    return 16 * -(-(side - 1) // 16) + 1


def wrong_values(mask, num_classes, ignore_label):
    """Values of a mask that are neither a class nor void, in order."""
    return [int(i) for i in np.unique(mask) if i >= num_classes and i != ignore_label]


def trusted(mask, photograph, num_classes, ignore_label):
    """Whether a mask has its photograph's size and no wrong value."""
    return (
        mask.shape == photograph.shape[:2] and wrong_values(mask, num_classes, ignore_label) == []
    )


_GOOD = np.array([[0, 20, 255], [0, 3, 3]], dtype=np.uint8)
_BAD = np.array([[0, 147, 255], [21, 3, 3]], dtype=np.uint8)
_PHOTOGRAPH = np.zeros((2, 3, 3), np.uint8)

EXERCISES = {
    "void_share": Exercise(
        void_share, "A comparison gives an array of truths; its mean is the share of True."
    ),
    "frame_of": Exercise(
        frame_of,
        "Divide side - 1 by 16, rounding up: -(-a // b) does that with whole numbers.",
        cases=[(side,) for side in (1, 2, 16, 17, 18, 160, 161, 500, 513)],
    ),
    "wrong_values": Exercise(
        wrong_values,
        "Go through np.unique(mask); the classes are 0 to num_classes - 1.",
        cases=[(_GOOD, 21, 255), (_BAD, 21, 255), (_BAD, 22, 255), (_GOOD, 4, 255), (_BAD, 21, 0)],
    ),
    "trusted": Exercise(
        trusted,
        "Compare mask.shape with photograph.shape[:2], then ask your wrong_values.",
        cases=[
            (_GOOD, _PHOTOGRAPH, 21, 255),
            (_BAD, _PHOTOGRAPH, 21, 255),
            (_GOOD[:1], _PHOTOGRAPH, 21, 255),
            (_GOOD.T, _PHOTOGRAPH, 21, 255),
        ],
    ),
}
