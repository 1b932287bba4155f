"""Numbers beside published ones: a difference only where every condition is known and agrees."""

import os

import pytest
from click.testing import CliRunner

from deeplab_nb import cli, recipes, settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import ledger
from deeplab_nb.evaluation.ledger import network_name, origin, training
from deeplab_nb.files import write_json, write_text
from deeplab_nb.network import zoo
from deeplab_nb.settings import SIX_SCALES
from tests.support.tiny_voc import make_tiny_voc

WEIGHTS = "mobilenetv2_dm05_coco_voc_trainaug"
RESULTS = {
    "miou": 0.70,
    "list": "val",
    "images": 1449,
    "output_stride": 16,
    "scales": [1.0],
    "flip": False,
    "protocol": "deeplab: whole image padded to 513x513",
    "network": "mobilenet_v2 0.5",
    "weights": WEIGHTS,
    "trained": None,
}
MINDSPORE = recipes.get("deeplabv3_mindspore_1p").settings
TRAINED = {
    "miou": 0.64,
    "list": "val",
    "images": 1449,
    "output_stride": 16,
    "scales": list(SIX_SCALES),
    "flip": False,
    "protocol": "mindspore: centre crop",
    "network": network_name(MINDSPORE),
    "weights": None,
    "trained": training(MINDSPORE, 4392, 1464),
}


def closest(results):
    row, marks = ledger.compare(results)[0]
    return row, marks, ledger.difference(results, row, marks)


def apart(results):
    return [name for name, mark in closest(results)[1].items() if mark.agrees is not True]


def test_the_published_weights_under_the_same_conditions_are_compared():
    row, marks, difference = closest(RESULTS)
    assert row.name == "mobilenetv2_dm05" and ledger.agreeing(marks) == len(ledger.CONDITIONS)
    assert difference == pytest.approx(-0.19)
    line = next(
        line for line in ledger.table(RESULTS).splitlines() if line.startswith("mobilenetv2_dm05")
    )
    assert line.split() == ["mobilenetv2_dm05", "70.19", "-0.19"] + 13 * ["✓"]


@pytest.mark.parametrize(
    "change, name",
    [
        ({"images": 150}, "images"),
        ({"list": "train", "images": 1449}, "list"),
        ({"output_stride": 8}, "output_stride"),
        ({"scales": [0.5, 1.0]}, "scales"),
        ({"flip": True}, "flip"),
        ({"protocol": "tight: nearest sides"}, "protocol"),
        ({"network": "mobilenet_v2 0.35"}, "network"),
    ],
)
def test_one_condition_that_differs_leaves_no_difference(change, name):
    results = dict(RESULTS, **change)
    marks = next(marks for row, marks in ledger.compare(results) if row.name == "mobilenetv2_dm05")
    assert [key for key, mark in marks.items() if mark.agrees is not True] == [name] and marks[
        name
    ].agrees is False
    lines = ledger.table(results).splitlines()[2:-2]
    assert len(lines) == len(ledger.PUBLISHED) and all(
        line.split("  ✓")[0].split("  ✗")[0].rstrip().endswith("-") for line in lines
    )


def test_the_same_network_with_weights_of_unknown_origin_is_not_compared():
    results = dict(RESULTS, weights=None)
    assert closest(results)[2] is None and set(apart(results)) == set(ledger.TRAINING)
    assert "data not told here, trainaug there" in ledger.table(results)


def test_a_training_under_all_conditions_of_a_port_is_compared():
    row, _, difference = closest(TRAINED)
    assert row.name == "DeepLabv3 MindSpore 2020" and difference == pytest.approx(64 - 65.05)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 4000},
        {"batch": 4},
        {"crop": 321},
        {"init": "random"},
        {"batch_norm": "trained"},
        {"data": "train, 440 images"},
    ],
)
def test_a_training_of_one_other_condition_is_not(change):
    results = dict(TRAINED, trained=dict(TRAINED["trained"], **change))
    assert apart(results) == list(change) and closest(results)[2] is None


def test_what_a_source_does_not_tell_is_never_taken_to_agree():
    row = next(row for row in ledger.PUBLISHED if row.name == "DeepLabv3+ Xception-65")
    conditions = dict(row.conditions, weights=None, miou=0.8, trained={"batch": 16})
    assert closest(conditions)[2] is None and "batch" in apart(conditions)


def test_every_published_number_is_one_of_the_recipes_and_of_the_checkpoints():
    numbers = {row.name: row.number for row in ledger.PUBLISHED if row.weights}
    assert (
        numbers == {number.name: number.miou for row in zoo.PUBLISHED for number in row.numbers}
        and len(numbers) == 7
    )
    for row, number in zoo.VOC_VAL:
        assert (
            f"{number.miou:.2f}" in recipes.get("published_" + number.name).expected
            and number.text in row.expected
        )


def test_results_of_an_older_version_are_shown_and_not_compared():
    older = {
        name: RESULTS[name]
        for name in ("miou", "list", "images", "output_stride", "scales", "flip", "protocol")
    }
    assert "network not told here" in ledger.table(older) and closest(older)[2] is None


def test_the_origin_of_a_checkpoint_is_told_by_what_lies_beside_it(tmp_path):
    root, folder = make_tiny_voc(tmp_path / "voc"), str(tmp_path / "run")
    settings = settings_module.read(
        {
            "data_root": root,
            "train_crop_size": 65,
            "cards": 2,
            "fine_tune_batch_norm": False,
            "initial_checkpoint": "data/weights/" + WEIGHTS,
        }
    )
    settings_module.save(settings, folder)
    assert origin(settings, os.path.join(folder, "model.ckpt-30"))["trained"] == {
        "data": "train, 4 images",
        "init": WEIGHTS,
        "batch": 32,
        "batch_norm": "frozen",
        "steps": 30,
        "crop": 65,
    }
    assert origin(settings, os.path.join("data", "weights", WEIGHTS, "model.ckpt")) == {
        "network": "mobilenet_v2",
        "weights": WEIGHTS,
        "trained": None,
    }


@pytest.mark.parametrize(
    "values, name",
    [
        ({}, "mobilenet_v2"),
        ({"depth_multiplier": 0.5}, "mobilenet_v2 0.5"),
        ({"backbone": "xception_65", "aspp": True, "decoder": True}, "xception_65 aspp decoder"),
        (
            {
                "backbone": "resnet_v1_50_beta",
                "aspp": True,
                "separable_head": False,
                "multi_grid": (1, 2, 4),
            },
            "resnet_v1_50_beta aspp with full convolutions multi-grid 1,2,4",
        ),
    ],
)
def test_a_network_in_words(values, name):
    assert network_name(settings_module.read(values)) == name


def test_the_command_finds_runs_rows_and_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_json("runs/one/eval/results.json", RESULTS)
    write_json(
        "runs/published/mobilenetv2/eval/results.json",
        dict(RESULTS, network="mobilenet_v2", weights="mobilenetv2_coco_voc_trainaug"),
    )
    (tmp_path / "runs" / "README.md").write_text("of all runs")
    (tmp_path / "README.md").write_text("of the folder that one stands in")
    write_json("mine.json", {"eval": dict(RESULTS, images=31), "miou": 0.7})
    for folder in ("", "runs/"):  # a text of this name in both, as in the project's own folder
        write_text(folder + "README.md", "no results")
    assert [name for name, _ in ledger.find(runs="runs")] == [
        "runs/one/eval/results.json",
        "runs/published/mobilenetv2/eval/results.json",
    ]
    said = (
        CliRunner()
        .invoke(cli.main, ["ledger", "runs/one", "mine.json"], catch_exceptions=False)
        .output
    )
    assert said.count("-0.19") == 1 and "1,449 images of list val, weights " + WEIGHTS in said
    assert (
        "mine.json: mIoU 70.00 %, 31 images of list val (a subset or another set)" in said
        and "images 31 here, 1449 there" in said
    )
    assert "xception65" not in said  # another network
    with pytest.raises(WorkbookError, match="two holds no results: give a run"):
        ledger.find(["two"], runs="runs")


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"miou": 1}', '{"miou": 1, "images": 1, "list": "val", "protocol": 3}'],
)
def test_a_file_without_results_is_named(tmp_path, content):
    (tmp_path / "some.json").write_text(content)
    with pytest.raises(WorkbookError, match="some.json holds no results of an evaluation"):
        ledger.find([str(tmp_path / "some.json")])
