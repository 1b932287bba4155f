"""The workbook's own data set, drawn scenes with six of VOC's classes: unpacks data/sample.zip.

data/painter drew it; with the same Pillow and numpy it draws the same bytes again.
"""

import hashlib
import io
import os
import shutil
import zipfile

from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.files import ROOT, beside
from deeplab_nb.processes import alone_in

ARCHIVE = os.path.join(ROOT, "data", "sample.zip")
SHA256 = "ed28a224fd18414a69a49cfd63e0152e675645c10da83ee1a7af35a5566f40f8"
MARKER = "sample.json"  # version, seed and counts of the drawings


def make_sample(root):
    """Unpacks the drawn sample in VOC's layout into `root`, unless it is there; returns `root`.

    Built beside as ROOT.part and renamed when complete; a second process waits meanwhile. A sample
    that is older or lacks a file is replaced. Raises WorkbookError if `root` holds anything but a
    sample, if the archive is damaged, and where the folder cannot be written.
    """
    target = os.path.realpath(root)
    with writing(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with alone_in(os.path.dirname(target)), _archive() as archive:
            if not _is_there(target, archive):
                _unpack(archive, target)
    return root


def _archive():
    """The archive, whose digest vouches for all that is in it, names included."""
    content = b""
    if os.path.isfile(ARCHIVE):
        with open(ARCHIVE, "rb") as file:
            content = file.read()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise WorkbookError(
            f"{ARCHIVE} is missing or damaged: `git checkout data/sample.zip` brings it back"
        )
    return zipfile.ZipFile(io.BytesIO(content))


def _is_there(root, archive):
    if not all(os.path.isfile(os.path.join(root, name)) for name in archive.namelist()):
        return False
    with open(os.path.join(root, MARKER), "rb") as file:
        return file.read() == archive.read(MARKER)


def _unpack(archive, target):
    for folder in (target, target + ".part"):
        _refuse_foreign(folder, archive)
    with beside(target) as part:
        # the marker first, so that what an interruption leaves is known for a sample
        archive.extract(MARKER, part)
        archive.extractall(part)
        shutil.rmtree(target, ignore_errors=True)


def _refuse_foreign(root, archive):
    """Raises WorkbookError if replacing the folder would delete a file that no sample holds."""
    found = {
        os.path.relpath(os.path.join(folder, name), root)
        for folder, _, names in os.walk(root)
        for name in names
    }
    foreign = found.difference(archive.namelist() if MARKER in found else ())
    if foreign:
        raise WorkbookError(
            f"{root} holds something else than a drawn sample, {min(foreign)}: "
            "move it away or name another folder"
        )
