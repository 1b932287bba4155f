"""Downloads with a digest, resumed where they broke off, and unpacking that stays inside its folder.

Whatever cannot be downloaded can be put in place by hand: a file with the right digest is used as it is.
"""
import dataclasses
import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from typing import Optional

import pooch
import requests

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.progress import progress

SECONDS_WITHOUT_DATA = 30
IDENTITY = {"Accept-Encoding": "identity"}  # a server that unpacks .tgz on the way would change the digest


@dataclasses.dataclass(frozen=True)
class Archive:
    """Something to download. `digest` is 'algorithm:hex'; None records the first download's beside the file."""
    name: str
    url: str
    file: str
    digest: Optional[str]


VOC2012 = Archive(
    name="PASCAL VOC 2012 train/val", file="VOCtrainval_11-May-2012.tar",
    url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    digest="md5:6cd6e144f989b92b3379bac3b3de84fd")
SBD = Archive(
    name="Semantic Boundaries Dataset", file="benchmark.tgz",
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
    digest="md5:82b4d87ceb2ed10f6038a1cba92111cb")


def fetch_archive(archive, folder, *, url=None):
    """Path of the archive's file in `folder`, downloaded unless it lies there, its digest checked.

    Raises WorkbookError where the server is not reachable or breaks off (what came is kept and resumed),
    and where the digest is wrong.
    """
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, archive.file)
    if os.path.exists(path):
        _check_digest(archive, path, path)
        return path
    part = path + ".part"
    try:
        _transfer(archive, url or archive.url, part)
    except requests.RequestException as error:
        raise WorkbookError("{} did not come from {} ({}): run again to go on at {:.1f} MB, or put the file at {} "
                            "by hand (digest {})".format(archive.name, url or archive.url, _reason(error), _size(part) / 1e6,
                                                         path, known_digest(archive, folder) or "not known"))
    except OSError as error:
        raise WorkbookError("{} cannot be written ({}): make room in {} and run again".format(part, error.strerror, folder))
    try:
        _check_digest(archive, part, path)
    except WorkbookError:
        os.remove(part)
        raise
    os.replace(part, path)
    return path


def known_digest(archive, folder):
    """The archive's digest, or the one recorded in `folder` at its first download; None before that."""
    recorded = _record_path(archive, folder)
    if archive.digest is not None or not os.path.exists(recorded):
        return archive.digest
    with open(recorded) as file:
        return file.read().strip() or None


def forget_digest(archive, folder):
    """Drops the recorded digest of a download that proved wrong, or it would refuse the right one."""
    if os.path.exists(_record_path(archive, folder)):
        os.remove(_record_path(archive, folder))


def unpack(archive_path, folder):
    """Unpacks a .tar, .tgz or .zip into `folder`; returns the paths of its top-level entries.

    Everything is unpacked beside first and moved when complete. Raises WorkbookError for a damaged
    archive, for a member that would leave the folder, and for a top-level entry that exists already.
    """
    os.makedirs(folder, exist_ok=True)
    beside = os.path.join(folder, os.path.basename(archive_path) + ".unpacked.part")
    shutil.rmtree(beside, ignore_errors=True)  # left by a process that was killed
    try:
        with _open(archive_path) as opened:
            members = opened.infolist() if isinstance(opened, zipfile.ZipFile) else opened.getmembers()
            _check_members(archive_path, members)
            opened.extractall(beside, progress(members, label="unpack " + os.path.basename(archive_path), unit="file"))
        return _move_entries(beside, folder)
    except _DAMAGE as error:
        raise _damaged(archive_path, error)
    except OSError as error:
        if error.errno is None:  # gzip's own complaints
            raise _damaged(archive_path, error)
        raise WorkbookError("archive {} cannot be unpacked into {} ({}): make room there and run again".format(
            archive_path, folder, error.strerror))
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def fetch_voc(data_folder, *, archive=VOC2012):
    """VOC2012 folder under `data_folder`, downloaded and unpacked (2 GB) unless it is there."""
    root = os.path.join(data_folder, "VOCdevkit", "VOC2012")
    if not os.path.isdir(root):
        unpack(fetch_archive(archive, data_folder), data_folder)
    return voc.check_root(root)


def fetch_sbd(data_folder, *, archive=SBD):
    """SBD's folder benchmark_RELEASE under `data_folder`, downloaded and unpacked (1.4 GB) unless it is there."""
    root = os.path.join(data_folder, "benchmark_RELEASE")
    if not os.path.isdir(root):
        unpack(fetch_archive(archive, data_folder), data_folder)
    return root


def _transfer(archive, url, part):
    """Brings `part` to the server's size, from where an earlier transfer ended if the server can."""
    head = requests.head(url, headers=IDENTITY, allow_redirects=True, timeout=SECONDS_WITHOUT_DATA)
    head.raise_for_status()
    total = int(head.headers.get("content-length", 0))
    have = _size(part)
    if total and have == total:
        return
    if have > total or head.headers.get("accept-ranges") != "bytes":
        have = 0
    headers = dict(IDENTITY, Range="bytes={}-".format(have)) if have else IDENTITY
    with open(part, "ab" if have else "wb") as file, progress(label=archive.name, total=total - have, unit="B") as bar:
        bar.unit_scale = True
        pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=SECONDS_WITHOUT_DATA,
                             headers=headers)(url, file, None)
    if _size(part) < total:
        raise requests.ConnectionError("connection closed early")


def _size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def _reason(error):
    if error.response is not None:
        return "the server answers {}".format(error.response.status_code)
    return "the connection failed or broke off"


def _check_digest(archive, path, final_path):
    """Compares with the archive's digest, or with the one recorded beside `final_path`, which is made if missing."""
    folder = os.path.dirname(final_path)
    expected = known_digest(archive, folder)
    algorithm = expected.split(":")[0] if expected else "sha256"
    found = "{}:{}".format(algorithm, pooch.file_hash(path, alg=algorithm))
    if expected is None:
        with open(_record_path(archive, folder), "w") as file:
            file.write(found + "\n")
    elif found != expected:
        remedy = "replace the file" if path == final_path else "it is removed, run again to fetch it anew"
        raise WorkbookError("{} has digest {}, not {}: {}".format(path, found, expected, remedy))


def _record_path(archive, folder):
    return os.path.join(folder, archive.file + ".sha256")


def _open(archive_path):
    if not os.path.isfile(archive_path):
        raise WorkbookError("archive {} does not exist: fetch it first".format(archive_path))
    return zipfile.ZipFile(archive_path) if archive_path.endswith(".zip") else tarfile.open(archive_path)


_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError)


def _damaged(archive_path, error):
    return WorkbookError("archive {} is damaged ({}): delete it and fetch it again".format(archive_path, error))


def _check_members(archive_path, members):
    """Refuses what would be written, or point, outside the folder; tarfile of Python 3.7 does not."""
    links = {posixpath.normpath(member.name) for member in members if _target(member) is not None}
    for member in members:
        name = _name(member)
        if isinstance(member, tarfile.TarInfo) and not (
                member.isreg() or member.isdir() or member.issym() or member.islnk()):
            raise WorkbookError("archive {} holds a device, {}: do not use this archive".format(archive_path, name))
        for path in (name, _target(member)):
            if path is not None and _leaves(path, links):
                raise WorkbookError("archive {} holds {}, which leads out of its folder: do not use this archive".format(
                    archive_path, name))


def _name(member):
    return member.name if isinstance(member, tarfile.TarInfo) else member.filename


def _target(member):
    """Where a link points, from the archive's top; None for anything but a link."""
    if not isinstance(member, tarfile.TarInfo) or not (member.issym() or member.islnk()):
        return None
    if member.islnk() or member.linkname.startswith("/"):
        return member.linkname
    return posixpath.join(posixpath.dirname(member.name), member.linkname)


def _leaves(path, links):
    """Whether a path is absolute, climbs above the top, or goes on through a link of the archive."""
    steps = []
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for number, part in enumerate(parts):
        if part == ".." and not steps:
            return True
        steps = steps[:-1] if part == ".." else steps + [part]
        if "/".join(steps) in links and number < len(parts) - 1:
            return True
    return path.startswith("/")


def _move_entries(beside, folder):
    names = sorted(os.listdir(beside))
    for name in names:
        if os.path.lexists(os.path.join(folder, name)):
            raise WorkbookError("{} exists already: move it away to unpack the archive anew".format(
                os.path.join(folder, name)))
    for name in names:
        os.rename(os.path.join(beside, name), os.path.join(folder, name))
    return [os.path.join(folder, name) for name in names]
