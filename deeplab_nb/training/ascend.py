"""Everything npu_bridge: Huawei's TensorFlow adapter for Ascend cards, of CANN 5 to 9.

No other file imports it, and only what wraps the optimiser or broadcasts needs it: the session's options
and the environment are built on any machine, and a TensorFlow without Ascend passes over them. The adapter says nothing
of an option with a misspelt name or in the wrong field, nor of a wrong environment; so both are checked here and in
the tests. What differs by CANN and card is in `ascend_profiles`. Since CANN 6, importing it makes
every tf.Session of the process one of the card, unless its config says otherwise: work that belongs
on the host takes `tf1.host_session`. Not run on hardware.
"""
import functools
import importlib.util
import json
import os
import types

from deeplab_nb import ascend_profiles
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job
from deeplab_nb.tf1 import tf


# --- the library

def problem():
    """None where npu_bridge can be imported, else one sentence that says why not and what helps."""
    return _load()[1]


@functools.lru_cache(maxsize=None)
def _load():
    """`(its names that are used here, None)` or `(None, sentence)`; looked for once a process."""
    try:
        if importlib.util.find_spec("npu_bridge") is None:
            return None, ("npu_bridge is not installed: source the set_env.sh of CANN, and install "
                          f"{ascend_profiles.chosen().adapter} (`deeplab-nb doctor` looks for "
                          "them), or set device=cpu")
        if job.size_of(os.environ) == "1":  # the adapter reads these while it loads; what is exported wins
            for name in ("JOB_ID", "RANK_ID", "RANK_SIZE"):
                os.environ.setdefault(name, job.environment(0, 1)[name])
        # npu_init is the vendor's documented door; importing it also registers what closes the card at the end
        from npu_bridge.npu_init import (ExponentialUpdateLossScaleManager, FixedLossScaleManager, NPUDistributedOptimizer,
                                         NPULossScaleOptimizer, hccl_ops)
    except Exception as error:  # without its native library it ends in NameError, AttributeError or OSError as well
        return None, "npu_bridge does not load ({}: {}): run `deeplab-nb doctor`, or set device=cpu".format(
            type(error).__name__, str(error).split("\n")[0][:160])
    return types.SimpleNamespace(
        ExponentialUpdateLossScaleManager=ExponentialUpdateLossScaleManager, FixedLossScaleManager=FixedLossScaleManager,
        NPUDistributedOptimizer=NPUDistributedOptimizer, NPULossScaleOptimizer=NPULossScaleOptimizer,
        broadcast=hccl_ops.broadcast), None


def _bridge():
    bridge, why_not = _load()
    if why_not:
        raise WorkbookError(why_not)
    return bridge


# --- the session

def session_config(settings):
    """The tf.ConfigProto of a session that trains on a card.

    As the published DeepLabv3+ port: mixed compilation, because the input stays on the host, and one step a call,
    which mixed compilation demands. Raises WorkbookError for what the profile's card or CANN lacks,
    and for a mixlist, dump_folder or profiling_folder that cannot be used: the adapter would end
    the process without a Python error.
    """
    config = tf.ConfigProto(allow_soft_placement=True, intra_op_parallelism_threads=settings.intra_op_threads)
    rewrite = config.graph_options.rewrite_options
    rewrite.remapping = rewrite.OFF
    rewrite.memory_optimization = rewrite.OFF  # the adapter itself does so only from its next branch on
    npu = rewrite.custom_optimizers.add(name="NpuOptimizer")
    options = _options(settings, ascend_profiles.chosen(settings.ascend_profile))
    for name, value in options.items():  # its type is the field that the adapter reads
        field = {bool: "b", int: "i", str: "s"}[type(value)]
        setattr(npu.parameter_map[name], field, value.encode() if field == "s" else value)
    return config


def _options(settings, profile):
    """{key of NpuOptimizer: value}, of keys that the profile's adapter knows."""
    key, word = _precision(settings, profile)
    options = {"use_off_line": True, "mix_compile_mode": True, "iterations_per_loop": 1, key: word}
    if settings.cards > 1 and profile.hcom_parallel:
        # the default of CANN 8 and 9, written out so that the dry run shows it; CANN 5's is off,
        # and the published port left it so
        options["hcom_parallel"] = True
    if settings.deterministic:
        if not profile.has_deterministic:
            raise WorkbookError(f"deterministic=true is for CANN 8 and later, and the profile is "
                                f"{profile.name}: leave it out, or name another ascend_profile")
        options["deterministic"] = 1
    if settings.mixlist:
        options["modify_mixlist"] = _mixlist(settings.mixlist)
    if settings.dump_folder:  # an A2 or A3 takes no other debug mode than 'all'
        options.update(enable_dump_debug=True, dump_path=_folder("dump_folder", settings.dump_folder), dump_debug_mode="all")
    if settings.profiling_folder:
        folder = _folder("profiling_folder", settings.profiling_folder)
        # training_trace would need the names of the graph's first and last operation
        options.update(profiling_mode=True, profiling_options=json.dumps({"output": folder, "task_trace": "on"}))
    return options


def _precision(settings, profile):
    """`(key, word)` that tells the compiler which float type to compute in."""
    kind = settings.mixed_type if settings.mixed_precision else ""
    if kind not in profile.precision:
        raise WorkbookError(f"mixed_type {kind} is for an Ascend A2 or A3, and the profile is "
                            f"{profile.name}: leave it out, or name the card's with ascend_profile")
    return profile.precision[kind]


def _mixlist(path):
    try:
        with open(path) as file:
            if isinstance(json.load(file), dict):
                return os.path.abspath(path)
    except (OSError, ValueError) as error:
        raise WorkbookError("mixlist {} cannot be read as JSON ({}): name another file, or leave mixlist empty".format(path, error))
    raise WorkbookError("mixlist {} holds no JSON object: it needs lists such as {{\"black-list\": {{\"to-add\": [...]}}}}".format(path))


def _folder(name, path):
    if not os.path.isdir(path) or not os.access(path, os.W_OK):
        raise WorkbookError("{} {} is no folder that can be written to: make it first, or name another".format(name, path))
    return os.path.abspath(path)


# --- the optimiser

def wrapped(optimizer, settings, ranks=1):
    """`(optimizer, manager)`: the optimiser as `ranks` cards and `settings.loss_scale` need it.

    The loss scale is outermost, so that the overflow flag of all ranks counts. A step that overflows on any of them
    changes no weight and does not advance global_step: count calls, not global_step, where a loop must end.
    manager: None for loss_scale 'none'; else `manager.get_loss_scale()` is a float32 scalar for the log, and an
    exponential one counts in the variables `good_steps` and `bad_steps`, which it puts into the checkpoints.
    Raises WorkbookError without npu_bridge, or if the environment is not that of one rank among `ranks`.
    """
    why_not = rank_problem(ranks, os.environ)
    if why_not:
        raise WorkbookError(why_not)
    bridge, manager = _bridge(), None
    with tf.control_dependencies(None):  # a manager must not be made under any
        if ranks > 1:
            optimizer = bridge.NPUDistributedOptimizer(optimizer)
        if settings.loss_scale != "none":
            kind, arguments = _loss_scale(settings)
            manager = getattr(bridge, kind)(**arguments)
            optimizer = bridge.NPULossScaleOptimizer(optimizer, manager, is_distributed=ranks > 1)
    return optimizer, manager


def _loss_scale(settings):
    """`(manager's class, its arguments)`; the ratios and the two overflows are the published eight-card run's."""
    if settings.loss_scale == "fixed":
        return "FixedLossScaleManager", {"loss_scale": settings.initial_loss_scale}
    return "ExponentialUpdateLossScaleManager", {
        "init_loss_scale": settings.initial_loss_scale, "incr_every_n_steps": settings.loss_scale_steps,
        "decr_every_n_nan_or_inf": 2, "incr_ratio": 2, "decr_ratio": 0.5}


def broadcast(variables, root_rank=0):
    """The operation that gives every float variable the value it has on one rank; run it once, on all ranks.

    It belongs into the training session, after first values or checkpoint. The vendor's own hook sends trainable variables
    only, so that batch-norm statistics would differ. Integers (global_step, the loss scale's counters) are not sent.
    """
    send = _bridge().broadcast
    return tf.group(*[tf.assign(v, send([v], root_rank)[0]) for v in variables if v.dtype.base_dtype.is_floating])


# --- the environment of a rank

def rank_problem(ranks, variables):
    """None if these environment variables are those of one rank among `ranks`, else one sentence.

    The adapter tells none of this: it would train ranks that do not exchange gradients, or all of them on card 0.
    """
    said = f"{ranks} cards train together" if ranks > 1 else "one card trains"
    chief, table = ([name for name in names if variables.get(name)]
                    for names in (job.CHIEF, job.TABLE))
    if chief and table:
        return (f"{', '.join(chief)} are set and {', '.join(table)} too: unset the former to start "
                "by rank table, or the latter to start by chief")
    size, rank = ("CM_WORKER_SIZE", job.RANK) if chief else ("RANK_SIZE", "RANK_ID")
    if job.size_of(variables) != str(ranks):
        return (f"{size} is {job.size_of(variables)} but {said}: export {size}={ranks}, or set "
                "cards to match")
    if ranks == 1:
        return None
    for name in ("JOB_ID", rank) + (job.CHIEF if chief else ("RANK_TABLE_FILE",)):
        if not variables.get(name):
            return f"{name} is not set but {said}: export it in every process before Python starts"
    if variables[rank] not in map(str, range(ranks)):
        return (f"{rank} is {variables[rank]} but {said}: it must be 0..{ranks - 1}, another in "
                "every process")
    if not variables.get("ASCEND_DEVICE_ID") and not variables.get("DEVICE_ID"):
        return f"ASCEND_DEVICE_ID is not set but {said}: without it every process takes card 0"
    if not chief and not os.path.isfile(variables["RANK_TABLE_FILE"]):
        return (f"RANK_TABLE_FILE {variables['RANK_TABLE_FILE']} does not exist: name the rank "
                "table, the same file in every process")
    return None


# --- all of it in words

def dry_run(settings):
    """Lines that show what a card would be given.

    These are profile, session options, environment of rank 0, overflow, and the wrapping of the
    optimiser.
    """
    ranks, profile = settings.cards, ascend_profiles.chosen(settings.ascend_profile)
    lines = [f"profile {profile.name}: {profile.title}, not run on hardware",
             f"    source {' or '.join(profile.scripts)}",
             f"    npu_bridge comes as {profile.adapter}",
             "session options: key = value (field)"]
    options = session_config(settings).graph_options.rewrite_options.custom_optimizers[0].parameter_map
    for key, value in sorted(options.items()):
        field = value.WhichOneof("value")
        lines.append("    {} = {} ({})".format(key, tf.compat.as_str_any(getattr(value, field)), field))
    lines += ["    remapping = OFF, memory_optimization = OFF (TensorFlow's own)", "environment of rank 0 of {}".format(ranks)]
    variables = job.environment(0, ranks, os.environ.get("RANK_TABLE_FILE") if ranks > 1 else None)
    missing = "(from --rank-table)" if ranks > 1 else "(none: it would switch the collectives on)"
    lines += ["    {}={}".format(name, value or missing) for name, value in variables.items()]
    if ranks > 1:
        lines.append(f"    rank table of version {' or '.join(profile.rank_table_versions)}"
                     + ", or CM_* variables in its place" * profile.starts_without_table)
    if profile.hardware != "910" and not settings.mixed_precision:
        lines.append("    ENABLE_HF32_EXECUTION=0 (or not set, and convolutions round float32 to HF32)")
    lines += ["a float16 that is too large",
              "    " + _OVERFLOWS[profile.overflow, settings.loss_scale != "none"]]
    return lines + ["optimiser, from the outside in"] + ["    " + line for line in _wrapping(settings, ranks)]


# by what the card does and whether there is a loss scale. NPULossScaleOptimizer asks the card which
# of the two it does, so the card keeps its default: set_device_sat_mode is not called.
_OVERFLOWS = {
    ("saturation", True): "is clamped (saturation) and raises a status flag, by which "
                          "NPULossScaleOptimizer skips the step; inf never shows in the gradients",
    ("saturation", False): "is clamped (saturation); nothing tells of it without a loss scale",
    ("inf/nan", True): "becomes inf (inf/nan mode, the default since CANN 8.0.RC3), by which "
                       "NPULossScaleOptimizer skips the step",
    ("inf/nan", False): "becomes inf (inf/nan mode, the default since CANN 8.0.RC3); training ends "
                        "with a sentence if it reaches the loss or the gradients"}


def _wrapping(settings, ranks):
    lines = []
    if settings.loss_scale != "none":
        kind, arguments = _loss_scale(settings)
        lines.append("NPULossScaleOptimizer, is_distributed={}, {}({})".format(
            ranks > 1, kind, ", ".join("{}={}".format(*item) for item in arguments.items())))
    return lines + ["NPUDistributedOptimizer"] * (ranks > 1) + [settings.optimizer]
