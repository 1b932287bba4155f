"""TensorFlow's own operations and those that replace them on a CPU train alike."""
import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.tf1 import tf
from deeplab_nb.training import devices, loop
from tests import golden

NETWORKS = {"mobilenet_v2": dict(depth_multiplier=0.25, aspp=True, separable_head=False),
            "xception_41": dict(backbone="xception_41", aspp=True, decoder=True)}


def steps(device, *, count, **values):
    """`(losses, gradient norms, weights, types of operations)` of some training steps from the same first weights."""
    settings = settings_module.read(dict(values, train_batch_size=2, train_crop_size=33, learning_rate=1e-3, train_steps=10))
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images, labels = tf.constant(golden.image(2, 33, 33)), tf.constant(golden.label(2, 33, 33))
        step = loop.training_step(images, labels, settings, device)
        session.run(tf.global_variables_initializer())
        found = [session.run(step) for _ in range(count)]
        weights = session.run(tf.trainable_variables() + tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES, ".*/moving_"))
        return ([s.loss for s in found], [s.gradient_norm for s in found], np.concatenate([w.ravel() for w in weights]),
                {op.type for op in graph.get_operations()})


@pytest.mark.parametrize("name, fine_tune_batch_norm", [("mobilenet_v2", False), ("mobilenet_v2", True), ("xception_41", False)])
def test_both_forms_train_alike(name, fine_tune_batch_norm, monkeypatch):
    monkeypatch.setattr(devices, "wrapped", lambda optimizer, device, settings: (optimizer, None))  # npu_bridge is not needed here
    # with batch statistics, those of 18 values at the coarsest map, one rounding grows from step to step
    values = dict(NETWORKS[name], fine_tune_batch_norm=fine_tune_batch_norm, count=1 if fine_tune_batch_norm else 2)
    (loss, norm, weights, types), (plain_loss, plain_norm, plain_weights, plain_types) = steps("cpu", **values), steps("gpu", **values)
    tolerance = 1e-2 if fine_tune_batch_norm else 1e-3
    assert loss == pytest.approx(plain_loss, rel=tolerance) and norm == pytest.approx(plain_norm, rel=tolerance)
    assert np.linalg.norm(weights - plain_weights) < 1e-3 * np.linalg.norm(weights)
    assert "TensorScatterSub" in types - plain_types and "FusedBatchNormGradV3" in plain_types - types
