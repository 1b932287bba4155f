"""The network against the original library's figures, and the idea of atrous convolution."""
import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import deeplab, heads, layers, mobilenet_v2
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from tests import golden

VARIANTS = [("mobilenet_v2", 1.0), ("mobilenet_v2_dm0.5", 0.5)]


def build(depth_multiplier, size, *, batch=2, output_stride=16, **more):
    images = tf.placeholder(tf.float32, [batch, size, size, 3])
    settings = settings_module.read({"depth_multiplier": depth_multiplier})
    return images, deeplab.build_logits(images, settings=settings, output_stride=output_stride, **more)


@pytest.mark.parametrize("variant, depth_multiplier", VARIANTS)
def test_variables_and_logits_are_the_originals(variant, depth_multiplier):
    figures = golden.figures(variant)
    with tf.Graph().as_default(), tf.Session() as session:
        images, logits = build(depth_multiplier, 65)
        trainable = {v.op.name for v in tf.trainable_variables()}
        found = {v.op.name: [v.shape.as_list(), v.op.name in trainable] for v in tf.global_variables()}
        assert found == {name: [shape, train] for name, shape, train in figures["variables"]}
        golden.load_weights(session, tf.global_variables(), figures["gain"])
        mine = session.run(logits, {images: golden.image(2, 65, 65)})
    theirs = np.reshape(figures["logits_65"], mine.shape)
    assert abs(mine - theirs).max() <= 1e-4 * abs(theirs).max()


@pytest.mark.parametrize("variant, depth_multiplier, fine_tune", [
    ("mobilenet_v2", 1.0, False), ("mobilenet_v2", 1.0, True), ("mobilenet_v2_dm0.5", 0.5, True)])
def test_losses_gradients_and_statistics_are_the_originals(variant, depth_multiplier, fine_tune, monkeypatch):
    monkeypatch.setattr(heads, "KEEP_PROBABILITY", 1.0)  # the stored figures were taken without dropout
    figures, expected = golden.figures(variant), golden.figures(variant)["train_" + str(fine_tune)]
    settings = settings_module.read({"depth_multiplier": depth_multiplier, "fine_tune_batch_norm": fine_tune})
    with tf.Graph().as_default(), tf.Session() as session:
        updates = []
        logits = deeplab.build_logits(tf.constant(golden.image(2, 65, 65)), settings=settings, is_training=True,
                                      batch_norm_updates=updates)
        loss = objective.cross_entropy(logits, tf.constant(golden.label(2, 65, 65)), 255)
        decay = objective.weight_decay(tf.trainable_variables(), 4e-5)
        gradients = [tf.norm(g) for g in tf.gradients(loss, tf.trainable_variables())]
        golden.load_weights(session, tf.global_variables(), figures["gain"])
        loss, decay, gradients = session.run([loss, decay, gradients])
        norms = dict(zip([v.op.name for v in tf.trainable_variables()], gradients))
        session.run(updates)
        statistics = [v for v in tf.global_variables() if "/moving_" in v.op.name]
        moved = dict(zip([v.op.name for v in statistics], session.run(statistics)))
    assert loss == pytest.approx(expected["cross_entropy"], rel=1e-5)
    assert decay == pytest.approx(expected["regularization"], rel=1e-5)
    assert loss + decay == pytest.approx(expected["total"], rel=1e-5)
    check_statistics(moved, figures["moving"] if fine_tune else {}, figures["gain"])
    if not fine_tune:  # with batch statistics, image pooling normalises two samples: ill-conditioned in the original too
        for name, norm in expected["gradients"].items():
            assert norms[name] == pytest.approx(norm, rel=1e-4), name


def check_statistics(moved, expected, gain):
    """Every statistic moved as the original's did; none moved where none should."""
    for name, after in moved.items():
        delta = np.linalg.norm((after - golden.value(name, after.shape, gain)).astype(np.float64))
        if not expected:
            assert delta == 0, name
            continue
        assert delta == pytest.approx(expected[name][0], rel=1e-3, abs=1e-6), name
        assert after[:3] == pytest.approx(expected[name][1:], rel=1e-4, abs=1e-6), name


def test_weight_decay_touches_exactly_the_originals_variables():
    with tf.Graph().as_default():
        build(0.5, 65)
        decayed = [v.op.name for v in tf.trainable_variables() if v.op.name.endswith("/weights")]
        value = objective.weight_decay(tf.trainable_variables(), 4e-5)
        touched = [v.op.name for v, g in zip(tf.trainable_variables(), tf.gradients(value, tf.trainable_variables())) if g is not None]
    assert sorted(decayed) == sorted(golden.figures("mobilenet_v2_dm0.5")["decayed"]) == sorted(touched)


@pytest.mark.parametrize("stride, side", [(8, 17), (16, 9), (32, 5)])
def test_output_stride_is_image_over_feature_size(stride, side):
    with tf.Graph().as_default():
        assert build(0.5, 129, output_stride=stride)[1].shape.as_list() == [2, side, side, 21]


def test_dense_features_subsampled_are_the_coarse_features():
    """The idea itself: the same weights at a smaller output stride only give a denser map."""
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.constant(golden.image(1, 129, 129))
        features = {}
        for stride in (8, 16, 32):
            features[stride] = mobilenet_v2.mobilenet_v2(
                layers.Layers(), deeplab.normalise(images), depth_multiplier=0.35, output_stride=stride)
        golden.load_weights(session, tf.global_variables(), 2 ** 0.5)
        dense, middle, coarse = session.run([features[8], features[16], features[32]])
    assert np.allclose(dense[:, ::2, ::2], middle, atol=1e-4 * abs(middle).max())
    assert np.allclose(middle[:, ::2, ::2], coarse, atol=1e-4 * abs(coarse).max())


def test_depthwise_convolution_is_really_dilated():
    """TensorFlow's bare operation ignores its dilations on a CPU; the layer must not."""
    x = np.random.RandomState(3).standard_normal((1, 11, 11, 2)).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        y = layers.Layers().depthwise(tf.constant(x), "d", rate=3, initializer=tf.ones_initializer(),
                                      batch_norm=layers.BatchNorm(0.9, 0.0))
        session.run(tf.global_variables_initializer())
        mine = session.run(y)
    padded = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
    direct = sum(padded[:, i:i + 11, j:j + 11] for i in (0, 3, 6) for j in (0, 3, 6))
    assert np.allclose(mine, direct, rtol=1e-3, atol=1e-3)


def test_atrous_branches_add_their_variables():
    with tf.Graph().as_default():
        images = tf.placeholder(tf.float32, [1, 65, 65, 3])
        deeplab.build_logits(images, settings=settings_module.read({"aspp": True, "depth_multiplier": 0.5}))
        shapes = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert shapes["aspp3_depthwise/depthwise_weights"] == [3, 3, 160, 1]
    assert shapes["aspp3_pointwise/weights"] == [1, 1, 160, 256]
    assert shapes["concat_projection/weights"] == [1, 1, 5 * 256, 256]


@pytest.mark.parametrize("width, channels", [
    (1.0, [32, 16, 24, 32, 64, 96, 160, 320]), (0.75, [24, 12, 18, 24, 48, 72, 120, 240]),
    (0.35, [11, 6, 8, 11, 22, 34, 56, 112]), (0.25, [8, 4, 6, 8, 16, 24, 40, 80]),
    (1.4, [45, 22, 34, 45, 90, 134, 224, 448])])
def test_channel_counts_at_any_width(width, channels):
    assert [mobilenet_v2.depth(base, width) for base in (32, 16, 24, 32, 64, 96, 160, 320)] == channels


@pytest.mark.parametrize("values, word", [({"backbone": "xception_65"}, "xception_65"), ({"decoder": True}, "decoder")])
def test_networks_of_later_versions_are_refused_in_words(values, word):
    with pytest.raises(WorkbookError, match=word + ".*not built in this version"):
        deeplab.check_buildable(settings_module.read(values))
