"""Everything npu_bridge: Huawei's TensorFlow adapter for Ascend cards, of CANN 5 to 9.

No other file imports it, and only what wraps the optimiser or broadcasts needs it: a session's
options are built on any machine, and a TensorFlow without Ascend passes over them. The adapter says
nothing of an option with a misspelt name or in the wrong field; so they are checked in the tests.
What differs by CANN and card is in `ascend_profiles`. Since CANN 6, importing it makes every
tf.Session of the process one of the card, unless its config says otherwise: work that belongs on
the host takes `tf1.host_session`. Not run on hardware.
"""

import functools
import importlib.util
import json
import os
import types

from deeplab_nb import ascend_profiles
from deeplab_nb.devices import ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import read_json
from deeplab_nb.tf1 import tf

# --- the library


def problem():
    """None where npu_bridge can be imported, else one sentence with why not and what helps."""
    return _load()[1]


@functools.lru_cache(maxsize=None)
def _load():
    """`(its names used here, None)` or `(None, sentence)`; looked for once a process."""
    try:
        if importlib.util.find_spec("npu_bridge") is None:
            return None, (
                "npu_bridge is not installed: source the set_env.sh of CANN, and install "
                f"{ascend_profiles.chosen().adapter} (`deeplab-nb doctor` looks for "
                "them), or set device=cpu"
            )
        if ranks.size_of(os.environ) == "1":
            for name, value in ranks.environment(0, 1).items():
                if value:  # the adapter reads these while it loads; what is exported wins
                    os.environ.setdefault(name, value)
        # the vendor's documented door; importing it also registers what closes the card at the end
        from npu_bridge.npu_init import (
            ExponentialUpdateLossScaleManager,
            FixedLossScaleManager,
            NPUDistributedOptimizer,
            NPULossScaleOptimizer,
            hccl_ops,
        )
    except Exception as error:  # without its native library NameError, AttributeError or OSError
        words = str(error).split("\n")[0][:160]
        return None, (
            f"npu_bridge does not load ({type(error).__name__}: {words}): run "
            "`deeplab-nb doctor`, or set device=cpu"
        )
    return types.SimpleNamespace(
        ExponentialUpdateLossScaleManager=ExponentialUpdateLossScaleManager,
        FixedLossScaleManager=FixedLossScaleManager,
        broadcast=hccl_ops.broadcast,
        NPUDistributedOptimizer=NPUDistributedOptimizer,
        NPULossScaleOptimizer=NPULossScaleOptimizer,
    ), None


def _bridge():
    bridge, why_not = _load()
    if why_not:
        raise WorkbookError(why_not)
    return bridge


# --- the session


def session_config(settings):
    """The tf.ConfigProto of a session that trains on a card.

    As the published DeepLabv3+ port: mixed compilation, because the input stays on the host, and
    one step a call, which mixed compilation demands. Raises WorkbookError for what the profile's
    card or CANN lacks, and for a mixlist, dump_folder or profiling_folder that cannot be used: the
    adapter would end the process without a Python error.
    """
    config = tf.ConfigProto(
        allow_soft_placement=True, intra_op_parallelism_threads=settings.intra_op_threads
    )
    rewrite = config.graph_options.rewrite_options
    rewrite.remapping = rewrite.OFF
    rewrite.memory_optimization = rewrite.OFF  # the adapter does so only from its next branch on
    npu = rewrite.custom_optimizers.add(name="NpuOptimizer")
    options = _options(settings, ascend_profiles.chosen(settings.ascend_profile))
    for name, value in options.items():  # its type is the field that the adapter reads
        field = {bool: "b", int: "i", str: "s"}[type(value)]
        setattr(npu.parameter_map[name], field, value.encode() if field == "s" else value)
    return config


def check(settings):
    """Raises WorkbookError for settings whose training a card or its CANN does not take."""
    session_config(settings)
    if settings.hard_example_mining_step:
        raise WorkbookError(
            "hard_example_mining_step changes a shape at every step, and a card takes fixed ones: "
            "set it to 0, which counts top_k_percent_pixels from the first step on"
        )


def _options(settings, profile):
    """{key of NpuOptimizer: value}, of keys that the profile's adapter knows."""
    key, word = _precision(settings, profile)
    options = {"use_off_line": True, "mix_compile_mode": True, "iterations_per_loop": 1, key: word}
    if settings.cards > 1 and profile.cann > 5:
        # all-reduce overlaps the backward pass: the default of CANN 8 and 9, written out so that
        # the dry run shows it; CANN 5's is off, and the published port left it so
        options["hcom_parallel"] = True
    if settings.deterministic:
        if profile.cann == 5:
            raise WorkbookError(
                f"deterministic=true is for CANN 8 and later, and the profile is {profile.name}: "
                "leave it out, or name another ascend_profile"
            )
        options["deterministic"] = 1
    if settings.mixlist:
        options["modify_mixlist"] = _mixlist(settings.mixlist)
    if settings.dump_folder:
        folder = _folder("dump_folder", settings.dump_folder)
        # an A2 or A3 takes no other debug mode than 'all'
        options.update(enable_dump_debug=True, dump_debug_mode="all", dump_path=folder)
    if settings.profiling_folder:
        folder = _folder("profiling_folder", settings.profiling_folder)
        # training_trace would need the names of the graph's first and last operation
        traced = json.dumps({"output": folder, "task_trace": "on"})
        options.update(profiling_mode=True, profiling_options=traced)
    return options


def _precision(settings, profile):
    """`(key, word)` that tells the compiler which float type to compute in."""
    kind = settings.mixed_type if settings.mixed_precision else ""
    if kind not in profile.precision:
        raise WorkbookError(
            f"mixed_type {kind} is for an Ascend A2 or A3, and the profile is "
            f"{profile.name}: leave it out, or name the card's with ascend_profile"
        )
    return profile.precision[kind]


def _mixlist(path):
    try:
        if isinstance(read_json(path), dict):
            return os.path.abspath(path)
    except (OSError, ValueError) as error:
        raise WorkbookError(
            f"mixlist {path} cannot be read as JSON ({error}): name another file, "
            "or leave mixlist empty"
        )
    raise WorkbookError(
        f"mixlist {path} holds no JSON object: it needs lists such as "
        '{"black-list": {"to-add": [...]}}'
    )


def _folder(name, path):
    if not os.path.isdir(path) or not os.access(path, os.W_OK):
        raise WorkbookError(
            f"{name} {path} is no folder that can be written to: make it first, or name another"
        )
    return os.path.abspath(path)


# --- the optimiser


def wrapped(optimizer, settings, size=1):
    """`(optimizer, manager)`: the optimiser as `size` ranks and `settings.loss_scale` need it.

    The loss scale is outermost, so that the overflow flag of all ranks counts. A step that
    overflows on any of them changes no weight and does not advance global_step: count calls, not
    global_step, where a loop must end. manager: None for loss_scale 'none'; else its
    `get_loss_scale()` is a float32 scalar for the log, and an exponential one counts in the
    variables `good_steps` and `bad_steps`, which it puts into the checkpoints.
    Raises WorkbookError without npu_bridge, or in an environment of no rank among so many.
    """
    why_not = ranks.problem(size, os.environ)
    if why_not:
        raise WorkbookError(why_not)
    bridge, manager = _bridge(), None
    with tf.control_dependencies(None):  # a manager must not be made under any
        if size > 1:
            optimizer = bridge.NPUDistributedOptimizer(optimizer)
        if settings.loss_scale != "none":
            kind, arguments = loss_scale(settings)
            manager = getattr(bridge, kind)(**arguments)
            optimizer = bridge.NPULossScaleOptimizer(optimizer, manager, is_distributed=size > 1)
    return optimizer, manager


def loss_scale(settings):
    """`(manager's class, its arguments)`; ratios and overflows of the published eight-card run."""
    if settings.loss_scale == "fixed":
        return "FixedLossScaleManager", {"loss_scale": settings.initial_loss_scale}
    return "ExponentialUpdateLossScaleManager", {
        "init_loss_scale": settings.initial_loss_scale,
        "incr_every_n_steps": settings.loss_scale_steps,
        "decr_every_n_nan_or_inf": 2,
        "incr_ratio": 2,
        "decr_ratio": 0.5,
    }


def broadcast(variables):
    """The operation that gives every float variable its value on rank 0; run it on all ranks.

    It belongs into the training session, once, after first values or checkpoint. The vendor's own
    hook sends trainable variables only, so that batch-norm statistics would differ. Integers
    (global_step, the loss scale's counters) are not sent.
    """
    send = _bridge().broadcast
    floats = [v for v in variables if v.dtype.base_dtype.is_floating]
    return tf.group(*[tf.assign(v, send([v], 0)[0]) for v in floats])
