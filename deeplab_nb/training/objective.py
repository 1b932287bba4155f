"""What training minimises, and how fast: loss, weight decay, learning rate."""
from deeplab_nb.network.layers import resize
from deeplab_nb.network.variables import Constant, Declaration, create_variables
from deeplab_nb.tf1 import tf


def cross_entropy(logits, labels, ignore_label, *, stride=1):
    """Mean over the counted pixels of the softmax cross-entropy (DeepLabv3, 1706.05587, section 4.1).

    logits: float32 [batch, h, w, classes]; they are brought to the labels' size, not the labels to theirs.
    labels: int32 [batch, height, width]; pixels with `ignore_label` count nowhere.
    stride: compare at every stride-th row and column only; 2 takes a quarter of the time, 1 is the papers'.
    Returns a float32 scalar, 0 if every pixel is ignored.
    """
    labels = labels[:, ::stride, ::stride]
    logits = resize(logits, tf.shape(labels)[1:3])
    counted = tf.not_equal(labels, ignore_label)
    # ignored pixels get class 0, a label outside the classes would be an error in the operation below
    safe = tf.where(counted, labels, tf.zeros_like(labels))
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=safe, logits=logits)
    counted = tf.cast(counted, tf.float32)
    return tf.reduce_sum(losses * counted) / tf.maximum(tf.reduce_sum(counted), 1.0)


def weight_decay(variables, rate):
    """rate * sum(w^2) / 2 over every convolution kernel; depthwise kernels, biases and batch norm are free of it."""
    return rate * tf.add_n([tf.nn.l2_loss(v) for v in variables if v.op.name.endswith("/weights")])


def learning_rate(step, settings):
    """The rate of a step, a float32 scalar tensor.

    'poly' is (1 - step/steps)^power times the first rate (DeepLabv3, section 4.1).
    """
    if settings.learning_rate_policy == "constant":
        return tf.constant(settings.learning_rate, tf.float32)
    return tf.train.polynomial_decay(settings.learning_rate, step, settings.train_steps,
                                     end_learning_rate=0.0, power=settings.learning_rate_power)


def optimizer(rate, settings):
    """Momentum, as both published systems train; or Adam (Kingma and Ba, 1412.6980)."""
    if settings.optimizer == "adam":
        # The second decay of 0.98 remembers 50 steps, not the usual 1000: more would be all of a short run.
        # The usual epsilon of 1e-8 lets weights jump whose gradients are almost 0, as depthwise ones are at first.
        return tf.train.AdamOptimizer(rate, beta1=settings.momentum, beta2=0.98, epsilon=1e-5)
    return Momentum(rate, settings.momentum)


class Momentum(tf.train.MomentumOptimizer):
    """TensorFlow's own, with all its memories made at once: for Xception-65 that saves a second and more."""

    def _create_slots(self, var_list):
        declared = {v: Declaration(v.op.name + "/Momentum", v.shape.as_list(), Constant(0.0), False) for v in var_list}
        made = create_variables(declared.values())
        self._slot_dict("momentum").update(((v.op.graph, v.op.name), made[d.name]) for v, d in declared.items())
