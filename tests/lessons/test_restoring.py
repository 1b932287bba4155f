"""Checkpoints to restore from, saved or published."""

from deeplab_nb import settings as settings_module
from lessons import restoring
from tests.support.tiny_checkpoint import SETTINGS, make_tiny_checkpoint

SMALL = settings_module.read({"depth_multiplier": 0.1})


def test_what_is_saved_is_restored(tmp_path):
    restoring.save(SMALL, str(tmp_path))
    report = restoring.restored(SMALL, str(tmp_path))
    assert report.checkpoint.endswith("model.ckpt-7") and not report.fresh
    five = settings_module.override(SMALL, {"num_classes": 5})
    assert sorted(restoring.restored(five, str(tmp_path)).fresh) == [
        "logits/semantic/biases",
        "logits/semantic/weights",
    ]


def test_the_recipes_start_comes_before_weights_that_lie_about(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(restoring, "ROOT", str(tmp_path))
    assert restoring.published(SMALL) == (None, SMALL)
    absent = settings_module.override(SMALL, {"initial_checkpoint": str(tmp_path / "none")})
    assert restoring.published(absent) == (None, absent)
    assert str(tmp_path / "none") in capsys.readouterr().out
    there = tmp_path / "data" / "weights" / "mobilenetv2_dm05_coco_voc_trainaug"
    there.mkdir(parents=True)
    make_tiny_checkpoint(there)
    path, settings = restoring.published(absent)
    assert path == str(there) and settings.depth_multiplier == 0.5
    (tmp_path / "given").mkdir()
    given = settings_module.override(
        settings_module.read(SETTINGS),
        {"initial_checkpoint": make_tiny_checkpoint(tmp_path / "given")},
    )
    assert restoring.published(given) == (given.initial_checkpoint, given)
