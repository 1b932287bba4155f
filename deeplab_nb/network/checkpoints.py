"""Finding, reading and restoring checkpoints, with a report of what came from where."""
import collections
import glob
import os
import re

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import mindspore, zoo
from deeplab_nb.network.head import LOGITS_SCOPE
from deeplab_nb.tf1 import tf

_FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")

# where the layers after the backbone live, and the class layer alone; what a run may leave fresh on purpose
LAST_LAYERS = {"all": (), "without_logits": ("logits/",), "without_last_layers": (
    "logits/", "image_pooling/", "aspp", "concat_projection/", "decoder/")}

# what the optimiser keeps beside the network: TensorFlow's names, then MindSpore's
_OPTIMISERS = re.compile(r"(.*/(Momentum|ExponentialMovingAverage)|global_step|"
                         r"moments\..*|momentum|learning_rate|epoch_num|step_num)$")


def find_checkpoint(path):
    """The checkpoint's prefix, from a folder (its newest), a prefix or any one of the checkpoint's files.

    A MindSpore `.ckpt` is one file and its own prefix. Raises WorkbookError where there is none.
    """
    if os.path.isdir(path):
        prefix = newest_checkpoint(path) or mindspore.newest_checkpoint(path)
        if not prefix:
            raise WorkbookError("folder {} holds no checkpoint: it needs a .index and a .data file of the same name".format(path))
        return prefix
    if mindspore.is_checkpoint(path):
        return path
    prefix = _FILE_ENDING.sub("", path)
    if not os.path.exists(prefix + ".index"):
        raise WorkbookError("checkpoint {} does not exist: {}give a folder, a prefix or one of the checkpoint's files".format(
            path, _fetch_it(os.path.basename(os.path.normpath(path)))))
    return prefix


def _fetch_it(name):
    """Part of a sentence; empty for what cannot be fetched."""
    return "`deeplab-nb fetch weights {}` brings it to data/weights, or ".format(name) if name in zoo.NAMES else ""


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


def blocks(prefix):
    """The bytes of a checkpoint's files, in pieces, for a digest."""
    for path in sorted(glob.glob(glob.escape(prefix) + ".data-*")) + [p for p in (prefix, prefix + ".index") if os.path.isfile(p)]:
        with open(path, "rb") as file:
            yield from iter(lambda: file.read(1 << 20), b"")


def read_shapes(prefix):
    """{variable name: shape} of a checkpoint. Raises WorkbookError for a file that is none."""
    if mindspore.is_checkpoint(prefix):
        return {name: list(array.shape) for name, array in mindspore.read_variables(prefix).items()}
    try:
        return dict(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise _unreadable(prefix, error)


def describe(prefix):
    """The network settings that a checkpoint's variables imply: a dict for `settings.read`.

    So no one has to retype width, classes or head of a checkpoint. Raises WorkbookError for a foreign one.
    """
    implied = outline(prefix)
    if implied["backbone"] is None or implied["num_classes"] is None:
        raise WorkbookError("checkpoint {} is not of a DeepLab network with a class layer: give a trained one".format(prefix))
    return implied


def outline(prefix):
    """As `describe`, of part of a network too: backbone and num_classes are None where the file has none."""
    shapes = read_shapes(prefix)
    backbone = next((b for b, scope in _BACKBONE_SCOPES if any(name.startswith(scope) for name in shapes)), None)
    width = shapes["MobilenetV2/expanded_conv_16/project/weights"][-1] / 320 if backbone == "mobilenet_v2" else 1.0
    return {"backbone": backbone, "depth_multiplier": width,
            "num_classes": shapes.get(LOGITS_SCOPE + "/weights", [None])[-1],
            "aspp": any(name.startswith("aspp1") for name in shapes),
            "separable_head": "aspp1/weights" not in shapes,
            "decoder": any(name.startswith("decoder/") for name in shapes)}


_BACKBONE_SCOPES = (("mobilenet_v2", "MobilenetV2/"), ("xception_41", "xception_41/"), ("xception_65", "xception_65/"),
                    ("xception_71", "xception_71/"), ("resnet_v1_50_beta", "resnet_v1_50/"),
                    ("resnet_v1_101_beta", "resnet_v1_101/"))


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
        slots = [name for name in self.unused if _OPTIMISERS.match(name)]
        return " ({} of them the optimiser's, as expected)".format(len(slots)) if slots else ""


def plan_restore(prefix, shapes, variables, *, layers="all"):
    """What `restore` would do: a RestoreReport, from names and shapes alone.

    shapes: {variable name: shape} of the checkpoint, from `read_shapes`.
    layers: a key of LAST_LAYERS; what it leaves out stays fresh.
    The class layer is left fresh where the class counts differ. Raises WorkbookError if any other
    shape differs, or if nothing fits: then the file belongs to another network.
    """
    restored, fresh, wrong = [], {}, {}
    for variable in variables:
        name, shape = variable.op.name, variable.shape.as_list()
        if name.startswith(LAST_LAYERS[layers]):
            fresh[name] = "left out: initial_layers={}".format(layers)
        elif name not in shapes:
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


def restore(session, path, variables, *, complete=False, layers="all"):
    """Restores those of `variables` that the checkpoint at `path` has; returns the RestoreReport.

    layers: as for `plan_restore`.
    complete: raise WorkbookError unless every variable was restored (evaluation wants no random layer).
    """
    prefix = find_checkpoint(path)
    report = plan_restore(prefix, read_shapes(prefix), variables, layers=layers)
    if complete and report.fresh:
        name, why = sorted(report.fresh.items())[0]
        raise WorkbookError("checkpoint {} does not fill {} of the network's variables, {} among them ({}): "
                            "check num_classes, backbone and aspp".format(prefix, len(report.fresh), name, why))
    wanted = {variable.op.name: variable for variable in variables}
    _load(session, prefix, {name: wanted[name] for name in report.restored})
    return report


def _load(session, prefix, variables):
    """Gives each of {name: variable} its value from the checkpoint.

    The initialisers run with the file's values in place of their own: one run, no operations added, so that
    a network which is filled again and again does not grow.
    """
    if mindspore.is_checkpoint(prefix):
        values = mindspore.read_variables(prefix)
    else:
        try:
            reader = tf.train.load_checkpoint(prefix)
            values = {name: reader.get_tensor(name) for name in variables}
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise _unreadable(prefix, error)
    session.run([v.initializer for v in variables.values()],
                {v.initializer.inputs[1]: values[name] for name, v in variables.items()})


def _refuse_foreign(prefix, restored, wrong):
    if wrong:
        name, why = sorted(wrong.items())[0]
        raise WorkbookError("checkpoint {} is of another network: {} has shape {}; check backbone and depth_multiplier".format(
            prefix, name, why))
    head = LAST_LAYERS["without_last_layers"]  # alike in all networks: only a backbone tells whose file it is
    if all(name.startswith(head + ("global_step",)) for name in restored):
        raise WorkbookError("checkpoint {} has none of this network's variables: check backbone".format(prefix))


def _unreadable(prefix, error):
    return WorkbookError("checkpoint {} is not readable ({}): copy or train it again".format(
        prefix, str(getattr(error, "message", error)).split("\n")[0][:150]))
