"""What notebook 02 shows of atrous convolution."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.predict import padded
from deeplab_nb.network import deeplab
from deeplab_nb.network.layers import Layers
from deeplab_nb.tf1 import tf
from lessons import anatomy, dilation
from lessons.solutions import nb02
from tests.support import golden
from tests.support.pictures import drawn

SMALL = settings_module.read({"depth_multiplier": 0.35})


def test_a_feature_sees_as_far_at_every_output_stride_but_less_without_dilation():
    coarse, dense, undilated = dilation.seen_by_centre(
        [(16, Layers), (8, Layers), (8, dilation.Undilated)], settings=SMALL, size=257
    )
    assert np.allclose(coarse, dense, atol=1e-3) and coarse.max() == 1
    assert dilation.seen_box(dense)[2:] == (257, 257) and dilation.seen_box(undilated)[2:] == (
        235,
        235,
    )


def test_features_share_their_weights():
    image = golden.image(1, 65, 65)
    coarse, dense = dilation.features(image, settings=SMALL, output_strides=(16, 8))
    assert coarse.shape == (1, 5, 5, 112)
    assert np.allclose(dense[:, ::2, ::2], coarse, atol=1e-4 * abs(coarse).max())


def test_a_photograph_is_padded_and_its_labels_are_not():
    photograph = np.full((20, 30, 3), 9, np.uint8)
    frame = padded(photograph)
    assert (
        frame.shape == (1, 33, 33, 3)
        and (frame[0, :20, :30] == 9).all()
        and (frame[0, 20:] == 127.5).all()
    )
    labels = dilation.labels(photograph, settings=SMALL)
    assert labels.shape == (20, 30) and labels.dtype == np.uint8 and labels.max() < 21


def test_labels_are_of_the_weights_that_are_named(tmp_path):
    photograph = np.random.RandomState(0).randint(0, 256, (33, 33, 3)).astype(np.uint8)
    with tf.Graph().as_default(), tf.Session() as session:
        variables = deeplab.variables_of(SMALL)
        session.run(tf.global_variables_initializer())
        session.run(variables["logits/semantic/biases"].assign(1e6 * np.eye(21)[7]))
        tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
    found = dilation.labels(photograph, settings=SMALL, path=str(tmp_path))
    assert (found == 7).all()
    figure = dilation.show_labels(photograph, {"seven": found}, SMALL, voc.class_names(21))
    assert figure.legends[0].get_texts()[0].get_text() == "car"


def test_the_bare_operation_cannot_be_trusted_and_the_layers_form_can():
    (_, bare), (_, bare_gradient), (_, layer), (_, gradient) = dilation.trap()
    dilated, plain = np.zeros((9, 9)), np.zeros((9, 9))
    dilated[2:7:2, 2:7:2], plain[3:6, 3:6] = 1, 1
    assert (layer == dilated).all() and (gradient == dilated).all()
    assert (bare_gradient == plain).all()  # in whatever release, and nothing says so
    assert any((bare == one).all() for one in (plain, dilated, 0 * plain))


def test_a_form_that_is_refused_is_blank_and_says_so():
    class Refusing:
        def run(self, tensor):
            raise tf.errors.UnimplementedError(None, None, "does not support dilations")

    caption, picture = dilation._tried(Refusing(), "bare", None)
    assert caption == "bare: refused" and picture.shape == (9, 9) and not picture.any()


def test_taps_are_nine_at_any_rate():
    figure = dilation.show_taps((1, 12))
    grids = [axes.images[0].get_array() for axes in figure.axes]
    assert [grid.sum() for grid in grids] == [9, 9] and grids[0].shape == grids[1].shape
    assert figure.axes[1].get_title() == "rate 12: 25 pixels wide" and drawn(figure).std() > 0


def test_receptive_fields_are_what_gradients_reach():
    kinds = (16, Layers), (8, Layers), (8, dilation.Undilated)
    assert [dilation.receptive_field(SMALL, *kind) for kind in kinds] == [491, 491, 235]
    deep = settings_module.read({"backbone": "xception_65"})
    assert [dilation.receptive_field(deep, *kind) for kind in kinds] == [1915, 1915, 955]
    resnet = settings_module.read({"backbone": "resnet_v1_50_beta"})
    (seen,) = dilation.seen_by_centre([(8, dilation.Undilated)], settings=resnet, size=321)
    assert dilation.seen_box(seen)[2:] == (dilation.receptive_field(resnet, *kinds[2]),) * 2


def test_what_is_seen_is_framed_and_a_field_beyond_the_image_is_called_so():
    seen = np.zeros((9, 9))
    seen[2:5, 3:8] = 0.5
    deep = settings_module.read({"backbone": "xception_65"})
    figure = dilation.show_seen([("here", 8, Layers)], [seen], deep)
    assert dilation.seen_box(seen) == (2, 3, 3, 5)
    title = figure.axes[0].get_title()
    assert title.startswith("here\nreceptive field 1915, beyond the image\nhalf of")
    assert len(figure.axes[0].patches) == 1


def test_half_of_the_gradient_lies_in_a_square_round_the_middle():
    seen = np.zeros((9, 9))
    seen[4, 4], seen[4, 6], seen[0, 0] = 2, 1, 2
    assert dilation.half_of(seen) == 5
    seen[4, 4] = 3
    assert dilation.half_of(seen) == 1


def test_a_readers_convolution_finds_edges_and_none_is_said(capsys):
    photograph = np.zeros((20, 20, 3), np.uint8)
    photograph[:, 10:] = 255
    figure = dilation.show_edges(nb02.separable, photograph, rates=(1, 3))
    one, three = (axes.images[0].get_array() for axes in figure.axes[1:])
    assert (one[5] > 0).nonzero()[0].tolist() == [9, 10, 19]  # beyond the border lie zeros
    assert (three[5] > 0).nonzero()[0].tolist() == [7, 8, 9, 10, 11, 12, 17, 18, 19]
    assert dilation.show_edges(None, photograph) is None
    assert "once `separable` is right" in capsys.readouterr().out


@pytest.mark.parametrize("rate", [1, 2, 4])
def test_the_solutions_convolution_is_the_layers(rate):
    draw = np.random.RandomState(rate).normal
    x, kernel, mix = draw(size=(9, 11, 3)), draw(size=(3, 3, 3)), draw(size=(3, 4))
    with tf.Graph().as_default(), tf.Session() as session:
        y = tf.nn.depthwise_conv2d(x[None], kernel[..., None], [1] * 4, "SAME", rate=[rate] * 2)
        theirs = session.run(tf.nn.conv2d(y, mix[None, None], padding="SAME"))[0]
    assert np.allclose(nb02.separable(x, kernel, mix, rate), theirs, atol=1e-6)


def test_the_solutions_figures_are_the_modules():
    deep = settings_module.read({"backbone": "xception_65", "decoder": True})
    variables = deeplab.cost(deep).variables
    unit = "xception_65/middle_flow/block1/unit_1/xception_module/separable_conv1_"
    assert nb02.parameters(728, 728) == anatomy.parameters(variables, unit)
    assert nb02.parameters(304, 256) == anatomy.parameters(variables, "decoder/decoder_conv0_")
    assert nb02.rows() == anatomy.stages(SMALL, (8,))[-1].sides[0]
    assert nb02.receptive_field([(3, 1, 18)]) == 37
