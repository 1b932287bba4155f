"""One setting, several values, a run each: started as commands of their own, compared at the end.

SWEEP/NAME.log    what a run said
SWEEP/sweep.json  values, states and numbers; sweep.txt and sweep.png the same as table and plot
"""

import os
import re
import subprocess
import sys
import time
from typing import NamedTuple, Optional

from matplotlib.figure import Figure

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json, write_text
from deeplab_nb.processes import Watcher, terminable
from deeplab_nb.progress import say, signs_of_life
from deeplab_nb.runs import state
from deeplab_nb.show import plots


class Trial(NamedTuple):
    """One run of a sweep. name: of its folder; value: as it was typed."""

    value: str
    name: str
    command: tuple


class Outcome(NamedTuple):
    """What a trial came to. miou: None where there is none."""

    value: str
    name: str
    state: str
    miou: Optional[float]
    seconds: float


def parse(text):
    """(setting, [value, ...]) of 'name=a,b,c'; values with commas in brackets: 'name=[1,2],[3]'."""
    name, equals, rest = text.partition("=")
    values = [value.strip() for value in re.findall(r"\[[^\]]*\]|[^,\[\]]+", rest) if value.strip()]
    if not equals or not name.strip() or not values:
        raise WorkbookError(f"--sweep '{text}' names no values: write name=a,b,c")
    if len(set(values)) < len(values):
        raise WorkbookError(f"--sweep '{text}' names a value twice: keep one")
    return name.strip(), values


def plan(recipe, sweep, assignments, *, stem=None):
    """(name of the sweep, [Trial]); nothing is started.

    sweep: from `parse`; assignments: other ['name=value']. Each run bears the sweep's name and its
    value, so that the same sweep again resumes the same runs.
    """
    setting, values = sweep
    if any(assignment.partition("=")[0].strip() == setting for assignment in assignments):
        raise WorkbookError(f"'{setting}' is both swept and set: leave out its --set")
    name = f"{stem or recipe}-{setting}"
    names = [f"{name}-{re.sub(r'[^A-Za-z0-9._-]+', '_', value).strip('_')}" for value in values]
    if len(set(names)) < len(names):
        raise WorkbookError(
            f"values of '{setting}' cannot be told apart in a folder's name "
            f"({', '.join(names)}): write them differently"
        )
    words = (os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), "run", recipe)
    for assignment in assignments:
        words += "--set", assignment
    return name, [
        Trial(value, run, words + ("--set", f"{setting}={value}", "--name", run))
        for value, run in zip(values, names)
    ]


def run(trials, folder, runs_root, *, jobs=1):
    """Runs the trials, `jobs` at a time, each into its own log; returns [Outcome] in their order.

    A failed one stops no other. At the end of this process, however it comes, the trials end too;
    the same call resumes them.
    """
    os.makedirs(folder, exist_ok=True)
    logs = {trial: os.path.join(folder, trial.name + ".log") for trial in trials}
    running, codes, watcher = {}, {}, Watcher()

    def tell():
        for trial in list(running):
            say(f"{trial.name}: {_last_line(logs[trial])}")

    with terminable(), signs_of_life(tell):
        try:
            while len(codes) < len(trials):
                for trial in trials[len(codes) + len(running) :][: jobs - len(running)]:
                    running[trial] = _start(trial, logs[trial], watcher)
                ended = [one for one in running if running[one].poll() is not None]
                for trial in ended:
                    codes[trial] = running.pop(trial).returncode
                    failure = codes[trial] and f"failed: {_last_line(logs[trial])}"
                    say(f"{trial.name} {failure or 'is done'}")
                time.sleep(0.2)
        except KeyboardInterrupt:
            say(
                f"the sweep ends: {len(codes)} of {len(trials)} runs are done; the same command "
                "goes on with the others"
            )
            raise
        finally:
            for process in running.values():
                process.terminate()  # the run saves its state and ends, as with Ctrl-C
            for process in running.values():
                process.wait()
            watcher.close()
    infos = {info.name: info for info in state.list_runs(runs_root)}
    absent = state.RunInfo("", state=state.FAILED)
    return [
        _outcome(trial, infos.get(trial.name, absent), runs_root, codes[trial]) for trial in trials
    ]


def _start(trial, log, watcher):
    with open(log, "a") as file:
        process = subprocess.Popen(
            trial.command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    watcher.add(process.pid)
    say(f"{trial.name} runs; it writes to {os.path.relpath(log)}")
    return process


def _last_line(log):
    with open(log, errors="replace") as file:
        lines = [line.strip() for line in file if line.strip()]
    return lines[-1] if lines else ""


def _outcome(trial, info, runs_root, failed):
    readable = info.started  # a folder with a run.json
    seconds = sum(state.seconds(os.path.join(runs_root, trial.name)).values()) if readable else 0.0
    how = (state.FAILED, None) if failed else (info.state, info.miou)
    return Outcome(trial.value, trial.name, *how, seconds)


def write(setting, outcomes, folder):
    """Writes sweep.json, sweep.txt and sweep.png; returns the table."""
    text = table(setting, outcomes)
    write_json(
        os.path.join(folder, "sweep.json"),
        {"setting": setting, "runs": [outcome._asdict() for outcome in outcomes]},
    )
    write_text(os.path.join(folder, "sweep.txt"), text + "\n")
    if any(outcome.miou is not None for outcome in outcomes):
        plots.save(plot(setting, outcomes), os.path.join(folder, "sweep.png"))
    return text


def table(setting, outcomes):
    """A line a run: value, mIoU in percent, minutes, state; the best is marked."""
    best = max((one.miou for one in outcomes if one.miou is not None), default=None)
    width = max(map(len, [setting] + [one.value for one in outcomes]))
    lines = [f"{setting:{width}s} {'mIoU %':>7s} {'minutes':>8s}  run"]
    for one in outcomes:
        number = "-" if one.miou is None else f"{100 * one.miou:.2f}"
        said = " (best)" if one.miou is not None and one.miou == best else ""
        said += "" if one.state == state.DONE else f", {one.state}"
        lines.append(f"{one.value:{width}s} {number:>7s} {one.seconds / 60:8.1f}  {one.name}{said}")
    return "\n".join(lines)


def plot(setting, outcomes):
    """mIoU over the values: a line where they are numbers, logarithmic if they span much."""
    found = [(one.value, 100 * one.miou) for one in outcomes if one.miou is not None]
    figure = Figure(figsize=(6, 3.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    try:
        points = sorted((float(value), height) for value, height in found)
    except ValueError:
        axes.bar(*zip(*found), color="#3d6fa3")
    else:
        axes.plot(*zip(*points), marker="o", color="#3d6fa3")
        if 0 < 20 * points[0][0] < points[-1][0]:
            axes.set_xscale("log")
    field = settings_module.FIELDS.get(setting)
    axes.set(
        xlabel=f"{setting}: {field.metadata['doc']}" if field else setting,
        ylabel="mean IoU in percent",
    )
    axes.xaxis.label.set(wrap=True, fontsize=8)
    return figure
