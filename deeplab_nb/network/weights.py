"""Downloads a published checkpoint and makes sure that it is the one it should be."""

import os
import shutil

from deeplab_nb.data import download
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import zoo
from deeplab_nb.network.checkpoints import find_checkpoint, newest_checkpoint
from deeplab_nb.network.described import outline
from deeplab_nb.processes import alone_at


def fetch_weights(name, folder, *, base=zoo.BASE):
    """Prefix of the published checkpoint in `folder`/NAME, downloaded unless that is there.

    The archive stays beside it. Raises WorkbookError for an unknown name, a failed download, a
    wrong digest, an archive that is damaged or climbs out of its folder, and one that holds no
    checkpoint or another one.
    """
    row = zoo.get(name)
    target = os.path.join(folder, name)
    if not os.path.exists(target):
        archive = archive_of(row, base=base)
        with alone_at(target):
            path = download.fetch_archive(archive, folder)
            try:
                _unpack_as(target, path, row)
            except WorkbookError:
                download.forget_digest(archive, folder)
                raise
    return find_checkpoint(target)


def archive_of(row, *, base=zoo.BASE):
    return download.Archive(name=row.name, url=base + row.file, file=row.file, digest=row.digest)


def contents(prefix):
    """What a checkpoint holds, such as 'mobilenet_v2 of width 0.5, 21 classes'."""
    found = outline(prefix)
    if found["backbone"] is None:
        return "a network that is not known here"
    width, classes = found["depth_multiplier"], found["num_classes"]
    head = [part for part in ("aspp", "decoder") if found[part]]
    head += [f"{classes} classes"] if classes else []
    backbone = found["backbone"] + (f" of width {width:g}" if width != 1 else "")
    return ", ".join([backbone] + (head or ["backbone only"]))


def _unpack_as(target, archive_path, row):
    """Makes the archive's folder with the checkpoint `target`, only if it is the right one."""
    beside = target + ".part"
    shutil.rmtree(beside, ignore_errors=True)  # left by a process that was killed
    try:
        download.unpack(archive_path, beside)
        prefix = _checkpoint_in(beside, archive_path)
        wrong = misfit(prefix, row)
        if wrong:
            raise WorkbookError(
                f"archive {archive_path} does not hold {row.name}: {wrong}; "
                "move it away and fetch it again"
            )
        os.rename(os.path.dirname(prefix), target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _checkpoint_in(folder, archive_path):
    prefixes = [newest_checkpoint(path) for path, _, _ in os.walk(folder)]
    prefix = next(filter(None, prefixes), None)
    if prefix is None:
        raise WorkbookError(
            f"archive {archive_path} holds no checkpoint: move it away and fetch it again"
        )
    return prefix


def misfit(prefix, row):
    """Why a checkpoint cannot be the published one; '' if it can."""
    found = outline(prefix)
    wrong = [
        f"its {name} is {found[name]}, not {value}"
        for name, value in row.holds.items()
        if found[name] != value
    ]
    return wrong[0] if wrong else ""
