"""Exported networks: what the files hold, that they label alike, that nothing else is left."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate as evaluation, export, om
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.evaluation.predict import Predictor
from tests.support.tiny_checkpoint import SMALLEST, noise, save_random
from tests.support.tiny_voc import make_tiny_voc

TENSORS = {
    "ImageTensor": "uint8",
    "SemanticPredictions": "int32",
    "SemanticProbabilities": "float32",
}
FROZEN = ["frozen_inference_graph.pb", "frozen_inference_graph_65x65.pb"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_random(tmp_path_factory.mktemp("weights"), seed=3, settings=SMALLEST)


@pytest.fixture(scope="module")
def predictor(checkpoint):
    with Predictor(SMALLEST, checkpoint) as opened:
        yield opened


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    """`(folder, what export returned)`, of all forms."""
    out = str(tmp_path_factory.mktemp("out") / "export")
    return out, export.export(
        SMALLEST, checkpoint, out, images=[noise(40, 57), noise(80, 33)], size=65
    )


def test_every_form_is_there_and_labels_as_the_checkpoint(exported):
    out, description = exported
    assert [row["file"] for row in description["forms"]] == FROZEN + ["saved_model", "model.onnx"]
    assert sorted(os.listdir(out)) == sorted(
        FROZEN + ["saved_model", "model.onnx", "README.md", "export.json"]
    )
    assert [row["equal_pixels"] for row in description["forms"][:3]] == [1.0] * 3 and description[
        "forms"
    ][3]["equal_pixels"] > 0.999
    with open(os.path.join(out, "export.json")) as file:
        assert json.load(file) == description
    assert description["checkpoint"] == "model.ckpt" and description["output_stride"] == 8


@pytest.mark.parametrize("name", FROZEN + ["saved_model", "model.onnx"])
def test_tensors_have_the_original_names_and_types(exported, predictor, name):
    form = export.open_form(os.path.join(exported[0], name))
    assert {tensor: text.split()[0] for tensor, text in form.tensors.items()} == TENSORS
    fixed = "65x65" in name
    assert form.tensors["ImageTensor"] == (
        "uint8 [1, 65, 65, 3]" if fixed else "uint8 [1, ?, ?, 3]"
    )
    image = noise(65, 65) if fixed else noise(70, 50)
    assert (form.run(image) == predictor.labels(image)).mean() >= (
        0.999 if name.endswith("onnx") else 1
    )


def test_the_fixed_form_computes_no_shapes(exported):
    with open(os.path.join(exported[0], FROZEN[1]), "rb") as file:
        kinds = {node.op for node in export.tf.GraphDef.FromString(file.read()).node}
    assert not kinds & {"Shape", "StridedSlice", "Pack", "VariableV2", "Rsqrt"}


def test_notes_carry_the_compilers_command(exported):
    with open(os.path.join(exported[0], "README.md")) as file:
        notes = file.read()
    assert "Not run on hardware" in notes and f"--model={FROZEN[1]} " in notes
    assert '--input_shape="ImageTensor:1,65,65,3"' in notes and "--soc_version=Ascend310 " in notes
    assert "Ascend-cann-910b-ops" in notes  # what atc needs besides since CANN 8.5


def test_pictures_for_a_device_and_its_labels_are_rehearsed_with_tensorflow(
    exported, predictor, tmp_path
):
    root, bins, results = (
        make_tiny_voc(tmp_path / "voc", val=3, num_classes=5),
        str(tmp_path / "bins"),
        str(tmp_path / "results"),
    )
    assert om.preprocess_bins(root, bins, size=65) == 3
    export.rehearse_bins(os.path.join(exported[0], FROZEN[1]), bins, results)
    scores = om.score_bins(root, results, size=65, num_classes=5)
    confusion = 0
    for image_id in voc.read_list(root, "val"):
        image, truth = evaluation.read_pair(root, image_id, SMALLEST)
        truth = np.asarray(Image.fromarray(truth).resize((65, 65), Image.NEAREST))
        confusion += confusion_matrix(
            truth, predictor.labels(om.stretched(image, 65)), num_classes=5, ignore_label=255
        )
    assert (
        np.array_equal(scores.confusion, confusion)
        and scores.mean_iou == Scores(confusion).mean_iou
    )


def test_a_form_that_labels_otherwise_is_refused_and_nothing_is_left(
    exported, checkpoint, tmp_path, monkeypatch
):
    """The checkpoint changes between writing and comparing; the earlier export stays."""
    changing, out = os.path.dirname(checkpoint) + "_changing", str(tmp_path / "out")
    shutil.copytree(os.path.dirname(checkpoint), changing)
    write = export._WRITERS["saved_model"]

    def write_and_change(*arguments):
        names = write(*arguments)
        save_random(changing, seed=5, settings=SMALLEST)
        return names

    monkeypatch.setitem(export._WRITERS, "saved_model", write_and_change)
    shutil.copytree(exported[0], out)
    before = sorted(os.listdir(out))
    with pytest.raises(WorkbookError, match="saved_model labels .* otherwise than checkpoint"):
        export.export(
            SMALLEST, changing, out, images=[noise(40, 57)], formats=("saved_model",), size=65
        )
    assert os.listdir(str(tmp_path)) == ["out"] and sorted(os.listdir(out)) == before


def test_ties_are_forgiven_and_nothing_else():
    probabilities = np.array([[[0.4, 0.3999, 0.2001], [0.6, 0.3, 0.1]]], np.float32)
    wanted = np.array([[0, 0]])
    assert export._ties(np.array([[1, 0]]), wanted, probabilities) == 1
    assert export._ties(np.array([[2, 1]]), wanted, probabilities) == 0


def test_a_complete_export_replaces_an_earlier_one(exported, checkpoint, tmp_path):
    out = shutil.copytree(exported[0], str(tmp_path / "out"))
    export.export(
        SMALLEST, checkpoint, out, images=[noise(40, 57)], formats=("saved_model",), size=65
    )
    assert sorted(os.listdir(out)) == ["export.json", "saved_model"] and os.listdir(
        str(tmp_path)
    ) == ["out"]


def test_a_folder_of_something_else_is_not_touched(checkpoint, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(WorkbookError, match="holds something that is no export"):
        export.export(SMALLEST, checkpoint, str(tmp_path), images=[])
    assert os.listdir(str(tmp_path)) == ["letter.txt"]


def test_sizes_off_the_feature_grid_are_refused(checkpoint, tmp_path):
    with pytest.raises(WorkbookError, match="size 500 must be 16k.1 and at least 33, such as 513"):
        export.export(SMALLEST, checkpoint, str(tmp_path / "out"), images=[], size=500)


def test_a_file_that_is_no_export_is_named(tmp_path):
    (tmp_path / "x.pb").write_bytes(b"nothing of the kind")
    with pytest.raises(WorkbookError, match="x.pb is not an exported network"):
        export.open_form(str(tmp_path / "x.pb"))


@pytest.mark.slow
def test_real_weights_on_real_photographs(shared, tmp_path):
    root = os.path.join(shared, "data", "VOCdevkit", "VOC2012")
    images = [
        voc.read_image(voc.image_path(root, image_id))
        for image_id in voc.read_list(root, "val")[:1]
    ]
    weights = os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc")
    settings = settings_module.read({"depth_multiplier": 0.5})
    description = export.export(settings, weights, str(tmp_path / "out"), images=images)
    assert [row["equal_pixels"] for row in description["forms"][:3]] == [1.0] * 3
    assert description["forms"][3]["equal_pixels"] > 0.99999


def test_an_earlier_export_with_a_file_of_somebody_is_not_touched(exported, checkpoint, tmp_path):
    out = shutil.copytree(exported[0], str(tmp_path / "out"))
    (tmp_path / "out" / "letter.txt").write_text("dear")
    with pytest.raises(WorkbookError, match="letter.txt: .*holds something that is no export"):
        export.export(SMALLEST, checkpoint, out, images=[], size=65)
    assert (tmp_path / "out" / "letter.txt").read_text() == "dear"
