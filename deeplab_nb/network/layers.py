"""All that a DeepLab network is made of: three layers with weights and a few steps without.

A network is a function of a `Layers` object and an image. Given `cost.Counter`, which has the same
methods, the same function is counted instead of built.

A layer's variables live below its scope, under the published names: `weights` or `depthwise_weights`,
`BatchNorm/{gamma, beta, moving_mean, moving_variance}`, and `biases` where there is no batch norm.
What a layer does (stride, atrous rate, normalisation, activation) is an argument at the call.
"""
import collections
import zlib

from deeplab_nb.network.batch_norm import add_shift, fold, normalise_batch
from deeplab_nb.network.half import round_to_half
from deeplab_nb.network.variables import TruncatedNormal, Uniform
from deeplab_nb.tf1 import tf

# decay of the moving statistics and the epsilon added to the variance
BatchNorm = collections.namedtuple("BatchNorm", "decay epsilon")

# what a backbone returns: its last features, and earlier ones at a quarter of the image's size for the decoder
Features = collections.namedtuple("Features", "high low")


class Layers:
    """Makes layers for one network: all in training mode or all in inference mode.

    variables: {name: variable} with all that the layers will ask for, see `variables.create_variables`.
    is_training: dropout works.
    batch_norm_training: normalise with the batch's statistics and record how the moving ones change.
    batch_norm_decay: takes the place of every layer's own decay; None keeps those.
    plain: TensorFlow's own operations alone. A GPU's or NPU's compiler knows these; the forms that replace some of them
      here, most of them in training, are of the same value and take fewer CPU seconds.
    half: round as float16 does at both ends of each convolution, see `half`.
    seed, step: what dropout keeps follows from them; a number or a scalar tensor.
    rank, ranks: the batch is every ranks-th image of a larger one, from image `rank` on; dropout keeps what it would keep of that.
    updates: after building, the operations that move the statistics; run them with each training step.
    """

    def __init__(self, variables, *, is_training=False, batch_norm_training=False, batch_norm_decay=None,
                 plain=False, half=False, seed=0, step=0, rank=0, ranks=1):
        self.variables = variables
        self.is_training = is_training
        self.plain = plain
        self.lean = is_training and not plain  # whether operations of TensorFlow that are slow on a CPU are replaced
        self.batch_norm_training = batch_norm_training
        self.batch_norm_decay = batch_norm_decay
        self.rounded = round_to_half if half else lambda x: x
        self.seed, self.step, self.rank, self.ranks = seed, step, rank, ranks
        self.updates = []

    def convolution(self, x, scope, filters, *, kernel=1, stride=1, rate=1, initializer,
                    batch_norm=None, activation=None, symmetric=False):
        """Convolution `[batch, h, w, in] -> [batch, ceil(h/stride), ceil(w/stride), filters]`.

        With `batch_norm` there is no bias; without it there is one and no activation is usual.
        symmetric: pad a strided convolution alike on all sides, see `pad_symmetric`.
        """
        weights, shift = self.variables[scope + "/weights"], None
        with tf.name_scope(scope + "/"):
            if batch_norm and self.lean and not self.batch_norm_training:
                weights, shift = self._fold(weights, scope, batch_norm)
            x, weights = self.rounded(x), self.rounded(weights)
            x, padding = pad_symmetric(x, kernel) if symmetric and stride > 1 else (x, "SAME")
            if self.lean and kernel == stride == 1:
                y = multiply(x, weights)
            elif self.lean and rate > 1:
                y = dilated(x, rate, lambda x: tf.nn.conv2d(x, weights, padding="SAME"))
            else:
                y = self._convolve(x, weights, padding, stride, rate)
            y = self.rounded(y)
        if batch_norm is None:
            shift = self.variables[scope + "/biases"]
        return self._finish(y, scope, batch_norm, shift, activation)

    def depthwise(self, x, scope, *, stride=1, rate=1, initializer, batch_norm, activation=None, symmetric=False):
        """3x3 convolution of each channel by itself; stride and atrous rate are never both above 1.

        The atrous form must be `rate=` here: TensorFlow 1.15 rearranges space into the batch for it,
        whereas `dilations` of the bare operation is silently ignored on a CPU.
        """
        weights, shift = self.variables[scope + "/depthwise_weights"], None
        with tf.name_scope(scope + "/"):
            if not self.batch_norm_training and not self.plain:
                weights, shift = self._fold(weights, scope, batch_norm)
            x, weights = self.rounded(x), self.rounded(weights)
            x, padding = pad_symmetric(x, 3) if symmetric and stride > 1 else (x, "SAME")
            if self.lean and rate > 1:
                y = dilated_depthwise(x, weights, rate)
            else:
                y = self._convolve_depthwise(x, weights, padding, stride, rate)
            y = self.rounded(y)
        return self._finish(y, scope, batch_norm, shift, activation)

    def relu(self, x):
        return tf.nn.relu(x)

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
        """Keeps this share of the values, in training only.

        What is kept follows from seed, scope and step alone, so that a resumed run goes on as if never interrupted.
        """
        if not self.is_training:
            return x
        with tf.name_scope(scope + "/"):
            seed = tf.stack([tf.constant(self.seed + zlib.crc32(scope.encode()), tf.int64), tf.cast(self.step, tf.int64)])
            if self.ranks == 1:
                drawn = tf.random.stateless_uniform(tf.shape(x), seed)
            else:  # for the batch of all ranks, of which this one has its images
                drawn = tf.random.stateless_uniform(tf.shape(x) * [self.ranks, 1, 1, 1], seed)[self.rank::self.ranks]
            return x * (tf.cast(drawn < keep, x.dtype) / keep)

    def _convolve(self, x, weights, padding, stride, rate):
        return tf.nn.convolution(x, weights, padding, strides=[stride] * 2, dilation_rate=[rate] * 2)

    def _convolve_depthwise(self, x, weights, padding, stride, rate):
        return tf.nn.depthwise_conv2d(x, weights, strides=[1, stride, stride, 1], padding=padding, rate=[rate, rate])

    def _finish(self, y, scope, batch_norm, shift, activation):
        """What comes after a convolution: a shift that stands for batch norm or is the bias, or batch norm itself."""
        if shift is None:
            y = self._normalise(y, scope, batch_norm)
        else:
            y = add_shift(y, shift) if self.lean else tf.nn.bias_add(y, shift)
        return activation(y) if activation else y

    def _normalise(self, x, scope, batch_norm):
        gamma, beta, mean, variance = self._batch_norm_variables(scope)
        with tf.name_scope(scope + "/BatchNorm/"):
            if not self.batch_norm_training:
                return tf.nn.fused_batch_norm(x, gamma, beta, mean, variance, batch_norm.epsilon, is_training=False)[0]
            normalise = normalise_batch if self.lean else tf.nn.fused_batch_norm
            y, batch_mean, batch_variance = normalise(x, gamma, beta, epsilon=batch_norm.epsilon)
            keep = batch_norm.decay if self.batch_norm_decay is None else self.batch_norm_decay
            self.updates += [tf.assign_sub(mean, (mean - batch_mean) * (1 - keep)),
                             tf.assign_sub(variance, (variance - batch_variance) * (1 - keep))]
            return y

    def _fold(self, weights, scope, batch_norm):
        """Stored statistics need no pass over the map. Evaluation leaves full convolutions to TensorFlow, which joins them itself."""
        return fold(weights, *self._batch_norm_variables(scope), epsilon=batch_norm.epsilon)

    def _batch_norm_variables(self, scope):
        return [self.variables["{}/BatchNorm/{}".format(scope, name)]
                for name in ("gamma", "beta", "moving_mean", "moving_variance")]


class DilatedLayers(Layers):
    """Layers for converters: the atrous rate stands on the operation itself, where ONNX reads it, and maps are padded before.

    Not for running in TensorFlow, whose depthwise operation ignores `dilations` on a CPU.
    """

    def _convolve(self, x, weights, padding, stride, rate):
        x, padding = self._padded(x, padding, int(weights.shape[0]), rate)
        return tf.nn.conv2d(x, weights, [1, stride, stride, 1], padding, dilations=[1, rate, rate, 1])

    def _convolve_depthwise(self, x, weights, padding, stride, rate):
        x, padding = self._padded(x, padding, 3, rate)
        return tf.nn.depthwise_conv2d_native(x, weights, [1, stride, stride, 1], padding, dilations=[1, rate, rate, 1])

    def _padded(self, x, padding, kernel, rate):
        """`(x, padding)`: with an atrous rate, SAME is so many zeros on all sides whatever the map's size."""
        if rate == 1 or padding != "SAME":
            return x, padding
        zeros = [kernel // 2 * rate] * 2
        return tf.pad(x, [[0, 0], zeros, zeros, [0, 0]]), "VALID"


class CardLayers(Layers):
    """Layers of operations that an Ascend card has, so that a training step is one graph there.

    What dropout keeps is drawn by the card: the same positions on every rank, since all cards are to get the same
    graph, and anew after a resume. Batch norm is not TensorFlow's third form, whose last output the guides for CANN 8
    and 9 call unsupported beside operations of the host.
    """

    def dropout(self, x, scope, keep):
        if not self.is_training:
            return x
        with tf.name_scope(scope + "/"):
            return tf.nn.dropout(x, rate=1 - keep, seed=(self.seed + zlib.crc32(scope.encode())) % 2 ** 31)

    def _normalise(self, x, scope, batch_norm):
        with tf.compat.forward_compatibility_horizon(2019, 5, 1):
            return super()._normalise(x, scope, batch_norm)


class Dilation:
    """Which units still stride and at what atrous rate the others run (DeepLabv3, 1706.05587, section 3.1).

    Once the output stride is reached, a unit's stride is dropped and what follows is dilated by it
    instead; the unit that loses its stride still runs at the old rate.
    """

    def __init__(self, output_stride, *, reached=1):
        self.output_stride, self.reached, self.rate = output_stride, reached, 1

    def next(self, stride):
        """`(stride, rate)` of the next unit, whose stride would be `stride`."""
        if self.reached < self.output_stride:
            self.reached *= stride
            return stride, 1
        rate, self.rate = self.rate, self.rate * stride
        return 1, rate


def multiply(x, weights):
    """A 1x1 convolution as the matrix product that it is: TensorFlow 1.15 computes the gradient of that sooner.

    In evaluation the convolution is quicker, because TensorFlow joins batch norm to it.
    """
    inputs, outputs = weights.shape.as_list()[2:]
    product = tf.matmul(tf.reshape(x, [-1, inputs]), tf.reshape(weights, [inputs, outputs]))
    if x.shape.is_fully_defined():
        return tf.reshape(product, x.shape[:3].concatenate(outputs))
    return tf.reshape(product, tf.concat([tf.shape(x)[:3], [outputs]], axis=0))


def dilated_depthwise(x, weights, rate):
    """A 3x3 depthwise convolution at an atrous rate, for training, see `dilated`.

    At a rate as large as the map only the kernel's centre meets it: at rate 18 of a 17x17 map, with gradients,
    the product takes an eleventh of the CPU seconds that `dilated` does.
    """
    if None not in x.shape.as_list() and rate >= max(x.shape.as_list()[1:3]):
        return x * weights[1, 1, :, 0]
    return dilated(x, rate, lambda x: tf.nn.depthwise_conv2d(x, weights, strides=[1, 1, 1, 1], padding="SAME"))


def dilated(x, rate, convolve):
    """What `convolve`, a convolution of stride 1 and SAME padding, gives at an atrous rate.

    Pixels that lie a rate apart make an image of their own, as in TensorFlow's `dilation_rate`. That pads beforehand
    with a rate of zeros on each side and convolves them too: 8 times as many values at rate 12 of a 17x17 map, and
    more than twice the CPU seconds. In evaluation TensorFlow's way stays, since converters to other formats know it.
    """
    sides = x.shape.as_list()[1:3]
    if None in sides:
        sides = tf.unstack(tf.shape(x)[1:3])
    fill = [[0, -side % rate] for side in sides]
    return tf.batch_to_space_nd(convolve(tf.space_to_batch_nd(x, [rate, rate], fill)), [rate, rate], fill)


def pad_symmetric(x, kernel):
    """`(x, padding)` for a strided convolution that adds as many zeros before as after.

    TensorFlow's SAME does so for odd sides only; for even ones it would add a zero less before, and
    the features would sit half a stride aside of where Xception and ResNet were trained to have them.
    """
    height, width = x.shape.as_list()[1:3]
    if height and width and height % 2 and width % 2:
        return x, "SAME"
    zeros = [kernel // 2] * 2
    return tf.pad(x, [[0, 0], zeros, zeros, [0, 0]]), "VALID"


def truncated_normal(stddev):
    """Initialiser: normal, redrawn beyond two standard deviations."""
    return lambda shape: TruncatedNormal(stddev)


def xavier(shape):
    """Initialiser: uniform, as wide as keeps the variance from layer to layer (Glorot and Bengio, 2010)."""
    height, width, inputs, outputs = shape
    return Uniform((6.0 / (height * width * (inputs + outputs))) ** 0.5)


def resize(x, size):
    """Bilinear resize of `[batch, h, w, c]` to `size`; corners stay corners (DeepLab's only kind)."""
    return tf.image.resize_bilinear(x, size, align_corners=True)

