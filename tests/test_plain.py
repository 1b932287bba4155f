"""TensorFlow's own operations and those that replace them on a CPU train alike; so do clones."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.devices import collectives, devices
from deeplab_nb.network import head
from deeplab_nb.network.fast_layers import FastLayers
from deeplab_nb.tf1 import tf
from deeplab_nb.training import loop, step
from tests.support import golden

NETWORKS = {
    "mobilenet_v2": dict(depth_multiplier=0.25, aspp=True, separable_head=False),
    "xception_41": dict(backbone="xception_41", aspp=True, decoder=True),
}


def steps(device, *, count, **values):
    """Some training steps from the same first weights.

    Returns `(losses, gradient norms, weights, types of operations)`.
    """
    settings = settings_module.read(
        dict(values, train_batch_size=2, train_crop_size=33, learning_rate=1e-3, train_steps=10)
    )
    config = devices.session_config("cpu", settings)
    with tf.Graph().as_default() as graph, tf.Session(config=config) as session:
        images, labels = tf.constant(golden.image(2, 33, 33)), tf.constant(golden.label(2, 33, 33))
        tensors = loop.training_step(images, labels, settings, device)
        session.run(tf.global_variables_initializer())
        found = [session.run(tensors) for _ in range(count)]
        weights = session.run(
            tf.trainable_variables()
            + tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, ".*/moving_")
        )
        return (
            [s.loss for s in found],
            [s.gradient_norm for s in found],
            np.concatenate([w.ravel() for w in weights]),
            {op.type for op in graph.get_operations()},
        )


@pytest.mark.parametrize(
    "name, fine_tune_batch_norm",
    [("mobilenet_v2", False), ("mobilenet_v2", True), ("xception_41", False)],
)
def test_both_forms_train_alike(name, fine_tune_batch_norm, monkeypatch):
    monkeypatch.setattr(
        devices, "wrapped", lambda optimizer, device, settings: (optimizer, None)
    )  # npu_bridge is not needed here
    # with batch statistics, those of 18 values at the coarsest map, one rounding grows from step to
    # step
    values = dict(
        NETWORKS[name],
        fine_tune_batch_norm=fine_tune_batch_norm,
        count=1 if fine_tune_batch_norm else 2,
    )
    (loss, norm, weights, types), (plain_loss, plain_norm, plain_weights, plain_types) = (
        steps("cpu", **values),
        steps("gpu", **values),
    )
    tolerance = 1e-2 if fine_tune_batch_norm else 1e-3
    assert loss == pytest.approx(plain_loss, rel=tolerance) and norm == pytest.approx(
        plain_norm, rel=tolerance
    )
    assert np.linalg.norm(weights - plain_weights) < 1e-3 * np.linalg.norm(weights)
    assert (
        "TensorScatterSub" in types - plain_types and "FusedBatchNormGradV3" in plain_types - types
    )


def test_clones_with_stored_statistics_train_as_one_network(monkeypatch):
    monkeypatch.setattr(head, "KEEP_PROBABILITY", 1.0)  # each clone draws its own dropout
    values = dict(NETWORKS["mobilenet_v2"], fine_tune_batch_norm=False, count=2)
    one, two = steps("cpu", **values), steps("cpu", clones=2, **values)
    assert one[0] == pytest.approx(two[0], rel=1e-4) and one[1] == pytest.approx(two[1], rel=1e-4)
    assert np.linalg.norm(one[2] - two[2]) < 1e-4 * np.linalg.norm(one[2])


def test_clones_have_statistics_of_their_own_and_the_first_one_moves_the_stored_ones():
    settings = settings_module.read(
        {"depth_multiplier": 0.25, "train_batch_size": 2, "clones": 2, "batch_norm_decay": 0.0}
    )
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.constant(golden.image(2, 33, 33))
        _, updates = step.training_logits(images, settings, FastLayers, 0, collectives.ALONE)
        first = tf.Graph()
        with first.as_default(), tf.Session() as other:
            one = settings_module.override(settings, {"clones": 1})
            _, alone = step.training_logits(
                tf.constant(golden.image(2, 33, 33)[:1]), one, FastLayers, 0, collectives.ALONE
            )
            other.run(tf.global_variables_initializer())
            other.run(alone)
            expected = other.run("MobilenetV2/Conv/BatchNorm/moving_mean:0")
        session.run(tf.global_variables_initializer())
        session.run(updates)
        assert session.run("MobilenetV2/Conv/BatchNorm/moving_mean:0") == pytest.approx(
            expected, rel=1e-4
        )


def test_clones_get_a_thread_each():
    config = devices.session_config("cpu", settings_module.read({"clones": 2}))
    assert (config.intra_op_parallelism_threads, config.inter_op_parallelism_threads) == (1, 2)
