"""Mixed precision on the real network, for notebook 03: gradients' sizes, a loss scale at work."""

import collections

import numpy as np
from matplotlib.figure import Figure

from deeplab_nb import settings as settings_module
from deeplab_nb.devices import devices, precision
from deeplab_nb.network import checkpoints
from deeplab_nb.network.checkpoints import newest_checkpoint
from deeplab_nb.network.deeplab import build_logits, training_layers, variables_of
from deeplab_nb.network.fast_layers import FastLayers, HalfLayers
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from deeplab_nb.training.step import training_step
from lessons import restoring

# float16: below the first it is 0 or its smallest number, below the second it has fewer digits,
# from the last on it is inf
SMALLEST, NORMAL, TOO_LARGE = -24, -14, 16

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
LOWEST, HIGHEST = -150, 128  # powers of two between which all float32 numbers lie

# counts[i] gradients are at least 2^exponents[i] and less than twice that; zeros are left out
Sizes = collections.namedtuple("Sizes", "exponents counts")

# one attempt at a training step: its loss scale, its cross-entropy, and whether it overflowed
Attempt = collections.namedtuple("Attempt", "loss_scale cross_entropy skipped")


def gradient_sizes(settings, images, masks, path=None):
    """`Sizes` of all gradients that come back to the network's convolutions, in float32.

    images: [batch, h, w, 3] in 0..255; masks: [batch, h, w]. path: of a checkpoint, None is random.
    Mixed precision hands these gradients on in float16.
    """
    with tf.Graph().as_default() as graph, session_of(settings) as session:
        loss, _ = _loss(settings, images, masks)
        outputs = [
            op.outputs[0]
            for op in graph.get_operations()
            if op.type in CONVOLUTIONS and "BatchNorm" not in op.name
        ]
        # the loss has products of its own, some of which no gradient passes
        gradients = [gradient for gradient in tf.gradients(loss, outputs) if gradient is not None]
        _fill(session, settings, path)
        counts = sum(_counts(gradient) for gradient in session.run(gradients))
    return Sizes(np.arange(LOWEST, HIGHEST), counts)


def _fill(session, settings, path):
    session.run(tf.global_variables_initializer())
    if path:
        checkpoints.restore(session, path, variables_of(settings).values())


def weights_at_hand(run):
    """{name: (settings, path of a checkpoint or None)}: untrained, this run's and published."""
    found = {"untrained": (run.settings, None)}
    trained = newest_checkpoint(run.train_folder)
    if trained:
        found["trained here"] = run.settings, trained
    path, settings = restoring.published(run.settings)
    if path:
        # batch statistics of a lesson's few images would spoil what was trained on many
        found["published"] = (
            settings_module.override(settings, {"fine_tune_batch_norm": False}),
            path,
        )
    return found


def small(settings, images, masks):
    """Of a batch as much as a lesson has time for: two images; of deeper networks a part of one."""
    if settings.backbone == "mobilenet_v2":
        return images[:2], masks[:2]
    return images[:1, :129, :129], masks[:1, :129, :129]


def _counts(values):
    exponents = np.frexp(values[values != 0])[1] - 1
    return np.bincount(exponents - LOWEST, minlength=HIGHEST - LOWEST)


def share_below(sizes, exponent, scale=1.0):
    """The share of gradients below 2^exponent once multiplied by `scale`, a power of two."""
    return sizes.counts[sizes.exponents + np.log2(scale) < exponent].sum() / sizes.counts.sum()


def overflows(sizes, scale=1.0):
    """How many gradients are too large for float16 once multiplied by `scale`."""
    return int(sizes.counts[sizes.exponents + np.log2(scale) >= TOO_LARGE].sum())


def fates(sizes, scales=(1, 1024, 65536)):
    """What float16 does to gradients, as text. sizes: {name of the weights: `Sizes`}."""
    lines = [f"{'weights':14s} {'loss scale':>10s} {'vanish':>9s} {'lose digits':>12s}  overflow"]
    for name, found in sizes.items():
        for scale in scales:
            vanish, fewer = (100 * share_below(found, power, scale) for power in (SMALLEST, NORMAL))
            lines.append(
                f"{name:14s} {scale:10d} {vanish:7.2f} % {fewer - vanish:10.2f} %  "
                f"{overflows(found, scale):,} of {found.counts.sum():,}"
            )
    return "\n".join(lines)


# --- one training step


def one_step_settings(settings):
    """The settings without what a step in ten lines leaves out: Adam, clones, multipliers.

    The loss scale is so small that no network's first gradients overflow.
    """
    return settings_module.override(
        settings,
        dict(
            optimizer="momentum",
            mixed_precision=True,
            loss_scale="fixed",
            initial_loss_scale=16.0,
            clones=1,
            cards=1,
            train_steps=max(settings.train_steps, 1),
            slow_start_step=0,
            bias_gradient_multiplier=1.0,
            last_layer_gradient_multiplier=1.0,
        ),
    )


def after_steps(settings, images, masks, step, scales):
    """[{name: weights}]: the first ones, then those after a step at each of the loss scales.

    step(loss, weights, rate, scale) returns the operation that trains.
    """
    with tf.Graph().as_default(), session_of(settings) as session:
        tf.set_random_seed(settings.seed)
        layers = training_layers(settings, HalfLayers, step=0)
        logits = build_logits(tf.constant(images, tf.float32), settings=settings, layers=layers)
        labels = tf.constant(masks, tf.int32)
        total, _ = objective.losses(logits, labels, 0, settings, HalfLayers)
        weights, scale = objective.trained_variables(settings), tf.placeholder(tf.float32, [])
        operation = step(total, weights, settings.learning_rate, scale)
        feeds = [{scale: number} for number in scales]
        return _weights_after(session, [(operation, feed) for feed in feeds], settings)


def after_the_modules_step(settings, images, masks):
    """[{name: weights}]: the first ones, then those after one training step of the module's."""
    with tf.Graph().as_default(), session_of(settings) as session:
        tf.set_random_seed(settings.seed)
        pixels, labels = tf.constant(images, tf.float32), tf.constant(masks, tf.int32)
        operation = training_step(pixels, labels, settings).train
        return _weights_after(session, [(operation, None)], settings)


def _weights_after(session, steps, settings):
    weights = {v.op.name: v for v in objective.trained_variables(settings)}
    session.run(tf.global_variables_initializer())
    found = [session.run(weights)]
    for operation, feed in steps:
        session.run(operation, feed)
        found.append(session.run(weights))
    return found


def compared(before, ours, theirs):
    """A sentence on two steps from the same weights.

    AssertionError unless both moved, and alike.
    """
    moves, differences = (
        max(np.abs(ours[name] - other[name]).max() for name in ours) for other in (before, theirs)
    )
    assert differences < 1e-3 * moves, f"weights moved by {moves}, and differ by {differences}"
    return (
        f"{len(ours)} arrays of weights moved by up to {moves:.3g}; ours and the module's differ "
        f"by at most {differences:.1g}"
    )


def first_logits(settings, images, masks, path=None):
    """`(logits [batch, height, width, classes] at the masks' size, the module's cross-entropy)`."""
    with tf.Graph().as_default(), session_of(settings) as session:
        tf.set_random_seed(settings.seed)
        layers = training_layers(settings, FastLayers)
        logits = build_logits(tf.constant(images, tf.float32), settings=settings, layers=layers)
        loss = objective.cross_entropy(
            logits, tf.constant(masks, tf.int32), settings.ignore_label, layers=FastLayers
        )
        _fill(session, settings, path)
        return session.run([FastLayers.upsample(logits, list(masks.shape[1:])), loss])


# --- a loss scale at work


def scale_trace(settings, images, masks, attempts):
    """A list of `Attempt`s: trains on one batch again and again, float16 simulated.

    The loss scale is that of the settings.
    """
    with tf.Graph().as_default(), session_of(settings) as session:
        step = tf.train.get_or_create_global_step()
        loss, updates = _loss(settings, images, masks, HalfLayers, step)
        rate = objective.learning_rate(step, settings)
        with tf.control_dependencies(updates):
            optimizer, manager = precision.wrapped(objective.optimizer(rate, settings), settings)
            train, _ = objective.update(loss, step, optimizer, settings)
        session.run(tf.global_variables_initializer())
        scale = manager.get_loss_scale()
        return [_attempt(session, train, loss, step, scale) for _ in range(attempts)]


def _attempt(session, train, loss, step, scale):
    scale, before = session.run([scale, step])
    cross_entropy = session.run([loss, train])[0]
    return Attempt(float(scale), float(cross_entropy), session.run(step) == before)


def session_of(settings):
    """As in training: TensorFlow's graph optimiser would take longer than the lesson's steps."""
    return tf.Session(config=devices.session_config("cpu", settings))


def _loss(settings, images, masks, kind=FastLayers, step=0):
    """`(loss, updates of batch norm's statistics)`"""
    tf.set_random_seed(settings.seed)
    layers = training_layers(settings, kind, step=step)
    logits = build_logits(tf.constant(images, tf.float32), settings=settings, layers=layers)
    return objective.cross_entropy(
        logits, tf.constant(masks, tf.int32), settings.ignore_label, stride=settings.loss_stride
    ), layers.updates


def rate_figure(settings):
    """The learning rate at every step of a run; of 1000 where the recipe does not train."""
    title = "" if settings.train_steps else "this recipe has no steps: its schedule over 1000"
    settings = settings_module.override(settings, {"train_steps": settings.train_steps or 1000})
    steps = np.unique(np.linspace(0, settings.train_steps, 200).astype(int))
    with tf.Graph().as_default(), session_of(settings) as session:
        step = tf.placeholder(tf.int64, [])
        rate = objective.learning_rate(step, settings)
        rates = [session.run(rate, {step: number}) for number in steps]
    figure = Figure(figsize=(8, 2.8), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    axes.plot(steps, rates, color="#3d6fa3")
    axes.set(
        xlabel="step", ylabel="learning rate", ylim=(0, 1.05 * max(rates)), xlim=(0, steps[-1])
    )
    axes.set_title(title, fontsize=11)
    policy = settings.learning_rate_policy
    figure.set_label(f"curve of the {policy} schedule from {rates[0]:g} to {rates[-1]:g}")
    return figure


def gradient_figure(sizes, scale):
    """Histograms of gradients as they are and times `scale`, before float16's range.

    sizes: {name of the weights: `Sizes`}, a row each.
    """
    figure = Figure(figsize=(9, 2.1 * len(sizes) + 0.9), constrained_layout=True)
    for row, (name, found) in enumerate(sizes.items(), start=1):
        axes = figure.add_subplot(len(sizes), 1, row)
        _histogram(axes, found, scale)
        axes.set_title(name, fontsize=11, loc="left")
        if row == len(sizes):
            axes.set_xlabel("size of a gradient, as a power of two")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.axes[0].legend(
        handles,
        labels,
        fontsize=10,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncol=3,
        frameon=False,
    )
    figure.set_label(
        f"histograms of gradients, as they are and times {scale:g}: {', '.join(sizes)}"
    )
    return figure


def _histogram(axes, sizes, scale):
    share = 100 * sizes.counts / sizes.counts.sum()
    for factor, colour in ((1.0, "#7a7a7a"), (scale, "#3d6fa3")):
        axes.bar(
            sizes.exponents + np.log2(factor) + 0.5,
            share,
            width=1,
            color=colour,
            alpha=0.7,
            label="gradients" if factor == 1 else f"times {factor:g}",
        )
    for left, right, colour, label in (
        (-60, SMALLEST, "#e4e4ee", "vanish"),
        (SMALLEST, NORMAL, "#f3ead2", "lose digits"),
        (NORMAL, TOO_LARGE, "#e8f0e8", "keep all digits"),
        (TOO_LARGE, 30, "#f6d5d5", "overflow"),
    ):
        axes.axvspan(left, right, color=colour, zorder=0, label=label)
    axes.set(xlim=(-50, 24), ylabel="% of them")


def replay(adjust, trace, every):
    """A reader's loss scale over the overflows of a trace, beside the module's, as a Figure.

    adjust: as exercise 03/adjust asks for; None says what will be here. every: steps to a climb.
    """
    if adjust is None:
        print("your loss scale is drawn over the module's here once `adjust` is right")
        return None
    state, scales = (trace[0].loss_scale, 0, 0), []
    for attempt in trace:
        scales.append(state[0])
        state = adjust(*state, not attempt.skipped, every)
    figure = scale_figure(trace)
    figure.axes[0].plot(np.arange(1, len(trace) + 1), scales, "o", color="#d9822b", markersize=3)
    figure.set_label("dots: your loss scale; line: the module's")
    return figure


def scale_figure(trace):
    """Loss scale and cross-entropy over the attempts, those that overflowed marked."""
    figure = Figure(figsize=(8, 3.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    scales, skipped = np.array([a.loss_scale for a in trace]), np.array([a.skipped for a in trace])
    numbers = np.arange(1, len(trace) + 1)
    axes.step(numbers, scales, where="post", color="#3d6fa3", label="loss scale")
    axes.plot(
        numbers[skipped], scales[skipped], "x", color="#c81e1e", label="overflow, step skipped"
    )
    axes.set_yscale("log", base=2)
    axes.set(xlabel="attempt", ylabel="loss scale")
    last = scales[-1]
    axes.set_title(
        f"{skipped.sum()} of {len(trace)} steps skipped, scale now {last:g}", fontsize=11
    )
    loss = axes.twinx()
    loss.plot(
        numbers,
        [a.cross_entropy for a in trace],
        color="grey",
        linestyle=":",
        label="cross-entropy (right)",
    )
    loss.set_ylabel("cross-entropy")
    figure.legend(loc="upper right", bbox_to_anchor=(0.88, 0.95), fontsize=8)
    return figure
