"""Mistakes shown as lessons, answers judged, a photograph at hand."""

import numpy as np
import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs.run import open_run
from lessons.exercises import check, photograph, refusal


def test_a_refusal_is_shown_and_its_absence_is_a_fault(capsys):
    with refusal():
        raise WorkbookError("no such thing")
    assert capsys.readouterr().out == "refused: no such thing\n"
    with pytest.raises(AssertionError, match="meant to be refused"):
        with refusal():
            pass


@pytest.mark.parametrize(
    "yours, words",
    [(..., "not answered yet"), (65, "right"), (64, "not yet"), ((65, 65), "not yet")],
)
def test_an_answer_is_judged(yours, words, capsys):
    check(yours, 65)
    assert capsys.readouterr().out.startswith(words)


def test_a_drawn_photograph_serves_where_the_data_set_is_absent(tmp_path, capsys):
    absent = open_run("sample", str(tmp_path / "a"), {"data_root": str(tmp_path / "VOC2012")})
    drawn = photograph(absent)
    assert "VOC2012 does not exist" in capsys.readouterr().out
    assert np.array_equal(drawn, photograph(open_run("sample", str(tmp_path / "b"))))
    assert capsys.readouterr().out == ""
