"""Kinds of layers with the values of `layers.Layers` that cost a CPU less, and what stands on them.

FoldedLayers   evaluate: stored statistics of depthwise convolutions take no pass over the map
FastLayers     train: means, 1x1 and atrous convolutions, loss and upsampling in other operations
HalfLayers     train as on a device with float16, whose rounding they simulate
DilatedLayers  are for graphs that are to be converted
"""

import uuid

import numpy as np

from deeplab_nb.network.layers import Layers, resize, zeros_around
from deeplab_nb.tf1 import tf

# --- convolutions


def round_to_half(x):
    """The float16 numbers nearest to float32 `x`, as float32; its gradient is rounded alike."""
    return tf.cast(tf.cast(x, tf.float16), tf.float32)


def multiply(x, weights):
    """A 1x1 convolution as the matrix product that it is: its gradient is computed sooner."""
    inputs, outputs = weights.shape.as_list()[2:]
    product = tf.matmul(tf.reshape(x, [-1, inputs]), tf.reshape(weights, [inputs, outputs]))
    return tf.reshape(product, x.shape[:3].concatenate(outputs))


def dilated_depthwise(x, weights, rate):
    """A 3x3 depthwise convolution at an atrous rate, see `dilated`.

    At a rate as large as the map only the kernel's centre meets it: at rate 18 of a 17x17 map,
    with gradients, the product takes an eleventh of the CPU seconds that `dilated` does.
    """
    if None not in x.shape.as_list() and rate >= max(x.shape.as_list()[1:3]):
        return x * weights[1, 1, :, 0]
    return dilated(x, rate, lambda x: tf.nn.depthwise_conv2d(x, weights, [1, 1, 1, 1], "SAME"))


def dilated(x, rate, convolve):
    """What `convolve`, a convolution of stride 1 and SAME padding, gives at an atrous rate.

    Pixels that lie a rate apart make an image of their own, as in TensorFlow's `dilation_rate`.
    That pads beforehand with a rate of zeros on each side and convolves them too: 8 times as many
    values at rate 12 of a 17x17 map, and more than twice the CPU seconds.
    """
    sides = x.shape.as_list()[1:3]
    if None in sides:
        sides = tf.unstack(tf.shape(x)[1:3])
    fill = [[0, -side % rate] for side in sides]
    apart = tf.space_to_batch_nd(x, [rate, rate], fill)
    return tf.batch_to_space_nd(convolve(apart), [rate, rate], fill)


# --- batch norm and bias


def fold(weights, gamma, beta, mean, variance, *, epsilon):
    """`(weights, shift)`: a convolution with them is one with `weights`, then batch norm.

    weights: [..., inputs, outputs], or [3, 3, channels, 1] of a depthwise convolution; mean and
    variance are stored ones.
    """
    scale = gamma * tf.rsqrt(variance + epsilon)
    depthwise = int(weights.shape[3]) != int(scale.shape[0])
    factors = tf.reshape(scale, [-1, 1]) if depthwise else scale
    return weights * factors, beta - mean * scale


def normalise_batch(x, gamma, beta, *, epsilon):
    """`(y, mean, variance)` of `x` [batch, h, w, c]: y has mean `beta`, deviation `gamma`.

    Batch norm (Ioffe and Szegedy, 1502.03167) in fewer passes over the map than TensorFlow's fused
    operation, which takes a third of a small network's training step: with means taken as products
    with a row of 1/n, and the gradient written out, the whole step takes an eighth less, and the
    means come out nearer to the exact ones.
    The variance that is returned is the unbiased one, which moving averages collect; y is made with
    the biased one.
    """
    channels = int(x.shape[-1])
    n = x.shape.num_elements() // channels
    row = tf.fill([1, n], 1 / n)  # row @ values is the mean of each channel
    values = tf.reshape(x, [n, channels])
    mean = tf.matmul(row, values)
    centred = values - mean
    variance = tf.matmul(row, tf.square(centred))
    inverse = tf.rsqrt(variance + epsilon)
    y = tf.reshape(tf.nn.bias_add(centred * (gamma * inverse), beta), x.shape)
    with tf.get_default_graph().gradient_override_map({"IdentityN": "BatchNorm" + _LOADED}):
        y = tf.identity_n([y, x, gamma, beta, centred, inverse, row])[0]
    return y, tf.squeeze(mean, 0), tf.squeeze(variance, 0) * (n / max(n - 1, 1))


_LOADED = f"OfDeepLab{uuid.uuid4()}"  # TensorFlow takes a name once; this file may be loaded again


@tf.RegisterGradient("BatchNorm" + _LOADED)
def _batch_norm_gradient(op, dy, *_):
    """The backward pass from y to x, gamma and beta; the other inputs only lend their values.

    dx = gamma/deviation * (dy - mean(dy) - z * mean(dy * z)) for the normalised values z.
    """
    _, x, gamma, _, centred, inverse, row = op.inputs
    dy = tf.reshape(dy, centred.shape)
    dy_mean, dyz_mean = tf.matmul(row, dy), tf.matmul(row, dy * centred) * inverse
    scale = gamma * inverse
    dx = tf.nn.bias_add(
        dy * scale - centred * (scale * inverse * dyz_mean), tf.squeeze(-scale * dy_mean, 0)
    )
    n = int(row.shape[1])
    parts = tf.reshape(dx, x.shape), tf.squeeze(n * dyz_mean, 0), tf.squeeze(n * dy_mean, 0)
    return (None,) + parts + (None,) * 3


def add_bias(x, bias):
    """`x` [batch, h, w, c] plus `bias` [c]."""
    with tf.get_default_graph().gradient_override_map({"BiasAdd": "Bias" + _LOADED}):
        return tf.nn.bias_add(x, bias)


@tf.RegisterGradient("Bias" + _LOADED)
def _bias_gradient(op, dy):
    """The bias's is the sum over all places; as a product it takes half of the CPU seconds."""
    values = tf.reshape(dy, [-1, int(op.inputs[1].shape[0])])
    return dy, tf.squeeze(tf.matmul(tf.ones([1, tf.shape(values)[0]]), values), 0)


# --- the loss


def resize_by_products(x, size):
    """`layers.resize` of a map of known shape, as a product with a matrix along each axis.

    With its gradient it takes two thirds of the CPU seconds of TensorFlow's operation.
    """
    if tf.is_tensor(size):
        return resize(x, size)
    batch, height, width, channels = x.shape.as_list()
    wide = tf.matmul(
        _interpolation(width, size[1]), tf.reshape(x, [batch * height, width, channels])
    )
    tall = tf.matmul(
        _interpolation(height, size[0]), tf.reshape(wide, [batch, height, size[1] * channels])
    )
    return tf.reshape(tall, [batch, *size, channels])


def _interpolation(old, new):
    """The matrix [new, old] of linear interpolation: a row weighs the two nearest old places."""
    places = np.linspace(0, old - 1, new)
    return tf.constant(np.maximum(0, 1 - abs(places[:, np.newaxis] - np.arange(old))), tf.float32)


def softmax_losses(logits, labels):
    """`layers.Layers.pixel_losses`: TensorFlow's sparse operation takes one exponential at a time.

    With its gradient this takes half of the CPU seconds, which is a 25th of MobileNetV2's step at
    crop 257.
    """
    classes = int(logits.shape[-1])
    # places of the labels' scores
    chosen = tf.range(tf.size(labels)) * classes + tf.reshape(labels, [-1])

    @tf.custom_gradient
    def losses(scores):
        largest = tf.reduce_max(scores, axis=1, keepdims=True)
        powers = tf.exp(scores - largest)
        sums = tf.matmul(powers, tf.ones([classes, 1]))

        def gradient(dy):
            """The softmax, less 1 at the label, times `dy`."""
            spread = tf.reshape(powers * (dy[:, tf.newaxis] / sums), [-1])
            less = tf.tensor_scatter_sub(spread, chosen[:, tf.newaxis], dy)
            return tf.reshape(less, tf.shape(scores))

        of_label = tf.gather(tf.reshape(scores, [-1]), chosen)
        return tf.squeeze(tf.log(sums) + largest, 1) - of_label, gradient

    return tf.reshape(losses(tf.reshape(logits, [-1, classes])), tf.shape(labels))


# --- kinds of layers


class FoldedLayers(Layers):
    """Batch norm with stored statistics is a scale and a shift; the kernel before takes the scale.

    Full convolutions are left to TensorFlow, which joins batch norm to them by itself.
    """

    folds = {"depthwise_weights"}

    def _normalised(self, linear, scope, kernel, batch_norm):
        if not batch_norm or self.batch_norm_training or kernel not in self.folds:
            return super()._normalised(linear, scope, kernel, batch_norm)
        weights, statistics = self.variables[f"{scope}/{kernel}"], self._statistics(scope)
        with tf.name_scope(scope + "/"):
            weights, shift = fold(weights, *statistics, epsilon=batch_norm.epsilon)
            y = linear(weights)
        return self.add_bias(y, shift)


class FastLayers(FoldedLayers):
    """For training on a CPU, gradients included.

    In evaluation TensorFlow's own forms stay: it joins batch norm to a 1x1 convolution, and
    converters to other formats know how it dilates.
    """

    folds = {"weights", "depthwise_weights"}

    add_bias = staticmethod(add_bias)
    normalise_batch = staticmethod(normalise_batch)
    upsample = staticmethod(resize_by_products)
    pixel_losses = staticmethod(softmax_losses)

    def _convolve(self, x, weights, padding, stride, rate):
        if weights.shape[:2].as_list() == [1, 1] and stride == 1:
            return multiply(x, weights)
        if rate > 1:
            return dilated(x, rate, lambda x: tf.nn.conv2d(x, weights, padding="SAME"))
        return super()._convolve(x, weights, padding, stride, rate)

    def _convolve_depthwise(self, x, weights, padding, stride, rate):
        if rate > 1:
            return dilated_depthwise(x, weights, rate)
        return super()._convolve_depthwise(x, weights, padding, stride, rate)


class HalfLayers(FastLayers):
    """float16's rounding, simulated in float32: what mixed precision does to a network.

    As on a device: input, kernel and output of every convolution and matrix product are float16
    numbers, and so are the three gradients of the backward pass; too large a number is inf, too
    small a one 0. Weights, batch norm, loss, weight decay and optimizer are float32. A kernel is
    rounded as it is multiplied, so where batch norm with stored statistics is folded into it, after
    that.

    Not as on a device: additions, rectifications and resizes between the convolutions, which there
    may be float16 too, as the Ascend compiler's list or TensorFlow's GPU rewrite decides; the sums
    inside a convolution, which are float32 here; the Ascend 910's saturation, which gives the
    largest number in place of inf (`devices.precision`); and speed, which suffers here.
    """

    def _layer(self, x, scope, kernel, convolve, **options):
        def in_half(x, weights, *how):
            return round_to_half(convolve(round_to_half(x), round_to_half(weights), *how))

        return super()._layer(x, scope, kernel, in_half, **options)


class DilatedLayers(FoldedLayers):
    """The atrous rate stands on the operation itself, where ONNX reads it; maps are padded before.

    Not for running in TensorFlow, see `layers.Layers.depthwise`.
    """

    def _convolve(self, x, weights, padding, stride, rate, operation=tf.nn.conv2d):
        if rate > 1:  # SAME is so many zeros on all sides of any map
            x, padding = zeros_around(x, weights, rate)
        return operation(x, weights, [1, stride, stride, 1], padding, dilations=[1, rate, rate, 1])

    def _convolve_depthwise(self, *how):
        return self._convolve(*how, operation=tf.nn.depthwise_conv2d_native)
