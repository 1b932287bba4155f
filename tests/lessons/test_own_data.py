"""What a set of one's own is drawn, coloured and started with."""

import os
import types

import numpy as np
import pytest

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.runs.run import Run
from deeplab_nb.show import plots
from lessons import own_data

TABLE = {(0, 0, 0): 0, (0, 200, 0): 1, (200, 60, 0): 2}


def run_of(folder, **values):
    recipe = recipes.get("finetune_mobilenetv2_dm05")
    return Run(recipe, settings_module.override(recipe.settings, values), str(folder))


def touched(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    for ending in (".index", ".data-00000-of-00001"):
        (folder / (name + ending)).write_text("")
    return str(folder / name)


def test_a_leaf_has_three_classes_and_its_photograph_the_same_size():
    for seed in range(5):
        photograph, ids = own_data.leaf(np.random.RandomState(seed))
        assert photograph.shape == ids.shape + (3,) and photograph.dtype == np.uint8
        assert set(np.unique(ids)) == {0, 1, 2}


def test_colours_are_those_given_and_void_keeps_its_own():
    palette = own_data.palette_of(TABLE)
    assert {tuple(palette[i]): i for i in range(3)} == TABLE
    assert np.array_equal(palette[3:], voc.palette()[3:])


def test_pictures_and_legend_have_the_colours_given():
    _, ids = own_data.leaf(np.random.RandomState(0))
    image = np.zeros(ids.shape + (3,), np.uint8)
    figure = own_data.show_in_colours(image, ids, ids, ("ground", "leaf", "spot"), TABLE)
    shown = figure.axes[1].images[0].get_array()
    assert np.array_equal(np.unique(shown[ids == 1]), [0, 120])  # 0.6 of (0, 200, 0)
    legend = {
        patch.get_label(): tuple(np.round(255 * np.array(patch.get_facecolor()[:3])).astype(int))
        for patch in figure.legends[0].get_patches()
    }
    assert legend["leaf"] == (0, 200, 0) and legend["spot"] == (200, 60, 0)
    assert plots.words(figure).startswith("predicted: ground ")


def test_trained_weights_come_before_those_given(tmp_path):
    given = touched(tmp_path / "given", "model.ckpt")
    run = run_of(tmp_path / "run", initial_checkpoint=given)
    assert own_data.first_weights(run) == given
    trained = touched(tmp_path / "run" / "train", "model.ckpt-5")
    assert own_data.first_weights(run) == trained


def test_weights_that_are_missing_are_a_sentence_and_random_ones_serve(tmp_path, capsys):
    run = run_of(tmp_path / "run", initial_checkpoint=str(tmp_path / "nowhere"))
    assert own_data.first_weights(run) == ""
    said = " ".join(capsys.readouterr().out.split())
    assert "does not exist" in said and said.endswith("training starts from random weights")
    assert own_data.first_weights(run_of(tmp_path / "run", initial_checkpoint="")) == ""


def test_the_samples_are_the_runs_own():
    run = types.SimpleNamespace(
        recipe=recipes.get("sample"),
        settings=recipes.get("sample").settings,
        train_folder=os.devnull,
        checkpoint=lambda: "trained here",
    )
    assert own_data.first_weights(run) == "trained here"


@pytest.mark.parametrize("name", ["sample", "deeplabv3plus_1p", "finetune_mobilenetv2_dm05"])
def test_the_network_is_the_recipes_but_for_its_classes(name):
    settings = recipes.get(name).settings
    values = own_data.network_of(settings)
    assert "num_classes" not in values and values["backbone"] == settings.backbone
    small = settings_module.override(recipes.get("sample").settings, dict(values, num_classes=3))
    assert own_data.network_of(small) == values and small.num_classes == 3
