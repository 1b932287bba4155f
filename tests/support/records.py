"""Data as the originals' users have it: record files, or the edge adapter's folders."""

import os
import shutil

from deeplab_nb.data import voc
from deeplab_nb.data.records import write_records


def write_flat_records(root, name, folder, *, shards=4):
    """A list's shards in the folder itself, as the original's users have them."""
    os.makedirs(folder, exist_ok=True)
    for path in write_records(root, name, os.path.join(root, "records"), shards=shards):
        shutil.copy(path, folder)


def make_edge(root, folder):
    for split, name in (("train", "train"), ("eval", "val")):
        for image_id in voc.read_list(root, name):
            for place, source in (
                ("Images", voc.image_path(root, image_id)),
                ("SegmentationClassRaw", voc.mask_path(root, image_id)),
            ):
                os.makedirs(os.path.join(folder, split, place), exist_ok=True)
                shutil.copy(source, os.path.join(folder, split, place))
    return folder
