"""Where users of the originals look, and what they look for there: links into a run's folder."""

import collections
import glob
import os
import platform
import statistics

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_text
from deeplab_nb.network.checkpoints import newest_checkpoint, step_of
from deeplab_nb.training.log import read_log, steps_of

NETWORK = "Deeplabv3+_for_TensorFlow"

# logs: {number of card or, for mindspore, of rank: path}; train: folder of the checkpoints
Places = collections.namedtuple("Places", "mindspore logs train")


def of(mindspore, folder, plan, rank=None):
    """The `Places` of a run. plan: of a launch, None for this process alone.

    rank: of this process, as a text, if others were started beside it.
    """
    if plan:
        logs = {
            each if mindspore else plan.devices.get(each, each): os.path.join(
                folder, f"rank_{each}", "log.txt"
            )
            for each in plan.ranks
        }
        return Places(mindspore, logs, os.path.join(folder, "train"))
    number = rank or 0 if mindspore else os.environ.get("ASCEND_DEVICE_ID") or rank or 0
    own = os.path.join(folder, f"rank_{rank}") if int(rank or 0) else folder
    return Places(mindspore, {number: os.path.join(own, "train.log")}, folder)


def link_logs(places):
    """Puts links to the logs where the original writes its own, before anything is in them."""
    for number, log in places.logs.items():
        link(
            f"LOG{number}/log.txt" if places.mindspore else f"output/{number}/train_{number}.log",
            log,
        )
    if places.mindspore and list(places.logs) == [0]:
        link("log.txt", places.logs[0])


def link(place, target):
    """Makes `place` a link; an earlier link gives way. Raises WorkbookError where a file stands."""
    folder = os.path.dirname(os.path.abspath(place))
    os.makedirs(folder, exist_ok=True)
    if os.path.islink(place):
        os.remove(place)
    try:
        os.symlink(os.path.relpath(target, folder), place)
    except OSError as error:
        raise WorkbookError(
            f"{place} cannot lead to {target} ({error.strerror}): move what stands there away"
        )


def finish(places, settings, seconds, case, epoch):
    """The lines that end a training, also written where the original has them.

    seconds: of all; case: acc or perf; epoch: its steps.
    """
    if places.mindspore:
        return _link_checkpoint(places, epoch)
    log = steps_of(read_log(os.path.join(places.train, "log.jsonl")))
    batch, step = settings.train_batch_size, _step_seconds(log)
    name = f"{NETWORK}_bs{batch}_{settings.cards}p_{case}"
    lines = {
        "Network": NETWORK,
        "RankSize": settings.cards,
        "BatchSize": batch,
        "DeviceType": platform.machine(),
        "CaseName": name,
        "ActualFPS": f"{settings.global_batch_size / step:.2f}",
        "TrainingTime": f"{1000 * step:.2f}",
        "ActualLoss": f"{log[-1]['loss']:.4f}",
        "E2ETrainingTime": f"{seconds:.0f}",
    }
    text = "".join(f"{label} = {value}\n" for label, value in lines.items())
    path = write_text(os.path.join(places.train, name + ".log"), text)
    link(f"output/{list(places.logs)[-1]}/{name}.log", path)  # of the last card, as in the port
    return text


def _step_seconds(log):
    """Median seconds a step; the first line, with the compilation, only where there is no other."""
    if not log:
        raise WorkbookError("the training wrote no log line: set log_every to fewer than its steps")
    return statistics.median(entry["seconds_a_step"] for entry in log[1:] or log)


def _link_checkpoint(places, epoch):
    """Names the last checkpoint's files as the MindSpore entry does its own; returns a sentence."""
    prefix = newest_checkpoint(places.train)
    epochs, step = divmod(step_of(prefix) - 1, epoch)
    place = f"LOG0/chec_deeplabv3-{epochs + 1}_{step + 1}.ckpt"
    for path in glob.glob(glob.escape(prefix) + ".*"):
        link(place + path[len(prefix) :], path)
    return f"{place} (of TensorFlow's form) leads to {prefix}\n"
