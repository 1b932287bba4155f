"""Ctrl-C while a command starts: silence or a sentence, exit code 130, nothing of Python's."""

import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from deeplab_nb import cli, doctor, interrupts
from tests.support.command import COMMAND

NOISE = ("Traceback", "Exception", "Error", "never retrieved", "was destroyed", "Aborted")


def start(words, **more):
    """A command whose Ctrl-C works as in a terminal, wherever the tests run."""
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **more,
    )


def commands(folder):
    """{name: words} of commands, which write into a folder if anywhere."""
    return {
        "help": ["--help"],
        "train": ["train", "sample", "--out", str(folder)],
        "evaluate": ["evaluate", "--checkpoint", str(folder), "--data", str(folder)],
        "run": ["run", "sample", "--name", f"test-interrupts-{os.getpid()}", "--only", "77"],
        "doctor": ["doctor"],
    }


def interrupted_after(module, words):
    """What Python, told to say what it imports, says after Ctrl-C came with this import."""
    with start([sys.executable, "-v"] + words) as process:
        seen = any(line.startswith(f"import '{module}' ".encode()) for line in process.stdout)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read().decode(errors="replace")
    assert seen and process.returncode == 130, rest[-2000:]
    return rest


@pytest.mark.parametrize(
    "name, module",
    [
        ("help", "click.core"),
        ("help", "yaml"),
        ("train", "deeplab_nb.runs.parameters"),
        ("train", "google.protobuf.descriptor"),
        ("train", "tensorflow.python.ops.nn"),
        ("train", "deeplab_nb.training.loop"),
        ("evaluate", "click.core"),
        ("evaluate", "tensorflow.python.framework.ops"),
        ("run", "papermill"),
    ],
)
def test_an_import_that_is_interrupted_ends_the_command(tmp_path, name, module):
    rest = interrupted_after(module, [COMMAND] + commands(tmp_path)[name])
    assert "interrupted\n" in rest and "Traceback" not in rest and "KeyboardInterrupt" not in rest


@pytest.mark.parametrize("name", ["help", "train", "evaluate", "doctor"])
@pytest.mark.parametrize("moment", [0.2, 0.5, 1, 3])
def test_a_command_that_is_interrupted_as_it_starts_says_no_more(tmp_path, name, moment):
    process = start([COMMAND] + commands(tmp_path)[name])
    time.sleep(moment)
    ended = process.poll()
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0].decode()
    if ended is None:
        # one that was about to end may have ended by itself
        assert process.returncode == 130 or name in ("help", "evaluate", "doctor"), said
    if process.returncode == 130:
        assert said.endswith("interrupted\n") and not any(word in said for word in NOISE), said


@pytest.mark.parametrize("fault, code", [(KeyboardInterrupt(), 130), (ValueError("other"), 1)])
def test_one_that_came_through_tensorflows_code_is_known(monkeypatch, fault, code):
    """Its wrappers hand on a SystemError, which is raised from the KeyboardInterrupt."""

    def examine(_):
        try:
            raise fault
        except BaseException as behind:
            raise SystemError("returned a result with an error set") from behind

    monkeypatch.setattr(doctor, "examine", examine)
    ended = CliRunner().invoke(cli.main, ["doctor"])
    assert ended.exit_code == code and ("interrupted" in ended.output) == (code == 130)


def test_one_that_is_ignored_stays_ignored():
    """As of a command that a shell started in its background."""
    words = "import signal; signal.signal(2, signal.SIG_IGN); from deeplab_nb.cli import main; "
    words += "from deeplab_nb import interrupts; interrupts.handle(interrupts.leave); "
    words += "print(signal.getsignal(2) == signal.SIG_IGN)"
    assert subprocess.check_output([sys.executable, "-c", words]) == b"True\n"


def test_importing_the_commands_leaves_the_handler_as_it_was():
    assert signal.getsignal(signal.SIGINT) not in (interrupts.leave, interrupts.interrupt)


def test_the_originals_commands_end_likewise():
    rest = interrupted_after("yaml", ["-m", "deeplab_nb.published.train", "--help"])
    assert "interrupted\n" in rest and "Traceback" not in rest
