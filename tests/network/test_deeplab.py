"""What a network is made of, its output strides, and the idea of atrous convolution."""

import numpy as np
import pytest

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.network import deeplab, mobilenet_v2
from deeplab_nb.network.fast_layers import FastLayers
from deeplab_nb.tf1 import tf
from tests.support import golden
from tests.support.network_parts import build

BACKBONES = settings_module.FIELDS["backbone"].metadata["choices"]
SMALL = {"depth_multiplier": 0.35}


def shapes_of(values, size=65, **options):
    """{variable name: shape}, logits' shape."""
    with tf.Graph().as_default():
        settings = settings_module.read(dict(values, **options))
        logits = deeplab.build_logits(
            tf.placeholder(tf.float32, [1, size, size, 3]), settings=settings
        )
        return {v.op.name: v.shape.as_list() for v in tf.global_variables()}, logits.shape.as_list()


@pytest.mark.parametrize("stride, side", [(8, 17), (16, 9), (32, 5)])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_output_stride_is_image_over_feature_size(backbone, stride, side):
    values = dict(SMALL, backbone=backbone)
    assert shapes_of(values, 129, output_stride=stride)[1] == [1, side, side, 21]
    assert shapes_of(dict(values, decoder=True), 129, output_stride=stride)[1] == [1, 33, 33, 21]


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet_v1_50_beta", "xception_41"])
def test_dense_features_subsampled_are_the_coarse_features(backbone):
    """The idea itself: the same weights at a smaller output stride only give a denser map."""
    settings = settings_module.read(dict(SMALL, backbone=backbone))
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.constant(golden.image(1, 129, 129) / 127.5 - 1)
        features = [
            build(lambda layers, x: deeplab.backbone(layers, x, settings.at(stride)).high, images)
            for stride in (8, 16, 32)
        ]
        golden.load_weights(session, tf.global_variables(), 1.2)
        dense, middle, coarse = session.run(features)
    assert np.allclose(dense[:, ::2, ::2], middle, atol=1e-4 * abs(middle).max())
    assert np.allclose(middle[:, ::2, ::2], coarse, atol=1e-4 * abs(coarse).max())


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "resnet_v1_50_beta", "xception_41"])
def test_training_builds_at_every_output_stride_and_reaches_every_weight(backbone):
    for stride in (8, 16, 32):
        with tf.Graph().as_default():
            settings = settings_module.read(
                dict(SMALL, backbone=backbone, aspp=True, decoder=True, fine_tune_batch_norm=False)
            )
            settings = settings.at(stride)
            logits = deeplab.build_logits(
                tf.placeholder(tf.float32, [1, 65, 65, 3]),
                settings=settings,
                layers=deeplab.training_layers(settings, FastLayers),
            )
            assert None not in tf.gradients(logits, tf.trainable_variables())


def test_even_sizes_and_unknown_sizes_are_built():
    assert shapes_of(dict(SMALL, backbone="xception_41", decoder=True), 64, output_stride=16)[
        1
    ] == [1, 16, 16, 21]
    with tf.Graph().as_default(), tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, None, None, 3])
        logits = deeplab.build_logits(
            images,
            settings=settings_module.read({"backbone": "resnet_v1_50_beta", "decoder": True}),
        )
        session.run(tf.global_variables_initializer())
        assert session.run(logits, {images: np.zeros((1, 70, 97, 3))}).shape == (1, 18, 25, 21)


def test_atrous_branches_add_their_variables():
    shapes, _ = shapes_of({"aspp": True, "depth_multiplier": 0.5})
    assert shapes["aspp3_depthwise/depthwise_weights"] == [3, 3, 160, 1]
    assert shapes["aspp3_pointwise/weights"] == [1, 1, 160, 256]
    assert shapes["concat_projection/weights"] == [1, 1, 5 * 256, 256]


def test_v3_plus_is_v3_and_a_decoder():
    v3, side = shapes_of({"backbone": "xception_41", "aspp": True})
    plus, side_plus = shapes_of({"backbone": "xception_41", "aspp": True, "decoder": True})
    assert side == [1, 5, 5, 21] and side_plus == [1, 17, 17, 21]
    added = set(plus) - set(v3)
    assert set(v3) < set(plus) and {name.split("/")[0] for name in added} == {"decoder"}
    assert plus["decoder/feature_projection0/weights"] == [1, 1, 256, 48]
    assert plus["decoder/decoder_conv0_depthwise/depthwise_weights"] == [3, 3, 304, 1]


def test_full_convolutions_take_the_names_of_the_original():
    shapes, _ = shapes_of(
        {"backbone": "xception_41", "aspp": True, "decoder": True, "separable_head": False}
    )
    assert shapes["aspp2/weights"] == [3, 3, 2048, 256]
    assert shapes["decoder/decoder_conv0/decoder_conv0_1/weights"] == [3, 3, 304, 256]
    assert shapes["decoder/decoder_conv0/decoder_conv0_2/weights"] == [3, 3, 256, 256]


@pytest.mark.parametrize(
    "backbone, block", [("resnet_v1_50_beta", "block4"), ("xception_41", "exit_flow/block2")]
)
def test_multi_grid_multiplies_the_rates_of_the_last_three(backbone, block):
    """Seen in the blocks of space that each convolution is rearranged into."""
    for grid, expected in (("1,1,1", [2, 2, 2]), ("1,2,4", [2, 4, 8])):
        with tf.Graph().as_default() as graph:
            settings = settings_module.read({"backbone": backbone, "multi_grid": grid})
            deeplab.build_logits(tf.placeholder(tf.float32, [1, 65, 65, 3]), settings=settings)
            rearranged = [
                op
                for op in graph.get_operations()
                if op.type == "SpaceToBatchND" and block in op.name
            ]
            assert [int(tf.get_static_value(op.inputs[1])[0]) for op in rearranged] == expected


def test_the_mindspore_entrys_network_has_its_24873429_parameters():
    settings = recipes.get("deeplabv3_mindspore_1p").settings
    variables = deeplab.cost(settings).variables
    assert sum(int(np.prod(v.shape)) for v in variables) == 24873429
    assert settings.backbone == "resnet_v1_50_beta" and not settings.aspp and not settings.decoder


def test_dropout_works_in_training_only_and_the_same_at_the_same_step():
    with tf.Graph().as_default(), tf.Session() as session:
        images, step = tf.constant(golden.image(1, 65, 65)), tf.placeholder(tf.int64, [])
        settings = settings_module.read(dict(SMALL, fine_tune_batch_norm=False))
        still = deeplab.build_logits(images, settings=settings)
        moving = deeplab.build_logits(
            images,
            settings=settings,
            layers=deeplab.training_layers(settings, FastLayers, step=step),
        )
        golden.load_weights(session, tf.global_variables(), 2**0.5)
        still, same, first, again, next_one = (
            session.run(logits, {step: s})
            for logits, s in ((still, 3), (still, 4), (moving, 3), (moving, 3), (moving, 4))
        )
        assert np.array_equal(still, same) and np.array_equal(first, again)
        assert not np.allclose(first, next_one) and not np.allclose(first, still)


@pytest.mark.parametrize(
    "width, channels",
    [
        (1.0, [32, 16, 24, 32, 64, 96, 160, 320]),
        (0.75, [24, 12, 18, 24, 48, 72, 120, 240]),
        (0.35, [11, 6, 8, 11, 22, 34, 56, 112]),
        (0.25, [8, 4, 6, 8, 16, 24, 40, 80]),
        (1.4, [45, 22, 34, 45, 90, 134, 224, 448]),
    ],
)
def test_channel_counts_at_any_width(width, channels):
    assert [
        mobilenet_v2.depth(base, width) for base in (32, 16, 24, 32, 64, 96, 160, 320)
    ] == channels
