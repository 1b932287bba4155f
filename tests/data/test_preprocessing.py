"""Scaling, padding and cropping against the original library's arrays, and NumPy by hand."""

import json
import os

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import pipeline
from deeplab_nb.tf1 import tf
from tests.support import golden

# sets of the original's arrays; the offsets of the crops stand in its file
TRAINING = [
    (f"train257_scale{scale:.2f}_flip{flip}", scale, flip)
    for scale, flip in ((0.5, 0), (0.75, 0), (1, 0), (1.25, 0), (1.25, 1), (2, 0))
]
# the keys of resnet_v1_101 and of no network pad with ImageNet's mean colour, which no network
# here asks for
EVALUATION = [
    ("eval513_xception_65", 513, ()),
    ("eval513_resnet_v1_101_beta", 513, ()),
    ("eval_resize_min200_max321_f16", 321, (200, 321, 16)),
    ("eval_resize_min321_max321_f16", 321, (321, 321, 16)),
]


@pytest.fixture(scope="module")
def original(shared):
    """`(arrays, facts)` of the original's preprocessing: 4.7 MB, kept outside the repository."""
    path = os.path.join(shared, "golden", "preprocess")
    if not os.path.exists(path + ".npz"):
        pytest.skip("golden/preprocess.npz is absent from 'shared': it holds the original's arrays")
    with open(path + ".json") as file:
        return np.load(path + ".npz"), json.load(file)


def cut(image, label, *, crop, scale=1, offset=(0, 0), flipped=False, resize=()):
    """The pipeline's own functions with given draws."""
    settings = settings_module.read(
        dict(
            zip(("min_resize_value", "max_resize_value", "resize_factor"), resize),
            train_crop_size=crop,
        )
    )
    with tf.Graph().as_default(), tf.Session() as session:
        image, label = tf.constant(image), tf.constant(label)
        if resize:
            image, label = pipeline.resize_to_range(image, label, settings)
        size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scale, tf.int32)
        return session.run(
            pipeline.crop_both(
                image,
                label,
                size=size,
                offset=tf.constant(offset),
                flipped=tf.constant(bool(flipped)),
                settings=settings,
            )
        )


def rounded_by_padding(image):
    """The original pads with 0 between taking the grey away and adding it: that costs a last "
    "bit."""
    return (image - np.float32(127.5)) + np.float32(127.5)


@pytest.mark.parametrize("name, scale, flip", TRAINING)
def test_training_crops_equal_the_originals(original, name, scale, flip):
    arrays, facts = original
    image, label = cut(
        arrays["in_image"],
        arrays["in_label"][..., 0],
        crop=257,
        scale=scale,
        offset=facts[name]["crop_offset"],
        flipped=flip,
    )
    assert np.array_equal(rounded_by_padding(image), arrays[name + "/image"])
    assert np.array_equal(label, arrays[name + "/label"][..., 0])


@pytest.mark.parametrize("name, crop, resize", EVALUATION)
def test_resized_and_padded_frames_equal_the_originals(original, name, crop, resize):
    arrays, _ = original
    image, label = cut(arrays["in_image"], arrays["in_label"][..., 0], crop=crop, resize=resize)
    assert np.array_equal(rounded_by_padding(image), arrays[name + "/image"])
    assert np.array_equal(label, arrays[name + "/label"][..., 0])


@pytest.mark.parametrize(
    "scale, offset, flipped",
    [(0.5, (0, 0), False), (1, (0, 0), True), (1.25, (0, 5), False), (2, (13, 30), True)],
)
def test_crops_equal_numpy_by_hand(scale, offset, flipped):
    image, label = (
        golden.image(1, 25, 37)[0].astype(np.uint8),
        golden.label(1, 25, 37)[0].astype(np.uint8),
    )
    made, made_label = cut(image, label, crop=33, scale=scale, offset=offset, flipped=flipped)
    size = [int(side * scale) for side in (25, 37)]
    wanted, wanted_label = np.full((99, 99, 3), 127.5), np.full((99, 99), 255)
    wanted[: size[0], : size[1]] = bilinear(image.astype(float), size)
    wanted_label[: size[0], : size[1]] = nearest(label, size)
    kept = tuple(slice(first, first + 33) for first in offset)
    turn = slice(None, None, -1 if flipped else 1)
    assert np.allclose(made, wanted[kept][:, turn], atol=1e-3)
    assert np.array_equal(made_label, wanted_label[kept][:, turn])


def positions(length, scaled):
    """Where the pixels of the scaled side lie on the old one: first on first, last on last."""
    return np.arange(scaled) * ((length - 1) / (scaled - 1))


def bilinear(image, size):
    for axis in range(2):
        at = positions(image.shape[axis], size[axis])
        low = np.minimum(at.astype(int), image.shape[axis] - 2)
        share = (at - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        image = np.take(image, low, axis) * (1 - share) + np.take(image, low + 1, axis) * share
    return image


def nearest(label, size):
    rows, columns = (
        np.floor(positions(length, scaled) + 0.5).astype(int)
        for length, scaled in zip(label.shape, size)
    )
    return label[rows][:, columns]
