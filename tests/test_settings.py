import dataclasses
import json

import pytest

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import crop_for, known, load, override, read, save


def test_numbers_may_come_as_text():
    settings = read(
        {
            "learning_rate": "1e-4",
            "train_steps": "300",
            "eval_scales": "0.5, 1.0",
            "decoder": "false",
        }
    )
    assert (settings.learning_rate, settings.train_steps) == (1e-4, 300)
    assert (settings.eval_scales, settings.decoder) == ((0.5, 1.0), False)


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"learning_rat": 1}, "unknown setting 'learning_rat', did you mean 'learning_rate'?"),
        ({"train_steps": "many"}, "'train_steps' needs a whole number, got 'many'"),
        ({"train_steps": 2.5}, "'train_steps' needs a whole number"),
        ({"train_steps": True}, "'train_steps' needs a whole number"),
        ({"decoder": "yes"}, "'decoder' needs true or false"),
        ({"decoder": 1}, "'decoder' needs true or false"),
        ({"learning_rate": "nan"}, "'learning_rate' needs a number"),
        ({"data_root": 3}, "'data_root' needs a text"),
        ({"eval_scales": "0"}, "'eval_scales' needs positive numbers"),
        ({"output_stride": 12}, "'output_stride' is 12, it can be 8, 16, 32"),
        ({"backbone": "mobilenet"}, "did you mean 'mobilenet_v2'?"),
        ({"train_batch_size": 0}, "'train_batch_size' is 0, it must be at least 1"),
        ({"min_scale": 2, "max_scale": 1}, "max_scale 1.0 is below min_scale 2.0"),
        ({"resize_factor": 16}, "do nothing while min_resize_value is 0"),
        ({"ignore_label": 3}, "ignore_label 3 must lie in"),
        ({"train_crop_size": 128}, "train_crop_size 128 must be 8k+1, such as 121"),
        (
            {"class_weights": "1,2,3"},
            "class_weights has 3 numbers for 21 classes: give one a class",
        ),
        (
            {"class_weights": [1, -1], "num_classes": 2},
            "'class_weights' needs one number a class, none of them negative",
        ),
        ({"class_weights": "1,heavy"}, "'class_weights' needs one number a class"),
        (
            {"top_k_percent_pixels": 25},
            "top_k_percent_pixels is 25.0, it must be above 0 and at most 1",
        ),
        (
            {"top_k_percent_pixels": 0},
            "top_k_percent_pixels is 0.0, it must be above 0 and at most 1",
        ),
        (
            {"hard_example_mining_step": 100},
            "hard_example_mining_step needs a share to go to: set top_k_percent_pixels",
        ),
        ({"loss_stride": 2, "upsample_logits": False}, "loss_stride 2 is for upsampled logits"),
        (
            {"slow_start_learning_rate": 1e-5},
            "slow_start_learning_rate has no steps: set slow_start_step",
        ),
        ({"slow_start_type": "linear"}, "slow_start_type has no steps: set slow_start_step"),
        (
            {"slow_start_step": 10, "train_steps": 10},
            "slow_start_step 10 leaves none of the 10 train_steps to the schedule",
        ),
        ({"clones": 3, "train_batch_size": 16}, "clones 3 do not share train_batch_size 16 evenly"),
        ({"initial_loss_scale": 2}, "initial_loss_scale does nothing while loss_scale is none"),
        ({"mixlist": "ops.json"}, "mixlist ops.json is for mixed precision"),
        ({"save_minutes": -1}, "'save_minutes' is -1.0, it must be at least 0"),
        ({"learning_rate_policy": "polly"}, "did you mean 'poly'?"),
    ],
)
def test_wrong_settings_are_refused_in_words(values, sentence):
    with pytest.raises(WorkbookError) as refusal:
        read(values)
    assert sentence in str(refusal.value)


@pytest.mark.parametrize("text, weights", [("", ()), ("()", ()), ("[0, 1.5]", (0.0, 1.5))])
def test_class_weights_may_be_none_or_zero(text, weights):
    assert read({"class_weights": text, "num_classes": 2}).class_weights == weights


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read({}).seed = 2


def test_rates_follow_from_the_output_stride():
    settings = read({"aspp": True})
    assert settings.atrous_rates == (6, 12, 18)
    assert override(settings, {"output_stride": 8}).atrous_rates == (12, 24, 36)
    assert settings.rates_at(32) == (3, 6, 9)
    assert read({"aspp": False}).atrous_rates == ()


@pytest.mark.parametrize("side, crop", [(500, 513), (513, 513), (514, 529), (160, 161), (1, 1)])
def test_the_crop_follows_from_the_longest_side(side, crop):
    assert crop_for(side) == crop


def test_saved_settings_come_back_equal(tmp_path):
    settings = read({"eval_scales": [0.5, 1], "batch_norm_decay": 0.9})
    save(settings, str(tmp_path / "run"))
    assert load(str(tmp_path / "run")) == settings


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "does not exist"),
        ("{", "not readable JSON"),
        ("[]", "holds no settings"),
        (json.dumps({"sed": 1}), "did you mean 'seed'"),
    ],
)
def test_a_missing_or_damaged_settings_file_is_named(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "settings.json").write_text(content)
    with pytest.raises(WorkbookError, match=sentence):
        load(str(tmp_path))


def test_every_setting_says_what_it_is_for():
    assert all(field.metadata["doc"] for field in settings_module.FIELDS.values())


def test_every_recipe_is_complete_and_readable():
    for recipe in recipes.RECIPES:
        assert (
            recipe.settings
            and recipe.source
            and recipe.hardware
            and recipe.time
            and recipe.expected
        ), recipe.name


def test_an_unknown_recipe_names_the_nearest():
    with pytest.raises(WorkbookError, match="unknown recipe 'sampel', did you mean 'sample'"):
        recipes.get("sampel")


def test_the_published_defaults_of_both_systems():
    plus, zoo = (
        recipes.get("deeplabv3plus_1p").settings,
        recipes.get("deeplabv3_mindspore_1p").settings,
    )
    assert (plus.backbone, plus.train_batch_size, plus.train_steps, plus.learning_rate) == (
        "xception_65",
        7,
        300000,
        1e-4,
    )
    assert (plus.momentum, plus.weight_decay, plus.train_crop_size, plus.atrous_rates) == (
        0.9,
        4e-5,
        513,
        (6, 12, 18),
    )
    assert (plus.bias_gradient_multiplier, zoo.bias_gradient_multiplier, zoo.trainable) == (
        2,
        1,
        "head_kernels",
    )
    eight = recipes.get("deeplabv3plus_8p").settings
    assert (eight.cards, eight.train_steps, eight.learning_rate, eight.global_batch_size) == (
        8,
        32500,
        8e-4,
        56,
    )
    assert (zoo.learning_rate, zoo.momentum, zoo.weight_decay, zoo.train_batch_size) == (
        0.0014,
        0.97,
        5e-5,
        2,
    )
    assert (zoo.train_steps, zoo.eval_scales, zoo.output_stride) == (
        4392,
        (0.5, 0.75, 1.0, 1.25, 1.5, 1.75),
        16,
    )


def test_evaluation_sees_its_own_output_stride_and_nothing_else_changed():
    settings = read({"output_stride": 16, "eval_output_stride": 8, "aspp": True})
    evaluated = settings.for_evaluation()
    assert (evaluated.output_stride, evaluated.atrous_rates) == (8, (12, 24, 36))
    assert (
        override(evaluated, {"output_stride": 16}) == settings
        and evaluated.for_evaluation() == evaluated
    )


def test_what_is_known_of_a_setting_stands_at_its_field():
    assert set(known("path")) == {
        "data_root",
        "initial_checkpoint",
        "mixlist",
        "dump_folder",
        "profiling_folder",
    }
    assert known("quick") == {"eval_scales": (1.0,), "eval_flip": False, "eval_protocol": "deeplab"}
    assert set(known("network")) == {
        "backbone",
        "depth_multiplier",
        "output_stride",
        "num_classes",
        "multi_grid",
        "aspp",
        "decoder",
        "separable_head",
    }
    assert {"train_steps", "device", "eval_scales"} <= set(
        known("resumable")
    ) and "learning_rate" not in known("resumable")
