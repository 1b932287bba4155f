"""Outlines of labelme and COCO against masks drawn by hand."""

import base64
import glob
import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_nb.data import outlines, own, voc
from deeplab_nb.errors import LeftOut, WorkbookError
from tests.support.command import call

HEIGHT, WIDTH = 24, 36
SQUARE = [[4, 4], [20, 4], [20, 12], [4, 12]]  # 16 x 8 pixels
BOX = [[22, 14], [30, 20]]  # 8 x 6
WANTED = np.zeros((HEIGHT, WIDTH), np.uint8)
WANTED[4:12, 4:20], WANTED[14:20, 22:30] = 2, 1  # leaf and, first in the alphabet, bug
SHAPES = [
    {"label": "leaf", "points": SQUARE, "shape_type": "polygon"},
    {"label": "bug", "points": BOX, "shape_type": "rectangle"},
]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(
            np.random.RandomState(ord(name)).randint(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        ).save(str(folder / (name + ".jpg")))
    return str(folder)


def labelme(tmp_path, shapes=SHAPES, **changed):
    folder = tmp_path / "outlines"
    folder.mkdir()
    for name in "abc":
        values = dict(
            {
                "imageHeight": HEIGHT,
                "imageWidth": WIDTH,
                "imagePath": name + ".jpg",
                "shapes": shapes,
            },
            **changed,
        )
        (folder / (name + ".json")).write_text(json.dumps(values))
    return str(folder)


def coco(tmp_path, annotations, **changed):
    flat = [value for point in SQUARE for value in point]
    values = {
        "images": [
            {"id": 7 + i, "file_name": name + ".jpg", "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate("abc")
        ],
        "categories": [
            {"id": 9, "name": "leaf"},
            {"id": 4, "name": "bug"},
            {"id": 2, "name": "never seen"},
        ],
        "annotations": [
            dict({"image_id": 7, "category_id": 9, "segmentation": [flat]}, **entry)
            for entry in annotations
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(dict(values, **changed)))
    return str(path)


def converted(images, masks, classes=()):
    """(class names, function from a photograph's name to its mask)."""
    out = images + " converted"
    found = own.convert(images, masks, out, classes=classes)
    return list(found.classes), lambda name: voc.read_mask(voc.mask_path(out, name))[0]


def test_labelme_polygons_and_rectangles_become_masks(images, tmp_path):
    names, mask_of = converted(images, labelme(tmp_path))
    assert names == ["background", "bug", "leaf"] and np.array_equal(mask_of("a"), WANTED)


def test_the_shape_drawn_last_is_on_top_and_ignored_ones_are_void(images, tmp_path):
    shapes = SHAPES + [
        {"label": "__ignore__", "points": [[4, 4], [8, 12]], "shape_type": "rectangle"}
    ]
    names, mask_of = converted(images, labelme(tmp_path, shapes), ["ground", "leaf", "bug"])
    mask = mask_of("a")
    assert names == ["ground", "leaf", "bug"]
    assert (
        (mask[4:12, 4:8] == voc.VOID).all()
        and (mask[4:12, 8:20] == 1).all()
        and (mask[14:20, 22:30] == 2).all()
    )


def test_a_shape_of_background_makes_no_class_of_its_own(images, tmp_path):
    hole = {"label": "background", "points": [[6, 6], [8, 8]], "shape_type": "rectangle"}
    names, mask_of = converted(images, labelme(tmp_path, SHAPES + [hole]))
    assert names == ["background", "bug", "leaf"] and (WANTED != mask_of("a")).sum() == 4


def test_coco_polygons_and_run_lengths_become_masks(images, tmp_path):
    box = np.zeros((HEIGHT, WIDTH), np.uint8)
    box[14:20, 22:30] = 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], box.ravel(order="F"), [0]])))
    counts = np.diff(np.concatenate([[0], edges, [box.size]])).tolist()
    path = coco(
        tmp_path,
        [{"category_id": 4, "segmentation": {"counts": counts, "size": [HEIGHT, WIDTH]}}, {}],
    )
    names, mask_of = converted(images, path)
    assert names == ["background", "bug", "leaf"] and np.array_equal(mask_of("a"), WANTED)
    assert not mask_of("b").any(), "a photograph without shapes is background"


def test_a_small_coco_shape_is_seen_on_a_large_one_and_a_crowd_is_void(images, tmp_path):
    small = [6, 6, 10, 6, 10, 10, 6, 10]
    path = coco(
        tmp_path,
        [
            {"category_id": 4, "segmentation": [small]},
            {},
            {"segmentation": [[22, 14, 30, 14, 30, 20, 22, 20]], "iscrowd": 1},
        ],
    )
    mask = converted(images, path)[1]("a")
    assert (
        (mask[6:10, 6:10] == 1).all()
        and (mask == 2).sum() == 16 * 8 - 16
        and (mask[14:20, 22:30] == voc.VOID).all()
    )


def test_masks_beside_which_some_other_json_lies_are_masks(images, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in "abc":
        voc.write_mask(str(masks / (name + ".png")), WANTED)
    (masks / "colours.json").write_text("{}")
    names, mask_of = converted(images, str(masks), ["background", "leaf"])
    assert names[:2] == ["background", "leaf"] and np.array_equal(mask_of("a"), WANTED)


def test_labelme_files_may_lie_beside_their_photographs(images, tmp_path):
    for path in glob.glob(os.path.join(labelme(tmp_path), "*.json")):
        shutil.copy(path, images)
    names, mask_of = converted(images, images)
    assert names == ["background", "bug", "leaf"]
    assert all(np.array_equal(mask_of(name), WANTED) for name in "abc")


@pytest.mark.parametrize(
    "shape, words",
    [
        ({"points": SQUARE[:2]}, "a polygon of 2 points has no inside"),
        ({"points": SQUARE, "shape_type": "circle"}, "a circle of 4 points"),
        ({}, "points"),
        ({"points": [[1, 1], [float("nan"), 4], [3, 8]]}, "is no number"),
        ({"points": [[1, 1], [float("inf"), 4], [3, 8]]}, "is no number"),
        ({"points": [[1, 1], [1e9, 4], [3, 8]]}, "far outside the picture"),
        ({"points": [[40, 1], [44, 1], [44, 8]]}, "lies outside the picture"),
        ({"points": [[1, 1, 2], [9, 1, 2], [9, 8, 2]]}, "not of two numbers"),
        ({"points": None}, "not of two numbers"),
        ({"points": SQUARE, "label": None}, "is no text"),
        ({"points": SQUARE, "label": ["leaf"]}, "is no text"),
    ],
)
def test_a_bad_labelme_shape_is_left_out_and_named_or_stops_all(images, tmp_path, shape, words):
    masks = labelme(tmp_path, SHAPES + [dict({"label": "leaf"}, **shape)])
    with pytest.raises(WorkbookError, match=".json: shape 3 of .*" + words):
        own.convert(images, masks, images + " strict", strict=True)
    assert not os.path.exists(images + " strict")
    found = own.convert(images, masks, images + " out")
    assert len(found.bad) == 3 and "3 shapes or entries were left out" in str(found)
    assert np.array_equal(voc.read_mask(voc.mask_path(images + " out", "a"))[0], WANTED)


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        None,
        [[1, 1, 5, 5]],
        [["a"] * 6],
        [[1, 1, None, 4, 3, 8]],
        [[1, 1, 1e300, 4, 3, 8]],
        {"counts": 3},
        {"counts": [5, 5], "size": [HEIGHT, WIDTH]},
        {"counts": [-5, 869], "size": [HEIGHT, WIDTH]},
        {"counts": [864], "size": [WIDTH, HEIGHT]},
        {"counts": [864], "size": [10**9, 10**9]},
        {"counts": "oooooooooooo", "size": [HEIGHT, WIDTH]},
        {"counts": "\u00e9", "size": [HEIGHT, WIDTH]},
    ],
)
def test_a_bad_coco_shape_is_left_out_and_named(images, tmp_path, segmentation):
    out = images + " out"
    found = own.convert(images, coco(tmp_path, [{}, {"segmentation": segmentation}]), out)
    assert len(found.bad) == 1 and "instances.json: shape 2 of a.jpg" in found.bad[0]
    assert (voc.read_mask(voc.mask_path(out, "a"))[0] == 1).sum() == 16 * 8


def test_packed_run_lengths_are_those_of_pycocotools(images, tmp_path):
    from pycocotools import mask

    noise = np.random.RandomState(1).randint(0, 2, (HEIGHT, WIDTH)).astype(np.uint8)
    noise[:, 5:30] = 0
    packed = mask.encode(np.asfortranarray(noise))
    packed["counts"] = packed["counts"].decode()
    _, mask_of = converted(images, coco(tmp_path, [{"segmentation": packed}]))
    assert np.array_equal(mask_of("a"), noise)


def test_labelmes_other_shapes_are_drawn_as_labelme_draws_them(images, tmp_path):
    painted = io.BytesIO()
    Image.fromarray(np.eye(4, dtype=np.uint8) * 255).save(painted, "PNG")
    text = base64.b64encode(painted.getvalue()).decode()
    for shape, wanted in (
        ({"points": [[22, 14], [30, 14], [30, 20], [22, 20]], "shape_type": "rectangle"}, 48),
        ({"points": [[30, 20], [22, 14]], "shape_type": "rectangle"}, 48),
        ({"points": [[18, 12], [18, 17]], "shape_type": "circle"}, 97),
        ({"points": [[18, 12]], "shape_type": "point"}, 97),
        ({"points": [[6, 12], [26, 12]], "shape_type": "line"}, 210),
        ({"points": [[6, 12], [16, 12], [26, 12]], "shape_type": "linestrip"}, 210),
        ({"points": [[3, 5], [6, 8]], "shape_type": "mask", "mask": text}, 4),
    ):
        one = outlines.Outlines("labelme", "a", "a.json", (HEIGHT, WIDTH), [("leaf", shape)])
        drawn = outlines.draw(one, ["background", "leaf"], LeftOut(strict=True))
        assert drawn.sum() == wanted, shape


def test_labelme_of_version_3_has_no_sizes(images, tmp_path):
    masks = labelme(tmp_path, imageHeight=None, imageWidth=None)
    assert np.array_equal(converted(images, masks)[1]("a"), WANTED)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb2312"])
def test_labelme_is_read_in_what_windows_writes(images, tmp_path, encoding):
    masks = labelme(tmp_path)
    text = json.dumps(
        {"imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": [dict(SHAPES[0], label="树叶")]},
        ensure_ascii=False,
    )
    for path in glob.glob(os.path.join(masks, "*.json")):
        with open(path, "wb") as file:
            file.write(text.encode(encoding))
    assert converted(images, masks)[0] == ["background", "树叶"]


def test_classes_without_background_get_it_in_front(images, tmp_path):
    out = str(tmp_path / "root")
    said = call("convert", images, labelme(tmp_path), "--out", out, "--classes", "leaf,bug")
    assert "was put in front" in said
    assert list(voc.class_names(3, out)) == ["background", "leaf", "bug"]


def test_crowds_alone_are_a_class_and_a_name_twice_is_one(images, tmp_path):
    names = [{"id": 0, "name": "leaf"}, {"id": 4, "name": "bug"}, {"id": 9, "name": "leaf"}]
    box = [[22, 14, 30, 14, 30, 20, 22, 20]]
    entries = [{"iscrowd": 1}, {"category_id": 4, "segmentation": box}]
    classes, mask_of = converted(images, coco(tmp_path, entries, categories=names))
    assert classes == ["background", "bug", "leaf"] and np.array_equal(mask_of("a"), WANTED)


def test_file_names_with_folders_of_windows_and_twins(images, tmp_path):
    listed = [
        {"id": 7 + i, "file_name": "images\\" + name + ".jpg", "height": HEIGHT, "width": WIDTH}
        for i, name in enumerate("abc")
    ]
    assert converted(images, coco(tmp_path, [{}], images=listed))[0] == ["background", "leaf"]
    twins = listed + [dict(listed[0], id=20, file_name="other/a.jpg")]
    with pytest.raises(WorkbookError, match="other/a.jpg, drawn .* has no partner"):
        own.convert(images, coco(tmp_path, [{}], images=twins), images + " twins")


def test_what_a_stopped_convert_left_is_not_overwritten(images, tmp_path):
    (tmp_path / "root.part").mkdir()
    with pytest.raises(WorkbookError, match="root.part is there already"):
        own.convert(images, labelme(tmp_path), str(tmp_path / "root"))


def test_a_file_of_another_kind_is_refused(images, tmp_path):
    path = tmp_path / "other.json"
    for text in ("{", "[1, 2]", '{"images": 3}'):
        path.write_text(text)
        with pytest.raises(WorkbookError, match="other.json cannot be read as .* COCO's"):
            converted(images, str(path))


def test_a_label_that_is_not_among_the_classes_is_refused(images, tmp_path):
    with pytest.raises(
        WorkbookError,
        match="a.json has a shape of 'bug', which is not among the classes background, leaf",
    ):
        converted(images, labelme(tmp_path), ["background", "leaf"])


def test_the_command_converts_outlines(images, tmp_path):
    out = str(tmp_path / "root")
    said = call("convert", images, labelme(tmp_path), "--out", out, "--val-share", "0.3")
    assert "train: 2 images" in said and "--set num_classes=3" in said
    assert np.array_equal(voc.read_mask(voc.mask_path(out, "b"))[0], WANTED)
    assert list(voc.class_names(3, out)) == ["background", "bug", "leaf"]


def test_outlines_of_another_size_than_the_photograph_are_named(images, tmp_path):
    with pytest.raises(
        WorkbookError, match="drawn from .*outlines.* is 37x24, its photograph 36x24"
    ):
        converted(images, labelme(tmp_path, imageWidth=WIDTH + 1))
    assert not os.path.exists(images + " converted")
