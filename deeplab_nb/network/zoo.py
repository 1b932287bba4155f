"""The published checkpoints as data: archive, size, what must be in it, the numbers to expect.

All are of the TensorFlow DeepLab model zoo and named as there. No archive was downloaded here, so
neither the folders in them nor the prefixes are taken as known. Nothing in this file needs
TensorFlow.
"""

import os
from typing import NamedTuple, Optional, Tuple

from deeplab_nb.errors import one_of
from deeplab_nb.settings import SIX_SCALES

BASE = "http://download.tensorflow.org/models/"


class Number(NamedTuple):
    """A published mean IoU and how it was obtained."""

    name: str
    miou: float  # percent
    list: str = "val"
    output_stride: int = 16
    scales: Tuple[float, ...] = (1.0,)
    flip: bool = False

    @property
    def how(self):
        scales = ", six scales" if len(self.scales) > 1 else ""
        return f"output stride {self.output_stride}{scales}{', flip' if self.flip else ''}"

    @property
    def text(self):
        return f"mIoU {self.miou:.2f} % on VOC 2012 {self.list} at {self.how}"


class Published(NamedTuple):
    name: str
    file: str  # below BASE
    size: str
    holds: dict  # settings that its variables must imply
    use: str = ""  # of one without a number
    numbers: Tuple[Number, ...] = ()
    digest: Optional[str] = None  # of the archive, 'algorithm:hex'; few were ever published

    @property
    def expected(self):
        """The published numbers in words, or what it is a start for."""
        return "; ".join(number.text for number in self.numbers) or "no number: " + self.use


def _mobilenet(width):
    return {
        "backbone": "mobilenet_v2",
        "depth_multiplier": width,
        "num_classes": 21,
        "aspp": False,
        "decoder": False,
    }


def _refined(name, miou, list="val"):
    """A number at the finest that the papers evaluate."""
    return Number(name, miou, list, output_stride=8, scales=SIX_SCALES, flip=True)


_XCEPTION = {"backbone": "xception_65", "num_classes": 21, "aspp": True, "decoder": True}

PUBLISHED = (
    Published(
        "mobilenetv2_dm05_coco_voc_trainaug",
        "deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz",
        "7.6 MB",
        _mobilenet(0.5),
        numbers=(Number("mobilenetv2_dm05", 70.19),),
    ),
    Published(
        "mobilenetv2_coco_voc_trainaug",
        "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz",
        "23.9 MB",
        _mobilenet(1.0),
        numbers=(Number("mobilenetv2", 75.32), _refined("mobilenetv2_refined", 77.33)),
        digest="sha384:d3f2b27bb00c485ca45d68731f7198a23926cb865dd010fc444bcad9158e3341"
        "3cd60da2588a9be3ff1e8c9b4557362b",
    ),  # as Open Model Zoo records it
    Published(
        "mobilenetv2_coco_voc_trainval",
        "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz",
        "23 MB",
        _mobilenet(1.0),
        numbers=(_refined("mobilenetv2_test", 80.25, "test"),),
    ),
    Published(
        "xception65_coco_voc_trainaug",
        "deeplabv3_pascal_train_aug_2018_01_04.tar.gz",
        "439 MB",
        _XCEPTION,
        numbers=(Number("xception65", 82.20), _refined("xception65_refined", 83.58)),
    ),
    Published(
        "xception65_coco_voc_trainval",
        "deeplabv3_pascal_trainval_2018_01_04.tar.gz",
        "439 MB",
        _XCEPTION,
        numbers=(_refined("xception65_test", 87.80, "test"),),
    ),
    Published(
        "xception_65_imagenet_coco",
        "xception_65_coco_pretrained_2018_10_02.tar.gz",
        "292 MB",
        {"backbone": "xception_65"},
        "the start of the deeplabv3plus recipes",
    ),
) + tuple(
    Published(
        backbone + "_imagenet", file, size, {"backbone": backbone}, "a backbone to start from"
    )
    for backbone, file, size in (
        ("xception_65", "deeplabv3_xception_2018_01_04.tar.gz", "447 MB"),
        ("xception_41", "xception_41_2018_05_09.tar.gz", "288 MB"),
        ("xception_71", "xception_71_2018_05_09.tar.gz", "474 MB"),
        ("resnet_v1_50_beta", "resnet_v1_50_2018_05_04.tar.gz", "274 MB"),
        ("resnet_v1_101_beta", "resnet_v1_101_2018_05_04.tar.gz", "477 MB"),
    )
)

# what can be measured here, since VOC's test masks are not public; the cheapest first
VOC_VAL = tuple(
    sorted(
        ((row, number) for row in PUBLISHED for number in row.numbers if number.list == "val"),
        key=lambda pair: (pair[1].flip, pair[1].miou),
    )
)

NAMES = tuple(row.name for row in PUBLISHED)


def get(name):
    """The published checkpoint of this name; WorkbookError names the nearest to an unknown one."""
    return PUBLISHED[one_of(NAMES, name, "weights")]


def name_of(prefix):
    """The published checkpoint whose folder, named as `fetch weights` does, holds this prefix.

    None for any other.
    """
    folder = os.path.basename(os.path.dirname(os.path.abspath(prefix)))
    return folder if folder in NAMES else None
