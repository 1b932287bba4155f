"""Answers to notebook 08."""

from lessons.exercises import Exercise


def shared(marks):
    """How many conditions agree, of {condition: (agrees, here, there)}."""
    return sum(agrees is True for agrees, _, _ in marks.values())


def mark(here, there):
    """One condition: a tick, a cross, or a question mark where one side does not tell it."""
    if here is None or there is None:
        return "?"
    return "✓" if here == there else "✗"


def comparable(here, there):
    """Whether two numbers may be compared: all conditions of both agree."""
    return all(mark(here[name], there[name]) == "✓" for name in there)


_VAL = {"list": "val", "images": 1449, "flip": False}

EXERCISES = {
    "shared": Exercise(
        shared, "Go through marks.values() and count those whose first part is True."
    ),
    "mark": Exercise(
        mark,
        "Look first whether either is None, which stands for what is not told.",
        cases=[
            ("val", "val"),
            (16, 8),
            (None, 16),
            (16, None),
            (None, None),
            (0, 0),
            (False, None),
        ],
    ),
    "comparable": Exercise(
        comparable,
        "all(...) over the names of one dictionary; each must have your mark of a tick.",
        cases=[
            (_VAL, _VAL),
            (dict(_VAL, images=150), _VAL),
            (_VAL, dict(_VAL, flip=None)),
            (dict(_VAL, list=None), dict(_VAL, list=None)),
        ],
    ),
}
