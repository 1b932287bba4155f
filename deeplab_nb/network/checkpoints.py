"""Finding, reading and restoring checkpoints, with a report of what came from where."""

import collections
import contextlib
import glob
import hashlib
import itertools
import os
import re
import shutil
import tempfile

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import mindspore, zoo
from deeplab_nb.network.head import LOGITS_SCOPE
from deeplab_nb.processes import alone_at
from deeplab_nb.tf1 import tf

_FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_PATTERN = re.compile(r"[][*?\\]")
_SHAPES = re.compile(r"^(.+) \(DT_\w+\) \[([\d,]*)\]$", re.MULTILINE)

# where the layers after the backbone live, and the class layer alone; what a run may leave fresh on
# purpose
LAST_LAYERS = {
    "all": (),
    "without_logits": ("logits/",),
    "without_last_layers": ("logits/", "image_pooling/", "aspp", "concat_projection/", "decoder/"),
}

# what the optimiser keeps beside the network: TensorFlow's names, then MindSpore's
_OPTIMISERS = re.compile(
    r"(.*/(Momentum|ExponentialMovingAverage)|global_step|"
    r"moments\..*|momentum|learning_rate|epoch_num|step_num)$"
)


def find_checkpoint(path):
    """The checkpoint's prefix, from a folder (its newest), a prefix or one of its files.

    A MindSpore `.ckpt` is one file and its own prefix, as one of TensorFlow's old form (V1) is.
    Raises WorkbookError where there is none.
    """
    if os.path.isdir(path):
        prefix = newest_checkpoint(path) or mindspore.newest_checkpoint(path)
        if not prefix and os.path.isdir(os.path.join(path, "train")):
            return find_checkpoint(os.path.join(path, "train"))  # of a run's folder
        if not prefix:
            raise WorkbookError(
                f"folder {path} holds no checkpoint: it needs a .index and a .data "
                "file of the same name"
            )
        return prefix
    if mindspore.is_checkpoint(path):
        return path
    prefix = _FILE_ENDING.sub("", path)
    if not os.path.exists(prefix + ".index") and not os.path.isfile(prefix):
        name = os.path.basename(os.path.normpath(path))
        fetch = f"`deeplab-nb fetch weights {name}` brings it to data/weights, or "
        hint = fetch if name in zoo.NAMES else ""
        raise WorkbookError(
            f"checkpoint {path} does not exist: {hint}give a folder, a prefix or "
            "one of the checkpoint's files"
        )
    return prefix


def newest_checkpoint(folder):
    """Prefix of the folder's newest whole checkpoint, or None."""
    return next(reversed(whole_checkpoints(folder)), None)


def whole_checkpoints(folder):
    """Prefixes of the folder's checkpoints by step, those without a step's number first."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    prefixes = [name[: -len(".index")] for name in names if name.endswith(".index")]
    whole = [p for p in prefixes if any(n.startswith(p + ".data-") for n in names)]
    return [os.path.join(folder, p) for p in sorted(whole, key=lambda p: (step_of(p), p))]


def go_back(folder, step):
    """Sets a run's checkpoints after a step aside, so that training goes on from that step.

    Returns FOLDER/after_step_N, where they go. WorkbookError: no such step, or it is in use.
    """
    steps = {step_of(prefix): prefix for prefix in whole_checkpoints(folder)}
    if step not in steps:
        there = ", ".join(str(number) for number in steps if number >= 0) or "none"
        raise WorkbookError(
            f"{folder} has no checkpoint of step {step}: of its steps, give {there}"
        )
    aside = os.path.join(folder, f"after_step_{step}")
    with alone_at(folder):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "model.ckpt-*"))):
            if step_of(_FILE_ENDING.sub("", path)) > step:
                os.makedirs(aside, exist_ok=True)
                shutil.move(path, _free(os.path.join(aside, os.path.basename(path))))
    return aside


def _free(path):
    """The path, or the first of path.1, path.2, ... that does not exist."""
    numbered = (f"{path}.{number}" for number in itertools.count(1))
    return next(p for p in itertools.chain([path], numbered) if not os.path.exists(p))


def step_of(prefix):
    """The step in a name such as model.ckpt-500; -1 without one."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else -1


def digest(prefix, text=""):
    """A SHA-256 of a text and the bytes of a checkpoint's files, which can be gone on with."""
    found = hashlib.sha256(text.encode())
    for path in _files(prefix):
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                found.update(block)
    return found


def _files(prefix):
    data = sorted(glob.glob(glob.escape(prefix) + ".data-*"))
    return data + [path for path in (prefix, prefix + ".index") if os.path.isfile(path)]


@contextlib.contextmanager
def literal(path):
    """A name for a checkpoint or folder that holds no pattern.

    TensorFlow takes brackets and the like for a pattern of names, and would not find what lies
    there (tensorflow#35489): such a path is reached by links in a folder of their own.
    """
    if not _PATTERN.search(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as links:
        name = os.path.join(links, "linked")
        for file in [path] if os.path.isdir(path) else _files(path):
            os.symlink(os.path.abspath(file), name + file[len(path) :])
        yield name


@contextlib.contextmanager
def _opened(prefix):
    """`(shapes, value)` of a checkpoint: {variable name: shape}, and the array of a name.

    Raises WorkbookError for a file that is unreadable, then or when a value is read.
    """
    if mindspore.is_checkpoint(prefix):
        values = mindspore.read_variables(prefix)
        yield {name: list(array.shape) for name, array in values.items()}, values.get
        return
    try:
        with literal(prefix) as name:
            reader = tf.train.load_checkpoint(name)
            # its text, for get_variable_to_shape_map of TensorFlow 1.15 leaks 200 bytes a variable
            found = _SHAPES.findall(reader.debug_string().decode())
            shapes = {
                name: [int(side) for side in re.findall(r"\d+", text)] for name, text in found
            }
            yield shapes, reader.get_tensor
    except (tf.errors.OpError, ValueError, RuntimeError, LookupError) as error:
        said = str(getattr(error, "message", error)).split("\n")[0][:150]
        raise WorkbookError(
            f"checkpoint {prefix} is not readable ({said}): compare its files' sizes with their "
            "source, copy them again or give another checkpoint"
        )


def read_shapes(prefix):
    """{variable name: shape} of a checkpoint. Raises WorkbookError for a file that is none."""
    with _opened(prefix) as (shapes, _):
        return shapes


class RestoreReport(collections.namedtuple("RestoreReport", "checkpoint restored fresh unused")):
    """restored: names; fresh: {name: why it keeps its initial value}; unused: the file's alone."""

    def __str__(self):
        fresh, unused = len(self.fresh), len(self.unused)
        lines = [
            f"checkpoint {self.checkpoint}",
            f"  restored {len(self.restored):4d} variables",
            f"  fresh    {fresh:4d} variables{':' if fresh else ''}",
        ]
        lines += [f"    {name} ({why})" for name, why in sorted(self.fresh.items())[:8]]
        lines += [f"    and {fresh - 8} more"] if fresh > 8 else []
        slots = sum(bool(_OPTIMISERS.match(name)) for name in self.unused)
        kinds = f" ({slots} of them the optimiser's, as expected)" if slots else ""
        return "\n".join(lines + [f"  unused   {unused:4d} variables of the file{kinds}"])


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
            fresh[name] = f"left out: initial_layers={layers}"
        elif name not in shapes:
            fresh[name] = "not in the checkpoint"
        elif list(shapes[name]) == shape:
            restored.append(name)
        elif name.startswith(LOGITS_SCOPE):
            fresh[name] = f"{shapes[name][-1]} classes there, {shape[-1]} here"
        else:
            wrong[name] = f"{list(shapes[name])} there, {shape} here"
    if wrong:
        name, why = min(wrong.items())
        raise WorkbookError(
            f"checkpoint {prefix} is of another network: {name} has shape {why}; "
            "check backbone and depth_multiplier"
        )
    # alike in all networks: only a backbone tells whose file it is
    head = LAST_LAYERS["without_last_layers"] + ("global_step",)
    if all(name.startswith(head) for name in restored):
        raise WorkbookError(
            f"checkpoint {prefix} has none of this network's variables: check backbone"
        )
    unused = sorted(set(shapes) - {v.op.name for v in variables})
    return RestoreReport(prefix, restored, fresh, unused)


def restore(session, path, variables, *, complete=False, layers="all"):
    """Restores those of `variables` that the checkpoint at `path` has; returns the RestoreReport.

    layers: as for `plan_restore`.
    complete: raise WorkbookError unless every variable was restored: evaluation wants no random
      layer.
    """
    prefix = find_checkpoint(path)
    with _opened(prefix) as (shapes, value):
        report = plan_restore(prefix, shapes, variables, layers=layers)
        if complete and report.fresh:
            name, why = min(report.fresh.items())
            raise WorkbookError(
                f"checkpoint {prefix} does not fill {len(report.fresh)} of the network's "
                f"variables, {name} among them ({why}): check num_classes, backbone and aspp"
            )
        values = {name: value(name) for name in report.restored}
    filled = [variable for variable in variables if variable.op.name in values]
    # The initialisers run with the file's values in place of their own: one run, no operations
    # added, so that a network which is filled again and again does not grow.
    session.run(
        [v.initializer for v in filled],
        {v.initializer.inputs[1]: values[v.op.name] for v in filled},
    )
    return report
