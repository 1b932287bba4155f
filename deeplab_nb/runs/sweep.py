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
from deeplab_nb.processes import terminable, Watcher
from deeplab_nb.runs import state
from deeplab_nb.show import plots

BEAT = 30  # seconds between the lines that say what runs


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
    """(setting, [value, ...]) of 'name=a,b,c'; a value with commas of its own stands in brackets: 'name=[1,2],[3]'."""
    name, equals, rest = text.partition("=")
    values = [value.strip() for value in re.findall(r"\[[^\]]*\]|[^,\[\]]+", rest) if value.strip()]
    if not equals or not name.strip() or not values:
        raise WorkbookError("--sweep '{}' names no values: write name=a,b,c".format(text))
    if len(set(values)) < len(values):
        raise WorkbookError("--sweep '{}' names a value twice: keep one".format(text))
    return name.strip(), values


def plan(recipe, sweep, assignments, *, stem=None):
    """(name of the sweep, [Trial]); nothing is started. sweep: from `parse`; assignments: other ['name=value'].

    Each run bears the sweep's name and its value, so that the same sweep again resumes the same runs.
    """
    setting, values = sweep
    if any(assignment.partition("=")[0].strip() == setting for assignment in assignments):
        raise WorkbookError("'{}' is both swept and set: leave out its --set".format(setting))
    name = "{}-{}".format(stem or recipe, setting)
    names = ["{}-{}".format(name, re.sub(r"[^A-Za-z0-9._-]+", "_", value).strip("_")) for value in values]
    if len(set(names)) < len(names):
        raise WorkbookError("values of '{}' cannot be told apart in a folder's name ({}): write them differently".format(
            setting, ", ".join(names)))
    words = (os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), "run", recipe)
    for assignment in assignments:
        words += "--set", assignment
    return name, [Trial(value, run, words + ("--set", "{}={}".format(setting, value), "--name", run))
                  for value, run in zip(values, names)]


def run(trials, folder, runs_root, *, jobs=1):
    """Runs the trials, `jobs` at a time, each into its own log; a failed one stops no other. Returns [Outcome] in the trials' order.

    At the end of this process, however it comes, the trials end too; the same call resumes them.
    """
    os.makedirs(folder, exist_ok=True)
    waiting, running, failed, beat = list(trials), {}, set(), time.time()
    watcher = Watcher()
    with terminable():
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    trial = waiting.pop(0)
                    running[trial] = _start(trial, folder, watcher)
                failed |= _ended(running, folder)
                if time.time() - beat > BEAT:
                    beat = _tell(running, folder)
                time.sleep(0.2)
        except KeyboardInterrupt:
            _say("the sweep ends: {} of {} runs are done; the same command goes on with the others".format(
                len(trials) - len(waiting) - len(running), len(trials)))
            raise
        finally:
            for process in running.values():
                process.terminate()  # the run saves its state and ends, as with Ctrl-C
            for process in running.values():
                process.wait()
            watcher.close()
    return [_outcome(trial, runs_root, trial in failed) for trial in trials]


def _start(trial, folder, watcher):
    with open(_log(trial, folder), "a") as log:
        process = subprocess.Popen(trial.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    watcher.add(process.pid)
    _say("{} runs; it writes to {}".format(trial.name, os.path.relpath(_log(trial, folder))))
    return process


def _ended(running, folder):
    """Takes the trials that have ended out of `running`; returns those that failed."""
    over = [trial for trial, process in running.items() if process.poll() is not None]
    failed = {trial for trial in over if running.pop(trial).returncode}
    for trial in over:
        _say("{} failed: {}".format(trial.name, _last_line(trial, folder)) if trial in failed else "{} is done".format(trial.name))
    return failed


def _tell(running, folder):
    for trial in running:
        _say("{}: {}".format(trial.name, _last_line(trial, folder)))
    return time.time()


def _last_line(trial, folder):
    with open(_log(trial, folder), errors="replace") as file:
        lines = file.read().split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _log(trial, folder):
    return os.path.join(folder, trial.name + ".log")


def _outcome(trial, runs_root, failed):
    info = next((info for info in state.list_runs(runs_root) if info.name == trial.name), None)
    if failed or info is None:
        return Outcome(trial.value, trial.name, state.FAILED, None, info.seconds if info else 0.0)
    return Outcome(trial.value, trial.name, info.state, info.miou, info.seconds)


def write(setting, outcomes, folder):
    """Writes sweep.json, sweep.txt and sweep.png; returns the table."""
    text = table(setting, outcomes)
    write_json(os.path.join(folder, "sweep.json"), {"setting": setting, "runs": [outcome._asdict() for outcome in outcomes]})
    write_text(os.path.join(folder, "sweep.txt"), text + "\n")
    if any(outcome.miou is not None for outcome in outcomes):
        plots.save(plot(setting, outcomes), os.path.join(folder, "sweep.png"))
    return text


def table(setting, outcomes):
    """A line a run: value, mIoU in percent, minutes, state; the best is marked."""
    best = max((outcome.miou for outcome in outcomes if outcome.miou is not None), default=None)
    width = max([len(setting)] + [len(outcome.value) for outcome in outcomes])
    lines = ["{:{w}s} {:>7s} {:>8s}  {}".format(setting, "mIoU %", "minutes", "run", w=width)]
    for outcome in outcomes:
        number = "-" if outcome.miou is None else "{:.2f}".format(100 * outcome.miou)
        mark = " (best)" if outcome.miou is not None and outcome.miou == best else ""
        said = "" if outcome.state == state.DONE else ", " + outcome.state
        lines.append("{:{w}s} {:>7s} {:8.1f}  {}{}{}".format(
            outcome.value, number, outcome.seconds / 60, outcome.name, mark, said, w=width))
    return "\n".join(lines)


def plot(setting, outcomes):
    """mIoU over the values: a line where they are numbers, logarithmic where they span much, else bars."""
    found = [outcome for outcome in outcomes if outcome.miou is not None]
    figure = Figure(figsize=(6, 3.2), constrained_layout=True)
    axes, heights = figure.add_subplot(1, 1, 1), [100 * outcome.miou for outcome in found]
    try:
        places = [float(outcome.value) for outcome in found]
    except ValueError:
        axes.bar([outcome.value for outcome in found], heights, color="#3d6fa3")
    else:
        axes.plot(*zip(*sorted(zip(places, heights))), marker="o", color="#3d6fa3")
        if min(places) > 0 and max(places) > 20 * min(places):
            axes.set_xscale("log")
    axes.set(xlabel="{}: {}".format(setting, settings_module.FIELDS[setting].metadata["doc"]) if setting in settings_module.FIELDS
             else setting, ylabel="mean IoU in percent")
    axes.xaxis.label.set(wrap=True, fontsize=8)
    return figure


def _say(line):
    print(line, flush=True)
