"""What notebook 02 shows of atrous convolution."""

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.evaluation.predict import padded
from deeplab_nb.network.layers import Layers
from deeplab_nb.tf1 import tf
from lessons import dilation
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
    labels = dilation.untrained_labels(photograph, settings=SMALL)
    assert labels.shape == (20, 30) and labels.dtype == np.uint8 and labels.max() < 21


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


def test_what_is_seen_is_framed():
    seen = np.zeros((9, 9))
    seen[2:5, 3:8] = 0.5
    figure = dilation.show_seen([("here", seen)])
    assert dilation.seen_box(seen) == (2, 3, 3, 5)
    assert (
        figure.axes[0].get_title() == "here\n3 x 5 pixels seen" and len(figure.axes[0].patches) == 1
    )
