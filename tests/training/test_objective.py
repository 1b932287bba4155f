import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from tests.support import golden


def run(tensor):
    with tf.Session() as session:
        return session.run(tensor)


RULES = golden.figures("training_rules")  # what the original's training gave
LOSSES = {
    "plain": {},
    "label_weights": {"class_weights": RULES["class_weights"]},
    "weight2.0": {"class_weights": [2.0] * 21},
    "no_upsample": {"upsample_logits": False},
    "top_k_0.25": {"top_k_percent_pixels": 0.25},
    "top_k_0.25_mining100_step50": {"top_k_percent_pixels": 0.25, "hard_example_mining_step": 100},
}


def entropy(logits, labels, step=50, **values):
    """The loss that training builds from settings."""
    settings = settings_module.read(values)
    return objective.cross_entropy(
        logits,
        labels,
        255,
        upsample=settings.upsample_logits,
        class_weights=settings.class_weights,
        hardest=objective.hardest_share(tf.constant(step, tf.int64), settings),
    )


def test_no_loss_of_the_original_is_left_out():
    assert set(LOSSES) == set(RULES["losses"])


@pytest.mark.parametrize("case", LOSSES)
def test_cross_entropy_is_the_originals(case):
    """Logits and labels by the original's formula."""
    logits = np.random.RandomState(7).standard_normal((2, 5, 5, 21)).astype(np.float32) * 2
    with tf.Graph().as_default():
        loss = run(
            entropy(tf.constant(logits), tf.constant(golden.label(2, 65, 65)), **LOSSES[case])
        )
    assert loss == pytest.approx(RULES["losses"][case], rel=1e-5)


def test_mining_starts_with_all_pixels_and_ends_with_the_share():
    settings = settings_module.read(LOSSES["top_k_0.25_mining100_step50"])
    with tf.Graph().as_default():
        assert run(
            [objective.hardest_share(tf.constant(step), settings) for step in (0, 50, 100, 900)]
        ) == [1, 0.625, 0.25, 0.25]


@pytest.mark.parametrize("case", LOSSES)
def test_the_loss_of_nothing_but_void_is_zero(case):
    with tf.Graph().as_default():
        loss = run(
            entropy(tf.random_normal([1, 3, 3, 21]), tf.fill([1, 9, 9], 255), **LOSSES[case])
        )
    assert loss == 0


def test_void_pixels_among_the_hardest_divide_nothing():
    with tf.Graph().as_default():
        assert run(objective.mean_of_hardest(tf.constant([[0.0, 3.0], [1.0, 0.0]]), 0.75)) == 2


def test_void_pixels_have_no_gradient():
    labels = np.full((1, 3, 3), 4, np.int32)
    labels[0, 0, 0] = 255
    with tf.Graph().as_default():
        logits = tf.constant(np.random.RandomState(0).rand(1, 3, 3, 21).astype(np.float32))
        gradient = run(
            tf.gradients(objective.cross_entropy(logits, tf.constant(labels), 255), logits)[0]
        )
    assert not gradient[0, 0, 0].any() and gradient[0, 1, 1].any()


@pytest.mark.parametrize("name", RULES["tables"])
def test_every_schedule_is_the_originals_at_every_step(name):
    table = RULES["tables"][name]
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.placeholder(tf.int64, [])
        rate = objective.learning_rate(step, settings_module.read(table["settings"]))
        mine = [session.run(rate, {step: s}) for s in RULES["steps"]]
    assert mine == pytest.approx(table["rates"], rel=1e-5, abs=1e-12)


def test_a_constant_rate_stays():
    settings = settings_module.read({"learning_rate": 0.0014, "learning_rate_policy": "constant"})
    with tf.Graph().as_default():
        assert run(objective.learning_rate(tf.constant(5000), settings)) == pytest.approx(0.0014)


def test_a_stride_looks_at_every_second_row_and_column():
    logits = np.random.RandomState(1).rand(1, 5, 5, 21).astype(np.float32)
    labels = golden.label(1, 9, 9)
    with tf.Graph().as_default():
        strided = objective.cross_entropy(tf.constant(logits), tf.constant(labels), 255, stride=2)
        by_hand = objective.cross_entropy(
            tf.constant(logits), tf.constant(labels[:, ::2, ::2]), 255
        )
        assert run(strided) == pytest.approx(run(by_hand))


@pytest.mark.parametrize("last_layers", ["all", "logits"])
@pytest.mark.parametrize("variant", RULES["multipliers"])
def test_gradient_multipliers_are_the_originals(variant, last_layers):
    settings = settings_module.read(
        {
            "last_layer_gradient_multiplier": 10,
            "bias_gradient_multiplier": 2,
            "last_layers_contain_logits_only": last_layers == "logits",
        }
    )
    mine = {
        name: objective.gradient_multiplier(name, settings)
        for name, _, trainable in golden.figures(variant)["variables"]
        if trainable
    }
    expected = RULES["multipliers"][variant][last_layers]
    assert sorted(name for name in mine if mine[name] == 10) == expected["10"]
    assert sorted(name for name in mine if mine[name] == 20) == expected["20"]
    assert set(mine.values()) == {1, 10, 20}


def test_multipliers_reach_the_weights():
    settings = settings_module.read(
        {"last_layer_gradient_multiplier": 10, "bias_gradient_multiplier": 2}
    )
    with tf.Graph().as_default(), tf.Session() as session:
        variables = [
            tf.Variable(0.0, name=name)
            for name in ("Conv/weights", "aspp0/weights", "logits/semantic/biases")
        ]
        update = objective.update(
            tf.add_n([v.read_value() for v in variables]),
            tf.train.get_or_create_global_step(),
            objective.optimizer(0.5, settings),
            settings,
        )
        session.run(tf.global_variables_initializer())
        assert session.run(update)[1] == pytest.approx(3**0.5), (
            "the norm is of the gradients themselves"
        )
        assert session.run(variables) == [-0.5, -5.0, -10.0]


def test_adam_starts_as_by_hand():
    """The first step by hand, for a gradient of 1.

    Kingma and Ba, section 2, with epsilon before the correction.
    """
    settings = settings_module.read({"optimizer": "adam"})
    root, epsilon = (1 - 0.98) ** 0.5, 1e-5
    with tf.Graph().as_default(), tf.Session() as session:
        weight = tf.Variable(0.0, name="weights")
        update = objective.update(
            weight.read_value(),
            tf.train.get_or_create_global_step(),
            objective.optimizer(0.1, settings),
            settings,
        )
        session.run(tf.global_variables_initializer())
        session.run(update)
        assert session.run(weight) == pytest.approx(-0.1 * root / (root + epsilon), rel=1e-4)
