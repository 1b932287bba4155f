"""Files and folders that are whole or absent, and where the project's own folders are."""

import contextlib
import json
import math
import os
import re
import shutil
from pathlib import Path

from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.processes import alone_at

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTEBOOKS = os.path.join(ROOT, "notebooks")
RUNS = os.path.join(ROOT, "papermill_runs")
DEEPEST = 100  # brackets within brackets: none of whoever writes these files needs as many
_TOKENS = re.compile(  # of JSON: texts, brackets, numbers
    r'"(?:[^"\\]+|\\.)*"?|[][{}]|-?(?:NaN|Infinity|\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)', re.DOTALL
)
MARK = "deeplab_nb"  # the text in a PNG that says what it was made by


def mark_of(path):
    """What a PNG of ours says that it was made by and from; None for any other file."""
    from PIL import Image  # heavy, and most commands write no picture

    try:
        with Image.open(path) as image:
            return image.info.get(MARK)
    except Exception:  # of many kinds: whatever cannot be read is not ours
        return None


def refuse_over(paths, *, inputs=(), ours=mark_of, overwrite=False):
    """Raises WorkbookError if writing these files loses what a command did not make itself.

    inputs: files that the command reads: never written over. ours: says of a file whether an
    earlier command made it; any other that exists needs `overwrite`, the option --overwrite.
    """
    read = {_identity(path): path for path in inputs if os.path.exists(path)}
    for path in paths:
        above = os.path.dirname(os.path.abspath(path))
        while not os.path.exists(above):
            above = os.path.dirname(above)
        if not os.path.isdir(above):
            raise WorkbookError(f"{above} is a file and no folder: give another place for results")
        if not os.path.lexists(path):
            continue
        if os.path.exists(path) and _identity(path) in read:
            raise WorkbookError(
                f"{path} would be written over, and it is read: give another folder for results"
            )
        if os.path.isdir(path) or not (overwrite or ours(path)):
            raise WorkbookError(
                f"{path} exists and no earlier command like this one made it: give another place "
                "for results" + ("" if os.path.isdir(path) else ", or --overwrite to replace it")
            )


def _identity(path):
    """Equal for one file under several names."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


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


def read_json(path, **how):
    """What a file of JSON holds. Raises OSError; how, ValueError: as for `parse_json`."""
    with open(path, "rb") as file:
        content = file.read()
    try:
        return parse_json(content.decode("utf-8-sig"), **how)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text: line {1 + content.count(10, 0, error.start)}")


def parse_json(text, *, finite=True, **how):
    """The value of a text of JSON. finite: refuse NaN and Infinity, which Python writes.

    how: of `json.loads`. Raises ValueError, with the line, for what is no JSON, a number that no
    float64 holds, or brackets nested so deeply that Python could not follow.
    """
    try:
        depth = 0
        for token in _TOKENS.finditer(text):
            word, place = token.group(), token.start()
            depth += (word in "[{") - (word in "]}")
            if depth > DEEPEST:
                reason = f"maximum recursion depth of {DEEPEST} exceeded"
                raise json.JSONDecodeError(reason, text, place)
            number = word[0] not in '"[]{}' and (finite or word[-1].isdigit())
            if number and not math.isfinite(float(word)):
                raise json.JSONDecodeError(f"{word[:20]} is no number", text, place)
        return json.loads(text, **how)
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg}: line {error.lineno}")


def write_json(path, values):
    """Writes values as JSON, as `write_text` does."""
    return write_text(path, json.dumps(values, indent=2) + "\n")


def write_text(path, text):
    """Writes a text beside, then renames, unless it is there already; returns the path."""
    if os.path.isfile(path) and Path(path).read_bytes() == text.encode():
        return path
    with beside(path) as part, open(part, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def write_lines(path, lines):
    """As `write_text`, a line each."""
    return write_text(path, "".join(f"{line}\n" for line in lines))
