"""The one exception that stands for bad input or a bad machine state, and words for it."""

import contextlib
import difflib
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


def nearest(name, names):
    """', did you mean X?' for the closest of `names`, '' if none is close."""
    close = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f", did you mean '{close[0]}'?" if close else ""


def one_of(names, name, what):
    """The place of a name among `names`. Raises WorkbookError for an unknown one.

    what: they are, such as 'recipe'.
    """
    if name not in names:
        raise WorkbookError(
            f"unknown {what} '{name}'{nearest(name, names)}; there are {', '.join(names)}"
        )
    return names.index(name)


class LeftOut(list):
    """Sentences about what could not be read in files that are right otherwise.

    strict: the first is raised as a WorkbookError instead.
    """

    def __init__(self, strict=False):
        super().__init__()
        self.strict = strict

    @contextlib.contextmanager
    def unless(self, what, value):
        """For a block that reads a value, what it is; after an error, it goes on behind that."""
        try:
            yield
        except WorkbookError:
            raise
        except Exception as error:  # of many kinds, for a file may hold anything
            said = f"{what} ({value!r:.80}) cannot be read ({type(error).__name__}: {error})"
            if self.strict:
                raise WorkbookError(f"{said}: mend it, or convert without --strict")
            self.append(said)


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
