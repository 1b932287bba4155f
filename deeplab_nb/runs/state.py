"""The state of a run folder: which notebooks are done, who works in it, what came out.

RUN/settings.json   the effective settings
RUN/run.json        {"recipe", "settings" (digest), "created", "notebooks": {"03_x": {"state", "seconds", ...}}}
RUN/results.json    written when the last notebook has been executed
RUN/.lock           held by the process that works in the folder
"""
import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import re
from typing import NamedTuple, Optional

from deeplab_nb import processes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json

DONE, FAILED, INTERRUPTED, RUNNING, PENDING = "done", "failed", "interrupted", "running", "pending"


class RunInfo(NamedTuple):
    """One line of the list of runs."""
    name: str
    recipe: str
    state: str  # done, failed, interrupted, running, unfinished or unreadable
    started: str  # local time, ISO 8601
    seconds: float  # spent in notebooks
    miou: Optional[float]


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
        return run if _is_same_run(run, recipe_name, settings) else _start(run, recipe_name, settings)
    for info in list_runs(runs_root):
        run = os.path.join(runs_root, info.name)
        if info.recipe == recipe_name and info.state != DONE and _settings_match(run, settings):
            return run
    return _start(_new_folder(runs_root, recipe_name), recipe_name, settings)


def list_runs(runs_root):
    """[RunInfo], newest first; a damaged folder is 'unreadable' and comes last. Never raises for a folder's content.

    A folder that a notebook opened in JupyterLab has settings.json alone and is 'unfinished', of no recipe.
    """
    if not os.path.isdir(runs_root):
        return []
    runs = [entry.path for entry in os.scandir(runs_root) if entry.is_dir() and (_has(entry.path, "run.json") or
                                                                                 _has(entry.path, "settings.json"))]
    return sorted(map(_info, runs), key=lambda info: (info.started, info.name), reverse=True)


def expected_seconds(runs_root, recipe_name):
    """{notebook: seconds} of the newest finished run of the recipe, {} without one."""
    for info in list_runs(runs_root):
        if info.recipe == recipe_name and info.state == DONE:
            notebooks = read_run(os.path.join(runs_root, info.name))["notebooks"]
            return {stem: entry["seconds"] for stem, entry in notebooks.items()}
    return {}


def locked(run):
    """Holds the run folder for this process; the lock goes with the process, however it ends."""
    return processes.locked(os.path.join(run, ".lock"), "run '%s' is in use by process {}: wait for it, or give another --name"
                            % os.path.basename(run))


def read_run(run):
    """RUN/run.json. Raises WorkbookError if it is missing or damaged."""
    path = os.path.join(run, "run.json")
    record = _read_json(path)
    try:
        for entry in record["notebooks"].values():
            entry["state"], float(entry["seconds"])
        record["recipe"], record["settings"], record["created"] + ""
    except (TypeError, KeyError, AttributeError, ValueError):  # whatever JSON may hold instead
        raise WorkbookError("{} is missing or damaged: give another --name, or delete that folder".format(path))
    return record


def write_run(run, record):
    write_json(os.path.join(run, "run.json"), record)


def write_results(run, record):
    """Writes RUN/results.json with what evaluation found, if it ran; returns it."""
    results = {"recipe": record["recipe"], "name": os.path.basename(run), "state": _state(record),
               "seconds": _seconds(record), "notebooks": record["notebooks"]}
    evaluation = evaluation_of(run)
    if evaluation is not None:
        results.update(miou=evaluation.get("miou"), eval=evaluation)
    write_json(os.path.join(run, "results.json"), results)
    return results


def evaluation_of(run):
    """What the evaluation wrote, None without one. Raises WorkbookError for a file that holds something else."""
    path = os.path.join(run, "eval", "results.json")
    evaluation = _read_json(path)
    if evaluation is not None and not isinstance(evaluation, dict):
        raise WorkbookError("{} holds no results: run the evaluation again".format(path))
    return evaluation


def forget_results(run):
    """Removes RUN/results.json, so that it never tells of an earlier execution."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(os.path.join(run, "results.json"))


def _info(run):
    name = os.path.basename(run)
    if not _has(run, "run.json"):
        return RunInfo(name, "", "unfinished", "", 0.0, None)
    try:
        record = read_run(run)
        results = _read_json(os.path.join(run, "results.json")) or {}
        state = RUNNING if _is_locked(run) else _state(record)
        miou = results.get("miou")
        return RunInfo(name, record["recipe"], state, record["created"], _seconds(record),
                       miou if isinstance(miou, (int, float)) else None)
    except (WorkbookError, OSError, AttributeError, TypeError):
        return RunInfo(name, "", "unreadable", "", 0.0, None)


def _state(record):
    """The state of a run that no process works in; a notebook left 'running' was killed."""
    states = {entry["state"] for entry in record["notebooks"].values()}
    if FAILED in states:
        return FAILED
    if states & {INTERRUPTED, RUNNING}:
        return INTERRUPTED
    return DONE if states == {DONE} else "unfinished"


def _seconds(record):
    return round(sum(entry["seconds"] for entry in record["notebooks"].values()), 1)


def _is_locked(run):
    try:
        with open(os.path.join(run, ".lock")) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def checked_name(name):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise WorkbookError("run name '{}' is not a plain folder name: use letters, digits, '.', '_' and '-'".format(name))
    return name


def _is_same_run(run, recipe_name, settings):
    """True for a run to resume, False for a folder that is still to be filled."""
    name = os.path.basename(run)
    if not os.path.isdir(run) or not os.listdir(run):
        return False
    record = read_run(run)
    if record["recipe"] != recipe_name:
        raise WorkbookError("run '{}' is of recipe '{}', not '{}': give another --name".format(
            name, record["recipe"], recipe_name))
    theirs, ours = settings_module.as_dict(settings_module.load(run)), settings_module.as_dict(settings)
    for field in ours:
        if theirs[field] != ours[field]:
            raise WorkbookError("run '{}' has {} = {}, not {}: give another --name, or the same settings".format(
                name, field, theirs[field], ours[field]))
    if record["settings"] != _digest(run):
        raise WorkbookError("settings.json of run '{}' was edited after the run began: give another --name".format(name))
    return True


def _settings_match(run, settings):
    try:
        return read_run(run)["settings"] == _digest(run) and settings_module.load(run) == settings
    except WorkbookError:
        return False


def _digest(run):
    """Of settings.json as it lies there: notices an edit by hand after notebooks have run."""
    with open(os.path.join(run, "settings.json"), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def _new_folder(runs_root, recipe_name):
    stem = os.path.join(runs_root, "{}-{:%Y%m%d-%H%M%S}".format(recipe_name, datetime.datetime.now()))
    count, folder = 1, stem
    while os.path.exists(folder):
        count += 1
        folder = "{}-{}".format(stem, count)
    return folder


def _start(run, recipe_name, settings):
    try:
        os.makedirs(run, exist_ok=True)
    except FileExistsError:
        raise WorkbookError("{} is a file, not a run folder: give another --name".format(run))
    settings_module.save(settings, run)
    write_run(run, {"recipe": recipe_name, "settings": _digest(run), "notebooks": {},
                    "created": datetime.datetime.now().isoformat(timespec="milliseconds")})
    return run


def _has(run, name):
    return os.path.exists(os.path.join(run, name))


def _read_json(path):
    """The file's content, None without the file."""
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        raise WorkbookError("{} is not readable ({}): restore it or delete its folder".format(path, error))
