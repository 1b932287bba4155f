"""The mixed-precision lesson's figures."""

import os

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.devices import precision
from deeplab_nb.runs.run import open_run
from deeplab_nb.tf1 import tf
from lessons import precision as lesson
from lessons.solutions import nb03
from tests.support import golden
from tests.support.tiny_checkpoint import SETTINGS, make_tiny_checkpoint


def test_shares_count_what_lies_below_and_a_scale_lifts_it():
    values = np.float32([0, 2**-30, -(2**-25), 1.5 * 2**-24, -1e-3, 1, 2**17])
    sizes = lesson.Sizes(np.arange(lesson.LOWEST, lesson.HIGHEST), lesson._counts(values))
    assert sizes.counts.sum() == 6  # zeros are none
    assert lesson.share_below(sizes, lesson.SMALLEST) == pytest.approx(2 / 6)
    assert lesson.share_below(sizes, lesson.NORMAL) == pytest.approx(3 / 6)
    assert lesson.share_below(sizes, lesson.SMALLEST, 2.0**6) == 0
    assert 1 - lesson.share_below(sizes, lesson.TOO_LARGE) == pytest.approx(1 / 6)
    axes = lesson.gradient_figure({"one": sizes, "two": sizes}, 1024.0).axes
    assert [ax.get_title(loc="left") for ax in axes] == ["one", "two"]
    assert sum(bar.get_height() for bars in axes[0].containers for bar in bars) == pytest.approx(
        200
    )


def test_gradients_have_three_fates():
    values = np.float32([2**-30, 1.5 * 2**-24, 2**-20, 1, 2**15])
    sizes = lesson.Sizes(np.arange(lesson.LOWEST, lesson.HIGHEST), lesson._counts(values))
    head, *rows = lesson.fates({"weights": sizes}).splitlines()
    assert head.split() == "weights loss scale vanish lose digits overflow".split()
    assert [row.split()[1:] for row in rows] == [
        "1 20.00 % 40.00 % 0 of 5".split(),
        "1024 0.00 % 20.00 % 1 of 5".split(),
        "65536 0.00 % 0.00 % 2 of 5".split(),
    ]


def test_gradients_are_counted_and_a_scale_far_too_high_falls():
    settings = settings_module.read(
        {"depth_multiplier": 0.25, "loss_scale": "exponential", "initial_loss_scale": 2.0**32}
    )
    images, masks = golden.image(2, 33, 33), golden.label(2, 33, 33)
    sizes = lesson.gradient_sizes(settings, images, masks)
    assert (
        sizes.counts.sum() > 1000
        and lesson.share_below(sizes, -40) < 0.5
        and lesson.share_below(sizes, 4) == 1
    )
    trace = lesson.scale_trace(settings, images, masks, 3)
    assert [attempt.loss_scale for attempt in trace] == [2.0**32] * 2 + [2.0**31]
    assert all(attempt.skipped and np.isfinite(attempt.cross_entropy) for attempt in trace)
    crosses = lesson.scale_figure(trace).axes[0].get_lines()[1]
    assert list(crosses.get_xdata()) == [1, 2, 3]


def step(loss, weights, rate, scale):
    """As notebook 03 writes it."""
    gradients = [gradient / scale for gradient in tf.gradients(loss * scale, weights)]
    finite = tf.reduce_all([tf.reduce_all(tf.is_finite(gradient)) for gradient in gradients])

    def update():
        return tf.group(*[tf.assign_sub(w, rate * g) for w, g in zip(weights, gradients)])

    return tf.cond(finite, update, tf.no_op)


def test_a_step_in_ten_lines_is_the_modules_and_one_that_overflows_moves_nothing():
    settings = settings_module.read({"depth_multiplier": 0.25, "bias_gradient_multiplier": 2.0})
    images, masks = golden.image(2, 33, 33), golden.label(2, 33, 33)
    plain = lesson.one_step_settings(settings)
    before, unmoved, ours = lesson.after_steps(plain, images, masks, step, (2.0**100, 16.0))
    same, theirs = lesson.after_the_modules_step(plain, images, masks)
    assert all((before[name] == same[name]).all() for name in before) and len(before) > 100
    assert "weights moved by up to" in lesson.compared(before, ours, theirs)
    other = {name: 2 * weights for name, weights in ours.items()}
    for moved in (other, before):
        with pytest.raises(AssertionError, match="differ by"):
            lesson.compared(before, moved, theirs)
    assert all((unmoved[name] == before[name]).all() for name in before)


def test_the_first_loss_is_near_the_logarithm_of_the_classes():
    settings = settings_module.read({"depth_multiplier": 0.25})
    images, masks = golden.image(2, 33, 33), golden.label(2, 33, 33)
    logits, loss = lesson.first_logits(settings, images, masks)
    assert logits.shape == (2, 33, 33, 21) and loss == pytest.approx(np.log(21), rel=0.15)


def test_weights_at_hand_are_the_runs_and_the_recipes(tmp_path, capsys):
    for folder in (tmp_path / "given", tmp_path / "run" / "train"):
        folder.mkdir(parents=True)
    given = make_tiny_checkpoint(tmp_path / "given")
    values = dict(SETTINGS, initial_checkpoint=given)
    run = open_run("sample", str(tmp_path / "run"), values)
    assert list(lesson.weights_at_hand(run)) == ["untrained", "published"]
    make_tiny_checkpoint(tmp_path / "run" / "train")
    found = lesson.weights_at_hand(run)
    assert list(found) == ["untrained", "trained here", "published"]
    frozen = settings_module.override(run.settings, {"fine_tune_batch_norm": False})
    assert found["published"] == (frozen, given)
    assert os.path.dirname(found["trained here"][1]) == run.train_folder


def test_a_deep_network_is_given_less_of_a_batch():
    images, masks = np.zeros((4, 513, 513, 3)), np.zeros((4, 513, 513))
    small, deep = (settings_module.read({"backbone": b}) for b in ("mobilenet_v2", "xception_65"))
    assert lesson.small(small, images, masks)[0].shape == (2, 513, 513, 3)
    assert lesson.small(deep, images, masks)[1].shape == (1, 129, 129)


def test_a_rate_is_drawn_from_its_first_value_to_its_last():
    settings = settings_module.read({"learning_rate": 0.01, "train_steps": 50})
    (line,) = lesson.rate_figure(settings).axes[0].get_lines()
    rates = line.get_ydata()
    assert len(rates) == 51 and rates[0] == pytest.approx(0.01) and rates[-1] == 0
    assert rates[20] == pytest.approx(nb03.poly(20, 50, 0.01, 0.9))
    axes = lesson.rate_figure(settings_module.override(settings, {"train_steps": 0})).axes[0]
    assert "over 1000" in axes.get_title() and axes.get_xlim() == (0, 1000)


def test_the_solutions_loss_scale_is_the_modules():
    finite = [True, True, False, True, False, True, True, True, False, False]
    with tf.Graph().as_default(), tf.Session() as session:
        scale = precision.ExponentialScale(1024.0, 3)
        flag = tf.placeholder(tf.bool, [])
        moved, theirs = scale.update_loss_scale(flag), []
        session.run(tf.global_variables_initializer())
        for one in finite:
            session.run(moved, {flag: one})
            state = scale.loss_scale, scale.good_steps, scale.bad_steps
            theirs.append(tuple(session.run(state)))
    state, ours = (1024.0, 0, 0), []
    for one in finite:
        state = nb03.adjust(*state, one, 3)
        ours.append(state)
    assert ours == theirs
    scales = [state[0] for state in ours]
    assert scales == 4 * [1024] + 3 * [512] + 2 * [1024] + [512]  # it fell, climbed and fell


def test_a_readers_loss_scale_is_drawn_over_the_modules(capsys):
    trace = [lesson.Attempt(2.0**10, 3.0, True), lesson.Attempt(2.0**10, 3.0, True)]
    trace += [lesson.Attempt(2.0**9, 2.0, False)]
    line = lesson.replay(nb03.adjust, trace, 1000).axes[0].get_lines()[-1]
    assert list(line.get_ydata()) == [1024, 1024, 512]
    assert lesson.replay(None, trace, 1000) is None
    assert "once `adjust` is right" in capsys.readouterr().out
