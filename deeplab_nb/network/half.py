"""float16's rounding, simulated in float32: what mixed precision does to a network, on a machine that has none.

As on a device: input, kernel and output of every convolution and matrix product are float16 numbers, and so
are the three gradients on the way back; too large a number is inf, too small a one 0. Weights, batch norm,
loss, weight decay and optimizer are float32. A kernel is rounded as it is multiplied, so where batch norm
with stored statistics is folded into it, after that.

Not as on a device: additions, rectifications and resizes between the convolutions, which there may be float16
too, as the Ascend compiler's list or TensorFlow's GPU rewrite decides; the sums inside a convolution, which
are float32 here; the Ascend 910's saturation, which gives the largest number in place of inf (`devices.precision`);
and speed, which suffers here.
"""
from deeplab_nb.tf1 import tf


def round_to_half(x):
    """The float16 numbers nearest to float32 `x`, as float32; its gradient is rounded in the same way."""
    return tf.cast(tf.cast(x, tf.float16), tf.float32)
