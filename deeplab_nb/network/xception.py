"""The Xception that DeepLabv3+ modified (Chollet, 1610.02357; DeepLabv3+, 1802.02611, Figure 4).

More layers than Chollet's, no pooling but strides in depthwise convolutions, and batch norm between
the two halves of a separable convolution.
"""

import collections

from deeplab_nb.network.layers import BatchNorm, Dilation, Features, truncated_normal
from deeplab_nb.tf1 import tf

BATCH_NORM = BatchNorm(decay=0.9997, epsilon=1e-3)
WEIGHTS = truncated_normal(0.09)

# `skip` joins a module's input to its output: through a 1x1 convolution, as it is, or not at all.
# With a skip, rectification comes before each separable convolution; without, after its halves.
Block = collections.namedtuple("Block", "scope units depths stride skip")

_ENTRY_41_65 = (
    Block("entry_flow/block1", 1, (128, 128, 128), 2, "conv"),
    Block("entry_flow/block2", 1, (256, 256, 256), 2, "conv"),
    Block("entry_flow/block3", 1, (728, 728, 728), 2, "conv"),
)
_ENTRY_71 = (
    Block("entry_flow/block1", 1, (128, 128, 128), 2, "conv"),
    Block("entry_flow/block2", 1, (256, 256, 256), 1, "conv"),
    Block("entry_flow/block3", 1, (256, 256, 256), 2, "conv"),
    Block("entry_flow/block4", 1, (728, 728, 728), 1, "conv"),
    Block("entry_flow/block5", 1, (728, 728, 728), 2, "conv"),
)
_EXIT = (
    Block("exit_flow/block1", 1, (728, 1024, 1024), 2, "conv"),
    Block("exit_flow/block2", 1, (1536, 1536, 2048), 1, None),
)


def _middle(units):
    return (Block("middle_flow/block1", units, (728, 728, 728), 1, "sum"),)


# blocks, and the one whose second separable convolution feeds the decoder
VARIANTS = {
    "xception_41": (_ENTRY_41_65 + _middle(8) + _EXIT, "entry_flow/block2"),
    "xception_65": (_ENTRY_41_65 + _middle(16) + _EXIT, "entry_flow/block2"),
    "xception_71": (_ENTRY_71 + _middle(16) + _EXIT, "entry_flow/block3"),
}


def xception(layers, images, *, variant, output_stride, multi_grid=(1, 1, 1)):
    """Features of normalised images `[batch, h, w, 3]`.

    High is `[batch, h/output_stride, w/output_stride, 2048]`, low has 256 channels.
    """
    blocks, low_block = VARIANTS[variant]
    x = _root_convolution(layers, images, variant + "/entry_flow/conv1_1", 32, stride=2)
    x = _root_convolution(layers, x, variant + "/entry_flow/conv1_2", 64, stride=1)
    dilation, low = Dilation(output_stride, reached=2), None
    for block in blocks:
        for unit in range(1, block.units + 1):
            stride, rate = dilation.next(block.stride if unit == block.units else 1)
            scope = f"{variant}/{block.scope}/unit_{unit}/xception_module"
            grid = multi_grid if block is blocks[-1] else (1, 1, 1)
            x, second = xception_module(
                layers,
                x,
                scope,
                block.depths,
                stride=stride,
                rates=[rate * factor for factor in grid],
                skip=block.skip,
            )
        low = second if block.scope == low_block else low
    return Features(x, low)


def xception_module(layers, x, scope, depths, *, stride, rates, skip):
    """Three separable convolutions, the last with the stride: `(output, what the second one gave)`.

    The skip takes the input as it came, not rectified, and nothing is rectified after the sum.
    """
    y, given = x, []
    for number, (depth, rate) in enumerate(zip(depths, rates), start=1):
        y = layers.relu(y) if skip else y
        y = separable_convolution(
            layers,
            y,
            f"{scope}/separable_conv{number}",
            depth,
            rate=rate,
            stride=stride if number == len(depths) else 1,
            activation=None if skip else tf.nn.relu,
        )
        given.append(y)
    if skip == "conv":
        x = layers.convolution(
            x,
            scope + "/shortcut",
            depths[-1],
            stride=stride,
            initializer=WEIGHTS,
            batch_norm=BATCH_NORM,
        )
    return (layers.add(x, y) if skip else y), given[1]


def separable_convolution(layers, x, scope, filters, *, stride, rate, activation):
    """3x3 depthwise at a rate, then 1x1, each with batch norm."""
    x = layers.depthwise(
        x,
        scope + "_depthwise",
        stride=stride,
        rate=rate,
        initializer=WEIGHTS,
        batch_norm=BATCH_NORM,
        activation=activation,
        symmetric=True,
    )
    return layers.convolution(
        x,
        scope + "_pointwise",
        filters,
        initializer=WEIGHTS,
        batch_norm=BATCH_NORM,
        activation=activation,
    )


def _root_convolution(layers, x, scope, filters, *, stride):
    return layers.convolution(
        x,
        scope,
        filters,
        kernel=3,
        stride=stride,
        initializer=WEIGHTS,
        batch_norm=BATCH_NORM,
        activation=tf.nn.relu,
        symmetric=True,
    )
