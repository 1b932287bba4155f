"""Archives as a host of checkpoints has them, as bytes."""

import io
import tarfile


def packed(folder, inside="another_name/deeper"):
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
            opened.add(folder, arcname=inside)
        return buffer.getvalue()


def packed_file(name):
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
            opened.addfile(tarfile.TarInfo(name), io.BytesIO())
        return buffer.getvalue()
