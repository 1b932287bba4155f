"""The published checkpoints as data: name, archive, size, what must be in it, the number to expect.

All are of the TensorFlow DeepLab model zoo and named as there. No archive was downloaded here, so neither the
folders in them nor the prefixes are taken as known. Nothing in this file needs TensorFlow.
"""
import dataclasses
from typing import Optional

from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import nearest

BASE = "http://download.tensorflow.org/models/"


@dataclasses.dataclass(frozen=True)
class Published:
    name: str
    file: str      # below BASE
    size: str
    holds: dict    # settings that its variables must imply
    expected: str  # the published number, or what it is a start for
    digest: Optional[str] = None  # of the archive, 'algorithm:hex'; few were ever published


def _mobilenet(width):
    return {"backbone": "mobilenet_v2", "depth_multiplier": width, "num_classes": 21}


_XCEPTION = {"backbone": "xception_65", "num_classes": 21}

PUBLISHED = (
    Published("mobilenetv2_dm05_coco_voc_trainaug", "deeplabv3_mnv2_dm05_pascal_trainaug_2018_10_01.tar.gz", "7.6 MB",
              _mobilenet(0.5), "mIoU 70.19 % on VOC 2012 val at output stride 16"),
    Published("mobilenetv2_coco_voc_trainaug", "deeplabv3_mnv2_pascal_train_aug_2018_01_29.tar.gz", "23.9 MB",
              _mobilenet(1.0), "mIoU 75.32 % on VOC 2012 val at output stride 16; 77.33 % at 8, six scales, flip",
              digest="sha384:d3f2b27bb00c485ca45d68731f7198a23926cb865dd010fc444bcad9158e3341"
                     "3cd60da2588a9be3ff1e8c9b4557362b"),  # as Open Model Zoo records it
    Published("mobilenetv2_coco_voc_trainval", "deeplabv3_mnv2_pascal_trainval_2018_01_29.tar.gz", "23 MB",
              _mobilenet(1.0), "mIoU 80.25 % on VOC 2012 test at output stride 8, six scales, flip"),
    Published("xception65_coco_voc_trainaug", "deeplabv3_pascal_train_aug_2018_01_04.tar.gz", "439 MB",
              _XCEPTION, "mIoU 82.20 % on VOC 2012 val at output stride 16; 83.58 % at 8, six scales, flip"),
    Published("xception65_coco_voc_trainval", "deeplabv3_pascal_trainval_2018_01_04.tar.gz", "439 MB",
              _XCEPTION, "mIoU 87.80 % on VOC 2012 test at output stride 8, six scales, flip"),
    Published("xception_65_imagenet_coco", "xception_65_coco_pretrained_2018_10_02.tar.gz", "292 MB",
              {"backbone": "xception_65"}, "no number: the start of the deeplabv3plus recipes"),
    Published("xception_65_imagenet", "deeplabv3_xception_2018_01_04.tar.gz", "447 MB",
              {"backbone": "xception_65"}, "no number: a backbone to start from"),
    Published("xception_41_imagenet", "xception_41_2018_05_09.tar.gz", "288 MB",
              {"backbone": "xception_41"}, "no number: a backbone to start from"),
    Published("xception_71_imagenet", "xception_71_2018_05_09.tar.gz", "474 MB",
              {"backbone": "xception_71"}, "no number: a backbone to start from"),
    Published("resnet_v1_50_beta_imagenet", "resnet_v1_50_2018_05_04.tar.gz", "274 MB",
              {"backbone": "resnet_v1_50_beta"}, "no number: a backbone to start from"),
    Published("resnet_v1_101_beta_imagenet", "resnet_v1_101_2018_05_04.tar.gz", "477 MB",
              {"backbone": "resnet_v1_101_beta"}, "no number: a backbone to start from"),
)

NAMES = tuple(row.name for row in PUBLISHED)


def get(name):
    """The published checkpoint of this name. Raises WorkbookError with the nearest name for an unknown one."""
    if name not in NAMES:
        raise WorkbookError("unknown weights '{}'{}; there are {}".format(name, nearest(name, NAMES), ", ".join(NAMES)))
    return PUBLISHED[NAMES.index(name)]
