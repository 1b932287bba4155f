"""The painter of the drawn sample: VOC's layout, exact masks, the same bytes for the same seed."""

import numpy as np
import pytest
from PIL import Image

import draw
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from draw import draw_set
from tests.support.files import digests

IDS = {0, 1, 4, 5, 7, 16, 17}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return draw_set(str(tmp_path_factory.mktemp("small") / "VOC2012"), train=6, val=3)


@pytest.fixture(scope="module")
def drawn():
    """48 pictures with their masks, without the way through files."""
    return [draw.draw(1, i) for i in range(48)]


def test_layout_is_exactly_vocs(small):
    ids = [f"sample_{i:06d}" for i in range(1, 10)]
    expected = {"sample.json"} | {
        f"ImageSets/Segmentation/{name}.txt" for name in ("train", "val", "trainval")
    }
    expected |= {f"JPEGImages/{i}.jpg" for i in ids} | {f"SegmentationClass/{i}.png" for i in ids}
    assert set(digests(small)) == expected
    assert voc.check_root(small) == small


def test_lists_split_the_ids_in_order(small):
    train, val = voc.read_list(small, "train"), voc.read_list(small, "val")
    assert (len(train), len(val)) == (6, 3)
    assert voc.read_list(small, "trainval") == train + val == sorted(set(train + val))


def test_same_seed_gives_the_same_bytes(small, tmp_path):
    assert digests(draw_set(str(tmp_path / "again"), train=6, val=3)) == digests(small)


def test_another_seed_gives_other_pictures(small, tmp_path):
    other = digests(draw_set(str(tmp_path / "other"), train=6, val=3, seed=2))
    pictures = [name for name in other if name.endswith((".jpg", ".png"))]
    assert not any(
        other[name] == digest for name, digest in digests(small).items() if name in pictures
    )


def test_picture_does_not_depend_on_the_counts(small, tmp_path):
    fewer = digests(draw_set(str(tmp_path / "fewer"), train=2, val=1))
    assert fewer["JPEGImages/sample_000003.jpg"] == digests(small)["JPEGImages/sample_000003.jpg"]


def test_masks_are_palette_pngs_of_the_pictures_size(small):
    for image_id in voc.read_list(small, "trainval"):
        ids, kind = voc.read_mask(voc.mask_path(small, image_id))
        assert kind == "palette" and set(np.unique(ids)) <= IDS | {voc.VOID}
        assert ids.shape == voc.image_size(voc.image_path(small, image_id))
        assert max(ids.shape) <= 160
        with Image.open(voc.mask_path(small, image_id)) as mask:
            assert mask.getpalette()[:63] == voc.palette()[:21].ravel().tolist()


def test_every_border_is_void(drawn):
    for _, mask in drawn:
        for one, other in (
            (mask[1:], mask[:-1]),
            (mask[:, 1:], mask[:, :-1]),
            (mask[1:, 1:], mask[:-1, :-1]),
        ):
            touching = (one != other) & (one != voc.VOID) & (other != voc.VOID)
            assert not touching.any()


def test_void_is_only_a_thin_contour(drawn):
    share = np.mean([(mask == voc.VOID).mean() for _, mask in drawn])
    assert 0.03 < share < 0.12


def test_mask_lies_on_the_object(drawn):
    """Colours change more across a void contour than a mask shifted by 8 pixels would find."""
    on, off = [], []
    for image, mask in drawn:
        change = np.abs(np.diff(image.astype(int), axis=1)).sum(2)
        contour = mask[:, 1:] == voc.VOID
        on.append(change[contour].mean())
        off.append(change[np.roll(contour, 8, axis=1)].mean())
    assert np.mean(on) > 1.5 * np.mean(off)


def test_six_classes_share_the_pixels(drawn):
    counts = sum(np.bincount(mask.ravel(), minlength=256) for _, mask in drawn)
    shares = counts / counts.sum()
    foreground = shares[sorted(IDS - {0})]
    assert 0.2 < foreground.sum() < 0.4
    assert foreground.min() > 0.02 and foreground.max() < 3 * foreground.min()


def test_every_class_is_in_train_and_in_val():
    for first in (0, 240):
        seen = set.union(*(set(np.unique(draw.draw(1, i)[1])) for i in range(first, first + 12)))
        assert IDS <= seen


def test_colours_vary_within_a_class(drawn):
    """A class's mean colour differs from picture to picture, by 20 grey levels in some channel."""
    for class_id in IDS - {0}:
        means = [
            image[mask == class_id].mean(0)
            for image, mask in drawn
            if (mask == class_id).sum() > 200
        ]
        assert np.std(means, axis=0).max() > 20


def test_objects_overlap_in_some_pictures(drawn):
    """Void with an object two pixels to its left and another to its right lies between the two."""
    overlaps = 0
    for _, mask in drawn:
        left, middle, right = mask[:, :-3], mask[:, 1:-2], mask[:, 3:]
        void = (middle == voc.VOID) & (mask[:, 2:-1] == voc.VOID)
        objects = (left % 255 > 0) & (right % 255 > 0) & (left != right)
        overlaps += (void & objects).sum() > 5
    assert overlaps >= 8


@pytest.mark.parametrize("values", [{"train": 0}, {"val": 0}, {"seed": -1}])
def test_impossible_counts_are_refused(tmp_path, values):
    with pytest.raises(WorkbookError, match="at least"):
        draw_set(str(tmp_path / "set"), **values)
