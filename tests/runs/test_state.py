"""Only a run with the same recipe and settings resumes a run folder; all of it is read."""

import json
import os

import pytest

from deeplab_nb import files, recipes
from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs import state
from deeplab_nb.runs.run import open_run
from deeplab_nb.settings import Settings, load, override, save
from tests.support.files import digests
from tests.support.tiny_checkpoint import make_tiny_checkpoint
from tests.support.tiny_notebooks import mark

SAMPLE = recipes.get("sample").settings

OTHER = override(Settings(), {"train_steps": 7})


def finish(run, how=state.DONE, seconds=2.0):
    mark(run, seconds=1.0, **{"01_a": {}})
    return mark(run, how=how, seconds=seconds, **{"02_b": {}})


def test_new_run_is_named_by_recipe_and_time_and_holds_its_settings(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path / "runs"), "sample", OTHER)
    assert os.path.basename(run).startswith("sample-2") and load(run) == OTHER
    assert state.read_run(run)["recipe"] == "sample"


def test_unfinished_run_with_the_same_settings_is_resumed(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings())
    finish(run, state.FAILED)
    assert state.new_or_resumed_run(str(tmp_path), "sample", Settings()) == run


@pytest.mark.parametrize(
    "how, recipe, settings",
    [
        (state.DONE, "sample", Settings()),
        (state.FAILED, "voc", Settings()),
        (state.FAILED, "sample", OTHER),
    ],
)
def test_finished_or_different_run_is_not_resumed(tmp_path, how, recipe, settings):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings())
    finish(run, how)
    assert state.new_or_resumed_run(str(tmp_path), recipe, settings) != run


def test_named_run_is_made_then_resumed(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    finish(run)
    assert run == str(tmp_path / "mine")
    assert state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine") == run
    assert state.read_run(run)["notebooks"]["01_a"]["state"] == state.DONE


@pytest.mark.parametrize(
    "recipe, settings, words",
    [
        ("sample", OTHER, "train_steps = 30000, not 7: give another --name"),
        ("voc", Settings(), "is of recipe 'sample', not 'voc'"),
    ],
)
def test_named_run_of_another_kind_is_refused(tmp_path, recipe, settings, words):
    state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    with pytest.raises(WorkbookError, match=words):
        state.new_or_resumed_run(str(tmp_path), recipe, settings, name="mine")


def test_settings_edited_by_hand_are_noticed(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    path = os.path.join(run, "settings.json")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace('"train_steps": 30000', '"train_steps": 7'))
    with pytest.raises(WorkbookError, match="was edited"):
        state.new_or_resumed_run(str(tmp_path), "sample", OTHER, name="mine")


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a{b}"])
def test_name_that_is_no_folder_name_is_refused(tmp_path, name):
    with pytest.raises(WorkbookError, match="plain folder name"):
        state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name=name)


def test_folder_that_is_no_run_is_not_taken_over(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(WorkbookError, match="run.json is missing or damaged"):
        state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")


def test_file_in_the_place_of_a_run_is_named(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(WorkbookError, match="is a file"):
        state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")


def test_two_in_one_run_folder_are_refused(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    with state.locked(run):
        with pytest.raises(WorkbookError, match=f"'mine' is in use by process {os.getpid()}"):
            with state.locked(run):
                pass
    with state.locked(run):
        pass


@pytest.mark.parametrize(
    "how, shown",
    [
        (state.DONE, "done"),
        (state.FAILED, "failed"),
        (state.INTERRUPTED, "interrupted"),
        (state.RUNNING, "interrupted"),
        (state.PENDING, "unfinished"),
    ],
)
def test_list_tells_each_state(tmp_path, how, shown):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    finish(run, how)
    (info,) = state.list_runs(str(tmp_path))
    assert (info.name, info.recipe, info.state, info.miou) == ("mine", "sample", shown, None)
    assert sum(state.seconds(run).values()) == 3.0


def test_list_tells_a_run_that_is_being_worked_on(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    with state.locked(run):
        assert state.list_runs(str(tmp_path))[0].state == "running"
    assert state.list_runs(str(tmp_path))[0].state == "unfinished"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"notebooks": 3}',
        '{"notebooks": {"01_a": 1}, "recipe": "x", "settings": "", "created": ""}',
        '{"notebooks": {"01_a": {"state": 2}}, "recipe": "x", "settings": "", "created": ""}',
    ],
)
def test_damaged_folder_is_listed_as_unreadable_after_the_others(tmp_path, content):
    state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="good")
    (tmp_path / "zz").mkdir()
    (tmp_path / "zz" / "run.json").write_text(content)
    assert [(info.name, info.state) for info in state.list_runs(str(tmp_path))] == [
        ("good", "unfinished"),
        ("zz", "unreadable"),
    ]
    assert state.new_or_resumed_run(str(tmp_path), "sample", Settings()) == str(tmp_path / "good")


def test_folder_of_a_notebook_opened_by_hand_is_listed_and_one_of_no_run_is_not(tmp_path):
    save(Settings(), str(tmp_path / "notebook-sample"))
    (tmp_path / "sample-train").mkdir()
    assert [(info.name, info.recipe, info.state) for info in state.list_runs(str(tmp_path))] == [
        ("notebook-sample", "", "unfinished")
    ]


def test_list_of_a_folder_that_is_not_there_is_empty(tmp_path):
    assert state.list_runs(str(tmp_path / "none")) == []


def test_results_hold_what_evaluation_found(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    os.mkdir(os.path.join(run, "eval"))
    with open(os.path.join(run, "eval", "results.json"), "w") as file:
        json.dump({"miou": 0.72, "images": 3}, file)
    state.write_results(run, finish(run))
    with open(os.path.join(run, "results.json")) as file:
        results = json.load(file)
    assert results["miou"] == 0.72 and results["eval"]["images"] == 3
    assert (results["recipe"], results["name"], results["state"], results["seconds"]) == (
        "sample",
        "mine",
        "done",
        3.0,
    )
    assert state.list_runs(str(tmp_path))[0].miou == 0.72


def test_expected_times_come_from_the_newest_finished_run_of_the_recipe(tmp_path):
    for name, how, seconds in (
        ("old", state.DONE, 5.0),
        ("new", state.DONE, 9.0),
        ("failed", state.FAILED, 1.0),
    ):
        run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name=name)
        record = finish(run, how, seconds)
        record["created"] = {"old": "2021", "new": "2022", "failed": "2023"}[name]
        state.write_run(run, record)
    assert state.expected_seconds(str(tmp_path), "sample") == {"01_a": 1.0, "02_b": 9.0}
    assert state.expected_seconds(str(tmp_path), "voc") == {}


def test_a_run_of_an_older_version_is_read(tmp_path):
    run = state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine")
    mark(run, seconds=1.0, **{"01_a": {"images": 3}})
    entries = {
        "01_a": {"state": "done", "seconds": 1.1, "parameters": {"images": 3}},
        "02_b": {"state": "running", "seconds": 0.0, "parameters": {}},
    }
    state.write_run(run, dict(state.read_run(run), notebooks=entries))
    assert state.list_runs(str(tmp_path))[0].state == "interrupted"
    assert state.seconds(run) == {"01_a": 1.0, "02_b": 0}
    assert state.parameters_of(run, "01_a") == {"images": 3}
    assert state.parameters_of(run, "02_b") is None
    assert state.new_or_resumed_run(str(tmp_path), "sample", Settings(), name="mine") == run


def test_finished_runs_of_the_same_settings(tmp_path):
    runs = str(tmp_path)
    for name, recipe, settings, how in (
        ("one", "sample", Settings(), state.DONE),
        ("two", "sample", OTHER, state.DONE),
        ("three", "voc", Settings(), state.DONE),
        ("four", "sample", Settings(), state.FAILED),
        ("five", "sample", Settings(), state.DONE),
    ):
        finish(state.new_or_resumed_run(runs, recipe, settings, name=name), how)
    found = state.finished_runs(runs, "sample", Settings())
    assert [os.path.basename(run) for run in found] == ["five", "one"]


def test_a_notebook_in_jupyterlab_opens_the_newest_finished_run(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "RUNS", str(tmp_path))
    given = {"train_steps": 7}
    run = state.new_or_resumed_run(str(tmp_path), "sample", override(SAMPLE, given), name="mine")
    finish(run)
    before = digests(run)
    assert open_run("sample", None, given).folder == str(tmp_path / "notebook-sample")
    make_tiny_checkpoint(os.path.join(run, "train"))  # the run above had lost its weights
    assert open_run("sample", None, given).folder == run
    assert "looks at the finished run" in capsys.readouterr().out
    assert before.items() <= digests(run).items()
    assert open_run("sample").folder == str(tmp_path / "notebook-sample")  # of other settings
