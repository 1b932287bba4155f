"""MobileNetV2 (Sandler et al., 1801.04381, Table 2) without its last layers, as DeepLab uses it."""

from deeplab_nb.network.layers import BatchNorm, Dilation, Features, truncated_normal
from deeplab_nb.tf1 import tf

# Table 2: expansion, output channels at depth multiplier 1, blocks, nominal stride of the first
TABLE_2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
# (expansion, channels, stride) of expanded_conv, expanded_conv_1, ...
BLOCKS = [
    (expansion, channels, 1 if number else stride)
    for expansion, channels, count, stride in TABLE_2
    for number in range(count)
]
LINEAR = dict(initializer=truncated_normal(0.09), batch_norm=BatchNorm(decay=0.997, epsilon=1e-3))
RECTIFIED = dict(LINEAR, activation=tf.nn.relu6)


def mobilenet_v2(layers, images, settings):
    """Features of normalised images `[batch, h, w, 3]`.

    At width 1, high is `[batch, h/output_stride, w/output_stride, 320]`, low has 144 channels.
    """
    width = settings.depth_multiplier
    x = layers.convolution(
        images, "MobilenetV2/Conv", depth(32, width), kernel=3, stride=2, **RECTIFIED
    )
    dilation, low = Dilation(settings.output_stride, reached=2), None
    for index, (expansion, channels, stride) in enumerate(BLOCKS):
        scope = "MobilenetV2/expanded_conv" + (f"_{index}" if index else "")
        stride, rate = dilation.next(stride)
        x, inner = inverted_residual(
            layers, x, scope, expansion, depth(channels, width), stride=stride, rate=rate
        )
        low = inner if index == 2 else low  # the last that still has a quarter of the image's size
    return Features(x, low)


def inverted_residual(layers, x, scope, expansion, filters, *, stride, rate):
    """1x1 expansion, 3x3 depthwise, linear 1x1 projection, plus the input where shapes agree.

    See Figure 4d. Returns `(output, the depthwise convolution's output)`.
    """
    channels = int(x.shape[-1])
    y = x
    if expansion > 1:  # the first block has nothing to expand
        expanded = divisible(channels * expansion, 8)
        y = layers.convolution(y, scope + "/expand", expanded, **RECTIFIED)
    inner = layers.depthwise(y, scope + "/depthwise", stride=stride, rate=rate, **RECTIFIED)
    y = layers.convolution(inner, scope + "/project", filters, **LINEAR)
    return (layers.add(x, y) if stride == 1 and filters == channels else y), inner


def depth(channels, depth_multiplier):
    """Channels at a width: as published, multiples of 8 at width 1 alone."""
    return divisible(channels * depth_multiplier, 8 if depth_multiplier == 1.0 else 1)


def divisible(value, divisor):
    """The multiple of `divisor` nearest to `value`, but never less than 90 % of it."""
    nearest = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * value else nearest
