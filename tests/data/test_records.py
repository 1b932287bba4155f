"""Records hold what the files hold, and a set of them is complete or absent."""

import glob
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from deeplab_nb.data import voc
from deeplab_nb.data.records import count_records, read_ids, write_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.tf1 import tf
from tests.support.tiny_voc import make_tiny_voc, write_list


@pytest.fixture
def root(tmp_path):
    return make_tiny_voc(tmp_path / "VOC2012", train=6, val=2)


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "records")


def examples(paths):
    stored = itertools.chain.from_iterable(tf.io.tf_record_iterator(path) for path in paths)
    return [tf.train.Example.FromString(record).features.feature for record in stored]


def content(paths):
    return {path: open(path, "rb").read() for path in paths}


def test_shards_are_named_and_cut_like_the_originals(root, folder):
    paths = write_records(root, "train", folder)
    assert [os.path.basename(path) for path in paths] == [
        f"train-0000{i}-of-00004.tfrecord" for i in range(4)
    ]
    assert [count_records([path]) for path in paths] == [
        2,
        2,
        2,
        0,
    ]  # ceil(6 / 4) each, the last is empty
    assert read_ids(paths) == voc.read_list(root, "train")


def test_the_folder_of_a_set_holds_shards_and_what_they_are_made_of(root, folder):
    paths = write_records(root, "train", folder)
    (own,) = os.listdir(folder)
    assert sorted(os.listdir(os.path.join(folder, own))) == sorted(
        [os.path.basename(path) for path in paths] + ["made_of.json"]
    )


def test_a_record_holds_every_key_of_the_original(root, folder):
    first = examples(write_records(root, "train", folder))[0]
    assert set(first) == {
        "image/encoded",
        "image/filename",
        "image/format",
        "image/height",
        "image/width",
        "image/channels",
        "image/segmentation/class/encoded",
        "image/segmentation/class/format",
    }
    assert first["image/filename"].bytes_list.value[0] == b"train_000"
    assert first["image/format"].bytes_list.value[0] == b"jpeg"
    assert first["image/segmentation/class/format"].bytes_list.value[0] == b"png"
    assert [
        first["image/" + key].int64_list.value[0] for key in ("height", "width", "channels")
    ] == [33, 49, 3]


def test_a_second_call_reuses_the_set(root, folder):
    before = [os.stat(path).st_mtime_ns for path in write_records(root, "train", folder)]
    assert [os.stat(path).st_mtime_ns for path in write_records(root, "train", folder)] == before


def test_a_changed_mask_rewrites_the_set(root, folder):
    write_records(root, "train", folder)
    voc.write_mask(voc.mask_path(root, "train_000"), np.full((33, 49), 9))
    label = examples(write_records(root, "train", folder))[0][
        "image/segmentation/class/encoded"
    ].bytes_list.value[0]
    assert (np.array(Image.open(io.BytesIO(label))) == 9).all()


def test_a_changed_list_rewrites_the_set(root, folder):
    write_records(root, "train", folder)
    write_list(root, "train", ["train_003", "train_001"])
    assert read_ids(write_records(root, "train", folder)) == ["train_003", "train_001"]


def test_a_shortened_shard_rewrites_the_set(root, folder):
    paths = write_records(root, "train", folder)
    with open(paths[1], "rb+") as file:
        file.truncate(100)
    assert count_records(write_records(root, "train", folder)) == 6


def test_another_shard_count_leaves_no_old_shards(root, folder):
    write_records(root, "train", folder)
    paths = write_records(root, "train", folder, shards=2)
    assert sorted(glob.glob(os.path.join(folder, "*", "*.tfrecord"))) == paths
    assert count_records(paths) == 6


def test_fewer_classes_audit_anew(root, folder):
    write_records(root, "train", folder)
    with pytest.raises(WorkbookError, match="only 0..1 and 255 are allowed"):
        write_records(root, "train", folder, num_classes=2)


def test_bad_data_writes_nothing(root, folder):
    path = voc.mask_path(root, "train_005")
    voc.write_mask(path, np.full((33, 49), 30))
    with pytest.raises(WorkbookError) as caught:
        write_records(root, "train", folder)
    assert str(caught.value) == (
        f"1 problem in {root}: mask {path} has value 30, only 0..20 and 255 are allowed: "
        "correct it or "
        "num_classes"
    )
    assert not glob.glob(os.path.join(folder, "train*"))


def test_leftover_parts_of_a_killed_process_go(root, folder):
    for name in ("train-0123456789abcdef.part", "train-0123456789abcdef"):
        os.makedirs(os.path.join(folder, name))
        open(os.path.join(folder, name, "train-00000-of-00009.tfrecord"), "w").close()
    paths = write_records(root, "train", folder)
    assert [os.path.join(folder, name) for name in os.listdir(folder)] == [
        os.path.dirname(paths[0])
    ]


def test_shards_of_which_no_one_says_what_they_are_made_of_are_written_anew(root, folder):
    paths = write_records(root, "train", folder)
    before = content(paths)
    os.remove(os.path.join(os.path.dirname(paths[0]), "made_of.json"))
    open(paths[2], "w").close()
    assert content(write_records(root, "train", folder)) == before


def test_records_of_the_older_kind_are_written_anew(root, folder):
    os.makedirs(folder)
    for name in ("train.json", "train-00000-of-00001.tfrecord"):
        open(os.path.join(folder, name), "w").close()
    assert count_records(write_records(root, "train", folder)) == 6


def test_two_processes_may_write_the_same_records_at_once(root, folder, repo):
    write_list(root, "train", voc.read_list(root, "train") * 100)
    children = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from deeplab_nb.data.records import write_records; "
                "write_records(sys.argv[1], 'train', sys.argv[2])",
                root,
                folder,
            ],
            cwd=repo,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [child.wait() for child in children] == [0, 0]
    assert count_records(write_records(root, "train", folder)) == len(voc.read_list(root, "train"))


def test_interrupted_writing_leaves_the_older_set(root, folder, repo):
    before = content(write_records(root, "train", folder))
    write_list(root, "train", voc.read_list(root, "train") * 400)  # takes a second or more to write
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from deeplab_nb.data.records import write_records; "
            "write_records(sys.argv[1], 'train', sys.argv[2])",
            root,
            folder,
        ],
        cwd=repo,
        stderr=subprocess.DEVNULL,
    )
    while child.poll() is None and not glob.glob(os.path.join(folder, "*.part", "*")):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    assert child.wait() != 0
    assert content(before) == before
    assert glob.glob(os.path.join(folder, "*")) == [os.path.dirname(min(before))]


def test_a_list_whose_name_begins_another_ones_is_left_alone(root, folder):
    write_list(root, "train-2", ["train_000"])
    other = write_records(root, "train-2", folder)
    write_records(root, "train", folder)
    assert read_ids(other) == ["train_000"]


def test_damaged_record_file_is_named(root, folder):
    path = write_records(root, "train", folder)[0]
    with open(path, "rb+") as file:
        file.truncate(os.path.getsize(path) - 3)
    with pytest.raises(WorkbookError) as caught:
        count_records([path])
    assert str(caught.value).startswith(f"record file {path} is damaged (")
    assert str(caught.value).endswith("): move it away and write the records again")


def test_missing_record_file_is_named(folder):
    path = os.path.join(folder, "train-00000-of-00004.tfrecord")
    with pytest.raises(WorkbookError) as caught:
        read_ids([path])
    assert str(caught.value) == f"record file {path} does not exist: write the records again"


def test_folder_that_cannot_be_made(root, tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "records")
    with pytest.raises(WorkbookError) as caught:
        write_records(root, "train", folder)
    assert str(caught.value).startswith(f"{folder} cannot be read or written (Not a directory): ")


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 200 kB."""
    folder = str(tmp_path / "disk")
    os.makedirs(folder)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", folder], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def disk_full_of(folder, list_name):
    return f"the disk of {folder} is full: the records of list {list_name} need about "


def test_disk_too_small_for_the_list(small_disk, tmp_path, capsys):
    root = make_tiny_voc(tmp_path / "VOC2012", train=40, val=2, size=(99, 99))
    kept = write_records(root, "val", small_disk)
    before = content(kept)
    with pytest.raises(WorkbookError) as caught:
        write_records(root, "train", small_disk)
    assert str(caught.value).startswith(disk_full_of(small_disk, "train"))
    assert str(caught.value).endswith("0.2 MB are free, make room or choose another folder")
    assert (
        "records train" not in capsys.readouterr().err
    )  # refused before the first record is written
    assert not glob.glob(os.path.join(small_disk, "train*"))
    assert content(kept) == before and read_ids(kept) == voc.read_list(root, "val")


def test_disk_that_fills_up_while_writing(small_disk, tmp_path):
    """Sixty shards take a page of 4 kB each, so the disk fills although their sum would fit."""
    root = make_tiny_voc(tmp_path / "VOC2012", train=60, val=2, size=(24, 29))
    kept = write_records(root, "val", small_disk, shards=1)
    before = content(kept)
    with pytest.raises(WorkbookError) as caught:
        write_records(root, "train", small_disk, shards=60)
    assert str(caught.value).startswith(os.path.join(small_disk, "train-"))
    assert "cannot be read or written (No space left on device): make room" in str(caught.value)
    assert os.listdir(small_disk) == [os.path.basename(os.path.dirname(kept[0]))]
    assert content(kept) == before


def test_a_set_says_what_it_is_made_of(root, folder):
    paths = write_records(root, "train", folder)
    with open(os.path.join(os.path.dirname(paths[0]), "made_of.json")) as file:
        assert json.load(file) == {
            "count": 6,
            "num_classes": 21,
            "ignore_label": 255,
            "sizes": [os.path.getsize(path) for path in paths],
        }


def test_real_photographs_come_back_byte_for_byte(shared, folder):
    root = os.path.join(shared, "data", "VOCdevkit", "VOC2012")
    ids = voc.read_list(root, "val_mixed")
    paths = write_records(root, "val_mixed", folder)
    assert read_ids(paths) == ids and count_records(paths) == 31
    for image_id, features in zip(ids, examples(paths)):
        with open(voc.image_path(root, image_id), "rb") as file:
            assert features["image/encoded"].bytes_list.value[0] == file.read()
        label = Image.open(
            io.BytesIO(features["image/segmentation/class/encoded"].bytes_list.value[0])
        )
        mask, _ = voc.read_mask(voc.mask_path(root, image_id))
        assert label.mode == "L" and np.array_equal(np.array(label), mask)
        assert (
            features["image/height"].int64_list.value[0],
            features["image/width"].int64_list.value[0],
        ) == mask.shape
