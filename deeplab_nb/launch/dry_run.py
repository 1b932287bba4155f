"""What an Ascend card would be given: `deeplab-nb train RECIPE --device npu --dry-run`."""

import os
import shlex

from deeplab_nb import ascend_profiles
from deeplab_nb.devices import ascend
from deeplab_nb.launch import job
from deeplab_nb.tf1 import tf

# by what the card does and whether there is a loss scale. NPULossScaleOptimizer asks the card which
# of the two it does, so the card keeps its default: set_device_sat_mode is not called.
_OVERFLOWS = {
    ("saturation", True): "is clamped (saturation) and raises a status flag, by which "
    "NPULossScaleOptimizer skips the step; inf never shows in the gradients",
    ("saturation", False): "is clamped (saturation); nothing tells of it without a loss scale",
    ("inf/nan", True): "becomes inf (inf/nan mode, the default since CANN 8.0.RC3), by which "
    "NPULossScaleOptimizer skips the step",
    ("inf/nan", False): "becomes inf (inf/nan mode, the default since CANN 8.0.RC3); training ends "
    "with a sentence if it reaches the loss or the gradients",
}


def dry_run(settings):
    """Lines that show what a card would be given; needs no card and writes nothing.

    These are profile, session options, environment of rank 0, overflow, and the wrapping of the
    optimiser. Raises WorkbookError as `ascend.session_config` does.
    """
    profile = ascend_profiles.chosen(settings.ascend_profile)
    parts = [
        (
            f"profile {profile.name}: {profile.title}, not run on hardware",
            [f"source {' or '.join(profile.scripts)}", f"npu_bridge comes as {profile.adapter}"],
        ),
        ("session options: key = value (field)", _session(settings)),
        (f"environment of rank 0 of {settings.cards}", _environment(settings, profile)),
        (
            "a float16 that is too large",
            [_OVERFLOWS[profile.overflow, settings.loss_scale != "none"]],
        ),
        ("optimiser, from the outside in", _wrapping(settings)),
    ]
    return [line for title, lines in parts for line in [title] + [f"    {line}" for line in lines]]


def _session(settings):
    rewrite = ascend.session_config(settings).graph_options.rewrite_options
    lines = []
    for key, value in sorted(rewrite.custom_optimizers[0].parameter_map.items()):
        field = value.WhichOneof("value")
        lines.append(f"{key} = {tf.compat.as_str_any(getattr(value, field))} ({field})")
    return lines + ["remapping = OFF, memory_optimization = OFF (TensorFlow's own)"]


def _environment(settings, profile):
    several = settings.cards > 1
    variables = job.environment(
        0, settings.cards, os.environ.get("RANK_TABLE_FILE") if several else None
    )
    missing = "(from --rank-table)" if several else "(none: it would switch the collectives on)"
    quoted = {name: value and shlex.quote(value) for name, value in variables.items()}
    lines = [f"{name}={value or missing}" for name, value in quoted.items()]
    if several:
        lines.append(
            f"rank table of version {' or '.join(profile.rank_table_versions)}"
            + ", or CM_* variables in its place" * profile.starts_without_table
        )
    if profile.hardware != "910" and not settings.mixed_precision:
        lines.append("ENABLE_HF32_EXECUTION=0 (or not set, and convolutions round float32 to HF32)")
    return lines


def _wrapping(settings):
    several, lines = settings.cards > 1, []
    if settings.loss_scale != "none":
        kind, arguments = ascend.loss_scale(settings)
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        lines.append(f"NPULossScaleOptimizer, is_distributed={several}, {kind}({given})")
    return lines + ["NPUDistributedOptimizer"] * several + [settings.optimizer]
