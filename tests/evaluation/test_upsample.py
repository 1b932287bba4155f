"""Labels from coarse logits against the argmax of TensorFlow's own resize."""

import numpy as np
import pytest

from deeplab_nb.evaluation import predict
from deeplab_nb.network.deeplab import predict_labels
from deeplab_nb.tf1 import tf


def resized(logits, frame):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(predict_labels(tf.constant(logits), frame))


def smooth(seed, batch, rows, columns, classes=21):
    """Logits whose largest class changes now and then, as a network's do."""
    coarse = np.random.RandomState(seed).normal(
        size=(batch, rows // 4 + 2, columns // 4 + 2, classes)
    )
    return np.float32(
        coarse.repeat(4, 1).repeat(4, 2)[:, :rows, :columns]
        + np.random.RandomState(seed + 1).normal(size=(batch, rows, columns, classes)) * 0.2
    )


@pytest.mark.parametrize(
    "frame, step, size",
    [
        ((129, 129), 16, (96, 113)),
        ((129, 129), 8, (129, 129)),
        ((65, 97), 16, (49, 82)),
        ((33, 33), 32, (1, 1)),
        ((17, 33), 16, (17, 33)),
    ],
)
@pytest.mark.parametrize("make", ["smooth", "noise"])
def test_labels_are_those_of_the_resized_logits(frame, step, size, make):
    grid = [(side - 1) // step + 1 for side in frame]
    logits = (
        smooth(0, 2, *grid)
        if make == "smooth"
        else np.float32(np.random.RandomState(0).normal(size=(2, *grid, 21)))
    )
    labels = predict.largest_class(logits, size, predict.whole_steps(frame, grid))
    assert labels.dtype == np.uint8 and np.array_equal(
        labels, resized(logits, frame)[:, : size[0], : size[1]]
    )


def test_more_cells_than_are_upsampled_at_a_time(monkeypatch):
    logits = np.float32(np.random.RandomState(0).normal(size=(1, 9, 9, 5)))
    whole = predict.largest_class(logits, (65, 65), (8, 8))
    monkeypatch.setattr(predict, "CELLS", 7)
    assert np.array_equal(predict.largest_class(logits, (65, 65), (8, 8)), whole)


@pytest.mark.parametrize(
    "frame, grid, step",
    [
        ((513, 353), (33, 23), (16, 16)),
        ((513, 353), (65, 45), (8, 8)),
        ((500, 375), (32, 24), None),
        ((1, 1), (1, 1), None),
    ],
)
def test_only_frames_of_whole_cells_are_upsampled_here(frame, grid, step):
    assert predict.whole_steps(frame, grid) == step
