"""Atrous convolution in networks with random weights, for notebook 02: what one feature sees."""

import numpy as np
from matplotlib import patches

from deeplab_nb.evaluation.predict import padded
from deeplab_nb.network import deeplab
from deeplab_nb.network.layers import Layers
from deeplab_nb.show.plots import show_row
from deeplab_nb.tf1 import host_config, tf


class Undilated(Layers):
    """The mistake that atrous convolution repairs: strides are dropped, but every rate is 1."""

    def convolution(self, x, scope, filters, *, rate=1, **options):
        return super().convolution(x, scope, filters, **options)

    def depthwise(self, x, scope, *, rate=1, **options):
        return super().depthwise(x, scope, **options)


def features(images, *, settings, output_strides):
    """The backbone's features of images [batch, h, w, 3] at each output stride.

    The weights are random, and the same at all of them.
    """
    with tf.Graph().as_default(), _session() as session:
        layers = _random_layers(Layers, settings)
        pixels = deeplab.normalise(tf.constant(images))
        built = [
            deeplab.backbone(layers, pixels, settings.at(stride)).high for stride in output_strides
        ]
        session.run(tf.global_variables_initializer())
        return session.run(built)


def seen_by_centre(cases, *, settings, size):
    """How much each pixel moves the backbone's centre feature: an array [h, w] a case, at most 1.

    cases: (output stride, class of layers). The image is noise; the weights are random and the same
    in all cases. What is shown is the gradient's size, over the three colours.
    """
    noise = (
        np.random.RandomState(settings.seed).randint(0, 256, (1, size, size, 3)).astype("float32")
    )
    with tf.Graph().as_default(), _session() as session:
        pixels, gradients = tf.constant(noise), []
        for stride, kind in cases:
            layers = _random_layers(kind, settings)
            maps = deeplab.backbone(layers, deeplab.normalise(pixels), settings.at(stride)).high
            middle = int(maps.shape[1]) // 2
            gradients += tf.gradients(maps[:, middle, middle], pixels)
        session.run(tf.global_variables_initializer())
        sizes = [np.abs(session.run(gradient)[0]).sum(-1) for gradient in gradients]
    return [size / size.max() for size in sizes]


def untrained_labels(photograph, *, settings):
    """What the network answers with random weights: class ids uint8 [h, w]."""
    height, width = photograph.shape[:2]
    with tf.Graph().as_default(), _session() as session:
        tf.set_random_seed(settings.seed)
        image = tf.constant(padded(photograph))
        labels = deeplab.predict_labels(
            deeplab.build_logits(image, settings=settings), image.shape[1:3]
        )
        session.run(tf.global_variables_initializer())
        return session.run(labels)[0, :height, :width].astype(np.uint8)


def trap(rate=2):
    """[(caption, map [9, 9])]: an atrous rate by TensorFlow's bare depthwise operation and by ours.

    Of each what it makes of one bright pixel with nine equal weights, and the gradient of that at
    its middle. All four ought to be alike; one that TensorFlow refuses is blank.
    """
    point, ones = np.zeros((1, 9, 9, 1), np.float32), np.ones((3, 3, 1, 1), np.float32)
    point[0, 4, 4] = 1
    strides, rates = [1, 1, 1, 1], [1, rate, rate, 1]
    with tf.Graph().as_default(), _session() as session:
        x = tf.constant(point)
        bare = tf.nn.depthwise_conv2d_native(x, ones, strides, "SAME", dilations=rates)
        layer = tf.nn.depthwise_conv2d(x, ones, strides, "SAME", rate=rates[1:3])
        return [
            _tried(session, caption, tensor)
            for name, y in (
                (f"bare, dilations {rate}", bare),
                (f"as in layers, rate {rate}", layer),
            )
            for caption, tensor in ((name, y), ("its gradient", tf.gradients(y[:, 4, 4], x)[0]))
        ]


def _tried(session, caption, tensor):
    try:
        return caption, session.run(tensor)[0, ..., 0]
    except tf.errors.UnimplementedError:
        return caption + ": refused", np.zeros((9, 9))


def show_taps(rates):
    """Where the nine weights of a 3 x 3 kernel lie at each atrous rate, on grids of pixels."""
    reach = max(rates) + 1
    panels = []
    for rate in rates:
        grid = np.zeros((2 * reach + 1, 2 * reach + 1))
        grid[reach - rate : reach + rate + 1 : rate, reach - rate : reach + rate + 1 : rate] = 1
        panels.append((f"rate {rate}: {2 * rate + 1} pixels wide", grid))
    return show_row(panels, width=2.2)


def show_seen(panels):
    """How much each pixel counts: (caption, array [h, w]), from 1 (bright) to a thousandth (dark).

    A box stands around the part that is seen.
    """
    pictures = []
    for caption, seen in panels:
        _, _, height, width = seen_box(seen)
        caption = f"{caption}\n{height} x {width} pixels seen"
        pictures.append((caption, np.log10(np.maximum(seen, 1e-3))))
    figure = show_row(pictures, width=3)
    for axes, (_, seen) in zip(figure.axes, panels):
        top, left, height, width = seen_box(seen)
        axes.add_patch(
            patches.Rectangle(
                (left - 0.5, top - 0.5), width, height, fill=False, edgecolor="white", linestyle=":"
            )
        )
    return figure


def seen_box(seen):
    """(top, left, height, width) of the pixels that count at all."""
    places = np.argwhere(seen > 0)
    top, left = places.min(axis=0)
    height, width = places.max(axis=0) - (top, left) + 1
    return top, left, height, width


def _random_layers(kind, settings):
    """Layers of a kind over variables that the session has yet to initialise; made once a graph."""
    tf.set_random_seed(settings.seed)
    return kind(deeplab.variables_of(settings))  # the same at every output stride


def _session():
    """A session that does not optimise its graphs first: one run does not repay it."""
    config = host_config()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(config=config)
