"""Several scales and the flipped image, against the original library's figures and rules."""

import os

import numpy as np
import pytest

from deeplab_nb.evaluation.predict import Predictor, padded, scaled_sizes
from deeplab_nb.settings import SIX_SCALES
from deeplab_nb.tf1 import tf
from tests.support import golden
from tests.support.ascend_library import library, stand_in  # noqa: F401


class GoldenPredictor(Predictor):
    """With the weights that the stored figures were taken with."""

    def load(self, _):
        with self._session.graph.as_default():
            golden.load_weights(
                self._session, tf.global_variables(), golden.figures("mobilenet_v2")["gain"]
            )


def settings(**values):
    return golden.settings("mobilenet_v2", **values)


@pytest.mark.parametrize("device", ["cpu", "npu"])
def test_six_scales_and_flip_are_the_originals(shared, stand_in, device):  # noqa: F811
    figures = np.load(os.path.join(shared, "golden", "multi_scale.npz"))
    image = golden.image(1, 129, 129)[0]
    with GoldenPredictor(
        settings(eval_scales=SIX_SCALES, eval_flip=True, device=device), None
    ) as predictor:
        found = predictor.probabilities(image)
    assert abs(found - figures["mobilenet_v2/mean_softmax"][0]).max() < 1e-4
    assert np.array_equal(found.argmax(axis=2), figures["mobilenet_v2/argmax"][0])


@pytest.fixture(scope="module")
def predictor():
    with GoldenPredictor(settings(eval_scales=(0.5, 1.0), eval_flip=True), None) as opened:
        yield opened


def test_probabilities_and_labels_agree_for_one_image_and_a_batch(predictor):
    images = golden.image(2, 40, 57).astype(np.uint8)
    maps, labels = predictor.probabilities(images), predictor.labels(images)
    alone = predictor.labels(images[1])
    assert maps.shape == (2, 40, 57, 21) and maps.sum(axis=3) == pytest.approx(1, abs=1e-5)
    assert labels.dtype == np.uint8 and np.array_equal(labels, maps.argmax(axis=3))
    assert alone.shape == (40, 57) and (alone != labels[1]).mean() < 0.001


def test_the_mean_with_the_flipped_image_is_the_same_for_both(predictor):
    image = golden.image(1, 65, 65)[0]
    maps, flipped = predictor.probabilities(image), predictor.probabilities(image[:, ::-1])
    assert maps == pytest.approx(flipped[:, ::-1], abs=1e-4)


def test_output_stride_8_doubles_the_grid():
    at = lambda **values: scaled_sizes((513, 385), 0.75, settings(**values))  # noqa: E731
    assert at() == ((385, 289), (33, 25))
    assert at(eval_output_stride=8) == ((385, 289), (65, 49))
    assert at(decoder=True, aspp=True) == ((385, 289), (129, 97))
    assert scaled_sizes((513, 385), 1.75, settings()) == ((897, 673), (57, 43))


def test_the_mindspore_entry_rounds_its_sizes_up():
    sides = [
        scaled_sizes((513, 513), scale, settings(eval_protocol="mindspore"))[0][0]
        for scale in SIX_SCALES
    ]
    assert sides == [257, 385, 513, 642, 770, 898]


@pytest.mark.parametrize("size", [(1, 40), (40, 1), (1, 1), (12, 20), (71, 40)])
def test_any_size_can_be_labelled_in_its_own_frame_and_in_a_padded_one(predictor, size):
    image = golden.image(1, *size)[0].astype(np.uint8)
    for frame in (None, size):
        maps = predictor.probabilities(image, frame)
        assert maps.shape == size + (21,) and maps.sum(axis=2) == pytest.approx(1, abs=1e-5)


def test_a_frame_need_not_be_square():
    image = np.zeros((40, 57, 3), np.uint8)
    grey = padded(image, (49, 65))
    assert (
        grey.shape == (1, 49, 65, 3)
        and (grey[0, :40, :57] == 0).all()
        and (grey[0, 40:] == 127.5).all()
    )
