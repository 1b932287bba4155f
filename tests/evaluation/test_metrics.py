import numpy as np
import pytest

from deeplab_nb.evaluation.metrics import Scores, border_bands, confusion_matrix, mean_of_batches

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
    assert "absent" in scores.table(["a", "b", "c", "d"]).splitlines()[-4]
    absent = {"iou": None, "interval": [None, None], "dice": None, "pixels": 0}
    assert scores.as_dict(["a", "b", "c", "d"])["classes"]["d"] == absent


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
    scores = Scores(
        confusion_matrix(np.array([255]), np.array([0]), num_classes=2, ignore_label=255)
    )
    assert np.isnan(scores.mean_iou) and scores.as_dict(["a", "b"])["miou"] is None


def test_matrices_of_parts_add_up_to_that_of_the_whole():
    random = np.random.RandomState(0)
    truth, prediction = random.randint(0, 4, (6, 50)), random.randint(0, 4, (6, 50))
    count = lambda t, p: confusion_matrix(t, p, num_classes=4, ignore_label=255)  # noqa: E731
    assert np.array_equal(
        count(truth, prediction), sum(count(t, p) for t, p in zip(truth, prediction))
    )


def test_frequency_weighted_iou_weighs_by_the_masks_pixels():
    assert Scores(matrix()).frequency_weighted_iou == pytest.approx((2 * 1 / 3 + 2 * 2 / 3 + 0) / 5)


def test_bands_grow_from_void_and_from_where_classes_meet():
    truth = np.zeros((60, 60), int)
    truth[:, 20] = 255
    truth[:, 45:] = 1
    bands = border_bands(truth, 255)
    assert list(bands) == [1, 2, 5, 10, 20]
    assert np.flatnonzero(bands[1][30]).tolist() == [19, 20, 21, 44, 45]
    assert np.flatnonzero(bands[2][30]).tolist() == [18, 19, 20, 21, 22, 43, 44, 45, 46]


def test_a_mask_of_one_class_has_no_border():
    assert not any(band.any() for band in border_bands(np.zeros((9, 9), int), 255).values())


def test_the_trimap_is_the_mean_iou_of_each_band():
    scores = Scores(matrix(), {2: matrix(), 1: np.diag([5, 5, 0, 0])})
    assert (
        list(scores.trimap) == [1, 2]
        and scores.trimap[1] == 1
        and scores.trimap[2] == scores.mean_iou
    )
    assert scores.as_dict(["a", "b", "c", "d"])["trimap"]["2"] == scores.mean_iou
    assert "100.00  mean over the pixels within 1 of an object border" in scores.table(
        ["a", "b", "c", "d"]
    )


def test_mindspores_mean_counts_what_is_only_predicted_as_0():
    only = confusion_matrix(np.array([0, 0]), np.array([0, 1]), num_classes=3, ignore_label=255)
    assert mean_of_batches([only, np.diag([4, 4, 0])]) == pytest.approx((0.25 + 1) / 2)
    assert mean_of_batches([only, np.zeros((3, 3), int)]) == pytest.approx(0.25)
