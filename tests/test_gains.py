"""The table of what each refinement of evaluation brings and costs."""
import os

import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation import gains
from tests.tiny_checkpoint import SETTINGS, make_tiny_checkpoint
from tests.tiny_voc import make_tiny_voc


def test_gains_are_over_the_row_before(tmp_path):
    steps = (("one scale", {"eval_scales": (1.0,)}), ("two", {"eval_scales": (0.5, 1.0)}), ("mirrored", {"eval_flip": True}))
    settings = settings_module.read(dict(SETTINGS, data_root=make_tiny_voc(tmp_path / "voc")))
    rows = gains.gains(settings, make_tiny_checkpoint(tmp_path), ids=["val_000"], steps=steps)
    assert rows[0].gain == 0 and rows[2].gain == pytest.approx(rows[2].miou - rows[1].miou)
    assert rows[2].settings.eval_scales == (0.5, 1.0) and rows[2].settings.eval_flip
    assert [line.split("  ")[0] for line in gains.table(rows).splitlines()[1:]] == ["one scale", "two", "mirrored"]


@pytest.mark.slow
def test_refinements_gain_on_real_photographs(shared):
    """Six photographs only: six scales, mirrored, at output stride 8, against one scale at 16."""
    values = {"depth_multiplier": 0.5, "data_root": os.path.join(shared, "data", "VOCdevkit", "VOC2012")}
    weights = os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc")
    ids = voc.read_list(voc.check_root(values["data_root"]), "val_mixed")[:6]
    rows = gains.gains(settings_module.read(values), weights, list_name="val_mixed", ids=ids)
    assert rows[-1].miou > rows[0].miou
