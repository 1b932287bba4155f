"""Finding, reading and restoring checkpoints, with a report of what came from where."""
import collections
import os
import re

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.heads import LOGITS_SCOPE
from deeplab_nb.tf1 import tf

_FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def find_checkpoint(path):
    """The checkpoint's prefix, from a folder (its newest), a prefix or any one of the checkpoint's files.

    Raises WorkbookError where there is none.
    """
    if os.path.isdir(path):
        prefix = newest_checkpoint(path)
        if not prefix:
            raise WorkbookError("folder {} holds no checkpoint: it needs a .index and a .data file of the same name".format(path))
        return prefix
    prefix = _FILE_ENDING.sub("", path)
    if not os.path.exists(prefix + ".index"):
        raise WorkbookError("checkpoint {} does not exist: give a folder, a prefix or one of the checkpoint's files".format(path))
    return prefix


def newest_checkpoint(folder):
    """Prefix of the folder's newest whole checkpoint, or None.

    The highest step wins; files without a step number come after numbered ones.
    """
    names = os.listdir(folder) if os.path.isdir(folder) else []
    prefixes = [name[:-len(".index")] for name in names if name.endswith(".index")]
    whole = [p for p in prefixes if any(n.startswith(p + ".data-") for n in names)]
    return os.path.join(folder, max(whole, key=lambda p: (step_of(p), p))) if whole else None


def step_of(prefix):
    """The step in a name such as model.ckpt-500; -1 without one."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else -1


def read_shapes(prefix):
    """{variable name: shape} of a checkpoint. Raises WorkbookError for a file that is none."""
    try:
        return dict(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise _unreadable(prefix, error)


def describe(prefix):
    """The network settings that a checkpoint's variables imply: a dict for `settings.read`.

    So no one has to retype width, classes or head of a checkpoint. Raises WorkbookError for a foreign one.
    """
    shapes = read_shapes(prefix)
    backbone = next((b for b, scope in _BACKBONE_SCOPES if any(name.startswith(scope) for name in shapes)), None)
    if backbone is None or LOGITS_SCOPE + "/weights" not in shapes:
        raise WorkbookError("checkpoint {} is not of a DeepLab network with a class layer: give a trained one".format(prefix))
    width = shapes["MobilenetV2/expanded_conv_16/project/weights"][-1] / 320 if backbone == "mobilenet_v2" else 1.0
    return {"backbone": backbone, "depth_multiplier": width, "num_classes": shapes[LOGITS_SCOPE + "/weights"][-1],
            "aspp": any(name.startswith("aspp1") for name in shapes),
            "decoder": any(name.startswith("decoder/") for name in shapes)}


_BACKBONE_SCOPES = (("mobilenet_v2", "MobilenetV2/"), ("xception_65", "xception_65/"),
                    ("resnet_v1_50_beta", "resnet_v1_50/"))


class RestoreReport(collections.namedtuple("RestoreReport", "checkpoint restored fresh unused")):
    """restored: names; fresh: {name: why it keeps its initial value}; unused: names only in the file."""

    def __str__(self):
        lines = ["checkpoint {}".format(self.checkpoint),
                 "  restored {:4d} variables".format(len(self.restored)),
                 "  fresh    {:4d} variables{}".format(len(self.fresh), ":" if self.fresh else "")]
        lines += ["    {} ({})".format(name, why) for name, why in sorted(self.fresh.items())[:8]]
        lines += ["    and {} more".format(len(self.fresh) - 8)] if len(self.fresh) > 8 else []
        lines += ["  unused   {:4d} variables of the file{}".format(len(self.unused), self._unused_kinds())]
        return "\n".join(lines)

    def _unused_kinds(self):
        slots = [n for n in self.unused if n.endswith(("/Momentum", "/ExponentialMovingAverage")) or n == "global_step"]
        return " ({} of them the optimiser's, as expected)".format(len(slots)) if slots else ""


def plan_restore(prefix, variables):
    """What `restore` would do: a RestoreReport, from names and shapes alone.

    The class layer is left fresh where the class counts differ. Raises WorkbookError if any other
    shape differs, or if nothing fits: then the file belongs to another network.
    """
    shapes = read_shapes(prefix)
    restored, fresh, wrong = [], {}, {}
    for variable in variables:
        name, shape = variable.op.name, variable.shape.as_list()
        if name not in shapes:
            fresh[name] = "not in the checkpoint"
        elif list(shapes[name]) == shape:
            restored.append(name)
        elif name.startswith(LOGITS_SCOPE):
            fresh[name] = "{} classes there, {} here".format(shapes[name][-1], shape[-1])
        else:
            wrong[name] = "{} there, {} here".format(list(shapes[name]), shape)
    _refuse_foreign(prefix, restored, wrong)
    unused = sorted(set(shapes) - {v.op.name for v in variables})
    return RestoreReport(prefix, restored, fresh, unused)


def restore(session, path, variables, *, complete=False):
    """Restores those of `variables` that the checkpoint at `path` has; returns the RestoreReport.

    complete: raise WorkbookError unless every variable was restored (evaluation wants no random layer).
    """
    prefix = find_checkpoint(path)
    report = plan_restore(prefix, variables)
    if complete and report.fresh:
        name, why = sorted(report.fresh.items())[0]
        raise WorkbookError("checkpoint {} does not fill {} of the network's variables, {} among them ({}): "
                            "check num_classes, backbone and aspp".format(prefix, len(report.fresh), name, why))
    wanted = {variable.op.name: variable for variable in variables}
    try:
        tf.train.Saver({name: wanted[name] for name in report.restored}).restore(session, prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise _unreadable(prefix, error)
    return report


def _refuse_foreign(prefix, restored, wrong):
    if wrong:
        name, why = sorted(wrong.items())[0]
        raise WorkbookError("checkpoint {} is of another network: {} has shape {}; check backbone and depth_multiplier".format(
            prefix, name, why))
    if not any(not name.startswith(("global_step", LOGITS_SCOPE)) for name in restored):
        raise WorkbookError("checkpoint {} has none of this network's variables: check backbone".format(prefix))


def _unreadable(prefix, error):
    return WorkbookError("checkpoint {} is not readable ({}): copy or train it again".format(
        prefix, str(getattr(error, "message", error)).split("\n")[0][:150]))
