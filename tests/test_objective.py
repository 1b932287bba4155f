import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from tests import golden


def run(tensor):
    with tf.Session() as session:
        return session.run(tensor)


def test_cross_entropy_is_the_originals():
    """Logits and labels by the original's formula; it gave 3.534976."""
    logits = np.random.RandomState(7).standard_normal((2, 5, 5, 21)).astype(np.float32) * 2
    with tf.Graph().as_default():
        loss = run(objective.cross_entropy(tf.constant(logits), tf.constant(golden.label(2, 65, 65)), 255))
    assert loss == pytest.approx(3.534976005554199, rel=1e-5)


def test_the_loss_of_nothing_but_void_is_zero():
    with tf.Graph().as_default():
        loss = run(objective.cross_entropy(tf.random_normal([1, 3, 3, 21]), tf.fill([1, 9, 9], 255), 255))
    assert loss == 0


def test_void_pixels_have_no_gradient():
    labels = np.full((1, 3, 3), 4, np.int32)
    labels[0, 0, 0] = 255
    with tf.Graph().as_default():
        logits = tf.constant(np.random.RandomState(0).rand(1, 3, 3, 21).astype(np.float32))
        gradient = run(tf.gradients(objective.cross_entropy(logits, tf.constant(labels), 255), logits)[0])
    assert not gradient[0, 0, 0].any() and gradient[0, 1, 1].any()


def test_poly_is_the_originals_at_every_step():
    table = golden.figures("poly")
    settings = settings_module.read({"learning_rate": 1e-4, "train_steps": 300000})
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int64, [])
        rate = objective.learning_rate(step, settings)
        mine = [session.run(rate, {step: s}) for s in table["steps"]]
    assert mine == pytest.approx(table["poly"], rel=1e-5, abs=1e-12)


def test_a_constant_rate_stays():
    settings = settings_module.read({"learning_rate": 0.0014, "learning_rate_policy": "constant"})
    with tf.Graph().as_default():
        assert run(objective.learning_rate(tf.constant(5000), settings)) == pytest.approx(0.0014)


def test_a_stride_looks_at_every_second_row_and_column():
    logits = np.random.RandomState(1).rand(1, 5, 5, 21).astype(np.float32)
    labels = golden.label(1, 9, 9)
    with tf.Graph().as_default():
        strided = objective.cross_entropy(tf.constant(logits), tf.constant(labels), 255, stride=2)
        by_hand = objective.cross_entropy(tf.constant(logits), tf.constant(labels[:, ::2, ::2]), 255)
        assert run(strided) == pytest.approx(run(by_hand))
