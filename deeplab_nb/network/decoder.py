"""What DeepLabv3+ adds to DeepLabv3: a decoder that sharpens object borders (Chen et al., 1802.02611, section 3.2)."""
from deeplab_nb.network.head import convolution, convolution_3x3

LOW_LEVEL_DEPTH = 48  # Table 1: best of 8 to 64; more would drown the 256 channels of the head


def decoder(layers, x, low, *, separable=True):
    """Head features `[batch, h, w, 256]` and low-level ones `[batch, H, W, c]` to `[batch, H, W, 256]` (Figure 2, Table 2)."""
    low = convolution(layers, low, "decoder/feature_projection0", LOW_LEVEL_DEPTH)
    x = layers.concat([layers.resize_like(x, low), low])
    for number in range(2):
        x = convolution_3x3(layers, x, _scope(number, separable), separable=separable)
    return x


def _scope(number, separable):
    """The published names of the two kinds differ in more than their ending."""
    return "decoder/decoder_conv{}".format(number) if separable else "decoder/decoder_conv0/decoder_conv0_{}".format(number + 1)
