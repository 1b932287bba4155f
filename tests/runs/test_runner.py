"""The runner with real kernels: order, parameters, resume, failure."""

import json
import os
import signal
import sys

import pytest

from deeplab_nb import progress
from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs import runner, state
from deeplab_nb.settings import Settings, override
from tests.support.tiny_notebooks import folder, mark, run, states, text_of, write  # noqa: F401

COUNT = 'open(run_folder + "/count_{}", "a").write("x")'


def execute(run, folder, **changes):
    arguments = {"recipe": "x", "overrides": {}, "parameters": {}, **changes}
    return runner.run_notebooks(run, runner.find_notebooks(str(folder)), **arguments)


def count(run, what):
    path = os.path.join(run, "count_" + what)
    return os.path.getsize(path) if os.path.exists(path) else 0


def test_notebooks_are_found_in_the_order_of_their_numbers(folder):
    for name in ("05_late_one", "00_start", "notes", "123_no"):
        write(folder, name)
    found = runner.find_notebooks(str(folder))
    assert [(n.number, n.stem) for n in found] == [("00", "00_start"), ("05", "05_late_one")]


def test_folder_without_notebooks_is_named(tmp_path):
    with pytest.raises(WorkbookError, match="holds no notebook"):
        runner.find_notebooks(str(tmp_path / "none"))


def test_two_notebooks_of_one_number_are_refused(folder):
    write(folder, "01_a")
    write(folder, "01_b")
    with pytest.raises(WorkbookError, match="same number"):
        runner.find_notebooks(str(folder))


def test_selection(folder):
    for name in ("00_a", "03_b", "05_c"):
        write(folder, name)
    found = runner.find_notebooks(str(folder))

    def numbers(**which):
        return [n.number for n in runner.select(found, **which)]

    assert (
        numbers(from_="03") == ["03", "05"]
        and numbers(only=3) == ["03"]
        and numbers() == ["00", "03", "05"]
    )


@pytest.mark.parametrize(
    "which, words",
    [
        ({"only": "07"}, "no notebook 07: there are 00, 03"),
        ({"from_": "x"}, "no notebook x"),
        ({"from_": 0, "only": 3}, "exclude"),
    ],
)
def test_selection_of_what_is_not_there_is_refused(folder, which, words):
    write(folder, "00_a")
    write(folder, "03_b")
    with pytest.raises(WorkbookError, match=words):
        runner.select(runner.find_notebooks(str(folder)), **which)


def test_run_passes_parameters_and_collects_results(folder, run, capsys):
    write(
        folder,
        "01_first",
        "print(recipe, overrides, images, rate)",
        parameters="images = 4\nrate = 0.5",
    )
    write(
        folder,
        "05_evaluation",
        "import os, json",
        "os.mkdir(run_folder + '/eval')",
        "json.dump({'miou': 0.5}, open(run_folder + '/eval/results.json', 'w'))",
    )
    results = execute(run, folder, overrides={"train_steps": 7}, parameters={"images": 9})
    assert text_of(run, "01_first") == "x {'train_steps': 7} 9 0.5\n"
    assert results["state"] == "done" and results["miou"] == 0.5
    with open(os.path.join(run, "results.json")) as file:
        assert json.load(file) == results
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and lines[2].startswith("notebook 2 of 2: 05_evaluation runs")
    assert lines[4].startswith("2 of 2 notebooks in ")


def test_kernel_is_this_python_in_a_headless_environment_beside_the_notebooks(
    folder, run, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    write(
        folder,
        "00_a",
        "import os, sys",
        "names = 'DEEPLAB_NB_HEADLESS', 'TF_CPP_MIN_LOG_LEVEL', 'PYTHONPATH'",
        "print(sys.executable, os.getcwd(), *[os.environ[name] for name in names])",
    )
    here = os.getcwd()
    execute(run, folder)
    assert (
        text_of(run, "00_a").split() == [sys.executable, str(folder), "1", "2", "/elsewhere"]
        and os.getcwd() == here
    )
    assert "DEEPLAB_NB_HEADLESS" not in os.environ


def test_resume_after_a_failure_does_not_repeat_what_is_done(folder, run, capsys):
    write(folder, "01_a", COUNT.format("a"))
    write(folder, "02_b", COUNT.format("b"), "# reason\nvalue = int('seven')")
    write(folder, "03_c", COUNT.format("c"))
    with pytest.raises(WorkbookError) as caught:
        execute(run, folder, overrides={"train_steps": 7}, parameters={"other": [1]})
    for words in (
        "02_b failed",
        "In [4] (`value = int('seven')`): ValueError: invalid literal",
        "r/02_b.ipynb",
        "`deeplab-nb run x --name r --set train_steps=7 --set 'other=[1]'`",
    ):
        assert words in str(caught.value)
    assert states(run) == {"01_a": "done", "02_b": "failed", "03_c": "pending"}
    assert not os.path.exists(os.path.join(run, "results.json"))

    write(folder, "02_b", COUNT.format("b"))
    assert execute(run, folder)["state"] == "done"
    assert [count(run, what) for what in "abc"] == [1, 2, 1]
    assert "notebook 1 of 3: 01_a was done before" in capsys.readouterr().out


def test_selected_notebook_is_executed_again_and_no_other(folder, run):
    write(folder, "01_a", COUNT.format("a"))
    write(folder, "02_b", COUNT.format("b"))
    mark(run, **{"01_a": {}, "02_b": {}})
    execute(run, folder, selected=runner.select(runner.find_notebooks(str(folder)), only="01"))
    assert (count(run, "a"), count(run, "b")) == (1, 0)


def test_changed_parameter_repeats_its_notebook_and_those_after_it(folder, run):
    write(folder, "01_a", COUNT.format("a"))
    write(folder, "02_b", COUNT.format("b"), parameters="images = 4")
    write(folder, "03_c", COUNT.format("c"))
    mark(run, **{"01_a": {}, "02_b": {"images": 5}, "03_c": {}})
    execute(run, folder, parameters={"images": 5})
    assert [count(run, what) for what in "abc"] == [0, 0, 0]
    execute(run, folder, parameters={"images": 6})
    assert [count(run, what) for what in "abc"] == [0, 1, 1]


def test_unfit_notebook_is_refused_before_any_starts(folder, run):
    write(folder, "01_a", COUNT.format("a"))
    write(folder, "02_b", parameters="import os")
    with pytest.raises(WorkbookError, match="02_b.ipynb"):
        execute(run, folder)
    assert count(run, "a") == 0 and states(run) == {}


def test_cells_output_is_shown_on_request_and_nothing_of_papermill(folder, run, capfd):
    write(folder, "01_a", "print('seen')", "6 * 7", "import sys; print('warned', file=sys.stderr)")
    execute(run, folder, show_output=True)
    out, err = capfd.readouterr()
    assert out.splitlines()[1:-2] == ["seen", "42", "warned"] and err == ""


def test_expected_time_is_that_of_the_last_finished_run(folder, run, capsys):
    write(folder, "01_a")
    mark(
        state.new_or_resumed_run(os.path.dirname(run), "x", Settings(), name="earlier"),
        **{"01_a": {}},
    )
    execute(run, folder)
    assert capsys.readouterr().out.startswith("notebook 1 of 1: 01_a runs, 3 min 20 s expected\n")


def test_broken_kernel_in_the_users_home_does_not_matter(folder, run, tmp_path, monkeypatch):
    spec = tmp_path / "home" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps(
            {"argv": ["/bin/false", "{connection_file}"], "display_name": "x", "language": "python"}
        )
    )
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.delenv("JUPYTER_PREFER_ENV_PATH", raising=False)
    write(folder, "01_a", "print('alive')")
    execute(run, folder)
    assert text_of(run, "01_a") == "alive\n"


def test_dead_kernel_is_a_failure_in_words(folder, run):
    write(folder, "01_a", "import os; os._exit(3)")
    with pytest.raises(WorkbookError, match="01_a failed after .* s .DeadKernelError: Kernel died"):
        execute(run, folder)
    assert states(run) == {"01_a": "failed"}


def test_notebook_that_exits_early_is_a_failure(folder, run):
    write(folder, "01_a", "import sys; sys.exit(0)", "1")
    with pytest.raises(WorkbookError, match="called exit"):
        execute(run, folder)
    assert states(run) == {"01_a": "failed"}


def test_run_folder_in_use_is_refused(folder, run):
    write(folder, "01_a")
    with state.locked(run), pytest.raises(WorkbookError, match="'r' is in use"):
        execute(run, folder)


def test_sigterm_handler_is_restored(folder, run):
    before = signal.getsignal(signal.SIGTERM)
    write(folder, "01_a")
    mark(run, **{"01_a": {}})
    execute(run, folder)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_long_cell_shows_that_it_is_still_running(run, folder, capsys, monkeypatch):
    monkeypatch.setattr(progress, "BEAT", 0.5)
    write(folder, "01_long", "import time; time.sleep(2)")
    execute(run, folder)
    assert capsys.readouterr().out.count("notebook 1 of 1: 01_long: ") >= 2


def test_a_failed_selection_resumes_as_it_was_selected(folder, run, capsys):
    for name in ("01_a", "02_b", "03_c"):
        write(folder, name, "1 / 0" if name == "03_c" else "")
    found = runner.find_notebooks(str(folder))
    for which, words in (({"only": "03"}, "--only 03"), ({"from_": "02"}, "--from 02"), ({}, "")):
        with pytest.raises(WorkbookError) as failed:
            execute(run, folder, selected=which and runner.select(found, **which))
        assert str(failed.value).endswith(
            f"continue with `deeplab-nb run x --name r {words}".rstrip() + "`"
        )
    execute(run, folder, selected=runner.select(found, only="01"))
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 of 1 notebooks in ")


@pytest.mark.parametrize(
    "lines, said",
    [
        (['{"step": 0, "loss": 3.0}', '{"step": 40, "loss": 1.2345}'], "step 40 of 7, loss 1.234"),
        (
            ['{"step": 5, "loss": 2.0, "norm": Infinity}', '{"step": 5, "validation_miou": 0.5}'],
            "step 5 of 7, loss 2.000",
        ),
        (['{"step": 5, "loss": 2.'], ""),
        ([], ""),
    ],
)
def test_how_far_a_training_is(tmp_path, lines, said):
    run = state.new_or_resumed_run(
        str(tmp_path), "sample", override(Settings(), {"train_steps": 7})
    )
    assert runner.training_since(run, 0) == ""
    os.mkdir(os.path.join(run, "train"))
    log = tmp_path / os.path.basename(run) / "train" / "log.jsonl"
    log.write_text("\n".join(lines))
    assert runner.training_since(run, 0) == (f", {said}" if said else "")
    assert runner.training_since(run, log.stat().st_mtime + 1) == ""  # of an earlier training
