"""Several scales and the mirrored image: a wrapper round a plain network (1706.05587 and 1802.02611, section 4).

Each scale is a pass of its own with sizes known before it runs, because an Ascend card compiles a graph
for fixed shapes; the passes meet in a running sum, so one map of probabilities is held, not one a scale.
"""
import math

from deeplab_nb.network.layers import resize
from deeplab_nb.tf1 import tf


def sizes(frame, scale, settings):
    """(size that the framed image is seen at, size that its logits get before they are spread over the frame).

    frame: (height, width). DeepLab's logits keep their grid from scale 1 on and are brought to that of
    scale 1 below it; MindSpore's entry rounds up and spreads them over the scaled image first.
    """
    if settings.eval_protocol == "mindspore":
        return (tuple(math.ceil(side * scale) for side in frame),) * 2
    stride = 4 if settings.decoder else settings.eval_output_stride
    return (tuple(int((side - 1) * scale + 1) for side in frame),
            tuple(int((side - 1) * max(1.0, scale) / stride + 1) for side in frame))


def probabilities(network, images, seen, grid, *, flip):
    """Softmax over the classes at one scale, float32 [batch, height, width, num_classes].

    network: a function of images that returns logits; images: float32 [batch, height, width, 3].
    seen, grid: from `sizes`, numbers or int32 tensors.
    flip: the mean with the mirrored image, which goes through the network in the same batch.
    """
    size = images.shape[1:3] if images.shape[1:3].is_fully_defined() else tf.shape(images)[1:3]
    scaled = resize(images, seen)
    if flip:
        scaled = tf.concat([scaled, mirrored(scaled)], axis=0)
    logits = network(scaled)
    if flip:
        straight, reflected = tf.split(logits, 2)
        logits = tf.concat([straight, mirrored(reflected)], axis=0)
    maps = tf.nn.softmax(resize(resize(logits, grid), size))
    return tf.add_n(tf.split(maps, 2)) / 2 if flip else maps


def mirrored(images):
    """Left and right exchanged."""
    return tf.reverse(images, axis=[2])
