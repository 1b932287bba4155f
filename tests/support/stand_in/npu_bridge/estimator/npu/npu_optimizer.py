import os

import tensorflow.compat.v1 as tf

from npu_bridge.hccl import hccl_ops


class NPUDistributedOptimizer(tf.train.Optimizer):
    """Averages gradients over the ranks; RANK_SIZE is read when the graph is built."""

    def __init__(self, optimizer, is_weight_update_sharding=False, name=None):
        super().__init__(False, name or "NPUDistributedOptimizer")
        self._optimizer = optimizer

    def compute_gradients(self, *args, **kwargs):
        gradients, ranks = (
            self._optimizer.compute_gradients(*args, **kwargs),
            int(os.environ.get("RANK_SIZE") or 1),
        )
        if ranks <= 1:
            return gradients
        return [
            (None if g is None else hccl_ops.allreduce(g, "sum") / ranks, v) for g, v in gradients
        ]

    def apply_gradients(self, *args, **kwargs):
        return self._optimizer.apply_gradients(*args, **kwargs)
