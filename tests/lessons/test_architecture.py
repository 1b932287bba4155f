"""The drawing of the network."""

import pytest

from deeplab_nb import settings as settings_module
from lessons import architecture
from tests.support.pictures import drawn

XCEPTION = {"backbone": "xception_65", "aspp": True, "decoder": True}


def texts(values, **size):
    figure = architecture.draw(settings_module.read(values), **size)
    axes = figure.axes[0]
    boxes = {text.get_text() for text in axes.texts}
    dashed = sum(patch.get_linestyle() in ("--", "dashed") for patch in axes.patches)
    return figure, boxes, dashed


def test_sizes_are_the_networks_own():
    figure, boxes, dashed = texts(XCEPTION)
    assert {"xception_65\nfeatures\n33 x 33 x 2048", "low-level features\n129 x 129 x 256"} <= boxes
    assert {"1 x 1\n129 x 129 x 48", "1 x 1: logits\n129 x 129 x 21"} <= boxes
    assert {"3 x 3, rate 6", "3 x 3, rate 12", "3 x 3, rate 18"} <= boxes and dashed == 0
    assert figure.axes[0].get_title().startswith("DeepLabv3+ with xception_65")
    assert "ASPP" in figure.get_label() and drawn(figure).std() > 0


def test_what_the_settings_leave_out_is_dashed():
    _, boxes, dashed = texts({"depth_multiplier": 0.35, "output_stride": 8}, size=257)
    assert dashed == 3 + 5  # ASPP's branches and the decoder's boxes
    assert "1 x 1: logits\n33 x 33 x 21" in boxes and "3 x 3, rate 36" in boxes


@pytest.mark.parametrize("backbone", ["resnet_v1_50_beta", "xception_41", "xception_71"])
def test_every_backbone_can_be_drawn(backbone):
    _, boxes, _ = texts({"backbone": backbone})
    assert any(text.startswith(backbone) for text in boxes)
