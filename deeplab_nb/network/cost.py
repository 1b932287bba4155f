"""What a network costs, before it is built: parameters, multiply-adds and memory.

`Counter` has the methods of `layers.Layers`. Where those build operations, these only note their
sizes.
"""

import collections

import numpy as np

from deeplab_nb.network.variables import Constant, Declaration

# stands for a tensor: `shape` is all that a network asks of one
Map = collections.namedtuple("Map", "shape")

BYTES = 4  # of a float32


class Counter:
    """Counts the layers of one network for one image.

    variables: every `variables.Declaration`, in the order of building.
    multiply_adds: of the convolutions as TensorFlow carries them out, which is how the papers
      count. An atrous one runs on a map whose sides are rounded up to multiples of its rate: 33
      becomes 36 at rate 12.
    kept: values that training must keep for the backward pass; largest: most values that one step
      reads and writes.
    batch_norm_training: batch norm with the batch's statistics needs the map before it too.
    """

    def __init__(self, *, batch_norm_training=True):
        self.batch_norm_training = batch_norm_training
        self.variables, self.multiply_adds, self.kept, self.largest = [], 0, 0, 0

    def convolution(self, x, scope, filters, *, kernel=1, **options):
        shape = [kernel, kernel, x.shape[-1], filters]
        return self._layer(x, scope, "weights", shape, filters, **options)

    def depthwise(self, x, scope, **options):
        channels = x.shape[-1]
        shape = [3, 3, channels, 1]
        return self._layer(x, scope, "depthwise_weights", shape, channels, **options)

    def relu(self, x):
        return self._note(x, x)

    def add(self, x, y):
        return self._note(x, x)

    def concat(self, parts):
        joined = Map(parts[0].shape[:3] + (sum(part.shape[-1] for part in parts),))
        return self._note(joined, joined)

    def max_pool(self, x, *, kernel, stride):
        return self._note(x, _shrunk(x, stride, x.shape[-1]))

    def mean(self, x):
        return self._note(x, Map((1, 1, 1, x.shape[-1])))

    def resize_like(self, x, other):
        return self._note(x, Map(other.shape[:3] + (x.shape[-1],)))

    def dropout(self, x, scope, keep):
        return x

    def _layer(
        self, x, scope, name, shape, filters, *, initializer, stride=1, rate=1, batch_norm=None, **_
    ):
        """A layer with weights; shape: of its kernel."""
        self._declare(f"{scope}/{name}", shape, initializer(shape))
        y = _shrunk(x, stride, filters)
        height, width = (-(-side // rate) * rate for side in y.shape[1:3])
        self.multiply_adds += height * width * int(np.prod(shape))
        self._note(x, y)
        if batch_norm is None:
            self._declare(scope + "/biases", [filters], Constant(0.0))
            return y
        for statistic in ("gamma", "beta", "moving_mean", "moving_variance"):
            first = Constant(float(statistic in ("gamma", "moving_variance")))
            trainable = not statistic.startswith("moving")
            self._declare(f"{scope}/BatchNorm/{statistic}", [filters], first, trainable)
        return self._note(y, y) if self.batch_norm_training else y

    def _declare(self, name, shape, initial, trainable=True):
        self.variables.append(Declaration(name, shape, initial, trainable))

    def _note(self, x, y):
        self.kept += _size(y)
        self.largest = max(self.largest, _size(x) + _size(y))
        return y


def _shrunk(x, stride, channels):
    return Map((1, -(-x.shape[1] // stride), -(-x.shape[2] // stride), channels))


def _size(x):
    return x.shape[1] * x.shape[2] * x.shape[3]
