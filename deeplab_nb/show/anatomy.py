"""A network taken apart, for notebook 02: its stages, its parameters, what one feature sees."""
import collections
import itertools
import re

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.evaluation.predict import framed
from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import BYTES, Counter, Map
from deeplab_nb.network.layers import Layers
from deeplab_nb.tf1 import host_config, tf

# neighbouring units with the same figures; sides and rates have one entry for each output stride
Stage = collections.namedtuple("Stage", "name channels sides rates")

# network, settings, billions of multiply-adds by output stride for 513 x 513: MobileNetV2 from the model zoo's
# page, ResNet-101 and Xception-65 from the DeepLabv3+ paper, Tables 3 and 5
PUBLISHED_COST = (
    ("MobileNetV2 0.5", dict(depth_multiplier=0.5), {16: 0.88, 8: 2.84}),
    ("MobileNetV2", {}, {16: 2.75}),
    ("Xception-65, v3+", dict(backbone="xception_65", aspp=True, decoder=True), {16: 54.17, 8: 177.10}),
    ("ResNet-101, v3", dict(backbone="resnet_v1_101_beta", aspp=True, separable_head=False, multi_grid="1,2,4"),
     {16: 81.02, 8: 276.18}),
)


class Recorder(Counter):
    """A `cost.Counter` that also notes `(unit, channels, side, rate)` of each layer with weights."""

    def __init__(self):
        super().__init__()
        self.layers = []

    def convolution(self, x, scope, filters, *, rate=1, **options):
        return self._record(super().convolution(x, scope, filters, rate=rate, **options), scope, rate)

    def depthwise(self, x, scope, *, rate=1, **options):
        return self._record(super().depthwise(x, scope, rate=rate, **options), scope, rate)

    def _record(self, y, scope, rate):
        self.layers.append((_unit(scope), y.shape[3], y.shape[1], rate))
        return y


class Undilated(Layers):
    """The mistake that atrous convolution repairs: strides are dropped, but every rate is 1."""

    def convolution(self, x, scope, filters, *, rate=1, **options):
        return super().convolution(x, scope, filters, **options)

    def depthwise(self, x, scope, *, rate=1, **options):
        return super().depthwise(x, scope, **options)


def stages(settings, output_strides=(16, 8), size=513):
    """The network's `Stage`s in the order of building; rates are the largest of a unit. Builds nothing."""
    columns = [_units(settings, stride, size) for stride in output_strides]
    rows = [Stage(units[0][0], units[0][1], tuple(unit[2] for unit in units), tuple(unit[3] for unit in units))
            for units in zip(*columns)]
    groups = itertools.groupby(rows, lambda row: (re.sub(r"\d+$", "", row.name),) + row[1:])
    return [_merged(list(group)) for _, group in groups]


def _units(settings, output_stride, size):
    """`(name, channels, side, rate)` of each unit: the last layer's output and the largest rate."""
    recorder = Recorder()
    deeplab.network(recorder, Map((1, size, size, 3)), settings.at(output_stride))
    groups = [list(group) for _, group in itertools.groupby(recorder.layers, lambda layer: layer[0])]
    return [group[-1][:3] + (max(layer[3] for layer in group),) for group in groups]


def _unit(scope):
    """The part of a scope that names a unit: 'MobilenetV2/expanded_conv_3/expand' gives 'expanded_conv_3'."""
    scope = re.sub(r"^(MobilenetV2|xception_\d+|resnet_v1_\d+)/", "", scope)
    match = re.match(r".*unit_\d+|expanded_conv(_\d+)?|aspp\d|decoder|logits", scope)
    return match.group() if match else scope


def _merged(rows):
    last = re.search(r"\d+$", rows[-1].name)
    return rows[0]._replace(name="{} to {}".format(rows[0].name, last.group())) if len(rows) > 1 else rows[0]


def table(stages, output_strides=(16, 8)):
    """The stages as text: channels, then map side and atrous rate at each output stride."""
    row = "{:34s} {:>8}" + " {:>13s}" * len(output_strides)
    lines = [row.format("stage", "channels", *("stride {}".format(stride) for stride in output_strides))]
    lines += [row.format(stage.name, stage.channels, *map("{:d}, rate {:2d}".format, stage.sides, stage.rates))
              for stage in stages]
    return "\n".join(lines)


def parameters(declarations, scope=""):
    """How many values the variables below a scope have."""
    return sum(int(np.prod(d.shape)) for d in declarations if d.name.startswith(scope))


def price(settings, output_stride, size=513):
    """What the network costs for one image, as text."""
    cost, logits = deeplab.cost(settings.at(output_stride), size=size), stages(settings, (output_stride,), size)[-1]
    return ("output stride {:2d}{}: scores {side} x {side}, {:,} parameters, {:.2f} billion multiply-adds,\n"
            "    maps of {:,.0f} MB an image to train, of {:,.0f} MB to evaluate").format(
                output_stride, " with decoder" if settings.decoder else "", parameters(cost.variables),
                cost.multiply_adds / 1e9, BYTES * cost.kept / 1e6, BYTES * cost.largest / 1e6, side=logits.sides[0])


def cost_rows(settings, output_strides=(16, 8)):
    """Rows for `plots.cost_bars`: these settings' network, then the published ones, counted here."""
    cases = (("these settings", settings, {}),) + tuple((name, settings_module.read(values), published)
                                                        for name, values, published in PUBLISHED_COST)
    return [(name, {stride: deeplab.cost(case.at(stride)).multiply_adds / 1e9 for stride in output_strides}, published)
            for name, case, published in cases]


def features(images, *, settings, output_strides):
    """The backbone's features of images [batch, h, w, 3] at each output stride, all with the same random weights."""
    with tf.Graph().as_default(), _session() as session:
        layers = _random_layers(Layers, settings)
        pixels = deeplab.normalise(tf.constant(images))
        built = [deeplab.backbone(layers, pixels, settings.at(stride)).high for stride in output_strides]
        session.run(tf.global_variables_initializer())
        return session.run(built)


def untrained_labels(photograph, *, settings):
    """What the network answers with random weights: class ids uint8 [h, w]."""
    height, width = photograph.shape[:2]
    with tf.Graph().as_default(), _session() as session:
        tf.set_random_seed(settings.seed)
        image = tf.constant(framed(photograph))
        labels = deeplab.predict_labels(deeplab.build_logits(image, settings=settings), image.shape[1:3])
        session.run(tf.global_variables_initializer())
        return session.run(labels)[0, :height, :width].astype(np.uint8)


def seen_by_centre(cases, *, settings, size):
    """How much each pixel moves the backbone's centre feature: for each case an array [h, w], at most 1.

    cases: (output stride, class of layers). The image is noise; the weights are random and the same in all cases.
    What is shown is the gradient's size, over the three colours.
    """
    noise = np.random.RandomState(settings.seed).randint(0, 256, (1, size, size, 3)).astype("float32")
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


def _random_layers(kind, settings):
    """Layers of a kind over variables that the session still has to initialise; made once a graph."""
    tf.set_random_seed(settings.seed)
    return kind(deeplab.variables_of(settings))  # the same at every output stride


def _session():
    """A session that does not optimise its graphs first: one run does not repay it."""
    config = host_config()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(config=config)
