"""The Xception that DeepLabv3+ modified (Chollet, 1610.02357; DeepLabv3+, 1802.02611, Figure 4).

More layers than Chollet's, no pooling but strides in depthwise convolutions, and batch norm between
the two halves of a separable convolution.
"""

import collections

from deeplab_nb.network.layers import BatchNorm, Dilation, Features, truncated_normal
from deeplab_nb.tf1 import tf

LINEAR = dict(initializer=truncated_normal(0.09), batch_norm=BatchNorm(decay=0.9997, epsilon=1e-3))

# `skip` joins a module's input to its output: through a 1x1 convolution, as it is, or not at all.
# With a skip, rectification comes before each separable convolution; without, after its halves.
Block = collections.namedtuple("Block", "scope units depths stride skip")


def _entry(*stages):
    """The entry flow's blocks of one unit each, from their depth and stride."""
    return tuple(
        Block(f"entry_flow/block{number}", 1, (depth,) * 3, stride, "conv")
        for number, (depth, stride) in enumerate(stages, start=1)
    )


def _middle(units):
    return (Block("middle_flow/block1", units, (728,) * 3, 1, "sum"),)


_ENTRY_41_65 = _entry((128, 2), (256, 2), (728, 2))
_ENTRY_71 = _entry((128, 2), (256, 1), (256, 2), (728, 1), (728, 2))
_EXIT = (
    Block("exit_flow/block1", 1, (728, 1024, 1024), 2, "conv"),
    Block("exit_flow/block2", 1, (1536, 1536, 2048), 1, None),
)

# blocks, and the one whose second separable convolution feeds the decoder
VARIANTS = {
    "xception_41": (_ENTRY_41_65 + _middle(8) + _EXIT, "entry_flow/block2"),
    "xception_65": (_ENTRY_41_65 + _middle(16) + _EXIT, "entry_flow/block2"),
    "xception_71": (_ENTRY_71 + _middle(16) + _EXIT, "entry_flow/block3"),
}


def xception(layers, images, settings):
    """Features of normalised images `[batch, h, w, 3]`.

    High is `[batch, h/output_stride, w/output_stride, 2048]`, low has 256 channels.
    """
    blocks, low_block = VARIANTS[settings.backbone]
    root = dict(LINEAR, kernel=3, activation=tf.nn.relu, symmetric=True)
    entry = settings.backbone + "/entry_flow"
    x = layers.convolution(images, entry + "/conv1_1", 32, stride=2, **root)
    x = layers.convolution(x, entry + "/conv1_2", 64, **root)
    dilation, low = Dilation(settings.output_stride, reached=2), None
    for block in blocks:
        for unit in range(1, block.units + 1):
            stride, rate = dilation.next(block.stride if unit == block.units else 1)
            scope = f"{settings.backbone}/{block.scope}/unit_{unit}/xception_module"
            grid = settings.multi_grid if block is blocks[-1] else (1, 1, 1)
            rates = [rate * factor for factor in grid]
            x, second = xception_module(layers, x, scope, block, stride=stride, rates=rates)
        low = second if block.scope == low_block else low
    return Features(x, low)


def xception_module(layers, x, scope, block, *, stride, rates):
    """Three separable convolutions, the last with the stride: `(output, what the second one gave)`.

    The skip takes the input as it came, not rectified, and nothing is rectified after the sum.
    """
    y, given = x, []
    for number, (depth, rate) in enumerate(zip(block.depths, rates), start=1):
        y = layers.relu(y) if block.skip else y
        y = separable_convolution(
            layers,
            y,
            f"{scope}/separable_conv{number}",
            depth,
            stride=stride if number == len(block.depths) else 1,
            rate=rate,
            activation=None if block.skip else tf.nn.relu,
        )
        given.append(y)
    if block.skip == "conv":
        x = layers.convolution(x, scope + "/shortcut", block.depths[-1], stride=stride, **LINEAR)
    return (layers.add(x, y) if block.skip else y), given[1]


def separable_convolution(layers, x, scope, filters, *, stride, rate, activation):
    """3x3 depthwise at a rate, then 1x1, each with batch norm."""
    both = dict(LINEAR, activation=activation)
    x = layers.depthwise(x, scope + "_depthwise", stride=stride, rate=rate, symmetric=True, **both)
    return layers.convolution(x, scope + "_pointwise", filters, **both)
