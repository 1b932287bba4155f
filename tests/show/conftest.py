"""An explorer of a tiny network, shared by the tests of what it shows and of its widgets."""

import contextlib

import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.show import explorer
from tests.support.tiny_checkpoint import SETTINGS, amplified, make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture(scope="package")
def opened_once(tmp_path_factory):
    """(explorer, evaluation, folder of its predictions) of a tiny network on five images."""
    folder = tmp_path_factory.mktemp("explorer")
    settings = settings_module.read(dict(SETTINGS, data_root=make_tiny_voc(folder, val=5)))
    checkpoint = amplified(make_tiny_checkpoint(folder), folder)
    predictions = str(folder / "predictions")
    evaluation = evaluate(settings, checkpoint, predictions=predictions)
    opened = explorer.Explorer(settings, checkpoint, evaluation.image_miou, engine="tensorflow")
    with contextlib.closing(opened):
        yield opened, evaluation, predictions


@pytest.fixture
def scored(opened_once):
    """The same, without the photographs that an earlier test has uploaded."""
    opened_once[0]._own.clear()
    return opened_once
