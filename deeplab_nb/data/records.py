"""TFRecords in the form of the original DeepLab code, so that either code reads the other's files.

One record an image: the photograph's bytes by `pictures.as_trained`, the mask re-encoded as a grey
PNG of class ids, and the id as file name. Shards are named `<list>-00000-of-00004.tfrecord` and
hold consecutive slices of the list, so the number of records always follows from the list. A set
has a folder of its own, whose name ends in a digest of what the set is made of.
"""

import contextlib
import glob
import hashlib
import io
import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed

from google.protobuf.message import DecodeError
from PIL import Image

from deeplab_nb.data import pictures, voc
from deeplab_nb.data.audit import audit
from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.files import ROOT, beside, read_json, write_json
from deeplab_nb.processes import alone_in
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import tf

RECORD_OVERHEAD = 400  # bytes of keys, lengths and checksums beside a record's two files
MADE_OF = "made_of.json"


def records_folder(data_root):
    """Where a data folder's sets lie: in the project, for a data folder may be read-only."""
    path = os.path.realpath(data_root)
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return os.path.join(ROOT, "data", "records", f"{os.path.basename(path)}-{digest}")


def write_records(root, list_name, folder, *, num_classes=21, ignore_label=255, shards=4):
    """Shard paths of a list's set under `folder`, written unless the same set is there already.

    The list is audited first. A set is whole or absent; once it is whole, the list's older ones go.
    Raises WorkbookError for what the audit finds and for a full disk.
    """
    root = voc.check_root(root)
    ids = voc.read_list(root, list_name)
    made_of = {"count": len(ids), "num_classes": num_classes, "ignore_label": ignore_label}
    digest, source_bytes = _digest(root, ids, dict(made_of, shards=shards, photographs="upright"))
    paths = shard_paths(os.path.join(folder, f"{list_name}-{digest}"), list_name, shards)
    if _is_whole(paths):
        return paths
    audit(root, [list_name], num_classes=num_classes, ignore_label=ignore_label).raise_if_bad()
    needed = source_bytes + RECORD_OVERHEAD * len(ids)
    with writing(folder):
        _check_room(folder, list_name, needed)
        with alone_in(folder):
            if not _is_whole(paths):  # another process may have written it meanwhile
                _write_set(root, ids, list_name, paths, made_of)
    return paths


def shard_paths(folder, list_name, shards):
    return [
        os.path.join(folder, f"{list_name}-{i:05d}-of-{shards:05d}.tfrecord") for i in range(shards)
    ]


def existing_shards(folder, list_name):
    """A list's record files that someone has put into a folder, [] without any.

    Raises WorkbookError for part of a set.
    """
    digits = "[0-9]" * 5
    shards = sorted(glob.glob(_escaped(folder, list_name) + f"-{digits}-of-{digits}*"))
    for path in shards[:1]:
        count = int(re.search(r".*-of-(\d{5})", path).group(1))
        if count != len(shards):
            raise WorkbookError(
                f"{folder} holds {len(shards)} record files of list {list_name}, "
                f"{os.path.basename(path)} is one of {count}: bring all of one set"
            )
    return shards


def read_ids(paths):
    """Image ids, in stored order. Raises WorkbookError naming a damaged or missing file."""
    return [name for name, _, _ in pairs(paths)]


def count_records(paths):
    """Number of records in the files. Raises WorkbookError naming a damaged or missing file."""
    return sum(1 for _ in _records(paths))


def _write_set(root, ids, list_name, paths, made_of):
    """The shards and what they are made of; then the list's other sets and leftovers go."""
    target = os.path.dirname(paths[0])
    with beside(target) as part:
        os.mkdir(part)
        written = [os.path.join(part, os.path.basename(path)) for path in paths]
        _write_shards(root, written, ids, label=f"records {list_name}")
        sizes = [os.path.getsize(path) for path in written]
        write_json(os.path.join(part, MADE_OF), dict(made_of, sizes=sizes))
        shutil.rmtree(target, ignore_errors=True)  # damaged
    digest = "[0-9a-f]" * 16
    for path in glob.glob(_escaped(os.path.dirname(target), list_name) + f"-{digest}*"):
        if path != target:
            shutil.rmtree(path)


def _write_shards(root, paths, ids, *, label):
    """One thread a shard; when one fails, the others stop at their next image."""
    length, stop = -(-len(ids) // len(paths)), threading.Event()
    with progress(total=len(ids), label=label) as bar, ThreadPoolExecutor(len(paths)) as pool:
        try:
            writing = [
                pool.submit(_write_shard, root, path, ids[i * length : (i + 1) * length], bar, stop)
                for i, path in enumerate(paths)
            ]
            for future in as_completed(writing):
                future.result()
        finally:
            stop.set()


def _write_shard(root, path, ids, bar, stop):
    with tf.io.TFRecordWriter(path) as writer:
        for image_id in ids:
            if stop.is_set():
                return
            writer.write(_record(root, image_id))
            with bar.get_lock():
                bar.update()


def _record(root, image_id):
    """One image as a serialised tf.train.Example (keys of the original code's build_data)."""
    encoded = pictures.as_trained(voc.image_path(root, image_id))
    mask, _ = voc.read_mask(voc.mask_path(root, image_id))
    label = io.BytesIO()
    Image.fromarray(mask).save(label, format="PNG")  # grey values are the ids, without a palette
    values = {
        "image/encoded": encoded,
        "image/filename": image_id.encode(),
        "image/format": b"jpeg" if encoded.startswith(b"\xff\xd8") else b"png",
        "image/height": mask.shape[0],
        "image/width": mask.shape[1],
        "image/channels": 3,
        "image/segmentation/class/encoded": label.getvalue(),
        "image/segmentation/class/format": b"png",
    }
    features = tf.train.Features(feature={key: _as_feature(value) for key, value in values.items()})
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def _as_feature(value):
    """A feature of an int or of bytes."""
    if isinstance(value, int):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def pairs(paths):
    """(id, photograph, mask) of each record, the two files' bytes.

    Raises WorkbookError for a damaged record or file.
    """
    for number, record in enumerate(_records(paths)):
        try:
            name, photograph, mask = (
                _feature(record, key)
                for key in ("image/filename", "image/encoded", "image/segmentation/class/encoded")
            )
        except (IndexError, DecodeError):
            raise WorkbookError(
                f"record {number} of {os.path.dirname(paths[0])} lacks a photograph or a mask: it "
                "is not in the form of DeepLab's build_data.py, write the records again"
            )
        yield name.decode(errors="replace"), photograph, mask


def check_masks(paths, *, num_classes, ignore_label):
    """Raises WorkbookError for the first mask that training would not read as it was meant."""
    for name, _, mask in pairs(paths):
        wrong = _wrong_mask(mask, num_classes, ignore_label)
        if wrong:
            raise WorkbookError(f"the mask of {name}, in {paths[0]} or its set, {wrong}")


def _wrong_mask(mask, num_classes, ignore_label):
    """What is wrong with a PNG's bytes, as a sentence's end; None if nothing is."""
    try:
        with pictures.opened(mask, "mask") as image:
            mode, counts = image.mode, image.histogram()
    except WorkbookError as error:
        return f"cannot be read ({error}): write the records again"
    if mode != "L":  # TensorFlow would make grey of a palette's colours
        return f"has colours, not class numbers (mode {mode}): remove its colour map"
    for value in range(num_classes, 256):
        if counts[value] and value != ignore_label:
            return (
                f"holds class {value}, the settings have 0..{num_classes - 1} and "
                f"{ignore_label}: correct num_classes"
            )


def _records(paths):
    for path in paths:
        try:
            yield from tf.io.tf_record_iterator(path)
        except tf.errors.NotFoundError:
            raise WorkbookError(f"record file {path} does not exist: write the records again")
        except tf.errors.OpError as error:
            raise WorkbookError(
                f"record file {path} is damaged ({error.message}): move it away and "
                "write the records again"
            )


def _feature(record, key):
    return tf.train.Example.FromString(record).features.feature[key].bytes_list.value[0]


def _digest(root, ids, made_of):
    """(digest of all that a set depends on, bytes of its sources): name, size and time of each."""
    digest, source_bytes = hashlib.sha256(json.dumps([made_of, ids]).encode()), 0
    for image_id in ids:
        for path in (voc.image_path(root, image_id), voc.mask_path(root, image_id)):
            with contextlib.suppress(OSError):  # the audit names it in words
                state = os.stat(path)
                digest.update(f"{path[len(root) :]} {state.st_size} {state.st_mtime_ns}".encode())
                source_bytes += state.st_size
    return digest.hexdigest()[:16], source_bytes


def _is_whole(paths):
    """Whether the files are there, with the sizes that they were written with."""
    try:
        made = read_json(os.path.join(os.path.dirname(paths[0]), MADE_OF))
        return made["sizes"] == [os.path.getsize(path) for path in paths]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _escaped(folder, list_name):
    return os.path.join(glob.escape(folder), glob.escape(list_name))


def _check_room(folder, list_name, needed):
    """Says before a set is written that the folder has no room for it; makes the folder."""
    os.makedirs(folder, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WorkbookError(
            f"the disk of {folder} is full: the records of list {list_name} need about "
            f"{needed / 1e6:.1f} MB and {free / 1e6:.1f} MB are free, make room or choose another "
            "folder"
        )
