"""Collectives among ranks that all hold the same values."""

import os

import tensorflow.compat.v1 as tf


def allreduce(tensor, reduction, fusion=1, fusion_id=-1, group="hccl_world_group"):
    if reduction not in ("sum", "prod", "max", "min"):
        raise ValueError(f"reduction {reduction}")
    if tensor.dtype.base_dtype not in (tf.int8, tf.int16, tf.int32, tf.float16, tf.float32):
        raise TypeError(tensor.dtype)
    return tensor * int(os.environ["RANK_SIZE"]) if reduction == "sum" else tf.identity(tensor)


def broadcast(tensor, root_rank, fusion=2, fusion_id=0, group="hccl_world_group"):
    if not isinstance(tensor, list):
        raise TypeError("a list of tensors")
    return [tf.identity(t, name="hcom_broadcast") for t in tensor]
