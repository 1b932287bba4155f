"""A network taken apart, for notebook 02: its stages, its cost, what one feature sees."""

import collections
import itertools
import re

import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb import settings as settings_module
from deeplab_nb.evaluation.predict import framed
from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import BYTES, Counter, Map
from deeplab_nb.network.layers import Layers
from deeplab_nb.network.variables import create_variables
from deeplab_nb.show.plots import show_row
from deeplab_nb.tf1 import host_config, tf

# neighbouring units with the same figures; sides and rates have one entry for each output stride
Stage = collections.namedtuple("Stage", "name channels sides rates")

STRIDE_COLOURS = {8: "#d9822b", 16: "#3d6fa3", 32: "#7a7a7a"}
RATE_COLOURS = ("#d5dde6", "#8fb3d4", "#3d6fa3", "#1d3d5f")  # atrous rate 1, 2, up to 4, higher

# network, settings, billions of multiply-adds by output stride for 513 x 513: MobileNetV2 from the
# model zoo's page, ResNet-101 and Xception-65 from the DeepLabv3+ paper, Tables 3 and 5
PUBLISHED_COST = (
    ("MobileNetV2 0.5", dict(depth_multiplier=0.5), {16: 0.88, 8: 2.84}),
    ("MobileNetV2", {}, {16: 2.75}),
    (
        "Xception-65, v3+",
        dict(backbone="xception_65", aspp=True, decoder=True),
        {16: 54.17, 8: 177.10},
    ),
    (
        "ResNet-101, v3",
        dict(backbone="resnet_v1_101_beta", aspp=True, separable_head=False, multi_grid="1,2,4"),
        {16: 81.02, 8: 276.18},
    ),
)


class Recorder(Counter):
    """A `cost.Counter` that also notes `(unit, channels, side, rate)` of layers with weights."""

    def __init__(self):
        super().__init__()
        self.layers = []

    def convolution(self, x, scope, filters, *, rate=1, **options):
        return self._record(
            super().convolution(x, scope, filters, rate=rate, **options), scope, rate
        )

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
    """The network's `Stage`s in order; rates are the largest of a unit. Builds nothing."""
    columns = [_units(settings, stride, size) for stride in output_strides]
    rows = [
        Stage(
            units[0][0],
            units[0][1],
            tuple(unit[2] for unit in units),
            tuple(unit[3] for unit in units),
        )
        for units in zip(*columns)
    ]
    groups = itertools.groupby(rows, lambda row: (re.sub(r"\d+$", "", row.name),) + row[1:])
    return [_merged(list(group)) for _, group in groups]


def _units(settings, output_stride, size):
    """`(name, channels, side, rate)` of each unit: the last layer's output and the largest rate."""
    recorder = Recorder()
    deeplab.network(
        recorder, Map((1, size, size, 3)), settings=settings, output_stride=output_stride
    )
    groups = [
        list(group) for _, group in itertools.groupby(recorder.layers, lambda layer: layer[0])
    ]
    return [group[-1][:3] + (max(layer[3] for layer in group),) for group in groups]


def _unit(scope):
    """What names a unit in a scope: expanded_conv_3 in MobilenetV2/expanded_conv_3/expand."""
    scope = re.sub(r"^(MobilenetV2|xception_\d+|resnet_v1_\d+)/", "", scope)
    match = re.match(r".*unit_\d+|expanded_conv(_\d+)?|aspp\d|decoder|logits", scope)
    return match.group() if match else scope


def _merged(rows):
    last = re.search(r"\d+$", rows[-1].name)
    return rows[0]._replace(name=f"{rows[0].name} to {last.group()}") if len(rows) > 1 else rows[0]


def table(stages, output_strides=(16, 8)):
    """The stages as text: channels, then map side and atrous rate at each output stride."""

    def line(name, channels, cells):
        return f"{name:34s} {channels:>8}" + "".join(f" {cell:>13s}" for cell in cells)

    lines = [line("stage", "channels", [f"stride {stride}" for stride in output_strides])]
    for stage in stages:
        cells = [f"{side:d}, rate {rate:2d}" for side, rate in zip(stage.sides, stage.rates)]
        lines.append(line(stage.name, stage.channels, cells))
    return "\n".join(lines)


def parameters(declarations, scope=""):
    """How many values the variables below a scope have."""
    return sum(int(np.prod(d.shape)) for d in declarations if d.name.startswith(scope))


def cost_text(settings, output_stride, size=513):
    """What the network costs for one image, as text."""
    cost = deeplab.cost(settings, output_stride, size)
    side = stages(settings, (output_stride,), size)[-1].sides[0]
    decoder = " with decoder" if settings.decoder else ""
    training, evaluation = (BYTES * count / 1e6 for count in (cost.kept, cost.largest))
    return (
        f"output stride {output_stride:2d}{decoder}: scores {side} x {side}, "
        f"{parameters(cost.variables):,} parameters, "
        f"{cost.multiply_adds / 1e9:.2f} billion multiply-adds,\n"
        f"    maps of {training:,.0f} MB an image to train, of {evaluation:,.0f} MB to evaluate"
    )


def cost_rows(settings, output_strides=(16, 8)):
    """Rows for `cost_bars`: these settings' network, then the published ones, counted here."""
    cases = (("these settings", settings, {}),) + tuple(
        (name, settings_module.read(values), published)
        for name, values, published in PUBLISHED_COST
    )
    return [
        (
            name,
            {stride: deeplab.cost(case, stride).multiply_adds / 1e9 for stride in output_strides},
            published,
        )
        for name, case, published in cases
    ]


def features(images, *, settings, output_strides):
    """The backbone's features of images [batch, h, w, 3] at each output stride.

    The weights are random, and the same at all of them.
    """
    with tf.Graph().as_default(), _session() as session:
        layers = _random_layers(Layers, settings)
        pixels = deeplab.normalise(tf.constant(images))
        built = [
            deeplab.backbone(layers, pixels, settings=settings, output_stride=stride).high
            for stride in output_strides
        ]
        session.run(tf.global_variables_initializer())
        return session.run(built)


def untrained_labels(photograph, *, settings):
    """What the network answers with random weights: class ids uint8 [h, w]."""
    height, width = photograph.shape[:2]
    with tf.Graph().as_default(), _session() as session:
        tf.set_random_seed(settings.seed)
        image = tf.constant(framed(photograph))
        labels = deeplab.predict_labels(
            deeplab.build_logits(image, settings=settings), image.shape[1:3]
        )
        session.run(tf.global_variables_initializer())
        return session.run(labels)[0, :height, :width].astype(np.uint8)


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
            maps = deeplab.backbone(
                layers, deeplab.normalise(pixels), settings=settings, output_stride=stride
            ).high
            middle = int(maps.shape[1]) // 2
            gradients += tf.gradients(maps[:, middle, middle], pixels)
        session.run(tf.global_variables_initializer())
        sizes = [np.abs(session.run(gradient)[0]).sum(-1) for gradient in gradients]
    return [size / size.max() for size in sizes]


def _random_layers(kind, settings):
    """Layers of a kind over variables that the session has yet to initialise; made once a graph."""
    tf.set_random_seed(settings.seed)
    return kind(
        create_variables(deeplab.cost(settings, 16).variables)
    )  # the same at every output stride


def _session():
    """A session that does not optimise its graphs first: one run does not repay it."""
    config = host_config()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return tf.Session(config=config)


def cost_bars(rows):
    """Multiply-adds, logarithmic: rows of (network, {output stride: billions}, same published)."""
    figure = Figure(figsize=(8, 0.62 * len(rows) + 1.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for row, (_, counted, published) in enumerate(rows):
        for place, stride in enumerate(sorted(counted, reverse=True)):
            y = row + 0.38 * place - 0.19
            axes.barh(
                y,
                counted[stride],
                height=0.36,
                color=STRIDE_COLOURS[stride],
                label="" if row else f"output stride {stride}",
            )
            axes.text(counted[stride] * 1.12, y, f"{counted[stride]:.2f}", va="center", fontsize=9)
            if stride in published:
                axes.plot(
                    [published[stride]] * 2, [y - 0.18, y + 0.18], color="black", linewidth=2.5
                )
    axes.plot([], [], color="black", linewidth=2.5, label="published")
    axes.set(
        xscale="log",
        xlim=(0.1, 1000),
        yticks=range(len(rows)),
        xlabel="billions of multiply-adds for one image of 513 x 513",
    )
    axes.set_yticklabels([name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=3, fontsize=8, frameon=False)
    return figure


def staircase(stages, output_strides):
    """The map's side after each of the stages, a row of bars an output stride.

    Bars are darker at higher atrous rates.
    """
    figure = Figure(
        figsize=(0.55 * len(stages) + 2, 2.1 * len(output_strides) + 1.3), constrained_layout=True
    )
    for row, stride in enumerate(output_strides):
        axes = figure.add_subplot(len(output_strides), 1, row + 1)
        sides, rates = (
            [getattr(stage, what)[row] for stage in stages] for what in ("sides", "rates")
        )
        axes.bar(
            range(len(stages)), sides, width=0.92, color=[_rate_colour(rate) for rate in rates]
        )
        for place, side in enumerate(sides):
            axes.text(place, side, side, ha="center", va="bottom", fontsize=9)
        axes.set(
            ylim=(0, 1.18 * max(sides)),
            xticks=range(len(stages)),
            yticks=[],
            xlim=(-0.6, len(stages) - 0.4),
        )
        axes.set_title(f"output stride {stride}", fontsize=10, loc="left")
        axes.set_xticklabels(
            [stage.name for stage in stages] if stride == output_strides[-1] else [],
            rotation=35,
            ha="right",
            fontsize=8,
        )
        for edge in ("top", "right", "left"):
            axes.spines[edge].set_visible(False)
    handles = [
        patches.Patch(color=colour, label=text)
        for colour, text in zip(RATE_COLOURS, ("rate 1", "rate 2", "rate 3 or 4", "higher rate"))
    ]
    figure.axes[0].legend(handles=handles, loc="upper right", fontsize=8, frameon=False)
    return figure


def _rate_colour(rate):
    return RATE_COLOURS[0 if rate == 1 else 1 if rate == 2 else 2 if rate <= 4 else 3]


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
