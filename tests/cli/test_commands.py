"""The command line's words and exit codes: in this process, and of some as a shell sees them."""

import json
import os
import shutil

import numpy as np
import pytest

from deeplab_nb import files
from deeplab_nb.data import voc
from deeplab_nb.fields import FIELDS
from tests.support.command import call, shell
from tests.support.files import digests
from tests.support.tiny_voc import make_tiny_voc, write_list, write_pair


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["run", "sampel"], "unknown recipe 'sampel', did you mean 'sample'?"),
        (
            ["run", "sample", "--set", "learning_rat=1"],
            "unknown setting or parameter 'learning_rat', did you mean 'learning_rate'?",
        ),
        (
            ["run", "sample", "--set", "train_steps=soon"],
            "'train_steps' needs a whole number, got 'soon'",
        ),
        (["settings", "colour"], "no setting speaks of 'colour'"),
        (
            ["run", "published_mobilenetv2"],
            "`deeplab-nb fetch voc` brings VOC 2012",
        ),
        (["run", "sample", "--only", "77"], "there is no notebook 77"),
        (["run", "sample", "--set", "seed"], "write name=value"),
        (["train", "sample", "--set", "momentun=1"], "did you mean 'momentum'?"),
        (
            ["train", "deeplabv3plus_8p"],
            "8 ranks train together, and this process is none of them: start all with "
            "`deeplab-nb launch",
        ),
        (["train", "published_mobilenetv2"], "train_steps is 0"),
        (
            ["fetch", "weights", "mobilenet_coco_voc_trainaug"],
            "did you mean 'mobilenetv2_coco_voc_trainaug'?",
        ),
        (["fetch", "voc", "2012"], "fetch voc takes no name: leave '2012' out"),
        (
            ["run", "published", "--only", "resnet"],
            "there is no row 'resnet'; there are mobilenetv2_dm05, mobilenetv2",
        ),
        (
            ["run", "published", "--set", "eval_flip=true"],
            "eval_flip is part of what was published",
        ),
        (["run", "published", "--from", "05"], "run published executes no notebook"),
        (["audit", "nowhere"], "data folder nowhere does not exist"),
        (
            ["evaluate", "--checkpoint", "nowhere", "--data", "nowhere"],
            "checkpoint nowhere does not exist",
        ),
        (
            ["evaluate", "--checkpoint", "x", "--data", "x", "--shard", "5/4", "--out", "x"],
            "shard '5/4' must be its number and their count",
        ),
        (
            ["evaluate", "--checkpoint", "x", "--data", "x", "--shard", "1/4"],
            "--shard and --out go together",
        ),
        (["score", "nowhere"], "score needs the masks: add --data VOC_ROOT, or --merge"),
        (["score", "nowhere", "--merge"], "folder nowhere holds no shard-1-of-N.npz"),
        (
            ["predict", "x.jpg", "--checkpoint", "nowhere", "--out", "nowhere"],
            "checkpoint nowhere does not exist",
        ),
        (
            ["export", "--checkpoint", "nowhere", "--out", "nowhere"],
            "checkpoint nowhere does not exist",
        ),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_1(arguments, sentence):
    said = call(*arguments, code=1)
    assert sentence in said and said.strip().count("\n") == 0


def test_a_shell_sees_the_same():
    assert shell("run", "sampel", code=1) == call("run", "sampel", code=1)


def test_bad_input_leaves_no_run_behind():
    before = set(os.listdir(files.RUNS))
    call("run", "sample", "--set", "learning_rat=1", code=1)
    assert set(os.listdir(files.RUNS)) == before


def test_recipes_show_source_hardware_time_and_number():
    said = call("recipes")
    assert "deeplabv3plus_8p" in said and "8 Ascend 910" in said and "70.19" in said


def test_weights_show_size_and_number():
    said = call("fetch", "weights")
    assert (
        said.count("\n") == 11
        and "mobilenetv2_dm05_coco_voc_trainaug  7.6 MB   mIoU 70.19 %" in said
    )


def test_a_good_folder_passes_the_audit(tmp_path):
    said = call("audit", make_tiny_voc(tmp_path))
    assert "nothing is wrong" in said and "aeroplane" in said


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(VOC folder, folder of a tiny network trained on it through the command line)."""
    root = make_tiny_voc(tmp_path_factory.mktemp("voc"))
    out = str(tmp_path_factory.mktemp("out"))
    tiny = dict(
        data_root=root,
        depth_multiplier=0.25,
        train_crop_size=33,
        train_batch_size=2,
        clones=1,
        train_steps=2,
    )
    said = shell(
        "train",
        "sample",
        "--out",
        out,
        *[x for item in tiny.items() for x in ("--set", "{}={}".format(*item))],
    )
    assert "model.ckpt-2" in said
    return root, out


def test_a_network_is_trained_evaluated_and_used_from_the_shell(trained, tmp_path):
    root, out = trained
    results = str(tmp_path / "results.json")
    said = call(
        "evaluate",
        "--checkpoint",
        out,
        "--data",
        root,
        "--list",
        "val",
        "--output-stride",
        "8",
        "--json",
        results,
    )
    with open(results) as file:
        stored = json.load(file)
    assert "mean over" in said and stored["output_stride"] == 8 and stored["images"] == 2
    photograph = voc.image_path(root, "val_000")
    call(
        "predict",
        photograph,
        "--checkpoint",
        os.path.join(out, "model.ckpt-2.index"),
        "--out",
        str(tmp_path / "seen"),
    )
    assert sorted(os.listdir(str(tmp_path / "seen"))) == ["val_000.png", "val_000_overlay.png"]
    assert (
        voc.read_mask(str(tmp_path / "seen" / "val_000.png"))[0].shape
        == voc.read_image(photograph).shape[:2]
    )


def test_a_network_is_exported_from_the_shell(trained, tmp_path):
    photograph, out = voc.image_path(trained[0], "val_000"), str(tmp_path / "exported")
    said = call(
        "export",
        "--checkpoint",
        trained[1],
        "--out",
        out,
        "--format",
        "frozen",
        "--size",
        "49",
        "--image",
        photograph,
        "--soc-version",
        "Ascend910A",
    )
    assert "frozen_inference_graph_49x49.pb" in said and said.count("1.000000 of") == 2
    assert sorted(os.listdir(out)) == [
        "README.md",
        "export.json",
        "frozen_inference_graph.pb",
        "frozen_inference_graph_49x49.pb",
    ]
    with open(os.path.join(out, "README.md")) as file:
        assert "--soc_version=Ascend910A" in file.read()
    assert "size 48 must be 16k+1" in call(
        "export",
        "--checkpoint",
        trained[1],
        "--out",
        out,
        "--size",
        "48",
        "--image",
        photograph,
        code=1,
    )


def test_the_engine_is_chosen_from_the_shell(trained, tmp_path):
    root, weights = trained[0], shutil.copytree(trained[1], str(tmp_path / "weights"))
    said = call(
        "predict",
        voc.image_path(root, "val_000"),
        "--checkpoint",
        weights,
        "--out",
        str(tmp_path),
        "--engine",
        "onnxruntime",
    )
    assert "engine: ONNX Runtime, converted in" in said
    said = shell(
        "evaluate",
        "--checkpoint",
        weights,
        "--data",
        root,
        "--scales",
        "0.5,1.0",
        "--json",
        str(tmp_path / "results.json"),
    )
    assert "engine: ONNX Runtime, converted before" in said and "engine onnxruntime" in said
    assert read_json(str(tmp_path / "results.json"))["engine"] == "onnxruntime"


def read_json(path):
    with open(path) as file:
        return json.load(file)


def test_two_processes_and_saved_predictions_give_the_number_of_one(trained, tmp_path):
    root, out = trained
    path = lambda name: str(tmp_path / name)  # noqa: E731
    how = [
        "evaluate",
        "--checkpoint",
        out,
        "--data",
        root,
        "--scales",
        "0.5,1.0",
        "--flip",
        "--protocol",
        "tight",
    ]
    call(*how, "--json", path("one.json"), "--predictions", path("predictions"))
    for part in ("1/2", "2/2"):
        shell(*how, "--shard", part, "--out", path("shards"))
    call("score", path("shards"), "--merge", "--json", path("merged.json"))
    call("score", path("predictions"), "--data", root, "--json", path("saved.json"))
    one, merged, saved = (
        read_json(path(name)) for name in ("one.json", "merged.json", "saved.json")
    )
    assert {**merged, "seconds_an_image": 0} == {**one, "seconds_an_image": 0}
    assert saved["miou"] == one["miou"] and saved["classes"] == one["classes"]
    assert (
        one["scales"] == [0.5, 1.0]
        and one["flip"]
        and one["protocol"].startswith("tight")
        and one["list"] == "val"
    )


def test_a_photograph_larger_than_a_tile_is_labelled(trained, tmp_path):
    root, out = trained
    write_pair(root, "large", size=(300, 200))
    call(
        "predict",
        voc.image_path(root, "large"),
        "--checkpoint",
        out,
        "--out",
        str(tmp_path),
        "--tile",
        "129",
    )
    assert voc.read_mask(str(tmp_path / "large.png"))[0].shape == (300, 200)


def break_list(root):
    write_list(root, "val", ["val_000", "gone"])


def break_mask(root):
    voc.write_mask(voc.mask_path(root, "val_001"), np.full((33, 49), 100))


def break_size(root):
    voc.write_mask(voc.mask_path(root, "val_001"), np.zeros((9, 9)))


def break_photograph(root):
    with open(voc.image_path(root, "val_001"), "r+b") as file:
        file.truncate(os.path.getsize(voc.image_path(root, "val_001")) // 2)


def remove_masks(root):
    os.rename(os.path.join(root, "SegmentationClass"), os.path.join(root, "elsewhere"))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (break_list, "gone.jpg"),
        (break_mask, "val_001.png"),
        (break_size, "val_001.png"),
        (break_photograph, "val_001.jpg"),
        (remove_masks, "has no SegmentationClass"),
    ],
)
def test_audit_and_evaluation_name_the_same_bad_file(trained, tmp_path, spoil, words):
    root = make_tiny_voc(tmp_path)
    spoil(root)
    assert words in call("audit", root, "--list", "val", code=1)
    assert words in call("evaluate", "--checkpoint", trained[1], "--data", root, code=1)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    said = call(
        "evaluate", "--checkpoint", str(tmp_path), "--data", make_tiny_voc(tmp_path / "voc"), code=1
    )
    assert "holds no checkpoint" in said


def test_a_misspelt_command_is_told_which_one_is_near():
    said = call("evalute", code=2)
    assert "Error: No such command 'evalute', did you mean 'evaluate'?" in said
    assert "No such command 'xyz'." in call("xyz", code=2)


def test_settings_are_listed_whole_or_by_a_word():
    every = call("settings")
    assert all(f"\n{name} = " in "\n" + every for name in FIELDS)
    found = call("settings", "atrous")
    assert "multi_grid = (1, 1, 1)\n    factors of the last block" in found
    assert "\nseed = " not in "\n" + found
    assert "    one of poly, step, cosine, constant\n" in call("settings", "learning_rate_policy")


def test_recipes_name_the_run_that_is_none():
    assert "\npublished: " in call("recipes") and "deeplab-nb run published" in call("recipes")


def test_results_are_not_written_over_what_is_read(tmp_path):
    root = make_tiny_voc(tmp_path / "voc")
    mask, listed = voc.mask_path(root, "val_000"), voc.list_path(root, "val")
    before = digests(tmp_path)
    for path in (mask, listed):
        said = call("score", root, "--data", root, "--json", path, "--overwrite", code=1)
        assert f"{path} would be written over, and it is read" in said
        said = call(
            *("evaluate", "--checkpoint", root, "--data", root, "--json", path, "--overwrite"),
            code=1,
        )
        assert f"{path} would be written over, and it is read" in said
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    "words",
    [["audit", "x", "--num-classes", "300"], ["convert", "x", "x", "--seed", "-1", "--out", "y"]],
)
def test_numbers_that_no_class_and_no_seed_has_are_refused(words):
    assert "is not in the range" in call(*words, code=2)
