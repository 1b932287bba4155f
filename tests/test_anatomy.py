"""What notebook 02 shows of a network."""
import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.network.layers import Layers
from deeplab_nb.network import deeplab
from deeplab_nb.evaluation.predict import framed
from deeplab_nb.show import anatomy, plots
from tests import golden

SMALL = settings_module.read({"depth_multiplier": 0.35})


def by_name(values):
    return {stage.name: stage[1:] for stage in anatomy.stages(settings_module.read(values))}


def test_xceptions_stages_are_the_originals():
    stages = by_name({"backbone": "xception_65", "aspp": True, "decoder": True})
    assert stages["entry_flow/block2/unit_1"] == (256, (65, 65), (1, 1))
    assert stages["middle_flow/block1/unit_1 to 16"] == (728, (33, 65), (1, 2))
    assert stages["exit_flow/block2/unit_1"] == (2048, (33, 65), (2, 4))
    assert stages["aspp3"] == (256, (33, 65), (18, 36))
    assert stages["decoder"] == (256, (129, 129), (1, 1)) and stages["logits"] == (21, (129, 129), (1, 1))


def test_units_are_joined_only_while_all_their_figures_agree():
    stages = by_name({})
    assert stages["expanded_conv_6"][1:] == ((33, 65), (1, 1))
    assert stages["expanded_conv_7 to 9"][1:] == ((33, 65), (1, 2))
    assert by_name({"backbone": "resnet_v1_50_beta"})["block3/unit_1 to 6"][1:] == ((33, 65), (1, 2))


def test_the_table_has_a_line_a_stage():
    stages = anatomy.stages(SMALL)
    lines = anatomy.table(stages).splitlines()
    assert len(lines) == 1 + len(stages) and lines[-1].split() == "logits 21 33, rate 1 65, rate 1".split()


def test_parameters_are_those_of_the_originals_variables():
    variables = deeplab.cost(settings_module.read({})).variables
    theirs = sum(int(np.prod(shape)) for _, shape, _ in golden.figures("mobilenet_v2")["variables"])
    assert anatomy.parameters(variables) == theirs
    assert anatomy.parameters(variables, "logits/") == 256 * 21 + 21


def test_the_price_names_what_is_paid():
    price = "output stride 16: scores 33 x 33, 453,559 parameters, 0.53 billion multiply-adds"
    assert anatomy.price(SMALL, 16).startswith(price)


def test_counted_costs_agree_with_the_published_within_two_percent():
    rows = anatomy.cost_rows(SMALL)
    pairs = [(counted[stride], figure) for _, counted, published in rows for stride, figure in published.items()]
    assert len(pairs) == 7
    for counted, figure in pairs:
        assert counted == pytest.approx(figure, rel=0.02)


def test_a_feature_sees_as_far_at_every_output_stride_but_less_without_dilation():
    coarse, dense, undilated = anatomy.seen_by_centre(
        [(16, Layers), (8, Layers), (8, anatomy.Undilated)], settings=SMALL, size=257)
    assert np.allclose(coarse, dense, atol=1e-3) and coarse.max() == 1
    assert plots.seen_box(dense)[2:] == (257, 257) and plots.seen_box(undilated)[2:] == (235, 235)


def test_features_share_their_weights():
    image = golden.image(1, 65, 65)
    coarse, dense = anatomy.features(image, settings=SMALL, output_strides=(16, 8))
    assert coarse.shape == (1, 5, 5, 112)
    assert np.allclose(dense[:, ::2, ::2], coarse, atol=1e-4 * abs(coarse).max())


def test_a_photograph_is_framed_and_its_labels_are_not():
    photograph = np.full((20, 30, 3), 9, np.uint8)
    frame = framed(photograph)
    assert frame.shape == (1, 33, 33, 3) and (frame[0, :20, :30] == 9).all() and (frame[0, 20:] == 127.5).all()
    labels = anatomy.untrained_labels(photograph, settings=SMALL)
    assert labels.shape == (20, 30) and labels.dtype == np.uint8 and labels.max() < 21
