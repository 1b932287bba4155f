"""The committed run: what it shows is what the notebooks of this commit say."""

import glob
import os
import re

import nbformat
import pytest

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.runs import state
from tests.support import photographs

RUN = os.path.join(files.RUNS, "reference")
PATHS = sorted(glob.glob(os.path.join(files.NOTEBOOKS, "*.ipynb")))
each = pytest.mark.parametrize("path", PATHS, ids=os.path.basename)
REMEDY = "`make reference` executes the notebooks again"


def executed(path):
    return nbformat.read(os.path.join(RUN, os.path.basename(path)), as_version=4)


@each
def test_the_executed_notebook_has_the_cells_of_the_notebook(path):
    cells = [
        cell
        for cell in executed(path).cells
        if "injected-parameters" not in cell.metadata.get("tags", [])
    ]
    assert [cell.source for cell in cells] == [
        cell.source for cell in nbformat.read(path, as_version=4).cells
    ], REMEDY


@each
def test_it_ran_to_its_end_and_its_pictures_have_words(path):
    cells = [cell for cell in executed(path).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs]
    assert all(cell.execution_count for cell in cells) and not any(
        output.output_type == "error" for output in outputs
    )
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert all(output.metadata["image/png"]["alt"] for output in pictures)
    assert pictures


def test_its_settings_are_those_of_the_recipe():
    assert settings_module.load(RUN) == recipes.get("sample").settings, REMEDY


def test_it_is_listed_as_done():
    (info,) = [info for info in state.list_runs(files.RUNS) if info.name == "reference"]
    assert (info.recipe, info.state) == ("sample", state.DONE)


def test_its_files_are_small_and_name_no_machine():
    files = [path for path in glob.glob(os.path.join(RUN, "*")) if os.path.isfile(path)]
    assert {os.path.basename(path) for path in files} >= {
        "report.html",
        "ledger.txt",
        "overlays.png",
    }
    for path in files:
        assert os.path.getsize(path) < (5e6 if path.endswith(".html") else 1e6)
        if not path.endswith(".png"):
            with open(path, encoding="utf-8") as file:
                assert not re.search(
                    r"""["' (](/home|/root|/tmp|/usr/local(?!/Ascend)|/Users|/work)/\w""",
                    file.read(),
                ), path


def test_photographs_are_small_and_each_has_author_licence_and_classes():
    names = os.listdir(photographs.OUT)
    assert sum(os.path.getsize(os.path.join(photographs.OUT, name)) for name in names) < 150e3
    with open(os.path.join(photographs.OUT, "README.md"), encoding="utf-8") as file:
        rows = re.findall(r"^\| (\w+) \| .*`(.+?)` \| (.+) \| (.+) \|$", file.read(), re.MULTILINE)
    assert {name: path for name, path, *_ in rows} == photographs.PHOTOGRAPHS
    assert all(re.search("CC0|CC BY|public domain", licence) for *_, licence in rows)
    predicted = {
        name: set(voc.read_mask(os.path.join(photographs.OUT, name + ".png"))[0].ravel())
        for name in photographs.PHOTOGRAPHS
    }
    assert voc.CLASSES.index("cat") in predicted["chelsea"]
    assert voc.CLASSES.index("person") in predicted["astronaut"]
