"""However a run ends, its state is saved and no process is left behind."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from deeplab_nb.runs import runner, state
from tests.support.orphans import adopting_orphans
from tests.support.tiny_notebooks import folder, lives, run, states, text_of, wait_for, write  # noqa: F401

# writes its pid and a child's, then prints for a minute
BUSY = """
import os, subprocess, time
child = subprocess.Popen(["sleep", "60"])
open(run_folder + "/pids.part", "w").write("{} {}".format(os.getpid(), child.pid))
os.rename(run_folder + "/pids.part", run_folder + "/pids")
for i in range(240):
    print("line", i, flush=True)
    time.sleep(0.25)
"""
# holds Python's global lock, so that no thread of the kernel can look after it
DEAF = (
    BUSY.split("for i")[0]
    + """
import ctypes
ctypes.PyDLL(None).sleep(60)
"""
)
CHILD = """
import signal, sys
from deeplab_nb.runs import runner
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background tests ignore it
runner.SAVE_EVERY = 0.5
try:
    found = runner.find_notebooks(sys.argv[2])
    runner.run_notebooks(sys.argv[1], found, recipe="x", overrides={}, parameters={})
except KeyboardInterrupt:
    sys.exit(130)
"""


def raw(run, name):
    """An executed notebook as it lies there: it may be read in the midst of a save."""
    with open(os.path.join(run, name + ".ipynb")) as file:
        return file.read()


@contextlib.contextmanager
def running_child(run, folder):
    """A runner in a process of its own, busy in a cell; (process, pids of kernel and its child)."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, run, str(folder)],
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    pids = []
    try:
        wait_for(lambda: os.path.exists(os.path.join(run, "pids")), "the busy cell")
        with open(os.path.join(run, "pids")) as file:
            pids.extend(int(pid) for pid in file.read().split())
        yield child, pids
    finally:
        for pid in [child.pid] + pids:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        child.communicate()


def test_process_that_a_notebook_leaves_behind_is_ended(folder, run):
    write(
        folder,
        "01_a",
        "import subprocess",
        "print(subprocess.Popen(['sh', '-c', \"trap '' INT TERM HUP; exec sleep 60\"]).pid)",
    )
    runner.run_notebooks(
        run, runner.find_notebooks(str(folder)), recipe="x", overrides={}, parameters={}
    )
    pid = int(text_of(run, "01_a").split()[0])
    wait_for(lambda: not lives(pid), "the end of the notebook's child", 5)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_interrupts_saves_and_leaves_no_process(folder, run, number):
    write(folder, "01_a", BUSY)
    with running_child(run, folder) as (child, pids):
        wait_for(lambda: "line 1" in raw(run, "01_a"), "the notebook saved while its cell runs")
        child.send_signal(number)
        assert child.wait(60) == 130
        assert "01_a is interrupted" in child.stdout.read()
        assert not any(lives(pid) for pid in pids)
    assert states(run) == {"01_a": "interrupted"}
    assert "line 1" in text_of(run, "01_a")


@pytest.mark.parametrize("cell", [BUSY, DEAF], ids=["busy", "deaf"])
def test_killed_runner_leaves_no_process_and_no_lock(folder, run, cell):
    write(folder, "01_a", cell)
    with adopting_orphans(), running_child(run, folder) as (child, pids):
        child.kill()
        child.wait(60)
        wait_for(
            lambda: not any(lives(pid) for pid in pids), "the end of the kernel and its child", 5
        )
    assert [info.state for info in state.list_runs(os.path.dirname(run))] == ["interrupted"]
    with state.locked(run):
        pass
