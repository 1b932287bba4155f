"""The mixed-precision lesson's figures."""

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from lessons import precision as lesson
from tests.support import golden


def test_shares_count_what_lies_below_and_a_scale_lifts_it():
    values = np.float32([0, 2**-30, -(2**-25), 1.5 * 2**-24, -1e-3, 1, 2**17])
    sizes = lesson.Sizes(np.arange(lesson.LOWEST, lesson.HIGHEST), lesson._counts(values))
    assert sizes.counts.sum() == 6  # zeros are none
    assert lesson.share_below(sizes, lesson.SMALLEST) == pytest.approx(2 / 6)
    assert lesson.share_below(sizes, lesson.NORMAL) == pytest.approx(3 / 6)
    assert lesson.share_below(sizes, lesson.SMALLEST, 2.0**6) == 0
    assert 1 - lesson.share_below(sizes, lesson.TOO_LARGE) == pytest.approx(1 / 6)
    axes = lesson.gradient_figure(sizes, 1024.0).axes[0]
    assert sum(bar.get_height() for bars in axes.containers for bar in bars) == pytest.approx(200)


def test_gradients_are_counted_and_a_scale_far_too_high_falls():
    settings = settings_module.read(
        {"depth_multiplier": 0.25, "loss_scale": "exponential", "initial_loss_scale": 2.0**32}
    )
    images, masks = golden.image(2, 33, 33), golden.label(2, 33, 33)
    sizes = lesson.gradient_sizes(settings, images, masks)
    assert (
        sizes.counts.sum() > 1000
        and lesson.share_below(sizes, -40) < 0.5
        and lesson.share_below(sizes, 4) == 1
    )
    trace = lesson.scale_trace(settings, images, masks, 3)
    assert [attempt.loss_scale for attempt in trace] == [2.0**32] * 2 + [2.0**31]
    assert all(attempt.skipped and np.isfinite(attempt.cross_entropy) for attempt in trace)
    crosses = lesson.scale_figure(trace).axes[0].get_lines()[1]
    assert list(crosses.get_xdata()) == [1, 2, 3]
