"""Sweeps with real processes; what they run is a few lines in place of a training."""

import json
import os
import signal
import subprocess
import sys

import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs import state, sweep
from deeplab_nb.settings import Settings
from tests.support.command import call
from tests.support.tiny_notebooks import wait_for

# ends as a run of this value and score would
RUN = """import sys
from deeplab_nb.files import write_json
from deeplab_nb.runs import state
from deeplab_nb.settings import Settings
root, name, score = sys.argv[1:]
run = state.new_or_resumed_run(root, "sample", Settings(), name=name)
print("begun")
if score == "fail":
    sys.exit("a sentence that says why")
record = dict(state.read_run(run), notebooks={"05_x": {"state": "done"}})
state.write_run(run, record)
write_json(run + "/05_x.ipynb", {"metadata": {"papermill": {"duration": 60}}})
write_json(run + "/eval/results.json", {"miou": float(score)})
state.write_results(run, record)
"""


def trials(root, scores):
    """{value: score or 'fail'} as trials."""
    return [
        sweep.Trial(value, "s-" + value, (sys.executable, "-c", RUN, root, "s-" + value, score))
        for value, score in scores.items()
    ]


@pytest.mark.parametrize(
    "text, parsed",
    [
        ("learning_rate=0.1, 1e-2", ("learning_rate", ["0.1", "1e-2"])),
        ("optimizer=adam", ("optimizer", ["adam"])),
        ("eval_scales=[1.0],[0.5,1.0]", ("eval_scales", ["[1.0]", "[0.5,1.0]"])),
    ],
)
def test_values_are_read(text, parsed):
    assert sweep.parse(text) == parsed


@pytest.mark.parametrize(
    "text, words",
    [("seed", "name=a,b,c"), ("seed=", "names no values"), ("seed=1,2,1", "a value twice")],
)
def test_what_sweeps_nothing_is_refused(text, words):
    with pytest.raises(WorkbookError, match=words):
        sweep.parse(text)


def test_runs_are_named_after_their_values_and_keep_the_other_settings():
    name, (first, second) = sweep.plan(
        "sample", ("eval_scales", ["[1.0]", "[0.5,1.0]"]), ("seed=3",), stem="mine"
    )
    assert name == "mine-eval_scales" and (first.name, second.name) == (
        name + "-1.0",
        name + "-0.5_1.0",
    )
    assert second.command[1:] == (
        "run",
        "sample",
        "--set",
        "seed=3",
        "--set",
        "eval_scales=[0.5,1.0]",
        "--name",
        second.name,
    )


def test_a_setting_both_swept_and_set_is_refused():
    with pytest.raises(WorkbookError, match="both swept and set"):
        sweep.plan("sample", ("seed", ["1", "2"]), ("seed=3",))


def test_values_of_one_name_are_refused():
    with pytest.raises(WorkbookError, match="cannot be told apart"):
        sweep.plan("sample", ("eval_scales", ["[1.0]", "1.0"]), ())


def test_a_failed_run_stops_no_other_and_is_told(tmp_path, capsys):
    root, folder = str(tmp_path / "runs"), str(tmp_path / "sweep")
    outcomes = sweep.run(
        trials(root, {"0.1": "0.25", "0.2": "fail", "0.3": "0.5"}), folder, root, jobs=2
    )
    assert [(o.value, o.state, o.miou) for o in outcomes] == [
        ("0.1", "done", 0.25),
        ("0.2", "failed", None),
        ("0.3", "done", 0.5),
    ]
    assert [o.seconds for o in outcomes] == [60, 0, 60]
    assert "s-0.2 failed: a sentence that says why" in capsys.readouterr().out
    text = sweep.write("learning_rate", outcomes, folder)
    assert "s-0.3 (best)" in text and "s-0.2, failed" in text
    assert set(os.listdir(folder)) == {
        "sweep.json",
        "sweep.txt",
        "sweep.png",
        "s-0.1.log",
        "s-0.2.log",
        "s-0.3.log",
    }
    with open(os.path.join(folder, "sweep.json")) as file:
        assert [run["miou"] for run in json.load(file)["runs"]] == [0.25, None, 0.5]


def test_numbers_make_a_line_and_names_make_bars():
    def outcomes(*values):
        return [
            sweep.Outcome(value, value, "done", 0.1 * i, 1.0) for i, value in enumerate(values, 1)
        ]

    (line,) = sweep.plot("learning_rate", outcomes("0.1", "0.0001", "0.01")).axes[0].get_lines()
    assert line.get_xdata().tolist() == [0.0001, 0.01, 0.1] and line.axes.get_xscale() == "log"
    assert len(sweep.plot("optimizer", outcomes("adam", "momentum")).axes[0].patches) == 2


def test_a_sweep_that_is_ended_ends_its_runs(tmp_path):
    long = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    code = (
        "import sys; from deeplab_nb.runs import sweep; "
        f"trial = sweep.Trial('1', 'long', (sys.executable, '-c', '{long}'));"
        "sweep.run([trial], sys.argv[1], sys.argv[1])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    log = str(tmp_path / "long.log")
    wait_for(lambda: os.path.exists(log) and open(log).read().strip(), "the run")
    process.send_signal(signal.SIGTERM)
    assert (
        b"0 of 1 runs are done; the same command goes on" in process.communicate()[0]
        and process.returncode != 0
    )
    with open(log) as file, pytest.raises(ProcessLookupError):
        os.kill(int(file.read()), 0)


def test_a_finished_run_of_the_same_name_counts_again(tmp_path):
    root = str(tmp_path)
    run = state.new_or_resumed_run(root, "sample", Settings(), name="s-1")
    state.write_run(run, dict(state.read_run(run), notebooks={"05_x": {"state": "done"}}))
    (outcome,) = sweep.run(trials(root, {"1": "0.75"}), str(tmp_path / "sweep"), root)
    assert outcome.state == "done" and outcome.miou == 0.75


def test_every_value_is_checked_before_the_first_run_starts():
    said = call("run", "sample", "--sweep", "train_steps=5,soon", code=1)
    assert (
        "'train_steps' needs a whole number, got 'soon'" in said and said.strip().count("\n") == 0
    )
