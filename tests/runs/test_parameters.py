"""Parameters are cast and refused before any notebook starts."""

import nbformat
import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs import parameters
from deeplab_nb.settings import Settings, override
from tests.support.cell import CELL, write


@pytest.fixture
def notebooks(tmp_path):
    first = write(
        tmp_path / "05_evaluation.ipynb",
        CELL + "images = 4\nshow = True\nthreshold = 0.5\ntitle = 'a'\n",
    )
    second = write(
        tmp_path / "06_overlay.ipynb", CELL + "images = 4\npick = [1, 2]\nalpha = None\n"
    )
    return [first, second]


def cast(text, notebooks, base=None):
    declared = [parameters.check_notebook(path) for path in notebooks]
    return parameters.split(parameters.parse_assignments([text]), declared, base or Settings())


def test_assignments_are_texts_and_values_may_hold_equals_signs():
    assert parameters.parse_assignments(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize(
    "given, words",
    [
        (["steps"], "write name=value"),
        (["=3"], "write name=value"),
        (["a=1", "a=2"], "given twice"),
    ],
)
def test_assignments_without_sense_are_refused(given, words):
    with pytest.raises(WorkbookError, match=words):
        parameters.parse_assignments(given)


@pytest.mark.parametrize(
    "text, value",
    [
        ("images=12", 12),
        ("show=False", False),
        ("threshold=1e-4", 1e-4),
        ("threshold=2", 2.0),
        ("title=12", "12"),
        ("pick=[1, 1e-3]", [1, 1e-3]),
        ("alpha=1e-4", 1e-4),
        ("alpha=null", None),
        ("alpha=road", "road"),
    ],
)
def test_parameter_takes_the_type_of_its_default(notebooks, text, value):
    overrides, found = cast(text, notebooks)
    name = text.partition("=")[0]
    assert overrides == {} and found == {name: value} and type(found[name]) is type(value)


@pytest.mark.parametrize(
    "text, words",
    [
        ("images=1.5", "needs a whole number, got '1.5'"),
        ("images=true", "whole number"),
        ("show=1", "needs true or false"),
        ("threshold=half", "needs a number"),
        ("threshold=nan", "needs a number"),
        ("pick=3", "needs a list"),
        ("pick=[1", "needs a list"),
        ("train_steps=ten", "needs a whole number"),
    ],
)
def test_wrong_type_is_refused(notebooks, text, words):
    with pytest.raises(WorkbookError, match=words):
        cast(text, notebooks)


def test_setting_is_an_override_and_cast(notebooks):
    assert cast("learning_rate=1e-4", notebooks) == ({"learning_rate": 1e-4}, {})


def test_setting_is_checked_together_with_the_recipes_others(notebooks):
    base = override(Settings(), {"max_scale": 4.0})
    assert cast("min_scale=3", notebooks, base) == ({"min_scale": 3.0}, {})
    with pytest.raises(WorkbookError, match="below min_scale"):
        cast("min_scale=3", notebooks)


@pytest.mark.parametrize("text, nearest", [("train_step=3", "train_steps"), ("imags=3", "images")])
def test_misspelt_name_names_the_nearest(notebooks, text, nearest):
    with pytest.raises(WorkbookError, match=f"did you mean '{nearest}'"):
        cast(text, notebooks)


@pytest.mark.parametrize(
    "name, hint", [("recipe", "first word"), ("run_folder", "--name"), ("overrides", "own name")]
)
def test_what_the_runner_passes_cannot_be_set(notebooks, name, hint):
    with pytest.raises(WorkbookError, match=hint):
        cast(name + "=x", notebooks)


def test_checked_notebook_gives_its_defaults(notebooks):
    assert parameters.check_notebook(notebooks[1]) == {
        "recipe": "sample",
        "run_folder": None,
        "overrides": {},
        "images": 4,
        "pick": [1, 2],
        "alpha": None,
    }


@pytest.mark.parametrize(
    "changes, words",
    [
        (dict(tags=()), "0 cells tagged"),
        (dict(kernel="python2"), "kernel 'python2'"),
        (dict(cell=CELL + "root = os.getcwd()"), "line 4 is no literal assignment"),
        (dict(cell=CELL + "import os"), "line 4 is no literal assignment"),
        (dict(cell=CELL + "a = b = 1"), "line 4 is no literal assignment"),
        (dict(cell=CELL + "x ="), "is not Python"),
        (dict(cell="recipe = 'sample'"), "does not set 'run_folder'"),
        (dict(cell=CELL + "seed = 3"), "it is a setting of the run"),
    ],
)
def test_notebook_with_an_unfit_parameters_cell_is_refused(tmp_path, changes, words):
    path = write(tmp_path / "00_x.ipynb", **changes)
    with pytest.raises(WorkbookError, match=words) as caught:
        parameters.check_notebook(path)
    assert "00_x.ipynb" in str(caught.value)


def test_two_parameters_cells_are_refused(tmp_path):
    path = write(tmp_path / "00_x.ipynb")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(CELL, metadata={"tags": ["parameters"]}))
    nbformat.write(notebook, path)
    with pytest.raises(WorkbookError, match="2 cells tagged"):
        parameters.check_notebook(path)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"cells": 3}'])
def test_damaged_notebook_is_named(tmp_path, content):
    path = tmp_path / "00_x.ipynb"
    path.write_text(content)
    with pytest.raises(WorkbookError, match="00_x.ipynb"):
        parameters.check_notebook(str(path))


def test_missing_notebook_is_named(tmp_path):
    with pytest.raises(WorkbookError, match="00_x.ipynb does not exist"):
        parameters.check_notebook(str(tmp_path / "00_x.ipynb"))
