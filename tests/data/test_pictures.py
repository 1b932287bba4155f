"""One way in for photographs and masks: depth, channels, orientation, limits, lists and ids."""

import io
import os
import resource
import warnings

import numpy as np
import pytest
from PIL import Image, ImageOps

from deeplab_nb.data import pictures, voc
from deeplab_nb.data.audit import audit
from deeplab_nb.data.pipeline import decode
from deeplab_nb.data.records import _records, write_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.tf1 import tf
from tests.support.odd_pictures import GREY16, bomb, turned
from tests.support.tiny_voc import make_tiny_voc, write_list, write_pair

NOISE = np.random.RandomState(0).randint(0, 256, (33, 49, 4), dtype=np.uint8)
RGB = Image.fromarray(NOISE[..., :3])
IDS = np.zeros((33, 49), np.uint8)
IDS[6:19, 6:24], IDS[20] = 3, 255


@pytest.fixture
def root(tmp_path):
    return make_tiny_voc(tmp_path / "VOC2012")


def trained_on(path):
    """What TensorFlow makes of the bytes that a record would hold."""
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(tf.image.decode_jpeg(pictures.as_trained(path), channels=3))


# --- photographs


def test_sixteen_bits_become_eight_for_training_and_evaluation(tmp_path):
    wanted = np.repeat(np.round(GREY16 / 257)[..., None], 3, axis=2)
    for name in ("a.png", "a.tif"):
        path = str(tmp_path / name)
        Image.fromarray(GREY16).save(path)
        assert np.array_equal(pictures.read_image(path), wanted)
        assert np.array_equal(trained_on(path), wanted)


@pytest.mark.parametrize("top", [1, 255, 65535])
def test_floating_point_numbers_count_to_the_range_that_holds_them(tmp_path, top):
    path, share = str(tmp_path / "a.tif"), np.linspace(0, 1, 256, dtype=np.float32)
    Image.fromarray(np.tile(share * top, (4, 1)).astype(np.float32)).save(path)
    assert np.array_equal(pictures.read_image(path)[0, :, 0], np.arange(256))


@pytest.mark.parametrize("bad", [-1, 1e9, np.nan, np.inf])
def test_other_numbers_are_refused(tmp_path, bad):
    path, values = str(tmp_path / "a.tif"), np.zeros((4, 4), np.float32)
    values[1, 1] = bad
    Image.fromarray(values).save(path)
    with pytest.raises(
        WorkbookError, match="a.tif is damaged .values from .* where 0 to 65535 are greys"
    ):
        pictures.read_image(path)


def test_alpha_leaves_the_colours_as_they_are(tmp_path):
    path = str(tmp_path / "a.png")
    Image.fromarray(NOISE).save(path)
    assert np.array_equal(pictures.read_image(path), NOISE[..., :3])
    assert np.array_equal(trained_on(path), NOISE[..., :3])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "RGB"])
@pytest.mark.parametrize("ending", [".png", ".tif", ".jpg", ".webp", ".bmp"])
def test_training_and_evaluation_see_the_same_of_any_kind(tmp_path, mode, ending):
    path = str(tmp_path / ("a" + ending))
    try:
        RGB.convert(mode).save(path)
    except OSError:
        pytest.skip(f"{ending} knows no {mode}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = pictures.read_image(path)
    assert image.shape == (33, 49, 3) and image.std() > 20
    # two decoders of JPEG differ by a step here and there
    assert np.abs(trained_on(path).astype(int) - image).mean() < 1
    assert pictures.decoded_size(path) == ((33, 49), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_is_upright_wherever_it_is_read(tmp_path, orientation):
    path = str(tmp_path / "a.jpg")
    turned(path, orientation)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    image = pictures.read_image(path)
    assert np.array_equal(image, wanted)
    assert pictures.image_size(path) == image.shape[:2]
    assert pictures.decoded_size(path) == (image.shape[:2], orientation)
    assert np.abs(trained_on(path).astype(int) - image).mean() < 1
    with open(path, "rb") as file:
        assert (pictures.as_trained(path) == file.read()) == (orientation == 1)


def test_a_broken_orientation_is_none(tmp_path):
    path = str(tmp_path / "a.jpg")
    RGB.save(path, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05garbage")
    assert pictures.read_image(path).shape == (33, 49, 3)


def test_a_picture_of_too_many_pixels_takes_no_memory(tmp_path, monkeypatch):
    path = str(tmp_path / "a.png")
    bomb(path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for read in (pictures.read_image, pictures.read_stored, pictures.image_size):
        with pytest.raises(WorkbookError, match="a.png is 20000x20000, more than 180000000"):
            read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50000
    RGB.save(path)
    monkeypatch.setenv(pictures.LIMIT, "1616")
    with pytest.raises(WorkbookError, match=f"more than 1616 pixels: .* {pictures.LIMIT}"):
        pictures.read_image(path)
    monkeypatch.setenv(pictures.LIMIT, "1617")
    assert pictures.image_size(path) == (33, 49)


@pytest.mark.parametrize("mode, ending", [("P", ".png"), ("RGB", ".png"), ("L", ".jpg")])
def test_a_cut_file_is_named(tmp_path, mode, ending):
    path, content = str(tmp_path / ("cut" + ending)), io.BytesIO()
    RGB.convert(mode).save(content, {".png": "PNG", ".jpg": "JPEG"}[ending])
    refused = 0
    for length in range(0, len(content.getvalue()) - 20, 23):
        with open(path, "wb") as file:
            file.write(content.getvalue()[:length])
        for read in (pictures.read_image, pictures.read_stored, pictures.decoded_size):
            with pytest.raises(WorkbookError, match=f"cut{ending} is "):
                read(path)
            refused += 1
    assert refused > 100


# --- masks


def saved(tmp_path, image, name="m.png", **options):
    path = str(tmp_path / name)
    image.save(path, **options)
    return path


def test_numbers_are_told_by_content_not_by_mode(tmp_path):
    three = Image.fromarray(np.stack([IDS] * 3, axis=2))
    for image in (Image.fromarray(IDS), three, Image.fromarray(IDS.astype(np.uint16))):
        ids, kind = voc.read_mask(saved(tmp_path, image))
        assert kind == "index" and np.array_equal(ids, IDS)


def test_vocs_colours_stay_colours_even_the_grey_of_a_bus(tmp_path):
    bus = np.where(IDS == 3, 7, 0).astype(np.uint8)
    ids, kind = voc.read_mask(saved(tmp_path, Image.fromarray(voc.palette()[bus])))
    assert kind == "rgb" and np.array_equal(ids, bus)


def palette(ids, colours=None):
    image = Image.fromarray(ids, "P")
    image.putpalette(voc.palette().ravel().tolist() if colours is None else sum(colours, []))
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_transparent_pixels_are_background(tmp_path, mode):
    wanted = np.where(IDS == 255, 0, IDS)
    if mode == "P":
        path = saved(tmp_path, palette(IDS), transparency=255)
    else:
        image = Image.fromarray(IDS).convert(mode)
        image.putalpha(Image.fromarray(np.where(IDS == 255, 0, 255).astype(np.uint8)))
        path = saved(tmp_path, image)
    assert np.array_equal(voc.read_mask(path)[0], wanted)


def test_a_transparent_colour_is_not_taken_for_what_0_is(tmp_path):
    """0 is a person's colour, 1 is transparent: numbers alone would make the person background."""
    two = (IDS == 3).astype(np.uint8)
    path = saved(tmp_path, palette(two, [voc.palette()[15].tolist(), [0, 0, 0]]), transparency=1)
    assert np.array_equal(voc.read_mask(path)[0], np.where(two, 0, 15))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_mask_that_is_a_jpeg_is_refused(tmp_path, mode):
    path = saved(tmp_path, Image.fromarray(IDS).convert(mode), "m.jpg")
    with pytest.raises(WorkbookError, match="m.jpg is a JPEG, which changes values"):
        voc.read_mask(path)


def test_numbers_beyond_a_byte_are_refused(tmp_path):
    path = saved(tmp_path, Image.fromarray(IDS.astype(np.uint16) * 300))
    with pytest.raises(WorkbookError, match="m.png has 16 or more bits"):
        voc.read_mask(path)


# --- in a VOC folder


def test_a_folder_of_odd_photographs_trains_as_it_is_evaluated(tmp_path, root):
    os.remove(voc.image_path(root, "train_001"))
    turned(voc.image_path(root, "train_000"), 6, size=(33, 49))
    Image.fromarray(GREY16[:33, :49]).save(os.path.join(root, "JPEGImages", "train_001.PNG"))
    RGB.convert("CMYK").save(voc.image_path(root, "train_002"), "JPEG")
    voc.write_mask(voc.mask_path(root, "train_000"), np.zeros((33, 49)))
    assert not audit(root, ["train"]).problems
    paths = write_records(root, "train", str(tmp_path / "records"), shards=1)
    for record, image_id in zip(_records(paths), voc.read_list(root, "train")):
        with tf.Graph().as_default(), tf.Session() as session:
            image, _ = session.run(decode(tf.constant(record)))
        wanted = voc.read_image(voc.image_path(root, image_id))
        assert image.shape == wanted.shape and np.abs(image.astype(int) - wanted).mean() < 2


def test_the_audit_says_where_a_mask_was_not_turned(root):
    path = voc.image_path(root, "train_000")
    turned(path, 6, size=(49, 33))  # upright 49 high; its mask lies as the photograph is stored
    ((_, sentence),) = audit(root, ["train"]).problems
    assert "stored turned (EXIF orientation 6) and shown upright, the mask is not" in sentence
    turned(path, 3, size=(49, 33))
    ((image_id, sentence),) = audit(root, ["train"]).warnings
    assert image_id == "train_000" and "see that the mask is upright too" in sentence


def test_the_audit_says_that_palettes_differ(root):
    palette(IDS, [[0, 0, 0], [1, 1, 1], [2, 2, 2], [9, 0, 0], [4, 4, 4]]).save(
        voc.mask_path(root, "train_000")
    )
    ((_, sentence),) = audit(root, ["train"]).warnings
    assert sentence.startswith("palettes differ between masks: 3 is (9, 0, 0) in that of train_000")


@pytest.mark.parametrize("ending", [".JPG", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".TIFF"])
def test_photographs_of_other_endings_are_found(root, ending):
    os.remove(voc.image_path(root, "train_001"))
    wanted = os.path.join(root, "JPEGImages", "train_001" + ending)
    RGB.save(wanted)
    assert voc.image_path(root, "train_001") == wanted
    assert not audit(root, ["train"]).problems


# --- lists and ids


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbftrain_000\ntrain_001\n",
        b"train_000\r\n\r\n  train_001 \r\n\r\n",
        "train_000\ntrain_001\n".encode("utf-16"),
        b"./train_000\ntrain_001",
    ],
)
def test_lists_as_editors_write_them(root, content):
    with open(voc.list_path(root, "odd"), "wb") as file:
        file.write(content)
    assert voc.read_list(root, "odd") == ["train_000", "train_001"]


def test_a_list_in_latin_1_and_one_with_nul(root):
    path = voc.list_path(root, "odd")
    with open(path, "wb") as file:
        file.write("bäume\n".encode("latin-1"))
    assert voc.read_list(root, "odd") == ["bäume"]
    with open(path, "wb") as file:
        file.write(b"train_000\0\n")
    with pytest.raises(WorkbookError, match="odd.txt holds NUL bytes"):
        voc.read_list(root, "odd")


@pytest.mark.parametrize("image_id", ["../../x", "/etc/x", "s1/../../x", "..\\x", "C:\\x", ".."])
def test_an_id_that_climbs_out_is_refused(root, image_id):
    write_list(root, "odd", [image_id])
    with pytest.raises(WorkbookError, match="odd.txt names .*, outside the data folder"):
        voc.read_list(root, "odd")


@pytest.mark.parametrize("written", ["s1/a", "s1\\a", "./s1/a"])
def test_an_id_with_a_folder_is_read_everywhere(tmp_path, root, written):
    for path in (voc.image_path(root, "s1/a"), voc.mask_path(root, "s1/a")):
        os.makedirs(os.path.dirname(path))
    write_pair(root, "s1/a", class_id=2)
    write_list(root, "train", [written, "train_000"])
    assert voc.read_list(root, "train") == ["s1/a", "train_000"]
    assert audit(root, ["train"]).of("train").images[2] == 1
    (record, _) = _records(write_records(root, "train", str(tmp_path / "records"), shards=1))
    assert b"s1/a" in record


def test_class_names_with_a_byte_order_mark(root):
    with open(os.path.join(root, voc.NAMES), "wb") as file:
        file.write("\ufeffbackground\r\nblätter\r\n".encode())
    assert voc.class_names(2, root) == ("background", "blätter")


def test_a_picture_that_memory_does_not_hold_is_told(tmp_path, monkeypatch):
    """numpy makes an object of it, without a word."""
    path = str(tmp_path / "a.png")
    Image.new("P", (9, 9)).save(path)

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "tobytes", full)
    for read in (pictures.read_image, pictures.read_stored):
        with pytest.raises(WorkbookError, match="a.png takes more memory than there is"):
            read(path)
