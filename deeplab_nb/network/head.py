"""What follows the backbone: DeepLabv3's head, and the decoder that DeepLabv3+ adds to it."""

from deeplab_nb.network.layers import BatchNorm, truncated_normal, xavier
from deeplab_nb.tf1 import tf

DEPTH = 256
LOW_LEVEL_DEPTH = 48  # 1802.02611, Table 1: best of 8 to 64; more would drown the head's 256
RECTIFIED = dict(batch_norm=BatchNorm(decay=0.9997, epsilon=1e-5), activation=tf.nn.relu)
KEEP_PROBABILITY = 0.9  # of the dropout after the projection
LOGITS_SCOPE = "logits/semantic"


def aspp(layers, features, *, atrous_rates, separable=True):
    """Atrous spatial pyramid pooling (Chen et al., 1706.05587, section 3.3).

    `[batch, h, w, c] -> [batch, h, w, 256]`. Without rates only image pooling and the 1x1 branch
    remain, as in the published MobileNetV2 models and in the MindSpore entry. The branches' order
    on the channels is that of the published checkpoints.
    """
    branches = [image_pooling(layers, features), convolution(layers, features, "aspp0", DEPTH)]
    for number, rate in enumerate(atrous_rates, start=1):
        scope = f"aspp{number}"
        branches.append(convolution_3x3(layers, features, scope, rate=rate, separable=separable))
    projected = convolution(layers, layers.concat(branches), "concat_projection", DEPTH)
    return layers.dropout(projected, "concat_projection_dropout", KEEP_PROBABILITY)


def image_pooling(layers, features):
    """The mean of all features, convolved, and spread over the map again (ParseNet's)."""
    pooled = convolution(layers, layers.mean(features), "image_pooling", DEPTH)
    return layers.resize_like(pooled, features)


def decoder(layers, x, low, *, separable=True):
    """DeepLabv3+'s decoder sharpens object borders (Chen et al., 1802.02611, section 3.1).

    Head features `[batch, h, w, 256]` and low-level ones `[batch, H, W, c]` to
    `[batch, H, W, 256]` (Figure 2, Table 2).
    """
    low = convolution(layers, low, "decoder/feature_projection0", LOW_LEVEL_DEPTH)
    x = layers.concat([layers.resize_like(x, low), low])
    for number in range(2):
        x = convolution_3x3(layers, x, _decoder_scope(number, separable), separable=separable)
    return x


def _decoder_scope(number, separable):
    """The published names of the two kinds differ in more than their ending."""
    if separable:
        return f"decoder/decoder_conv{number}"
    return f"decoder/decoder_conv0/decoder_conv0_{number + 1}"


def classifier(layers, features, num_classes):
    """A score a class at each feature: `[batch, h, w, 256] -> [batch, h, w, num_classes]`."""
    return layers.convolution(
        features, LOGITS_SCOPE, num_classes, initializer=truncated_normal(0.01)
    )


def convolution_3x3(layers, x, scope, *, rate=1, separable):
    """3x3 at a rate to 256 channels.

    Separable (DeepLabv3+, section 3.1), or a full one as in DeepLabv3.
    """
    if not separable:
        return convolution(layers, x, scope, DEPTH, kernel=3, rate=rate)
    depthwise, pointwise = truncated_normal(0.33), truncated_normal(0.06)
    x = layers.depthwise(x, scope + "_depthwise", rate=rate, initializer=depthwise, **RECTIFIED)
    return layers.convolution(x, scope + "_pointwise", DEPTH, initializer=pointwise, **RECTIFIED)


def convolution(layers, x, scope, filters, **options):
    return layers.convolution(x, scope, filters, initializer=xavier, **options, **RECTIFIED)
