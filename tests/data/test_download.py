"""Downloads resume, digests are checked, archives stay inside their folder.

A real server on this machine is asked.
"""

import hashlib
import io
import os
import shutil
import tarfile
import threading
import time
import zipfile

import pytest

from deeplab_nb.data import download
from deeplab_nb.data.download import Archive, fetch_archive, fetch_sbd, fetch_voc, unpack
from deeplab_nb.errors import WorkbookError
from tests.support.file_server import CONTENT, Handler, server  # noqa: F401
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "data")


def archive_of(content=CONTENT, *, digest="right", file="archive.tar"):
    known = "md5:" + hashlib.md5(content).hexdigest()
    return Archive(
        name="a set",
        url="http://127.0.0.1:9/",
        file=file,
        digest=known if digest == "right" else digest,
    )


def refusal(function, *args, **kwargs):
    with pytest.raises(WorkbookError) as caught:
        function(*args, **kwargs)
    return str(caught.value)


def test_download(server, folder):
    path = fetch_archive(archive_of(), folder, url=server.url)
    assert path == os.path.join(folder, "archive.tar") and open(path, "rb").read() == CONTENT
    assert os.listdir(folder) == ["archive.tar"]


def test_slow_download(server, folder):
    server.pause = 0.05
    assert open(fetch_archive(archive_of(), folder, url=server.url), "rb").read() == CONTENT


def test_a_file_put_by_hand_needs_no_network(folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "archive.tar"), "wb") as file:
        file.write(CONTENT)
    assert fetch_archive(archive_of(), folder) == os.path.join(folder, "archive.tar")


def test_a_wrong_file_put_by_hand_is_kept_and_named(folder):
    os.makedirs(folder)
    path = os.path.join(folder, "archive.tar")
    with open(path, "wb") as file:
        file.write(b"other")
    assert refusal(
        fetch_archive, archive_of(), folder
    ) == "{} has digest md5:{}, not {}: replace the file".format(
        path, hashlib.md5(b"other").hexdigest(), archive_of().digest
    )
    assert os.path.exists(path)


def test_a_broken_transfer_resumes(server, folder):
    server.cut_after = 200000
    assert refusal(fetch_archive, archive_of(), folder, url=server.url) == (
        "a set did not come from {} (the connection failed or broke off): run again to go on at "
        "0.2 MB, or put the file "
        "at {} by hand (digest {})".format(
            server.url, os.path.join(folder, "archive.tar"), archive_of().digest
        )
    )
    assert os.listdir(folder) == ["archive.tar.part"]
    kept = os.path.getsize(os.path.join(folder, "archive.tar.part"))
    server.cut_after = None
    assert open(fetch_archive(archive_of(), folder, url=server.url), "rb").read() == CONTENT
    assert 0 < kept <= 200000 and server.ranges == [f"bytes={kept}-"]
    assert server.sent == 200000 + len(CONTENT) - kept


def test_without_ranges_the_transfer_starts_over(server, folder):
    server.knows_ranges, server.cut_after = False, 200000
    refusal(fetch_archive, archive_of(), folder, url=server.url)
    server.cut_after = None
    assert open(fetch_archive(archive_of(), folder, url=server.url), "rb").read() == CONTENT
    assert server.ranges == [] and server.sent == 200000 + len(CONTENT)


def test_a_complete_part_is_not_fetched_again(server, folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "archive.tar.part"), "wb") as file:
        file.write(CONTENT)
    assert open(fetch_archive(archive_of(), folder, url=server.url), "rb").read() == CONTENT
    assert server.asked == ["HEAD"]


def test_a_part_longer_than_the_file_starts_over(server, folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "archive.tar.part"), "wb") as file:
        file.write(CONTENT + b"more")
    assert open(fetch_archive(archive_of(), folder, url=server.url), "rb").read() == CONTENT


def test_wrong_digest_removes_the_file(server, folder):
    wanted = archive_of(digest="md5:" + "0" * 32)
    part = os.path.join(folder, "archive.tar.part")
    assert refusal(fetch_archive, wanted, folder, url=server.url) == (
        "{} has digest {}, not md5:{}: it is removed, run again to fetch it anew".format(
            part, archive_of().digest, "0" * 32
        )
    )
    assert os.listdir(folder) == []


def test_absent_server(folder):
    url = "http://127.0.0.1:9/archive.tar"  # nothing listens there
    assert refusal(fetch_archive, archive_of(), folder, url=url) == (
        "a set did not come from {} (the connection failed or broke off): run again to go on at "
        "0.0 MB, or put the file "
        "at {} by hand (digest {})".format(
            url, os.path.join(folder, "archive.tar"), archive_of().digest
        )
    )
    assert os.listdir(folder) == []


def test_an_address_that_is_gone(server, folder):
    server.RequestHandlerClass = type(
        "Gone", (Handler,), {"do_HEAD": lambda self: self._head(404, 0)}
    )
    assert "(the server answers 404)" in refusal(
        fetch_archive, archive_of(), folder, url=server.url
    )


def test_an_unknown_digest_is_recorded_and_checked_afterwards(server, folder):
    path = fetch_archive(archive_of(digest=None), folder, url=server.url)
    with open(path + ".sha256") as file:
        assert file.read() == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}\n"
    fetch_archive(archive_of(digest=None), folder)
    with open(path, "ab") as file:
        file.write(b"changed")
    assert refusal(fetch_archive, archive_of(digest=None), folder).endswith("replace the file")


def test_a_second_download_of_one_archive_is_refused(server, folder):
    """Two would share one .part, and the digest of their mixture would be recorded."""
    server.pause, first = 0.2, []
    wanted = archive_of(digest=None)
    thread = threading.Thread(
        target=lambda: first.append(fetch_archive(wanted, folder, url=server.url))
    )
    thread.start()
    path = os.path.join(folder, "archive.tar")
    end = time.time() + 20
    while not os.path.exists(path + ".part") and time.time() < end:
        time.sleep(0.01)
    assert refusal(fetch_archive, wanted, folder, url=server.url) == (
        f"{path} is being written by process {os.getpid()}: wait for it, or give another place"
    )
    thread.join()
    assert first == [path] and open(path, "rb").read() == CONTENT
    assert open(path + ".sha256").read() == f"sha256:{hashlib.sha256(CONTENT).hexdigest()}\n"
    assert sorted(os.listdir(folder)) == ["archive.tar", "archive.tar.sha256"]


def make_tar(path, *members, mode="w"):
    """Members are (name, type, link target); files hold their own name."""
    with tarfile.open(str(path), mode) as opened:
        for name, kind, target in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            data = name.encode() if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    return str(path)


def plain(name):
    return name, tarfile.REGTYPE, ""


@pytest.mark.parametrize("file, mode", [("a.tar", "w"), ("a.tgz", "w:gz")])
def test_unpack_tar(tmp_path, folder, file, mode):
    archive = make_tar(
        tmp_path / file,
        plain("./top/one.txt"),
        plain("top/deep/two.txt"),
        ("top/link", tarfile.SYMTYPE, "deep/two.txt"),
        mode=mode,
    )
    assert unpack(archive, folder) == [os.path.join(folder, "top")]
    assert open(os.path.join(folder, "top", "link")).read() == "top/deep/two.txt"
    assert os.listdir(folder) == ["top"]


def test_unpack_zip(tmp_path, folder):
    path = str(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("top/one.txt", "one")
    assert unpack(path, folder) == [os.path.join(folder, "top")]
    assert open(os.path.join(folder, "top", "one.txt")).read() == "one"


@pytest.mark.parametrize(
    "members, named",
    [
        ([plain("/etc/evil")], "/etc/evil"),
        ([plain("good"), plain("../evil")], "../evil"),
        ([plain("top/../../evil")], "top/../../evil"),
        ([("top/link", tarfile.SYMTYPE, "../../outside")], "top/link"),
        ([("link", tarfile.SYMTYPE, "/etc")], "link"),
        ([("link", tarfile.LNKTYPE, "../outside")], "link"),
        ([("d", tarfile.SYMTYPE, "."), plain("d/evil")], "d/evil"),
        # a link inside, and a second one that climbs through it
        (
            [
                plain("p/q/file"),
                ("p/q/s", tarfile.SYMTYPE, "../.."),
                ("t", tarfile.SYMTYPE, "p/q/s/.."),
            ],
            "t",
        ),
    ],
)
def test_members_that_lead_out_are_refused(tmp_path, folder, members, named):
    archive = make_tar(tmp_path / "a.tar", *members)
    assert refusal(unpack, archive, folder) == (
        f"archive {archive} holds {named}, which leads out of its folder: do not use this archive"
    )
    assert os.listdir(folder) == []


def test_zip_members_that_lead_out_are_refused(tmp_path, folder):
    path = str(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("../evil", "evil")
    assert refusal(unpack, path, folder) == (
        f"archive {path} holds ../evil, which leads out of its folder: do not use this archive"
    )


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_refused(tmp_path, folder, kind):
    archive = make_tar(tmp_path / "a.tar", ("dev", kind, ""))
    assert (
        refusal(unpack, archive, folder)
        == f"archive {archive} holds a device, dev: do not use this archive"
    )
    assert os.listdir(folder) == []


@pytest.mark.parametrize("file, mode", [("a.tar", "w"), ("a.tgz", "w:gz")])
def test_cut_archive(tmp_path, folder, file, mode):
    archive = make_tar(tmp_path / file, *[plain(f"top/{i:0900d}") for i in range(20)], mode=mode)
    with open(archive, "rb+") as opened:
        opened.truncate(os.path.getsize(archive) // 3)
    text = refusal(unpack, archive, folder)
    assert text.startswith(f"archive {archive} is damaged (")
    assert text.endswith("): move it away and fetch it again")
    assert os.listdir(folder) == []


def bomb(path, size):
    """An archive of one file of zeros, thousands of times smaller than what it holds."""
    if path.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("top/zeros", bytes(size))
        return path
    with tarfile.open(path, "w:gz") as opened:
        info = tarfile.TarInfo("top/zeros")
        info.size = size
        opened.addfile(info, io.BytesIO(bytes(size)))
    return path


@pytest.mark.parametrize("file", ["a.tgz", "a.zip"])
def test_an_archive_larger_than_any_wanted_is_refused(tmp_path, folder, file, monkeypatch):
    path = bomb(str(tmp_path / file), 3_000_000)
    monkeypatch.setattr(download, "LARGEST", 3_010_000)
    assert unpack(path, folder) == [os.path.join(folder, "top")]
    shutil.rmtree(folder)
    monkeypatch.setattr(download, "LARGEST", 2_990_000)
    assert refusal(unpack, path, folder) == (
        f"archive {path} unpacks to more than 0.0 GB: do not use this archive"
    )
    assert os.listdir(folder) == []


def test_a_million_empty_files_are_as_much_as_a_large_one(tmp_path, folder, monkeypatch):
    path = make_tar(tmp_path / "a.tar", *[plain(f"top/{number}") for number in range(300)])
    monkeypatch.setattr(download, "LARGEST", 1_000_000)
    assert "unpacks to more than" in refusal(unpack, path, folder)


def test_rights_and_owners_are_not_taken_over(tmp_path, folder):
    path = str(tmp_path / "a.tar")
    with tarfile.open(path, "w") as opened:
        for name, kind, mode in (("top", tarfile.DIRTYPE, 0o2777), ("top/x", b"0", 0o6777)):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid, info.uname = (
                kind,
                mode,
                12345,
                12345,
                "daemon",
            )
            opened.addfile(info, io.BytesIO())
    unpack(path, folder)
    found = [os.stat(os.path.join(folder, name)) for name in ("top", "top/x")]
    assert [oct(one.st_mode & 0o7777) for one in found] == ["0o755", "0o644"]
    assert {(one.st_uid, one.st_gid) for one in found} == {(os.getuid(), os.getgid())}


@pytest.mark.parametrize("file", ["a.tgz", "a.zip"])
def test_checksums_are_read(tmp_path, folder, file):
    """A .tgz has one of all at its end, which the members alone do not need."""
    path = bomb(str(tmp_path / file), 20_000)
    with open(path, "rb") as opened:
        content = bytearray(opened.read())
    place = len(content) - 8 if file == "a.tgz" else 14
    content[place] ^= 1
    if file == "a.zip":
        at = content.index(b"PK\x01\x02") + 16
        content[at] ^= 1
    (tmp_path / file).write_bytes(content)
    assert refusal(unpack, path, folder).startswith(f"archive {path} is damaged (")
    assert os.listdir(folder) == []


def test_a_locked_zip(tmp_path, folder):
    path = bomb(str(tmp_path / "a.zip"), 100)
    with open(path, "rb") as opened:
        content = bytearray(opened.read())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert "encrypted" in refusal(unpack, path, folder)


@pytest.mark.parametrize("file", ["a.tar", "a.tgz", "a.zip"])
def test_page_of_text_instead_of_an_archive(tmp_path, folder, file):
    (tmp_path / file).write_text("<html>not here</html>")
    assert refusal(unpack, str(tmp_path / file), folder).startswith(
        f"archive {tmp_path / file} is damaged ("
    )


def test_absent_archive(tmp_path, folder):
    path = str(tmp_path / "a.tar")
    assert refusal(unpack, path, folder) == f"archive {path} does not exist: fetch it first"


def test_what_exists_is_not_overwritten(tmp_path, folder):
    os.makedirs(os.path.join(folder, "top"))
    archive = make_tar(tmp_path / "a.tar", plain("top/one.txt"))
    assert refusal(
        unpack, archive, folder
    ) == "{} exists already: move it away to unpack the archive anew".format(
        os.path.join(folder, "top")
    )
    assert os.listdir(os.path.join(folder, "top")) == [] and os.listdir(folder) == ["top"]


def test_fetch_voc_downloads_once(server, tmp_path, folder):
    make_tiny_voc(tmp_path / "VOCdevkit" / "VOC2012")
    packed = str(tmp_path / "voc.tar")
    with tarfile.open(packed, "w") as opened:
        opened.add(str(tmp_path / "VOCdevkit"), arcname="VOCdevkit")
    server.content = open(packed, "rb").read()
    archive = Archive(
        "tiny VOC", server.url, "voc.tar", "md5:" + hashlib.md5(server.content).hexdigest()
    )
    root = fetch_voc(folder, archive=archive)
    assert root == os.path.join(folder, "VOCdevkit", "VOC2012") and "JPEGImages" in os.listdir(root)
    assert fetch_voc(folder, archive=archive) == root and server.asked == ["HEAD", "GET"]


def test_fetch_sbd_uses_an_archive_put_by_hand(tmp_path, folder):
    os.makedirs(folder)
    packed = make_tar(
        os.path.join(folder, "sbd.tgz"), plain("benchmark_RELEASE/dataset/train.txt"), mode="w:gz"
    )
    digest = "md5:" + hashlib.md5(open(packed, "rb").read()).hexdigest()
    root = fetch_sbd(folder, archive=Archive("tiny SBD", "http://127.0.0.1:9/", "sbd.tgz", digest))
    assert os.path.isfile(os.path.join(root, "dataset", "train.txt"))
