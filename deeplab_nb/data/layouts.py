"""Data as the originals' users have it: DeepLab's records, or MindSpore's edge adapter's folders.

records  LIST-00000-of-00004.tfrecord, in the folder or in its `tfrecord`
edge     train/Images/*.jpg and train/SegmentationClassRaw/*.png, and the same under eval
voc      VOC's own layout
"""

import collections
import os
import re
from pathlib import Path

from deeplab_nb.data import records, voc
from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.files import beside, read_json, write_json, write_lines
from deeplab_nb.processes import alone_in

# kind: as above; root: the folder; name: of the list as it is called there
Layout = collections.namedtuple("Layout", "kind root name")

_EDGE = {"train": "train", "val": "eval"}


def find(path, list_name):
    """The `Layout` of a list of a data folder. Raises WorkbookError where there is none."""
    for root in (path, os.path.join(path, "tfrecord")):
        if records.existing_shards(root, list_name):
            return Layout("records", root, list_name)
    edge = _EDGE.get(list_name)
    if edge and os.path.isdir(os.path.join(path, edge, "Images")):
        return Layout("edge", path, list_name)
    name = "trainaug" if list_name == "train_aug" else list_name
    try:
        root = voc.check_root(path)
        voc.read_list(root, name)
    except WorkbookError as error:
        raise WorkbookError(
            f"{error}; or a folder of record files {list_name}-00000-of-00004.tfrecord, or one of "
            f"{edge or 'train'}/Images and SegmentationClassRaw"
        )
    return Layout("voc", root, name)


def count(layout):
    """Number of images. Raises WorkbookError for damaged records and incomplete pairs."""
    if layout.kind == "records":
        return records.count_records(records.existing_shards(layout.root, layout.name))
    if layout.kind == "edge":
        return len(_edge_ids(layout))
    return len(voc.read_list(layout.root, layout.name))


def voc_root(layout, folder):
    """Where the list's VOC layout is, or will be below `folder`."""
    return layout.root if layout.kind == "voc" else os.path.join(folder, "voc_" + layout.name)


def lay_out(layout, folder):
    """Makes `voc_root` unless it is there, from records or by links; the source stays as it is.

    Raises WorkbookError for damaged records and incomplete pairs, and where other records were
    unpacked before.
    """
    if layout.kind == "voc":
        return
    root = voc_root(layout, folder)
    with writing(root):
        os.makedirs(folder, exist_ok=True)
        with alone_in(folder):
            {"records": _unpack, "edge": _link}[layout.kind](layout, root)


def _unpack(layout, root):
    """The records' own bytes as files; whole or absent."""
    shards = records.existing_shards(layout.root, layout.name)
    source = {
        os.path.realpath(path): [os.path.getsize(path), os.stat(path).st_mtime_ns]
        for path in shards
    }
    if os.path.exists(root):
        return _check_source(root, source)
    ids = {}
    with beside(root) as part:
        voc.make_folders(part)
        for name, photograph, mask in records.pairs(shards):
            safe = _safe(name, ids)
            ids[safe] = name
            Path(voc.image_path(part, safe)).write_bytes(photograph)
            Path(voc.mask_path(part, safe)).write_bytes(mask)
        write_lines(voc.list_path(part, layout.name), ids)
        write_json(os.path.join(part, "source.json"), source)


def _check_source(root, source):
    try:
        if read_json(os.path.join(root, "source.json")) == source:
            return
    except (OSError, ValueError):
        pass
    raise WorkbookError(f"{root} is not made of these records: move it away, or write elsewhere")


def _safe(name, taken):
    """A file name of someone else's id: no folders, no blanks, unlike those `taken`."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".-")[:150] or "image"
    while safe in taken:
        safe += f"_{len(taken)}"
    return safe


def _link(layout, root):
    """Links to the adapter's files and a list of all."""
    ids = _edge_ids(layout)
    voc.make_folders(root)
    for name in ids:
        places = voc.image_path(root, name), voc.mask_path(root, name)
        for source, place in zip(map(os.path.abspath, _edge_pair(layout, name)), places):
            if os.path.islink(place) and os.readlink(place) != source:
                os.remove(place)
            if not os.path.lexists(place):
                os.symlink(source, place)
    write_lines(voc.list_path(root, layout.name), ids)


def _edge_pair(layout, name):
    folder = os.path.join(layout.root, _EDGE[layout.name])
    return (
        os.path.join(folder, "Images", name + ".jpg"),
        os.path.join(folder, "SegmentationClassRaw", name + ".png"),
    )


def _edge_ids(layout):
    """A list's ids, sorted. Raises WorkbookError for half a pair, or a blank in a name."""
    folders = [os.path.dirname(path) for path in _edge_pair(layout, "")]
    if not os.path.isdir(folders[1]):
        raise WorkbookError(f"{folders[1]} does not exist: masks lie beside Images")
    images, masks = (
        {name[:-4] for name in os.listdir(folder) if name.endswith(ending)}
        for folder, ending in zip(folders, (".jpg", ".png"))
    )
    for name in sorted(images ^ masks):
        there, missing = sorted(_edge_pair(layout, name), key=os.path.lexists, reverse=True)
        raise WorkbookError(f"{there} has no {missing}: add it, or remove the one")
    for name in images:
        if re.search(r"\s", name):
            raise WorkbookError(
                f"{_edge_pair(layout, name)[0]} has a blank in its name: rename it and its mask"
            )
    if not images:
        raise WorkbookError(f"{folders[0]} holds no .jpg: give the folder of train and eval")
    return sorted(images)
