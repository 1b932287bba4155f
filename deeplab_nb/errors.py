"""The one exception that stands for bad input or a bad machine state."""

import contextlib
import errno
import os
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class WorkbookError(Exception):
    """One sentence for a person: which file or value is wrong, and the remedy.

    The command line prints it without a stack trace and ends with exit code 1. It is one line of
    at most 2000 letters, for what is quoted from a file may hold any, and as many.
    """

    def __init__(self, sentence):
        line = _CONTROL.sub(lambda found: ascii(found.group())[1:-1], sentence)
        super().__init__(line if len(line) < 2000 else f"{line[:1400]} ... {line[-500:]}")


@contextlib.contextmanager
def writing(place):
    """Says in a sentence what the file system refuses, such as room or rights.

    place: file or folder that is named where the error names none. A reader that has gone, as
    behind a pipe, is no matter for a sentence.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except Exception as error:
        why = _refusal(error)
        if why is None:
            raise
        names = [getattr(error, name, None) for name in ("filename2", "filename")]
        place = next(filter(None, names), place)
        raise WorkbookError(
            f"{place} cannot be read or written ({why}): make room on its disk, mend the rights "
            f"of {os.path.dirname(os.path.abspath(place))}, or give another place"
        )


_REFUSED = [
    os.strerror(getattr(errno, name))
    for name in "ENOSPC EDQUOT EFBIG EROFS EACCES EPERM ENOTDIR EISDIR ENAMETOOLONG EIO".split()
]


def _refusal(error):
    """The file system's words within an error, TensorFlow's included; None if there are none."""
    said = getattr(error, "strerror", None) or str(error).split("\n")[0]
    if isinstance(error, FileExistsError):
        return "what stands there is no folder"
    if isinstance(error, OSError):
        return said
    tensorflow = hasattr(error, "error_code")
    return next((words for words in _REFUSED if tensorflow and words in said), None)
