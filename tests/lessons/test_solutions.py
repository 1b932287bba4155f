"""Each exercise has an answer; its check takes that and no wrong one, in the notebook too."""

import glob
import importlib
import os
import re

import nbformat
import numpy as np
import pytest

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.runs import runner, state
from lessons.exercises import RIGHT, UNANSWERED, WRONG, alike, exercise_of, judged, solution
from tests.support import answers

SOLUTIONS = os.path.join(files.NOTEBOOKS, "lessons", "solutions", "nb*.py")
NUMBERS = sorted(os.path.basename(path)[2:4] for path in glob.glob(SOLUTIONS))
each = pytest.mark.parametrize("number", NUMBERS)
OVERRIDES = {"train_steps": 10}  # what is asked does not depend on how well the network is trained


def notebook_path(number):
    (path,) = glob.glob(os.path.join(files.NOTEBOOKS, f"{number}_*.ipynb"))
    return path


def exercises(number):
    """{key: Exercise} of a notebook."""
    names = importlib.import_module(f"lessons.solutions.nb{number}").EXERCISES
    return {f"{number}/{name}": exercise_of(f"{number}/{name}") for name in names}


def markdown(number):
    cells = nbformat.read(notebook_path(number), as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_notebooks_have_solutions():
    assert NUMBERS[:2] == ["00", "01"]


@each
def test_there_are_three_and_two_are_functions_to_write(number):
    found = exercises(number).values()
    assert len(found) >= 3 and sum(one.cases is not None for one in found) >= 2
    assert all(len(one.hint) > 20 for one in found)


@each
def test_functions_pass_their_own_cases_and_no_near_miss_does(number):
    for key, exercise in exercises(number).items():
        if exercise.cases is None:
            continue
        right = exercise.answer
        assert judged(exercise, right, {})[0] == RIGHT, key
        wrong = [None, "text", lambda *case: answers.off(right(*case)), lambda *case: "text"]
        assert {judged(exercise, one, {})[0] for one in wrong} == {WRONG}, key
        assert judged(exercise, lambda *case: None, {})[0] == UNANSWERED, key


@each
def test_no_constant_passes(number):
    """Cases differ so much that their answers do; one answer to all is wrong."""
    for key, exercise in exercises(number).items():
        for case in exercise.cases or ():
            constant = exercise.answer(*case)
            assert judged(exercise, lambda *_: constant, {})[0] == WRONG, key


@each
def test_a_solution_can_be_read(number, capsys):
    for key, exercise in exercises(number).items():
        solution(key)
        printed = capsys.readouterr().out
        assert printed.startswith(f"def {exercise.answer.__name__}("), key
        assert max(map(len, printed.splitlines())) <= 100


@each
def test_the_instructor_has_every_answer_and_they_are_right(number):
    found = exercises(number)
    assert [key for key in answers.ANSWERED if key.startswith(f"{number}/")] == list(found)
    for key in set(found) & set(answers.STATED):
        if found[key].cases is not None:
            function = answers.value_of(key, answers.STATED[key], {})
            assert judged(found[key], function, {})[0] == RIGHT, key


def plan():
    """[(notebook or "", section, minutes of half a day, of one day)] of instructor.md."""
    row = r"^\| (\d\d|) ?\| (.+) \| (\d+|\u2013) \| (\d+|\u2013) \|$"
    return re.findall(row, answers.instructor(), re.MULTILINE)


def test_the_minutes_add_up_to_the_courses():
    for column, whole in ((2, 210), (3, 420)):
        minutes = [row[column] for row in plan() if row[column] != "\u2013"]
        assert len(minutes) > 20 and sum(map(int, minutes)) == whole


@each
def test_the_instructor_plans_sections_that_are_there(number):
    planned = [section for notebook, section, *_ in plan() if notebook == number]
    headings = re.findall(r"^## (.+)$", markdown(number), re.MULTILINE)
    assert set(planned) <= set(headings)
    assert bool(planned) != (number in ("04", "07"))  # in no course but self-study
    assert answers.instructor().count(f"\n- {number}: ") >= 2  # to discuss


@each
def test_the_summary_is_said_in_chinese_too(number):
    assert re.search("\u4e2d\u6587\u5c0f\u7ed3\uff1a.{30}", markdown(number).split("## Summary")[1])


@pytest.mark.parametrize(
    "value", [0, 0.5, True, "a", [1], {"a": 1}, {1}, np.zeros((2, 2)), np.array([True, False])]
)
def test_near_misses_are_misses(value):
    assert alike(value, value, 1e-4) and not alike(answers.off(value), value, 1e-4)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """Folder of the notebooks with solutions, executed with every check answered."""
    folder = tmp_path_factory.mktemp("answered")
    os.mkdir(str(folder / "notebooks"))
    for number in NUMBERS:
        path = notebook_path(number)
        answers.write_answered(path, str(folder / "notebooks" / os.path.basename(path)))
    settings = settings_module.override(recipes.get("sample").settings, OVERRIDES)
    run = state.new_or_resumed_run(str(folder / "runs"), "sample", settings, name="answered")
    notebooks = runner.find_notebooks(str(folder / "notebooks"))
    runner.run_notebooks(run, notebooks, recipe="sample", overrides=OVERRIDES, parameters={})
    return run


@pytest.mark.slow
@each
def test_every_answer_is_right_where_its_notebook_asks_and_wrong_ones_are_not(executed, number):
    path = os.path.join(executed, os.path.basename(notebook_path(number)))
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]
    lines = "".join(output.get("text", "") for output in outputs).splitlines()
    keys = list(exercises(number))
    assert [line[len("asked: ") :] for line in lines if line.startswith("asked: ")] == keys
    stated = len(set(keys) & set(answers.STATED))
    counts = {word: sum(line.startswith(word + ": ") for line in lines) for word in VERDICTS}
    assert counts == dict(zip(VERDICTS, (len(keys) + stated, 3 * len(keys), len(keys))))


VERDICTS = RIGHT, WRONG, UNANSWERED  # of the answers given, and of the notebook's own ...
