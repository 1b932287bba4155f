"""What a network is travels with its weights: what variables tell, and what settings beside do."""

import os

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.network import deeplab, described
from deeplab_nb.settings import Settings, override
from deeplab_nb.tf1 import tf
from tests.support.command import call

PHOTOGRAPH = np.random.RandomState(0).randint(0, 256, (97, 97, 3)).astype("uint8")


def shapes_of(monkeypatch, **values):
    """Stands for a checkpoint of a network of these settings, whose variables alone are counted."""
    variables = deeplab.cost(override(Settings(), values)).variables
    found = {declared.name: list(declared.shape) for declared in variables}
    monkeypatch.setattr(described, "read_shapes", lambda prefix: found)


@pytest.mark.parametrize("width", [0.1, 0.35, 0.49, 0.5, 0.77, 1.0, 1.4, 1.99])
def test_a_width_of_two_decimals_is_read_back(monkeypatch, width):
    shapes_of(monkeypatch, depth_multiplier=width)
    assert described.describe("x")["depth_multiplier"] == width


def test_every_width_of_two_decimals_is_read_back():
    """As `describe` does it, by the last layer alone."""
    for hundredths in range(10, 200):
        width = hundredths / 100
        last = described.depth(320, width)
        assert described.depth(320, round(last / 320, 2)) == last
        assert round(last / 320, 2) == width


@pytest.mark.parametrize("aspp", [False, True])
@pytest.mark.parametrize("separable", [False, True])
def test_a_decoders_convolutions_are_told_apart(monkeypatch, aspp, separable):
    values = {"aspp": aspp, "decoder": True, "separable_head": separable}
    shapes_of(monkeypatch, **values)
    assert values.items() <= described.describe("x").items()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run's train folder: an untrained ResNet-50 of multi-grid 1,2,4 with its settings beside."""
    folder = str(tmp_path_factory.mktemp("run") / "train")
    values = {"backbone": "resnet_v1_50_beta", "multi_grid": "1,2,4", "num_classes": 3}
    settings = override(Settings(), values)
    settings_module.save(settings, folder)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        logits = deeplab.build_logits(tf.constant(PHOTOGRAPH[None], tf.float32), settings=settings)
        session.run(tf.global_variables_initializer())
        weights, biases = tf.global_variables("logits/")
        session.run(weights.assign(tf.random_normal(weights.shape)))
        # no class prevails: every place of the map has one of its own
        session.run(biases.assign_sub(session.run(logits).mean((0, 1, 2))))
        for place in (folder, os.path.join(folder, "best"), folder + "_alone"):
            os.makedirs(place, exist_ok=True)
            tf.train.Saver().save(session, os.path.join(place, "model.ckpt-1"))
    return folder


def test_multi_grid_is_that_of_the_training(trained):
    for folder in (trained, os.path.join(trained, "best")):
        assert described.describe(folder + "/model.ckpt-1")["multi_grid"] == (1, 2, 4)
    assert "multi_grid" not in described.describe(trained + "_alone/model.ckpt-1")


def test_settings_of_another_network_beside_it_do_not_count(trained, tmp_path):
    for name in os.listdir(trained + "_alone"):
        os.link(os.path.join(trained + "_alone", name), str(tmp_path / name))
    settings_module.save(override(Settings(), {"multi_grid": "1,2,4"}), str(tmp_path))
    assert "multi_grid" not in described.describe(str(tmp_path / "model.ckpt-1"))


def test_predict_labels_with_the_rates_of_the_training(trained, tmp_path):
    wanted = {}
    for grid in ("1,1,1", "1,2,4"):
        network = {"backbone": "resnet_v1_50_beta", "num_classes": 3, "multi_grid": grid}
        with Predictor(override(Settings(), network), trained) as predictor:
            wanted[grid] = predictor.labels(PHOTOGRAPH)
    assert (wanted["1,1,1"] != wanted["1,2,4"]).mean() > 0.01  # rates matter, untrained too
    path = str(tmp_path / "photograph.png")
    Image.fromarray(PHOTOGRAPH).save(path)

    def labelled(checkpoint, *words):
        out = str(tmp_path / f"out{len(os.listdir(str(tmp_path)))}")
        words = ("predict", path, "--checkpoint", checkpoint, "--out", out) + words
        said = call(*words, "--engine", "tensorflow", "--longest-side", "97")
        (mask,) = [n for n in os.listdir(out) if n.endswith(".png") and "overlay" not in n]
        return voc.read_mask(os.path.join(out, mask))[0], said

    found, said = labelled(trained)
    assert np.array_equal(found, wanted["1,2,4"]) and "multi_grid" not in said
    found, said = labelled(trained + "_alone")
    assert np.array_equal(found, wanted["1,1,1"])
    assert (
        "multi_grid is taken as 1,1,1; give what it was trained with by --set multi_grid=" in said
    )
    found, said = labelled(trained + "_alone", "--set", "multi_grid=1,2,4")
    assert np.array_equal(found, wanted["1,2,4"]) and "is taken" not in said
