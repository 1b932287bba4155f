"""Files and folders that are whole or absent, and where the project's own folders are."""

import contextlib
import json
import os
import shutil

from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.processes import alone_at

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTEBOOKS = os.path.join(ROOT, "notebooks")
RUNS = os.path.join(ROOT, "papermill_runs")


@contextlib.contextmanager
def beside(path, *, resumed=False):
    """A name to write a file or folder under: renamed to `path` when whole, gone after an error.

    Makes the folder that `path` lies in. A folder replaces none but an empty one. resumed: what an
    earlier process left under the name stays, and so does what an error leaves.
    Raises WorkbookError where nothing can be written, and while another process writes `path`.
    """
    path = os.path.abspath(path)
    part = path + ".part"
    if os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path)):
        raise WorkbookError(f"{path} is a device or a pipe: name a file")
    with writing(path), alone_at(path):
        if not resumed:
            _remove(part)  # left by a process that was killed
        try:
            yield part
            os.replace(part, path)
        finally:
            if not resumed:
                _remove(part)


def _remove(part):
    shutil.rmtree(part, ignore_errors=True)
    with contextlib.suppress(OSError):
        os.remove(part)


def write_json(path, values):
    """Writes values as JSON, as `write_text` does."""
    return write_text(path, json.dumps(values, indent=2) + "\n")


def write_text(path, text):
    """Writes a text beside, then renames; returns the path."""
    with beside(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def write_lines(path, lines):
    """As `write_text`, a line each."""
    return write_text(path, "".join(f"{line}\n" for line in lines))
