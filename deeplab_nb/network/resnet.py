"""ResNet v1 (He et al., 1512.03385, Table 1) as DeepLab trains it: the "beta" form.

Three 3x3 convolutions in place of the 7x7 one, and the stride in a block's last unit instead of its
first. The published variables carry the plain names, resnet_v1_50 and resnet_v1_101.
"""

from deeplab_nb.network.layers import BatchNorm, Dilation, Features, truncated_normal
from deeplab_nb.tf1 import tf

BATCH_NORM = BatchNorm(decay=0.95, epsilon=1e-5)

# units of the four blocks
VARIANTS = {"resnet_v1_50_beta": (3, 4, 6, 3), "resnet_v1_101_beta": (3, 4, 23, 3)}
DEPTHS = (64, 128, 256, 512)  # of a block's inner convolutions; its output has four times as many
STRIDES = (2, 2, 2, 1)  # of a block's last unit


def resnet(layers, images, settings):
    """Features of normalised images `[batch, h, w, 3]`.

    High is `[batch, h/output_stride, w/output_stride, 2048]`, low has 256 channels.
    """
    name, x = settings.backbone[: -len("_beta")], images
    for number, filters, stride in ((1, 64, 2), (2, 64, 1), (3, 128, 1)):
        scope = f"{name}/conv1_{number}"
        x = _convolution(layers, x, scope, filters, kernel=3, stride=stride, activation=tf.nn.relu)
    x = layers.max_pool(x, kernel=3, stride=2)
    dilation, low = Dilation(settings.output_stride, reached=4), None
    blocks = zip(VARIANTS[settings.backbone], DEPTHS, STRIDES)
    for block, (units, depth, last_stride) in enumerate(blocks, start=1):
        for unit in range(1, units + 1):
            stride, rate = dilation.next(last_stride if unit == units else 1)
            rate *= settings.multi_grid[unit - 1] if block == len(DEPTHS) else 1
            scope = f"{name}/block{block}/unit_{unit}/bottleneck_v1"
            x, third = bottleneck(layers, x, scope, depth, stride=stride, rate=rate)
            # the last that still has a quarter of the image's size
            low = third if (block, unit) == (1, 2) else low
    return Features(x, low)


def bottleneck(layers, x, scope, depth, *, stride, rate):
    """1x1, 3x3 with stride and rate, 1x1 to four times the depth, plus the input.

    Returns `(output, the third convolution's output)`.
    """
    if int(x.shape[-1]) != 4 * depth:  # a block's first unit
        shortcut = _convolution(layers, x, scope + "/shortcut", 4 * depth, stride=stride)
    else:
        shortcut = layers.max_pool(x, kernel=1, stride=stride) if stride > 1 else x
    second = dict(kernel=3, stride=stride, rate=rate, activation=tf.nn.relu)
    y = _convolution(layers, x, scope + "/conv1", depth, activation=tf.nn.relu)
    y = _convolution(layers, y, scope + "/conv2", depth, **second)
    y = _convolution(layers, y, scope + "/conv3", 4 * depth)
    return layers.relu(layers.add(shortcut, y)), y


def _convolution(layers, x, scope, filters, *, kernel=1, **options):
    fan_in = kernel * kernel * int(x.shape[-1])
    # He's, widened for what the truncation takes away
    weights = truncated_normal((1.3 * 2 / fan_in) ** 0.5)
    options.update(kernel=kernel, initializer=weights, batch_norm=BATCH_NORM, symmetric=True)
    return layers.convolution(x, scope, filters, **options)
