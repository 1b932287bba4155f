"""Data as the originals' users have it: found, counted, laid out as VOC does, left as it was."""

import hashlib
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data import layouts, voc
from deeplab_nb.data.records import existing_shards, read_ids
from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs.run import Run
from deeplab_nb.tf1 import tf
from tests.support.records import make_edge, write_flat_records
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture
def root(tmp_path):
    return make_tiny_voc(tmp_path / "voc")


@pytest.fixture
def records(root, tmp_path):
    """A folder of records as the original writes them, in a folder `tfrecord`."""
    for name in ("train", "val", "trainval"):
        write_flat_records(root, name, str(tmp_path / "data" / "tfrecord"), shards=2)
    return str(tmp_path / "data")


@pytest.fixture
def edge(root, tmp_path):
    return make_edge(root, str(tmp_path / "edge"))


def content(folder):
    """{path within: digest} of all files below a folder."""
    return {
        os.path.relpath(os.path.join(where, name), folder): hashlib.sha256(
            open(os.path.join(where, name), "rb").read()
        ).hexdigest()
        for where, _, names in os.walk(folder)
        for name in names
    }


def write_foreign(path, rows):
    """A record file of [(file name, photograph, mask)]; None leaves a feature out."""
    with tf.io.TFRecordWriter(path) as writer:
        for row in rows:
            keys = ("image/filename", "image/encoded", "image/segmentation/class/encoded")
            features = {
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for key, value in zip(keys, row)
                if value is not None
            }
            writer.write(
                tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
            )


@pytest.mark.parametrize("inside", ["", "tfrecord"])
def test_records_are_found_in_the_folder_or_in_its_tfrecord(records, inside):
    found = layouts.find(os.path.join(records, inside), "train")
    assert found == layouts.Layout("records", os.path.join(records, "tfrecord"), "train")
    assert layouts.count(found) == 4 and layouts.count(layouts.find(records, "trainval")) == 6


def test_a_run_trains_on_the_records_that_its_data_folder_holds(records):
    folder = os.path.join(records, "tfrecord")
    run = Run(recipes.get("sample"), settings_module.read({"data_root": folder}), records)
    assert run.records("val") == existing_shards(folder, "val") and read_ids(
        run.records("val")
    ) == ["val_000", "val_001"]


def png(mask, mode="L"):
    file = io.BytesIO()
    Image.fromarray(np.array(mask, np.uint8)).convert(mode).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "mask, sentence",
    [
        (
            png([[0, 20], [255, 21]]),
            "the mask of b, .*-00000-of-00001 or its set, holds class 21, .* 0..20 and 255",
        ),
        (
            png([[0, 1], [2, 3]], "P"),
            "has colours, not class numbers .mode P.: remove its colour map",
        ),
        (png([[0, 1], [2, 3]], "RGB"), "has colours"),
        (b"none", "cannot be read"),
    ],
)
def test_masks_that_would_be_misread_are_named_before_training(tmp_path, mask, sentence):
    good = png([[0, 20], [255, 1]])
    write_foreign(str(tmp_path / "train-00000-of-00001"), [(b"a", b"p", good), (b"b", b"p", mask)])
    run = Run(recipes.get("sample"), settings_module.read({"data_root": str(tmp_path)}), "")
    with pytest.raises(WorkbookError, match=sentence):
        run.records("train")


def test_a_list_whose_name_begins_alike_is_another(root, tmp_path):
    write_flat_records(root, "trainval", str(tmp_path / "r"))
    os.rename(
        str(tmp_path / "r" / "trainval-00000-of-00004.tfrecord"),
        str(tmp_path / "r" / "train-old-00000-of-00004.tfrecord"),
    )
    assert existing_shards(str(tmp_path / "r"), "train") == []
    with pytest.raises(
        WorkbookError,
        match="holds 3 record files of list trainval, trainval-00001-.* is one of 4: bring all",
    ):
        existing_shards(str(tmp_path / "r"), "trainval")


def test_records_are_unpacked_once_and_as_they_are(records, root, tmp_path):
    before, found, out = content(records), layouts.find(records, "val"), str(tmp_path / "out")
    layouts.lay_out(found, out)
    made = layouts.voc_root(found, out)
    assert made == voc.check_root(made) and voc.read_list(made, "val") == ["val_000", "val_001"]
    for image_id in ("val_000", "val_001"):
        with open(voc.image_path(made, image_id), "rb") as there, open(
            voc.image_path(root, image_id), "rb"
        ) as here:
            assert there.read() == here.read()
        assert np.array_equal(
            voc.read_mask(voc.mask_path(made, image_id))[0],
            voc.read_mask(voc.mask_path(root, image_id))[0],
        )
    stamps = {path: os.stat(os.path.join(made, path)).st_mtime_ns for path in content(made)}
    layouts.lay_out(found, out)
    assert stamps == {path: os.stat(os.path.join(made, path)).st_mtime_ns for path in content(made)}
    assert content(records) == before


def test_other_records_are_not_mixed_with_those_unpacked(records, root, tmp_path):
    found, out = layouts.find(records, "val"), str(tmp_path / "out")
    layouts.lay_out(found, out)
    with open(existing_shards(found.root, "val")[0], "ab") as file:
        file.write(b"x")
    with pytest.raises(WorkbookError, match="voc_val is not made of these records: move it away"):
        layouts.lay_out(found, out)


@pytest.mark.parametrize(
    "names",
    [
        ["../../../escape", "/etc/passwd", "..", ".hidden", ""],
        ["same", "same", "same", "same_2"],
        ["a b\tc", "a_b_c", "ü"],
        ["x" * 400, "x" * 401],
    ],
)
def test_ids_of_others_stay_within_the_folder_and_apart(tmp_path, names):
    source, out = tmp_path / "r", tmp_path / "deep" / "er" / "out"
    source.mkdir()
    write_foreign(
        str(source / "val-00000-of-00001.tfrecord"),
        [(name.encode(), b"photograph %d" % i, b"mask %d" % i) for i, name in enumerate(names)],
    )
    found = layouts.find(str(source), "val")
    layouts.lay_out(found, str(out))
    made = layouts.voc_root(found, str(out))
    ids = voc.read_list(made, "val")
    assert len(set(ids)) == len(ids) == len(names)
    assert [open(voc.image_path(made, i), "rb").read() for i in ids] == [
        b"photograph %d" % i for i in range(len(ids))
    ]
    assert sorted(os.listdir(str(tmp_path))) == ["deep", "r"] and os.listdir(
        str(tmp_path / "deep" / "er")
    ) == ["out"]
    assert os.listdir(str(out)) == ["voc_val"]


@pytest.mark.parametrize("row", [(b"a", None, b"m"), (b"a", b"p", None), (None, b"p", b"m")])
def test_a_record_without_photograph_or_mask_is_named(tmp_path, row):
    write_foreign(str(tmp_path / "val-00000-of-00001.tfrecord"), [(b"good", b"p", b"m"), row])
    with pytest.raises(WorkbookError, match="record 1 of .* lacks a photograph or a mask"):
        layouts.lay_out(layouts.find(str(tmp_path), "val"), str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out" / "voc_val"))


def test_a_damaged_record_file_is_named_and_nothing_half_made_stays(records, tmp_path):
    path = existing_shards(os.path.join(records, "tfrecord"), "val")[0]
    with open(path, "r+b") as file:
        file.seek(40)
        file.write(b"\0" * 40)
    with pytest.raises(WorkbookError, match="val-00000-of-00002.tfrecord is damaged"):
        layouts.lay_out(layouts.find(records, "val"), str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out" / "voc_val"))


@pytest.mark.parametrize("name, folder", [("train", "train"), ("val", "eval")])
def test_the_edge_adapters_folders_become_lists_of_links(edge, root, tmp_path, name, folder):
    before, found, out = content(edge), layouts.find(edge, name), str(tmp_path / "out")
    assert found.kind == "edge" and layouts.count(found) == len(voc.read_list(root, name))
    for _ in range(2):
        layouts.lay_out(found, out)
        made = layouts.voc_root(found, out)
        assert voc.read_list(made, name) == voc.read_list(root, name)
        assert os.path.realpath(voc.image_path(made, name + "_001")) == os.path.join(
            edge, folder, "Images", name + "_001.jpg"
        )
        assert content(edge) == before
    shutil.copy(
        voc.image_path(root, name + "_000"), os.path.join(edge, folder, "Images", "new.jpg")
    )
    shutil.copy(
        voc.mask_path(root, name + "_000"),
        os.path.join(edge, folder, "SegmentationClassRaw", "new.png"),
    )
    layouts.lay_out(found, out)
    assert "new" in voc.read_list(made, name)


@pytest.mark.parametrize(
    "break_it, sentence",
    [
        (
            lambda f: os.remove(f + "/train/SegmentationClassRaw/train_002.png"),
            r"Images/train_002.jpg has no .*Raw/train_002.png",
        ),
        (
            lambda f: os.remove(f + "/train/Images/train_001.jpg"),
            r"Raw/train_001.png has no .*Images/train_001.jpg",
        ),
        (
            lambda f: shutil.rmtree(f + "/train/SegmentationClassRaw"),
            "SegmentationClassRaw does not exist",
        ),
        (
            lambda f: [
                os.rename(f + f"/train/{name}", f + f"/train/{name.replace('_003', ' 3')}")
                for name in ("Images/train_003.jpg", "SegmentationClassRaw/train_003.png")
            ],
            "has a blank in its name",
        ),
        (
            lambda f: [
                shutil.rmtree(f + f"/train/{name}") or os.mkdir(f + f"/train/{name}")
                for name in ("Images", "SegmentationClassRaw")
            ],
            "holds no .jpg",
        ),
    ],
)
def test_incomplete_pairs_are_named(edge, tmp_path, break_it, sentence):
    break_it(edge)
    with pytest.raises(WorkbookError, match=sentence):
        layouts.lay_out(layouts.find(edge, "train"), str(tmp_path / "out"))
    with pytest.raises(WorkbookError, match=sentence):
        layouts.count(layouts.find(edge, "train"))


def test_a_voc_folder_is_taken_as_it_is(root, tmp_path):
    found = layouts.find(root, "trainval")
    assert found == layouts.Layout("voc", root, "trainval") and layouts.count(found) == 6
    assert layouts.voc_root(found, str(tmp_path / "out")) == root
    layouts.lay_out(found, str(tmp_path / "out"))
    assert not os.path.exists(str(tmp_path / "out"))
    os.rename(voc.list_path(root, "trainval"), voc.list_path(root, "trainaug"))
    assert layouts.find(root, "train_aug").name == "trainaug"


@pytest.mark.parametrize(
    "name, sentence", [("test", "list .*test.txt does not exist"), ("val", "does not exist")]
)
def test_where_nothing_fits_all_three_are_named(root, tmp_path, name, sentence):
    path = root if name == "test" else str(tmp_path / "nowhere")
    with pytest.raises(
        WorkbookError,
        match=f"{sentence}.*record files {name}-00000.*Images and SegmentationClassRaw",
    ):
        layouts.find(path, name)
