"""Files and folders that are whole or absent, and where the project's own folders are."""

import contextlib
import json
import math
import os
import re
import shutil

from PIL import Image

from deeplab_nb.errors import WorkbookError

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
def beside(path):
    """A name to write a file or folder under: renamed to `path` when whole, gone after an error.

    Makes the folder that `path` lies in. A folder replaces none but an empty one.
    """
    path = os.path.abspath(path)
    part = path + ".part"
    os.makedirs(os.path.dirname(part), exist_ok=True)
    shutil.rmtree(part, ignore_errors=True)  # left by a process that was killed
    try:
        yield part
        os.replace(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.remove(part)


def read_json(path, remedy, **how):
    """What a file of JSON holds; `parse_json` says how. Raises FileNotFoundError without it."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WorkbookError(f"{path} cannot be read ({error.strerror}): {remedy}")
    return parse_json(content, path, remedy, **how)


def parse_json(content, path, remedy, *, line=1, finite=True, **how):
    """The value of bytes that hold JSON, with a byte order mark or without.

    path, line: where they stand; remedy: the end of a refusal; finite: refuse NaN and numbers that
    no float64 holds; how: of `json.loads`. Raises WorkbookError with file and line for whatever is
    not UTF-8, no JSON, or nested so deeply that Python could not follow.
    """
    try:
        text = content.decode("utf-8-sig")
        _check_json(text, finite)
        return json.loads(text, **how)
    except UnicodeDecodeError as error:
        why, place = "not UTF-8 text", content.count(b"\n", 0, error.start)
    except json.JSONDecodeError as error:
        why, place = error.msg, error.lineno - 1
    raise WorkbookError(f"{path} is no JSON ({why}, line {line + place}): {remedy}")


def _check_json(text, finite):
    depth = 0
    for token in _TOKENS.finditer(text):
        word = token.group()
        depth += (word in "[{") - (word in "]}")
        if depth > DEEPEST:
            raise json.JSONDecodeError(f"nested more than {DEEPEST} deep", text, token.start())
        if finite and word[0] not in '"[]{}' and not math.isfinite(float(word)):
            raise json.JSONDecodeError(f"{word[:20]} is no number", text, token.start())


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
