import json
import os

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate as evaluation
from deeplab_nb.evaluation.metrics import confusion_matrix
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.network import deeplab
from deeplab_nb.tf1 import tf
from tests.tiny_voc import make_tiny_voc, write_pair

SETTINGS = {"depth_multiplier": 0.25}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Random weights whose class layer favours a few classes, so that predictions differ from place to place."""
    folder = str(tmp_path_factory.mktemp("weights"))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        deeplab.build_logits(tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings_module.read(SETTINGS))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"))


@pytest.fixture
def root(tmp_path):
    return make_tiny_voc(tmp_path / "voc", val=3)


def settings(root, **values):
    return settings_module.read(dict(SETTINGS, data_root=root, **values))


def test_saved_predictions_give_the_same_matrix(root, checkpoint, tmp_path):
    folder = str(tmp_path / "predictions")
    result = evaluation.evaluate(settings(root), checkpoint, predictions=folder)
    ids = voc.read_list(root, "val")
    assert sorted(os.listdir(folder)) == [image_id + ".png" for image_id in ids]
    again = sum(confusion_matrix(voc.read_mask(voc.mask_path(root, i))[0], voc.read_mask(os.path.join(folder, i + ".png"))[0],
                                 num_classes=21, ignore_label=255) for i in ids)
    assert np.array_equal(again, result.scores.confusion)
    assert set(result.image_miou) == set(ids)


def test_results_carry_their_conditions(root, checkpoint):
    results = evaluation.evaluate(settings(root, eval_output_stride=8), checkpoint).results
    assert results["images"] == 3 and results["whole_list"] is False and results["output_stride"] == 8
    assert results["protocol"] == "deeplab: whole image padded to 49x49"
    assert json.loads(json.dumps(results))["checkpoint"] == "model.ckpt"


def test_a_photograph_of_any_size_keeps_its_size(checkpoint):
    with Predictor(settings_module.read(SETTINGS), checkpoint) as predictor:
        for height, width in ((40, 71), (90, 33)):
            labels = predictor.labels(np.full((height, width, 3), 90, np.uint8))
            assert labels.shape == (height, width) and labels.dtype == np.uint8


def test_a_frame_smaller_than_the_photograph_is_refused(checkpoint):
    with Predictor(settings_module.read(SETTINGS), checkpoint) as predictor:
        with pytest.raises(WorkbookError, match="50x40 does not fit a frame of 33: use a frame of at least 65"):
            predictor.labels(np.zeros((40, 50, 3), np.uint8), frame=33)


def test_sizes_that_differ_are_named(root, checkpoint):
    write_pair(root, "val_001", size=(33, 49))
    voc.write_mask(voc.mask_path(root, "val_001"), np.zeros((30, 49)))
    with pytest.raises(WorkbookError, match="val_001.png is 49x30, its photograph 49x33"):
        evaluation.evaluate(settings(root), checkpoint)


def test_a_mask_value_outside_the_classes_is_named(root, checkpoint):
    voc.write_mask(voc.mask_path(root, "val_002"), np.full((33, 49), 77))
    with pytest.raises(WorkbookError, match="val_002.png holds class 77, the settings have 0..20 and 255"):
        evaluation.evaluate(settings(root), checkpoint)


@pytest.mark.slow
def test_real_weights_on_real_photographs(shared):
    """150 photographs, a subset of VOC 2012 val; the original library gives 0.71352 on them."""
    values = {"depth_multiplier": 0.5, "data_root": os.path.join(shared, "data", "VOCdevkit", "VOC2012")}
    weights = os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc")
    results = evaluation.evaluate(settings_module.read(values), weights).results
    assert results["miou"] == pytest.approx(0.7135, abs=0.0005)
    assert results["images"] == 150 and results["whole_list"] is False
