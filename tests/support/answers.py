"""Notebooks answered by the solutions, and wrong answers beside each right one."""

import inspect
import os
import re

import nbformat
import numpy as np

from deeplab_nb import files
from lessons import exercises


def off(value):
    """Nearly an answer: a number beside it, one entry more, the other truth."""
    if isinstance(value, (bool, np.bool_)):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, dict):
        return {name: off(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [*value, 0]
    if isinstance(value, (set, frozenset)):
        return value | {object}
    array = np.asarray(value)
    return ~array if array.dtype.kind == "b" else array + 1


def value_of(key, expression, context):
    """What an expression of instructor.md gives; a function, where one is asked for.

    It may use the notebook's other answers.
    """
    module = __import__(f"lessons.solutions.nb{key[:2]}", fromlist=["EXERCISES"])
    names = {name: one.answer for name, one in module.EXERCISES.items()}
    names.update(context, np=np)
    exercise = exercises.exercise_of(key)
    if exercise.cases is not None:
        expression = (
            f"lambda {', '.join(inspect.signature(exercise.answer).parameters)}: {expression}"
        )
    return eval(expression, names)


def check(key, yours, **context):
    """Stands for `lessons.exercises.check` in a notebook: judges what it is given, then answers.

    Three wrong answers, then the right one, which the exercise's name holds from then on, and the
    one of instructor.md.
    """
    print("asked:", key)
    exercises.check(key, yours, **context)
    exercise = exercises.exercise_of(key)
    right = exercise.answer if exercise.cases is not None else exercise.answer(**context)
    nearly = (lambda *case: off(right(*case))) if callable(right) else off(right)
    stated = [value_of(key, STATED[key], context)] if key in STATED else []
    for answer in (None, "text", nearly, right, *stated):
        exercises.check(key, answer, **context)
    globals()[key.split("/")[1]] = right


def instructor():
    """The text of instructor.md."""
    with open(os.path.join(files.NOTEBOOKS, "instructor.md"), encoding="utf-8") as file:
        return file.read()


# {key: expression} of instructor.md's answers; `solution("key")` stands for a longer one
_ROWS = re.findall(r"^\| `(\d\d/\w+)` \| `(.+?)` \|", instructor(), re.MULTILINE)
STATED = {key: text for key, text in _ROWS if text != f'solution("{key}")'}
ANSWERED = [key for key, _ in _ROWS]

HELPERS = "\n\n".join(
    [
        "import inspect\nimport numpy as np\nfrom lessons import exercises",
        f"STATED = {STATED!r}",
        *map(inspect.getsource, (off, value_of, check)),
    ]
)


def write_answered(path, out):
    """Writes a copy of a notebook in which all checks are those of this file."""
    notebook = nbformat.read(path, as_version=4)
    first = next(i for i, cell in enumerate(notebook.cells) if "from lessons.ex" in cell.source)
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(HELPERS))
    nbformat.write(notebook, out)
