"""Notebooks of a few lines for the runner's tests, and what is read from their runs."""

import os
import time

import nbformat
import pytest

from deeplab_nb.files import write_json
from deeplab_nb.runs import state
from deeplab_nb.settings import Settings

PARAMETERS = 'recipe = "x"\nrun_folder = None\noverrides = {}\n'


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "notebooks"


@pytest.fixture
def run(tmp_path):
    return state.new_or_resumed_run(str(tmp_path / "runs"), "x", Settings(), name="r")


def write(folder, name, *cells, parameters=""):
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "x", "language": "python"}}
    )
    notebook.cells = [
        nbformat.v4.new_code_cell(PARAMETERS + parameters, metadata={"tags": ["parameters"]})
    ]
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    os.makedirs(str(folder), exist_ok=True)
    nbformat.write(notebook, os.path.join(str(folder), name + ".ipynb"))


def mark(run, *, how="done", seconds=200.0, **parameters):
    """As if a run's notebooks had been executed with these parameters and ended so."""
    record = state.read_run(run)
    for stem, given in parameters.items():
        record["notebooks"][stem] = {"state": how}
        noted = {"duration": seconds, "parameters": {"recipe": "x", **given}}
        write_json(os.path.join(run, stem + ".ipynb"), {"metadata": {"papermill": noted}})
    state.write_run(run, record)
    return record


def states(run):
    return {stem: entry["state"] for stem, entry in state.read_run(run)["notebooks"].items()}


def text_of(run, name):
    """All that the cells of an executed notebook printed."""
    notebook = nbformat.read(os.path.join(run, name + ".ipynb"), as_version=4)
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )


def wait_for(condition, what, seconds=60):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain for " + what
        time.sleep(0.05)


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
