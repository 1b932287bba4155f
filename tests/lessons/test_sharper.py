"""A decoder added to a trained network: what it begins with, what moves, what is compared."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.runs.run import open_run
from deeplab_nb.tf1 import tf
from lessons import sharper
from tests.support.tiny_checkpoint import make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(run, its checkpoint): from random weights, as the sample, on a few small images."""
    folder = tmp_path_factory.mktemp("run")
    values = {
        "depth_multiplier": 0.25,
        "train_crop_size": 33,
        "data_root": make_tiny_voc(tmp_path_factory.mktemp("voc"), train=5),
    }
    return open_run("sample", str(folder), values), make_tiny_checkpoint(folder)


def values(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


@pytest.mark.parametrize("given", [False, True])
def test_only_what_lies_behind_the_aspp_moves(tiny, given, tmp_path):
    run, checkpoint = tiny
    if given:
        chosen = settings_module.override(run.settings, {"initial_checkpoint": checkpoint})
        run = type(run)(run.recipe, chosen, run.folder)
    before = values(checkpoint)
    after = values(sharper.add_decoder(run, checkpoint, str(tmp_path), steps=2))
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    assert moved == (set() if given else {"logits/semantic/weights", "logits/semantic/biases"})
    new = set(after) - set(before)
    assert new and all(name.startswith("decoder/") for name in new)


def test_given_weights_begin_with_their_own_logits(tiny, tmp_path):
    """A decoder that passes features on changes nothing before it has learned."""
    run, checkpoint = tiny
    chosen = settings_module.override(run.settings, {"initial_checkpoint": checkpoint})
    prefix = sharper.add_decoder(
        type(run)(run.recipe, chosen, run.folder), checkpoint, str(tmp_path), steps=0
    )
    kernel = values(prefix)["decoder/decoder_conv0_pointwise/weights"][0, 0]
    assert np.array_equal(kernel[:256], np.eye(256)) and not kernel[256:].any()


def test_curves_are_of_both_or_of_the_one_that_there_is(tiny, tmp_path):
    run, checkpoint = tiny
    found = sharper.curves(run, checkpoint, str(tmp_path), steps=1)
    assert list(found) == ["without a decoder", "with a decoder of 1 steps"]
    assert all(set(scores.trimap) == {1, 2, 5, 10, 20} for scores in found.values())
    settings = sharper.with_decoder(run.settings)
    own = type(run)(run.recipe, settings, run.folder)
    assert list(sharper.curves(own, str(tmp_path), str(tmp_path), steps=1)) == ["with its decoder"]
