"""Loss scales, skipped steps, and training with float16's rounding simulated."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.devices import devices, precision
from deeplab_nb.network.deeplab import build_logits, training_layers
from deeplab_nb.network.fast_layers import FastLayers, HalfLayers, round_to_half
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from tests.support import golden


def settings(**values):
    return settings_module.read(
        dict({"loss_scale": "exponential", "learning_rate_policy": "constant"}, **values)
    )


STATE = ("loss_scale", "good_steps", "bad_steps")


def state():
    """{name: variable} of the loss scale in the current graph."""
    return {v.op.name: v for v in tf.global_variables() if v.op.name in STATE}


def update(loss, step, rate, chosen):
    """The operation of a training step, built as the loop does."""
    optimizer, _ = precision.wrapped(objective.optimizer(rate, chosen), chosen)
    return objective.update(loss, step, optimizer, chosen)[0]


def halved(x, rate, chosen):
    """One weight whose gradient is `x` on its way through float16: `(weight, step, train_op)`."""
    weight, step = tf.get_variable("weights", initializer=1.0), tf.train.get_or_create_global_step()
    with tf.control_dependencies([tf.constant(0)]):
        return weight, step, update(x * round_to_half(weight.read_value()), step, rate, chosen)


@pytest.mark.parametrize("initial, steps", [(1.0, 3), (1024.0, 3), (2.0**126, 2), (65536.0, 1)])
@pytest.mark.parametrize("finite_share", [0.9, 0.5])
def test_the_scale_moves_as_tensorflows_own(initial, steps, finite_share):
    """contrib's manager, which npu_bridge's was made from: same rules, same three variables."""
    contrib = pytest.importorskip(
        "tensorflow.contrib.mixed_precision", reason="TensorFlow 2 has no contrib to compare with"
    )
    with tf.Graph().as_default(), tf.Session() as session:
        finite = tf.placeholder(tf.bool, [])
        theirs = contrib.ExponentialUpdateLossScaleManager(
            initial, steps, decr_every_n_nan_or_inf=2, incr_ratio=2, decr_ratio=0.5
        )
        their_state, their_update = tf.global_variables(), theirs.update_loss_scale(finite)
        mine = precision.ExponentialScale(initial, steps)
        my_state = [v for v in tf.global_variables() if v not in their_state]
        my_update = mine.update_loss_scale(finite)
        session.run(tf.global_variables_initializer())
        for value in np.random.RandomState(1).rand(60) < finite_share:
            session.run([my_update, their_update], {finite: value})
            found, expected = session.run([my_state, their_state])
            assert found == expected


def test_names_are_npu_bridges_and_enter_the_checkpoint(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        train = halved(1e9, 0.1, settings())[2]
        session.run(tf.global_variables_initializer())
        session.run(train)
        saved = tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        assert set(state()) == set(STATE)
    assert set(STATE) < {name for name, _ in tf.train.list_variables(saved)}
    with tf.Graph().as_default(), tf.Session() as session:
        train = halved(1e9, 0.1, settings())[2]
        tf.train.Saver().restore(session, saved)
        session.run(train)  # the second overflow of the two that halve
        assert session.run(state()) == {"loss_scale": 32768, "good_steps": 0, "bad_steps": 0}


def test_from_two_to_the_32_each_halving_costs_two_steps():
    with tf.Graph().as_default(), tf.Session() as session:
        weight, step, train = halved(1.0, 0.5, settings(initial_loss_scale=2.0**32))
        session.run(tf.global_variables_initializer())
        scales = []
        for _ in range(36):
            scales.append(float(session.run(state()["loss_scale"])))
            session.run(train)
        # 2^16 is above 65504, float16's largest, 2^15 is not
        assert (
            scales == [2.0**power for power in range(32, 15, -1) for _ in range(2)] + [2.0**15] * 2
        )
        assert session.run(step) == 2, "34 of the 36 steps were skipped"
        assert session.run(weight) < 0.5  # twice down by momentum, each of a gradient of 1


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_skipped_step_leaves_all_as_it_was(optimizer):
    chosen = settings(optimizer=optimizer, loss_scale="fixed", initial_loss_scale=1024)
    with tf.Graph().as_default(), tf.Session() as session:
        size = tf.placeholder(tf.float32, [])
        weight, step, train = halved(size, 0.5, chosen)
        session.run(tf.global_variables_initializer())
        states = []
        for value in (1.0, 64.0, np.nan, 1.0):
            session.run(train, {size: value})
            states.append({v.op.name: session.run(v) for v in tf.global_variables()})
        assert len(states[0]) >= 3 and states[0] == states[1] == states[2]
        assert states[3]["global_step"] == 2 and states[3]["weights"] < states[2]["weights"]


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_scale_alone_changes_no_training(optimizer):
    """Powers of two, and nothing rounded: the very same weights."""

    def trained(scale):
        chosen = settings(optimizer=optimizer, loss_scale=scale)
        with tf.Graph().as_default(), tf.Session() as session:
            weight = tf.get_variable("weights", initializer=[1.0, -0.3])
            loss = tf.reduce_sum(tf.square(weight.read_value()) * [0.3, 0.7])
            train = update(loss, tf.train.get_or_create_global_step(), 0.1, chosen)
            session.run(tf.global_variables_initializer())
            for _ in range(5):
                session.run(train)
            return session.run(weight).tolist()

    assert trained("none") == trained("fixed") == trained("exponential")


def test_without_a_loss_scale_the_optimizer_stays_as_it_is():
    with tf.Graph().as_default():
        chosen = tf.train.MomentumOptimizer(0.1, 0.9)
        assert (
            precision.wrapped(chosen, settings(loss_scale="none")) == (chosen, None)
            and state() == {}
        )


@pytest.mark.parametrize("scale, expected", [("none", 0), ("fixed", 1e-9)])
def test_a_gradient_too_small_for_float16_needs_the_scale(scale, expected):
    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.get_variable("weights", initializer=1.0)
        optimizer, _ = precision.wrapped(
            tf.train.GradientDescentOptimizer(1.0), settings(loss_scale=scale)
        )
        ((gradient, _),) = optimizer.compute_gradients(
            1e-9 * round_to_half(weight.read_value()), [weight]
        )
        session.run(tf.global_variables_initializer())
        assert session.run(gradient) == pytest.approx(expected, rel=1e-3)


SMALL = {
    "depth_multiplier": 0.25,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "learning_rate_policy": "constant",
    "num_classes": 5,
}


def network_loss(chosen, half, step=0):
    """`(loss, updates)` of batch norm's statistics."""
    tf.set_random_seed(1)
    layers = training_layers(chosen, HalfLayers if half else FastLayers, step=step)
    logits = build_logits(tf.constant(golden.image(2, 33, 33)), settings=chosen, layers=layers)
    return objective.cross_entropy(
        logits, tf.constant(golden.label(2, 33, 33) % 5), 255
    ), layers.updates


def test_the_real_networks_small_gradients_need_the_scale():
    """The loss is divided as if the crop were 1025 pixels wide.

    The mean over so many pixels makes gradients small.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        loss, scale = (
            network_loss(settings_module.read(SMALL), half=True)[0] / 1024,
            tf.placeholder(tf.float32, []),
        )
        kernels = [v for v in tf.trainable_variables() if v.op.name.endswith("weights")]
        zeros = tf.reduce_mean(
            tf.concat(
                [
                    tf.reshape(tf.cast(tf.equal(g, 0), tf.float32), [-1])
                    for g in tf.gradients(loss * scale, kernels)
                ],
                axis=0,
            )
        )
        session.run(tf.global_variables_initializer())
        plain, scaled = session.run(zeros, {scale: 1.0}), session.run(zeros, {scale: 2.0**16})
    assert plain > 0.05 and scaled < plain / 5


def test_training_with_simulated_rounding_goes_as_in_float32():
    def losses(half, **values):
        chosen = settings_module.read(dict(SMALL, **values))
        config = devices.session_config("cpu", chosen)
        with tf.Graph().as_default(), tf.Session(config=config) as session:
            step = tf.train.get_or_create_global_step()
            loss, updates = network_loss(chosen, half, step)
            with tf.control_dependencies(updates):
                train = update(loss, step, 0.01, chosen)
            session.run(tf.global_variables_initializer())
            return [session.run([loss, train])[0] for _ in range(20)]

    single, half = losses(False), losses(True, loss_scale="exponential", initial_loss_scale=64)
    assert half[0] == pytest.approx(single[0], rel=1e-2) and half != single
    assert single[-1] < 0.5 * single[0] and np.mean(half[-5:]) == pytest.approx(
        np.mean(single[-5:]), rel=0.2
    )


def test_the_gpu_rewrite_changes_nothing_on_a_cpu():
    plain, rewritten = tf.ConfigProto(), tf.ConfigProto()
    precision.gpu_rewrite(rewritten)
    assert rewritten != plain and rewritten.graph_options.rewrite_options.auto_mixed_precision == 1
    with tf.Graph().as_default():
        x = tf.constant(np.random.RandomState(0).rand(1, 9, 9, 4).astype(np.float32))
        y = tf.nn.relu(tf.nn.conv2d(x, tf.ones([3, 3, 4, 4]) / 7, 1, "SAME"))
        found = [tf.Session(config=config).run(y) for config in (plain, rewritten)]
    assert np.array_equal(*found)
