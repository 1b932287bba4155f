"""The layers by themselves: dilation, padding, batch norm, initial values."""
import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.network.fast_layers import FastLayers, FoldedLayers, HalfLayers, add_bias, dilated, dilated_depthwise, normalise_batch
from deeplab_nb.network.layers import BatchNorm, Dilation, Layers, truncated_normal, xavier
from deeplab_nb.network.variables import Constant
from deeplab_nb.tf1 import tf
from tests import golden
from tests.network_parts import build

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
    return sum(padded[:, i:i + height, j:j + width] for i in (0, rate, 2 * rate) for j in (0, rate, 2 * rate))


@pytest.mark.parametrize("rate", [1, 2, 3, 6])
def test_a_depthwise_convolution_is_really_dilated(rate):
    x = np.random.RandomState(3).standard_normal((1, 13, 11, 2)).astype(np.float32)
    assert np.allclose(run(depthwise_of_ones(rate=rate), x), window_sums(x, rate), atol=1e-5)


def test_tensorflow_itself_ignores_the_dilation_of_a_depthwise_convolution_on_a_cpu():
    """The trap that the layer avoids; should TensorFlow ever honour it, the detour can go."""
    x = np.random.RandomState(3).standard_normal((1, 13, 11, 2)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session, tf.device("/cpu:0"):
        bare = session.run(tf.nn.depthwise_conv2d_native(
            x, np.ones((3, 3, 2, 1), np.float32), strides=[1, 1, 1, 1], padding="SAME", dilations=[1, 2, 2, 1]))
    assert np.allclose(bare, window_sums(x, 1), atol=1e-5) and not np.allclose(bare, window_sums(x, 2), atol=1e-1)


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_a_full_convolution_is_dilated_and_can_be_trained(rate):
    """TensorFlow 1.15 has no gradient of its own for a dilated kernel on a CPU; the layer's must be right."""
    x = np.random.RandomState(4).standard_normal((1, 9, 9, 3)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        y = build(lambda layers, x: layers.convolution(x, "c", 1, kernel=3, rate=rate, initializer=ones, batch_norm=PLAIN), tf.constant(x))
        session.run(tf.global_variables_initializer())
        kernel = next(v for v in tf.trainable_variables() if v.op.name == "c/weights")
        y, slope = session.run([y, tf.gradients(y[:, 4, 4], kernel)[0]])
    assert np.allclose(y, window_sums(x, rate).sum(axis=3, keepdims=True), atol=1e-4)
    taps = x[0, 4 - rate:5 + rate:rate, 4 - rate:5 + rate:rate]
    assert np.allclose(slope[..., 0], taps, atol=1e-6)


@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("known", [True, False])
def test_symmetric_padding_is_alike_before_and_after(side, known):
    x = np.random.RandomState(5).standard_normal((1, side, side, 2)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        image = tf.placeholder(tf.float32, [1, side if known else None, side if known else None, 2])
        y = build(depthwise_of_ones(stride=2, symmetric=True), image) if known else unknown_size(image, x)
        session.run(tf.global_variables_initializer())
        found = session.run(y, {image: x})
    assert np.allclose(found, window_sums(x, 1)[:, ::2, ::2], atol=1e-5)


def unknown_size(image, x):
    """The same layer in a graph that does not know its image's size; its variables are made by one that does."""
    build(depthwise_of_ones(stride=2, symmetric=True), tf.constant(x))
    return depthwise_of_ones(stride=2, symmetric=True)(Layers({v.op.name: v for v in tf.global_variables()}), image)


def test_a_stride_is_dropped_at_the_output_stride_and_what_follows_is_dilated():
    dilation = Dilation(8, reached=2)
    assert [dilation.next(stride) for stride in (2, 1, 2, 2, 1, 2, 1)] == [
        (2, 1), (1, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 4)]


def batch_norm_in_float64(x, gamma, beta, dy, epsilon):
    """y, dx, dgamma, dbeta by the textbook."""
    z = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + epsilon)
    dz = dy * gamma
    dx = (dz - dz.mean((0, 1, 2)) - z * (dz * z).mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + epsilon)
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
            [[y] + tf.gradients(y, inputs, tf.constant(dy, tf.float32)), mean, variance])
    for value, truth in zip(found, expected):
        assert np.allclose(value, truth, rtol=1e-4, atol=2e-5 * abs(truth).max() + 1e-5)
    assert np.allclose(mean, x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6)
    assert np.allclose(variance, x.var((0, 1, 2), ddof=1), rtol=1e-4, atol=1e-6)


def test_batch_norm_is_no_less_exact_than_tensorflows_own():
    """A mean ten times the deviation, where a variance taken as E[x^2] - E[x]^2 would lose two digits."""
    x = (3 + 0.3 * np.random.RandomState(7).standard_normal((8, 65, 65, 4))).astype(np.float32)
    exact = x.astype(np.float64).var((0, 1, 2), ddof=1)
    with tf.Graph().as_default(), tf.Session() as session:
        one, zero = tf.ones([4]), tf.zeros([4])
        mine, theirs = session.run([normalise_batch(tf.constant(x), one, zero, epsilon=1e-3)[2],
                                    tf.nn.fused_batch_norm(tf.constant(x), one, zero, epsilon=1e-3)[2]])
    assert abs(mine / exact - 1).max() <= max(abs(theirs / exact - 1).max(), 1e-6)


PARTS = {
    "matrix product": lambda layers, x: layers.convolution(x, "c", 5, initializer=xavier, batch_norm=PLAIN),
    "with bias": lambda layers, x: layers.convolution(x, "c", 5, initializer=xavier),
    "full": lambda layers, x: layers.convolution(x, "c", 5, kernel=3, initializer=xavier, batch_norm=PLAIN),
    "atrous": lambda layers, x: layers.convolution(x, "c", 5, kernel=3, rate=2, initializer=xavier, batch_norm=PLAIN),
    "depthwise": lambda layers, x: layers.depthwise(x, "c", initializer=truncated_normal(0.3), batch_norm=PLAIN),
    "atrous depthwise": lambda layers, x: layers.depthwise(x, "c", rate=2, initializer=truncated_normal(0.3), batch_norm=PLAIN),
}


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
            dx, dw = tf.gradients(y, [x, kernel], tf.constant(1.0001 * half_numbers(2, *y.shape.as_list())))
            values, rounded = half_numbers(0, 2, 8, 8, 4), half_numbers(1, *kernel.shape.as_list())
            y1, dx1, dw1 = session.run([y, dx, dw], {x: values, kernel: rounded, **fresh()})
            y2 = session.run(y, {x: values * (1 + 2 ** -13), kernel: rounded, **fresh()})
            y3 = session.run(y, {x: values, kernel: rounded * (1 + 2 ** -13), **fresh()})
        found[half] = [np.array_equal(y1, y2), np.array_equal(y1, y3), is_half(y1), is_half(dx1), is_half(dw1)]
    assert found == {True: [True] * 5, False: [False] * 5}


def fresh():
    """Values of all variables but the kernel, as batch norm starts."""
    return {v: np.full(v.shape.as_list(), float(v.op.name.endswith(("gamma", "moving_variance"))), np.float32)
            for v in tf.global_variables() if not v.op.name.endswith("weights")}


def test_half_leaves_batch_statistics_in_float32():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(half_numbers(0, 2, 8, 8, 4))
        y = build(PARTS["matrix product"], x, kind=HalfLayers, is_training=True, batch_norm_training=True)
        session.run(tf.global_variables_initializer())
        y = session.run(y)
    assert not is_half(y) and abs(y.mean((0, 1, 2))).max() < 1e-6


def test_logits_in_half_are_near_those_in_float32_and_only_there_is_anything_cast():
    logits = {}
    for half in (True, False):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            images = tf.constant(golden.image(1, 33, 33))
            chosen, kind = settings_module.read({"depth_multiplier": 0.25}), HalfLayers if half else FoldedLayers
            y = deeplab.build_logits(images, settings=chosen, layers=kind(deeplab.variables_of(chosen)))
            assert any(t.dtype == tf.float16 for op in graph.get_operations() for t in op.outputs) == half
            golden.load_weights(session, tf.global_variables(), 2 ** 0.5)  # random ones with fresh statistics let the maps fade to 0
            logits[half] = session.run(y)
    error = np.linalg.norm(logits[True] - logits[False]) / np.linalg.norm(logits[False])
    assert 1e-5 < error < 5e-3


def test_dropout_keeps_its_share_and_the_mean_and_the_same_again_at_the_same_step():
    with tf.Graph().as_default(), tf.Session() as session:
        step, x = tf.placeholder(tf.int64, []), tf.ones([2, 50, 50, 40])
        layers = Layers({}, is_training=True, seed=3, step=step)
        here, there = (layers.dropout(x, scope, 0.9) for scope in ("here", "there"))
        other_seed = Layers({}, is_training=True, seed=4, step=step).dropout(x, "here", 0.9)
        y, again, later = (session.run(here, {step: s}) for s in (7, 7, 8))
        assert np.array_equal(y, again) and set(np.unique(y)) == {0, np.float32(1 / 0.9)}
        assert np.mean(y > 0) == pytest.approx(0.9, abs=0.003) and y.mean() == pytest.approx(1, abs=0.003)  # 4 standard deviations
        for independent in (later,) + tuple(session.run([there, other_seed], {step: 7})):
            assert np.mean((y > 0) & (independent > 0)) == pytest.approx(0.81, abs=0.004)


def initial_values(values):
    """{name: first value} of a network with these settings."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(5)
        deeplab.build_logits(tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings_module.read(values))
        session.run(tf.global_variables_initializer())
        return dict(zip([v.op.name for v in tf.global_variables()], session.run(tf.global_variables())))


def test_first_values_follow_from_seed_and_name_alone():
    small, large = initial_values({"depth_multiplier": 0.25}), initial_values({"depth_multiplier": 0.25, "decoder": True})
    assert set(small) < set(large)
    assert all(np.array_equal(value, large[name]) for name, value in small.items())
    assert not np.array_equal(small["MobilenetV2/expanded_conv_7/expand/weights"], small["MobilenetV2/expanded_conv_8/expand/weights"])


def test_first_values_have_the_published_spread():
    values = initial_values({"depth_multiplier": 1.0})
    backbone, head = values["MobilenetV2/expanded_conv_16/project/weights"], values["concat_projection/weights"]
    assert abs(backbone).max() <= 2 * 0.09 and backbone.std() == pytest.approx(0.09 * 0.8796, rel=0.01)  # what two deviations leave
    limit = (6 / (512 + 256)) ** 0.5
    assert 0.99 * limit < abs(head).max() <= limit and head.mean() == pytest.approx(0, abs=0.01 * limit)
    assert set(values["aspp0/BatchNorm/gamma"]) == {1.0} and set(values["aspp0/BatchNorm/moving_mean"]) == {0.0}


def test_a_graph_built_twice_shares_its_variables():
    with tf.Graph().as_default():
        for stride in (8, 16):
            deeplab.build_logits(tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings_module.read({"output_stride": stride}))
        assert len(tf.global_variables()) == len({v.op.name for v in tf.global_variables()}) == 272


def test_initialisers_say_what_they_draw():
    assert truncated_normal(0.09)([3, 3, 1, 1]).stddev == 0.09
    assert xavier([1, 1, 2048, 256]).limit == pytest.approx(0.05103, abs=1e-5)
    assert xavier([1, 1, 256, 48]).limit == pytest.approx(0.14049, abs=1e-5)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("rate", [2, 6, 9, 12])
def test_training_dilates_as_tensorflow_does(rate, full):
    """Values and gradients, on maps that are no multiple of the rate and on one that it leaps over; also of unknown size."""
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
        image, weights, unknown = tf.constant(x), tf.constant(kernel), tf.placeholder(tf.float32, [None, None, None, 3])
        expected, known, late = session.run(
            [results(theirs, image, weights), results(ours, image, weights), results(ours, unknown, weights)], {unknown: x})
    for ours_too in (known, late):
        for mine, wanted in zip(ours_too, expected):
            np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_a_shift_and_its_gradients_are_tensorflows():
    random = np.random.RandomState(5)
    values, dy = (random.standard_normal((2, 5, 4, 3)).astype(np.float32) for _ in range(2))
    with tf.Graph().as_default(), tf.Session() as session:
        x, shift = tf.constant(values), tf.constant([1.0, -2.0, 0.5])
        results = session.run([[y] + tf.gradients(y, [x, shift], tf.constant(dy)) for y in (add_bias(x, shift), tf.nn.bias_add(x, shift))])
    for mine, wanted in zip(*results):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
