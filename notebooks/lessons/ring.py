"""How training should scale with the number of cards, on paper, beside what was published.

For notebook 04. Data parallel training with a ring all-reduce (Patarasuk & Yuan 2009,
https://doi.org/10.1016/j.jpdc.2008.09.002): N cards each send and receive 2 (N - 1) / N times the
gradients' bytes in 2 (N - 1) messages; for two cards that is the gradients once. This project has
measured no figure of several cards. What is assumed:
- gradients are float32, as Huawei's optimisers for several cards reduce them, and their reduction
  does not overlap with the backward pass: an upper bound, since the compiler can overlap them
  (`hcom_parallel`);
- the slowest link is the 100 Gbit/s network port that each card has and whose address the rank
  table holds; within 0-3 and 4-7 cards are linked faster. A message takes 50 microseconds. Both are
  round figures, not published ones;
- one card's step takes as long as its published rate says; every card of the server trains as fast
  as one alone;
- reading and augmenting images overlaps with the step, and each processor core prepares as many
  images a second as `images_a_core_second` measures here, at the crop of the published recipes.
"""

import collections
import os
import time

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure
from tensorflow.python.ops import collective_ops

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data.pipeline import training_batches
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import BYTES
from deeplab_nb.runs.run import Run
from deeplab_nb.tf1 import host_config, host_session, tf
from deeplab_nb.training.objective import is_trained

# bytes_a_second: through one card's link, each way; latency: seconds a message
Link = collections.namedtuple("Link", "bytes_a_second latency")
# parameters: those with a gradient; batch: images a step on a card; published: {cards: images/s}
Case = collections.namedtuple("Case", "name parameters batch published source")
Row = collections.namedtuple("Row", "cards reduce_seconds step_seconds images_a_second efficiency")

PORT = Link(12.5e9, 50e-6)
CARDS = (1, 2, 4, 8, 16, 32)


# --- the ring itself


def all_reduce(vectors):
    """The sum of the vectors on each of as many virtual devices, one array a device.

    By the operation with which `deeplab_nb.devices.collectives` adds up the gradients of ranks.
    """
    config, count, sums = host_config(), len(vectors), []
    config.device_count["CPU"] = count
    config.experimental.collective_group_leader = "/job:localhost/replica:0/task:0"
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        for number, vector in enumerate(vectors):
            with tf.device(f"/cpu:{number}"):
                own = tf.constant(vector, tf.float32)
                sums.append(collective_ops.all_reduce(own, count, 1, 1, "Add", "Id"))
        return session.run(sums)


def show_rounds(cards=4):
    """How many cards' numbers are in each part on each card, before and after every message."""
    held = np.ones((cards, cards), int)
    moments = [("at first", held)]
    for message in range(2 * (cards - 1)):
        held, before = held.copy(), held
        for card in range(cards):
            other, part = (card + 1) % cards, (card - message) % cards
            added = before[other, part] if message < cards - 1 else 0
            held[other, part] = before[card, part] + added
        moments.append((f"{'sum' if message < cards - 1 else 'send on'} {len(moments)}", held))
    figure = Figure(figsize=(1.35 * len(moments), 1.75))
    for place, (name, held) in enumerate(moments, start=1):
        axes = figure.add_subplot(1, len(moments), place)
        axes.imshow(held, cmap="Blues", vmin=0, vmax=1.3 * cards)
        for (card, part), count in np.ndenumerate(held):
            axes.text(part, card, count, ha="center", va="center")
        axes.set_title(name, fontsize=10)
        axes.set(xticks=[], yticks=range(cards) if place == 1 else [])
    figure.axes[0].set_ylabel("card")
    figure.suptitle("columns: parts; number: how many cards are summed in it", fontsize=10, y=0.14)
    figure.subplots_adjust(left=0.05, right=0.99, top=0.95, bottom=0.1)
    figure.set_label("after half of the messages each card has one whole sum, at the end all")
    return figure


# --- what it costs


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


def row(case, cards, *, link=PORT, input_rate=None):
    """The `Row` of a case on so many cards.

    input_rate: images a second that the server's cores prepare, None for enough.
    """
    reduce_seconds = all_reduce_seconds(BYTES * case.parameters, cards, link)
    step = case.batch / case.published[1] + reduce_seconds
    if input_rate:
        step = max(step, cards * case.batch / input_rate)
    rate = cards * case.batch / step
    return Row(cards, reduce_seconds, step, rate, rate / (cards * case.published[1]))


def table(core_rate, cards=CARDS, *, link=PORT):
    """The model as text: a line a case and number of cards, beside the published rate if any.

    core_rate: images a second that one core prepares.
    """
    lines = [
        f"{'cards':>6s} {'all-reduce':>12s} {'step':>10s} {'images/s':>10s} {'of full':>8s} "
        f"{'cores, input':>12s} {'published':>11s}"
    ]
    for case in cases():
        size = BYTES * case.parameters / 1e6
        lines.append(f"{case.name}: {size:.1f} MB of gradients, batch {case.batch}")
        lines.append(f"  one card: {case.source}")
        for count in cards:
            r = row(case, count, link=link)
            published = f"{case.published[count]:.1f}" if count in case.published else ""
            lines.append(
                f"{count:6d} {1000 * r.reduce_seconds:9.1f} ms {1000 * r.step_seconds:7.1f} ms "
                f"{r.images_a_second:10.1f} {100 * r.efficiency:6.1f} % "
                f"{r.images_a_second / core_rate:12.1f} {published:>11s}"
            )
    return "\n".join(lines)


def records_of(run):
    """Record files of a run's training list; where its data is not there, the sample's."""
    try:
        return run.records(run.settings.train_list)
    except WorkbookError as error:
        print(f"{error}\nuntil then, the drawn sample serves")
        sample = recipes.get("sample")
        return Run(sample, sample.settings, run.folder).records(sample.settings.train_list)


def images_a_core_second(records, settings, *, images=60):
    """How many training images one core of this machine prepares in a second.

    records: TFRecord files; settings: of a recipe, whose crop and augmentation are taken. Time is
    this process's own on all cores, so that a busy machine gives the same figure.
    """
    single = settings_module.override(settings, {"train_batch_size": 1})
    with tf.Graph().as_default(), host_session() as session:
        iterator, image, label, _ = training_batches(records, single)
        session.run(iterator.initializer)
        for _ in range(5):  # threads start, and some are prepared ahead
            session.run([image, label])
        began = time.process_time()
        for _ in range(images):
            session.run([image, label])
        return images / (time.process_time() - began)


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0))


def limits(input_rate, cards=CARDS, *, link=PORT):
    """Images a second over the number of cards: with enough input, and with this server's.

    input_rate: images a second that all cores together prepare.
    """
    figure, axes = _axes(cards)
    for case in cases():
        free, held = (
            [row(case, count, link=link, input_rate=rate).images_a_second for count in cards]
            for rate in (None, input_rate)
        )
        (line,) = axes.plot(cards, held, marker="o", markersize=4, label=case.name)
        axes.plot(cards, free, linestyle=":", color=line.get_color())
        for count, rate in case.published.items():
            axes.plot(count, rate, "*", markersize=13, color=line.get_color())
    axes.axhline(input_rate, color="black", linewidth=0.8)
    axes.text(cards[-1], input_rate * 1.06, f"input: {input_rate:.0f} images/s", ha="right")
    axes.plot([], [], "k:", label="if images were always ready")
    axes.plot([], [], "k*", markersize=10, linestyle="none", label="published")
    axes.legend(fontsize=10, frameon=False, loc="lower right")
    figure.set_label("more cards train no faster from where the input line is reached")
    return figure


def stops(input_rate):
    """Text: up to how many cards the input keeps each case busy."""
    lines = []
    for case in cases():
        fed = input_rate / case.published[1]
        lines.append(f"{case.name:32s} {case.published[1]:5.1f} images/s a card: {fed:6.1f} cards")
    return "\n".join(lines)


def yours(function, input_rate, cards=CARDS):
    """The curve of the reader's `images_a_second` beside this file's, for DeepLabv3, ResNet-101.

    None where the function does not give a number for each count of cards.
    """
    case, (figure, axes) = cases()[1], _axes(cards)
    compute, size = case.batch / case.published[1], BYTES * case.parameters
    try:
        found = [
            float(function(n, case.batch, compute, all_reduce_seconds(size, n), input_rate))
            for n in cards
        ]
    except Exception:  # not answered, or no number; `check` has said so
        return None
    here = [row(case, n, input_rate=input_rate).images_a_second for n in cards]
    axes.plot(cards, here, color="lightgrey", linewidth=6, label="lessons/ring.py")
    axes.plot(cards, found, color="black", marker="o", markersize=4, label="yours")
    axes.set_title(case.name, fontsize=11)
    axes.legend(fontsize=10, frameon=False, loc="upper left")
    return figure


def _axes(cards):
    """(figure, its axes) of images a second over the number of cards."""
    figure = Figure(figsize=(7.5, 4), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.ScalarFormatter())
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.set(xticks=cards, xlabel="cards", ylabel="images a second")
    axes.set_xticklabels(cards)
    return figure, axes


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
