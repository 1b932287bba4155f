"""Mixed precision on the real network, for notebook 03: gradients' sizes, a loss scale at work."""

import collections

import numpy as np
from matplotlib.figure import Figure

from deeplab_nb.devices import devices, precision
from deeplab_nb.network.deeplab import build_logits, training_layers
from deeplab_nb.network.fast_layers import FastLayers, HalfLayers
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective

# float16: below the first it is 0 or its smallest number, below the second it has fewer digits,
# from the last on it is inf
SMALLEST, NORMAL, TOO_LARGE = -24, -14, 16

CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
LOWEST, HIGHEST = -150, 128  # powers of two between which all float32 numbers lie

# counts[i] gradients are at least 2^exponents[i] and less than twice that; zeros are left out
Sizes = collections.namedtuple("Sizes", "exponents counts")

# one attempt at a training step: its loss scale, its cross-entropy, and whether it overflowed
Attempt = collections.namedtuple("Attempt", "loss_scale cross_entropy skipped")


def gradient_sizes(settings, images, masks):
    """`Sizes` of all gradients of the untrained network's convolutions, in float32.

    images: [batch, h, w, 3] in 0..255; masks: [batch, h, w]. Mixed precision hands these gradients
    on in float16.
    """
    with tf.Graph().as_default() as graph, _session(settings) as session:
        loss, _ = _loss(settings, images, masks)
        outputs = [
            op.outputs[0]
            for op in graph.get_operations()
            if op.type in CONVOLUTIONS and "BatchNorm" not in op.name
        ]
        # the loss has products of its own, some of which no gradient passes
        gradients = [gradient for gradient in tf.gradients(loss, outputs) if gradient is not None]
        session.run(tf.global_variables_initializer())
        counts = sum(_counts(gradient) for gradient in session.run(gradients))
    return Sizes(np.arange(LOWEST, HIGHEST), counts)


def _counts(values):
    exponents = np.frexp(values[values != 0])[1] - 1
    return np.bincount(exponents - LOWEST, minlength=HIGHEST - LOWEST)


def share_below(sizes, exponent, scale=1.0):
    """The share of gradients below 2^exponent once multiplied by `scale`, a power of two."""
    return sizes.counts[sizes.exponents + np.log2(scale) < exponent].sum() / sizes.counts.sum()


def scale_trace(settings, images, masks, attempts):
    """A list of `Attempt`s: trains on one batch again and again, float16 simulated.

    The loss scale is that of the settings.
    """
    with tf.Graph().as_default(), _session(settings) as session:
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


def _session(settings):
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


def gradient_figure(sizes, scale):
    """Histogram of the gradients as they are and times `scale`, before float16's range."""
    figure = Figure(figsize=(8, 3.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
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
    axes.axvspan(NORMAL, TOO_LARGE, color="#e8f0e8", zorder=0, label="float16 with all its digits")
    axes.axvspan(SMALLEST, NORMAL, color="#f3ead2", zorder=0, label="with fewer")
    axes.set(xlim=(-50, 20), xlabel="size, as a power of two", ylabel="% of the gradients")
    axes.legend(fontsize=8, loc="upper left")
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
