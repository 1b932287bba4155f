"""What a launch on cards would miss is told; the sample's settings stay with the sample."""

import os

import nbformat
import pytest

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.runs import runner, state
from deeplab_nb.runs.run import open_run
from lessons import ready
from tests.support.ascend_library import STAND_IN
from tests.support.tiny_voc import make_tiny_voc

EIGHT = recipes.get("deeplabv3plus_8p")
STEPS = {"train_steps": 60}


def test_only_places_go_to_a_published_recipe(tmp_path):
    """Steps, rate and width of the sample would train another network under its name."""
    values = {
        "train_steps": 60,
        "learning_rate": 0.1,
        "depth_multiplier": 0.1,
        "data_root": str(tmp_path),
        "initial_checkpoint": str(tmp_path / "mobilenet"),
    }
    settings = open_run("sample", str(tmp_path / "run"), values).settings
    assert ready.places(values, settings, EIGHT) == {"data_root": str(tmp_path)}
    xception = open_run("deeplabv3plus_1p", str(tmp_path / "x")).settings
    assert set(ready.places(values, xception, EIGHT)) == {"data_root", "initial_checkpoint"}
    assert ready.places({}, settings, EIGHT) == {}


def test_all_that_is_missing_is_told_at_once_and_nothing_is_written(tmp_path):
    missing = ready.preflight(EIGHT, {"data_root": str(tmp_path / "VOC")}, 8)
    assert list(missing) == ["data", "weights", "adapter", "cards"] and all(missing.values())
    assert "VOC does not exist" in missing["data"] and "0 of 8 cards" in missing["cards"]
    assert os.listdir(str(tmp_path)) == []
    assert ready.told(missing)[2].startswith("adapter: npu_bridge is not installed")


def test_what_is_there_is_told_too(tmp_path, monkeypatch):
    root = make_tiny_voc(tmp_path / "voc")
    found = ready.preflight(EIGHT, {"data_root": root, "train_list": "train"}, 8)
    assert found["data"] is None and ready.told(found)[0] == "data: there"


@pytest.mark.parametrize(
    "found, asked, words", [(1, 8, "shows 1 of 8 cards"), (2, 2, "hccn"), (8, 3, "3 cards")]
)
def test_cards_are_counted_and_need_addresses(found, asked, words, tmp_path, monkeypatch):
    """One card, no /etc/hccn.conf, a number that HCCL refuses: a sentence each, no table."""
    for card in range(found):
        (tmp_path / f"davinci{card}").write_text("")
    (tmp_path / "davinci_manager").write_text("")
    monkeypatch.setattr(ready, "CARDS", str(tmp_path / "davinci[0-9]*"))
    assert words in ready.preflight(EIGHT, {}, asked)["cards"]


@pytest.fixture(scope="module")
def beside_an_adapter(tmp_path_factory):
    """Run folder of notebook 04, executed to launch where npu_bridge imports and no card is."""
    folder = tmp_path_factory.mktemp("runs")
    settings = settings_module.override(recipes.get("sample").settings, STEPS)
    run = state.new_or_resumed_run(str(folder), "sample", settings, name="adapter")
    os.makedirs(os.path.join(run, "launch"))
    for name in ("both.json", "hccn.conf"):
        with open(os.path.join(run, "launch", name), "w") as file:
            file.write("a real one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([STAND_IN, files.ROOT]))
        notebooks = runner.find_notebooks(files.NOTEBOOKS)
        runner.run_notebooks(
            run,
            notebooks,
            recipe="sample",
            overrides=STEPS,
            parameters={"launch": True},
            selected=[notebook for notebook in notebooks if notebook.number == "04"],
        )
    return run


def said(run):
    cells = nbformat.read(os.path.join(run, "04_eight_card_launch.ipynb"), as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    return "".join(output.get("text", "") for output in outputs)


@pytest.mark.slow
def test_the_notebook_runs_where_the_adapter_is_and_cards_are_not(beside_an_adapter):
    text = said(beside_an_adapter)
    assert "adapter: there" in text and "cards: this machine shows 0 of 8" in text
    assert "skipped: see above" in text and text.count("refused:") == 4
    assert "train_steps" not in text and max(map(len, text.splitlines())) <= 100


@pytest.mark.slow
def test_a_real_table_in_the_runs_folder_stays_as_it_is(beside_an_adapter):
    for name in ("both.json", "hccn.conf"):
        with open(os.path.join(beside_an_adapter, "launch", name)) as file:
            assert file.read() == "a real one"
    assert os.path.exists(os.path.join(beside_an_adapter, "launch", "drawn", "both.json"))
