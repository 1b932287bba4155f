"""The audit finds what spoils a training or a score, and says it in words."""

import os

import numpy as np
import pytest
from PIL import Image

from deeplab_nb.data import voc
from deeplab_nb.data.audit import audit
from deeplab_nb.errors import WorkbookError
from tests.support.tiny_voc import make_tiny_voc, write_list


@pytest.fixture
def root(tmp_path):
    return make_tiny_voc(tmp_path / "VOC2012")


def put_mask(root, image_id, mask):
    path = voc.mask_path(root, image_id)
    voc.write_mask(path, mask)
    return path


def cut(path, share):
    with open(path, "rb+") as file:
        file.truncate(int(os.path.getsize(path) * share))


def only_problem(root, lists=("train",), **kwargs):
    ((_, sentence),) = audit(root, lists, **kwargs).problems
    return sentence


def test_a_sound_set_is_ok(root):
    found = audit(root, ["train", "val"])
    found.raise_if_bad()
    assert not found.problems and not found.warnings and not found.notes


def test_statistics_of_a_list(root):
    one = audit(root, ["train"]).of("train")
    assert one.count == 4 and one.values == (0, 1, 2, 3, 4, 255)
    assert (
        one.pixels[1] == 13 * 18
        and one.pixels[255] == 4 * (15 * 20 - 13 * 18)
        and sum(one.pixels) == 4 * 33 * 49
    )
    assert one.images[0] == 4 and one.images[1] == 1 and one.images[5] == 0
    assert one.longest_side == 49


def test_void_share_is_of_all_pixels(root):
    assert audit(root, ["train"]).void_share("train") == pytest.approx(
        (15 * 20 - 13 * 18) / (33 * 49)
    )


def test_a_subset_is_called_one(root):
    found = audit(root, ["train", "trainval"])
    assert found.of("train").size == "4 images, not VOC's full list of 1464"
    write_list(root, "mine", ["train_000"])
    assert audit(root, ["mine"]).of("mine").size == "1 images"


def test_table_has_a_row_for_each_class_and_void(root):
    lines = audit(root, ["train"]).table("train").splitlines()
    assert len(lines) == 2 + 21 + 1
    assert lines[3].split() == [
        "1",
        "aeroplane",
        "3.77%",
        "1",
    ]  # 234 of 4 * (1617 - 66) labelled pixels
    assert lines[-1].split() == ["255", "(ignored)", "4.08%", "4"]


def test_index_and_rgb_masks_are_told_apart(root):
    ids = np.zeros((33, 49), np.uint8)
    ids[:9] = 7
    Image.fromarray(ids).save(voc.mask_path(root, "train_000"))
    Image.fromarray(voc.palette()[ids]).save(voc.mask_path(root, "train_001"))
    kinds = [voc.read_mask(voc.mask_path(root, "train_00" + number))[1] for number in "0123"]
    assert kinds == ["index", "rgb", "palette", "palette"]
    assert audit(root, ["train"]).of("train").images[7] == 2


def test_missing_photograph(root):
    os.remove(voc.image_path(root, "train_001"))
    assert only_problem(
        root
    ) == "photograph {} does not exist: correct the list or add the file".format(
        voc.image_path(root, "train_001")
    )


def test_a_list_that_names_no_image(root):
    write_list(root, "train", ["train_000", "nobody"])
    problems = audit(root, ["train"]).problems
    assert [image_id for image_id, _ in problems] == ["nobody", "nobody"]
    assert problems[0][1].startswith("photograph ") and problems[1][1].startswith("mask ")


def test_missing_mask(root):
    os.remove(voc.mask_path(root, "train_001"))
    assert only_problem(root) == "mask {} does not exist: correct the list or add the file".format(
        voc.mask_path(root, "train_001")
    )


@pytest.mark.parametrize("share", [0.5, 0.999])
def test_cut_photograph(root, share):
    path = voc.image_path(root, "train_002")
    cut(path, share)
    sentence = only_problem(root)
    assert sentence.startswith(f"photograph {path} is damaged (image file is truncated")
    assert sentence.endswith("): replace the file")


def test_photograph_that_is_no_image(root):
    path = voc.image_path(root, "train_002")
    with open(path, "w") as file:
        file.write("<html>404</html>")
    assert only_problem(root).startswith(f"photograph {path} is not readable (")


def test_photograph_in_a_form_that_only_the_records_give_to_training(root):
    Image.new("RGB", (49, 33)).save(voc.image_path(root, "train_002"), format="BMP")
    assert not audit(root, ["train"]).problems


def test_damaged_mask(root):
    path = voc.mask_path(root, "train_002")
    cut(path, 0.9)
    assert only_problem(root).startswith(f"mask {path} is ")


def test_sizes_differ(root):
    path = put_mask(root, "train_003", np.zeros((49, 33)))
    assert only_problem(root) == (
        f"mask {path} is 49x33, its photograph 33x49 (height x width): "
        "save it in the photograph's size"
    )


@pytest.mark.parametrize("value", [21, 220, 254])
def test_value_beyond_the_classes(root, value):
    path = put_mask(root, "train_003", np.full((33, 49), value))
    assert (
        only_problem(root)
        == f"mask {path} has value {value}, only 0..20 and 255 are allowed: correct it or "
        "num_classes"
    )


def test_many_wrong_values_are_named_up_to_eight(root):
    mask = np.zeros((33, 49), np.uint8)
    mask[0, :12] = range(30, 42)
    path = put_mask(root, "train_003", mask)
    assert only_problem(root).startswith(
        f"mask {path} has values 30, 31, 32, 33, 34, 35, 36, 37 and others, only"
    )


def test_class_count_and_ignore_label_are_the_callers(root):
    assert audit(root, ["train"], num_classes=4).problems  # train has classes 1..4
    assert not audit(root, ["train"], num_classes=5).problems
    assert audit(
        root, ["train"], num_classes=5, ignore_label=254
    ).problems  # 255 is then a wrong value


def test_object_coded_as_ignore_is_a_warning(root):
    mask = np.zeros((33, 49), np.uint8)
    mask[:, :24] = 255
    path = put_mask(root, "train_000", mask)
    found = audit(root, ["train"])
    assert not found.problems
    assert found.warnings == (
        (
            "train_000",
            f"mask {path} holds only 0 and 255 (49%): 255 is the ignore value here, so the "
            "object is ignored; code it as a class id",
        ),
    )


def test_a_thin_void_border_is_no_warning(root):
    mask = np.zeros((33, 49), np.uint8)
    mask[0] = 255
    put_mask(root, "train_000", mask)
    assert audit(root, ["train"]).warnings == ()


def test_validation_images_in_a_training_list(root):
    write_list(root, "trainaug", ["train_000", "val_000", "val_001"])
    ((name, sentence),) = audit(root, ["trainaug", "val"]).problems
    assert name == "trainaug"
    assert sentence == (
        "lists trainaug and val share 2 of their images, val_000 is the first: "
        "take the evaluation images out of the training list"
    )


def test_trainval_holding_val_is_a_note(root):
    found = audit(root, ["train", "trainval", "val"])
    assert not found.problems and not found.warnings
    assert len(found.notes) == 1 and found.notes[0].startswith(
        "lists trainval and val share 2 of their images"
    )


def test_lists_of_other_names_that_share_images_are_a_warning(root):
    write_list(root, "fold1", ["train_000", "train_001"])
    write_list(root, "fold2", ["train_001", "train_002"])
    found = audit(root, ["fold1", "fold2"])
    assert not found.problems
    assert found.warnings[0][1].startswith(
        "lists fold1 and fold2 share 1 of their images, train_001 is the first"
    )


def test_an_id_that_is_listed_twice_is_a_warning(root):
    write_list(root, "train", ["train_000", "train_001", "train_000"])
    ((name, sentence),) = audit(root, ["train"]).warnings
    assert name == "train"
    assert (
        sentence
        == "list train names train_000 more than once (1 such ids): it trains each time and is "
        "evaluated once"
    )


def test_raise_if_bad_counts_and_names_the_first(root):
    for image_id in ("train_000", "train_001", "train_002", "train_003"):
        os.remove(voc.mask_path(root, image_id))
    with pytest.raises(WorkbookError) as caught:
        audit(root, ["train"]).raise_if_bad()
    text = str(caught.value)
    assert text.startswith(
        "4 problems in {}: mask {} does not exist: correct the list or add the file; ".format(
            root, voc.mask_path(root, "train_000")
        )
    )
    assert "train_002" in text and "train_003" not in text and text.endswith("; and 1 more")


def test_one_problem_is_singular(root):
    os.remove(voc.mask_path(root, "train_000"))
    with pytest.raises(WorkbookError, match=r"^1 problem in .*add the file$"):
        audit(root, ["train"]).raise_if_bad()


def test_data_folder_does_not_exist(tmp_path):
    with pytest.raises(WorkbookError) as caught:
        audit(str(tmp_path / "nowhere"), ["train"])
    assert (
        str(caught.value)
        == "data folder {} does not exist: `deeplab-nb fetch voc` brings VOC 2012, "
        "or give the folder that holds JPEGImages".format(tmp_path / "nowhere")
    )


def test_data_folder_is_empty(tmp_path):
    with pytest.raises(WorkbookError) as caught:
        audit(str(tmp_path), ["train"])
    assert (
        str(caught.value)
        == f"data folder {tmp_path} has no JPEGImages: give the VOC2012 folder of an unpacked "
        "VOCdevkit"
    )


def test_photographs_without_masks(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    with pytest.raises(WorkbookError) as caught:
        audit(str(tmp_path), ["train"])
    assert str(caught.value) == (
        f"data folder {tmp_path} has no SegmentationClass: masks and lists are needed beside the "
        "photographs"
    )


def test_unknown_list_names_the_known_ones(root):
    with pytest.raises(WorkbookError) as caught:
        audit(root, ["trian"])
    assert str(
        caught.value
    ) == "list {} does not exist: the folder has train, trainval, val".format(
        voc.list_path(root, "trian")
    )


def test_real_photographs(shared):
    root = os.path.join(shared, "data", "VOCdevkit", "VOC2012")
    found = audit(root, ["train", "val"])
    assert not found.problems and not found.warnings
    train, val = found.lists
    assert (train.count, val.count) == (440, 150)
    for image_id in voc.read_list(root, "train") + voc.read_list(root, "val"):
        with Image.open(voc.mask_path(root, image_id)) as mask:
            assert mask.mode == "P"
    assert set(train.values + val.values) <= set(range(21)) | {255}
    assert set(range(21)) - set(val.values) == {voc.CLASSES.index("train")}
    assert found.longest_side == 500
