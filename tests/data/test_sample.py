"""The drawn sample unpacked: the painter's pictures, whole or absent; no harm to a user's files."""

import hashlib
import os
import resource
import subprocess
import sys
import zipfile

import numpy as np
import PIL
import pytest
from PIL import Image

from deeplab_nb.data import sample, voc
from deeplab_nb.data.sample import make_sample
from deeplab_nb.errors import WorkbookError
from draw import draw_set, pack
from tests.support.files import digests

ALONE = "import sys; from deeplab_nb.data.sample import make_sample; make_sample(sys.argv[1])"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make_sample(str(tmp_path_factory.mktemp("whole") / "VOC2012"))


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """The same pictures, the first nine of them, drawn anew."""
    return draw_set(str(tmp_path_factory.mktemp("few") / "VOC2012"), train=6, val=3)


def test_the_archive_is_the_one_that_was_committed():
    with open(sample.ARCHIVE, "rb") as file:
        content = file.read()
    assert hashlib.sha256(content).hexdigest() == sample.SHA256 and len(content) < 3.2e6


def test_the_painter_draws_the_archives_pictures(whole, few):
    ours, drawn = digests(whole), digests(few)
    pictures = [name for name in drawn if name.endswith((".jpg", ".png"))]
    assert len(pictures) == 18
    if PIL.__version__.startswith("9."):  # that of the reference environment, which drew it
        assert all(ours[name] == drawn[name] for name in pictures)
    for name in pictures:  # another places a line here and there a pixel aside
        one, other = (np.asarray(Image.open(f"{root}/{name}")) for root in (whole, few))
        moved = abs(one.astype(int) - other)
        assert moved.mean() < 0.25 if name.endswith(".jpg") else (moved > 0).mean() < 0.0005


def test_the_layout_is_vocs_and_the_lists_split_the_ids_in_order(whole):
    ids = [f"sample_{i:06d}" for i in range(1, 301)]
    lists = {name: voc.read_list(whole, name) for name in ("train", "val", "trainval")}
    assert lists == {"train": ids[:240], "val": ids[240:], "trainval": ids}
    expected = {"sample.json"} | {f"ImageSets/Segmentation/{name}.txt" for name in lists}
    expected |= {f"JPEGImages/{i}.jpg" for i in ids} | {f"SegmentationClass/{i}.png" for i in ids}
    assert set(digests(whole)) == expected and voc.check_root(whole) == whole


def test_a_packed_set_is_the_same_bytes_again_and_in_order(few, tmp_path):
    paths = [str(tmp_path / name) for name in ("one.zip", "other.zip")]
    for path in paths:
        pack(few, path)
    contents = [open(path, "rb").read() for path in paths]
    names = zipfile.ZipFile(paths[0]).namelist()
    assert contents[0] == contents[1] and names == sorted(digests(few))


def test_second_call_writes_nothing(whole):
    before = {name: os.stat(os.path.join(whole, name)).st_mtime_ns for name in digests(whole)}
    assert make_sample(whole) == whole
    assert before == {
        name: os.stat(os.path.join(whole, name)).st_mtime_ns for name in digests(whole)
    }


@pytest.mark.parametrize("seed", [1, 3])
def test_another_sample_is_replaced(tmp_path, whole, seed):
    root = draw_set(str(tmp_path / "set"), train=2, val=1, seed=seed)
    make_sample(root)
    assert digests(root) == digests(whole)


def test_damaged_sample_is_completed(tmp_path, whole):
    root = make_sample(str(tmp_path / "set"))
    os.remove(voc.mask_path(root, "sample_000002"))
    assert digests(make_sample(root)) == digests(whole)


def test_interrupted_make_leaves_nothing_and_the_next_one_succeeds(tmp_path, monkeypatch):
    def interrupt(archive, folder):
        archive.extract("JPEGImages/sample_000001.jpg", folder)
        raise KeyboardInterrupt

    root = str(tmp_path / "set")
    monkeypatch.setattr(zipfile.ZipFile, "extractall", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_sample(root)
    assert not os.path.exists(root)
    monkeypatch.undo()
    make_sample(root)
    assert os.listdir(str(tmp_path)) == ["set"]


def test_what_a_killed_process_left_is_replaced(tmp_path, whole):
    draw_set(str(tmp_path / "set.part"), train=1, val=1)
    os.remove(voc.mask_path(str(tmp_path / "set.part"), "sample_000002"))
    assert digests(make_sample(str(tmp_path / "set"))) == digests(whole)
    assert os.listdir(str(tmp_path)) == ["set"]


def test_two_processes_at_once_make_one_sample(tmp_path, whole):
    root = str(tmp_path / "set")
    both = [subprocess.Popen([sys.executable, "-c", ALONE, root]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert digests(root) == digests(whole) and os.listdir(str(tmp_path)) == ["set"]


def test_a_full_disk_gets_a_sentence_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # larger files cannot be written
    try:
        with pytest.raises(WorkbookError, match="set cannot be read or written .*make room on"):
            make_sample(str(tmp_path / "set"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-1000],
        lambda content: content.replace(b"JPEGImages/", b"../outside/"),
        None,
    ],
)
def test_a_damaged_archive_gets_a_sentence(tmp_path, monkeypatch, spoil):
    with open(sample.ARCHIVE, "rb") as file:
        content = file.read()
    if spoil:
        (tmp_path / "sample.zip").write_bytes(spoil(content))
    monkeypatch.setattr(sample, "ARCHIVE", str(tmp_path / "sample.zip"))
    with pytest.raises(
        WorkbookError, match="sample.zip is missing or damaged: `git checkout data/sample.zip`"
    ):
        make_sample(str(tmp_path / "inside" / "set"))
    assert not any(name.endswith(".jpg") for name in digests(tmp_path))


@pytest.mark.parametrize("name", ["set", "set.part"])
def test_foreign_folder_is_refused_and_untouched(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "thesis.txt").write_text("mine")
    before = digests(tmp_path)
    with pytest.raises(WorkbookError, match="something else than a drawn sample"):
        make_sample(str(tmp_path / "set"))
    assert digests(tmp_path) == before


def test_users_file_in_an_older_sample_is_not_deleted(tmp_path):
    root = draw_set(str(tmp_path / "set"), train=2, val=1)
    with open(os.path.join(root, "SegmentationClass", "mine.png"), "w") as file:
        file.write("mine")
    before = digests(root)
    with pytest.raises(WorkbookError, match="mine.png"):
        make_sample(root)
    assert digests(root) == before


def test_users_file_in_a_whole_sample_is_no_matter(tmp_path):
    root = make_sample(str(tmp_path / "set"))
    with open(os.path.join(root, "SegmentationClass", "mine.png"), "w") as file:
        file.write("mine")
    before = digests(root)
    assert make_sample(root) == root and digests(root) == before
