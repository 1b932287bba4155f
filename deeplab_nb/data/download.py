"""Downloads with a digest, resumed where they broke off, and unpacking within a folder.

What cannot be downloaded can be put in place by hand: a file with the right digest is used.
"""

import collections
import contextlib
import dataclasses
import os
import posixpath
import tarfile
import zipfile
from typing import Optional

import pooch
import requests

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import beside, write_lines
from deeplab_nb.progress import progress

SECONDS_WITHOUT_DATA = 30
LARGEST = 4_000_000_000  # bytes that an archive unpacks to; VOC 2012, the largest here, has 2e9
# a server that unpacks .tgz on the way would change the digest
IDENTITY = {"Accept-Encoding": "identity"}


@dataclasses.dataclass(frozen=True)
class Archive:
    """Something to download; digest: 'algorithm:hex', or None, which records the first one's."""

    name: str
    url: str
    file: str
    digest: Optional[str]


VOC2012 = Archive(
    name="PASCAL VOC 2012 train/val",
    file="VOCtrainval_11-May-2012.tar",
    url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
    digest="md5:6cd6e144f989b92b3379bac3b3de84fd",
)
SBD = Archive(
    name="Semantic Boundaries Dataset",
    file="benchmark.tgz",
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/"
    "semantic_contours/benchmark.tgz",
    digest="md5:82b4d87ceb2ed10f6038a1cba92111cb",
)


def fetch_archive(archive, folder, *, url=None):
    """Path of the archive's file in `folder`, downloaded unless it lies there, its digest checked.

    Raises WorkbookError where the server is not reachable or breaks off (what came is kept and
    resumed), where the digest is wrong, and while another process brings the same archive.
    """
    path, url = os.path.join(folder, archive.file), url or archive.url
    if os.path.exists(path):
        _check_digest(archive, path, folder, "replace the file")
        return path
    with beside(path, resumed=True) as part:
        try:
            _transfer(archive, url, part)
        except requests.RequestException as error:
            digest = known_digest(archive, folder) or "not known"
            raise WorkbookError(
                f"{archive.name} did not come from {url} ({_reason(error)}): run again to go on at "
                f"{_size(part) / 1e6:.1f} MB, or put the file at {path} by hand (digest {digest})"
            )
        try:
            _check_digest(archive, part, folder, "it is removed, run again to fetch it anew")
        except WorkbookError:
            os.remove(part)
            raise
    return path


def known_digest(archive, folder):
    """The archive's digest, or the one recorded in `folder` at its first download, or None."""
    recorded = _record_path(archive, folder)
    if archive.digest is not None or not os.path.exists(recorded):
        return archive.digest
    with open(recorded, errors="replace") as file:
        return file.read().strip() or None


def forget_digest(archive, folder):
    """Drops the recorded digest of a wrong download, or it would refuse the right one."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(_record_path(archive, folder))


def unpack(archive_path, folder):
    """Unpacks a .tar, .tgz or .zip into `folder`; returns the paths of its top-level entries.

    Everything is unpacked beside first and moved when complete, with ordinary rights.
    Raises WorkbookError for a damaged archive, one of more than LARGEST bytes, for a member that
    would leave the folder, for a top-level entry that exists, and while another process unpacks it.
    """
    if not os.path.isfile(archive_path):
        raise WorkbookError(f"archive {archive_path} does not exist: fetch it first")
    name = os.path.basename(archive_path)
    scratch = os.path.join(folder, name + ".unpacked")
    is_zip = archive_path.endswith(".zip")
    with beside(scratch) as part:
        os.mkdir(part)
        try:
            with (zipfile.ZipFile if is_zip else tarfile.open)(archive_path) as opened:
                members = _small(archive_path, opened.infolist() if is_zip else opened)
                _check_members(archive_path, members)
                if not is_zip:  # a .tgz has its checksum at the very end; zip's are by member
                    collections.deque(iter(lambda: opened.fileobj.read(1 << 20), b""), maxlen=0)
                opened.extractall(part, progress(members, label="unpack " + name, unit="file"))
        except Exception as error:  # of many kinds; gzip complains with a plain OSError
            if isinstance(error, WorkbookError) or getattr(error, "errno", None):
                raise
            raise WorkbookError(
                f"archive {archive_path} is damaged ({error}): move it away and fetch it again"
            )
        paths = _move_entries(part, folder)
    os.rmdir(scratch)
    return paths


def fetch_voc(data_folder, *, archive=VOC2012):
    """VOC2012 folder under `data_folder`, downloaded and unpacked (2 GB) unless it is there."""
    return voc.check_root(_fetch(archive, data_folder, os.path.join("VOCdevkit", "VOC2012")))


def fetch_sbd(data_folder, *, archive=SBD):
    """SBD's folder benchmark_RELEASE, downloaded and unpacked (1.4 GB) unless it is there."""
    return _fetch(archive, data_folder, "benchmark_RELEASE")


def _fetch(archive, data_folder, name):
    root = os.path.join(data_folder, name)
    if not os.path.isdir(root):
        unpack(fetch_archive(archive, data_folder), data_folder)
    return root


def _transfer(archive, url, part):
    """Brings `part` to the server's size, from where it ended before if the server can."""
    head = requests.head(url, headers=IDENTITY, allow_redirects=True, timeout=SECONDS_WITHOUT_DATA)
    head.raise_for_status()
    total, have = int(head.headers.get("content-length", 0)), _size(part)
    if total and have == total:
        return
    if have > total or head.headers.get("accept-ranges") != "bytes":
        have = 0
    headers = dict(IDENTITY, Range=f"bytes={have}-") if have else IDENTITY
    with open(part, "ab" if have else "wb") as file, progress(
        label=archive.name, total=total - have, unit="B"
    ) as bar:
        bar.unit_scale = True
        pooch.HTTPDownloader(
            progressbar=bar, chunk_size=1 << 16, timeout=SECONDS_WITHOUT_DATA, headers=headers
        )(url, file, None)
    if _size(part) < total:
        raise requests.ConnectionError("connection closed early")


def _size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def _reason(error):
    if error.response is not None:
        return f"the server answers {error.response.status_code}"
    return "the connection failed or broke off"


def _check_digest(archive, path, folder, remedy):
    """Compares with the known digest; without one, records that of this file in `folder`."""
    expected = known_digest(archive, folder)
    algorithm = (expected or "sha256:").split(":")[0]
    found = f"{algorithm}:{pooch.file_hash(path, alg=algorithm)}"
    if expected is None:
        write_lines(_record_path(archive, folder), [found])
    elif found != expected:
        source = "" if archive.digest else f", which {_record_path(archive, folder)} says"
        raise WorkbookError(f"{path} has digest {found}, not {expected}{source}: {remedy}")


def _record_path(archive, folder):
    return os.path.join(folder, archive.file + ".sha256")


def _small(archive_path, members):
    """The members, their rights and owners dropped; the sizes are added up before any is written.

    Raises WorkbookError for more than LARGEST bytes.
    """
    found, total = [], 0
    for member in members:
        size = getattr(member, "file_size", None)
        if size is None:
            size, member.mode = member.size, 0o755 if member.isdir() else 0o644
            member.uid, member.gid, member.uname, member.gname = os.getuid(), os.getgid(), "", ""
        found.append(member)
        total += max(size, 0) + 4096  # a block of the disk for the empty ones
        if total > LARGEST:
            raise WorkbookError(
                f"archive {archive_path} unpacks to more than {LARGEST / 1e9:.1f} GB: do not use "
                "this archive"
            )
    return found


def _check_members(archive_path, members):
    """Refuses what would be written, or point, outside the folder; tarfile of 3.7 does not."""
    entries = [_entry(member) for member in members]
    links = {posixpath.normpath(name) for name, target in entries if target is not None}
    for member, (name, target) in zip(members, entries):
        if isinstance(member, tarfile.TarInfo) and member.isdev():
            raise WorkbookError(
                f"archive {archive_path} holds a device, {name}: do not use this archive"
            )
        if _leaves(name, links) or target is not None and _leaves(target, links):
            raise WorkbookError(
                f"archive {archive_path} holds {name}, which leads out of its "
                "folder: do not use this archive"
            )


def _entry(member):
    """(name, where a link points from the archive's top, None for anything but a link)."""
    if isinstance(member, zipfile.ZipInfo):
        return member.filename, None
    if member.issym():  # from its own folder, unless it begins with a slash
        return member.name, posixpath.join(posixpath.dirname(member.name), member.linkname)
    return member.name, member.linkname if member.islnk() else None


def _leaves(path, links):
    """Whether a path is absolute, climbs above the top, or goes on through one of the links."""
    parts = path.split("/")
    above = {posixpath.normpath("/".join(parts[:end])) for end in range(1, len(parts))}
    climbs = posixpath.normpath(path).split("/")[0] in ("", "..")
    return climbs or bool(above & links)


def _move_entries(part, folder):
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(part))]
    for path in paths:
        if os.path.lexists(path):
            raise WorkbookError(f"{path} exists already: move it away to unpack the archive anew")
    for path in paths:
        os.rename(os.path.join(part, os.path.basename(path)), path)
    return paths
