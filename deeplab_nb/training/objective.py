"""What training minimises, and how fast: loss, weight decay, learning rate, update."""
import numpy as np

from deeplab_nb.network.checkpoints import LAST_LAYERS
from deeplab_nb.network.layers import resize
from deeplab_nb.network.variables import Constant, Declaration, create_variables
from deeplab_nb.tf1 import tf


def cross_entropy(logits, labels, ignore_label, *, stride=1, upsample=True, class_weights=(), hardest=1.0, device="cpu"):
    """Mean over the counted pixels of the softmax cross-entropy (DeepLabv3, 1706.05587, section 4.1).

    logits: float32 [batch, h, w, classes].
    labels: int32 [batch, height, width]; pixels with `ignore_label` count nowhere.
    stride: compare at every stride-th row and column only; 2 takes a quarter of the time, 1 is the papers'.
    upsample: bring the logits to the labels' size, as DeepLabv3 does; False brings the labels to theirs.
    class_weights: a factor for the losses of each class; the mean's divisor stays the number of pixels.
    hardest: share of the pixels that count, from `hardest_share`.
    device: 'cpu', 'gpu' or 'npu', whose operations are taken; the value is the same.
    Returns a float32 scalar, 0 if every pixel is ignored.
    """
    logits, labels = same_size(logits, labels[:, ::stride, ::stride], upsample, device)
    counted = tf.not_equal(labels, ignore_label)
    # ignored pixels get class 0, a label outside the classes would be an error in the operation below
    safe = tf.where(counted, labels, tf.zeros_like(labels))
    losses = _PIXEL_LOSSES[device](logits, safe)
    if class_weights:
        losses *= tf.gather(tf.constant(class_weights, tf.float32), safe)
    counted = tf.cast(counted, tf.float32)
    if isinstance(hardest, float) and hardest == 1:
        return _mean(losses * counted, counted)
    return mean_of_hardest(losses * counted, hardest)


def same_size(logits, labels, upsample, device="cpu"):
    """Logits and labels at the labels' size, or with the nearest labels at the logits' size."""
    if upsample:
        if device == "cpu" and logits.shape.is_fully_defined() and labels.shape.is_fully_defined():
            return resize_by_products(logits, labels.shape.as_list()[1:3]), labels
        return resize(logits, tf.shape(labels)[1:3]), labels
    return logits, _nearest(labels, logits)


def share_counted(logits, labels, settings):
    """The share of the pixels compared that count in `cross_entropy`, a float32 scalar; of none, as if it were one pixel."""
    labels = labels[:, ::settings.loss_stride, ::settings.loss_stride]
    labels = labels if settings.upsample_logits else _nearest(labels, logits)
    counted = tf.cast(tf.not_equal(labels, settings.ignore_label), tf.float32)
    return tf.maximum(tf.reduce_sum(counted), 1.0) / tf.cast(tf.size(labels), tf.float32)


def _nearest(labels, logits):
    """The labels at the logits' size."""
    return tf.image.resize_nearest_neighbor(labels[..., tf.newaxis], tf.shape(logits)[1:3], align_corners=True)[..., 0]


def resize_by_products(x, size):
    """`layers.resize` of a map of known shape, as a product with a matrix along each axis.

    With its gradient it takes two thirds of the CPU seconds of TensorFlow's operation.
    """
    batch, height, width, channels = x.shape.as_list()
    wide = tf.matmul(_interpolation(width, size[1]), tf.reshape(x, [batch * height, width, channels]))
    tall = tf.matmul(_interpolation(height, size[0]), tf.reshape(wide, [batch, height, size[1] * channels]))
    return tf.reshape(tall, [batch] + list(size) + [channels])


def _interpolation(old, new):
    """The matrix [new, old] of linear interpolation: each row has the weights of the two nearest old places."""
    places = np.linspace(0, old - 1, new)
    return tf.constant(np.maximum(0, 1 - abs(places[:, np.newaxis] - np.arange(old))), tf.float32)


def softmax_losses(logits, labels):
    """The softmax cross-entropy of each pixel: float32 [batch, h, w, classes] and int32 [batch, h, w] to float32 [batch, h, w].

    The value of TensorFlow's sparse operation, which takes one exponential at a time: with its gradient this takes
    half of the CPU seconds, which is a 25th of MobileNetV2's step at crop 257.
    """
    classes = int(logits.shape[-1])
    chosen = tf.range(tf.size(labels)) * classes + tf.reshape(labels, [-1])  # places of the labels' scores

    @tf.custom_gradient
    def losses(scores):
        largest = tf.reduce_max(scores, axis=1, keepdims=True)
        powers = tf.exp(scores - largest)
        sums = tf.matmul(powers, tf.ones([classes, 1]))

        def gradient(dy):
            """The softmax, less 1 at the label, times `dy`."""
            spread = tf.reshape(powers * (dy[:, tf.newaxis] / sums), [-1])
            return tf.reshape(tf.tensor_scatter_sub(spread, chosen[:, tf.newaxis], dy), tf.shape(scores))

        return tf.squeeze(tf.log(sums) + largest, 1) - tf.gather(tf.reshape(scores, [-1]), chosen), gradient

    return tf.reshape(losses(tf.reshape(logits, [-1, classes])), tf.shape(labels))


def one_hot_losses(logits, labels):
    """The same by the operations of the published Ascend port: a 910 has no kernel of its own for the sparse form."""
    chosen = tf.one_hot(labels, int(logits.shape[-1]))
    return tf.nn.softmax_cross_entropy_with_logits_v2(labels=tf.stop_gradient(chosen), logits=logits)


_PIXEL_LOSSES = {"cpu": softmax_losses, "npu": one_hot_losses, "gpu": lambda logits, labels:
                 tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)}


def mean_of_hardest(losses, share):
    """Mean of the largest losses (online hard example mining, Shrivastava et al., 1604.03540).

    losses: float32 of any shape, 0 where a pixel is ignored.
    share: how many of them count, of all pixels with the ignored ones; ignored pixels that get in divide nothing.
    """
    losses = tf.reshape(losses, [-1])
    count = tf.cast(share * tf.cast(tf.size(losses), tf.float32), tf.int32)
    if isinstance(share, float) and losses.shape.is_fully_defined():  # a card takes fixed shapes only
        count = int(np.float32(share) * np.float32(losses.shape.num_elements()))
    largest = tf.nn.top_k(losses, count, sorted=False).values
    return _mean(largest, tf.cast(tf.not_equal(largest, 0.0), tf.float32))


def hardest_share(step, settings):
    """The share of pixels that count at a step: it falls evenly from 1 over `hard_example_mining_step` steps, then stays."""
    share, steps = settings.top_k_percent_pixels, settings.hard_example_mining_step
    if not steps:
        return share
    done = tf.minimum(tf.cast(step, tf.float32) / steps, 1.0)
    return done * share + (1.0 - done)


def _mean(losses, counted):
    """Sum over number, 0 of nothing."""
    return tf.reduce_sum(losses) / tf.maximum(tf.reduce_sum(counted), 1.0)


def weight_decay(variables, rate):
    """rate * sum(w^2) / 2 over every convolution kernel; depthwise kernels, biases and batch norm are free of it."""
    return rate * tf.add_n([tf.nn.l2_loss(v) for v in variables if v.op.name.endswith("/weights")])


def learning_rate(step, settings):
    """The rate of a step, a float32 scalar tensor.

    The schedule begins after `slow_start_step` steps, which have a small rate of their own. As in the original
    that is one rate for all of them, so that the rate jumps when they end; 'linear' climbs instead.
    """
    rate = schedule(tf.maximum(step - settings.slow_start_step, 0), settings)
    if not settings.slow_start_step:
        return rate
    slow = settings.slow_start_learning_rate
    if settings.slow_start_type == "linear":
        slow += (settings.learning_rate - slow) * tf.cast(step, tf.float32) / settings.slow_start_step
    return tf.where(step < settings.slow_start_step, slow, rate)


def schedule(step, settings):
    """The rate of a step, counted from the end of the slow start; a float32 scalar tensor.

    'poly' is (1 - step/steps)^power times the first rate (DeepLabv3, section 4.1).
    """
    policy, rate, steps = settings.learning_rate_policy, settings.learning_rate, settings.train_steps - settings.slow_start_step
    if policy == "constant":
        return tf.constant(rate, tf.float32)
    if policy == "step":
        return tf.train.exponential_decay(rate, step, settings.learning_rate_decay_step, settings.learning_rate_decay_factor,
                                          staircase=True)
    if policy == "cosine":
        return tf.train.cosine_decay(rate, step, steps)
    return tf.train.polynomial_decay(rate, step, settings.decay_steps or steps,
                                     end_learning_rate=settings.end_learning_rate, power=settings.learning_rate_power)


def trained_variables(settings):
    """The variables that training moves; the others get neither gradient nor weight decay.

    'head_kernels' is the MindSpore entry's rule: no layer of the backbone, and of the others neither biases,
    batch norm nor depthwise kernels.
    """
    return [v for v in tf.trainable_variables() if is_trained(v.op.name, settings)]


def is_trained(name, settings):
    """Whether training moves the trainable variable of this name."""
    return settings.trainable == "all" or name.startswith(LAST_LAYERS["without_last_layers"]) and name.endswith("/weights")


def gradient_multiplier(name, settings):
    """The factor of a variable's gradient, weight decay included: the original's larger rates for last layers and biases."""
    last = LAST_LAYERS["without_logits" if settings.last_layers_contain_logits_only else "without_last_layers"]
    factor = settings.last_layer_gradient_multiplier if name.startswith(last) else 1.0
    return factor * settings.bias_gradient_multiplier if name.endswith("/biases") else factor


def update(total, global_step, chosen, settings):
    """`(operation, norm)`: moves the trained variables down the gradient of `total` with the optimizer and counts the step.

    norm: float32 scalar, of all gradients together, before their multipliers.
    """
    # gate: every gradient is there before the first weight changes; gating operation by operation adds hundreds
    gradients = chosen.compute_gradients(total, trained_variables(settings), gate_gradients=tf.train.Optimizer.GATE_GRAPH)
    factors = [gradient_multiplier(v.op.name, settings) for _, v in gradients]
    norm = tf.global_norm([g for g, _ in gradients])
    with tf.control_dependencies([total, norm]):  # else the log could show a loss or norm of weights half updated
        return chosen.apply_gradients([(g if factor == 1 else factor * g, v) for factor, (g, v) in zip(factors, gradients)],
                                      global_step=global_step), norm


def optimizer(rate, settings):
    """Momentum, as both published systems train; or Adam (Kingma and Ba, 1412.6980)."""
    if settings.optimizer == "adam":
        # The second decay remembers 50 steps, not the usual 1000, which would be all of a short run. The usual
        # epsilon of 1e-8 lets weights jump whose gradients are almost 0, as depthwise ones are at first.
        return tf.train.AdamOptimizer(rate, beta1=settings.momentum, beta2=0.98, epsilon=1e-5)
    return Momentum(rate, settings.momentum)


class Momentum(tf.train.MomentumOptimizer):
    """TensorFlow's own, with all its memories made at once: one by one they take a third of the time to build Xception-65's training graph."""

    def _create_slots(self, var_list):
        declared = {v: Declaration(v.op.name + "/Momentum", v.shape.as_list(), Constant(0.0), False) for v in var_list}
        made = create_variables(declared.values())
        self._slot_dict("momentum").update(((v.op.graph, v.op.name), made[d.name]) for v, d in declared.items())
