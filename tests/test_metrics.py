import numpy as np
import pytest

from deeplab_nb.evaluation.metrics import Scores, confusion_matrix

TRUTH = np.array([[0, 0, 1, 1, 255, 2]])
PREDICTION = np.array([[0, 1, 1, 1, 3, 0]])


def matrix():
    return confusion_matrix(TRUTH, PREDICTION, num_classes=4, ignore_label=255)


def test_rows_are_the_mask_and_void_counts_nowhere():
    expected = np.zeros((4, 4), int)
    expected[0, 0], expected[0, 1], expected[1, 1], expected[2, 0] = 1, 1, 2, 1
    assert np.array_equal(matrix(), expected)


def test_iou_is_intersection_over_union():
    scores = Scores(matrix())
    assert scores.iou[:3] == pytest.approx([1 / 3, 2 / 3, 0])
    assert scores.mean_iou == pytest.approx((1 / 3 + 2 / 3 + 0) / 3)
    assert scores.pixel_accuracy == pytest.approx(3 / 5)


def test_an_absent_class_is_marked_and_left_out_of_the_mean():
    scores = Scores(matrix())
    assert np.isnan(scores.iou[3]) and not scores.present[3]
    assert "absent" in scores.table(["a", "b", "c", "d"]).splitlines()[-2]
    assert scores.as_dict(["a", "b", "c", "d"])["classes"]["d"] == {"iou": None, "pixels": 0}


def test_a_class_that_is_only_predicted_is_named():
    only = confusion_matrix(np.array([0, 0]), np.array([0, 1]), num_classes=2, ignore_label=255)
    assert Scores(only).as_dict(["background", "cat"])["only_predicted"] == ["cat"]
    assert Scores(only).mean_iou == pytest.approx(0.5)


def test_the_table_names_the_best_class_first():
    lines = Scores(matrix()).table(["background", "cat", "dog", "bus"]).splitlines()
    assert [line.split()[-1] for line in lines[1:5]] == ["cat", "background", "dog", "bus"]
    assert "33.33" in lines[2] and "mean over the 3 classes" in lines[5]


def test_a_value_outside_the_classes_is_an_error():
    with pytest.raises(ValueError, match="class 7 is outside 0..3"):
        confusion_matrix(np.array([7]), np.array([0]), num_classes=4, ignore_label=255)


def test_everything_void_has_no_score():
    scores = Scores(confusion_matrix(np.array([255]), np.array([0]), num_classes=2, ignore_label=255))
    assert np.isnan(scores.mean_iou) and scores.as_dict(["a", "b"])["miou"] is None


def test_matrices_of_parts_add_up_to_that_of_the_whole():
    random = np.random.RandomState(0)
    truth, prediction = random.randint(0, 4, (6, 50)), random.randint(0, 4, (6, 50))
    count = lambda t, p: confusion_matrix(t, p, num_classes=4, ignore_label=255)  # noqa: E731
    assert np.array_equal(count(truth, prediction), sum(count(t, p) for t, p in zip(truth, prediction)))
