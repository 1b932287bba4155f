"""Mistakes shown as lessons, answers judged, a photograph at hand."""

import numpy as np
import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs.run import open_run
from lessons import exercises
from lessons.exercises import Exercise, check, photograph, refusal, solution, wrapped


def twice(numbers):
    return 2 * numbers


NUMBERS = np.array([1, 2, 3])


@pytest.fixture(autouse=True)
def some(monkeypatch):
    """Exercises of kinds: a whole number, a fraction, an array, a table, a function."""
    found = {
        "rows": Exercise(lambda size: 65 * size, "count them"),
        "share": Exercise(lambda: 0.0878, "divide"),
        "picture": Exercise(lambda: np.eye(3, dtype=np.float32), "np.eye"),
        "table": Exercise(lambda: {"a": [1, 2.5], "b": "x"}, "a dict"),
        "kinds": Exercise(lambda: {1, 2}, "a set"),
        "seen": Exercise(lambda: np.array([True, False]), "compare"),
        "nothing": Exercise(lambda: 0.0, "nothing"),
        "loose": Exercise(lambda: 3.0, "about", tolerance=0.1),
        "twice": Exercise(twice, "times two", cases=[(NUMBERS,), (np.zeros((2, 2)),)]),
    }
    monkeypatch.setattr(exercises, "exercise_of", lambda key: found[key.split("/")[1]])
    monkeypatch.setattr(exercises, "_tries", exercises.collections.Counter())
    monkeypatch.setattr(exercises, "_verdicts", {})


def verdict(capsys, name, yours, **context):
    check(f"02/{name}", yours, **context)
    return capsys.readouterr().out


def test_a_refusal_is_shown_and_its_absence_is_a_fault(capsys):
    with refusal():
        raise WorkbookError("no such thing")
    assert capsys.readouterr().out == "refused: no such thing\n"
    with pytest.raises(AssertionError, match="meant to be refused"):
        with refusal():
            pass


@pytest.mark.parametrize(
    "name, yours",
    [
        ("share", 0.0878),
        ("share", np.float32(0.0878)),
        ("share", np.array(0.08780001)),
        ("picture", np.eye(3)),
        ("picture", np.eye(3).tolist()),
        ("table", {"b": "x", "a": (1, np.float64(2.5))}),
        ("nothing", 1e-17),
        ("kinds", [2, 1]),
        ("seen", [True, False]),
        ("loose", 3.2),
        ("twice", lambda numbers: [2 * n for n in numbers]),
        ("twice", lambda numbers: numbers.__imul__(2)),  # changes a copy of its own
    ],
)
def test_a_right_answer_is_right(name, yours, capsys):
    assert not exercises.passed(f"02/{name}")
    assert verdict(capsys, name, yours).startswith("right: ")
    assert exercises.passed(f"02/{name}")
    verdict(capsys, name, "other")
    assert not exercises.passed(f"02/{name}")


class Odd:
    """Refuses everything that can be asked of a value."""

    def refuse(self, *arguments):
        raise RuntimeError("odd")

    __eq__ = __len__ = __iter__ = __repr__ = __str__ = __bool__ = __array__ = refuse
    __getitem__ = __float__ = __int__ = __call__ = refuse


WRONG = [None, "65", "", b"65", 64, 66, -1, 1e9, float("nan"), float("inf"), True, 65j]
WRONG += [[], {}, set(), (65, 65), [65], [[1], [2, 3]], np.zeros((2, 0)), np.zeros((4, 4)), object]
WRONG += [
    Odd(),
    str.upper,
    lambda: 65,
    lambda numbers: 1 / 0,
    lambda numbers: numbers + 1,
    int,
    Odd,
]


@pytest.mark.parametrize("name", ["rows", "share", "picture", "table", "kinds", "seen", "twice"])
@pytest.mark.parametrize("yours", WRONG, ids=range(len(WRONG)))
def test_anything_else_is_a_wrong_answer_in_words(name, yours, capsys):
    context = {"size": 1} if name == "rows" else {}
    told = verdict(capsys, name, yours, **context)
    assert told.startswith("not yet: ") and f'solution("02/{name}")' in told
    assert len(told.splitlines()) <= 4 and max(map(len, told.splitlines())) <= 100
    assert not exercises.passed(f"02/{name}")


def test_whole_numbers_are_exact_and_others_close(capsys):
    assert verdict(capsys, "rows", 65 * 107, size=107).startswith("right")
    assert verdict(capsys, "rows", 65 * 107 + 1, size=107).startswith("not yet: yours is 6956")
    assert verdict(capsys, "share", 0.0879).startswith("not yet")
    assert verdict(capsys, "loose", 3.4).startswith("not yet")


def test_what_is_not_answered_is_said_so(capsys):
    def empty(numbers): ...

    for yours in (..., empty):
        told = verdict(capsys, "twice", yours)
        assert told.startswith("not answered yet: ") and "solution" not in told
    assert verdict(capsys, "rows", ..., size=1).startswith("not answered yet: ")


def test_the_hint_comes_on_the_second_try(capsys):
    told = [verdict(capsys, "rows", 64, size=1) for _ in range(3)]
    assert ["hint: count them" in text for text in told] == [False, True, True]
    assert "hint" not in verdict(capsys, "share", 64)  # each exercise counts its own
    verdict(capsys, "twice", ...)
    assert "hint" not in verdict(capsys, "twice", 1)


def test_a_function_is_told_the_case_that_fails(capsys):
    wrong = lambda numbers: numbers + numbers.sum() / 3  # noqa: E731
    told = " ".join(verdict(capsys, "twice", wrong).split())
    assert "for array([1, 2, 3]) yours gives array([3., 4., 5.]); right is array([2, 4, 6])" in told
    told = " ".join(verdict(capsys, "twice", lambda numbers: numbers.no).split())
    assert "yours raises AttributeError: 'numpy.ndarray' object has no attribute 'no'" in told
    assert "a function is asked for" in verdict(capsys, "twice", 2)


def test_lines_end_before_the_pages_edge():
    path = "a" * 120
    told = wrapped(f"one  two\n{path} holds {'words ' * 30}\n")
    assert told.startswith(f"one  two\n{path}\n    holds words")
    assert all(len(line) <= 100 for line in told.splitlines() if path not in line)


def test_what_cannot_be_judged_is_said(capsys):
    assert "02/none cannot be judged here: 'none'" in verdict(capsys, "none", 1)
    assert "cannot be judged here" in verdict(capsys, "rows", 1)  # no size is given


def test_the_solution_is_the_answers_source(capsys):
    solution("02/twice")
    assert capsys.readouterr().out == "def twice(numbers):\n    return 2 * numbers\n"


def test_a_drawn_photograph_serves_where_the_data_set_is_absent(tmp_path, capsys):
    absent = open_run("sample", str(tmp_path / "a"), {"data_root": str(tmp_path / "VOC2012")})
    drawn = photograph(absent)
    assert "VOC2012 does not exist" in capsys.readouterr().out
    assert np.array_equal(drawn, photograph(open_run("sample", str(tmp_path / "b"))))
    assert capsys.readouterr().out == ""
