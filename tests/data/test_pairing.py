"""Photographs find their masks by whole paths, in the folders that annotation tools write."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from deeplab_nb.data import own, voc
from deeplab_nb.errors import WorkbookError
from tests.support import exports
from tests.support.command import call
from tests.support.exports import IDS, LEAF, SPOT, photographs, put


@pytest.fixture
def case(repo):
    return lambda name: os.path.join(repo, "tests", "figures", "cases", name)


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "root")


@pytest.fixture
def converted(tmp_path):
    """(what was found, {id: its ids}) of a conversion."""

    def convert(images, masks, **options):
        out = str(tmp_path / "out")
        found = own.convert(str(images), str(masks), out, **options)
        lists = {name: voc.read_list(out, name) for name in found.counts}
        names = sorted(sum((lists[name] for name in found.counts if name != "trainval"), []))
        for name in names:
            ids = voc.read_mask(voc.mask_path(out, name))[0]
            assert voc.read_image(voc.image_path(out, name)).shape[:2] == ids.shape
        return found, lists, lambda name: voc.read_mask(voc.mask_path(out, name))[0]

    return convert


# --- the cases


def test_case_16_a_photograph_that_fits_two_masks_is_refused(case, tmp_path):
    folder, out = case("16_same_name_in_two_folders"), str(tmp_path / "out")
    masks = os.path.join(folder, "i.json")
    said = call("convert", os.path.join(folder, "img"), masks, "--out", out, code=1)
    assert "p0.jpg have several partners of their name" in said
    assert not os.path.exists(out)


def test_case_18_a_backslash_is_a_folder(case, converted):
    folder = case("18_backslash_in_file_name")
    found, _, ids = converted(os.path.join(folder, "img"), os.path.join(folder, "i.json"))
    assert found.classes == ("background", "leaf") and (ids("p0") == 1).mean() == 0.25


# --- splits


def test_roboflows_coco_export_keeps_its_splits_and_joins_classes_by_name(root, converted):
    swapped = (0, "plants"), (1, "spot"), (2, "leaf")  # Roboflow's root is used by no shape
    for split, categories in (("train", None), ("valid", swapped), ("test", None)):
        names = [f"IMG_{i}_jpg.rf.{'abc'[i] * 8}.jpg" for i in range(3)]
        photographs(os.path.join(root, split), *names)
        leaf, spot = (2, 1) if categories else (1, 2)
        categories = categories or ((0, "plants"), (1, "leaf"), (2, "spot"))
        drawn = [(0, leaf, LEAF), (0, spot, SPOT), (1, spot, SPOT)]
        put(root, split + "/_annotations.coco.json", exports.coco(names, drawn, categories))
    put(root, "README.roboflow.txt", "plants")
    found, lists, ids = converted(root, root)
    assert found.classes == ("background", "leaf", "spot")
    assert found.counts == {"train": 3, "val": 3, "test": 3, "trainval": 6}
    for name in ("train", "val", "test"):
        first, second, third = lists[name]
        assert first == f"{name}/IMG_0_jpg.rf.aaaaaaaa" and np.array_equal(ids(first), IDS)
        assert np.array_equal(ids(second), np.where(IDS == 2, 2, 0)) and not ids(third).any()
    assert "3 images without annotation are background: test/IMG_2" in str(found)
    assert "train, val, test are the lists that the folders name" in str(found)


def roboflow_masks(root, splits):
    """splits: {folder: lines of its _classes.csv}."""
    for split, lines in splits.items():
        for name in ("a", "b"):
            photographs(root, f"{split}/{name}.jpg")
            put(root, f"{split}/{name}_mask.png", exports.mask())
        put(root, split + "/_classes.csv", "Pixel Value, Class\n" + lines)


NUMBERS = "0, background\n1, leaf\n2, spot\n3, mould\n"


def test_roboflows_mask_export_keeps_its_splits_and_names_classes_that_no_mask_shows(
    root, tmp_path
):
    roboflow_masks(root, {"train": NUMBERS, "valid": NUMBERS, "test": NUMBERS})
    out = str(tmp_path / "out")
    said = call("convert", root, root, "--out", out)
    assert "no mask shows class 3\n" in said and "--set num_classes=4" in said
    assert voc.class_names(4, out) == ("background", "leaf", "spot", "mould")
    assert {name: voc.read_list(out, name) for name in ("train", "val", "test")} == {
        name: [f"{name}/a", f"{name}/b"] for name in ("train", "val", "test")
    }
    assert np.array_equal(voc.read_mask(voc.mask_path(out, "val/b"))[0], IDS)
    assert "test (2 images" not in said and os.path.exists(voc.image_path(out, "test/a"))


def test_splits_whose_numbers_contradict_are_refused(root, converted):
    roboflow_masks(root, {"train": NUMBERS, "valid": "0, background\n1, spot\n2, leaf\n"})
    with pytest.raises(WorkbookError, match="valid/_classes.csv calls class 1 spot, which is leaf"):
        converted(root, root)


def test_a_damaged_line_of_classes_is_named_where_another_split_has_it(root, converted):
    roboflow_masks(root, {"train": NUMBERS, "valid": "0, background\nleaf\n\n2, spot\n999, x\n"})
    found, _, _ = converted(root, root)
    assert found.classes == ("background", "leaf", "spot", "mould") and len(found.bad) == 2
    assert "valid/_classes.csv: line 3 ('leaf')" in found.bad[0]
    assert "valid/_classes.csv: line 6 ('999, x')" in found.bad[1]
    with pytest.raises(WorkbookError, match="line 3 .*: mend it, or convert without --strict"):
        own.convert(root, root, root + " strict", strict=True)


@pytest.mark.parametrize(
    "photographs_in, masks_in, given",
    [
        ("{}/images", "{}/masks", ("", "")),
        ("images/{}", "labels/{}", ("", "")),
        ("images/{}", "labels/{}", ("images", "labels")),
        ("{}_images", "{}_masks", ("", "")),
        ("{}", "{}annot", ("", "")),
        ("{}/img", "{}/img/masks", ("", "")),
    ],
)
def test_folders_of_train_valid_and_test_are_lists(
    root, converted, photographs_in, masks_in, given
):
    for split, count in (("Train", 3), ("VALID", 2), ("test", 1)):
        for name in "abc"[:count]:
            photographs(root, f"{photographs_in.format(split)}/{name}.jpg")
            put(root, f"{masks_in.format(split)}/{name}.png", exports.mask())
    found, lists, ids = converted(*(os.path.join(root, side) for side in given))
    assert found.counts == {"train": 3, "val": 2, "test": 1, "trainval": 5}
    assert lists["val"] == ["val/a", "val/b"] and lists["test"] == ["test/a"]
    assert np.array_equal(ids("train/c"), IDS)


def test_ade20ks_folders_are_lists(root, converted):
    for split, names in (("training", "abc"), ("validation", "de")):
        for name in names:
            photographs(root, f"images/{split}/ADE_{name}.jpg")
            put(root, f"annotations/{split}/ADE_{name}.png", exports.mask())
    put(root, "objectInfo150.txt", "Idx Ratio Name")
    found, lists, ids = converted(root, root, ignore=0, shift=-1, classes=["wall", "building"])
    assert found.classes == ("wall", "building") and lists["val"] == ["val/ADE_d", "val/ADE_e"]
    assert np.array_equal(ids("train/ADE_a"), np.array([255, 0, 1])[IDS])


def test_many_images_without_annotation_are_named_as_far_as_a_line_goes(root, converted):
    names = [f"{i:04d}.jpg" for i in range(60)]
    photographs(root, *names)
    put(root, "i.json", exports.coco(names[:2], [(0, 1, LEAF), (1, 1, LEAF)]))
    (note,) = converted(root, root)[0].notes
    assert note.startswith("58 images without annotation are left out: 0002, 0003, ")
    assert note.endswith("[...]") and len(note) < 260


def test_val_is_drawn_from_train_where_the_folders_have_none(root, converted):
    for name in ("train/a", "train/b", "train/c", "test/a"):
        photographs(root, f"images/{name}.jpg")
        put(root, f"masks/{name}.png", exports.mask())
    _, lists, _ = converted(root, root)
    assert lists["test"] == ["test/a"] and len(lists["train"]) == 2
    assert lists["trainval"] == ["train/a", "train/b", "train/c"]


@pytest.mark.parametrize(
    "names, words",
    [
        (("train/a", "val/a", "b"), "name the lists train, val, but b lies in none"),
        (("val/a", "test/a"), "name the lists val, test, but none is named train"),
    ],
)
def test_folders_of_some_lists_only_are_refused(root, converted, names, words):
    for name in names:
        photographs(root, f"images/{name}.jpg")
        put(root, f"masks/{name}.png", exports.mask())
    with pytest.raises(WorkbookError, match=words):
        converted(root, root)


@pytest.mark.parametrize(
    "images", ["{0}2017/{0}{1}.jpg", "images/{0}{1}.jpg", "images/{0}/{1}.jpg"]
)
def test_a_file_of_coco_for_each_list(root, converted, images):
    for split in ("train", "val"):
        paths = [images.format(split, i) for i in range(2)]
        photographs(root, *paths)
        drawn = exports.coco(list(map(os.path.basename, paths)), [(0, 1, LEAF), (1, 2, SPOT)])
        put(root, f"annotations/instances_{split}2017.json", drawn)
    for masks in (root, os.path.join(root, "annotations")):
        found, lists, ids = converted(root, masks)
        assert found.counts == {"train": 2, "val": 2, "trainval": 4}
        assert all((ids(lists[name][1]) == 2).sum() == 48 for name in ("train", "val"))
        os.rename(os.path.join(os.path.dirname(root), "out"), root + " of " + str(len(masks)))


# --- folders


def test_two_photographs_of_one_stem_stay_apart(root, converted):
    for name in ("a/x", "b/x", "c"):
        photographs(root, f"images/{name}.jpg")
        put(root, f"masks/{name}.png", Image.fromarray(np.minimum(IDS, 1 + (name != "b/x"))))
    photographs(root, "images/__MACOSX/._c.jpg", "images/.hidden/d.jpg")
    _, lists, ids = converted(os.path.join(root, "images"), os.path.join(root, "masks"))
    assert lists["trainval"] == ["a/x", "b/x", "c"]
    assert ids("a/x").max() == 2 and ids("b/x").max() == 1


@pytest.mark.parametrize(
    "place, prefix",
    [
        ("default/", ""),
        ("default/", "images/"),
        ("default/", "images\\"),
        ("", "/home/me/set/"),
        ("", "C:\\set\\images\\"),
    ],
)
def test_cocos_file_names_with_folders(root, converted, place, prefix):
    photographs(root, *(place + name for name in ("a.jpg", "s/a.jpg", "s/b.jpg")))
    names = [prefix + name for name in ("a.jpg", "s/a.jpg", "s\\b.jpg")]
    put(root, "i.json", exports.coco(names, [(0, 1, LEAF), (1, 2, SPOT)]))
    _, lists, ids = converted(root, os.path.join(root, "i.json"))
    assert lists["trainval"] == [place + name for name in ("a", "s/a", "s/b")]
    assert ids(place + "a").max() == 1 and ids(place + "s/a").max() == 2


def test_a_photograph_takes_no_mask_of_another_folder(root, converted):
    photographs(root, "images/a/x.jpg", "images/a/y.jpg")
    for name in ("b/x", "a/y"):
        put(root, f"masks/{name}.png", exports.mask())
    with pytest.raises(WorkbookError, match="a/x.jpg has no partner of that name"):
        converted(root, root)


def test_a_mask_that_fits_two_photographs_is_refused(root, converted):
    photographs(root, "images/a/x.jpg", "images/b/x.jpg")
    put(root, "masks/x.png", exports.mask())
    with pytest.raises(WorkbookError, match="masks/x.png and .*b/x.jpg have several partners"):
        converted(root, root)


def test_names_that_differ_in_how_a_letter_is_written_are_one(root, converted):
    photographs(root, "cafe\u0301.jpg", "b.jpg")
    put(root, "i.json", exports.coco(["caf\u00e9.jpg", "b.jpg"], [(0, 1, LEAF)]))
    _, lists, ids = converted(root, os.path.join(root, "i.json"))
    assert lists["trainval"] == ["b", "caf\u00e9"] and ids("caf\u00e9").any()


def test_cvats_mask_export_is_read_from_its_root(root, converted):
    for name in ("a", "b", "s/c"):
        photographs(root, f"JPEGImages/{name}.jpg")
        put(
            root,
            f"SegmentationClass/{name}.png",
            exports.mask([0, 0, 0, 250, 50, 83, 50, 183, 250]),
        )
        put(root, f"SegmentationObject/{name}.png", exports.mask([0, 0, 0, 128, 0, 0, 0, 128, 0]))
    put(root, "ImageSets/Segmentation/default.txt", "a\nb\ns/c\n")
    lines = "# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
    put(root, "labelmap.txt", lines + "spot:50,183,250::\nleaf:250,50,83::\n")
    for images, masks in (("", ""), ("JPEGImages", "SegmentationClass")):
        found, lists, ids = converted(os.path.join(root, images), os.path.join(root, masks))
        assert found.classes == ("background", "spot", "leaf")
        assert lists["trainval"] == ["a", "b", "s/c"]
        assert np.array_equal(ids("s/c"), np.array([0, 2, 1])[IDS])
        os.rename(os.path.join(os.path.dirname(root), "out"), root + " of" + images)


def test_photographs_alone_in_one_folder_are_no_masks(root, converted):
    photographs(root, "a.png", "b.png")
    with pytest.raises(WorkbookError, match="holds no pictures .*, or one of both with folders"):
        converted(root, root)


# --- labelme


def test_labelmes_photographs_are_read_from_imagedata_where_no_file_is(root, tmp_path):
    out = str(tmp_path / "out")
    for i, name in enumerate(("s/a", "t/a")):
        put(root, name + ".json", exports.labelme("..\\images\\a.png", seed=i))
    put(root, "c.json", exports.labelme("c.png", seed=2))
    photographs(root, "c.png")
    own.convert(root, root, out)
    for i, name in enumerate(("s/a", "t/a")):
        image = voc.read_image(voc.image_path(out, name))
        assert np.array_equal(image, np.asarray(exports.pixels(i)))
        assert np.array_equal(voc.read_mask(voc.mask_path(out, name))[0], IDS == 1)
    there = voc.read_image(voc.image_path(out, "c"))
    assert np.array_equal(there, voc.read_image(os.path.join(root, "c.png")))


def test_imagedata_is_held_to_the_limit_of_pixels(root, converted, monkeypatch):
    for i, name in enumerate("ab"):
        put(root, name + ".json", exports.labelme(name, seed=i, imageHeight=None, imageWidth=None))
    monkeypatch.setenv("DEEPLAB_NB_MAX_PIXELS", "800")
    with pytest.raises(WorkbookError, match=r"[ab].json cannot .* is 36x24, more than 800 pixels"):
        converted(root, root)
    put(root, "a.json", exports.labelme("a", imageData="AAAA"))
    monkeypatch.delenv("DEEPLAB_NB_MAX_PIXELS")
    with pytest.raises(WorkbookError, match="a.json cannot be read .*no picture known here"):
        converted(root, root)


def test_labelmes_imagepath_names_the_photograph_where_the_files_name_does_not(root, converted):
    for name in "ab":
        photographs(root, f"images/{name}.jpg")
        put(root, f"json/{name}_done.json", exports.labelme(f"../images/{name}.jpg"))
    put(root, "json/c.jpg.json", exports.labelme("renamed.jpg"))
    photographs(root, "images/c.jpg")
    _, lists, ids = converted(os.path.join(root, "images"), os.path.join(root, "json"))
    assert lists["trainval"] == ["a", "b", "c"] and np.array_equal(ids("c"), IDS == 1)


# --- without annotation


@pytest.mark.parametrize(
    "asked, background, left_out",
    [
        ([], "1 images without annotation are background: c", "1 images .* are left out: d"),
        (["--unlabelled", "background"], "2 images without annotation are background: c, d", None),
        (["--unlabelled", "leave-out"], None, "2 images .* are left out: c, d"),
    ],
)
@pytest.mark.parametrize("tool", ["labelme", "coco"])
def test_images_without_annotation_are_counted(root, tmp_path, tool, asked, background, left_out):
    photographs(root, "a.jpg", "b.jpg", "c.jpg", "d.jpg")
    if tool == "coco":
        drawn = [(0, 1, LEAF), (1, 1, LEAF)]
        put(root, "i.json", exports.coco(["a.jpg", "b.jpg", "c.jpg"], drawn))
    for name in "abc" * (tool == "labelme"):
        put(root, name + ".json", exports.labelme(name, **{"shapes": []} if name == "c" else {}))
    out = tmp_path / "out"
    said = call("convert", root, root, "--out", str(out), *asked)
    wanted = {"a", "b"} | ({"c"} if background else set()) | ({"d"} if not left_out else set())
    assert set(voc.read_list(str(out), "trainval")) == wanted
    for words in filter(None, [background, left_out]):
        assert any(re.fullmatch(words, line) for line in said.splitlines()), said
    if not left_out:
        assert not voc.read_mask(voc.mask_path(str(out), "d"))[0].any()


def test_a_photograph_without_a_painted_mask_is_refused_or_as_asked(root, converted):
    photographs(root, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    for name in "ab":
        put(root, f"masks/{name}.png", exports.mask())
    with pytest.raises(WorkbookError, match="images/c.jpg has no partner .* say --unlabelled"):
        converted(root, root)
    found, lists, ids = converted(root, root, unlabelled="background")
    assert lists["trainval"] == ["a", "b", "c"] and not ids("c").any() and ids("a").any()
    os.rename(os.path.join(os.path.dirname(root), "out"), root + " kept")
    assert converted(root, root, unlabelled="leave-out")[1]["trainval"] == ["a", "b"]
