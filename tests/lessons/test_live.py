"""Charts that grow."""

import json
import time

import pytest

from lessons import live


class Shown:
    def __init__(self):
        self.pictures = []

    def update(self, picture):
        self.pictures.append(picture)


@pytest.fixture
def shown(monkeypatch):
    """A chart's pictures after its first, in a notebook that someone looks at."""
    place = Shown()
    monkeypatch.setattr(live, "display", lambda picture, display_id: place)
    monkeypatch.delenv(live.HEADLESS, raising=False)
    return place.pictures


def test_a_chart_is_drawn_anew_when_that_is_due(shown, monkeypatch):
    chart = live.Chart(lambda: "picture")
    chart.update()
    assert shown == []
    monkeypatch.setattr(live, "SECONDS", -1)
    chart.update()
    assert shown == ["picture"]


def test_an_executed_notebook_keeps_the_last_picture_alone(shown, monkeypatch):
    monkeypatch.setenv(live.HEADLESS, "1")
    monkeypatch.setattr(live, "SECONDS", -1)
    chart = live.Chart(lambda: "picture")
    chart.update()
    assert shown == []
    chart.update(last=True)
    assert shown == ["picture"]


def test_curves_have_a_line_a_training_and_points_where_miou_is_known():
    figure = live.curves({"one": [(1, 3.0, None), (2, 2.0, 0.1)], "two": [(1, 4.0, None)]}, 2)
    loss, miou = figure.axes
    assert [list(line.get_ydata()) for line in loss.get_lines()] == [[3, 2], [4]]
    assert [list(line.get_xdata()) for line in miou.get_lines()] == [[2], []]
    assert "one, two" in figure.get_label()


def test_a_log_is_followed_while_a_block_runs_and_drawn_once_more_at_its_end(
    shown, monkeypatch, tmp_path
):
    monkeypatch.setattr(live, "SECONDS", 0.05)
    with live.log_chart(str(tmp_path)):  # there is no log yet
        for step in (1, 2):
            with open(str(tmp_path / "log.jsonl"), "a") as file:
                entry = {"step": step, "loss": 1.0 / step, "learning_rate": 0.1}
                file.write(json.dumps(entry) + "\n")
        deadline = time.time() + 30
        while not shown and time.time() < deadline:
            time.sleep(0.05)
    assert len(shown) > 1
    assert list(shown[-1].axes[0].get_lines()[0].get_xdata()) == [1, 2]


def test_an_error_of_the_block_goes_on(shown, tmp_path):
    with pytest.raises(ValueError, match="its own"):
        with live.log_chart(str(tmp_path)):
            raise ValueError("its own")
