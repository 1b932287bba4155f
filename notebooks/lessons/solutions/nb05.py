"""Answers to notebook 05."""

import numpy as np

from lessons.exercises import Exercise


def by_hand():
    """Right pixels / (pixels in the masks + predicted pixels - right pixels)."""
    return 60 / (80 + 100 - 60)


def count(truth, prediction, num_classes):
    """The confusion matrix: row = class in the mask, column = predicted class, void nowhere."""
    matrix = np.zeros((num_classes, num_classes), int)
    for row, column in zip(truth.ravel(), prediction.ravel()):
        if row != 255:
            matrix[row, column] += 1
    return matrix


def miou(pairs, num_classes):
    """Mean IoU of (mask, prediction) pairs: one matrix of all, the mean over the masks' classes."""
    matrix = sum(count(truth, prediction, num_classes) for truth, prediction in pairs)
    shown = matrix.sum(1) > 0
    hits = np.diag(matrix)
    return float(np.mean(hits[shown] / (matrix.sum(0) + matrix.sum(1) - hits)[shown]))


_TRUTH = np.array([[0, 0, 1, 255], [0, 2, 2, 255]], dtype=np.uint8)
_SEEN = np.array([[0, 1, 1, 0], [0, 2, 0, 2]], dtype=np.uint8)

EXERCISES = {
    "by_hand": Exercise(by_hand, "The union counts the pixels that both have once, not twice."),
    "count": Exercise(
        count,
        "Go over both arrays pixel by pixel; where the mask is not 255, add 1 to "
        "matrix[class in the mask, predicted class].",
        cases=[(_TRUTH, _SEEN, 3), (_TRUTH, _TRUTH % 3, 4), (_TRUTH[:, 3:], _SEEN[:, 3:], 2)],
    ),
    "miou": Exercise(
        miou,
        "Add the matrices of all pairs first and divide then. A class whose row is empty is left "
        "out of the mean.",
        cases=[
            ([(_TRUTH, _SEEN)], 3),
            ([(_TRUTH, _SEEN), (_TRUTH[:, ::-1], _SEEN), (_SEEN, _SEEN)], 3),
            ([(_TRUTH, _SEEN)], 5),
        ],
    ),
}
