"""What all notebooks use: mistakes shown as lessons, exercises with a check, a photograph."""

import collections
import contextlib
import copy
import importlib
import inspect
import textwrap
from typing import Callable, NamedTuple, Optional, Sequence

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.data.sample import make_sample
from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import Settings, resolve


@contextlib.contextmanager
def refusal():
    """Shows the sentence with which the block is refused; it is a fault if nothing is refused."""
    try:
        yield
    except WorkbookError as error:
        print(wrapped(f"refused: {error}"))
    else:
        raise AssertionError("this was meant to be refused")


def wrapped(text, width=100):
    """A text whose lines end before a page's right edge; what goes on is indented."""
    fill = textwrap.TextWrapper(
        width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    ).fill
    return "\n".join(fill(line) if len(line) > width else line for line in text.splitlines())


class Exercise(NamedTuple):
    """What an answer is held to: an entry of `EXERCISES` in `lessons/solutions/nbNN.py`."""

    answer: Callable  # makes the answer from the notebook's values; with cases, it is the answer
    hint: str  # shown from the second try on
    cases: Optional[Sequence[tuple]] = None  # arguments of each call of a function asked for
    tolerance: float = 1e-4  # relative; whole numbers, truths and texts are compared exactly


RIGHT, WRONG, UNANSWERED = "right", "not yet", "not answered yet"
_tries = collections.Counter()
_verdicts = {}  # the last one on each key


def check(key, yours, **context):
    """Says whether an answer is right; raises nothing, whatever the answer is.

    key: notebook and exercise, "02/rows". context: the notebook's values that the answer is made
    from. `...` stands for an answer not given yet. From the second wrong one on there is a hint.
    """
    try:
        exercise = exercise_of(key)
        verdict, sentence = judged(exercise, yours, context)
    except Exception as error:
        print(wrapped(f"{key} cannot be judged here: {_short(error)}"))
        return
    _verdicts[key] = verdict
    print(wrapped(f"{verdict}: {sentence}"))
    if verdict == WRONG:
        _tries[key] += 1
        if _tries[key] > 1:
            print(wrapped(f"hint: {exercise.hint}"))
        print(f'to see an answer: from lessons.exercises import solution; solution("{key}")')


def passed(key):
    """Whether the answer that was checked last is right, so that what follows can be built on it.

    `draw = mine if passed("00/coloured") else plots.coloured` runs with any answer.
    """
    return _verdicts.get(key) == RIGHT


def solution(key):
    """Prints the source of an exercise's answer."""
    print(textwrap.dedent(inspect.getsource(exercise_of(key).answer)), end="")


def exercise_of(key):
    """The `Exercise` of a key such as "02/rows"; KeyError or ImportError where there is none."""
    notebook, name = key.split("/")
    return importlib.import_module(f"lessons.solutions.nb{notebook}").EXERCISES[name]


def judged(exercise, yours, context):
    """`(RIGHT, WRONG or UNANSWERED, a sentence or "")` for an answer, which may be anything."""
    if yours is Ellipsis:
        return UNANSWERED, "replace the ... and run it again"
    if exercise.cases is None:
        if alike(yours, exercise.answer(**context), exercise.tolerance):
            return RIGHT, _short(yours)
        return WRONG, f"yours is {_short(yours)}"
    if not callable(yours):
        return WRONG, f"yours is {_short(yours)}; a function is asked for"
    verdicts = (_judged_call(exercise, yours, case) for case in exercise.cases)
    return next(filter(None, verdicts), (RIGHT, f"in all {len(exercise.cases)} cases"))


def _judged_call(exercise, function, case):
    """The verdict on one call of the reader's function, None where it is right."""
    call = f"for {_cut(', '.join(map(repr, case)))} yours"
    wanted = exercise.answer(*copy.deepcopy(case))
    try:
        found = function(*copy.deepcopy(case))
    except Exception as error:
        return WRONG, f"{call} raises {type(error).__name__}: {_short(error)}"
    if found is None or found is Ellipsis:
        return UNANSWERED, "the function returns nothing; replace its ... and return the result"
    if not alike(found, wanted, exercise.tolerance):
        return WRONG, f"{call} gives {_short(found)}; right is {_short(wanted)}"
    return None


def alike(yours, wanted, tolerance):
    """Whether two values are equal: whole numbers exactly, others within a relative tolerance."""
    try:
        if isinstance(wanted, dict):
            return set(yours) == set(wanted) and all(
                alike(yours[name], wanted[name], tolerance) for name in wanted
            )
        if isinstance(wanted, (list, tuple)):
            return len(yours) == len(wanted) and all(
                alike(one, other, tolerance) for one, other in zip(yours, wanted)
            )
        if isinstance(wanted, (set, frozenset)):
            return set(yours) == wanted
        return _same_array(np.asarray(yours), np.asarray(wanted), tolerance)
    except Exception:  # what has no length, no such key, no numbers is no such answer
        return False


def _same_array(yours, wanted, tolerance):
    """As `alike`, for numbers and arrays of one shape; a truth value is no number."""
    if yours.shape != wanted.shape or (yours.dtype.kind == "b" and wanted.dtype.kind != "b"):
        return False
    if wanted.dtype.kind not in "fc":
        return bool(np.all(yours == wanted))
    finite = np.abs(wanted[np.isfinite(wanted)])
    noise = 1e-3 * tolerance * finite.max() if finite.size else 0  # of float32, near 0
    return np.allclose(yours, wanted, rtol=tolerance, atol=noise + 1e-12, equal_nan=True)


def _short(value):
    """A value as text on one line that fits beside a sentence, whatever its own text is."""
    try:
        text = str(value) if isinstance(value, Exception) else repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return _cut(text)


def _cut(text):
    """A text as one line of at most 70 characters."""
    return textwrap.shorten(text, 70, placeholder=" ...")


def photograph(run):
    """The evaluation list's first photograph, uint8 [h, w, 3].

    Where the data set is not there, a drawn one and a sentence.
    """
    try:
        root, list_name = run.data_root, run.settings.val_list
    except WorkbookError as error:
        print(f"{error}\nuntil then, a drawn photograph serves")
        root, list_name = make_sample(resolve(Settings()).data_root), Settings().val_list
    return voc.read_image(voc.image_path(root, voc.read_list(root, list_name)[0]))
