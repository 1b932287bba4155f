"""Where a run computes.

Devices differ in session options, layers, the optimizer's wrapping, float16 and how ranks meet.
"""

import dataclasses
import os

from deeplab_nb.devices import ascend, collectives, precision, ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.fast_layers import FastLayers, FoldedLayers, HalfLayers
from deeplab_nb.network.layers import CardLayers, Layers
from deeplab_nb.tf1 import host_config, tf


def find(settings):
    """'cpu', 'gpu' or 'npu': what the settings ask for, or the best there is.

    Raises WorkbookError for one that is absent.
    """
    wanted = settings.device
    if wanted == "npu" or wanted == "auto" and not ascend.problem():
        if ascend.problem():
            raise WorkbookError(f"device=npu cannot be used: {ascend.problem()}")
        return "npu"
    if wanted in ("auto", "gpu") and tf.test.is_built_with_cuda() and tf.test.is_gpu_available():
        return "gpu"
    if wanted == "gpu":
        raise WorkbookError(
            "device=gpu, but TensorFlow sees none: set device=cpu, or install tensorflow-gpu 1.15 "
            "and its CUDA 10.0, or a current tensorflow[and-cuda]"
        )
    return "cpu"


def session_config(device, settings):
    """The tf.ConfigProto of a training session."""
    if device == "npu":
        return ascend.session_config(settings)
    config = host_config()
    config.intra_op_parallelism_threads = settings.intra_op_threads
    if settings.clones > 1:
        # a thread each, none within operations: the halves of a small one wait for each other
        config.intra_op_parallelism_threads = settings.intra_op_threads or 1
        config.inter_op_parallelism_threads = settings.clones
    # TensorFlow's graph optimiser takes some 4 CPU seconds over MobileNetV2's training graph and
    # makes its steps no faster on a CPU
    config.graph_options.rewrite_options.disable_meta_optimizer = device == "cpu"
    if device == "gpu" and settings.mixed_precision:
        precision.gpu_rewrite(config)
    return config


def evaluation_config(device, settings):
    """The tf.ConfigProto of a session that labels; as in the published port in float32."""
    if device != "npu":
        return host_config()
    off = dict.fromkeys(("mixlist", "dump_folder", "profiling_folder"), "")
    alone = dataclasses.replace(settings, cards=1, mixed_precision=False, **off)
    return ascend.session_config(alone)


def wrapped(optimizer, device, settings):
    """`(optimizer, manager)`: as mixed precision needs it on the device.

    The manager is that of the loss scale, None without one.
    """
    if device == "npu":
        return ascend.wrapped(optimizer, settings, settings.cards)
    return precision.wrapped(optimizer, settings)


def join(device, settings, config):
    """The `collectives.Team` of this process; `config`, the session's, gets what its ranks need.

    Raises WorkbookError if this process is none of the ranks, or if the others are not there.
    """
    if settings.cards == 1:
        return collectives.ALONE
    if device != "npu":
        return collectives.join(config, settings.cards)
    why_not = ranks.problem(settings.cards, os.environ)
    if why_not:
        raise WorkbookError(why_not)
    return collectives.Team(int(ranks.rank_of(os.environ)), settings.cards, "", None)


def start_alike(device, session, first_step, team):
    """Gives all ranks the variables of rank 0, those of batch norm too.

    Run it after first values or checkpoint.
    """
    if team.ranks > 1 and device == "npu":
        session.run(ascend.broadcast(tf.global_variables()))
    elif team.ranks > 1:
        collectives.start_alike(session, first_step, team)


def layers(device, settings=None):
    """The kind of layers that training takes on a device.

    A GPU's compiler and the card's know TensorFlow's own operations, and insert their own casts for
    mixed precision. A CPU has no float16: there it is simulated.
    """
    if device == "cpu" and settings and settings.mixed_precision:
        return HalfLayers
    return {"cpu": FastLayers, "gpu": Layers, "npu": CardLayers}[device]


def evaluation_layers(device):
    """The kind of layers that evaluation takes on a device."""
    return {"cpu": FoldedLayers, "gpu": Layers, "npu": CardLayers}[device]
