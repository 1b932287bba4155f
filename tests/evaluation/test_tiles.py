"""Photographs larger than a tile: the tiles cover them, and the seams do not show."""

import os

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation import tiles
from deeplab_nb.evaluation.predict import Predictor


@pytest.mark.parametrize("length", [1, 100, 101, 175, 176, 177, 1000])
def test_tiles_cover_a_side_and_overlap(length):
    starts = tiles.starts(length, 100)
    assert starts[0] == 0 and starts[-1] == max(0, length - 100)
    assert all(0 < b - a <= 75 for a, b in zip(starts, starts[1:]))


def test_weights_fall_to_the_edges_alike():
    weights = tiles.weights(100, 100)
    assert (
        weights.max() == 1
        and weights[0] == pytest.approx(1 / 25)
        and np.array_equal(weights, weights[::-1])
    )


class Stripes:
    """Stands for a predictor: the class of a pixel is its own grey value, whatever is around it."""

    settings = settings_module.read({"num_classes": 4})

    def probabilities(self, image, frame):
        assert max(image.shape[:2]) <= frame
        return np.eye(4, dtype=np.float32)[image[..., 0]]

    def labels(self, image):
        return image[..., 0]


@pytest.mark.parametrize("size", [(300, 210), (90, 400), (129, 129), (130, 129)])
def test_every_pixel_is_written_from_its_own_place(size):
    ids = np.random.RandomState(0).randint(0, 4, size).astype(np.uint8)
    assert np.array_equal(
        tiles.tiled_labels(Stripes(), np.repeat(ids[..., None], 3, axis=2), 129), ids
    )


@pytest.mark.slow
def test_the_seams_of_an_enlarged_photograph_do_not_show(shared):
    """Near the seams tiles and whole image differ no more than elsewhere, in few pixels."""
    root = os.path.join(shared, "data", "VOCdevkit", "VOC2012")
    image = Image.fromarray(voc.read_image(voc.image_path(root, "2007_000346")))
    image = np.asarray(image.resize((1000, int(1000 * image.height / image.width)), Image.BILINEAR))
    weights = os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc")
    with Predictor(settings_module.read({"depth_multiplier": 0.5}), weights) as predictor:
        whole, tiled = predictor.labels(image), tiles.tiled_labels(predictor, image, 513)
    seams = np.zeros(whole.shape, bool)
    for start in tiles.starts(image.shape[1], 513)[1:]:
        seams[:, start : start + 128] = True
    for start in tiles.starts(image.shape[0], 513)[1:]:
        seams[start : start + 128] = True
    assert len(set(whole.ravel())) > 1
    assert (whole != tiled)[seams].mean() < 0.05


class Brightness(Stripes):
    """Class 1 where a pixel is bright, by how much; it keeps the sizes that it was shown."""

    def __init__(self):
        self.seen = []

    def probabilities(self, image, frame=None):
        self.seen.append(image.shape[:2])
        bright = image[..., 0] / np.float32(255)
        return np.stack([1 - bright, bright], axis=2)

    def labels(self, image):
        return self.probabilities(image).argmax(axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    "size, seen", [((1000, 400), (500, 200)), ((300, 400), (300, 400)), ((2000, 2), (500, 1))]
)
def test_a_large_photograph_is_seen_small_and_its_mask_enlarged(size, seen):
    image = np.zeros(size + (3,), np.uint8)
    image[: size[0] // 2] = 255
    network = Brightness()
    labels = tiles.known_labels(network, image, 500, 1025)
    assert network.seen == [seen] and labels.shape == size and labels.dtype == np.uint8
    assert (labels != image[..., 0] // 255).mean() <= 0.01


@pytest.mark.slow
def test_a_dog_stays_a_dog_when_its_photograph_is_enlarged(shared):
    root = os.path.join(shared, "data", "VOCdevkit", "VOC2012")
    image = Image.fromarray(voc.read_image(voc.image_path(root, "2007_000063")))
    mask = Image.fromarray(voc.read_mask(voc.mask_path(root, "2007_000063"))[0])
    weights = os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc")
    with Predictor(settings_module.read({"depth_multiplier": 0.5}), weights) as predictor:
        for side in (500, 1000, 3000):
            size = side, side * image.height // image.width
            large, truth = image.resize(size, Image.BICUBIC), mask.resize(size, Image.NEAREST)
            labels = tiles.known_labels(predictor, np.asarray(large), 513, 1025)
            truth = np.asarray(truth)
            dog, found = truth == 12, (labels == 12) & (truth != 255)
            assert (dog & found).sum() / (dog | found).sum() > 0.9
