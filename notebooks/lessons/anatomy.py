"""A network taken apart, for notebook 02: its stages, its parameters, its multiply-adds."""

import collections
import itertools
import re

import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import BYTES, Counter, Map

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
    deeplab.network(recorder, Map((1, size, size, 3)), settings.at(output_stride))
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
    cost = deeplab.cost(settings.at(output_stride), size=size)
    side = stages(settings, (output_stride,), size)[-1].sides[0]
    decoder = ", with decoder" if settings.decoder else ""
    training, evaluation = (BYTES * count / 1e6 for count in (cost.kept, cost.largest))
    return (
        f"output stride {output_stride}{decoder}: logits {side} x {side}, "
        f"{parameters(cost.variables):,} parameters,\n"
        f"    {cost.multiply_adds / 1e9:.2f} billion multiply-adds, maps of "
        f"{training:,.0f} MB an image to train, of {evaluation:,.0f} MB to evaluate"
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
            {
                stride: deeplab.cost(case.at(stride)).multiply_adds / 1e9
                for stride in output_strides
            },
            published,
        )
        for name, case, published in cases
    ]


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
    figure.axes[0].legend(handles=handles, loc="upper right", fontsize=9, frameon=False)
    strides = " and ".join(str(stride) for stride in output_strides)
    figure.set_label(f"bars of the map's side, stage by stage, at output stride {strides}")
    return figure


def _rate_colour(rate):
    return RATE_COLOURS[0 if rate == 1 else 1 if rate == 2 else 2 if rate <= 4 else 3]
