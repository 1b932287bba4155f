"""Executes the numbered notebooks of one run with papermill, each in a fresh kernel."""

import itertools
import json
import logging
import os
import re
import shlex
import sys
import time
from typing import NamedTuple

import papermill
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from papermill.exceptions import PapermillExecutionError

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import parse_json
from deeplab_nb.processes import Watcher, terminable
from deeplab_nb.progress import HEADLESS, duration, say, signs_of_life
from deeplab_nb.runs import state
from deeplab_nb.runs.parameters import check_notebook

SAVE_EVERY = 5  # seconds between saves of a notebook whose cell is still printing


class Notebook(NamedTuple):
    """A numbered notebook. stem: its file name without the ending, its key in run.json.

    declared: {parameter: default}.
    """

    number: str
    stem: str
    path: str
    declared: dict


def find_notebooks(folder):
    """The notebooks NN_name.ipynb of a folder in the order of their numbers.

    Raises WorkbookError without any, for a number that two of them bear, and for an unfit one.
    """
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    stems = [name[:-6] for name in names if re.fullmatch(r"\d\d_\w+\.ipynb", name)]
    if not stems:
        raise WorkbookError(
            f"{folder} holds no notebook named such as 01_name.ipynb: give the notebooks' folder"
        )
    for stem, other in zip(stems, stems[1:]):
        if stem[:2] == other[:2]:
            raise WorkbookError(f"{stem} and {other} in {folder} bear the same number: rename one")
    paths = [os.path.abspath(os.path.join(folder, stem + ".ipynb")) for stem in stems]
    return [
        Notebook(stem[:2], stem, path, check_notebook(path)) for stem, path in zip(stems, paths)
    ]


def select(notebooks, from_=None, only=None):
    """The notebooks from a number on, or the one with a number; WorkbookError for an absent one."""
    if from_ is not None and only is not None:
        raise WorkbookError(f"--from {from_} and --only {only} exclude each other: give one")
    number = from_ if only is None else only
    if number is None:
        return list(notebooks)
    numbers = [notebook.number for notebook in notebooks]
    if str(number).zfill(2) not in numbers:
        raise WorkbookError(f"there is no notebook {number}: there are {', '.join(numbers)}")
    first = numbers.index(str(number).zfill(2))
    return list(notebooks[first:] if only is None else notebooks[first : first + 1])


def run_notebooks(
    run, notebooks, *, recipe, overrides, parameters, selected=None, show_output=False
):
    """Executes what is not yet done of `notebooks` into the run folder; returns the results.

    `overrides` and `parameters` are those of `parameters.split`. `selected` notebooks are executed
    even if they are done, and no others. A notebook that is executed again makes those after it run
    again. Prints a line when a notebook begins and ends; `show_output` prints its cells' too.
    Raises WorkbookError when a notebook fails and KeyboardInterrupt on SIGINT and SIGTERM; both
    tell the command that resumes.
    """
    run = os.path.abspath(run)
    resume = command_line(run, recipe, overrides, parameters)
    if selected:
        which = "--only" if selected[-1] != notebooks[-1] or len(selected) == 1 else "--from"
        resume += f" {which} {selected[0].number}"
    own = {
        notebook.stem: {
            name: value for name, value in parameters.items() if name in notebook.declared
        }
        for notebook in notebooks
    }
    _quieten_papermill(show_output)
    with state.locked(run), terminable():
        record = state.read_run(run)
        pending = {"state": state.PENDING}
        record["notebooks"] = {stem: record["notebooks"].get(stem, pending) for stem in own}

        def is_done(notebook):
            done = record["notebooks"][notebook.stem]["state"] == state.DONE
            return done and state.parameters_of(run, notebook.stem) == own[notebook.stem]

        listed = selected or notebooks
        todo = selected or list(itertools.dropwhile(is_done, notebooks))  # each reads those before
        state.forget_results(run)
        expected = state.expected_seconds(os.path.dirname(run), recipe)
        started = time.time()
        for position, notebook in enumerate(listed, 1):
            label = f"notebook {position} of {len(listed)}: {notebook.stem}"
            if notebook not in todo:
                say(f"{label} was done before")
                continue
            given = dict(recipe=recipe, run_folder=run, overrides=overrides, **own[notebook.stem])
            bar = not show_output and sys.stderr.isatty() and not os.environ.get(HEADLESS)
            _run_one(
                notebook,
                run,
                record,
                given,
                label=label,
                resume=resume,
                bar=bar,
                expected=expected.get(notebook.stem),
            )
        say(f"{len(todo)} of {len(listed)} notebooks in {duration(time.time() - started)}")
        return state.write_results(run, record)


def _run_one(notebook, run, record, given, *, label, resume, bar, expected):
    """Executes one notebook and records how it ended."""
    started = time.time()
    target = os.path.join(run, notebook.stem + ".ipynb")

    def note(how):
        record["notebooks"][notebook.stem] = {"state": how}
        state.write_run(run, record)
        return duration(time.time() - started)

    try:
        note(state.INTERRUPTED)  # which is what it is if this process is killed
        whole = expected and duration(expected)
        say(f"{label} runs" + (f", {whole} expected" if whole else ""))
        of_about = f" of about {whole}" if whole else ""

        # a cell that trains shows nothing for long
        def tell():
            trained = training_since(run, started)
            say(f"{label}: {duration(time.time() - started)}{of_about}{trained}")

        with signs_of_life(tell):
            _execute(notebook, target, given, bar)
    except KeyboardInterrupt:
        elapsed = note(state.INTERRUPTED)
        say(f"{label} is interrupted after {elapsed}: continue with `{resume}`")
        raise
    except Exception as error:  # a failing cell, a dead kernel, a full disk: all end in one way
        elapsed = note(state.FAILED)
        raise WorkbookError(
            f"{notebook.stem} failed after {elapsed} {_sentence(error)}; see "
            f"{os.path.relpath(target)}, then continue with `{resume}`"
        )
    say(f"{label} is done after {note(state.DONE)}")


def training_since(run, started):
    """', step 40 of 200, loss 1.23' of a training that has gone on since then; '' of none."""
    path = os.path.join(run, "train", "log.jsonl")
    try:
        if os.path.getmtime(path) < started:
            return ""
        with open(path, "rb") as file:
            file.seek(max(0, os.path.getsize(path) - 4000))  # some of its last lines
            entries = [line for line in file.read().splitlines() if b'"loss"' in line]
        last = parse_json(entries[-1].decode(), finite=False)
        steps = settings_module.load(run).train_steps
        return f", step {last['step']} of {steps}, loss {last['loss']:.3f}"
    except (OSError, ValueError, LookupError, TypeError, WorkbookError):  # of a line half written
        return ""


def _execute(notebook, target, given, bar):
    executed = papermill.execute_notebook(
        notebook.path,
        target,
        given,
        language="python",
        progress_bar=bar,
        log_output=True,
        autosave_cell_every=SAVE_EVERY,
        cwd=os.path.dirname(notebook.path),
        kernel_manager_class=_Kernel,
        # all cells have ended; a kernel with TensorFlow takes 3 s to leave by itself
        shutdown_kernel="immediate",
    )
    if executed.metadata.papermill["exception"]:  # papermill lets exit() pass and skips the rest
        raise RuntimeError("a cell called exit(), so those after it did not run")


class _Kernel(AsyncKernelManager):
    """A kernel of this very Python, whose processes end with it and with the runner."""

    transport_encryption = "auto"  # without it a newer kernel warns of eavesdroppers

    @property
    def kernel_spec(self):
        # not looked up: a 'python3' registered in the user's home could be of another Python
        return KernelSpec(**get_kernel_dict())

    async def start_kernel(self, **kwargs):
        environment = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, HEADLESS: "1"}
        await super().start_kernel(env=environment, **kwargs)
        # ipykernel notices a dead parent only where orphans fall to process 1, and never kills its
        # children
        self._watcher = Watcher()
        self._watcher.add(self.provisioner.pgid)

    async def cleanup_resources(self, restart=False):
        await super().cleanup_resources(restart=restart)
        self._watcher.close()


def _quieten_papermill(show_output):
    """Of papermill's log only the cells' output is shown, and that on request."""
    logger = logging.getLogger("papermill")
    handler = logging.StreamHandler(sys.stdout) if show_output else logging.NullHandler()
    handler.addFilter(lambda entry: entry.funcName == "log_output_message")
    handler.format = lambda entry: entry.getMessage().rstrip("\n")
    logger.setLevel(logging.INFO)
    logger.propagate, logger.handlers = False, [handler]


def _sentence(error):
    """'in In [3] (`line`): ValueError: text', or the error's own name and text."""
    if not isinstance(error, PapermillExecutionError):
        return f"({type(error).__name__}: {_short(str(error))})"
    lines = map(str.strip, error.source.splitlines())
    code = next((line for line in lines if line and not line.startswith("#")), "")
    return (
        f"in cell In [{error.exec_count}] (`{_short(code, 60)}`): "
        f"{_short(f'{error.ename}: {error.evalue}')}"
    )


def _short(text, length=300):
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 3] + "..."


def command_line(run, recipe, overrides, parameters):
    """The command whose settings are those of this run: it resumes it, or makes it elsewhere."""
    words = ["deeplab-nb", "run", recipe, "--name", os.path.basename(run)]
    texts = {name: str(value) for name, value in overrides.items()}
    texts.update(
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in parameters.items()
    )
    for assignment in texts.items():
        words += ["--set", "=".join(assignment)]
    return " ".join(map(shlex.quote, words))
