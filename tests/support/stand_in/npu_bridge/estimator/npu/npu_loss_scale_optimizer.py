import tensorflow.compat.v1 as tf

from npu_bridge.hccl import hccl_ops


class NPULossScaleOptimizer(tf.train.Optimizer):
    """Scales the loss, unscales the gradients, leaves a step out that overflowed.

    The card's overflow flag is float16's: taken to be set where a scaled gradient reaches 65504.
    """

    def __init__(self, opt, loss_scale_manager, is_distributed=False):
        if not isinstance(opt, tf.train.Optimizer):
            raise ValueError(f"opt is {type(opt)}, no Optimizer")
        super().__init__(False, "NPULossScaleOptimizer")
        self._opt, self._loss_scale_manager, self._is_distributed = (
            opt,
            loss_scale_manager,
            is_distributed,
        )

    def compute_gradients(
        self,
        loss,
        var_list=None,
        gate_gradients=tf.train.Optimizer.GATE_OP,
        aggregation_method=None,
        colocate_gradients_with_ops=False,
        grad_loss=None,
    ):
        scale = self._loss_scale_manager.get_loss_scale()
        gradients = self._opt.compute_gradients(
            loss * scale,
            var_list,
            gate_gradients,
            aggregation_method,
            colocate_gradients_with_ops,
            grad_loss,
        )
        return [(None if g is None else g / scale, v) for g, v in gradients]

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        grads_and_vars = list(grads_and_vars)
        finite = self._finite([g for g, _ in grads_and_vars if g is not None])
        update = tf.cond(
            finite, lambda: self._opt.apply_gradients(grads_and_vars, global_step, name), tf.no_op
        )
        return tf.group(update, self._loss_scale_manager.update_loss_scale(finite))

    def _finite(self, gradients):
        if not self._loss_scale_manager.enable_overflow_check:
            return tf.constant(True)
        scale = self._loss_scale_manager.get_loss_scale()
        flag = tf.add_n(
            [tf.reduce_sum(tf.cast(~(tf.abs(g * scale) < 65504.0), tf.float32)) for g in gradients]
        )
        if self._is_distributed:
            flag = hccl_ops.allreduce(flag, "sum", fusion=0)
        return tf.equal(flag, 0)
