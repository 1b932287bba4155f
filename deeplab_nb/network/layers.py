"""The three layers that every DeepLab network is made of, under the published variable names.

A layer's variables live below its scope: `weights` or `depthwise_weights`, `BatchNorm/{gamma, beta,
moving_mean, moving_variance}`, and `biases` where there is no batch norm. What a layer does (stride,
atrous rate, normalisation, activation) is an argument at the call; nothing is set by context.
"""
import collections

from deeplab_nb.tf1 import tf

# decay of the moving statistics and the epsilon added to the variance
BatchNorm = collections.namedtuple("BatchNorm", "decay epsilon")


class Layers:
    """Makes layers for one network: all in training mode or all in inference mode.

    batch_norm_training: normalise with the batch's statistics and record how the moving ones change.
    batch_norm_decay: takes the place of every layer's own decay; None keeps those.
    updates: after building, the operations that move the statistics; run them with each training step.
    """

    def __init__(self, *, batch_norm_training=False, batch_norm_decay=None):
        self.batch_norm_training = batch_norm_training
        self.batch_norm_decay = batch_norm_decay
        self.updates = []

    def convolution(self, x, scope, filters, *, kernel=1, stride=1, rate=1, initializer,
                    batch_norm=None, activation=None):
        """Convolution `[batch, h, w, in] -> [batch, h/stride, w/stride, filters]`, TensorFlow's SAME padding.

        With `batch_norm` there is no bias; without it there is one and no activation is usual.
        """
        shape = [kernel, kernel, int(x.shape[-1]), filters]
        weights = variable(scope + "/weights", shape, initializer)
        with tf.name_scope(scope + "/"):
            y = tf.nn.conv2d(x, weights, strides=stride, padding="SAME", dilations=rate)
        if batch_norm is None:
            y = tf.nn.bias_add(y, variable(scope + "/biases", [filters], tf.zeros_initializer()))
        return self._finish(y, scope, batch_norm, activation)

    def depthwise(self, x, scope, *, stride=1, rate=1, initializer, batch_norm, activation=None):
        """3x3 convolution of each channel by itself; stride and atrous rate are never both above 1.

        The atrous form must be `rate=` here: TensorFlow 1.15 rearranges space into the batch for it,
        whereas `dilations` of the bare operation is silently ignored on a CPU.
        """
        weights = variable(scope + "/depthwise_weights", [3, 3, int(x.shape[-1]), 1], initializer)
        with tf.name_scope(scope + "/"):
            y = tf.nn.depthwise_conv2d(x, weights, strides=[1, stride, stride, 1], padding="SAME", rate=[rate, rate])
        return self._finish(y, scope, batch_norm, activation)

    def _finish(self, y, scope, batch_norm, activation):
        if batch_norm is not None:
            y = self._normalise(y, scope + "/BatchNorm", batch_norm)
        return activation(y) if activation else y

    def _normalise(self, x, scope, batch_norm):
        size = [int(x.shape[-1])]
        gamma = variable(scope + "/gamma", size, tf.ones_initializer())
        beta = variable(scope + "/beta", size, tf.zeros_initializer())
        mean = variable(scope + "/moving_mean", size, tf.zeros_initializer(), trainable=False)
        variance = variable(scope + "/moving_variance", size, tf.ones_initializer(), trainable=False)
        with tf.name_scope(scope + "/"):
            if not self.batch_norm_training:
                return tf.nn.fused_batch_norm(x, gamma, beta, mean, variance, batch_norm.epsilon, is_training=False)[0]
            y, batch_mean, batch_variance = tf.nn.fused_batch_norm(x, gamma, beta, epsilon=batch_norm.epsilon)
            keep = batch_norm.decay if self.batch_norm_decay is None else self.batch_norm_decay
            self.updates += [tf.assign_sub(mean, (mean - batch_mean) * (1 - keep)),
                             tf.assign_sub(variance, (variance - batch_variance) * (1 - keep))]
            return y


def variable(name, shape, initializer, trainable=True):
    """The float32 variable of this full name; the same one when a graph is built twice."""
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        return tf.get_variable(name, shape, tf.float32, initializer, trainable=trainable)


def truncated_normal(stddev):
    """Normal weights, redrawn beyond two standard deviations."""
    return tf.truncated_normal_initializer(stddev=stddev)


def resize(x, size):
    """Bilinear resize of `[batch, h, w, c]` to `size`; corners stay corners (DeepLab's only kind)."""
    return tf.image.resize_bilinear(x, size, align_corners=True)
