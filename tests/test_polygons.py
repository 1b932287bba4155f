"""Outlines of labelme and COCO against masks drawn by hand."""
import glob
import json
import os
import shutil

import numpy as np
from PIL import Image
import pytest

from deeplab_nb.data import own, polygons, voc
from deeplab_nb.errors import WorkbookError
from tests.support.command import call

HEIGHT, WIDTH = 24, 36
NO_IMAGES = "photographs elsewhere"
SQUARE = [[4, 4], [20, 4], [20, 12], [4, 12]]       # 16 x 8 pixels
BOX = [[22, 14], [30, 20]]                          # 8 x 6
WANTED = np.zeros((HEIGHT, WIDTH), np.uint8)
WANTED[4:12, 4:20], WANTED[14:20, 22:30] = 2, 1     # leaf and, first in the alphabet, bug
SHAPES = [{"label": "leaf", "points": SQUARE, "shape_type": "polygon"}, {"label": "bug", "points": BOX, "shape_type": "rectangle"}]


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "abc":
        Image.fromarray(np.random.RandomState(ord(name)).randint(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(str(folder / (name + ".jpg")))
    return str(folder)


def labelme(tmp_path, shapes=SHAPES, **changed):
    folder = tmp_path / "outlines"
    folder.mkdir()
    for name in "abc":
        values = dict({"imageHeight": HEIGHT, "imageWidth": WIDTH, "imagePath": name + ".jpg", "shapes": shapes}, **changed)
        (folder / (name + ".json")).write_text(json.dumps(values))
    return str(folder)


def coco(tmp_path, annotations, **changed):
    flat = [value for point in SQUARE for value in point]
    values = {"images": [{"id": 7 + i, "file_name": name + ".jpg", "height": HEIGHT, "width": WIDTH} for i, name in enumerate("abc")],
              "categories": [{"id": 9, "name": "leaf"}, {"id": 4, "name": "bug"}, {"id": 2, "name": "never seen"}],
              "annotations": [dict({"image_id": 7, "category_id": 9, "segmentation": [flat]}, **entry) for entry in annotations]}
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(dict(values, **changed)))
    return str(path)


def mask_of(folder, name="a"):
    return voc.read_mask(os.path.join(folder, name + ".png"))[0]


def test_labelme_polygons_and_rectangles_become_masks(tmp_path):
    with polygons.drawn(NO_IMAGES, labelme(tmp_path)) as (folder, names):
        assert names == ["background", "bug", "leaf"] and np.array_equal(mask_of(folder), WANTED)
    assert not os.path.exists(folder)


def test_the_shape_drawn_last_is_on_top_and_ignored_ones_are_void(tmp_path):
    shapes = SHAPES + [{"label": "__ignore__", "points": [[4, 4], [8, 12]], "shape_type": "rectangle"}]
    with polygons.drawn(NO_IMAGES, labelme(tmp_path, shapes), ["ground", "leaf", "bug"]) as (folder, names):
        mask = mask_of(folder)
    assert names == ["ground", "leaf", "bug"]
    assert (mask[4:12, 4:8] == voc.VOID).all() and (mask[4:12, 8:20] == 1).all() and (mask[14:20, 22:30] == 2).all()


def test_a_shape_of_background_makes_no_class_of_its_own(tmp_path):
    hole = {"label": "background", "points": [[6, 6], [8, 8]], "shape_type": "rectangle"}
    with polygons.drawn(NO_IMAGES, labelme(tmp_path, SHAPES + [hole])) as (folder, names):
        assert names == ["background", "bug", "leaf"] and (WANTED != mask_of(folder)).sum() == 4


def test_coco_polygons_and_run_lengths_become_masks(tmp_path):
    box = np.zeros((HEIGHT, WIDTH), np.uint8)
    box[14:20, 22:30] = 1
    edges = np.flatnonzero(np.diff(np.concatenate([[0], box.ravel(order="F"), [0]])))
    counts = np.diff(np.concatenate([[0], edges, [box.size]])).tolist()
    path = coco(tmp_path, [{"category_id": 4, "segmentation": {"counts": counts, "size": [HEIGHT, WIDTH]}}, {}])
    with polygons.drawn(NO_IMAGES, path) as (folder, names):
        assert names == ["background", "bug", "leaf"] and np.array_equal(mask_of(folder), WANTED)
        assert not mask_of(folder, "b").any(), "a photograph without shapes is background"


def test_a_small_coco_shape_is_seen_on_a_large_one_and_a_crowd_is_void(tmp_path):
    small = [6, 6, 10, 6, 10, 10, 6, 10]
    path = coco(tmp_path, [{"category_id": 4, "segmentation": [small]}, {}, {"segmentation": [[22, 14, 30, 14, 30, 20, 22, 20]], "iscrowd": 1}])
    with polygons.drawn(NO_IMAGES, path) as (folder, _):
        mask = mask_of(folder)
    assert (mask[6:10, 6:10] == 1).all() and (mask == 2).sum() == 16 * 8 - 16 and (mask[14:20, 22:30] == voc.VOID).all()


def test_masks_are_handed_on_as_they_are(tmp_path):
    voc.write_mask(str(tmp_path / "a.png"), WANTED)
    (tmp_path / "colours.json").write_text("{}")
    with polygons.drawn(NO_IMAGES, str(tmp_path), ["background", "leaf"]) as given:
        assert given == (str(tmp_path), ["background", "leaf"])


def test_labelme_files_may_lie_beside_their_photographs(images, tmp_path):
    for path in glob.glob(os.path.join(labelme(tmp_path), "*.json")):
        shutil.copy(path, images)
    with polygons.drawn(images, images) as (folder, names):
        assert len(os.listdir(folder)) == 3 and names == ["background", "bug", "leaf"]


@pytest.mark.parametrize("shapes, words", [
    ([dict(SHAPES[0], shape_type="circle")], "a circle has no inside: draw polygons and rectangles"),
    ([dict(SHAPES[0], points=SQUARE[:2])], "a polygon of 2 points has no inside"),
    ([{"label": "leaf"}], "KeyError: 'points'")])
def test_a_shape_that_cannot_be_drawn_is_refused(tmp_path, shapes, words):
    with pytest.raises(WorkbookError, match="a.json cannot be read as labelme's .*" + words):
        with polygons.drawn(NO_IMAGES, labelme(tmp_path, shapes)):
            pass


@pytest.mark.parametrize("segmentation, words", [([], "0 points"), ([[1, 1, 5, 5]], "2 points"), ([["a"] * 6], ""), ({"counts": 3}, "")])
def test_a_coco_shape_that_cannot_be_drawn_is_refused(tmp_path, segmentation, words):
    with pytest.raises(WorkbookError, match="instances.json cannot be read as COCO's .*" + words):
        with polygons.drawn(NO_IMAGES, coco(tmp_path, [{"segmentation": segmentation}])):
            pass


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "other.json"
    for text in ("{", "[1, 2]", '{"images": 3}'):
        path.write_text(text)
        with pytest.raises(WorkbookError, match="other.json cannot be read as COCO's"):
            with polygons.drawn(NO_IMAGES, str(path)):
                pass


def test_a_label_that_is_not_among_the_classes_is_refused(tmp_path):
    with pytest.raises(WorkbookError, match="a.json has a shape of 'bug', which is not among the classes background, leaf"):
        with polygons.drawn(NO_IMAGES, labelme(tmp_path), ["background", "leaf"]):
            pass


def test_the_command_converts_outlines(images, tmp_path):
    out = str(tmp_path / "root")
    said = call("convert", images, labelme(tmp_path), "--out", out, "--val-share", "0.3")
    assert "train: 2 images" in said and "--set num_classes=3" in said
    assert np.array_equal(voc.read_mask(voc.mask_path(out, "b"))[0], WANTED)
    assert list(voc.class_names(3, out)) == ["background", "bug", "leaf"]


def test_outlines_of_another_size_than_the_photograph_are_named(images, tmp_path):
    with polygons.drawn(NO_IMAGES, labelme(tmp_path, imageWidth=WIDTH + 1)) as (masks, names):
        with pytest.raises(WorkbookError, match="drawn from outlines.* is 37x24, its photograph 36x24"):
            own.convert(images, masks, str(tmp_path / "root"), classes=names)
