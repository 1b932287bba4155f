"""What a network costs, before it is built: parameters, multiply-adds and memory.

`Counter` has the methods of `layers.Layers`. Where those build operations, these only note their
sizes.
"""

import collections

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

    def convolution(
        self, x, scope, filters, *, kernel=1, stride=1, rate=1, initializer, batch_norm=None, **_
    ):
        shape = [kernel, kernel, x.shape[-1], filters]
        self._declare(scope + "/weights", shape, initializer(shape))
        if batch_norm is None:
            self._declare(scope + "/biases", [filters], Constant(0.0))
        y = _shrunk(x, stride, filters)
        self.multiply_adds += _size(_rounded(y, rate)) * kernel * kernel * x.shape[-1]
        return self._finish(x, y, scope, batch_norm)

    def depthwise(self, x, scope, *, stride=1, rate=1, initializer, batch_norm, **_):
        shape = [3, 3, x.shape[-1], 1]
        self._declare(scope + "/depthwise_weights", shape, initializer(shape))
        y = _shrunk(x, stride, x.shape[-1])
        self.multiply_adds += _size(_rounded(y, rate)) * 9
        return self._finish(x, y, scope, batch_norm)

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

    def _declare(self, name, shape, initial, trainable=True):
        self.variables.append(Declaration(name, shape, initial, trainable))

    def _finish(self, x, y, scope, batch_norm):
        self._note(x, y)
        if batch_norm is None:
            return y
        for name, value, trained in (
            ("gamma", 1.0, True),
            ("beta", 0.0, True),
            ("moving_mean", 0.0, False),
            ("moving_variance", 1.0, False),
        ):
            self._declare(f"{scope}/BatchNorm/{name}", [y.shape[-1]], Constant(value), trained)
        return self._note(y, y) if self.batch_norm_training else y

    def _note(self, x, y):
        self.kept += _size(y)
        self.largest = max(self.largest, _size(x) + _size(y))
        return y


def _shrunk(x, stride, channels):
    return Map((1, -(-x.shape[1] // stride), -(-x.shape[2] // stride), channels))


def _rounded(x, rate):
    return Map((1, -(-x.shape[1] // rate) * rate, -(-x.shape[2] // rate) * rate, x.shape[3]))


def _size(x):
    return x.shape[1] * x.shape[2] * x.shape[3]
