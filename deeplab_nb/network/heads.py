"""DeepLabv3's head (Chen et al., 1706.05587, section 3.3): what an image says as a whole and at several rates."""
from deeplab_nb.network.layers import BatchNorm, resize, truncated_normal
from deeplab_nb.tf1 import tf

DEPTH = 256
BATCH_NORM = BatchNorm(decay=0.9997, epsilon=1e-5)
XAVIER = tf.glorot_uniform_initializer()
KEEP_PROBABILITY = 0.9  # of the dropout after the projection, in training only


def aspp(layers, features, *, atrous_rates, is_training):
    """Atrous spatial pyramid pooling: `[batch, h, w, c] -> [batch, h, w, 256]`.

    Without rates only image pooling and the 1x1 branch remain, as in the published MobileNetV2 models.
    The branches' order on the channels is that of the published checkpoints.
    """
    branches = [image_pooling(layers, features), _convolution(layers, features, "aspp0")]
    for number, rate in enumerate(atrous_rates, start=1):
        branches.append(separable_convolution(layers, features, "aspp{}".format(number), rate=rate))
    projected = _convolution(layers, tf.concat(branches, axis=3), "concat_projection")
    return tf.nn.dropout(projected, rate=1 - KEEP_PROBABILITY) if is_training else projected


def image_pooling(layers, features):
    """The mean of all features, convolved, and spread over the map again (ParseNet's image-level feature)."""
    pooled = tf.reduce_mean(features, axis=[1, 2], keepdims=True)
    return resize(_convolution(layers, pooled, "image_pooling"), tf.shape(features)[1:3])


def separable_convolution(layers, x, scope, *, rate=1):
    """3x3 depthwise at a rate, then 1x1, each normalised and rectified (DeepLabv3+, 1802.02611, section 3.1)."""
    x = layers.depthwise(x, scope + "_depthwise", rate=rate, initializer=truncated_normal(0.33),
                         batch_norm=BATCH_NORM, activation=tf.nn.relu)
    return layers.convolution(x, scope + "_pointwise", DEPTH, initializer=truncated_normal(0.06),
                              batch_norm=BATCH_NORM, activation=tf.nn.relu)


def classifier(layers, features, num_classes):
    """A score a class at each feature: `[batch, h, w, 256] -> [batch, h, w, num_classes]`."""
    return layers.convolution(features, LOGITS_SCOPE, num_classes, initializer=truncated_normal(0.01))


LOGITS_SCOPE = "logits/semantic"


def _convolution(layers, x, scope):
    return layers.convolution(x, scope, DEPTH, initializer=XAVIER, batch_norm=BATCH_NORM, activation=tf.nn.relu)
