"""Answers to notebook 02."""

import numpy as np

from lessons.exercises import Exercise


def rows(size=513, output_stride=8):
    """Each of three strides halves 513, rounded up: 257, 129, 65."""
    return (size - 1) // output_stride + 1


def receptive_field(layers):
    """Pixels that a value sees after layers of (kernel, stride, rate), the first layer first."""
    seen, jump = 1, 1
    for kernel, stride, rate in layers:
        seen += (kernel - 1) * rate * jump
        jump *= stride
    return seen


def parameters(inputs, outputs):
    """Of a 3 x 3 separable convolution, both halves with batch norm."""
    depthwise = 3 * 3 * inputs + 4 * inputs
    pointwise = inputs * outputs + 4 * outputs
    return depthwise + pointwise


def depthwise(x, weights, rate):
    """x [h, w, c] and weights [3, 3, c]: each channel is convolved by itself."""
    height, width, _ = x.shape
    padded = np.pad(x, [(rate, rate), (rate, rate), (0, 0)], mode="constant")
    y = np.zeros(x.shape)
    for i in range(3):
        for j in range(3):
            shifted = padded[i * rate : i * rate + height, j * rate : j * rate + width]
            y += shifted * weights[i, j]
    return y


def separable(x, depthwise_weights, pointwise_weights, rate):
    """x [h, w, in], weights [3, 3, in] and [in, out]: first each channel, then across them."""
    return depthwise(x, depthwise_weights, rate) @ pointwise_weights


_RANDOM = np.random.RandomState(0)
_MAP, _KERNEL = _RANDOM.normal(size=(9, 11, 3)), _RANDOM.normal(size=(3, 3, 3))
_POINTWISE = _RANDOM.normal(size=(3, 4))

EXERCISES = {
    "rows": Exercise(
        rows, "A stride of 2 takes 513 to 257, rounded up; output stride 8 is three of them."
    ),
    "receptive_field": Exercise(
        receptive_field,
        "Keep two numbers: what is seen so far, and the pixels between neighbours, which each "
        "stride multiplies.",
        cases=[
            ([(3, 1, 1)],),
            ([(3, 1, 18)],),
            ([(3, 2, 1), (3, 2, 1), (3, 1, 2)],),
            ([(7, 2, 1), (1, 1, 1), (3, 1, 4), (3, 2, 1), (3, 1, 12)],),
        ],
    ),
    "parameters": Exercise(
        parameters,
        "Two layers: 3 x 3 weights a channel, then inputs x outputs; batch norm has four values a "
        "channel of its layer's output.",
        cases=[(304, 256), (728, 728), (3, 32)],
    ),
    "depthwise": Exercise(
        depthwise,
        "As in atrous above, with * in place of @: a channel meets its own weight alone.",
        cases=[(_MAP, _KERNEL, rate) for rate in (1, 2, 4)],
    ),
    "separable": Exercise(
        separable,
        "Your depthwise first, then a matrix product over the channels: [h, w, in] @ [in, out].",
        cases=[(_MAP, _KERNEL, _POINTWISE, rate) for rate in (1, 2)],
    ),
}
