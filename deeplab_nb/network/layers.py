"""All that a DeepLab network is made of: three layers with weights and a few steps without.

A network is a function of a `Layers` object and an image. Given `cost.Counter`, which has the same
methods, the same function is counted instead of built. `Layers` is made of TensorFlow's own
operations; `fast_layers` holds kinds of the same value that take fewer CPU seconds.

A layer's variables live below its scope, under the published names: `weights` or
`depthwise_weights`, `BatchNorm/{gamma, beta, moving_mean, moving_variance}`, and `biases` where
there is no batch norm. What a layer does (stride, atrous rate, normalisation, activation) is an
argument at the call.
"""

import collections
import dataclasses
import zlib

from deeplab_nb.network.variables import Drawn
from deeplab_nb.tf1 import tf

# decay of the moving statistics and the epsilon added to the variance
BatchNorm = collections.namedtuple("BatchNorm", "decay epsilon")

# what a backbone returns: its last features, and, for the decoder, earlier ones at a quarter of
# the image's size
Features = collections.namedtuple("Features", "high low")


def resize(x, size):
    """Bilinear resize `[batch, h, w, c] -> [batch, *size, c]`; corners stay corners."""
    return tf.image.resize_bilinear(x, size, align_corners=True)


@dataclasses.dataclass(eq=False)
class Layers:
    """Makes layers for one network: all in training mode or all in inference mode.

    variables: {name: variable} with all that the layers will ask for, see `deeplab.variables_of`.
    is_training: dropout works.
    batch_norm_training: normalise with the batch's statistics and record how the moving ones
      change.
    batch_norm_decay: takes the place of every layer's own decay; None keeps those.
    seed, step: what dropout keeps follows from them; a number or a scalar tensor.
    rank, ranks: the batch is every ranks-th image of a larger one, from image `rank` on; dropout
      keeps what it would keep of that.
    updates: after building, the operations that move the statistics; run them with each step.
    """

    variables: dict
    is_training: bool = False
    batch_norm_training: bool = False
    batch_norm_decay: float = None
    seed: int = 0
    step: int = 0
    rank: int = 0
    ranks: int = 1
    updates: list = dataclasses.field(default_factory=list)

    def convolution(self, x, scope, filters, *, kernel=1, initializer, **options):
        """Convolution `[batch, h, w, in] -> [batch, ceil(h/stride), ceil(w/stride), filters]`.

        kernel: its height and width; initializer: of its weights. options: of `_layer`.
        """
        return self._layer(x, scope, "weights", self._convolve, **options)

    def depthwise(self, x, scope, *, initializer, **options):
        """3x3 convolution of each channel by itself; stride and atrous rate are never both above 1.

        The atrous form must be `rate=` here: TensorFlow rearranges space into the batch for it,
        whereas on a CPU `dilations` of the bare operation is silently ignored, by 1.15 altogether
        and by 2.21 in the gradient.
        """
        return self._layer(x, scope, "depthwise_weights", self._convolve_depthwise, **options)

    relu = staticmethod(tf.nn.relu)

    def add(self, x, y):
        return x + y

    def concat(self, parts):
        """Joins on the channels."""
        return tf.concat(parts, axis=3)

    def max_pool(self, x, *, kernel, stride):
        return tf.nn.max_pool2d(x, kernel, stride, "SAME")

    def mean(self, x):
        """The mean over the whole map: `[batch, h, w, c] -> [batch, 1, 1, c]`."""
        return tf.reduce_mean(x, axis=[1, 2], keepdims=True)

    def resize_like(self, x, other):
        """Bilinear resize to the other's height and width."""
        return resize(x, tf.shape(other)[1:3])

    def dropout(self, x, scope, keep):
        """Keeps this share of the values, in training only."""
        if not self.is_training:
            return x
        with tf.name_scope(scope + "/"):
            return self._drop(x, keep, self.seed + zlib.crc32(scope.encode()))

    # --- the loss on top of the network

    upsample = staticmethod(resize)

    @staticmethod
    def pixel_losses(logits, labels):
        """Softmax cross-entropy of float32 [batch, h, w, classes] and int32 [batch, h, w]."""
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)

    # --- what a layer is made of, which other kinds of layers do in another way

    def _layer(
        self,
        x,
        scope,
        kernel,
        convolve,
        *,
        stride=1,
        rate=1,
        batch_norm=None,
        activation=None,
        symmetric=False,
    ):
        """A convolution, then batch norm or a bias, then the activation.

        symmetric: pad a strided convolution alike on all sides, see `pad_symmetric`.
        """

        def linear(weights):
            pads = symmetric and stride > 1
            padded, padding = pad_symmetric(x, weights) if pads else (x, "SAME")
            return convolve(padded, weights, padding, stride, rate)

        y = self._normalised(linear, scope, kernel, batch_norm)
        return activation(y) if activation else y

    def _normalised(self, linear, scope, kernel, batch_norm):
        """A convolution `linear`, a function of its weights, then batch norm or a bias."""
        with tf.name_scope(scope + "/"):
            y = linear(self.variables[f"{scope}/{kernel}"])
        if batch_norm:
            return self._normalise(y, scope, batch_norm)
        return self.add_bias(y, self.variables[scope + "/biases"])

    def _normalise(self, x, scope, batch_norm):
        gamma, beta, mean, variance = self._statistics(scope)
        with tf.name_scope(scope + "/BatchNorm/"):
            if not self.batch_norm_training:
                return tf.nn.fused_batch_norm(
                    x, gamma, beta, mean, variance, batch_norm.epsilon, is_training=False
                )[0]
            y, *found = self.normalise_batch(x, gamma, beta, epsilon=batch_norm.epsilon)
            decay = self.batch_norm_decay
            forget = 1 - (batch_norm.decay if decay is None else decay)
            self.updates += [
                tf.assign_sub(moving, (moving - of_batch) * forget)
                for moving, of_batch in zip((mean, variance), found)
            ]
            return y

    def _statistics(self, scope):
        names = "gamma", "beta", "moving_mean", "moving_variance"
        return [self.variables[f"{scope}/BatchNorm/{name}"] for name in names]

    add_bias = staticmethod(tf.nn.bias_add)
    normalise_batch = staticmethod(tf.nn.fused_batch_norm)

    def _convolve(self, x, weights, padding, stride, rate):
        return tf.nn.convolution(
            x, weights, padding, strides=[stride] * 2, dilation_rate=[rate] * 2
        )

    def _convolve_depthwise(self, x, weights, padding, stride, rate):
        return tf.nn.depthwise_conv2d(x, weights, [1, stride, stride, 1], padding, rate=[rate] * 2)

    def _drop(self, x, keep, seed):
        """What is kept follows from seed and step alone, so that a resumed run goes on as if never
        interrupted."""
        seed = tf.stack([tf.constant(seed, tf.int64), tf.cast(self.step, tf.int64)])
        # for the batch of all ranks, of which this one has its images
        drawn = tf.random.stateless_uniform(tf.shape(x) * [self.ranks, 1, 1, 1], seed)
        return x * (tf.cast(drawn[self.rank :: self.ranks] < keep, x.dtype) / keep)


class CardLayers(Layers):
    """Layers of operations that an Ascend card has, so that a training step is one graph there.

    What dropout keeps is drawn by the card: the same positions on every rank, since all cards are
    to get the same graph, and anew after a resume. Batch norm is not TensorFlow's third form, whose
    last output the guides for CANN 8 and 9 call unsupported beside operations of the host. The
    loss is by the operations of the published port: a 910 has no kernel for the sparse form.
    """

    def _drop(self, x, keep, seed):
        return tf.nn.dropout(x, rate=1 - keep, seed=seed % 2**31)

    def _normalise(self, x, scope, batch_norm):
        with tf.compat.forward_compatibility_horizon(2019, 5, 1):
            return super()._normalise(x, scope, batch_norm)

    @staticmethod
    def pixel_losses(logits, labels):
        chosen = tf.stop_gradient(tf.one_hot(labels, int(logits.shape[-1])))
        return tf.nn.softmax_cross_entropy_with_logits_v2(labels=chosen, logits=logits)


class Dilation:
    """Which units still stride and at what atrous rate the others run (1706.05587, section 3.1).

    Once the output stride is reached, a unit's stride is dropped and what follows is dilated by it
    instead; the unit that loses its stride still runs at the old rate.
    """

    def __init__(self, output_stride, *, reached):
        self.output_stride, self.reached, self.rate = output_stride, reached, 1

    def next(self, stride):
        """`(stride, rate)` of the next unit, whose stride would be `stride`."""
        if self.reached < self.output_stride:
            self.reached *= stride
            return stride, 1
        rate, self.rate = self.rate, self.rate * stride
        return 1, rate


def pad_symmetric(x, weights):
    """`(x, padding)` for a strided convolution that adds as many zeros before as after.

    TensorFlow's SAME does so for odd sides only; for even ones it would add a zero less before, and
    the features would sit half a stride aside of where Xception and ResNet were trained to have
    them.
    """
    odd = all(side and side % 2 for side in x.shape.as_list()[1:3])
    return (x, "SAME") if odd else zeros_around(x, weights)


def zeros_around(x, weights, rate=1):
    """`(x, padding)`: what a kernel at an atrous rate reaches beyond the map is zeros."""
    zeros = [int(weights.shape[0]) // 2 * rate] * 2
    return tf.pad(x, [[0, 0], zeros, zeros, [0, 0]]), "VALID"


def truncated_normal(stddev):
    """Initialiser: normal, redrawn beyond two standard deviations."""
    return lambda shape: Drawn("TruncatedNormal", scale=stddev, shift=0.0)


def xavier(shape):
    """Initialiser: uniform, so wide that the variance is kept (Glorot and Bengio, 2010)."""
    height, width, inputs, outputs = shape
    limit = (6.0 / (height * width * (inputs + outputs))) ** 0.5
    return Drawn("RandomUniform", scale=2 * limit, shift=-limit)
