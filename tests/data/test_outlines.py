"""Outlines of labelme and COCO against masks drawn by hand."""

import base64
import glob
import io
import json
import os
import shutil
import subprocess
import sys

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


# --- the cases


@pytest.fixture
def case(repo):
    return lambda name: os.path.join(repo, "tests", "figures", "cases", name)


@pytest.mark.parametrize(
    "name, masks, asked, classes, shares",
    [
        (
            "10_classes_without_background",
            "ann",
            ["leaf", "spot"],
            ["background", "leaf", "spot"],
            [75, 22.92, 2.08],
        ),
        ("11_rectangle_of_four_corners", "ann", [], ["background", "leaf"], [75, 25]),
        ("13_json_with_byte_order_mark", "ann", [], ["background", "leaf"], [75, 25]),
        ("14_cvat_masks_iscrowd", "i.json", [], ["background", "leaf"], [75, 25]),
        (
            "17_category_name_twice",
            "i.json",
            [],
            ["background", "spot", "leaf"],
            [75, 2.08, 22.92],
        ),
    ],
)
def test_the_cases_give_their_right_values(case, tmp_path, name, masks, asked, classes, shares):
    out = str(tmp_path / "out")
    paths = (os.path.join(case(name), part) for part in ("img", masks))
    said = call("convert", *paths, "--out", out, "--classes", ",".join(asked))
    assert ("was put in front" in said) is bool(asked) and "left out" not in said
    assert list(voc.class_names(len(classes), out)) == classes
    for image_id in voc.read_list(out, "trainval"):
        ids = voc.read_mask(voc.mask_path(out, image_id))[0]
        counts = np.bincount(ids.ravel(), minlength=len(classes)) / ids.size
        assert (100 * counts).round(2).tolist() == shares


def test_case_19_shapes_are_drawn_image_by_image(repo, tmp_path):
    """Of 2,000 shapes of 640 x 480 pixels; each kept took 0.29 MiB, 626 MiB in all."""
    box = [10, 10, 40, 10, 40, 40, 10, 40]
    flat = [[x + 40 * i * (k % 2 == 0) for k, x in enumerate(box)] for i in range(8)]
    values = {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "height": 480, "width": 640} for i in range(250)
        ],
        "categories": [{"id": 1, "name": "leaf"}],
        "annotations": [
            {"id": 8 * i + k, "image_id": i, "category_id": 1, "segmentation": [flat[k]]}
            for i in range(250)
            for k in range(8)
        ],
    }
    path = tmp_path / "250.json"
    path.write_text(json.dumps(values))
    program = (
        "import re, sys\n"
        "from deeplab_nb.data import outlines\n"
        "from deeplab_nb.errors import LeftOut\n"
        "found, labels = outlines.read(sys.argv[1:], LeftOut(True))\n"
        "drawn = sum(int(outlines.draw(one, ['background', *labels], LeftOut(True)).sum()) "
        "for one in found)\n"
        # of this program alone: getrusage's peak begins with that of the process that started it
        "print(drawn, re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read()).group(1))\n"
    )
    said = subprocess.check_output([sys.executable, "-c", program, str(path)], cwd=repo)
    pixels, kilobytes = map(int, said.split())
    assert pixels == 2000 * 30 * 30 and kilobytes < 200 * 1024


# --- damaged entries


BOX_OF_COCO = [[22, 14, 30, 14, 30, 20, 22, 20]]


@pytest.mark.parametrize(
    "kind, entry, words",
    [
        ("annotations", None, "entry 3 of annotations"),
        ("annotations", [1], "entry 3 of annotations"),
        ("annotations", {"image_id": 7}, "category_id"),
        ("annotations", {"image_id": 99, "category_id": 9}, "KeyError: 99"),
        ("annotations", {"image_id": 7, "category_id": 5}, "KeyError: 5"),
        ("annotations", {"image_id": 7, "category_id": None}, "KeyError: None"),
        ("annotations", {"image_id": [7], "category_id": {}}, "unhashable"),
        ("categories", "leaf", "entry 4 of categories"),
        ("categories", {"id": 5}, "name"),
        ("categories", {"id": 5, "name": None}, "no number or text"),
        ("categories", {"id": None, "name": "x"}, "no number or text"),
        ("categories", {"id": [1], "name": "x"}, "no number or text"),
        ("images", 3, "entry 4 of images"),
        ("images", {"id": 30, "height": 24, "width": 36}, "file_name"),
        ("images", {"id": 30, "file_name": None}, "NoneType"),
    ],
)
def test_a_damaged_entry_of_coco_is_left_out_and_named(images, tmp_path, kind, entry, words):
    path = coco(tmp_path, [{"category_id": 4, "segmentation": BOX_OF_COCO}, {}])
    with open(path) as file:
        values = json.load(file)
    values[kind].append(entry)
    with open(path, "w") as file:
        json.dump(values, file)
    with pytest.raises(
        WorkbookError, match=f"instances.json: entry . of {kind} .*without --strict"
    ):
        own.convert(images, path, images + " strict", strict=True)
    found = own.convert(images, path, images + " out")
    assert "1 shapes or entries were left out" in str(found) and words in found.bad[0]
    assert found.classes == ("background", "bug", "leaf")
    assert np.array_equal(voc.read_mask(voc.mask_path(images + " out", "a"))[0], WANTED)


@pytest.mark.parametrize(
    "size", [{}, {"height": HEIGHT}, {"height": -3, "width": 36}, {"width": "x"}]
)
def test_an_image_of_coco_without_size_has_its_photographs(images, tmp_path, size):
    listed = [dict({"id": 7 + i, "file_name": n + ".jpg"}, **size) for i, n in enumerate("abc")]
    path = coco(tmp_path, [{"category_id": 4, "segmentation": BOX_OF_COCO}, {}], images=listed)
    found = own.convert(images, path, images + " out")
    assert len(found.bad) == 3 and "the size of a.jpg" in found.bad[0]
    assert np.array_equal(voc.read_mask(voc.mask_path(images + " out", "a"))[0], WANTED)


def test_an_entry_without_image_takes_its_photograph_along(images, tmp_path):
    listed = [
        {"id": 7 + i, "file_name": name + ".jpg", "height": HEIGHT, "width": WIDTH}
        for i, name in enumerate("ab")
    ]
    listed.append({"id": 9, "height": HEIGHT, "width": WIDTH})
    found = own.convert(images, coco(tmp_path, [{}], images=listed), images + " out")
    assert len(found.bad) == 1 and "1 images without annotation are left out: c" in found.notes
    assert voc.read_list(images + " out", "trainval") == ["a", "b"]


@pytest.mark.parametrize(
    "changed, words",
    [
        (
            {"categories": [{"id": 9, "name": "leaf"}, {"id": 9, "name": "bug"}]},
            "id 9 twice, to bug",
        ),
        (
            {
                "images": [
                    {"id": 7, "file_name": name + ".jpg", "height": HEIGHT, "width": WIDTH}
                    for name in "abc"
                ]
            },
            "id 7 twice, to b.jpg",
        ),
    ],
)
def test_an_id_of_two_meanings_is_refused(images, tmp_path, changed, words):
    with pytest.raises(WorkbookError, match="instances.json gives " + words):
        converted(images, coco(tmp_path, [{}], **changed))


@pytest.mark.parametrize("shape", [None, 3, [], "leaf"])
def test_a_damaged_entry_of_labelme_is_left_out_and_named(images, tmp_path, shape):
    masks = labelme(tmp_path, SHAPES + [shape])
    found = own.convert(images, masks, images + " out")
    assert len(found.bad) == 3 and "shape 3 of a.jpg (None)" in found.bad[0]
    assert np.array_equal(voc.read_mask(voc.mask_path(images + " out", "a"))[0], WANTED)


@pytest.mark.parametrize(
    "changed", [{"imageHeight": -4}, {"imageWidth": "x"}, {"imageWidth": None}]
)
def test_a_damaged_size_of_labelmes_is_named_and_the_photographs_counts(images, tmp_path, changed):
    found = own.convert(images, labelme(tmp_path, **changed), images + " out")
    assert len(found.bad) == 3 and "a.json: its size (" in found.bad[0]
    assert np.array_equal(voc.read_mask(voc.mask_path(images + " out", "a"))[0], WANTED)


def test_labels_are_one_line(images, tmp_path):
    shapes = [dict(SHAPES[0], label=" leaf\n"), dict(SHAPES[1], label="small\u2028bug")]
    found = own.convert(images, labelme(tmp_path, shapes), images + " out")
    assert found.classes == ("background", "leaf", "small bug")
    assert voc.class_names(3, images + " out") == found.classes


@pytest.mark.parametrize(
    "annotations",
    [
        [],
        [{"segmentation": []}, {"segmentation": None}],  # boxes, as for detection
        [{"category_id": None}],
    ],
)
def test_a_file_of_which_nothing_can_be_drawn_is_refused(images, tmp_path, annotations):
    with pytest.raises(WorkbookError, match="no shape can be drawn, .*: export polygons or masks"):
        own.convert(images, coco(tmp_path, annotations), images + " out")
    assert not os.path.exists(images + " out")


def test_crowds_beside_objects_are_counted(images, tmp_path):
    box = {"segmentation": BOX_OF_COCO, "iscrowd": 1}
    found = own.convert(images, coco(tmp_path, [{}, box, box]), images + " out")
    assert "instances.json: 2 crowds of categories that have objects too become 255" in str(found)


@pytest.mark.parametrize("text", ['{"_via_img_metadata": {}}', '{"name": "package"}', "{}"])
def test_another_tools_file_is_named(images, tmp_path, text):
    masks = labelme(tmp_path)
    with open(os.path.join(masks, "other.json"), "w") as file:
        file.write(text)
    with pytest.raises(WorkbookError, match="other.json cannot be read as labelme's or COCO's"):
        converted(images, masks)


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
