"""Predictions into folders: nothing is lost there, names are the network's own, stops are cheap."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import mark_of, refuse_over
from deeplab_nb.show import labelling, plots
from tests.support.command import call
from tests.support.tiny_checkpoint import SETTINGS, make_tiny_checkpoint, noise


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("weights"))


def photograph(path, height=33, width=49):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(height, width)).save(str(path))
    return str(path)


def predict(*arguments, checkpoint, out, code=0):
    return call("predict", *arguments, "--checkpoint", checkpoint, "--out", str(out), code=code)


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in Path(str(folder)).rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("more", [(), ("--overwrite",)])
def test_a_photograph_is_never_replaced_by_its_mask(checkpoint, tmp_path, more):
    path = photograph(tmp_path / "photo.png")
    before = contents(tmp_path)
    said = predict(path, *more, checkpoint=checkpoint, out=tmp_path, code=1)
    assert "photo.png would be written over" in said and contents(tmp_path) == before


def test_case_22_a_phones_photograph_is_labelled_as_a_viewer_shows_it(checkpoint, repo, tmp_path):
    folder = os.path.join(repo, "tests", "figures", "cases", "22_predict_turned_photograph")
    predict(os.path.join(folder, "phone.jpg"), checkpoint=checkpoint, out=tmp_path / "out")
    assert Image.open(str(tmp_path / "out" / "phone.png")).size == (60, 80)


def test_case_27_a_checkpoints_folder_may_have_brackets(checkpoint, tmp_path):
    path, folder = photograph(tmp_path / "a.jpg"), str(tmp_path / "ck[1]")
    shutil.copytree(os.path.dirname(checkpoint), folder)
    predict(path, checkpoint=folder, out=tmp_path / "out")
    predict(path, checkpoint=checkpoint, out=tmp_path / "other")
    masks = (np.asarray(Image.open(str(tmp_path / out / "a.png"))) for out in ("out", "other"))
    assert np.array_equal(*masks)


def test_files_of_others_are_replaced_only_when_asked(checkpoint, tmp_path):
    path, out = photograph(tmp_path / "a.jpg"), tmp_path / "out"
    photograph(out / "a_overlay.png")
    before = contents(out)
    said = predict(path, checkpoint=checkpoint, out=out, code=1)
    assert "a_overlay.png exists" in said and "--overwrite" in said and contents(out) == before
    predict(path, "--overwrite", checkpoint=checkpoint, out=out)
    assert mark_of(str(out / "a_overlay.png")) == mark_of(str(out / "a.png")) is not None


def test_a_file_is_no_folder_for_results(checkpoint, tmp_path):
    path = photograph(tmp_path / "a.jpg")
    for out in (path, os.path.join(path, "below")):
        assert "is a file and no folder" in predict(path, checkpoint=checkpoint, out=out, code=1)
    os.mkdir(str(tmp_path / "a.png"))
    with pytest.raises(WorkbookError, match="a.png exists"):
        refuse_over([str(tmp_path / "a.png")], overwrite=True)


def test_folders_are_labelled_past_a_bad_file_and_further_after_a_stop(checkpoint, tmp_path):
    photograph(tmp_path / "in" / "s1" / "a.jpg")
    photograph(tmp_path / "in" / "s2" / "a.JPG", 40)
    (tmp_path / "in" / "s2" / "b.jpg").write_bytes(b"no picture")
    how = dict(checkpoint=checkpoint, out=tmp_path / "in" / "out")
    said = predict(str(tmp_path / "in"), **how, code=1)
    assert "1 photographs were not labelled" in said and "b.jpg" in said
    first = contents(tmp_path / "in" / "out")
    assert sorted(first) == ["s1/a.png", "s1/a_overlay.png", "s2/a.png", "s2/a_overlay.png"]
    assert voc.read_mask(str(tmp_path / "in" / "out" / "s2" / "a.png"))[0].shape == (40, 49)
    (tmp_path / "in" / "s2" / "b.jpg").unlink()
    (tmp_path / "in" / "out" / "s2" / "a_overlay.png").unlink()  # as if stopped between the two
    said = predict(str(tmp_path / "in"), **how)
    assert "1 photographs are labelled already" in said and "a.JPG: " in said
    assert contents(tmp_path / "in" / "out") == first
    assert "already" not in predict(str(tmp_path / "in"), "--flip", **how)


def test_photographs_of_one_name_have_results_of_their_own(tmp_path):
    files = [photograph(tmp_path / name) for name in ("x/a.jpg", "y/a.jpg")]
    assert [Path(mask).parts[-2:] for mask, _ in targets(files)] == [("x", "a.png"), ("y", "a.png")]
    same = [photograph(tmp_path / name) for name in ("z/a.jpg", "z/a.png", "z/A_overlay.bmp")]
    assert len({path.lower() for pair in targets(same) for path in pair}) == 6
    assert len(targets(files[:1] * 2)) == 1
    with pytest.raises(WorkbookError, match="holds no photograph"):
        labelling.photographs([str((tmp_path / "none").mkdir() or tmp_path / "none")])


def targets(files):
    return list(labelling._targets(labelling.photographs(files), "out").values())


def trained(folder, **values):
    folder.mkdir(parents=True)
    settings_module.save(settings_module.read({**SETTINGS, **values}), str(folder))
    return str(folder / "model.ckpt-1")


def test_names_are_vocs_for_vocs_networks_alone(tmp_path):
    own = ["background"] + [f"mineral {i}" for i in range(1, 21)]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "classes.txt").write_text("\n".join(own))
    named = trained(tmp_path / "named", data_root=str(tmp_path / "data"))
    assert list(labelling.names_of(named, 21)) == own
    gone = trained(tmp_path / "gone", data_root=str(tmp_path / "elsewhere"))
    assert labelling.names_of(gone, 21)[15] == "class 15"
    (tmp_path / "gone" / "classes.txt").write_text("\n".join(own))
    assert list(labelling.names_of(gone, 21)) == own
    real = trained(tmp_path / "real", data_root=str(tmp_path / "VOCdevkit" / "VOC2012"))
    assert labelling.names_of(real, 21) == voc.CLASSES
    assert labelling.names_of("w/deeplabv3_mobilenetv2_dm05_voc/model.ckpt", 21) == voc.CLASSES
    assert labelling.names_of("w/minerals/model.ckpt", 21)[15] == "class 15"
    with pytest.raises(WorkbookError, match="has 21 lines, the network 5 classes"):
        labelling.names_of(named, 5, str(tmp_path / "data" / "classes.txt"))


def test_a_runs_folder_stands_for_its_checkpoints_and_bad_numbers_are_said(checkpoint, tmp_path):
    path, run = photograph(tmp_path / "a.jpg"), str(tmp_path / "run")
    shutil.copytree(os.path.dirname(checkpoint), os.path.join(run, "train"))
    assert "up to 513 pixels" in predict(path, checkpoint=run, out=tmp_path / "out")
    for option, value in (("--scales", "100"), ("--longest-side", "0"), ("--longest-side", "x")):
        said = predict(path, option, value, checkpoint=run, out=tmp_path / "no", code=1)
        assert value in said and not (tmp_path / "no").exists()


@pytest.mark.parametrize("size", [(20, 600), (600, 20), (1, 1)])
def test_overlay_and_legend_fit(size):
    names = ["a class of a rather long name"] * 40
    figure = plots.show_prediction(
        np.zeros(size + (3,), np.uint8), np.resize(np.arange(40), size).astype(np.uint8), names
    )
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    box, edges = figure.legends[0].get_window_extent(renderer), figure.bbox
    assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= -1
    assert all(box.y1 <= axes.get_window_extent(renderer).y0 + 1 for axes in figure.axes)
    assert max(figure.get_size_inches()) < 40
