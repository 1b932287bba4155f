"""A VOC folder of a few drawn images, small enough for any test."""

import os

import numpy as np
from PIL import Image

from deeplab_nb.data import voc


def make_tiny_voc(root, *, train=4, val=2, size=(33, 49), num_classes=21):
    """Writes JPEGImages, SegmentationClass, lists train, val and trainval; returns `root`.

    `size` is (height, width). Each mask has background, one class and a void border between them.
    """
    root = str(root)
    for folder in ("JPEGImages", "SegmentationClass", os.path.join("ImageSets", "Segmentation")):
        os.makedirs(os.path.join(root, folder), exist_ok=True)
    names = {
        "train": [f"train_{i:03d}" for i in range(train)],
        "val": [f"val_{i:03d}" for i in range(val)],
    }
    for number, image_id in enumerate(names["train"] + names["val"]):
        write_pair(root, image_id, seed=number, size=size, class_id=1 + number % (num_classes - 1))
    write_list(root, "train", names["train"])
    write_list(root, "val", names["val"])
    write_list(root, "trainval", names["train"] + names["val"])
    return root


def write_pair(root, image_id, *, seed=0, size=(33, 49), class_id=1):
    """One photograph of coloured noise and its mask: a square of `class_id` with a void border."""
    height, width = size
    noise = np.random.RandomState(seed).randint(0, 256, (height, width, 3)).astype(np.uint8)
    Image.fromarray(noise).save(voc.image_path(root, image_id), quality=90)
    mask = np.zeros(size, np.uint8)
    mask[5:20, 5:25] = voc.VOID
    mask[6:19, 6:24] = class_id
    voc.write_mask(voc.mask_path(root, image_id), mask)


def write_list(root, name, ids):
    with open(voc.list_path(root, name), "w") as file:
        file.write("".join(image_id + "\n" for image_id in ids))
