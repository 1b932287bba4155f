"""The ledger as a picture says what the ledger says."""

import json
import os

import pytest

from deeplab_nb import files
from deeplab_nb.evaluation import ledger
from deeplab_nb.show import plots
from lessons import judging
from tests.support.pictures import drawn


@pytest.fixture(scope="module")
def compared():
    with open(os.path.join(files.RUNS, "reference", "eval", "results.json")) as file:
        return ledger.compare(json.load(file))


def test_each_mark_is_the_ledgers(compared):
    figure = judging.show_marks(compared)
    found = [text.get_text() for text in figure.axes[0].texts]
    wanted = [judging.MARKS[mark.agrees][0] for _, marks in compared for mark in marks.values()]
    assert found == wanted and set(found) == {"✓", "✗", "?"}
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert [label.split("  ")[0] for label in labels] == [row.name for row, _ in compared]


def test_it_fits_and_says_how_much_agrees(compared):
    figure = judging.show_marks(compared)
    assert drawn(figure).std() > 0
    closest, marks = compared[0]
    said = f"of 13 conditions agree with {closest.name} {ledger.agreeing(marks)}, "
    assert said in plots.words(figure)
