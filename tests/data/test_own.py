"""Own data in every form they come in, and the forms that are refused."""

import json
import os
import shlex

import numpy as np
import pytest
from PIL import Image

from deeplab_nb.data import mask_forms, own, voc
from deeplab_nb.data.audit import ListAudit, audit
from deeplab_nb.errors import LeftOut, WorkbookError
from tests.support.command import call

SIZE = (24, 36)  # height, width
IDS = np.zeros(SIZE, np.uint8)
IDS[4:12, 4:20], IDS[14:20, 22:30] = 1, 2
IDS[3, :] = voc.VOID
COLOURS = {(0, 0, 0): 0, (0, 200, 0): 1, (200, 0, 0): 2}


def write(folder, mask, count=5, size=SIZE, suffix=".jpg"):
    """Photographs of noise and copies of a mask, a PIL image; returns the two folders."""
    images, masks = folder / "images", folder / "masks"
    images.mkdir()
    masks.mkdir()
    for i in range(count):
        noise = np.random.RandomState(i).randint(0, 256, size + (3,), dtype=np.uint8)
        Image.fromarray(noise).save(str(images / f"leaf {i}{suffix}"))
        mask.save(str(masks / f"leaf {i}.png"))
    return str(images), str(masks)


def palette_mask():
    image = Image.fromarray(IDS, mode="P")
    image.putpalette(list(range(256)) * 3)  # of other colours than VOC's
    return image


def rgb_mask():
    rgb = np.empty(SIZE + (3,), np.uint8)
    rgb[...] = voc.palette()[voc.VOID]
    for colour, class_id in COLOURS.items():
        rgb[IDS == class_id] = colour
    return Image.fromarray(rgb)


@pytest.mark.parametrize(
    "mask, form, wanted",
    [
        (palette_mask(), mask_forms.PALETTE, IDS),
        (Image.fromarray(IDS), mask_forms.INDEX, IDS),
        (
            Image.fromarray((IDS == 1).astype(np.uint8) * 255),
            mask_forms.BINARY,
            (IDS == 1).astype(np.uint8),
        ),
    ],
)
def test_masks_of_numbers_keep_them(tmp_path, mask, form, wanted):
    out = str(tmp_path / "out")
    found = own.convert(*write(tmp_path, mask), out, classes=("background", "leaf"))
    ids, kind = voc.read_mask(voc.mask_path(out, "leaf_3"))
    assert found.form == form and kind == "palette" and np.array_equal(ids, wanted)
    assert (
        found.classes[:2] == ("background", "leaf")
        and len(found.classes) == wanted.max(where=wanted < 255, initial=0) + 1
    )
    assert not audit(out, ["train", "val"], num_classes=len(found.classes)).problems


def test_colours_become_the_classes_they_were_given_and_cream_stays_ignored(tmp_path):
    found = own.convert(*write(tmp_path, rgb_mask()), str(tmp_path / "out"), colours=COLOURS)
    ids, _ = voc.read_mask(voc.mask_path(str(tmp_path / "out"), "leaf_0"))
    assert found.form == mask_forms.RGB and np.array_equal(ids, IDS)
    assert "2 class 2  (200, 0, 0)" in str(found)


def test_colours_without_classes_are_numbered_in_their_order(tmp_path):
    found = own.convert(*write(tmp_path, rgb_mask()), str(tmp_path / "out"))
    assert found.colours == COLOURS


def test_names_and_split_lie_where_all_read_them(tmp_path):
    images, masks = write(tmp_path, palette_mask(), count=10)
    out = str(tmp_path / "out")
    found = own.convert(images, masks, out, classes=("background", "leaf", "spot"), val_share=0.3)
    assert found.counts == {"train": 7, "val": 3, "trainval": 10}
    assert not set(voc.read_list(out, "train")) & set(voc.read_list(out, "val"))
    assert (
        voc.class_names(3, out) == ("background", "leaf", "spot")
        and voc.class_names(21, out) == voc.CLASSES
    )
    assert "leaf" in audit(out, ["train"], num_classes=3).table("train")
    again = str(tmp_path / "again")
    own.convert(images, masks, again, val_share=0.3)
    assert voc.read_list(again, "val") == voc.read_list(out, "val")


def test_a_photograph_is_copied_byte_for_byte_and_one_held_sideways_stood_up(tmp_path):
    images, masks = write(tmp_path, palette_mask())
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE, (9, 9, 9)).save(
        os.path.join(images, "leaf 1.jpg"), exif=exif
    )  # stored upright as 24 wide
    out = str(tmp_path / "out")
    own.convert(images, masks, out)
    with open(os.path.join(images, "leaf 0.jpg"), "rb") as ours, open(
        voc.image_path(out, "leaf_0"), "rb"
    ) as theirs:
        assert ours.read() == theirs.read()
    assert voc.read_image(voc.image_path(out, "leaf_1")).shape == SIZE + (3,)


def smooth():
    return Image.fromarray(np.random.RandomState(0).randint(0, 256, SIZE + (3,), dtype=np.uint8))


@pytest.mark.parametrize(
    "mask, arguments, words",
    [
        (smooth(), {}, "more than 64 colours: it was smoothed"),
        (
            Image.fromarray(np.where(IDS == 1, 147, 0).astype(np.uint8)),
            {},
            "values are 0, 147: such wide gaps are shades of grey",
        ),
        (
            rgb_mask(),
            {"colours": {(0, 0, 0): 0, (0, 200, 0): 1}},
            r"colour \(200, 0, 0\), which was given no class",
        ),
        (palette_mask(), {"classes": ("a", "b", "c", "d")}, "4 class names for 3 classes"),
        (palette_mask().resize((30, 20)), {}, "is 30x20, its photograph 36x24"),
        (palette_mask(), {"val_share": 1.0}, "leaves one list empty"),
        (Image.fromarray(IDS.astype(np.uint16) * 257), {}, "16 or more bits"),
    ],
)
def test_what_is_not_certain_is_refused_and_nothing_is_left(tmp_path, mask, arguments, words):
    out = str(tmp_path / "out")
    with pytest.raises(WorkbookError, match=words):
        own.convert(*write(tmp_path, mask), out, **arguments)
    assert not os.path.exists(out)


def test_files_that_do_not_pair_up_are_refused(tmp_path):
    images, masks = write(tmp_path, palette_mask())
    os.rename(os.path.join(masks, "leaf 2.png"), os.path.join(masks, "stem.png"))
    with pytest.raises(WorkbookError, match="leaf 2.jpg has no partner"):
        own.convert(images, masks, str(tmp_path / "out"))
    os.remove(os.path.join(images, "leaf 2.jpg"))
    with pytest.raises(WorkbookError, match="stem.png has no partner"):
        own.convert(images, masks, str(tmp_path / "out"))


def test_masks_of_several_forms_are_refused(tmp_path):
    images, masks = write(tmp_path, palette_mask())
    rgb_mask().save(os.path.join(masks, "leaf 2.png"))
    with pytest.raises(WorkbookError, match="mode RGB in .*leaf 2.png and P in most"):
        own.convert(images, masks, str(tmp_path / "out"))


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    images, masks = write(tmp_path, palette_mask())
    with pytest.raises(WorkbookError, match="holds something already"):
        own.convert(images, masks, images)


def counted(pixels, images):
    fill = (0,) * (256 - len(pixels))
    return ListAudit(
        name="train",
        count=4,
        official=None,
        pixels=pixels + fill,
        images=images + fill,
        longest_side=1,
    )


def test_weights_follow_their_formulas():
    one = counted((300, 90, 10, 0), (4, 2, 1, 0))  # 400 pixels in 4 images of 100
    assert one.median_frequency(4) == (0.6, 1.0, 4.5, 0.0)  # frequencies 0.75, 0.45, 0.1
    wanted = [1 / np.log(1.02 + share) for share in (0.75, 0.225, 0.025)] + [0]
    assert one.inverse_log(4) == pytest.approx(wanted, abs=1e-3)


def test_the_command_converts_audits_and_says_what_comes_next(tmp_path):
    images, masks = write(tmp_path, rgb_mask())
    colours = tmp_path / "colours.json"
    colours.write_text(
        json.dumps({"background": [0, 0, 0], "leaf": [0, 200, 0], "spot": [200, 0, 0]})
    )
    said = call("convert", images, masks, "--out", str(tmp_path / "out"), "--colours", str(colours))
    for words in (
        "each one is a class",
        "leaf",
        "class_weights by median_frequency: ",
        "--set num_classes=3",
    ):
        assert words in said
    assert "cannot be used" in call(
        "convert", images, masks, "--out", str(tmp_path / "two"), "--colours", masks, code=1
    )


def test_the_command_that_comes_next_can_be_pasted(tmp_path):
    images, masks = write(tmp_path, Image.fromarray(IDS))
    out = str(tmp_path / "Bob's leaves; $HOME [1]")
    said = call("convert", images, masks, "--out", out)
    assert f"data_root={out}" in shlex.split(said.splitlines()[-1])


def test_cvats_labelmap_names_the_colours(tmp_path):
    images, masks = write(tmp_path, rgb_mask())
    with open(os.path.join(masks, "labelmap.txt"), "w") as file:
        file.write("# label:color_rgb:parts:actions\nleaf:0,200,0::\nspot:200,0,0::\n")
        file.write("background:0,0,0::\n")
    out = str(tmp_path / "out")
    call("convert", images, masks, "--out", out)
    assert np.array_equal(voc.read_mask(voc.mask_path(out, "leaf_0"))[0], IDS)
    assert list(voc.class_names(3, out)) == ["background", "leaf", "spot"]


def test_roboflows_masks_lie_beside_their_photographs(tmp_path):
    images, masks = write(tmp_path, Image.fromarray(IDS))
    for i in range(5):
        os.rename(os.path.join(masks, f"leaf {i}.png"), os.path.join(images, f"leaf {i}_mask.png"))
    with open(os.path.join(images, "_classes.csv"), "w") as file:
        file.write("Pixel Value, Class\n0, background\n1, leaf\n2, spot\n")
    out = str(tmp_path / "out")
    call("convert", images, images, "--out", out)
    assert np.array_equal(voc.read_mask(voc.mask_path(out, "leaf_0"))[0], IDS)
    assert list(voc.class_names(3, out)) == ["background", "leaf", "spot"]


def test_class_numbers_are_not_moved_where_outlines_have_names(tmp_path):
    (tmp_path / "i.json").write_text("{}")
    with pytest.raises(WorkbookError, match="i.json holds outlines, .*: leave out --ignore"):
        own.convert(str(tmp_path), str(tmp_path / "i.json"), str(tmp_path / "out"), shift=-1)


def test_class_names_of_another_encoding_are_read(tmp_path):
    path = tmp_path / mask_forms.CLASSES
    path.write_bytes("Pixel Value, Class\n0, background\n1, caf\xe9".encode("latin-1"))
    assert mask_forms.read_names([str(path)], LeftOut(strict=True)) == ["background", "caf\xe9"]
