"""Executes the numbered notebooks of one run with papermill, each in a fresh kernel."""
import contextlib
import json
import logging
import os
import re
import shlex
import sys
import threading
import time
from typing import NamedTuple

from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
import papermill
from papermill.exceptions import PapermillExecutionError

from deeplab_nb.errors import WorkbookError
from deeplab_nb.processes import terminable, Watcher
from deeplab_nb.progress import HEADLESS, duration
from deeplab_nb.runs import state
from deeplab_nb.runs.parameters import check_notebook

SAVE_EVERY = 5  # seconds between saves of a notebook whose cell is still printing
BEAT = 30  # seconds between the lines that say a notebook is still running


class Notebook(NamedTuple):
    """A numbered notebook; `stem` is its file name and its key in run.json."""
    number: str
    title: str
    path: str

    @property
    def stem(self):
        return os.path.splitext(os.path.basename(self.path))[0]


def find_notebooks(folder):
    """The notebooks NN_name.ipynb of a folder in the order of their numbers.

    Raises WorkbookError without any, and for a number that two of them bear.
    """
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    matches = [match for match in (re.fullmatch(r"(\d\d)_(\w+)\.ipynb", name) for name in names) if match]
    notebooks = [Notebook(match.group(1), match.group(2).replace("_", " "), os.path.abspath(os.path.join(folder, match.string)))
                 for match in matches]
    if not notebooks:
        raise WorkbookError("{} holds no notebook named such as 01_name.ipynb: give the notebooks' folder".format(folder))
    for one, next_one in zip(notebooks, notebooks[1:]):
        if one.number == next_one.number:
            raise WorkbookError("{} and {} bear the same number: rename one".format(one.path, next_one.path))
    return notebooks


def select(notebooks, from_=None, only=None):
    """The notebooks from a number on, or the one with a number. Raises WorkbookError for a number that is not there."""
    if from_ is not None and only is not None:
        raise WorkbookError("--from {} and --only {} exclude each other: give one".format(from_, only))
    numbers = [notebook.number for notebook in notebooks]
    number = from_ if only is None else only
    if number is None:
        return list(notebooks)
    if str(number).zfill(2) not in numbers:
        raise WorkbookError("there is no notebook {}: there are {}".format(number, ", ".join(numbers)))
    position = numbers.index(str(number).zfill(2))
    return list(notebooks[position:] if only is None else notebooks[position:position + 1])


def run_notebooks(run, notebooks, *, recipe, overrides, parameters, selected=None, show_output=False):
    """Executes what is not yet done of `notebooks` into the run folder; returns what results.json holds.

    `overrides` and `parameters` are those of `parameters.split`. `selected` notebooks are executed even
    if they are done, and no others. A notebook that is executed again makes those after it run again.
    Prints one line when a notebook begins and one when it ends; `show_output` prints its cells' output too.
    Raises WorkbookError when a notebook fails and KeyboardInterrupt on SIGINT and SIGTERM; both tell the
    command that resumes.
    """
    run = os.path.abspath(run)
    given = {notebook.stem: _parameters_of(notebook, run, recipe, overrides, parameters) for notebook in notebooks}
    resume = command_line(run, recipe, overrides, parameters)
    with state.locked(run), terminable(), _papermill_log(show_output):
        record = state.read_run(run)
        record["notebooks"] = {stem: record["notebooks"].get(stem, {"state": state.PENDING, "seconds": 0.0}) for stem in given}
        todo = _not_done(notebooks, record, given) if selected is None else selected
        listed = notebooks if selected is None else selected
        state.forget_results(run)
        expected = state.expected_seconds(os.path.dirname(run), recipe)
        for position, notebook in enumerate(listed, 1):
            label = "notebook {} of {}: {}".format(position, len(listed), notebook.stem)
            if notebook in todo:
                _run_one(notebook, run, record, label=label, given=given[notebook.stem], expected=expected.get(notebook.stem),
                         resume=resume, bar=not show_output and _is_interactive())
            else:
                _say("{} was done before".format(label))
        return state.write_results(run, record)


def _parameters_of(notebook, run, recipe, overrides, parameters):
    """What to inject: only what the notebook declares."""
    declared = check_notebook(notebook.path)
    own = {name: value for name, value in parameters.items() if name in declared}
    return {"recipe": recipe, "run_folder": run, "overrides": dict(overrides), **own}


def _not_done(notebooks, record, given):
    """From the first notebook on that is not done with these very parameters: each reads what those before wrote."""
    for position, notebook in enumerate(notebooks):
        entry = record["notebooks"][notebook.stem]
        if entry["state"] != state.DONE or entry.get("parameters") != _own(given[notebook.stem]):
            return notebooks[position:]
    return []


def _own(given):
    return {name: value for name, value in given.items() if name not in ("recipe", "run_folder", "overrides")}


def _run_one(notebook, run, record, *, label, given, expected, resume, bar):
    """Executes one notebook and records how it ended."""
    started = time.time()
    target = os.path.join(run, os.path.basename(notebook.path))

    def note(how, **more):
        record["notebooks"][notebook.stem] = {
            "state": how, "seconds": round(time.time() - started, 1), "parameters": _own(given), **more}
        state.write_run(run, record)
        return duration(time.time() - started)

    try:
        note(state.RUNNING)
        _say("{} runs{}".format(label, ", {} expected".format(duration(expected)) if expected else ""))
        with _signs_of_life(label, expected):
            _execute(notebook, target, given, bar)
    except KeyboardInterrupt:
        _say("{} is interrupted after {}: continue with `{}`".format(label, note(state.INTERRUPTED), resume))
        raise
    except Exception as error:  # a failing cell, a dead kernel, a full disk: all end the run in the same way
        what = _sentence(error)
        elapsed = note(state.FAILED, error=what)
        raise WorkbookError("{} failed after {} {}; see {}, then continue with `{}`".format(
            notebook.stem, elapsed, what, os.path.relpath(target), resume))
    _say("{} is done after {}".format(label, note(state.DONE)))


def _execute(notebook, target, given, bar):
    executed = papermill.execute_notebook(
        notebook.path, target, given, kernel_name="python3", language="python", progress_bar=bar,
        log_output=True, autosave_cell_every=SAVE_EVERY, cwd=os.path.dirname(notebook.path), kernel_manager_class=_Kernel,
        shutdown_kernel="immediate")  # all cells have ended; a kernel with TensorFlow takes 3 s to leave by itself
    if executed.metadata.papermill["exception"]:  # papermill lets exit() pass, though it skips the cells after it
        raise RuntimeError("a cell called exit(), so those after it did not run")


class _Kernel(AsyncKernelManager):
    """A kernel of this very Python, whose processes end with it and with the runner."""

    @property
    def kernel_spec(self):
        # not looked up: a 'python3' registered in the user's home could be of another Python
        return KernelSpec(**get_kernel_dict())

    async def start_kernel(self, **kwargs):
        await super().start_kernel(env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, HEADLESS: "1"}, **kwargs)
        # ipykernel notices a dead parent only where orphans fall to process 1, and never kills its children.
        self._watcher = Watcher()
        self._watcher.add(self.provisioner.pgid)

    async def cleanup_resources(self, restart=False):
        await super().cleanup_resources(restart=restart)
        self._watcher.close()


@contextlib.contextmanager
def _signs_of_life(label, expected):
    """A line every now and then while a notebook runs, for a cell that trains shows nothing for minutes."""
    started, ended = time.time(), threading.Event()

    def beat():
        while not ended.wait(BEAT):
            _say("{}: {}{}".format(label, duration(time.time() - started), " of about " + duration(expected) if expected else ""))

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _papermill_log(show_output):
    """Of papermill's log only the cells' output is shown, and that on request."""
    logger = logging.getLogger("papermill")
    handler = logging.StreamHandler(sys.stdout) if show_output else logging.NullHandler()
    handler.addFilter(lambda entry: entry.funcName == "log_output_message")
    handler.setFormatter(_Plain())
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


class _Plain(logging.Formatter):
    def format(self, record):
        return record.getMessage().rstrip("\n")


def _sentence(error):
    """'in In [3] (`line`): ValueError: text', or the error's own name and text."""
    if not isinstance(error, PapermillExecutionError):
        return "({}: {})".format(type(error).__name__, _short(str(error)))
    code = [line.strip() for line in error.source.splitlines() if line.strip() and not line.strip().startswith("#")]
    return "in cell In [{}] (`{}`): {}".format(
        error.exec_count, _short(code[0], 60) if code else "", _short("{}: {}".format(error.ename, error.evalue)))


def _short(text, length=300):
    text = " ".join(text.split())
    return text if len(text) <= length else text[:length - 3] + "..."


def command_line(run, recipe, overrides, parameters):
    """The command line whose settings are those of this run again; it resumes the run, or makes it anew elsewhere."""
    words = ["deeplab-nb", "run", recipe, "--name", os.path.basename(run)]
    texts = {**{name: str(value) for name, value in overrides.items()},
             **{name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}}
    for name, text in texts.items():
        words += ["--set", "{}={}".format(name, text)]
    return " ".join(shlex.quote(word) for word in words)


def _is_interactive():
    return sys.stderr.isatty() and not os.environ.get(HEADLESS)


def _say(line):
    print(line, flush=True)
