"""What notebook 02 shows of a network."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from lessons import anatomy
from tests.support import golden

SMALL = settings_module.read({"depth_multiplier": 0.35})


def by_name(values):
    return {stage.name: stage[1:] for stage in anatomy.stages(settings_module.read(values))}


def test_xceptions_stages_are_the_originals():
    stages = by_name({"backbone": "xception_65", "aspp": True, "decoder": True})
    assert stages["entry_flow/block2/unit_1"] == (256, (65, 65), (1, 1))
    assert stages["middle_flow/block1/unit_1 to 16"] == (728, (33, 65), (1, 2))
    assert stages["exit_flow/block2/unit_1"] == (2048, (33, 65), (2, 4))
    assert stages["aspp3"] == (256, (33, 65), (18, 36))
    assert stages["decoder"] == (256, (129, 129), (1, 1)) and stages["logits"] == (
        21,
        (129, 129),
        (1, 1),
    )


def test_units_are_joined_only_while_all_their_figures_agree():
    stages = by_name({})
    assert stages["expanded_conv_6"][1:] == ((33, 65), (1, 1))
    assert stages["expanded_conv_7 to 9"][1:] == ((33, 65), (1, 2))
    assert by_name({"backbone": "resnet_v1_50_beta"})["block3/unit_1 to 6"][1:] == (
        (33, 65),
        (1, 2),
    )


def test_the_table_has_a_line_a_stage():
    stages = anatomy.stages(SMALL)
    lines = anatomy.table(stages).splitlines()
    assert (
        len(lines) == 1 + len(stages)
        and lines[-1].split() == "logits 21 33, rate 1 65, rate 1".split()
    )


def test_parameters_are_those_of_the_originals_variables():
    variables = deeplab.cost(settings_module.read({})).variables
    theirs = sum(int(np.prod(shape)) for _, shape, _ in golden.figures("mobilenet_v2")["variables"])
    assert anatomy.parameters(variables) == theirs
    assert anatomy.parameters(variables, "logits/") == 256 * 21 + 21


def test_the_cost_names_what_is_paid():
    first, second = anatomy.cost_text(SMALL, 16).splitlines()
    assert first == "output stride 16: logits 33 x 33, 453,559 parameters,"
    assert second.strip().startswith("0.53 billion multiply-adds, maps of ")


def test_the_costs_lines_end_before_the_pages_edge():
    largest = settings_module.read({"backbone": "xception_65", "aspp": True, "decoder": True})
    lines = anatomy.cost_text(largest, 8).splitlines()
    assert ", with decoder: logits 129 x 129, 41,258,213 parameters" in lines[0]
    assert max(map(len, lines)) <= 100


def test_counted_costs_agree_with_the_published_within_two_percent():
    rows = anatomy.cost_rows(SMALL)
    pairs = [
        (counted[stride], figure)
        for _, counted, published in rows
        for stride, figure in published.items()
    ]
    assert len(pairs) == 7
    for counted, figure in pairs:
        assert counted == pytest.approx(figure, rel=0.02)


def test_cost_bars_set_the_published_figures_beside_the_counted():
    axes = anatomy.cost_bars(
        [("one", {16: 2.0, 8: 6.0}, {16: 2.1}), ("two", {16: 50.0, 8: 150.0}, {})]
    ).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [2.0, 6.0, 50.0, 150.0]
    assert [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata())] == [2.1]


def test_a_staircase_is_as_high_as_the_maps_and_darker_at_higher_rates():
    stages = [
        anatomy.Stage("first", 8, (65, 65), (1, 1)),
        anatomy.Stage("last", 16, (33, 65), (1, 12)),
    ]
    coarse, dense = anatomy.staircase(stages, (16, 8)).axes
    assert [bar.get_height() for bar in coarse.patches] == [65, 33] and [
        bar.get_height() for bar in dense.patches
    ] == [65, 65]
    assert sum(dense.patches[1].get_facecolor()[:3]) < sum(dense.patches[0].get_facecolor()[:3])
