"""The recipes as data: each with its source, hardware, time and expected number.

A recipe is a set of settings with a name. Change single settings on the command line
(`--set name=value`); the defaults they start from stand in settings.py.
"""

import dataclasses

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import one_of
from deeplab_nb.network import zoo
from deeplab_nb.settings import SIX_SCALES

VOC = "data/VOCdevkit/VOC2012"


@dataclasses.dataclass(frozen=True)
class Recipe:
    name: str
    title: str
    source: str  # where the settings come from
    hardware: str  # what it is meant for
    time: str  # how long it takes there, and who measured
    expected: str  # the number to hold a run against
    values: dict  # the settings that differ from the defaults

    @property
    def settings(self):
        return settings_module.read(self.values)


_DEEPLABV3PLUS = dict(
    data_root=VOC,
    train_list="trainval",
    backbone="xception_65",
    output_stride=16,
    aspp=True,
    decoder=True,
    initial_checkpoint="data/weights/xception_65_imagenet_coco",
    train_batch_size=7,
    train_crop_size=513,
    learning_rate_policy="poly",
    learning_rate_power=0.9,
    bias_gradient_multiplier=2.0,
    momentum=0.9,
    weight_decay=4e-5,
    fine_tune_batch_norm=False,
    mixed_precision=True,
    save_every=1000,
)

_MINDSPORE = dict(
    data_root=VOC,
    train_list="train",
    backbone="resnet_v1_50_beta",
    output_stride=16,
    aspp=False,
    decoder=False,
    trainable="head_kernels",
    initial_checkpoint="data/weights/deeplabv3_mindspore",
    train_batch_size=2,
    train_crop_size=513,
    augmentation="mindspore",
    learning_rate=0.0014,
    learning_rate_policy="constant",
    momentum=0.97,
    weight_decay=5e-5,
    fine_tune_batch_norm=False,
    eval_scales=SIX_SCALES,
    eval_protocol="mindspore",
)

# of the recipes that only evaluate; `deeplab-nb run published` measures the others' as it begins
_TIMES = {
    "mobilenetv2_dm05": "5 min for VOC val's 1,449 images on 2 cores, estimated from 0.2 s an "
    "image over 150"
}


def _evaluating(row, number):
    """The recipe that evaluates a published checkpoint as its published number was obtained."""
    return Recipe(
        "published_" + number.name,
        f"Evaluate {row.name} at {number.how}",
        source=f"TensorFlow DeepLab model zoo, {row.name}",
        hardware="any CPU",
        time=_TIMES.get(number.name, "not measured"),
        expected=number.text,
        values=dict(
            row.holds,
            data_root=VOC,
            val_list=number.list,
            train_steps=0,
            initial_checkpoint="data/weights/" + row.name,
            eval_output_stride=number.output_stride,
            eval_scales=number.scales,
            eval_flip=number.flip,
        ),
    )


RECIPES = (
    Recipe(
        "sample",
        "A small DeepLabv3 from random weights on the drawn sample",
        source="this project",
        hardware="any CPU with 2 cores",
        time="10 min for all notebooks, 5 of them training",
        expected="mIoU 0.70 over its 7 classes, a seed is worth 0.035",
        values=dict(
            depth_multiplier=0.35,
            output_stride=16,
            eval_output_stride=8,  # coarse is twice as fast to train, dense scores better
            train_crop_size=129,
            train_batch_size=8,
            min_scale=0.9,
            max_scale=1.1,
            scale_step=0,
            optimizer="adam",
            learning_rate=0.004,
            momentum=0.8,
            train_steps=1500,
            loss_stride=2,
            clones=2,
            batch_norm_decay=0.95,  # the published decays do not settle in some hundred steps
            save_every=200,
        ),
    ),
    Recipe(
        "deeplabv3plus_1p",
        "DeepLabv3+, Xception-65, one card",
        source="Huawei model zoo, DeepLabv3+ for TensorFlow 1.15 (train_full_1p); its script "
        "trains on trainval, so a number on val is contaminated",
        hardware="1 Ascend 910",
        time="about 27 h for 200,000 steps at batch 7 (the published port's own figure)",
        expected="87.72 % on VOC 2012 test, six scales and flip (the published port; its "
        "reference run 87.84)",
        values=dict(_DEEPLABV3PLUS, train_steps=300000, learning_rate=1e-4),
    ),
    Recipe(
        "deeplabv3plus_8p",
        "DeepLabv3+, Xception-65, eight cards",
        source="Huawei model zoo, DeepLabv3+ for TensorFlow 1.15 (train_full_8p)",
        hardware="8 Ascend 910",
        time="not published",
        expected="not published",
        values=dict(
            _DEEPLABV3PLUS,
            train_steps=32500,
            learning_rate=8e-4,
            cards=8,
            loss_scale="exponential",  # from 2^16; the published run's from 2^32
        ),
    ),
    Recipe(
        "deeplabv3_mindspore_1p",
        "DeepLabv3 of the MindSpore model zoo (2020), one card",
        source="MindSpore model zoo, DeepLabV3, config.py; 6 epochs of 732 steps",
        hardware="1 Ascend 910",
        time="about 5 min (the entry's own figure)",
        expected="mIoU 65 % by its own protocol (0.65049), not the VOC metric",
        values=dict(_MINDSPORE, train_steps=6 * 732),
    ),
    Recipe(
        "deeplabv3_mindspore_8p",
        "DeepLabv3 of the MindSpore model zoo (2020), eight cards",
        source="MindSpore model zoo, DeepLabV3, run_distribute_train.sh; 6 epochs of 91 steps",
        hardware="8 Ascend 910",
        time="not published",
        expected="not published",
        values=dict(_MINDSPORE, train_steps=6 * 91, cards=8),
    ),
    Recipe(
        "finetune_mobilenetv2_dm05",
        "Fine-tune the published MobileNetV2 of half width, batch norm frozen",
        source="this project",
        hardware="any CPU with 2 cores",
        time="8 CPU minutes",
        expected="mIoU 71.35 % before and after: 440 photographs to train, 150 to score, a subset "
        "of VOC 2012",
        values=dict(
            data_root=VOC,
            depth_multiplier=0.5,
            initial_checkpoint="data/weights/mobilenetv2_dm05_coco_voc_trainaug",
            # at crop 257, half of the evaluation's, these steps lost 1.6 % mIoU
            train_steps=200,
            train_crop_size=513,
            train_batch_size=4,
            fine_tune_batch_norm=False,
            learning_rate=1e-5,
            validate_every=50,
            save_every=50,
        ),
    ),
) + tuple(_evaluating(row, number) for row, number in zoo.VOC_VAL)


def get(name):
    """The recipe of this name. Raises WorkbookError with the nearest name for an unknown one."""
    return RECIPES[one_of([recipe.name for recipe in RECIPES], name, "recipe")]
