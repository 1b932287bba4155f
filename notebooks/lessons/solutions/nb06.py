"""Answers to notebook 06."""

import numpy as np

from lessons.exercises import Exercise


def wrong_pixels(prediction, truth, ignore_label):
    """How many pixels are wrong; void cannot be."""
    return int(((prediction != truth) & (truth != ignore_label)).sum())


def certainty(logits):
    """Logits [h, w, classes] as the largest probability of each pixel [h, w], by softmax."""
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    return (powers / powers.sum(axis=2, keepdims=True)).max(axis=2)


def wrong_map(prediction, truth, ignore_label):
    """Where the prediction is wrong, bool [h, w]; void cannot be."""
    return (prediction != truth) & (truth != ignore_label)


def marked(image, prediction, truth, ignore_label):
    """A copy of the photograph whose wrong pixels are red."""
    picture = image.copy()
    picture[wrong_map(prediction, truth, ignore_label)] = (200, 30, 30)
    return picture


_TRUTH = np.array([[0, 0, 255, 7], [0, 5, 255, 7]], dtype=np.uint8)
_PREDICTION = np.array([[0, 5, 7, 7], [0, 5, 0, 5]], dtype=np.uint8)
_IMAGE = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
_LOGITS = np.array([[[0.0, 0.0], [2.0, 0.0]], [[-1.0, 3.0], [900.0, 0.0]]])

EXERCISES = {
    "wrong_pixels": Exercise(
        wrong_pixels, "Join two comparisons by &: predicted otherwise, and the mask is not void."
    ),
    "certainty": Exercise(
        certainty,
        "Take the pixel's largest logit away before np.exp; sums are over axis=2.",
        cases=[(_LOGITS[:1],), (_LOGITS,)],
    ),
    "wrong_map": Exercise(
        wrong_map,
        "It is the comparison of exercise 1, before its sum.",
        cases=[(_PREDICTION, _TRUTH, 255), (_TRUTH, _TRUTH, 255), (_PREDICTION, _TRUTH, 7)],
    ),
    "marked": Exercise(
        marked,
        "picture[wrong_map(...)] = (200, 30, 30) sets all wrong pixels of a copy at once.",
        cases=[(_IMAGE, _PREDICTION, _TRUTH, 255), (_IMAGE, _TRUTH, _TRUTH, 255)],
    ),
}
