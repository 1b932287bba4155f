"""What training minimises, and how fast: loss, weight decay, learning rate, update."""

import numpy as np

from deeplab_nb.network.checkpoints import LAST_LAYERS
from deeplab_nb.network.fast_layers import FastLayers
from deeplab_nb.network.variables import Constant, Declaration, create_variables
from deeplab_nb.tf1 import tf


def losses(logits, labels, step, settings, layers):
    """`(total, cross_entropy)` of a step: what is minimised, and the masks' part of it."""
    entropy = cross_entropy(
        logits,
        labels,
        settings.ignore_label,
        stride=settings.loss_stride,
        upsample=settings.upsample_logits,
        class_weights=settings.class_weights,
        hardest=hardest_share(step, settings),
        layers=layers,
    )
    return entropy + weight_decay(trained_variables(settings), settings.weight_decay), entropy


def cross_entropy(
    logits,
    labels,
    ignore_label,
    *,
    stride=1,
    upsample=True,
    class_weights=(),
    hardest=1.0,
    layers=FastLayers,
):
    """Mean over the counted pixels of the softmax cross-entropy (DeepLabv3, 1706.05587, 4.1).

    logits: float32 [batch, h, w, classes].
    labels: int32 [batch, height, width]; pixels with `ignore_label` count nowhere.
    stride: compare at every stride-th row and column only; 2 takes a quarter of the time, 1 is the
      papers'.
    upsample: bring the logits to the labels' size, as DeepLabv3 does; False brings the labels to
      theirs.
    class_weights: a factor for the losses of each class; the mean's divisor stays the number of
      pixels.
    hardest: share of the pixels that count, from `hardest_share`.
    layers: a kind of layers, whose operations are taken; the value is the same.
    Returns a float32 scalar, 0 if every pixel is ignored.
    """
    labels = compared(labels, logits, stride, upsample)
    logits = layers.upsample(logits, labels.shape.as_list()[1:3]) if upsample else logits
    counted = tf.not_equal(labels, ignore_label)
    # ignored pixels get class 0, a label outside the classes would be an error in the losses
    safe = tf.where(counted, labels, tf.zeros_like(labels))
    losses = layers.pixel_losses(logits, safe)
    if class_weights:
        losses *= tf.gather(tf.constant(class_weights, tf.float32), safe)
    counted = tf.cast(counted, tf.float32)
    if isinstance(hardest, float) and hardest == 1:
        return _mean(losses * counted, counted)
    return mean_of_hardest(losses * counted, hardest)


def compared(labels, logits, stride, upsample):
    """The labels that the loss looks at: each stride-th, or the nearest at the logits' size."""
    labels = labels[:, ::stride, ::stride]
    if upsample:
        return labels
    return tf.image.resize_nearest_neighbor(
        labels[..., tf.newaxis], tf.shape(logits)[1:3], align_corners=True
    )[..., 0]


def share_counted(labels, logits, settings):
    """The share of the compared labels that count, a float32 scalar; of none, that of one pixel."""
    labels = compared(labels, logits, settings.loss_stride, settings.upsample_logits)
    counted = tf.reduce_sum(tf.cast(tf.not_equal(labels, settings.ignore_label), tf.float32))
    return tf.maximum(counted, 1.0) / tf.cast(tf.size(labels), tf.float32)


def mean_of_hardest(losses, share):
    """Mean of the largest losses (online hard example mining, Shrivastava et al., 1604.03540).

    losses: float32 of any shape, 0 where a pixel is ignored.
    share: how many of them count, of all pixels with the ignored ones; ignored pixels that get in
      divide nothing.
    """
    losses = tf.reshape(losses, [-1])
    size = np.float32(losses.shape.num_elements())
    if isinstance(share, float):
        count = int(np.float32(share) * size)  # a card takes fixed shapes only
    else:
        count = tf.cast(share * size, tf.int32)
    largest = tf.nn.top_k(losses, count, sorted=False).values
    return _mean(largest, tf.cast(tf.not_equal(largest, 0.0), tf.float32))


def hardest_share(step, settings):
    """The share of pixels that count at a step.

    It falls evenly from 1 over `hard_example_mining_step` steps, then stays.
    """
    share, steps = settings.top_k_percent_pixels, settings.hard_example_mining_step
    if not steps:
        return share
    done = tf.minimum(tf.cast(step, tf.float32) / steps, 1.0)
    return done * share + (1.0 - done)


def _mean(losses, counted):
    """Sum over number, 0 of nothing."""
    return tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(counted), 1.0)


def weight_decay(variables, rate):
    """rate * sum(w^2) / 2 over every convolution kernel but the depthwise ones."""
    return rate * tf.add_n([tf.nn.l2_loss(v) for v in variables if v.op.name.endswith("/weights")])


def learning_rate(step, settings):
    """The rate of a step, a float32 scalar tensor.

    The schedule begins after `slow_start_step` steps, which have a small rate of their own. As in
    the original that is one rate for all of them, so that the rate jumps when they end; 'linear'
    climbs instead.
    """
    rate = schedule(tf.maximum(step - settings.slow_start_step, 0), settings)
    if not settings.slow_start_step:
        return rate
    slow = settings.slow_start_learning_rate
    if settings.slow_start_type == "linear":
        climb = settings.learning_rate - slow
        slow += climb * tf.cast(step, tf.float32) / settings.slow_start_step
    return tf.where(step < settings.slow_start_step, slow, rate)


def schedule(step, settings):
    """The rate of a step, counted from the end of the slow start; a float32 scalar tensor.

    'poly' is (1 - step/steps)^power times the first rate (DeepLabv3, section 4.1).
    """
    policy, rate = settings.learning_rate_policy, settings.learning_rate
    steps = settings.train_steps - settings.slow_start_step
    if policy == "constant":
        return tf.constant(rate, tf.float32)
    if policy == "step":
        return tf.train.exponential_decay(
            rate,
            step,
            settings.learning_rate_decay_step,
            settings.learning_rate_decay_factor,
            staircase=True,
        )
    if policy == "cosine":
        return tf.train.cosine_decay(rate, step, steps)
    return tf.train.polynomial_decay(
        rate,
        step,
        settings.decay_steps or steps,
        settings.end_learning_rate,
        settings.learning_rate_power,
    )


def trained_variables(settings):
    """The variables that training moves; the others get neither gradient nor weight decay.

    'head_kernels' is the MindSpore entry's rule: no layer of the backbone, and of the others
    neither biases, batch norm nor depthwise kernels.
    """
    return [v for v in tf.trainable_variables() if is_trained(v.op.name, settings)]


def is_trained(name, settings):
    """Whether training moves the trainable variable of this name."""
    head_kernel = name.startswith(LAST_LAYERS["without_last_layers"]) and name.endswith("/weights")
    return head_kernel or settings.trainable == "all"


def gradient_multiplier(name, settings):
    """The factor of a variable's gradient, weight decay included.

    These are the original's larger rates for last layers and biases.
    """
    logits_only = settings.last_layers_contain_logits_only
    last = LAST_LAYERS["without_logits" if logits_only else "without_last_layers"]
    factor = settings.last_layer_gradient_multiplier if name.startswith(last) else 1.0
    return factor * settings.bias_gradient_multiplier if name.endswith("/biases") else factor


def update(total, global_step, chosen, settings):
    """`(operation, norm)`: moves the trained variables down `total`'s gradient, counts the step.

    norm: float32 scalar, of all gradients together, before their multipliers.
    """
    # every gradient is there before the first weight changes; gating operation by operation adds
    # hundreds
    gradients = chosen.compute_gradients(
        total, trained_variables(settings), gate_gradients=tf.train.Optimizer.GATE_GRAPH
    )
    norm = tf.global_norm([g for g, _ in gradients])
    factors = [gradient_multiplier(v.op.name, settings) for _, v in gradients]
    # else the log could show a loss or norm of weights half updated
    with tf.control_dependencies([total, norm]):
        multiplied = [
            (g if factor == 1 else factor * g, v) for factor, (g, v) in zip(factors, gradients)
        ]
        return chosen.apply_gradients(multiplied, global_step=global_step), norm


def optimizer(rate, settings):
    """Momentum, as both published systems train; or Adam (Kingma and Ba, 1412.6980)."""
    if settings.optimizer == "adam":
        # The second decay remembers 50 steps, not the usual 1000, which would be all of a short
        # run. The usual epsilon of 1e-8 lets weights jump whose gradients are almost 0, as
        # depthwise ones are at first.
        return tf.train.AdamOptimizer(rate, beta1=settings.momentum, beta2=0.98, epsilon=1e-5)
    return Momentum(rate, settings.momentum)


class Momentum(tf.train.MomentumOptimizer):
    """TensorFlow's own, with all its memories made at once.

    One by one they take a third of the time to build Xception-65's training graph.
    """

    def _create_slots(self, var_list):
        memories = [
            Declaration(v.op.name + "/Momentum", v.shape.as_list(), Constant(0.0), False)
            for v in var_list
        ]
        slots = self._slot_dict("momentum")
        for variable, memory in zip(var_list, create_variables(memories).values()):
            slots[variable.op.graph, variable.op.name] = memory
