"""Answers to notebook 03."""

import numpy as np

from lessons.exercises import Exercise


def poly(step, steps, rate, power):
    """The learning rate of a step."""
    return rate * (1 - step / steps) ** power


def skipped():
    """Each halving costs two overflows, and from 2^32 to 2^16 there are 16."""
    return 2 * (32 - 16)


def survive(gradients, scale):
    """The share of the gradients, none of them 0, that float16 keeps as finite numbers above 0."""
    half = np.float16(np.float32(gradients) * np.float32(scale))
    return np.mean((half != 0) & np.isfinite(half))


def adjust(scale, good, overflows, finite, every):
    """(loss scale, finite steps in a row, overflows) after one more step."""
    if finite:
        good += 1
        return (2 * scale, 0, 0) if good >= every else (scale, good, overflows)
    overflows += 1
    return (scale / 2, 0, 0) if overflows >= 2 else (scale, 0, overflows)


_GRADIENTS = 2.0 ** np.arange(-40, 10)

EXERCISES = {
    "skipped": Exercise(skipped, "Count the halvings first; each of them takes two overflows."),
    "poly": Exercise(
        poly,
        "The formula above: the share of the steps that is left, to the power, times the rate.",
        cases=[(200, 400, 0.1, 0.9), (0, 30, 0.007, 0.9), (30, 30, 0.007, 0.9), (10, 40, 1.0, 2)],
    ),
    "survive": Exercise(
        survive,
        "np.float16(gradients * scale) rounds as a card does; count what is neither 0 nor inf.",
        cases=[(_GRADIENTS, scale) for scale in (1.0, 1024.0, 65536.0)],
    ),
    "adjust": Exercise(
        adjust,
        "A finite step adds to good, another one to overflows and sets good to 0; a change of the "
        "scale sets both to 0.",
        cases=[
            (65536.0, 0, 0, True, 3),
            (65536.0, 2, 1, True, 3),
            (65536.0, 1, 0, False, 3),
            (65536.0, 0, 1, False, 3),
            (8.0, 5, 1, True, 1000),
        ],
    ),
}
