"""The original library's figures: variables, logits, losses, gradients, statistics."""

import functools

import numpy as np
import pytest

from deeplab_nb.devices import devices
from deeplab_nb.network import deeplab, head
from deeplab_nb.network.fast_layers import FastLayers, FoldedLayers
from deeplab_nb.network.layers import Layers
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from tests.support import golden

WITH_FIGURES = [
    "mobilenet_v2",
    "mobilenet_v2_dm0.5",
    "xception_65",
    "resnet_v1_50_beta",
    "resnet_v1_50_beta_dec4",
]

# Relative noise on the input that moves the logits about as far as they are from the original's,
# which another processor computed: up to 4.6e-6 of their maximum with frozen batch norm. Batch
# statistics magnify even a float32 rounding or two a thousand times: there they are up to 1.2e-3
# from the original's, and as far from themselves.
NOISE, RUNS = {"frozen": 3e-6, "trained": 2e-7}, {"frozen": 8, "trained": 8}


# scope: the tests of one network follow each other, whose weights are drawn once
each_with_figures = pytest.mark.parametrize("variant", WITH_FIGURES, scope="module")


@functools.lru_cache(maxsize=None)
def built(variant):
    """The graph of a network, which nothing but variables is asked of."""
    with tf.Graph().as_default() as graph:
        deeplab.build_logits(
            tf.placeholder(tf.float32, [1, 65, 65, 3]), settings=golden.settings(variant)
        )
    return graph


@pytest.mark.parametrize("variant", golden.VARIANTS, scope="module")
def test_variables_are_the_originals(variant):
    with built(variant).as_default():
        trainable = set(tf.trainable_variables())
        found = {v.op.name: [v.shape.as_list(), v in trainable] for v in tf.global_variables()}
        assert {v.dtype.base_dtype for v in tf.global_variables()} == {tf.float32}
    assert found == {
        name: [shape, train] for name, shape, train in golden.figures(variant)["variables"]
    }


@pytest.mark.parametrize("crop", [65, 129])
@each_with_figures
def test_logits_are_the_originals(variant, crop):
    figures = golden.figures(variant)
    step, maximum = (
        figures[f"logits_step_{crop}"],
        figures[f"logits_maximum_{crop}"],
    )
    with tf.Graph().as_default(), tf.Session() as session:
        images, chosen = tf.constant(golden.image(2, crop, crop)), golden.settings(variant)
        both = [
            deeplab.build_logits(images, settings=chosen, layers=kind(deeplab.variables_of(chosen)))
            for kind in (Layers, FoldedLayers)
        ]
        golden.load_weights(session, tf.global_variables(), figures["gain"])
        both = [logits[:, ::step, ::step] for logits in session.run(both)]
    theirs = golden.arrays(variant)[f"logits_{crop}"]
    for mine in both:
        assert mine.shape == theirs.shape
        assert abs(mine - theirs).max() <= 1e-4 * maximum


@pytest.mark.slow
@pytest.mark.parametrize("crop", [65, 129])
@pytest.mark.parametrize("batch_norm", ["frozen", "trained"])
@each_with_figures
def test_losses_gradients_and_statistics_are_the_originals(variant, batch_norm, crop, monkeypatch):
    monkeypatch.setattr(
        head, "KEEP_PROBABILITY", 1.0
    )  # the stored figures were taken without dropout
    figures, arrays, case = (
        golden.figures(variant),
        golden.arrays(variant),
        f"{crop}_{batch_norm}",
    )
    chosen = golden.settings(variant, fine_tune_batch_norm=batch_norm == "trained")
    config = devices.session_config("cpu", chosen)
    with tf.Graph().as_default(), tf.Session(config=config) as session:
        images = tf.placeholder(tf.float32, [2, crop, crop, 3])
        layers = deeplab.training_layers(chosen, FastLayers)
        logits = deeplab.build_logits(images, settings=chosen, layers=layers)
        loss = objective.cross_entropy(logits, tf.constant(golden.label(2, crop, crop)), 255)
        decay = objective.weight_decay(tf.trainable_variables(), 4e-5)
        norms = [tf.norm(g) for g in tf.gradients(loss, tf.trainable_variables())]
        golden.load_weights(session, tf.global_variables(), figures["gain"])

        def step(image):
            """Weight decay, and the loss with its gradients' norms; statistics move along.

            Always the same tensors: TensorFlow prepares a graph anew for others.
            """
            fetched = session.run([decay, [loss] + norms, list(layers.updates)], {images: image})
            return fetched[:2]

        exact = golden.image(2, crop, crop)
        penalty, found = step(exact)
        moved = session.run([v for v in tf.global_variables() if "/moving_" in v.op.name])
        # no loss reads the statistics that move on from here: they are stored ones, or the batch's
        noisy = [
            step(with_noise(exact, NOISE[batch_norm], seed))[1] for seed in range(RUNS[batch_norm])
        ]
    expected = figures[case]
    noisy, (entropy, *norms) = np.array(noisy), found
    within = 3 * float(np.ptp([entropy, *noisy[:, 0]]))
    assert entropy == pytest.approx(expected["cross_entropy"], rel=1e-5, abs=within)
    assert penalty == pytest.approx(expected["regularization"], rel=1e-5)
    assert entropy + penalty == pytest.approx(expected["total"], rel=1e-5, abs=within)
    check_gradients(
        variant, norms, noisy[:, 1:], arrays["gradients_" + case], expected["global_ce_norm"]
    )
    check_statistics(variant, moved, arrays[f"moved_{crop}"] if batch_norm == "trained" else None)


def with_noise(image, noise, seed):
    return image * (1 + noise * np.random.RandomState(seed).standard_normal(image.shape)).astype(
        np.float32
    )


def check_gradients(variant, norms, noisy, expected, total):
    """To 1e-4 of the norm, or where rounding alone moves it by more, to three times that spread.

    A ReLU on the edge opens or stays shut by one rounding, and the gradient of all that lies before
    it jumps: the original's own figures carry that noise. A draw of noise that so moves half of the
    norms by 5 % would allow anything and is left out: none with TensorFlow 1.15; with 2.21, whose
    oneDNN has another order of sums, two of MobileNetV2's eight at crop 129. Norms below 1e-5 of
    the whole are rounding throughout.
    """
    names = [name for name, _, trainable in golden.figures(variant)["variables"] if trainable]
    counted = expected > 1e-5 * total
    moved = np.median((abs(noisy - norms) / expected)[:, counted], axis=1)
    assert (moved < 0.05).mean() > 0.5
    spread = np.ptp([norms, *noisy[moved < 0.05]], axis=0)
    allowed = np.maximum(1e-4 * expected, 3 * spread)
    assert [
        name
        for name, n, e, a, c in zip(names, norms, expected, allowed, counted)
        if c and abs(n - e) > a
    ] == []
    assert np.median((spread / expected)[counted]) < 0.05  # or the comparison would say nothing


def check_statistics(variant, moved, expected):
    """Every statistic moved as the original's did; none moved where none should."""
    figures = golden.figures(variant)
    names = [name for name, _, trainable in figures["variables"] if not trainable]
    for row, (name, after) in enumerate(zip(names, moved)):
        delta = np.linalg.norm(
            (after - golden.value(name, after.shape, figures["gain"])).astype(np.float64)
        )
        if expected is None:
            assert delta == 0, name
            continue
        assert delta == pytest.approx(expected[row][0], rel=1e-3, abs=1e-6), name
        assert after[:3] == pytest.approx(expected[row][1:], rel=1e-4, abs=1e-6), name


@each_with_figures
def test_weight_decay_touches_exactly_the_originals_variables(variant):
    with built(variant).as_default():
        variables = tf.trainable_variables()
        gradients = tf.gradients(objective.weight_decay(variables, 4e-5), variables)
    assert {v.op.name for v, g in zip(variables, gradients) if g is not None} == set(
        golden.figures(variant)["decayed"]
    )
