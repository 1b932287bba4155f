"""The explorer's widgets, the real ones, moved by their values."""

import datetime

import pytest

from deeplab_nb.progress import HEADLESS
from deeplab_nb.show import controls, explorer
from tests.support.tiny_photograph import file_of


@pytest.fixture
def moved(scored, monkeypatch):
    monkeypatch.delenv(HEADLESS, raising=False)
    return controls.explore(scored[0])


def test_moving_a_control_changes_the_picture_and_moving_it_back_restores_it(moved):
    first = moved.picture.value
    moved.strength.value = 1.0
    assert moved.picture.value != first and controls.READY in moved.state.value
    moved.strength.value = 0.6
    assert moved.picture.value == first


def test_a_new_order_lists_its_images_and_shows_the_first(moved):
    moved.class_id.value = 7
    moved.order.value = "with the chosen class"
    assert moved.image_id.options == ("val_002",) and "val_002" in moved.state.value


def test_an_error_is_said_in_words_and_the_picture_stays(moved):
    before = moved.picture.value
    moved.order.value = "with the chosen class"
    assert "no class is chosen" in moved.state.value and moved.picture.value == before
    moved.order.value = "as listed"
    assert controls.READY in moved.state.value


def test_an_uploaded_photograph_is_shown(moved):
    moved.upload.value = (
        {
            "name": "mine.png",
            "type": "image/png",
            "size": 1,
            "content": memoryview(file_of((60, 30), form="PNG")),
            "last_modified": datetime.datetime(2020, 1, 1),
        },
    )
    assert moved.view.image_id == "your mine.png" and "your mine.png" in moved.state.value


def test_it_says_that_it_works_before_it_is_ready(moved):
    said = []
    moved.state.observe(lambda change: said.append(change["new"]), "value")
    moved.flip.value = True
    assert controls.BUSY in said[0] and controls.READY in said[-1] and len(said) == 2


def test_where_no_one_can_move_controls_it_is_a_picture(scored, monkeypatch):
    monkeypatch.setenv(HEADLESS, "1")
    assert isinstance(controls.explore(scored[0]), explorer.Picture)


def test_a_saved_notebook_keeps_the_picture_beside_the_controls(moved):
    data, metadata = moved._repr_mimebundle_()
    assert (
        data["image/png"].startswith(b"\x89PNG")
        and "application/vnd.jupyter.widget-view+json" in data
        and metadata["image/png"]["alt"]
    )
