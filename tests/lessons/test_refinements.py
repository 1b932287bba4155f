"""The table of what each refinement of evaluation brings and costs."""

import pytest

from deeplab_nb import settings as settings_module
from lessons import refinements
from tests.support.pictures import IMAGE, LABELS, TRUTH
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
    assert len(refinements.show_change(IMAGE, LABELS, after, TRUTH).axes) == 4


def test_the_trimap_curve_shows_percent():
    (line,) = refinements.trimap_curve({"stride 16": {1: 0.5, 5: 0.75}}).axes[0].get_lines()
    assert line.get_xdata().tolist() == [1, 5] and line.get_ydata().tolist() == [50, 75]
