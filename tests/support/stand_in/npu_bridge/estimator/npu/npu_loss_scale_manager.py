import tensorflow.compat.v1 as tf


class FixedLossScaleManager:
    def __init__(self, loss_scale, enable_overflow_check=True):
        if loss_scale < 1:
            raise ValueError("loss scale must be at least 1")
        self._loss_scale, self.enable_overflow_check = (
            tf.constant(loss_scale, tf.float32),
            enable_overflow_check,
        )

    def get_loss_scale(self):
        return self._loss_scale

    def update_loss_scale(self, finite_grads):
        return tf.no_op()


class ExponentialUpdateLossScaleManager:
    enable_overflow_check = True

    def __init__(
        self,
        init_loss_scale,
        incr_every_n_steps,
        decr_every_n_nan_or_inf=2,
        incr_ratio=2,
        decr_ratio=0.8,
    ):
        if tf.get_default_graph()._current_control_dependencies():
            raise RuntimeError("made under control dependencies, which the vendor's guide forbids")
        self._every, self._ratios = (
            (incr_every_n_steps, decr_every_n_nan_or_inf),
            (incr_ratio, decr_ratio),
        )
        self._loss_scale, self._good, self._bad = (
            tf.Variable(value, trainable=False, dtype=kind, name=name)
            for name, value, kind in (
                ("loss_scale", init_loss_scale, tf.float32),
                ("good_steps", 0, tf.int32),
                ("bad_steps", 0, tf.int32),
            )
        )

    def get_loss_scale(self):
        return self._loss_scale

    def update_loss_scale(self, finite_grads):
        good = tf.where(finite_grads, self._good + 1, 0)
        bad = tf.where(finite_grads, self._bad, self._bad + 1)
        climb, fall = good >= self._every[0], bad >= self._every[1]
        ratio = tf.where(climb, float(self._ratios[0]), tf.where(fall, float(self._ratios[1]), 1.0))
        scale, restart = tf.maximum(self._loss_scale * ratio, 1.0), climb | fall
        with tf.control_dependencies([good, bad, scale]):
            return tf.group(
                tf.assign(self._loss_scale, scale),
                tf.assign(self._good, tf.where(restart, 0, good)),
                tf.assign(self._bad, tf.where(restart, 0, bad)),
            )
