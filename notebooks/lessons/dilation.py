"""Atrous convolution in networks with random weights, for notebook 02: what one feature sees."""

import collections

import numpy as np
from matplotlib import patches

from deeplab_nb.evaluation.predict import padded
from deeplab_nb.network import checkpoints, deeplab
from deeplab_nb.network.cost import Counter
from deeplab_nb.network.layers import Layers
from deeplab_nb.show import plots
from deeplab_nb.tf1 import host_config, tf
from lessons.legends import with_legend


class Undilated(Layers):
    """The mistake that atrous convolution repairs: strides are dropped, but every rate is 1."""

    def convolution(self, x, scope, filters, *, rate=1, **options):
        return super().convolution(x, scope, filters, **options)

    def depthwise(self, x, scope, *, rate=1, **options):
        return super().depthwise(x, scope, **options)


# stands for a tensor: its shape, how many pixels of the image, each way, a value depends on, and
# how many pixels apart two neighbours lie
Seen = collections.namedtuple("Seen", "shape field jump")


class ReceptiveFields(Counter):
    """Layers that compute receptive fields; dilated=False as `Undilated`."""

    def __init__(self, *, dilated=True):
        super().__init__()
        self.dilated = dilated

    def convolution(self, x, scope, filters, *, kernel=1, stride=1, rate=1, **options):
        y = super().convolution(x, scope, filters, kernel=kernel, stride=stride, **options)
        return self._wider(x, y, kernel, stride, rate)

    def depthwise(self, x, scope, *, stride=1, rate=1, **options):
        y = super().depthwise(x, scope, stride=stride, **options)
        return self._wider(x, y, 3, stride, rate)

    def max_pool(self, x, *, kernel, stride):
        y = super().max_pool(x, kernel=kernel, stride=stride)
        return self._wider(x, y, kernel, stride, 1)

    def add(self, x, y):
        return x._replace(field=max(x.field, y.field))

    def _wider(self, x, y, kernel, stride, rate):
        rate = rate if self.dilated else 1
        return Seen(y.shape, x.field + (kernel - 1) * rate * x.jump, x.jump * stride)


def receptive_field(settings, output_stride, kind=Layers):
    """How many pixels of the image, each way, a feature of the backbone depends on."""
    counter = ReceptiveFields(dilated=kind is not Undilated)
    image = Seen((1, 513, 513, 3), 1, 1)
    return deeplab.backbone(counter, image, settings.at(output_stride)).high.field


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


def seen_by_centre(cases, *, settings, size=None):
    """How much each pixel moves the backbone's centre feature: an array [h, w] a case, at most 1.

    cases: (output stride, class of layers). The image is noise; the weights are random and the same
    in all cases. What is shown is the gradient's size, over the three colours. size: of the image,
    None takes 513, and less for the deeper networks, which take longer.
    """
    size = size or (513 if settings.backbone == "mobilenet_v2" else 257)
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


def labels(photograph, *, settings, path=None):
    """What the network answers: class ids uint8 [h, w]. path: of a checkpoint, None is random."""
    height, width = photograph.shape[:2]
    with tf.Graph().as_default(), _session() as session:
        tf.set_random_seed(settings.seed)
        image = tf.constant(padded(photograph))
        found = deeplab.predict_labels(
            deeplab.build_logits(image, settings=settings), image.shape[1:3]
        )
        session.run(tf.global_variables_initializer())
        if path:
            checkpoints.restore(session, path, tf.global_variables())
        return session.run(found)[0, :height, :width].astype(np.uint8)


def show_labels(photograph, answers, settings, names):
    """The photograph, then each {caption: class ids}, over a legend of the classes in them."""
    panels = [(caption, plots.overlay(photograph, found)) for caption, found in answers.items()]
    figure = plots.show_row([("photograph", photograph)] + panels)
    return with_legend(figure, names, *answers.values(), ignore_label=settings.ignore_label)


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
    return plots.show_row(panels, width=2.2)


def show_seen(cases, arrays, settings):
    """How much each pixel counts, from 1 (bright) to a thousandth (dark).

    cases: (caption, output stride, kind of layers); arrays: of `seen_by_centre`. The frame is the
    receptive field, where the image is large enough to hold it.
    """
    pictures = [
        (f"{name}\n{_in_words(seen, settings, stride, kind)}", np.log10(np.maximum(seen, 1e-3)))
        for (name, stride, kind), seen in zip(cases, arrays)
    ]
    figure = plots.show_row(pictures, width=3.5)
    for axes, seen in zip(figure.axes, arrays):
        top, left, height, width = seen_box(seen)
        axes.add_patch(
            patches.Rectangle(
                (left - 0.5, top - 0.5), width, height, fill=False, edgecolor="white", linestyle=":"
            )
        )
    return figure


def _in_words(seen, settings, stride, kind):
    field = receptive_field(settings, stride, kind)
    half = half_of(seen)
    words = f"{field}, beyond the image" if field > len(seen) else f"{field} x {field}"
    return f"receptive field {words}\nhalf of the gradient in {half} x {half}"


def half_of(seen):
    """The side of the smallest square around the middle that holds half of the sum."""
    rows, columns = np.indices(seen.shape)
    middle = np.array(seen.shape)[:, None, None] // 2
    away = np.abs(np.array([rows, columns]) - middle).max(axis=0)
    held = np.cumsum(np.bincount(away.ravel(), seen.ravel()))
    return int(2 * np.searchsorted(held, held[-1] / 2) + 1)


EDGES = np.float32([[1, 0, -1], [2, 0, -2], [1, 0, -1]])  # Sobel's, for edges that stand upright


def show_edges(separable, photograph, rates=(1, 3, 9)):
    """The photograph through a reader's separable convolution, an edge filter, at three rates.

    None, for an answer that is not right yet, says what will be here.
    """
    if separable is None:
        print("the edges in the photograph are drawn here once `separable` is right")
        return None
    kernel, mean = np.repeat(EDGES[..., None], 3, axis=-1), np.ones((3, 1)) / 3
    panels = [
        (f"edges, rate {rate}", np.abs(separable(photograph / 255, kernel, mean, rate))[..., 0])
        for rate in rates
    ]
    return plots.show_row([("photograph", photograph)] + panels, width=2.8)


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
