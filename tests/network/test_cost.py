"""The cost of a network, reckoned before it is built."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.network.cost import Counter, Map
from deeplab_nb.network.fast_layers import FastLayers
from deeplab_nb.network.layers import BatchNorm, truncated_normal
from deeplab_nb.settings import SIX_SCALES
from deeplab_nb.tf1 import tf
from tests.support import golden

XCEPTION = {"backbone": "xception_65", "aspp": True}
FULL = dict(XCEPTION, separable_head=False)
RESNET = {
    "backbone": "resnet_v1_101_beta",
    "aspp": True,
    "separable_head": False,
    "multi_grid": "1,2,4",
}


def billions(values, output_stride, scales=(1.0,), images=1):
    settings = settings_module.read(values)
    return (
        images
        * sum(
            deeplab.cost(settings.at(output_stride), size=int(512 * s) + 1).multiply_adds
            for s in scales
        )
        / 1e9
    )


@pytest.mark.parametrize(
    "published, values, output_stride, scales, images",
    [
        # DeepLab model zoo; images is 2 with flip
        (2.75, {}, 16, (1.0,), 1),
        (152.59, {}, 8, SIX_SCALES, 2),
        (0.88, {"depth_multiplier": 0.5}, 16, (1.0,), 1),
        (2.84, {"depth_multiplier": 0.5}, 8, (1.0,), 1),
        # DeepLabv3+ (1802.02611), Table 5
        (54.17, dict(XCEPTION, decoder=True), 16, (1.0,), 1),
        (177.10, dict(XCEPTION, decoder=True), 8, (1.0,), 1),
        (928.81, dict(XCEPTION, decoder=True), 16, SIX_SCALES, 2),
        (3055.35, dict(XCEPTION, decoder=True), 8, SIX_SCALES, 2),
        (68.00, FULL, 16, (1.0,), 1),
        (240.85, FULL, 8, (1.0,), 1),
        (601.74, FULL, 16, SIX_SCALES, 1),
        (89.76, dict(FULL, decoder=True), 16, (1.0,), 1),
        (262.59, dict(FULL, decoder=True), 8, (1.0,), 1),
        # Table 3
        (81.02, RESNET, 16, (1.0,), 1),
        (276.18, RESNET, 8, (1.0,), 1),
        (2435.37, RESNET, 8, SIX_SCALES, 1),
        (52.43, RESNET, 32, (1.0,), 1),
        (74.20, dict(RESNET, decoder=True), 32, (1.0,), 1),
        (101.28, dict(RESNET, decoder=True), 16, (1.0,), 1),
        (297.92, dict(RESNET, decoder=True), 8, (1.0,), 1),
        (898.69, dict(RESNET, decoder=True), 16, SIX_SCALES, 1),
    ],
)
def test_multiply_adds_are_the_published_ones(published, values, output_stride, scales, images):
    assert billions(values, output_stride, scales, images) == pytest.approx(published, rel=0.02)


@pytest.mark.parametrize("variant", golden.VARIANTS)
def test_the_variables_counted_are_the_variables_built(variant):
    settings = golden.settings(variant)
    counted = {d.name: [d.shape, d.trainable] for d in deeplab.cost(settings).variables}
    assert counted == {
        name: [shape, trainable] for name, shape, trainable in golden.figures(variant)["variables"]
    }


def test_one_convolution_by_hand():
    counter = Counter()
    y = counter.convolution(
        Map((1, 33, 33, 8)),
        "c",
        4,
        kernel=3,
        rate=12,
        initializer=truncated_normal(1),
        batch_norm=BatchNorm(0.9, 1e-3),
    )
    assert y.shape == (1, 33, 33, 4)
    assert (
        counter.multiply_adds == 36 * 36 * 4 * 9 * 8
    )  # 33 is carried out as 36, a multiple of the rate
    assert sum(int(np.prod(v.shape)) for v in counter.variables) == 9 * 8 * 4 + 4 * 4
    assert counter.kept == 2 * 33 * 33 * 4 and counter.largest == 33 * 33 * (8 + 4)


def test_memory_kept_for_training_is_what_the_graph_holds():
    """Of each convolution's shift with frozen batch norm, and of the steps without weights."""
    settings = settings_module.read({"depth_multiplier": 0.5, "fine_tune_batch_norm": False})
    with tf.Graph().as_default() as graph:
        deeplab.build_logits(
            tf.placeholder(tf.float32, [1, 129, 129, 3]),
            settings=settings,
            layers=deeplab.training_layers(settings, FastLayers),
        )
        sizes = [
            op.outputs[0].shape.num_elements()
            for op in graph.get_operations()
            if op.outputs
            and op.outputs[0].shape.ndims == 4
            and (
                op.type in ("BiasAdd", "ConcatV2", "ResizeBilinear", "Mean")
                or op.type == "AddV2"
                and "/" not in op.name
            )
        ]
    assert deeplab.cost(settings, size=129).kept == sum(sizes)


def test_batch_statistics_need_the_map_before_batch_norm_too():
    frozen, trained = (
        deeplab.cost(settings_module.read({"fine_tune_batch_norm": value})).kept
        for value in (False, True)
    )
    assert 1.8 * frozen < trained < 2 * frozen
