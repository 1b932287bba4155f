"""The form of masks, told over all files by what they hold; cases as people met them."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from deeplab_nb.data import mask_forms, own, pictures, voc
from deeplab_nb.errors import WorkbookError
from tests.support.command import call
from tests.support.odd_pictures import turned
from tests.support.tiny_voc import make_tiny_voc

IDS = np.zeros((60, 80), np.uint8)
IDS[10:30, 10:40], IDS[35:50, 50:70], IDS[5] = 1, 2, 255


@pytest.fixture
def case(repo):
    return lambda name: os.path.join(repo, "tests", "figures", "cases", name)


@pytest.fixture
def put(tmp_path):
    """Writes masks, and as many photographs; returns the two folders."""

    def write(*masks, name="m{}.png", **options):
        for folder in ("images", "masks"):
            shutil.rmtree(str(tmp_path / folder), ignore_errors=True)
            (tmp_path / folder).mkdir()
        for i, mask in enumerate(masks):
            Image.new("RGB", mask.size, (9, 99, 199)).save(str(tmp_path / "images" / f"m{i}.jpg"))
            mask.save(str(tmp_path / "masks" / name.format(i)), **options)
        return str(tmp_path / "images"), str(tmp_path / "masks")

    return write


@pytest.fixture
def converted(tmp_path):
    """(what was found, ids by name) of a conversion."""

    def convert(images, masks, **options):
        out = str(tmp_path / "out")
        shutil.rmtree(out, ignore_errors=True)
        found = own.convert(images, masks, out, **options)
        return found, lambda name: voc.read_mask(voc.mask_path(out, name))[0]

    return convert


def grey(ids):
    return Image.fromarray(np.stack([ids] * 3, axis=2))


def palette(ids, *colours):
    image = Image.fromarray(ids, "P")
    image.putpalette(sum(colours, ()))
    return image


BLACK, RED, GREEN, WHITE = (0, 0, 0), (255, 0, 0), (0, 255, 0), (255, 255, 255)


# --- the cases


def test_case_01_numbers_in_three_channels_stay_numbers(case, tmp_path):
    folder = case("01_grey_ids_in_three_channels")
    out = str(tmp_path / "out")
    said = call("convert", *(os.path.join(folder, f) for f in ("img", "msk")), "--out", out)
    assert "no mask shows class 2\n" in said and "--set num_classes=4" in said
    for name in voc.read_list(out, "trainval"):
        stored = Image.open(os.path.join(folder, "msk", name + ".png"))
        ids = voc.read_mask(voc.mask_path(out, name))[0]
        assert np.array_equal(ids, np.asarray(stored)[..., 0])


def test_case_03_a_mask_saved_as_a_jpeg_is_refused_with_that_reason(case, tmp_path):
    folder = case("03_binary_mask_saved_as_jpeg")
    out = str(tmp_path / "out")
    said = call("convert", *(os.path.join(folder, f) for f in ("img", "msk")), "--out", out, code=1)
    assert "p0.jpg is a JPEG, which changes values along edges" in said
    assert not os.path.exists(out)


@pytest.mark.parametrize("quality", [50, 75, 90, 95])
def test_a_jpeg_saved_as_png_is_known_by_what_it_holds(case, put, converted, quality):
    folder = case("03_binary_mask_saved_as_jpeg")
    mask = Image.open(os.path.join(folder, "msk", "p0.jpg"))
    if quality != 75:
        size = 60, 80
        y, x = np.mgrid[: size[0], : size[1]]
        disc = np.where((y - 30) ** 2 + (x - 40) ** 2 < 400, 255, 0).astype(np.uint8)
        images, masks = put(Image.fromarray(disc), name="m{}.jpg", quality=quality)
        mask = Image.open(os.path.join(masks, "m0.jpg"))
    mask.load()
    with pytest.raises(WorkbookError, match="values, most in single pixels: it was smoothed or"):
        converted(*put(mask, mask))


def test_case_05_palettes_that_differ_make_one_class_a_colour(case, converted):
    folder = case("05_palette_order_differs")
    found, ids = converted(*(os.path.join(folder, f) for f in ("img", "msk")))
    assert found.form == mask_forms.RGB and found.colours == {BLACK: 0, GREEN: 1, RED: 2}
    for name in ("p0", "p1", "p2", "p3"):
        shown = np.array(Image.open(os.path.join(folder, "msk", name + ".png")).convert("RGB"))
        assert np.array_equal(ids(name) == 2, (shown == RED).all(axis=2))
        assert np.array_equal(ids(name) == 1, (shown == GREEN).all(axis=2))


def test_case_06_photographs_of_16_bits_keep_their_greys(case, tmp_path):
    folder, out = case("06_photographs_of_16_bits"), str(tmp_path / "out")
    own.convert(os.path.join(folder, "img"), os.path.join(folder, "msk"), out)
    stored = np.asarray(Image.open(os.path.join(folder, "img", "p0.png"))).astype(float)
    image = voc.read_image(voc.image_path(out, "p0"))
    assert np.array_equal(image[..., 1], np.round(stored / 257))
    assert Image.open(voc.image_path(out, "p0")).mode == "RGB"


def test_case_08_training_and_evaluation_see_one_picture_of_16_bits(case):
    root = os.path.join(case("08_16_bit_grey_seen_two_ways"), "root")
    stored = np.asarray(Image.open(voc.image_path(root, "a"))).astype(float)
    image = voc.read_image(voc.image_path(root, "a"))
    assert np.array_equal(image[..., 0], np.round(stored / 257))
    assert "nothing is wrong" in call("audit", root, "--list", "val")


def test_case_22_a_phones_photograph_stands(case):
    path = os.path.join(case("22_predict_turned_photograph"), "phone.jpg")
    assert pictures.read_image(path).shape == (80, 60, 3)
    assert pictures.image_size(path) == (80, 60)


def test_case_24_an_id_may_have_a_folder(case):
    root = os.path.join(case("24_ids_with_a_folder"), "root")
    (image_id,) = voc.read_list(root, "val")
    assert image_id == "s1/a"
    assert (
        voc.read_image(voc.image_path(root, image_id)).shape[:2]
        == voc.read_mask(voc.mask_path(root, image_id))[0].shape
    )


# --- other masks of these kinds


def test_one_file_without_colour_does_not_make_its_set_numbers(put, converted):
    """White is a class of its own where other files show colours."""
    red = np.zeros(IDS.shape + (3,), np.uint8)
    red[IDS == 1] = RED
    white = np.where(IDS == 1, 255, 0).astype(np.uint8)
    found, ids = converted(*put(Image.fromarray(red), grey(white)))
    assert found.colours == {BLACK: 0, RED: 1, WHITE: 2}
    assert np.array_equal(ids("m1"), np.where(IDS == 1, 2, 0))


def test_grey_files_and_three_channels_are_one_set(put, converted):
    found, ids = converted(*put(grey(IDS), Image.fromarray(IDS), grey(IDS).convert("RGBA")))
    assert found.form == mask_forms.INDEX and len(found.classes) == 3
    assert all(np.array_equal(ids(name), IDS) for name in ("m0", "m1", "m2"))


def test_white_on_black_is_one_class_in_any_mode(put, converted):
    mask = np.where(IDS == 1, 255, 0).astype(np.uint8)
    for image in (grey(mask), Image.fromarray(mask), Image.fromarray(mask).convert("1")):
        found, ids = converted(*put(image, image))
        assert found.form == mask_forms.BINARY and np.array_equal(ids("m0"), IDS == 1)


def test_palettes_of_greys_in_two_orders(put, converted):
    one = (IDS == 1).astype(np.uint8)
    found, ids = converted(*put(palette(one, BLACK, WHITE), palette(1 - one, WHITE, BLACK)))
    assert found.form == mask_forms.BINARY
    assert np.array_equal(ids("m0"), one) and np.array_equal(ids("m1"), one)


def test_shades_of_grey_in_three_channels_are_colours(put, converted):
    found, ids = converted(*put(*[grey(IDS % 255 * 100)] * 2))
    assert found.form == mask_forms.RGB and np.array_equal(ids("m0"), IDS % 255)


def test_255_is_ignored_in_palettes_whatever_it_shows(put, converted):
    colours = [BLACK, RED, GREEN] + [WHITE] * 253
    swapped = [BLACK, GREEN, RED] + [(7, 7, 7)] * 253
    second = np.where(IDS == 255, 255, (3 - IDS) % 3).astype(np.uint8)
    for masks in (
        [palette(IDS, *colours)] * 2,
        [palette(IDS, *colours), palette(second, *swapped)],
    ):
        _, ids = converted(*put(*masks))
        assert np.array_equal(ids("m0") == 255, IDS == 255)
        assert np.array_equal(ids("m1") == 255, IDS == 255)
        assert len(np.unique(ids("m0"))) == 4 and np.array_equal(ids("m0"), ids("m1"))


def test_given_colours_are_followed_in_palettes_too(put, converted):
    table = {BLACK: 0, GREEN: 1, RED: 2}
    mask = palette(np.minimum(IDS, 2), BLACK, RED, GREEN)
    found, ids = converted(*put(mask, mask), colours=table)
    assert found.form == mask_forms.RGB and (ids("m0")[IDS == 1] == 2).all()


def test_transparent_pixels_are_background_in_a_conversion(put, converted):
    hidden = np.where(IDS == 1, 255, 0).astype(np.uint8)
    colour = np.full(IDS.shape + (3,), 200, np.uint8)
    image = Image.fromarray(np.dstack([colour, hidden]))
    _, ids = converted(*put(image, image), colours={BLACK: 0, (200, 200, 200): 1})
    assert np.array_equal(ids("m0"), IDS == 1)


def test_adk20ks_habit_of_0_for_ignored(put, tmp_path):
    image = Image.fromarray(IDS)
    folders, out = put(image, image), str(tmp_path / "out")
    said = call("convert", *folders, "--out", out, "--ignore", "0", "--shift", "-1")
    assert "--set num_classes=2" in said
    wanted = np.where(np.isin(IDS, (1, 2)), IDS - 1, 255)
    assert np.array_equal(voc.read_mask(voc.mask_path(out, "m0"))[0], wanted)
    said = call("convert", *folders, "--out", str(tmp_path / "two"), "--shift", "-1", code=1)
    assert "class 0 of the masks becomes -1 by --shift -1" in said and "--ignore 0 as well" in said


@pytest.mark.parametrize(
    "given, wanted",
    [
        (["leaf", "spot"], ["background", "leaf", "spot"]),
        (["leaf"], ["background", "leaf", "class 2"]),
        (["Background", "leaf"], ["Background", "leaf", "class 2"]),
        (["soil", "leaf", "spot"], ["soil", "leaf", "spot"]),
        (["_background_", "leaf"], ["_background_", "leaf", "class 2"]),
    ],
)
def test_names_without_background_get_it_in_front(put, tmp_path, given, wanted):
    image, out = Image.fromarray(IDS), str(tmp_path / "out")
    said = call("convert", *put(image, image), "--out", out, "--classes", ",".join(given))
    assert list(voc.class_names(len(wanted), out)) == wanted
    assert f"--set num_classes={len(wanted)}" in said
    assert ("was put in front" in said) is (wanted[0] == "background")


def test_names_of_white_on_black_and_of_colours_need_no_background(put, converted):
    white = Image.fromarray(np.where(IDS == 1, 255, 0).astype(np.uint8))
    assert converted(*put(white, white), classes=["leaf"])[0].classes == ("background", "leaf")
    shown = np.zeros(IDS.shape + (3,), np.uint8)
    shown[IDS == 1], shown[IDS == 2] = GREEN, RED
    found, _ = converted(*put(*[Image.fromarray(shown)] * 2), classes=["leaf", "spot"])
    assert found.classes == ("background", "leaf", "spot")
    assert found.colours == {BLACK: 0, GREEN: 1, RED: 2}


def test_names_of_moved_classes_have_no_background(put, converted):
    images = put(*[Image.fromarray(IDS)] * 2)
    assert converted(*images, classes=["wall"], ignore=0, shift=-1)[0].classes == (
        "wall",
        "class 1",
    )


def test_labelmaps_that_contradict_each_other_are_refused(put, converted, tmp_path):
    images, masks = put(*[palette(np.minimum(IDS, 2), BLACK, RED, GREEN)] * 2)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\nleaf:255,0,0::\n")
    (tmp_path / "masks" / "labelmap.txt").write_text("background:0,0,0::\nleaf:0,255,0::\n")
    with pytest.raises(WorkbookError, match=r"leaf is \(0, 255, 0\), and \(255, 0, 0\) in"):
        converted(images, masks)


def test_a_turned_photograph_of_a_set_is_stored_upright(put, converted, tmp_path):
    images, masks = put(*[Image.fromarray(IDS)] * 2)
    turned(os.path.join(images, "m0.jpg"), 6, size=(60, 80))
    converted(images, masks)
    path = voc.image_path(str(tmp_path / "out"), "m0")
    image = pictures.read_image(os.path.join(images, "m0.jpg"))
    assert image.shape == (60, 80, 3) and np.array_equal(np.asarray(Image.open(path)), image)


def test_a_palette_of_vocs_is_stored_numbers_and_their_colours(tmp_path):
    root = make_tiny_voc(tmp_path / "VOC2012")
    stored = pictures.read_stored(voc.mask_path(root, "val_000"))
    assert stored.mode == "P" and stored.pairs == {
        i: tuple(voc.palette()[i].tolist()) for i in np.unique(stored.numbers) if i < 255
    }
