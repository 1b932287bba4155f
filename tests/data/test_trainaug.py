"""trainaug is VOC train and SBD without VOC val, with the masks of both."""

import os
import subprocess

import numpy as np
import pytest
import scipy.io

from deeplab_nb.data import voc
from deeplab_nb.data.audit import audit
from deeplab_nb.data.trainaug import check_trainaug, make_trainaug, read_sbd_mask, trainaug_ids
from deeplab_nb.errors import WorkbookError
from tests.support.tiny_voc import make_tiny_voc, write_pair

SBD_MASK = np.tile(np.arange(33, dtype=np.uint8)[:, None] % 21, (1, 49))


@pytest.fixture
def root(tmp_path):
    """VOC with two photographs beyond its segmentation lists, as VOC2012 has many."""
    root = make_tiny_voc(tmp_path / "VOC2012")
    for image_id in ("extra_000", "extra_001"):
        write_pair(root, image_id)
        os.remove(voc.mask_path(root, image_id))
    return root


@pytest.fixture
def sbd(tmp_path, root):
    """SBD that overlaps VOC's train and val; extra_002 is in no folder of VOC."""
    dataset = str(tmp_path / "benchmark_RELEASE" / "dataset")
    for folder in ("cls", "img"):
        os.makedirs(os.path.join(dataset, folder))
    lists = {
        "train.txt": ["train_000", "extra_000", "extra_002"],
        "val.txt": ["val_000", "extra_001"],
    }
    for name, ids in lists.items():
        with open(os.path.join(dataset, name), "w") as file:
            file.write("\n".join(ids) + "\n")
        for image_id in ids:
            write_mat(dataset, image_id, SBD_MASK)
    with open(voc.image_path(root, "train_000"), "rb") as source:
        with open(os.path.join(dataset, "img", "extra_002.jpg"), "wb") as copy:
            copy.write(source.read())
    return os.path.dirname(dataset)


def write_mat(dataset, image_id, mask):
    """The nesting of SBD's files: a struct GTcls with Segmentation and fields not read here."""
    scipy.io.savemat(
        os.path.join(dataset, "cls", image_id + ".mat"),
        {
            "GTcls": {
                "Boundaries": np.zeros((20, 1)),
                "Segmentation": mask,
                "CategoriesPresent": np.unique(mask),
            }
        },
        do_compression=True,
    )


def refusal(function, *args):
    with pytest.raises(WorkbookError) as caught:
        function(*args)
    return str(caught.value)


def test_the_list(root, sbd):
    path = make_trainaug(root, sbd)
    assert path == voc.list_path(root, "trainaug")
    assert voc.read_list(root, "trainaug") == [
        "extra_000",
        "extra_001",
        "extra_002",
        "train_000",
        "train_001",
        "train_002",
        "train_003",
    ]


def test_masks_come_from_sbd_where_voc_has_none(root, sbd):
    make_trainaug(root, sbd)
    mask, kind = voc.read_mask(voc.mask_path(root, "extra_001"))
    assert kind == "palette" and np.array_equal(mask, SBD_MASK)


def test_official_masks_are_never_overwritten(root, sbd):
    before = open(voc.mask_path(root, "train_000"), "rb").read()
    make_trainaug(root, sbd)
    assert open(voc.mask_path(root, "train_000"), "rb").read() == before


def test_photographs_that_voc_lacks_are_copied(root, sbd):
    make_trainaug(root, sbd)
    assert (
        open(voc.image_path(root, "extra_002"), "rb").read()
        == open(voc.image_path(root, "train_000"), "rb").read()
    )


def test_the_result_passes_the_audit(root, sbd):
    make_trainaug(root, sbd)
    found = audit(root, ["trainaug", "val"])
    assert not found.problems and found.of("trainaug").count == 7
    assert found.of("trainaug").size == "7 images, not VOC's full list of 10582"


@pytest.mark.parametrize("below", ["", "dataset", ".."])
def test_sbd_is_found_from_any_of_its_folders(root, sbd, below):
    make_trainaug(root, os.path.join(sbd, below))
    assert len(voc.read_list(root, "trainaug")) == 7


def test_a_damaged_mat_is_named_and_no_list_appears(root, sbd):
    path = os.path.join(sbd, "dataset", "cls", "extra_001.mat")
    with open(path, "rb+") as file:
        file.truncate(os.path.getsize(path) - 40)
    text = refusal(make_trainaug, root, sbd)
    assert text.startswith(f"SBD mask {path} is damaged (") and text.endswith("): unpack SBD anew")
    assert not os.path.exists(voc.list_path(root, "trainaug"))
    assert not os.path.exists(voc.mask_path(root, "extra_001"))


def test_a_mat_of_other_content_is_named(tmp_path):
    path = str(tmp_path / "other.mat")
    scipy.io.savemat(path, {"something": np.zeros(3)})
    assert refusal(read_sbd_mask, path).startswith(f"SBD mask {path} is damaged (")


def test_a_missing_mat_is_named(root, sbd):
    path = os.path.join(sbd, "dataset", "cls", "extra_000.mat")
    os.remove(path)
    assert refusal(make_trainaug, root, sbd) == f"SBD mask {path} does not exist: unpack SBD anew"


def test_a_photograph_that_nobody_has_is_named(root, sbd):
    source = os.path.join(sbd, "dataset", "img", "extra_002.jpg")
    os.remove(source)
    assert refusal(
        make_trainaug, root, sbd
    ) == "photograph {} is missing in VOC, and SBD has no {}: unpack both anew".format(
        voc.image_path(root, "extra_002"), source
    )


def test_a_full_disk(root, sbd):
    folder = os.path.join(root, "SegmentationClass")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], stderr=subprocess.PIPE
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        text = refusal(make_trainaug, root, sbd)
        assert text.startswith(folder)
        assert " cannot be read or written (No space left on device): make room on its" in text
        assert not [name for name in os.listdir(folder) if name.endswith(".part")]
        assert not os.path.exists(voc.list_path(root, "trainaug"))
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_folder_that_is_not_sbd(root, tmp_path):
    assert refusal(make_trainaug, root, str(tmp_path / "no")) == (
        "SBD folder {} has no dataset/cls: give the benchmark_RELEASE folder of the unpacked "
        "archive".format(tmp_path / "no")
    )


def test_a_missing_sbd_list(root, sbd):
    path = os.path.join(sbd, "dataset", "val.txt")
    os.remove(path)
    assert refusal(make_trainaug, root, sbd) == f"SBD list {path} does not exist: unpack SBD anew"


def test_an_evaluation_image_that_leaks_in():
    assert refusal(check_trainaug, ["a", "v2", "v1"], ["a"], ["v1", "v2"]) == (
        "trainaug holds 2 images of val, v1 is the first: leave them out, or the score is worthless"
    )


def test_a_subset_may_have_any_count():
    check_trainaug(["a", "b", "c"], ["a"], ["v"])


def official(shared, name):
    with open(os.path.join(shared, "data", "lists", name + ".txt")) as file:
        return file.read().split()


def test_the_rule_gives_the_official_list(shared):
    train, val, trainaug = (official(shared, name) for name in ("train", "val", "trainaug"))
    ids = trainaug_ids(train, val, trainaug + val[:773])  # SBD holds images of VOC val too
    assert len(ids) == 10582 and ids == trainaug
    check_trainaug(ids, train, val)


def test_a_short_sbd_is_an_error_with_official_lists(shared):
    train, val, trainaug = (official(shared, name) for name in ("train", "val", "trainaug"))
    only_sbd = sorted(set(trainaug) - set(train))
    assert refusal(check_trainaug, trainaug_ids(train, val, only_sbd[:-5]), train, val) == (
        "trainaug comes to 10577 images instead of 10582: unpack SBD anew, its train.txt or "
        "val.txt is not complete"
    )
