"""The page of a run, made of the files that runs leave."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json
from deeplab_nb.runs import parameters, report, state
from deeplab_nb.tf1 import tf
from tests.support.files import digests
from tests.support.tiny_notebooks import mark
from tests.support.tiny_voc import make_tiny_voc

EVALUATION = {
    "miou": 0.5,
    "mean_over": "the 2 classes that the masks show",
    "images": 2,
    "list": "val",
    "output_stride": 16,
    "scales": [1.0],
    "flip": False,
    "protocol": "deeplab: padded",
    "image_miou": {"val_000": 0.75, "val_001": 0.25},
    "classes": {
        "background": {"iou": 0.9, "pixels": 900},
        "aeroplane": {"iou": 0.1, "pixels": 100},
        "bicycle": {"iou": None, "pixels": 0},
    },
}


@pytest.fixture
def run(tmp_path):
    """A run folder without any results."""
    settings = settings_module.read(
        {"data_root": make_tiny_voc(tmp_path / "voc"), "train_steps": 9}
    )
    return state.new_or_resumed_run(str(tmp_path / "runs"), "sample", settings, name="r")


@pytest.fixture
def whole(run):
    """One with all that the page shows."""
    write_json(os.path.join(run, "eval", "results.json"), EVALUATION)
    os.makedirs(os.path.join(run, "train"))
    with open(os.path.join(run, "train", "log.jsonl"), "w") as file:
        for step, loss in ((10, 3.0), (20, 1.5)):
            file.write(
                f'{{"step": {step}, "loss": {loss:f}, "cross_entropy": {loss:f}, '
                '"learning_rate": 0.1}\n'
            )
    os.makedirs(os.path.join(run, "overlays"))
    for name in EVALUATION["image_miou"]:
        noise = np.random.RandomState(0).randint(0, 255, (400, 1500, 3), dtype=np.uint8)
        Image.fromarray(noise).save(os.path.join(run, "overlays", name + ".png"))
    with open(os.path.join(run, "ledger.txt"), "w") as file:
        file.write("difference <here> & there\n")
    return run


def page(run):
    with open(report.write(run), encoding="utf-8") as file:
        return file.read()


def test_the_page_holds_all_that_the_run_found(whole):
    text = page(whole)
    for words in (
        "mIoU 50.00 %",
        "Loss over the steps: 3.000 at step 10, 1.500 at step 20",
        "aeroplane 10.0",
        "2 images of list val",
        "data_root",
        "nothing is wrong",
        "train (4 images",
        f"<td>tensorflow</td><td>{tf.version.VERSION}</td>",
        "deeplab-nb run sample --name r --set ",
    ):
        assert words in text, words
    assert text.index("val_001, mean IoU 0.250") < text.index(
        "val_000, mean IoU 0.750"
    )  # the worst first
    assert "<td>aeroplane</td>" in text and "<td>bicycle</td>" not in text  # no mask shows one


def test_the_page_tells_each_notebooks_state_and_seconds(run):
    mark(run, seconds=7.04, **{"02_b": {"images": 3}})
    mark(run, how="failed", seconds=1.0, **{"03_c": {}})
    text = page(run)
    assert '<td>02_b</td><td>done</td><td class="number">7.0</td>' in text
    assert "<td>03_c</td><td>failed</td>" in text and "--set images=3</pre>" in text


def test_the_page_asks_no_other_place_for_anything(whole):
    text = page(whole)
    assert set(re.findall(r'(?:src|href)="([a-z]+|#)', text)) == {"data", "#"}
    assert "<script" not in text and "@import" not in text and "url(" not in text


def test_every_figure_has_words(whole):
    pictures = re.findall(r"<img [^>]*>", page(whole))
    assert len(pictures) == 4 and all(re.search('alt="[^"]{20,}"', picture) for picture in pictures)


def test_what_files_hold_is_text_and_never_markup(whole):
    assert "difference &lt;here&gt; &amp; there" in page(whole)


def test_it_stays_small_with_many_overlays(whole):
    folder = os.path.join(whole, "overlays")
    for number in range(20):
        os.link(os.path.join(folder, "val_000.png"), os.path.join(folder, f"more_{number}.png"))
    text = page(whole)
    assert text.count("data:image/jpeg") == report.OVERLAYS and len(text) < 5e6


def test_missing_parts_are_said_in_their_places(run):
    text = page(run)
    for words in ("has not been evaluated", "has not trained", "written none", "no ledger"):
        assert words in text


def test_absent_data_leave_a_sentence(run):
    settings = settings_module.override(settings_module.load(run), {"data_root": "/nowhere"})
    settings_module.save(settings, run)
    assert "data folder /nowhere does not exist" in page(run)


def test_its_command_makes_the_same_settings_again(run):
    words = re.search(r"<pre>deeplab-nb run sample (.*)</pre>", page(run)).group(1).split()
    assignments = parameters.parse_assignments(
        words[i + 1] for i, word in enumerate(words) if word == "--set"
    )
    assert settings_module.override(
        recipes.get("sample").settings, assignments
    ) == settings_module.load(run)


def test_a_run_is_found_by_its_folder_and_its_nearest_name_is_told(run, monkeypatch):
    assert report.folder_of(run) == run
    monkeypatch.setattr(files, "RUNS", os.path.dirname(run))
    assert report.folder_of("r") == run
    with pytest.raises(WorkbookError, match="there is no run 'rr', did you mean 'r'"):
        report.folder_of("rr")


def test_it_is_shown_where_there_is_a_screen(run, monkeypatch):
    opened = []
    monkeypatch.setattr(report.webbrowser, "open", lambda address: opened.append(address) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    path, taken = report.show(run)
    assert os.path.exists(path) and not taken and opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    assert report.show(run) == (path, True) and opened == ["file://" + path]


def test_a_run_that_cannot_be_written_has_its_page_elsewhere(run, monkeypatch):
    before = digests(run)
    monkeypatch.setattr(os, "access", lambda *_: False)
    shown, _ = report.show(run)
    assert os.path.dirname(shown) != run and os.path.getsize(shown) > 1000
    assert digests(run) == before
