"""The state of a run folder: which notebooks are done, who works in it, what came out.

RUN/settings.json   the effective settings
RUN/run.json        {"recipe", "settings" (digest), "created", "notebooks": {"03_x": {"state"}}}
RUN/03_x.ipynb      the executed notebook, in whose metadata papermill notes parameters and duration
RUN/results.json    written when the last notebook has been executed
RUN/.lock           held by the process that works in the folder
"""

import contextlib
import datetime
import hashlib
import os
import re
from typing import NamedTuple, Optional

from deeplab_nb import processes, settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import read_json, write_json
from deeplab_nb.runs.parameters import RESERVED

# of a notebook; it is noted as interrupted while it runs, for that is what it is if we are killed
DONE, FAILED, INTERRUPTED, PENDING = "done", "failed", "interrupted", "pending"
RUNNING = "running"  # of a run that a process works in; older ones noted it of notebooks too


class RunInfo(NamedTuple):
    """One line of the list of runs."""

    name: str
    recipe: str = ""
    state: str = "unfinished"  # or done, failed, interrupted, running, unreadable
    started: str = ""  # local time, ISO 8601
    miou: Optional[float] = None


def new_or_resumed_run(runs_root, recipe_name, settings, name=None):
    """Absolute path of the run folder to work in, with settings.json and run.json in it.

    1. With a name: that folder, new or resumed.
    2. Without: the newest unfinished run of this recipe with the same settings.
    3. Else a new folder <recipe>-YYYYmmdd-HHMMSS.
    Raises WorkbookError if the named folder belongs to another recipe or other settings.
    """
    runs_root = os.path.abspath(runs_root)
    if name is not None:
        run = os.path.join(runs_root, checked_name(name))
        if os.path.isdir(run) and os.listdir(run):
            _check_same_run(run, recipe_name, settings)
            return run
    else:
        for info in list_runs(runs_root):
            if info.recipe == recipe_name and info.state != DONE:
                run = os.path.join(runs_root, info.name)
                with contextlib.suppress(WorkbookError):
                    _check_same_run(run, recipe_name, settings)
                    return run
        run = _new_folder(runs_root, recipe_name)
    _start(run, recipe_name, settings)
    return run


def list_runs(runs_root):
    """[RunInfo], newest first; a damaged folder is 'unreadable' and comes last, no error.

    A folder that a notebook opened in JupyterLab has settings.json alone and is 'unfinished', of no
    recipe.
    """
    if not os.path.isdir(runs_root):
        return []
    infos = filter(None, (_info(entry.path) for entry in os.scandir(runs_root)))
    return sorted(infos, key=lambda info: (info.started, info.name), reverse=True)


def finished_runs(runs_root, recipe_name, settings=None):
    """Folders of the recipe's finished runs, or of those with these settings, newest first."""
    for info in list_runs(runs_root):
        if info.recipe == recipe_name and info.state == DONE:
            run = os.path.join(runs_root, info.name)
            with contextlib.suppress(WorkbookError):
                if settings:
                    _check_same_run(run, recipe_name, settings)
                yield run


def expected_seconds(runs_root, recipe_name):
    """{notebook: seconds} of the newest finished run of the recipe, {} without one."""
    return next(map(seconds, finished_runs(runs_root, recipe_name)), {})


def seconds(run):
    """{notebook: seconds} of a run, 0 for one that has not been executed."""
    return {stem: round(_executed(run, stem)[0], 1) for stem in read_run(run)["notebooks"]}


def parameters_of(run, stem):
    """The notebook's own parameters, with which it was executed; None if it was not."""
    given = _executed(run, stem)[1]
    return given and {name: value for name, value in given.items() if name not in RESERVED}


def _executed(run, stem):
    """(seconds, parameters) that papermill noted in an executed notebook; (0, None) without one."""
    try:
        noted = _read_json(os.path.join(run, stem + ".ipynb"))["metadata"]["papermill"]
        given = noted.get("parameters")
        return (noted.get("duration") or 0) + 0.0, given and {**given}
    except (WorkbookError, AttributeError, KeyError, TypeError):
        return 0, None


def locked(run):
    """Holds the run folder for this process; the lock goes with the process, however it ends."""
    name = os.path.basename(run)
    return processes.locked(
        os.path.join(run, ".lock"),
        f"run '{name}' is in use by process {{}}: wait for it, or give another --name",
    )


def read_run(run):
    """RUN/run.json. Raises WorkbookError if it is missing or damaged."""
    path = os.path.join(run, "run.json")
    record = _read_json(path)
    try:
        for entry in record["notebooks"].values():
            entry["state"] + ""
        record["recipe"], record["settings"], record["created"] + ""
    except (TypeError, KeyError, AttributeError):  # whatever JSON may hold instead
        raise WorkbookError(f"{path} is missing or damaged: restore it, or give another --name")
    return record


def write_run(run, record):
    write_json(os.path.join(run, "run.json"), record)


def write_results(run, record):
    """Writes RUN/results.json with what evaluation found, if it ran; returns it."""
    spent = seconds(run)
    results = {
        "recipe": record["recipe"],
        "name": os.path.basename(run),
        "state": _state(record),
        "seconds": round(sum(spent.values()), 1),
        "notebooks": {
            stem: dict(entry, seconds=spent[stem]) for stem, entry in record["notebooks"].items()
        },
    }
    evaluation = evaluation_of(run)
    if evaluation:
        results.update(miou=evaluation.get("miou"), eval=evaluation)
    write_json(os.path.join(run, "results.json"), results)
    return results


def evaluation_path(run):
    """Where the evaluation writes its results."""
    return os.path.join(run, "eval", "results.json")


def evaluation_of(run):
    """What the evaluation wrote, {} without one. Raises WorkbookError for anything else there."""
    path = evaluation_path(run)
    evaluation = _read_json(path) or {}
    try:
        shown = [evaluation.get("miou"), *evaluation.get("image_miou", {}).values()]
        for found in evaluation.get("classes", {}).values():
            shown += [found["iou"]] if found["pixels"] >= 0 else []
        if not all(iou is None or iou != iou or 0 <= iou <= 1 for iou in shown):
            raise TypeError
    except (AttributeError, KeyError, TypeError):  # whatever JSON may hold instead
        raise WorkbookError(f"{path} holds no results: run the evaluation again")
    return evaluation


def forget_results(run):
    """Removes RUN/results.json, so that it never tells of an earlier execution."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(run, "results.json"))


def _info(run):
    """Its `RunInfo`, None for a folder of no run."""
    name = os.path.basename(run)
    if not os.path.exists(os.path.join(run, "run.json")):
        return RunInfo(name) if os.path.exists(os.path.join(run, "settings.json")) else None
    try:
        record = read_run(run)
        miou = (_read_json(os.path.join(run, "results.json")) or {}).get("miou")
        busy = processes.is_locked(os.path.join(run, ".lock"))
        return RunInfo(
            name,
            record["recipe"],
            RUNNING if busy else _state(record),
            record["created"],
            miou if isinstance(miou, (int, float)) else None,
        )
    except (WorkbookError, OSError, AttributeError):
        return RunInfo(name, state="unreadable")


def _state(record):
    """The state of a run that no process works in."""
    states = {entry["state"] for entry in record["notebooks"].values()}
    if FAILED in states:
        return FAILED
    if states - {DONE, PENDING}:
        return INTERRUPTED
    return DONE if states == {DONE} else "unfinished"


def checked_name(name):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise WorkbookError(
            f"run name '{name}' is not a plain folder name: use letters, digits, '.', '_' and '-'"
        )
    return name


def _check_same_run(run, recipe_name, settings):
    """Raises WorkbookError unless a run of this recipe with these settings lies there."""
    name, record = os.path.basename(run), read_run(run)
    if record["recipe"] != recipe_name:
        raise WorkbookError(
            f"run '{name}' is of recipe '{record['recipe']}', not '{recipe_name}': "
            "give another --name"
        )
    theirs, ours = map(settings_module.as_dict, (settings_module.load(run), settings))
    for field in ours:
        if theirs[field] != ours[field]:
            raise WorkbookError(
                f"run '{name}' has {field} = {theirs[field]}, not {ours[field]}: "
                "give another --name, or the same settings"
            )
    if record["settings"] != _digest(run):
        raise WorkbookError(
            f"settings.json of run '{name}' was edited after the run began: give another --name"
        )


def _digest(run):
    """Of settings.json as it lies there: notices an edit by hand after notebooks have run."""
    with open(os.path.join(run, "settings.json"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _new_folder(runs_root, recipe_name):
    stem = os.path.join(runs_root, f"{recipe_name}-{datetime.datetime.now():%Y%m%d-%H%M%S}")
    count, folder = 1, stem
    while os.path.exists(folder):
        count += 1
        folder = f"{stem}-{count}"
    return folder


def _start(run, recipe_name, settings):
    try:
        os.makedirs(run, exist_ok=True)
    except FileExistsError:
        raise WorkbookError(f"{run} is a file, not a run folder: give another --name")
    settings_module.save(settings, run)
    write_run(
        run,
        {
            "recipe": recipe_name,
            "settings": _digest(run),
            "notebooks": {},
            "created": datetime.datetime.now().isoformat(timespec="milliseconds"),
        },
    )


def _read_json(path):
    """The file's content, None without the file; an image without classes has an mIoU of NaN."""
    try:
        return read_json(path, finite=False)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise WorkbookError(f"{path} is not readable ({error}): restore it, or give another --name")
