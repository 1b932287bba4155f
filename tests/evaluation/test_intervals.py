"""95 % intervals: they hold the true value so often, and stand beside every score."""

import json

import numpy as np
import pytest

from deeplab_nb.evaluation import intervals, metrics
from deeplab_nb.evaluation.evaluate import summarise
from deeplab_nb.evaluation.metrics import Counts, Scores

CLASSES = 6


def population(images, seed):
    """float [images, classes, classes]: background, objects, and a network that errs unevenly."""
    draw = np.random.RandomState(seed)
    found = np.zeros((images, CLASSES, CLASSES))
    for matrix in found:
        shown = np.append(0, draw.choice(np.arange(1, CLASSES), draw.randint(1, 4), replace=False))
        for number in shown:
            pixels = draw.gamma(4 if number == 0 else 2) * 1e4
            right = draw.beta(40, 2) if number == 0 else draw.beta(8, 2)
            matrix[number, number] += pixels * right
            matrix[number, draw.choice(shown)] += pixels * (1 - right)
    return found


def test_the_intervals_hold_the_true_value_in_95_of_100_lists():
    """500 lists of 400 images out of 20,000, as large as lists that papers score."""
    everything = intervals.totals(population(20_000, 7))
    true = intervals.scores(everything.sum(0))
    held = []
    for seed in range(500):
        chosen = np.random.RandomState(seed).randint(len(everything), size=400)
        low, high = intervals.intervals(everything[chosen])
        held.append((low <= true) & (true <= high))
    share = np.mean(held, axis=0)
    assert 0.93 <= share[0] <= 0.97 and 0.93 <= share[1] <= 0.97  # mIoU, pixel accuracy
    assert 0.93 <= share[2:].mean() <= 0.97  # IoU by class


def test_scores_are_those_of_the_confusion_matrix():
    matrices = population(20, 1).astype(int)
    matrices[:, 3] = 0  # which no mask shows
    found = intervals.scores(intervals.totals(matrices).sum(0))
    expected = Scores(matrices.sum(0))
    np.testing.assert_allclose(found[:2], [expected.mean_iou, expected.pixel_accuracy])
    np.testing.assert_allclose(found[2:], expected.iou)


def test_they_are_the_same_again_and_hold_the_score():
    images = intervals.totals(population(60, 2))
    low, high = intervals.intervals(images)
    again = intervals.intervals(images)
    assert np.array_equal([low, high], again)
    score = intervals.scores(images.sum(0))
    assert (low <= score).all() and (score <= high).all() and (low < high).all()


def test_equal_images_leave_no_doubt():
    images = intervals.totals([population(1, 3)[0]] * 30)
    low, high = intervals.intervals(images)
    score = intervals.scores(images.sum(0))
    np.testing.assert_allclose(low, score)
    np.testing.assert_allclose(high, score)


def test_one_image_and_absent_classes_have_none():
    matrices = population(40, 4).astype(int)
    assert np.isnan(intervals.intervals(intervals.totals(matrices[:1]))).all()
    matrices[:, 2] = 0
    low, high = intervals.intervals(intervals.totals(matrices))
    assert np.isnan([low[4], high[4]]).all() and np.isfinite(low[:4]).all()


@pytest.fixture(scope="module")
def evaluation():
    matrices = {f"image_{i}": m for i, m in enumerate(population(50, 6).astype(int))}
    conditions = {"protocol": "deeplab: x", "list": "val"}
    return summarise(Counts(matrices, {}, conditions, 0.1), [f"c{i}" for i in range(CLASSES)])


def test_results_hold_them_and_the_confusion_matrix(evaluation):
    results = json.loads(json.dumps(evaluation.results))
    low, high = results["miou_interval"]
    assert low < results["miou"] < high
    assert results["pixel_accuracy_interval"][0] < results["pixel_accuracy"]
    assert np.array_equal(results["confusion"], evaluation.scores.confusion)
    for found in results["classes"].values():
        assert found["interval"][0] < found["iou"] < found["interval"][1]
        assert abs(found["dice"] - 2 * found["iou"] / (1 + found["iou"])) < 1e-12
    hits = np.diag(results["confusion"]) / np.sum(results["confusion"], axis=1)
    assert abs(results["mean_class_accuracy"] - hits.mean()) < 1e-12


def test_the_table_prints_them(evaluation):
    table = evaluation.scores.table(list(evaluation.results["classes"])).splitlines()
    mean = metrics.in_percent(evaluation.results["miou_interval"])
    assert "95 % interval" in table[0] and mean in table[-3] and mean.startswith("[")
    assert all(
        metrics.in_percent(v["interval"]) in "".join(table)
        for v in evaluation.results["classes"].values()
    )
