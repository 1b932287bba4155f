"""A `translation.Request` carried out: trained by this process or a launch of ranks, or scored.

And where users of the originals look, what they look for there: links into a run's folder.
"""

import collections
import glob
import importlib.util
import os
import platform
import shlex
import statistics
import time

import numpy as np

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data import layouts
from deeplab_nb.devices import devices, ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.files import write_json, write_text
from deeplab_nb.launch import job
from deeplab_nb.network.checkpoints import find_checkpoint, newest_checkpoint, step_of
from deeplab_nb.network.described import describe
from deeplab_nb.processes import terminable
from deeplab_nb.progress import say
from deeplab_nb.runs.run import Run, train_together
from deeplab_nb.training.log import read_log, steps_of
from deeplab_nb.training.loop import check_same_run, check_trainable

NETWORK = "Deeplabv3+_for_TensorFlow"

# logs: {number of card or, for mindspore, of rank: path}; train: folder of the checkpoints
Places = collections.namedtuple("Places", "mindspore logs train")


# --- trained


def train(request):
    """Trains from where an earlier run stopped; all is checked before a file is written."""
    began, folder = time.time(), os.path.abspath(request.folder)
    rank, recipe = _rank(request), recipes.get(request.recipe)
    data = layouts.find(os.path.abspath(request.data), request.split)
    settings, epoch = _train_settings(request, recipe, data, folder)
    table, launched = None, settings.cards > 1 and not rank
    if launched:
        settings, table = _on_cards(settings, request)
    changes = settings_module.changes(recipe.settings, settings)
    plan = job.plan(recipe, changes, folder, rank_table=table) if launched else None
    words = ["deeplab-nb"] + job.words("launch" if plan else "train", recipe, changes, folder)
    say(" ".join(["$", *map(shlex.quote, words)]))
    if "dry_run" in request.given:
        return
    found = places(request.mindspore, folder, plan, rank)
    if settings.initial_checkpoint:
        find_checkpoint(settings.initial_checkpoint)
    check_trainable(settings)
    check_same_run(settings_module.resolve(settings), found.train)
    if not plan:
        say(f"note: this trains on the {devices.find(settings)}")
    link_logs(found)
    if data.kind == "edge":  # records are read where they are
        layouts.lay_out(data, folder)
    if plan:
        train_together(recipe, plan)
    else:
        work = Run(recipe, settings, folder)
        work.train_folder = folder
        with terminable():
            work.train()
    if not int(rank or 0):
        case, seconds = request.given.get("case", "acc"), time.time() - began
        print(finish(found, settings, seconds, case, epoch), end="")


def _train_settings(request, recipe, data, folder):
    """(Settings of the run, steps of an epoch; 0 where nobody asks)."""
    root = layouts.voc_root(data, folder) if data.kind == "edge" else data.root
    values = settings_module.make_absolute(
        {"cards": request.cards, "data_root": root, "train_list": data.name, **request.values}
    )
    settings = settings_module.override(recipe.settings, values)
    if not request.epochs:
        return settings, 0
    images, step = layouts.count(data), settings.global_batch_size
    epoch = images // step
    if not epoch:
        raise WorkbookError(
            f"list {data.name} of {request.data} has {images} images, fewer than the {step} of "
            "one step: lower --batch_size"
        )
    # so that an epoch's last step has its line in the log
    every = max(steps for steps in range(1, 101) if epoch % steps == 0)
    values = {"train_steps": request.epochs * epoch, "log_every": every, **values}
    return settings_module.override(recipe.settings, values), epoch


def _rank(request):
    """This process's rank as a text, where a script has started each rank itself; else None."""
    own = ranks.rank_of(os.environ)
    return own if request.cards > 1 and "cards" not in request.given else None


def _on_cards(settings, request):
    """(Settings, rank table or None) of a launch: on NPUs unless the device says otherwise."""
    if settings.device in ("cpu", "gpu"):
        return settings, None
    if importlib.util.find_spec("npu_bridge") is None:
        raise WorkbookError(
            f"no Ascend card can be used for {settings.cards} ranks: npu_bridge is not installed, "
            "`deeplab-nb doctor` says what is missing; to rehearse on this machine's processors "
            "give --set device=cpu"
        )
    table = request.given.get("rank_table") or os.environ.get("RANK_TABLE_FILE")
    return settings_module.override(settings, {"device": "npu"}), table


# --- where users look


def places(mindspore, folder, plan, rank=None):
    """The `Places` of a run. plan: of a launch, None for this process alone.

    rank: of this process, as a text, if others were started beside it.
    """
    if plan:
        logs = {
            each if mindspore else plan.devices.get(each, each): f"{folder}/rank_{each}/log.txt"
            for each in plan.ranks
        }
        return Places(mindspore, logs, os.path.join(folder, "train"))
    number = rank or 0 if mindspore else os.environ.get("ASCEND_DEVICE_ID") or rank or 0
    own = os.path.join(folder, f"rank_{rank}") if int(rank or 0) else folder
    return Places(mindspore, {number: os.path.join(own, "train.log")}, folder)


def link_logs(found):
    """Puts links to the logs where the original writes its own, before anything is in them."""
    place = "LOG{0}/log.txt" if found.mindspore else "output/{0}/train_{0}.log"
    for number, log in found.logs.items():
        _link(place.format(number), log)
    if found.mindspore and list(found.logs) == [0]:
        _link("log.txt", found.logs[0])


def _link(place, target):
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


def finish(found, settings, seconds, case, epoch):
    """The lines that end a training, also written where the original has them.

    seconds: of all; case: acc or perf; epoch: its steps.
    """
    if found.mindspore:
        return _link_checkpoint(found.train, epoch)
    log = steps_of(read_log(os.path.join(found.train, "log.jsonl")))
    if not log:
        raise WorkbookError("the training wrote no log line: set log_every to fewer than its steps")
    # without the first line, which holds the compilation, where there is another
    step = statistics.median(entry["seconds_a_step"] for entry in log[1:] or log)
    name = f"{NETWORK}_bs{settings.train_batch_size}_{settings.cards}p_{case}"
    lines = {
        "Network": NETWORK,
        "RankSize": settings.cards,
        "BatchSize": settings.train_batch_size,
        "DeviceType": platform.machine(),
        "CaseName": name,
        "ActualFPS": f"{settings.global_batch_size / step:.2f}",
        "TrainingTime": f"{1000 * step:.2f}",
        "ActualLoss": f"{log[-1]['loss']:.4f}",
        "E2ETrainingTime": f"{seconds:.0f}",
    }
    text = "".join(f"{label} = {value}\n" for label, value in lines.items())
    path = write_text(os.path.join(found.train, name + ".log"), text)
    _link(f"output/{list(found.logs)[-1]}/{name}.log", path)  # of the last card, as in the port
    return text


def _link_checkpoint(folder, epoch):
    """Names the last checkpoint's files as the MindSpore entry does its own; returns a sentence."""
    prefix = newest_checkpoint(folder)
    epochs, step = divmod(step_of(prefix) - 1, epoch)
    place = f"LOG0/chec_deeplabv3-{epochs + 1}_{step + 1}.ckpt"
    for path in glob.glob(glob.escape(prefix) + ".*"):
        _link(place + path[len(prefix) :], path)
    return f"{place} (of TensorFlow's form) leads to {prefix}\n"


# --- scored


def score(request):
    """Scores the newest checkpoint and prints the original's lines; writes results.json."""
    folder = os.path.abspath(request.folder)
    data = layouts.find(os.path.abspath(request.data), request.split)
    path = request.values["initial_checkpoint"]
    several = os.path.join(path, "train")  # where a launch of several ranks leaves theirs
    checkpoint = find_checkpoint(several if os.path.isdir(several) else path)
    settings = _score_settings(request, describe(checkpoint), data, folder)
    if "dry_run" in request.given:
        return
    layouts.lay_out(data, folder)
    evaluation = evaluate(settings, checkpoint, engine="auto")
    write_json(os.path.join(folder, "results.json"), evaluation.results)
    print(evaluation.scores.table(list(evaluation.results["classes"])))
    print("\n".join(last_lines(request.mindspore, settings, evaluation)))


def _score_settings(request, held, data, folder):
    """The evaluation's settings; the checkpoint's network must be what the flags say."""
    start = recipes.get(request.recipe).settings if request.recipe else settings_module.Settings()
    values = {"data_root": layouts.voc_root(data, folder), **request.values}
    path = values.pop("initial_checkpoint")
    settings = settings_module.override(start, {**held, **values, "val_list": data.name})
    for name, value in held.items():
        if getattr(settings, name) != value:
            raise WorkbookError(
                f"checkpoint {path} holds a network with {name}={value}, the flags say "
                f"{getattr(settings, name)}: correct them"
            )
    return settings


def last_lines(mindspore, settings, evaluation):
    """The original's last lines. TensorFlow's mean counts classes that are only predicted, as 0."""
    if mindspore:
        return [f"mIoU = {evaluation.results['miou']}"]
    scores, flipped = evaluation.scores, "_flipped" if settings.eval_flip else ""
    tag = f"eval/miou_{'_'.join(map(str, settings.eval_scales))}{flipped}"
    counted = scores.present | scores.only_predicted
    overall = float(np.nansum(scores.iou) / max(counted.sum(), 1))
    return [f"{tag}_overall[{overall:.6g}]"] + [
        f"{tag}_class_{number}[{iou:.6g}]" for number, iou in enumerate(scores.iou)
    ]
