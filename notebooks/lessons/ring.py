"""How training should scale with the number of cards, on paper, beside what was published.

For notebook 04. Data parallel training with a ring all-reduce: N cards each send and receive
2 (N - 1) / N times the gradients' bytes in 2 (N - 1) messages. This project has measured no figure
of several cards. What is assumed:
- gradients are float32, as Huawei's optimisers for several cards reduce them, and their reduction
  does not overlap with the backward pass: an upper bound, since the compiler can overlap them
  (`hcom_parallel`);
- the slowest link is the 100 Gbit/s network port that each card has and whose address the rank
  table holds; within 0-3 and 4-7 cards are linked faster. A message takes 50 microseconds. Both are
  round figures, not published ones;
- one card's step takes as long as its published rate says; every card of the server trains as fast
  as one alone;
- reading and augmenting images overlaps with the step, 41.3 images a second on each processor core:
  the original's pipeline at crop 513, measured on a PC's core.
"""

import collections

import numpy as np
from matplotlib.figure import Figure

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import BYTES
from deeplab_nb.training.objective import is_trained

# bytes_a_second: through one card's link, each way; latency: seconds a message
Link = collections.namedtuple("Link", "bytes_a_second latency")
# parameters: those with a gradient; batch: images a step on a card; published: {cards: images/s}
Case = collections.namedtuple("Case", "name parameters batch published source")
Row = collections.namedtuple(
    "Row", "cards reduce_seconds step_seconds images_a_second efficiency input_cores"
)

PORT = Link(12.5e9, 50e-6)
IMAGES_A_CORE_SECOND = 41.3
CARDS = (1, 2, 4, 8, 16, 32)


def cases():
    """The published systems whose rate on one card is known."""
    plus, two_branch = (
        recipes.get(name).settings for name in ("deeplabv3plus_1p", "deeplabv3_mindspore_1p")
    )
    return [
        Case(
            "DeepLabv3+, Xception-65",
            parameters(plus),
            plus.train_batch_size,
            {1: 14.4},
            "200,000 steps in 27 h, Huawei's port",
        ),
        Case(
            "DeepLabv3, ResNet-101",
            parameters(_resnet_101()),
            32,
            {1: 60.0, 8: 480.0},
            "MindSpore zoo 2023, output stride 16",
        ),
        Case(
            "DeepLabv3, ResNet-50, head only",
            parameters(two_branch),
            two_branch.train_batch_size,
            {1: 54.6},
            "MindSpore zoo 2020, 36.631 ms a step",
        ),
    ]


def parameters(settings):
    """How many values get a gradient under these settings."""
    return sum(
        int(np.prod(d.shape))
        for d in deeplab.cost(settings).variables
        if d.trainable and is_trained(d.name, settings)
    )


def all_reduce_seconds(size, cards, link=PORT):
    """Seconds in which a ring of cards sums `size` bytes that each of them holds."""
    return 2 * (cards - 1) / cards * size / link.bytes_a_second + 2 * (cards - 1) * link.latency


def row(case, cards, *, link=PORT, input_cores=None):
    """The `Row` of a case on so many cards.

    input_cores: processor cores that prepare images, None for enough.
    """
    reduce_seconds = all_reduce_seconds(BYTES * case.parameters, cards, link)
    step = case.batch / case.published[1] + reduce_seconds
    if input_cores:
        step = max(step, cards * case.batch / (input_cores * IMAGES_A_CORE_SECOND))
    rate = cards * case.batch / step
    return Row(
        cards,
        reduce_seconds,
        step,
        rate,
        rate / (cards * case.published[1]),
        rate / IMAGES_A_CORE_SECOND,
    )


def table(cards=CARDS, *, link=PORT, input_cores=None):
    """The model as text: a line a case and number of cards, beside the published rate if any."""
    lines = [
        f"{'cards':>6s} {'all-reduce':>12s} {'step':>10s} {'images/s':>10s} {'of full':>8s} "
        f"{'cores, input':>12s} {'published':>11s}"
    ]
    for case in cases():
        size = BYTES * case.parameters / 1e6
        lines.append(f"{case.name}: {size:.1f} MB of gradients, batch {case.batch} ({case.source})")
        for count in cards:
            r = row(case, count, link=link, input_cores=input_cores)
            published = f"{case.published[count]:.1f}" if count in case.published else ""
            lines.append(
                f"{count:6d} {1000 * r.reduce_seconds:9.1f} ms {1000 * r.step_seconds:7.1f} ms "
                f"{r.images_a_second:10.1f} {100 * r.efficiency:6.1f} % {r.input_cores:12.1f} "
                f"{published:>11s}"
            )
    return "\n".join(lines)


def curves(cards=CARDS, *, link=PORT):
    """What `scaling` draws."""
    return [
        (
            case.name,
            [(count, row(case, count, link=link).efficiency) for count in cards],
            {
                count: rate / (count * case.published[1])
                for count, rate in case.published.items()
                if count > 1
            },
        )
        for case in cases()
    ]


def scaling(curves):
    """Share of full speed over the number of cards.

    curves: (name, [(cards, share)], {cards: published share}) each.
    """
    figure = Figure(figsize=(7, 3.4), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for name, points, published in curves:
        (line,) = axes.plot(
            *zip(*((cards, 100 * share) for cards, share in points)),
            marker="o",
            markersize=4,
            label=name,
        )
        for cards, share in published.items():
            axes.plot(
                cards,
                100 * share,
                marker="*",
                markersize=13,
                color=line.get_color(),
                linestyle="none",
            )
    counts = [cards for cards, _ in curves[0][1]]
    axes.plot([], [], marker="*", markersize=10, color="black", linestyle="none", label="published")
    axes.set_xscale("log", base=2)
    axes.set(xticks=counts, ylim=(0, 110), xlabel="cards", ylabel="percent of full speed")
    axes.set_xticklabels(counts)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def _resnet_101():
    """The nearest network of ours to the entry of 2023; the counts are compared in the tests."""
    return settings_module.read(
        {
            "backbone": "resnet_v1_101_beta",
            "aspp": True,
            "separable_head": False,
            "multi_grid": "1,2,4",
        }
    )
