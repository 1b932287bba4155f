"""Mixed precision on a GPU and, simulated, on a CPU: loss scale, and TensorFlow's graph rewrite.

The loss scale S keeps small gradients out of float16's gap below 6e-8: gradients of S * loss are
computed, then divided by S in float32 (Micikevicius et al., 1710.03740, section 3.2). An S that is
too large overflows; the step is skipped then and S falls.

The Ascend 910 has managers and an optimizer of its own in npu_bridge, whose part these play
elsewhere. They are the same state machine and the same variables, but that an overflow is noticed
otherwise: float16 on a GPU, and as it is simulated on a CPU, gives inf or nan, so that the
gradients show it. The 910 clamps to the largest number and raises a status flag, which npu_bridge
reads.
"""

from deeplab_nb.tf1 import tf


class FixedScale:
    """The same loss scale at every step."""

    def __init__(self, loss_scale):
        self.loss_scale = tf.constant(loss_scale, tf.float32)

    def get_loss_scale(self):
        return self.loss_scale

    def update_loss_scale(self, finite):
        return tf.no_op()


class ExponentialScale:
    """A loss scale that falls at overflows and climbs again after a while without.

    After `steps` steps in a row without overflow it doubles, unless that is more than float32
    holds. After two overflows, in a row or not, it halves, but not below 1. Either change sets both
    counts back; an overflow that changes nothing yet sets back the steps alone. Factors and
    overflows are those of the published eight-card training of DeepLabv3+.
    """

    OVERFLOWS = 2

    def __init__(self, initial, steps):
        self.steps = steps
        self.loss_scale = _state("loss_scale", initial, tf.float32)
        self.good_steps = _state("good_steps", 0, tf.int32)
        self.bad_steps = _state("bad_steps", 0, tf.int32)

    def get_loss_scale(self):
        return self.loss_scale.read_value()

    def update_loss_scale(self, finite):
        """The operation after a step; finite: bool scalar tensor, False if the step overflowed."""
        scale = self.loss_scale.read_value()
        good = tf.where(finite, self.good_steps + 1, 0)
        bad = tf.where(finite, self.bad_steps, self.bad_steps + 1)
        climbs, falls = good >= self.steps, bad >= self.OVERFLOWS
        higher = tf.where(tf.is_finite(scale * 2), scale * 2, scale)
        lower = tf.maximum(scale / 2, 1.0)
        kept = 1 - tf.cast(climbs | falls, tf.int32)
        moved = tf.where(climbs, higher, tf.where(falls, lower, scale))
        return tf.group(
            self.loss_scale.assign(moved),
            self.good_steps.assign(good * kept),
            self.bad_steps.assign(bad * kept),
        )


class LossScaled(tf.train.Optimizer):
    """Another optimizer under a loss scale; a step that overflows is skipped.

    A skipped step moves neither weights nor the optimizer's memory nor the global step, so a loop
    must not wait for the global step alone. Batch-norm statistics are not the optimizer's and move.
    """

    def __init__(self, optimizer, manager):
        super().__init__(use_locking=False, name="LossScaled")
        self.optimizer, self.manager = optimizer, manager

    def compute_gradients(self, loss, var_list=None, **options):
        """Gradients of `loss` by the other optimizer, larger within the backward pass alone."""
        scale = self.manager.get_loss_scale()
        gradients = self.optimizer.compute_gradients(loss * scale, var_list, **options)
        return [(g if g is None else g / scale, v) for g, v in gradients]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """The update if all gradients are finite, and the loss scale's own in any case."""
        finite = tf.reduce_all(
            [tf.reduce_all(tf.is_finite(g)) for g, _ in grads_and_vars if g is not None]
        )

        def update():
            return self.optimizer.apply_gradients(grads_and_vars, global_step)

        updated = tf.cond(finite, update, tf.no_op)
        return tf.group(updated, self.manager.update_loss_scale(finite), name=name)


def wrapped(optimizer, settings):
    """`(optimizer, manager)`: under the settings' loss scale; the optimizer and None without."""
    if settings.loss_scale == "none":
        return optimizer, None
    fixed = settings.loss_scale == "fixed"
    manager = (
        FixedScale(settings.initial_loss_scale)
        if fixed
        else ExponentialScale(settings.initial_loss_scale, settings.loss_scale_steps)
    )
    return LossScaled(optimizer, manager), manager


def gpu_rewrite(config):
    """Lets TensorFlow compute in float16 on a GPU where that is safe; variables stay float32.

    config: a tf.ConfigProto, changed in place. Without a GPU the rewrite does nothing. Not run on
      hardware.
    """
    options = config.graph_options.rewrite_options
    options.auto_mixed_precision = options.ON


def _state(name, value, dtype):
    """A variable of npu_bridge's name, outside of every scope; it enters the checkpoint.

    Its reads stay what they were when it changes.
    """
    return tf.get_variable(
        name,
        initializer=tf.constant_initializer(value),
        shape=[],
        dtype=dtype,
        trainable=False,
        use_resource=True,
    )
