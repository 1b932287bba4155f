"""What a launch on cards would miss is told; the sample's settings stay with the sample."""

import os

import pytest

from deeplab_nb import recipes
from deeplab_nb.runs.run import open_run
from lessons import ready
from tests.support.tiny_voc import make_tiny_voc

EIGHT = recipes.get("deeplabv3plus_8p")


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
