import json
import os

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate as evaluation
from deeplab_nb.evaluation.metrics import Scores
from deeplab_nb.evaluation.predict import Predictor
from tests.support.ascend_library import library, stand_in  # noqa: F401
from tests.support.tiny_checkpoint import SETTINGS, make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc, write_list, write_pair


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def predictor(checkpoint):
    """One graph for the tests that do not ask for another."""
    with Predictor(settings_module.read(SETTINGS), checkpoint) as opened:
        yield opened


@pytest.fixture
def root(tmp_path):
    return make_tiny_voc(tmp_path / "voc", val=3)


def settings(root, **values):
    return settings_module.read(dict(SETTINGS, data_root=root, **values))


@pytest.mark.parametrize("protocol", ["deeplab", "mindspore"])
def test_saved_predictions_give_the_same_numbers(root, checkpoint, predictor, tmp_path, protocol):
    folder, chosen = (
        str(tmp_path / "predictions"),
        settings(root, eval_protocol=protocol, train_crop_size=33),
    )
    result = evaluation.evaluate(
        chosen, checkpoint, predictions=folder, trimap=True, predictor=predictor
    )
    ids = voc.read_list(root, "val")
    assert sorted(os.listdir(folder)) == [image_id + ".png" for image_id in ids]
    again = evaluation.score(chosen, folder, trimap=True)
    assert np.array_equal(again.scores.confusion, result.scores.confusion)
    for name in ("miou", "classes", "trimap"):
        assert again.results[name] == result.results[name]
    assert again.image_miou == result.image_miou and set(result.image_miou) == set(ids)


def test_predictions_that_do_not_fit_are_named(root, tmp_path):
    with pytest.raises(WorkbookError, match="val_000.png does not exist"):
        evaluation.score(settings(root), str(tmp_path))
    voc.write_mask(str(tmp_path / "val_000.png"), np.zeros((9, 9)))
    with pytest.raises(WorkbookError, match="prediction .*val_000.png is 9x9, its mask 49x33"):
        evaluation.score(settings(root), str(tmp_path))
    voc.write_mask(str(tmp_path / "val_000.png"), np.full((33, 49), 255))
    with pytest.raises(
        WorkbookError, match="prediction .*val_000.png holds class 255, the settings have 0..20:"
    ):
        evaluation.score(settings(root), str(tmp_path))


@pytest.mark.parametrize(
    "protocol, says",
    [
        ("deeplab", "whole image padded to 65x65"),
        ("tight", "whole image padded to the nearest sides of 16k+1"),
        ("native", "whole image at its own size, without padding"),
    ],
)
def test_whole_images_are_scored_at_their_own_size(root, checkpoint, predictor, protocol, says):
    write_pair(root, "val_001", size=(60, 35))
    result = evaluation.evaluate(
        settings(root, eval_protocol=protocol), checkpoint, predictor=predictor
    )
    assert result.results["protocol"] == f"{protocol}: {says}"
    masks = [voc.read_mask(voc.mask_path(root, i))[0] for i in voc.read_list(root, "val")]
    assert result.scores.confusion.sum() == sum((mask != 255).sum() for mask in masks)


def test_the_mindspore_number_stands_beside_the_standard_one(root, checkpoint, predictor):
    write_pair(root, "val_001", size=(60, 35))
    counts = evaluation.count(
        settings(root, eval_protocol="mindspore", train_crop_size=65),
        checkpoint,
        predictor=predictor,
    )
    result, matrices = evaluation.summarise(counts), list(counts.confusions.values())
    batches = [matrices[0] + matrices[1], matrices[2]]
    expected = [
        np.nanmean(np.diag(b)[u > 0] / u[u > 0])
        for b in batches
        for u in [b.sum(0) + b.sum(1) - np.diag(b)]
    ]
    assert result.results["miou"] == pytest.approx(np.mean(expected))
    assert (
        result.results["standard_miou"] == Scores(sum(matrices)).mean_iou != result.results["miou"]
    )
    assert result.results["protocol"].startswith(
        "mindspore: short side scaled to 65, centre crop 65x65"
    )
    assert "2 batches of 2" in result.results["mean_over"]


def test_the_centre_crop_scales_the_short_side():
    mask = np.zeros((30, 61), np.uint8)
    mask[:, 20:41] = 7
    cut = evaluation.fit(mask, 60)
    assert cut.shape == (60, 60) and set(cut.ravel()) == {0, 7}
    assert (cut[:, 9:50] == 7).all() and cut[0, 0] == 0
    assert evaluation.fit(np.zeros((61, 30, 3), np.uint8), 60).shape == (60, 60, 3)
    assert evaluation.fit(mask, None) is mask


def test_a_part_of_a_list_is_scored_in_the_frame_of_the_whole(root, checkpoint, predictor):
    write_pair(root, "val_002", size=(60, 80))
    whole = evaluation.evaluate(settings(root), checkpoint, predictor=predictor)
    part = evaluation.evaluate(settings(root), checkpoint, ids=["val_001"], predictor=predictor)
    assert part.results["protocol"] == whole.results["protocol"] and part.results["images"] == 1
    assert part.image_miou["val_001"] == whole.image_miou["val_001"]


def test_a_predictor_takes_other_weights_and_grows_no_graph(root, checkpoint, tmp_path):
    other = make_tiny_checkpoint(tmp_path, seed=4)
    with Predictor(settings(root), checkpoint) as predictor:
        first = evaluation.evaluate(settings(root), checkpoint, predictor=predictor)
        size = len(predictor._session.graph.get_operations())
        second = evaluation.evaluate(settings(root), other, predictor=predictor)
        assert len(predictor._session.graph.get_operations()) == size
    fresh = evaluation.evaluate(settings(root), other)
    assert np.array_equal(second.scores.confusion, fresh.scores.confusion)
    assert not np.array_equal(first.scores.confusion, second.scores.confusion)


def test_fixed_shapes_give_the_same_matrix(stand_in, root, checkpoint):  # noqa: F811
    """An Ascend card needs them; here they are computed by the CPU."""
    how = dict(eval_scales=(0.5, 1.25), eval_flip=True)
    free, fixed = (
        evaluation.evaluate(settings(root, device=device, **how), checkpoint)
        for device in ("cpu", "npu")
    )
    assert abs(free.scores.confusion - fixed.scores.confusion).sum() <= 2
    assert fixed.results["scales"] == [0.5, 1.25] and fixed.results["flip"] is True


def test_kept_counts_are_gone_on_with_and_refused_under_other_conditions(
    root, checkpoint, predictor, tmp_path
):
    path, whole = (
        str(tmp_path / "counts.npz"),
        evaluation.count(settings(root), checkpoint, predictor=predictor, trimap=True),
    )
    evaluation.count(
        settings(root), checkpoint, ids=["val_001"], predictor=predictor, trimap=True, kept=path
    )
    voc.write_mask(voc.mask_path(root, "val_001"), np.zeros((33, 49)))  # is not looked at again
    again = evaluation.count(settings(root), None, predictor=predictor, trimap=True, kept=path)
    assert list(again.confusions) == list(whole.confusions)
    assert all(np.array_equal(again.confusions[i], whole.confusions[i]) for i in whole.confusions)
    assert all(np.array_equal(again.bands[width], whole.bands[width]) for width in whole.bands)
    with pytest.raises(WorkbookError, match="made under other conditions: move it away"):
        evaluation.count(
            settings(root, eval_protocol="tight"), None, predictor=predictor, trimap=True, kept=path
        )


def test_results_carry_their_conditions(root, checkpoint):
    results = evaluation.evaluate(settings(root, eval_output_stride=8), checkpoint).results
    assert (
        results["images"] == 3 and results["whole_list"] is False and results["output_stride"] == 8
    )
    assert results["protocol"] == "deeplab: whole image padded to 49x49"
    assert json.loads(json.dumps(results))["checkpoint"] == "model.ckpt"


def test_a_photograph_of_any_size_keeps_its_size(predictor):
    for height, width in ((40, 71), (90, 33)):
        labels = predictor.labels(np.full((height, width, 3), 90, np.uint8))
        assert labels.shape == (height, width) and labels.dtype == np.uint8


def test_a_frame_smaller_than_the_photograph_is_refused(predictor):
    with pytest.raises(
        WorkbookError, match="50x40 does not fit a frame of 33: use a frame of at least 65"
    ):
        predictor.labels(np.zeros((40, 50, 3), np.uint8), frame=33)


def test_sizes_that_differ_are_named(root, checkpoint):
    write_pair(root, "val_001", size=(33, 49))
    voc.write_mask(voc.mask_path(root, "val_001"), np.zeros((30, 49)))
    with pytest.raises(WorkbookError, match="val_001.png is 49x30, its photograph 49x33"):
        evaluation.evaluate(settings(root), checkpoint)


def test_a_mask_value_outside_the_classes_is_named(root, checkpoint):
    voc.write_mask(voc.mask_path(root, "val_002"), np.full((33, 49), 77))
    with pytest.raises(
        WorkbookError, match="val_002.png holds class 77, the settings have 0..20 and 255"
    ):
        evaluation.evaluate(settings(root), checkpoint)


@pytest.mark.slow
def test_real_weights_on_real_photographs(shared):
    """150 photographs, a subset of VOC 2012 val; the original library gives 0.71352 on them."""
    values = {
        "depth_multiplier": 0.5,
        "data_root": os.path.join(shared, "data", "VOCdevkit", "VOC2012"),
    }
    weights = os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc")
    results = evaluation.evaluate(settings_module.read(values), weights).results
    assert results["miou"] == pytest.approx(0.7135, abs=0.0005)
    assert results["images"] == 150 and results["whole_list"] is False


def test_a_larger_photograph_leaves_the_frame_of_the_others(root, checkpoint, predictor):
    before = evaluation.evaluate(settings(root), checkpoint, predictor=predictor)
    write_pair(root, "large", size=(20, 530))
    write_list(root, "val", [*before.image_miou, "large"])
    after = evaluation.evaluate(settings(root), checkpoint, predictor=predictor)
    assert after.results["protocol"] == before.results["protocol"] + (
        ", 1 larger of the list each to a square of its own"
    )
    assert {**after.image_miou, **before.image_miou} == after.image_miou
    assert evaluation.common_side([900, 500, 1500]) == 500
    assert evaluation.common_side([900, 1500]) == 1500


def test_predictions_never_replace_the_data_and_others_files_only_when_asked(
    root, checkpoint, predictor, tmp_path
):
    how, folder = dict(predictor=predictor), str(tmp_path / "kept")
    masks = os.path.dirname(voc.mask_path(root, ""))
    with pytest.raises(WorkbookError, match="val_000.png would be written over"):
        evaluation.count(settings(root), None, predictions=masks, overwrite=True, **how)
    evaluation.count(settings(root), checkpoint, ids=["val_000"], predictions=folder, **how)
    voc.write_mask(os.path.join(folder, "val_001.png"), np.zeros((9, 9)))
    with pytest.raises(WorkbookError, match="val_001.png exists .*--overwrite"):
        evaluation.count(settings(root), None, predictions=folder, **how)
    evaluation.count(settings(root), None, predictions=folder, overwrite=True, **how)
    assert voc.read_mask(os.path.join(folder, "val_001.png"))[0].shape == (33, 49)


def test_predictions_of_ids_with_a_folder_lie_in_that_folder(root, predictor, tmp_path):
    for path in (voc.image_path(root, "s1/a"), voc.mask_path(root, "s1/a")):
        os.makedirs(os.path.dirname(path))
    write_pair(root, "s1/a")
    write_list(root, "val", ["s1/a"])
    folder = str(tmp_path / "kept")
    result = evaluation.evaluate(settings(root), None, predictions=folder, predictor=predictor)
    assert voc.read_mask(os.path.join(folder, "s1", "a.png"))[0].shape == (33, 49)
    assert evaluation.score(settings(root), folder).image_miou == result.image_miou
