"""TFRecords in the form of the original DeepLab code, so that either code reads the other's files.

One record an image: the photograph's file bytes untouched, the mask re-encoded as a grey PNG of class
ids, and the id as file name. Shards are named `<list>-00000-of-00004.tfrecord` and hold consecutive
slices of the list, so the number of records always follows from the list.
"""
import errno
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

from deeplab_nb.data import voc
from deeplab_nb.data.audit import audit
from deeplab_nb.errors import WorkbookError
from deeplab_nb.processes import alone_in
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import tf

RECORD_OVERHEAD = 400  # bytes of keys, lengths and checksums beside a record's two files


def write_records(root, list_name, folder, *, num_classes=21, ignore_label=255, shards=4):
    """Shard paths of a list's records under `folder`, written unless the same records are there already.

    The list is audited first. A set of shards is complete or absent: shards are written under names that
    no reader takes, and `<list>.json` beside them, which says what they were made of, comes last.
    Raises WorkbookError for what the audit finds and for a full disk.
    """
    root = voc.check_root(root)
    ids = voc.read_list(root, list_name)
    paths = shard_paths(folder, list_name, shards)
    made_of = _made_of(root, ids, num_classes=num_classes, ignore_label=ignore_label)
    if _is_complete(folder, list_name, paths, made_of):
        return paths
    audit(root, [list_name], num_classes=num_classes, ignore_label=ignore_label).raise_if_bad()
    needed = made_of["source_bytes"] + RECORD_OVERHEAD * len(ids)
    try:
        os.makedirs(folder, exist_ok=True)
        if shutil.disk_usage(folder).free < needed:
            raise _disk_full(folder, list_name, needed)
        with alone_in(folder):
            if not _is_complete(folder, list_name, paths, made_of):  # another process may have written them meanwhile
                _write_and_rename(root, ids, folder, list_name, paths, made_of)
    except (OSError, tf.errors.OpError) as error:
        if _is_disk_full(error):
            raise _disk_full(folder, list_name, needed)
        raise WorkbookError("records of list {} cannot be written into {} ({}): choose a folder that you may write to"
                            .format(list_name, folder, getattr(error, "message", error)))
    return paths


def shard_paths(folder, list_name, shards):
    return [os.path.join(folder, "{}-{:05d}-of-{:05d}.tfrecord".format(list_name, i, shards)) for i in range(shards)]


def existing_shards(folder, list_name):
    """A list's record files that someone has put into a folder, [] without any.

    Raises WorkbookError for part of a set.
    """
    digits = "[0-9]" * 5
    shards = sorted(_matching(folder, list_name, f"-{digits}-of-{digits}*"))
    for path in shards[:1]:
        count = int(re.search(r".*-of-(\d{5})", path).group(1))
        if count != len(shards):
            raise WorkbookError(f"{folder} holds {len(shards)} record files of list {list_name}, "
                                f"{os.path.basename(path)} is one of {count}: bring all of one set")
    return shards


def read_ids(paths):
    """Image ids of record files, in stored order. Raises WorkbookError naming a damaged or missing file."""
    return [_feature(record, "image/filename").decode() for record in _records(paths)]


def count_records(paths):
    """Number of records in the files. Raises WorkbookError naming a damaged or missing file."""
    return sum(1 for _ in _records(paths))


def first_record(paths):
    """The first serialised record of the files, None where they hold none. Raises WorkbookError for a damaged one."""
    return next(_records(paths), None)


def _write_and_rename(root, ids, folder, list_name, paths, made_of):
    """Complete or not at all; an older complete set stays until the new one is."""
    _remove(_matching(folder, list_name, ".part-*"))  # left by a process that was killed
    parts = [os.path.join(folder, "{}.part-{:05d}".format(list_name, i)) for i in range(len(paths))]
    per_shard = -(-len(ids) // len(paths))
    slices = [ids[i * per_shard:(i + 1) * per_shard] for i in range(len(paths))]
    try:
        _write_parts(root, parts, slices, label="records " + list_name)
        manifest_part = os.path.join(folder, list_name + ".part-json")
        with open(manifest_part, "w") as file:
            json.dump(dict(made_of, sizes=[os.path.getsize(path) for path in parts]), file, indent=2)
        _replace_set(folder, list_name, parts + [manifest_part], paths + [_manifest_path(folder, list_name)])
    finally:
        _remove(_matching(folder, list_name, ".part-*"))


def _write_parts(root, parts, slices, *, label):
    """One thread a shard; when one fails, the others stop at their next image."""
    stop = threading.Event()
    with progress(total=sum(map(len, slices)), label=label) as bar, ThreadPoolExecutor(len(parts)) as pool:
        try:
            writing = [pool.submit(_write_part, root, part, ids, bar, stop) for part, ids in zip(parts, slices)]
            for future in as_completed(writing):
                future.result()
        finally:
            stop.set()


def _write_part(root, part, ids, bar, stop):
    with tf.io.TFRecordWriter(part) as writer:
        for image_id in ids:
            if stop.is_set():
                return
            writer.write(_record(root, image_id))
            with bar.get_lock():
                bar.update()


def _replace_set(folder, list_name, parts, paths):
    """Swaps the sets. The manifest goes first and comes last: without it shards do not count as a set."""
    try:
        _remove([_manifest_path(folder, list_name)])
        _remove(_matching(folder, list_name, "-{0}-of-{0}.tfrecord".format("[0-9]" * 5)))
        for part, path in zip(parts, paths):
            os.replace(part, path)
    except BaseException:
        _remove(paths)
        raise


def _record(root, image_id):
    """One image as a serialised tf.train.Example (keys of the original code's build_data)."""
    with open(voc.image_path(root, image_id), "rb") as file:
        encoded = file.read()
    mask, _ = voc.read_mask(voc.mask_path(root, image_id))
    label = io.BytesIO()
    Image.fromarray(mask).save(label, format="PNG")  # grey values are the ids; no palette is left to trip over
    features = {
        "image/encoded": _bytes(encoded),
        "image/filename": _bytes(image_id.encode()),
        "image/format": _bytes(b"jpeg" if encoded.startswith(b"\xff\xd8") else b"png"),
        "image/height": _int(mask.shape[0]),
        "image/width": _int(mask.shape[1]),
        "image/channels": _int(3),
        "image/segmentation/class/encoded": _bytes(label.getvalue()),
        "image/segmentation/class/format": _bytes(b"png"),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _bytes(value):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _int(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def pairs(paths):
    """(id, photograph, mask) of each record, the two files' bytes.

    Raises WorkbookError for a damaged record or file.
    """
    for number, record in enumerate(_records(paths)):
        try:
            name, photograph, mask = (_feature(record, key) for key in (
                "image/filename", "image/encoded", "image/segmentation/class/encoded"))
        except (IndexError, DecodeError):
            raise WorkbookError(
                f"record {number} of {os.path.dirname(paths[0])} lacks a photograph or a mask: it "
                "is not in the form of DeepLab's build_data.py, write the records again")
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
        with Image.open(io.BytesIO(mask)) as image:
            mode, counts = image.mode, image.histogram()
    except (OSError, SyntaxError) as error:
        return f"cannot be read ({error}): write the records again"
    if mode != "L":  # TensorFlow would make grey of a palette's colours
        return f"has colours, not class numbers (mode {mode}): remove its colour map"
    for value in range(num_classes, 256):
        if counts[value] and value != ignore_label:
            return (f"holds class {value}, the settings have 0..{num_classes - 1} and "
                    f"{ignore_label}: correct num_classes")


def _records(paths):
    for path in paths:
        try:
            yield from tf.io.tf_record_iterator(path)
        except tf.errors.NotFoundError:
            raise WorkbookError("record file {} does not exist: write the records again".format(path))
        except tf.errors.OpError as error:
            raise WorkbookError("record file {} is damaged ({}): delete it and write the records again".format(
                path, error.message))


def _feature(record, key):
    return tf.train.Example.FromString(record).features.feature[key].bytes_list.value[0]


def _made_of(root, ids, *, num_classes, ignore_label):
    """What records depend on: the list, the settings of the audit, name, size and time of every source file."""
    sources, source_bytes = hashlib.sha256(), 0
    for image_id in ids:
        for path in (voc.image_path(root, image_id), voc.mask_path(root, image_id)):
            try:
                state = os.stat(path)
            except OSError:  # the audit names it in words
                continue
            sources.update("{} {} {}\n".format(os.path.basename(path), state.st_size, state.st_mtime_ns).encode())
            source_bytes += state.st_size
    return {"count": len(ids), "ids": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
            "num_classes": num_classes, "ignore_label": ignore_label,
            "sources": sources.hexdigest(), "source_bytes": source_bytes}


def _is_complete(folder, list_name, paths, made_of):
    try:
        with open(_manifest_path(folder, list_name)) as file:
            return json.load(file) == dict(made_of, sizes=[os.path.getsize(path) for path in paths])
    except (OSError, ValueError):
        return False


def _manifest_path(folder, list_name):
    return os.path.join(folder, list_name + ".json")


def _matching(folder, list_name, tail):
    return glob.glob(os.path.join(glob.escape(folder), glob.escape(list_name) + tail))


def _remove(paths):
    for path in paths:
        if os.path.exists(path):
            os.remove(path)


def _is_disk_full(error):
    return (isinstance(error, tf.errors.ResourceExhaustedError)
            or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT))


def _disk_full(folder, list_name, needed):
    return WorkbookError("the disk of {} is full: the records of list {} need about {:.1f} MB and {:.1f} MB are free, "
                         "make room or choose another folder".format(
                             folder, list_name, needed / 1e6, shutil.disk_usage(folder).free / 1e6))
