"""A `translation.Request` of a train.py, trained by this process or by a launch of ranks."""

import importlib.util
import os
import shlex
import time

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data import layouts
from deeplab_nb.devices import devices, ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job
from deeplab_nb.network.checkpoints import find_checkpoint
from deeplab_nb.processes import terminable
from deeplab_nb.published import places
from deeplab_nb.runs.run import Run, train_together
from deeplab_nb.training.loop import check_same_run, check_trainable


def run(request):
    """Trains from where an earlier run stopped; all is checked before a file is written."""
    began, folder, rank = time.time(), os.path.abspath(request.folder), _rank(request)
    recipe, plan = recipes.get(request.recipe), None
    data = layouts.find(os.path.abspath(request.data), request.split)
    settings, epoch = _settings(request, recipe, data, folder)
    if settings.cards > 1 and not rank:
        settings, table = _on_cards(settings, request)
        plan = job.plan(
            recipe, _changes(recipe, settings), folder, cards=settings.cards, rank_table=table
        )
    print("$ " + _command(recipe, settings, folder, plan), flush=True)
    if "dry_run" in request.given:
        return
    found = places.of(request.mindspore, folder, plan, rank)
    _check(settings, found)
    if not plan:
        print(f"note: this trains on the {devices.find(settings)}", flush=True)
    places.link_logs(found)
    if data.kind == "edge":  # records are read where they are
        layouts.lay_out(data, folder)
    if plan:
        train_together(recipe, plan)
    else:
        _train(recipe, settings, folder)
    if not int(rank or 0):
        case, seconds = request.given.get("case", "acc"), time.time() - began
        print(places.finish(found, settings, seconds, case, epoch), end="")


def _check(settings, found):
    if settings.initial_checkpoint:
        find_checkpoint(settings.initial_checkpoint)
    check_trainable(settings)
    check_same_run(settings_module.resolve(settings), found.train)


def _train(recipe, settings, folder):
    work = Run(recipe, settings, folder)
    work.train_folder = folder
    with terminable():
        work.train()


def _settings(request, recipe, data, folder):
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
            f"list {data.name} of {request.data} has {images} images, fewer than "
            f"the {step} of one step: lower --batch_size"
        )
    # so that an epoch's last step has its line in the log
    every = max(steps for steps in range(1, 101) if epoch % steps == 0)
    values = {"train_steps": request.epochs * epoch, "log_every": every, **values}
    return settings_module.override(recipe.settings, values), epoch


def _changes(recipe, settings):
    """{setting: text} of what differs from the recipe."""
    before, after = map(settings_module.as_dict, (recipe.settings, settings))
    return {
        name: ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in after.items()
        if value != before[name]
    }


def _rank(request):
    """This process's rank as a text, where a script has started each rank itself; else None."""
    own = os.environ.get("RANK_ID") or os.environ.get(ranks.RANK)
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


def _command(recipe, settings, folder, plan):
    words = ["deeplab-nb", "launch" if plan else "train", recipe.name]
    for name, value in _changes(recipe, settings).items():
        words += ["--set", f"{name}={value}"]
    return " ".join(map(shlex.quote, words + ["--out", folder]))
