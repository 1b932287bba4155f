"""Answers to notebook 09."""

import numpy as np

from lessons.exercises import Exercise


def classes():
    """Background, road, car and person; 255 is none."""
    return 4


def class_ids(picture, table):
    """A mask of colours uint8 [h, w, 3] as class numbers [h, w]; 255 for a colour not in table."""
    ids = np.full(picture.shape[:2], 255, np.uint8)
    for colour, class_id in table.items():
        ids[(picture == colour).all(axis=2)] = class_id
    return ids


def pixels_of(ids, num_classes):
    """How many pixels each class has; 255 is not counted."""
    return [int((ids == class_id).sum()) for class_id in range(num_classes)]


def weights(pixels):
    """1 / ln(1.02 + share of all pixels), 0 for a class without pixels."""
    share = np.array(pixels) / sum(pixels)
    return np.where(share > 0, 1 / np.log(1.02 + share), 0)


_TABLE = {(0, 0, 0): 0, (0, 200, 0): 1, (200, 60, 0): 2}
_PICTURE = np.array([[[0, 0, 0], [200, 60, 0]], [[0, 200, 0], [0, 200, 1]]], np.uint8)
_IDS = np.array([[0, 2, 255], [1, 2, 0]], np.uint8)

EXERCISES = {
    "classes": Exercise(classes, "Background is a class; the ignore label is none."),
    "class_ids": Exercise(
        class_ids,
        "(picture == colour).all(axis=2) is True where a pixel has a colour.",
        cases=[(_PICTURE, _TABLE), (_PICTURE[:1], _TABLE), (_PICTURE, {(0, 200, 1): 7})],
    ),
    "pixels_of": Exercise(
        pixels_of,
        "(ids == class_id).sum() for each class_id in range(num_classes).",
        cases=[(_IDS, 3), (_IDS, 4), (_IDS[:1], 3)],
    ),
    "weights": Exercise(
        weights,
        "np.log is the natural logarithm; np.where puts 0 where a share is 0.",
        cases=[([60, 30, 10],), ([99, 1],), ([50, 0, 50],)],
        tolerance=1e-3,
    ),
}
