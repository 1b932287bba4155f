"""The rules that make the notebooks one workbook, and the notebooks executed by papermill."""

import glob
import json
import os
import re
import subprocess
import sys

import nbformat
import pytest

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.runs import parameters, runner, state

PATHS = sorted(glob.glob(os.path.join(files.NOTEBOOKS, "*.ipynb")))
each = pytest.mark.parametrize("path", PATHS, ids=os.path.basename)


def cells(path, kind):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def test_all_notebooks_are_there():
    assert [os.path.basename(path)[:2] for path in PATHS] == [
        f"{number:02d}" for number in range(10)
    ]


@each
def test_it_is_committed_without_outputs(path):
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells(path, "code"))


@each
def test_its_cells_are_short(path):
    lines = sorted(len(cell.source.splitlines()) for cell in cells(path, "code"))
    assert lines[len(lines) // 2] <= 4 and lines[-1] <= 20
    assert len(nbformat.read(path, as_version=4).cells) <= 40


@each
def test_it_opens_and_ends_as_all_do(path):
    text = [cell.source for cell in cells(path, "markdown")]
    number = os.path.basename(path)[:2]
    assert re.match(rf"# {number} \w.*\n\n\*.+\*\n", text[0])
    for row in ("comes after", "reads", "writes", "time on a laptop"):
        assert f"| {row} |" in text[0]
    assert "\n中文：" in text[0]
    headings = " ".join(re.findall(r"^## (.+)$", "\n".join(text), re.M))
    assert "Exercise" in headings and headings.endswith("Summary")


@each
def test_its_links_are_whole_addresses(path):
    """Executed copies lie in another folder, where a path from this one leads nowhere."""
    text = "\n".join(cell.source for cell in cells(path, "markdown"))
    assert all(link.startswith("https://") for link in re.findall(r"\]\(([^)]*)\)", text))


@each
def test_it_says_in_chinese_what_it_is_about_and_what_was_seen(path):
    text = [cell.source for cell in cells(path, "markdown")]
    assert len(re.search(r"中文：(.+)", text[0]).group(1)) > 30
    assert not re.search("感受范围|逻辑值", "".join(text))


@each
def test_every_parameter_says_what_it_is_for(path):
    assert set(parameters.check_notebook(path)) >= {"recipe", "run_folder", "overrides"}
    tagged = [cell for cell in cells(path, "code") if "parameters" in cell.metadata.get("tags", [])]
    assert all("#" in line for line in tagged[0].source.splitlines())


@each
def test_it_imports_all_that_it_uses(path):
    """Each runs alone, so each opens its own run."""
    assert "open_run(recipe, run_folder, overrides)" in "\n".join(
        cell.source for cell in cells(path, "code")
    )


@each
def test_it_opens_its_run_before_it_imports_lessons(path):
    """What opens a run makes them importable."""
    text = "\n".join(cell.source for cell in cells(path, "code"))
    assert 0 < text.index("from deeplab_nb.runs.run import open_run") < text.index("from lessons")


def test_lessons_are_found_from_any_folder(tmp_path):
    imports = "from deeplab_nb.runs.run import open_run; from lessons.exercises import check"
    script = f"{imports}; check('00/on_objects', 0, mask=__import__('numpy').zeros((2, 2)))"
    told = subprocess.check_output([sys.executable, "-c", script], cwd=str(tmp_path))
    assert told.startswith(b"right")


@pytest.fixture(scope="module")
def real_run(shared, tmp_path_factory):
    """Notebooks 05, 06, 08 and 09 with real weights on real photographs."""
    chosen = recipes.get("published_mobilenetv2_dm05")
    overrides = {
        "data_root": os.path.join(shared, "data", "VOCdevkit", "VOC2012"),
        "initial_checkpoint": os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc"),
    }
    folder = state.new_or_resumed_run(
        str(tmp_path_factory.mktemp("runs")),
        chosen.name,
        settings_module.override(chosen.settings, overrides),
        name="real",
    )
    notebooks = runner.find_notebooks(files.NOTEBOOKS)
    chosen_ones = [
        notebook for notebook in notebooks if notebook.number in ("05", "06", "08", "09")
    ]
    results = runner.run_notebooks(
        folder,
        notebooks,
        recipe=chosen.name,
        overrides=overrides,
        parameters={"pictures": 5, "shown": 1},
        selected=chosen_ones,
    )
    return folder, results


@pytest.mark.slow
def test_real_weights_score_through_the_notebooks_as_they_should(real_run):
    folder, results = real_run
    assert results["miou"] == pytest.approx(0.7135, abs=0.0005)
    assert results["eval"]["images"] == 150 and results["eval"]["whole_list"] is False


@pytest.mark.slow
def test_overlays_are_named_after_their_images(real_run, shared):
    names = os.listdir(os.path.join(real_run[0], "overlays"))
    with open(
        os.path.join(shared, "data", "VOCdevkit", "VOC2012", "ImageSets", "Segmentation", "val.txt")
    ) as file:
        assert len(names) == 5 and {name[:-4] for name in names} <= set(file.read().split())


@pytest.mark.slow
def test_own_data_are_trained_from_the_weights_that_a_recipe_has(real_run):
    path = os.path.join(real_run[0], "09_your_own_data.ipynb")
    outputs = [output for cell in cells(path, "code") for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert "restored  270 variables" in text and "(21 classes there, 3 here)" in text
    # 0.71 where it was measured, 0.21 from random weights
    assert float(re.search(r"mIoU ([\d.]+) over background, leaf, spot", text).group(1)) > 0.55


@pytest.mark.slow
def test_a_subset_is_not_compared_with_the_published_number(real_run):
    with open(os.path.join(real_run[0], "ledger.txt"), encoding="utf-8") as file:
        text = file.read()
    row = next(line for line in text.splitlines() if line.startswith("mobilenetv2_dm05 "))
    assert (
        row.split()[:4] == ["mobilenetv2_dm05", "70.19", "-", "✓"]
        and "images 150 here, 1449 there" in text
    )


@pytest.mark.slow
def test_executed_notebooks_show_pictures_and_no_error(real_run):
    for name in ("05_multiscale_evaluation", "06_visual_overlay"):
        with open(os.path.join(real_run[0], name + ".ipynb")) as file:
            outputs = [
                output for cell in json.load(file)["cells"] for output in cell.get("outputs", [])
            ]
        assert any("image/png" in output.get("data", {}) for output in outputs)
        assert not any(output["output_type"] == "error" for output in outputs)
        words = [
            output["metadata"]["image/png"]["alt"]
            for output in outputs
            if "image/png" in output.get("data", {})
        ]
        assert all(words)
        if name.startswith(
            "06"
        ):  # where no one can move its controls, the explorer is a picture too
            assert sum(": one scale at output stride" in text for text in words) == 2
            assert sum("; predicted: background " in text for text in words) == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, places",
    [
        ("sample", {}),
        (
            "deeplabv3plus_1p",
            {"data_root": "VOC2012", "initial_checkpoint": "xception_65_imagenet_coco"},
        ),
    ],
)
def test_networks_are_built_for_a_small_recipe_and_for_one_without_its_files(
    name, places, tmp_path
):
    absent = {setting: str(tmp_path / place) for setting, place in places.items()}
    settings = settings_module.override(recipes.get(name).settings, absent)
    folder = state.new_or_resumed_run(str(tmp_path), name, settings, name="built")
    notebooks = runner.find_notebooks(files.NOTEBOOKS)
    runner.run_notebooks(
        folder,
        notebooks,
        recipe=name,
        overrides=absent,
        parameters={},
        selected=[notebook for notebook in notebooks if notebook.number == "02"],
    )
    path = os.path.join(folder, "02_model_construction.ipynb")
    outputs = [output for cell in cells(path, "code") for output in cell.outputs]
    text = "".join(output.get("text", "") for output in outputs)
    assert (
        sum("image/png" in output.get("data", {}) for output in outputs) == 8
        and os.path.getsize(path) < 1e6
    )
    assert text.count("refused:") == 5 and "fresh      25 variables" in text
    hint = "deeplab-nb fetch weights xception_65_imagenet_coco"
    assert (hint in " ".join(text.split())) == bool(places)
