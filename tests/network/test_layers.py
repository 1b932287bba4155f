"""The layers by themselves: dilation, padding, batch norm, initial values."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.network.layers import BatchNorm, Dilation, Layers, truncated_normal, xavier
from deeplab_nb.network.variables import Constant
from deeplab_nb.tf1 import tf
from tests.support.network_parts import build

PLAIN = BatchNorm(decay=0.9, epsilon=0.0)  # with fresh statistics it changes nothing


def ones(shape):
    return Constant(1.0)


def depthwise_of_ones(**options):
    return lambda layers, x: layers.depthwise(x, "d", initializer=ones, batch_norm=PLAIN, **options)


def run(part, x):
    with tf.Graph().as_default(), tf.Session() as session:
        y = build(part, tf.constant(x))
        session.run(tf.global_variables_initializer())
        return session.run(y)


def window_sums(x, rate):
    """Each 3x3 window's sum at a rate, zeros outside, by nine shifted additions."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (rate, rate), (rate, rate), (0, 0)))
    return sum(
        padded[:, i : i + height, j : j + width]
        for i in (0, rate, 2 * rate)
        for j in (0, rate, 2 * rate)
    )


@pytest.mark.parametrize("rate", [1, 2, 3, 6])
def test_a_depthwise_convolution_is_really_dilated(rate):
    x = np.random.RandomState(3).standard_normal((1, 13, 11, 2)).astype(np.float32)
    assert np.allclose(run(depthwise_of_ones(rate=rate), x), window_sums(x, rate), atol=1e-5)


def test_tensorflow_itself_cannot_train_a_dilated_depthwise_convolution_on_a_cpu():
    """The trap that the layer avoids; should TensorFlow ever honour it, the detour can go.

    1.15 ignores `dilations` altogether; 2.21 with oneDNN heeds them, but not in the gradient.
    """
    x = np.random.RandomState(3).standard_normal((1, 13, 11, 2)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session, tf.device("/cpu:0"):
        image, ones = tf.constant(x), np.ones((3, 3, 2, 1), np.float32)
        bare = tf.nn.depthwise_conv2d_native(
            image, ones, strides=[1, 1, 1, 1], padding="SAME", dilations=[1, 2, 2, 1]
        )
        slope = session.run(tf.gradients(bare, image, x)[0])
    # ones are their own transpose: the gradient of x is x, spread as it was convolved
    assert np.allclose(slope, window_sums(x, 1), atol=1e-5)
    assert not np.allclose(slope, window_sums(x, 2), atol=1e-1)


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_a_full_convolution_is_dilated_and_can_be_trained(rate):
    """TensorFlow 1.15 has no gradient of a dilated kernel on a CPU; the layer's must be right."""
    x = np.random.RandomState(4).standard_normal((1, 9, 9, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        y = build(
            lambda layers, x: layers.convolution(
                x, "c", 1, kernel=3, rate=rate, initializer=ones, batch_norm=PLAIN
            ),
            tf.constant(x),
        )
        session.run(tf.global_variables_initializer())
        kernel = next(v for v in tf.trainable_variables() if v.op.name == "c/weights")
        y, slope = session.run([y, tf.gradients(y[:, 4, 4], kernel)[0]])
    assert np.allclose(y, window_sums(x, rate).sum(axis=3, keepdims=True), atol=1e-4)
    taps = x[0, 4 - rate : 5 + rate : rate, 4 - rate : 5 + rate : rate]
    assert np.allclose(slope[..., 0], taps, atol=1e-6)


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("known", [True, False])
def test_symmetric_padding_is_alike_before_and_after(side, known):
    x = np.random.RandomState(5).standard_normal((1, side, side, 2)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.placeholder(tf.float32, [1, side if known else None, side if known else None, 2])
        y = (
            build(depthwise_of_ones(stride=2, symmetric=True), image)
            if known
            else unknown_size(image, x)
        )
        session.run(tf.global_variables_initializer())
        found = session.run(y, {image: x})
    assert np.allclose(found, window_sums(x, 1)[:, ::2, ::2], atol=1e-5)


def unknown_size(image, x):
    """The same layer without its image's size; its variables are made in a graph that knows it."""
    build(depthwise_of_ones(stride=2, symmetric=True), tf.constant(x))
    return depthwise_of_ones(stride=2, symmetric=True)(
        Layers({v.op.name: v for v in tf.global_variables()}), image
    )


def test_a_stride_is_dropped_at_the_output_stride_and_what_follows_is_dilated():
    dilation = Dilation(8, reached=2)
    assert [dilation.next(stride) for stride in (2, 1, 2, 2, 1, 2, 1)] == [
        (2, 1),
        (1, 1),
        (2, 1),
        (1, 1),
        (1, 2),
        (1, 2),
        (1, 4),
    ]


def test_dropout_keeps_its_share_and_the_mean_and_the_same_again_at_the_same_step():
    with tf.Graph().as_default(), tf.Session() as session:
        step, x = tf.placeholder(tf.int64, []), tf.ones([2, 50, 50, 40])
        layers = Layers({}, is_training=True, seed=3, step=step)
        here, there = (layers.dropout(x, scope, 0.9) for scope in ("here", "there"))
        other_seed = Layers({}, is_training=True, seed=4, step=step).dropout(x, "here", 0.9)
        y, again, later = (session.run(here, {step: s}) for s in (7, 7, 8))
        assert np.array_equal(y, again) and set(np.unique(y)) == {0, np.float32(1 / 0.9)}
        assert np.mean(y > 0) == pytest.approx(0.9, abs=0.003) and y.mean() == pytest.approx(
            1, abs=0.003
        )  # 4 standard deviations
        for independent in (later,) + tuple(session.run([there, other_seed], {step: 7})):
            assert np.mean((y > 0) & (independent > 0)) == pytest.approx(0.81, abs=0.004)


def initial_values(values):
    """{name: first value} of a network with these settings."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(5)
        deeplab.build_logits(
            tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings_module.read(values)
        )
        session.run(tf.global_variables_initializer())
        return dict(
            zip([v.op.name for v in tf.global_variables()], session.run(tf.global_variables()))
        )


def test_first_values_follow_from_seed_and_name_alone():
    small, large = (
        initial_values({"depth_multiplier": 0.25}),
        initial_values({"depth_multiplier": 0.25, "decoder": True}),
    )
    assert set(small) < set(large)
    assert all(np.array_equal(value, large[name]) for name, value in small.items())
    assert not np.array_equal(
        small["MobilenetV2/expanded_conv_7/expand/weights"],
        small["MobilenetV2/expanded_conv_8/expand/weights"],
    )


def test_first_values_have_the_published_spread():
    values = initial_values({"depth_multiplier": 1.0})
    backbone, head = (
        values["MobilenetV2/expanded_conv_16/project/weights"],
        values["concat_projection/weights"],
    )
    assert abs(backbone).max() <= 2 * 0.09 and backbone.std() == pytest.approx(
        0.09 * 0.8796, rel=0.01
    )  # what two deviations leave
    limit = (6 / (512 + 256)) ** 0.5
    assert 0.99 * limit < abs(head).max() <= limit and head.mean() == pytest.approx(
        0, abs=0.01 * limit
    )
    assert set(values["aspp0/BatchNorm/gamma"]) == {1.0} and set(
        values["aspp0/BatchNorm/moving_mean"]
    ) == {0.0}


def test_a_graph_built_twice_shares_its_variables():
    with tf.Graph().as_default():
        for stride in (8, 16):
            deeplab.build_logits(
                tf.placeholder(tf.float32, [1, 33, 33, 3]),
                settings=settings_module.read({"output_stride": stride}),
            )
        assert len(tf.global_variables()) == len({v.op.name for v in tf.global_variables()}) == 272


def test_initialisers_say_what_they_draw():
    assert truncated_normal(0.09)([3, 3, 1, 1]).scale == 0.09
    assert -xavier([1, 1, 2048, 256]).shift == pytest.approx(0.05103, abs=1e-5)
    assert -xavier([1, 1, 256, 48]).shift == pytest.approx(0.14049, abs=1e-5)
