"""The table of what each refinement of evaluation brings and costs."""

import numpy as np
import pytest
from scipy.special import softmax

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.predict import Predictor, padded
from deeplab_nb.network.layers import resize
from deeplab_nb.tf1 import tf
from lessons import refinements
from tests.support.pictures import IMAGE, LABELS, TRUTH, drawn
from tests.support.tiny_checkpoint import SETTINGS, make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc


def test_gains_are_over_the_row_before(tmp_path, monkeypatch):
    monkeypatch.setattr(
        refinements,
        "STEPS",
        (
            ("one scale", {"eval_scales": (1.0,)}),
            ("two", {"eval_scales": (0.5, 1.0)}),
            ("mirrored", {"eval_flip": True}),
        ),
    )
    settings = settings_module.read(dict(SETTINGS, data_root=make_tiny_voc(tmp_path / "voc")))
    rows = refinements.gains(settings, make_tiny_checkpoint(tmp_path), ids=["val_000"])
    assert rows[0].gain == 0 and rows[2].gain == pytest.approx(rows[2].miou - rows[1].miou)
    assert rows[2].settings.eval_scales == (0.5, 1.0) and rows[2].settings.eval_flip
    assert [line.split("  ")[0] for line in refinements.table(rows).splitlines()[1:]] == [
        "one scale",
        "two",
        "mirrored",
    ]


def test_the_change_map_judges_by_the_mask():
    after = TRUTH.copy()
    after[6, 5], after[7, 9] = 3, 4
    picture = refinements.change_map(LABELS, after, TRUTH, 255)
    names = {colour: name for name, colour in refinements.CHANGE_COLOURS.items()}
    seen = [names[tuple(picture[at])] for at in ((6, 6), (6, 9), (6, 5), (7, 9), (0, 0))]
    assert seen == list(refinements.CHANGE_COLOURS)
    figure = refinements.show_change(IMAGE, LABELS, after, TRUTH, voc.class_names(21))
    assert len(figure.axes) == 4 and "became right" in figure.get_label()
    classes, changes = (
        [text.get_text() for text in legend.get_texts()] for legend in figure.legends
    )
    assert changes == list(refinements.CHANGE_COLOURS) and "sheep" in classes
    assert drawn(figure).std() > 0


def test_the_trimap_curve_shows_percent():
    (line,) = refinements.trimap_curve({"stride 16": {1: 0.5, 5: 0.75}}).axes[0].get_lines()
    assert line.get_xdata().tolist() == [1, 5] and line.get_ydata().tolist() == [50, 75]


@pytest.mark.parametrize("size", [(17, 9), (5, 33), (1, 1), (8, 8)])
def test_maps_are_resized_as_the_network_does(size):
    maps = np.random.RandomState(0).rand(2, 8, 8, 3).astype(np.float32)
    with tf.Session() as session:
        wanted = session.run(resize(tf.constant(maps), size))
    assert np.allclose(refinements.resize(maps, size), wanted, atol=1e-5)


def test_the_plain_network_gives_what_the_predictor_does(tmp_path):
    settings = settings_module.read(dict(SETTINGS, eval_flip=False, eval_scales=(1.0,)))
    checkpoint, frame = make_tiny_checkpoint(tmp_path), padded(IMAGE)
    with refinements.network_of(settings, checkpoint) as network:
        maps = softmax(refinements.resize(network(frame), frame.shape[1:3]), -1)
    with Predictor(settings, checkpoint) as predictor:
        theirs = predictor.probabilities(IMAGE)
    height, width = IMAGE.shape[:2]
    assert np.allclose(maps[0, :height, :width], theirs, atol=1e-4)


def test_the_confusion_picture_shows_shares_of_each_class():
    confusion = np.array([[90, 10, 0, 0], [5, 5, 0, 0], [0, 0, 0, 0], [0, 40, 0, 60]])
    figure = refinements.show_confusion(confusion, ["background", "cat", "cow", "dog"])
    axes = figure.axes[0]
    shown = [label.get_text() for label in axes.get_yticklabels()]
    assert shown == ["background", "cat", "dog"]
    assert [text.get_text() for text in axes.texts] == ["90", "10", "50", "50", "40", "60"]
    assert figure.get_label() == "the largest confusion is dog taken for cat"
    assert drawn(figure).std() > 0


def test_a_class_predicted_though_absent_has_a_column_of_its_own():
    confusion = np.array([[9, 1], [0, 0]])
    axes = refinements.show_confusion(confusion, ["background", "cat"]).axes[0]
    labels = [t.get_text() for t in axes.get_xticklabels() + axes.get_yticklabels()]
    assert labels == ["background", "cat", "background"]
