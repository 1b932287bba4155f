"""The CPU's forms of layers and loss: values and gradients are TensorFlow's.

Also float16's rounding, and forms for converters.
"""

import importlib

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab, fast_layers
from deeplab_nb.network.fast_layers import (
    DilatedLayers,
    FastLayers,
    FoldedLayers,
    HalfLayers,
    add_bias,
    dilated,
    dilated_depthwise,
    normalise_batch,
)
from deeplab_nb.network.layers import BatchNorm, Layers, truncated_normal, xavier
from deeplab_nb.tf1 import tf
from tests.support import golden
from tests.support.network_parts import build

PLAIN = BatchNorm(decay=0.9, epsilon=0.0)  # with fresh statistics it changes nothing


def run(tensor):
    with tf.Session() as session:
        return session.run(tensor)


def batch_norm_in_float64(x, gamma, beta, dy, epsilon):
    """y, dx, dgamma, dbeta by the textbook."""
    z = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + epsilon)
    dz = dy * gamma
    dx = (dz - dz.mean((0, 1, 2)) - z * (dz * z).mean((0, 1, 2))) / np.sqrt(
        x.var((0, 1, 2)) + epsilon
    )
    return z * gamma + beta, dx, (dy * z).sum((0, 1, 2)), dy.sum((0, 1, 2))


@pytest.mark.parametrize("shape", [(8, 33, 33, 6), (2, 1, 1, 5), (3, 4, 5, 1)])
def test_batch_norm_and_its_gradient_are_the_textbooks(shape):
    random = np.random.RandomState(6)
    x, dy = 2 + random.standard_normal(shape), random.standard_normal(shape)
    gamma, beta = random.standard_normal((2, shape[-1]))
    expected = batch_norm_in_float64(x, gamma, beta, dy, 1e-3)
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(value, tf.float32) for value in (x, gamma, beta)]
        y, mean, variance = normalise_batch(*inputs, epsilon=1e-3)
        found, mean, variance = session.run(
            [[y] + tf.gradients(y, inputs, tf.constant(dy, tf.float32)), mean, variance]
        )
    for value, truth in zip(found, expected):
        assert np.allclose(value, truth, rtol=1e-4, atol=2e-5 * abs(truth).max() + 1e-5)
    assert np.allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    assert np.allclose(variance, x.var((0, 1, 2), ddof=1), rtol=1e-4, atol=1e-6)


def test_batch_norm_is_no_less_exact_than_tensorflows_own():
    """A mean ten times the deviation, where a variance E[x^2] - E[x]^2 would lose two digits."""
    x = (3 + 0.3 * np.random.RandomState(7).standard_normal((8, 65, 65, 4))).astype(np.float32)
    exact = x.astype(np.float64).var((0, 1, 2), ddof=1)
    with tf.Graph().as_default(), tf.Session() as session:
        one, zero = tf.ones([4]), tf.zeros([4])
        mine, theirs = session.run(
            [
                normalise_batch(tf.constant(x), one, zero, epsilon=1e-3)[2],
                tf.nn.fused_batch_norm(tf.constant(x), one, zero, epsilon=1e-3)[2],
            ]
        )
    assert abs(mine / exact - 1).max() <= max(abs(theirs / exact - 1).max(), 1e-6)


PARTS = {
    "matrix product": lambda layers, x: layers.convolution(
        x, "c", 5, initializer=xavier, batch_norm=PLAIN
    ),
    "with bias": lambda layers, x: layers.convolution(x, "c", 5, initializer=xavier),
    "full": lambda layers, x: layers.convolution(
        x, "c", 5, kernel=3, initializer=xavier, batch_norm=PLAIN
    ),
    "atrous": lambda layers, x: layers.convolution(
        x, "c", 5, kernel=3, rate=2, initializer=xavier, batch_norm=PLAIN
    ),
    "depthwise": lambda layers, x: layers.depthwise(
        x, "c", initializer=truncated_normal(0.3), batch_norm=PLAIN
    ),
    "atrous depthwise": lambda layers, x: layers.depthwise(
        x, "c", rate=2, initializer=truncated_normal(0.3), batch_norm=PLAIN
    ),
}


@pytest.mark.parametrize("kind", [FoldedLayers, FastLayers])
@pytest.mark.parametrize("part", PARTS)
def test_every_kind_has_the_values_of_plain_layers(part, kind):
    """With stored statistics that are not fresh; gradients too."""
    found, random = {}, np.random.RandomState(8)
    values = random.standard_normal((2, 9, 8, 4)).astype(np.float32)
    dy = random.standard_normal((2, 9, 8, 5)).astype(np.float32)
    for one in (Layers, kind):
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.constant(values)
            y = build(PARTS[part], x, kind=one)
            golden.load_weights(session, tf.global_variables(), 1.0)
            found[one] = session.run(
                [y] + tf.gradients(y, [x] + tf.trainable_variables(), dy[..., : int(y.shape[-1])])
            )
    assert len(found[kind]) >= 4
    for mine, plain in zip(found[kind], found[Layers]):
        np.testing.assert_allclose(mine, plain, rtol=1e-4, atol=1e-4 * abs(plain).max())


@pytest.mark.parametrize("part", ["full", "atrous"])
def test_layers_for_converters_have_them_too(part):
    """But a CPU ignores the dilation of a depthwise operation."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(np.random.RandomState(9).standard_normal((1, 9, 8, 4)).astype(np.float32))
        both = [build(PARTS[part], x, kind=kind) for kind in (Layers, DilatedLayers)]
        golden.load_weights(session, tf.global_variables(), 1.0)
        plain, converted = session.run(both)
    np.testing.assert_allclose(plain, converted, atol=1e-5)


def test_the_file_can_be_loaded_again_as_jupyters_autoreload_does():
    again = importlib.reload(fast_layers)
    with tf.Graph().as_default():
        x, bias = tf.constant(golden.image(1, 4, 4)), tf.constant([1.0, 2.0, 3.0])
        y = again.normalise_batch(
            again.add_bias(x, bias), tf.ones([3]), tf.zeros([3]), epsilon=1e-3
        )[0]
        gradients = run(tf.gradients(y * x, [x, bias]))
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in gradients)


def half_numbers(seed, *shape):
    return np.random.RandomState(seed).standard_normal(shape).astype(np.float16).astype(np.float32)


def is_half(values):
    return np.array_equal(values, values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("part", PARTS)
def test_half_rounds_input_kernel_and_output_and_their_gradients(part):
    """Frozen statistics that change nothing, so that what is rounded comes out as it is."""
    found = {}
    for half in (True, False):
        with tf.Graph().as_default(), tf.Session() as session:
            x = tf.placeholder(tf.float32, [2, 8, 8, 4])
            y = build(PARTS[part], x, kind=HalfLayers if half else FastLayers, is_training=True)
            kernel = tf.trainable_variables()[0]
            dx, dw = tf.gradients(
                y, [x, kernel], tf.constant(1.0001 * half_numbers(2, *y.shape.as_list()))
            )
            values, rounded = half_numbers(0, 2, 8, 8, 4), half_numbers(1, *kernel.shape.as_list())
            y1, dx1, dw1 = session.run([y, dx, dw], {x: values, kernel: rounded, **fresh()})
            y2 = session.run(y, {x: values * (1 + 2**-13), kernel: rounded, **fresh()})
            y3 = session.run(y, {x: values, kernel: rounded * (1 + 2**-13), **fresh()})
        found[half] = [
            np.array_equal(y1, y2),
            np.array_equal(y1, y3),
            is_half(y1),
            is_half(dx1),
            is_half(dw1),
        ]
    assert found == {True: [True] * 5, False: [False] * 5}


def fresh():
    """Values of all variables but the kernel, as batch norm starts."""
    return {
        v: np.full(
            v.shape.as_list(), float(v.op.name.endswith(("gamma", "moving_variance"))), np.float32
        )
        for v in tf.global_variables()
        if not v.op.name.endswith("weights")
    }


def test_half_leaves_batch_statistics_in_float32():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(half_numbers(0, 2, 8, 8, 4))
        y = build(
            PARTS["matrix product"], x, kind=HalfLayers, is_training=True, batch_norm_training=True
        )
        session.run(tf.global_variables_initializer())
        y = session.run(y)
    assert not is_half(y) and abs(y.mean((0, 1, 2))).max() < 1e-6


def test_logits_in_half_are_near_those_in_float32_and_only_there_is_anything_cast():
    logits = {}
    for half in (True, False):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            images = tf.constant(golden.image(1, 33, 33))
            chosen, kind = (
                settings_module.read({"depth_multiplier": 0.25}),
                HalfLayers if half else FoldedLayers,
            )
            y = deeplab.build_logits(
                images, settings=chosen, layers=kind(deeplab.variables_of(chosen))
            )
            assert (
                any(t.dtype == tf.float16 for op in graph.get_operations() for t in op.outputs)
                == half
            )
            golden.load_weights(
                session, tf.global_variables(), 2**0.5
            )  # random ones with fresh statistics let the maps fade to 0
            logits[half] = session.run(y)
    error = np.linalg.norm(logits[True] - logits[False]) / np.linalg.norm(logits[False])
    assert 1e-5 < error < 5e-3


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("rate", [2, 6, 9, 12])
def test_training_dilates_as_tensorflow_does(rate, full):
    """Values and gradients, on maps that are no multiple of the rate and on one that it leaps over.

    Also of unknown size.
    """
    random = np.random.RandomState(rate)
    x, dy = (random.standard_normal((2, 12, 9, 3)).astype(np.float32) for _ in range(2))
    kernel = random.standard_normal((3, 3, 3, 3 if full else 1)).astype(np.float32)

    def results(convolve, image, weights):
        y = convolve(image, weights)
        return [y] + tf.gradients(y, [image, weights], tf.constant(dy))

    def ours(image, weights):
        if not full:
            return dilated_depthwise(image, weights, rate)
        return dilated(image, rate, lambda x: tf.nn.conv2d(x, weights, padding="SAME"))

    def theirs(image, weights):
        if full:
            return tf.nn.convolution(image, weights, "SAME", dilation_rate=[rate, rate])
        return tf.nn.depthwise_conv2d(image, weights, [1, 1, 1, 1], "SAME", rate=[rate, rate])

    with tf.Graph().as_default(), tf.Session() as session:
        image, weights, unknown = (
            tf.constant(x),
            tf.constant(kernel),
            tf.placeholder(tf.float32, [None, None, None, 3]),
        )
        expected, known, late = session.run(
            [
                results(theirs, image, weights),
                results(ours, image, weights),
                results(ours, unknown, weights),
            ],
            {unknown: x},
        )
    for ours_too in (known, late):
        for mine, wanted in zip(ours_too, expected):
            np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_a_shift_and_its_gradients_are_tensorflows():
    random = np.random.RandomState(5)
    values, dy = (random.standard_normal((2, 5, 4, 3)).astype(np.float32) for _ in range(2))
    with tf.Graph().as_default(), tf.Session() as session:
        x, shift = tf.constant(values), tf.constant([1.0, -2.0, 0.5])
        results = session.run(
            [
                [y] + tf.gradients(y, [x, shift], tf.constant(dy))
                for y in (add_bias(x, shift), tf.nn.bias_add(x, shift))
            ]
        )
    for mine, wanted in zip(*results):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [(65, 33), (1, 1), (5, 4)])
def test_logits_are_resized_as_tensorflow_does(size):
    """Values and gradient."""
    random = np.random.RandomState(2)
    weights = random.standard_normal((2,) + size + (21,)).astype(np.float32)
    with tf.Graph().as_default():
        x = tf.constant(random.standard_normal((2, 5, 4, 21)).astype(np.float32))
        ours, theirs = (
            fast_layers.resize_by_products(x, size),
            tf.image.resize_bilinear(x, size, align_corners=True),
        )
        results = run([[y, tf.gradients(y, x, weights)[0]] for y in (ours, theirs)])
    for mine, wanted in zip(*results):
        np.testing.assert_allclose(mine, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [1, 1000])
def test_softmax_losses_are_tensorflows(scale):
    """Values and gradient, also where the exponential of a score would overflow."""
    random = np.random.RandomState(3)
    weights = random.standard_normal((2, 3, 4)).astype(np.float32)
    with tf.Graph().as_default():
        logits = tf.constant(scale * random.standard_normal((2, 3, 4, 21)).astype(np.float32))
        labels = tf.constant(random.randint(0, 21, (2, 3, 4)), tf.int32)
        ours = fast_layers.softmax_losses(logits, labels)
        theirs = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
        results = run([[y, tf.gradients(y, logits, weights)[0]] for y in (ours, theirs)])
    for mine, wanted in zip(*results):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
