"""What the explorer shows, without a browser."""

import dataclasses
import io
import os

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.show import explorer
from tests.support.tiny_photograph import file_of


def test_a_view_predicts_what_the_evaluation_predicted(scored):
    explored, evaluation, predictions = scored
    for image_id in explored.ids("as listed"):
        view = dataclasses.replace(explored.first_view(), image_id=image_id)
        saved, _ = voc.read_mask(os.path.join(predictions, image_id + ".png"))
        assert np.array_equal(explored.probabilities(view).argmax(axis=2), saved)
        assert explored.miou(view) == evaluation.image_miou[image_id]


def test_images_are_listed_in_every_order(scored):
    explored, evaluation, _ = scored
    assert explored.ids("as listed") == [f"val_{i:03d}" for i in range(5)]
    worst = explored.ids("worst first")
    assert [evaluation.image_miou[i] for i in worst] == sorted(evaluation.image_miou.values())
    assert explored.ids("with the chosen class", 7) == ["val_002"]


@pytest.mark.parametrize(
    "order, class_id, words",
    [
        ("with the chosen class", None, "no class is chosen"),
        ("with the chosen class", 20, "with the chosen class', tv"),
        ("your photographs", None, "upload a photograph"),
    ],
)
def test_an_order_without_images_is_refused(scored, order, class_id, words):
    with pytest.raises(WorkbookError, match=words):
        scored[0].ids(order, class_id)


def panel(explored, start, **changes):
    """The one panel whose caption starts so, of the first view with changes."""
    panels = explored.panels(dataclasses.replace(explored.first_view(), **changes))
    (found,) = [picture for caption, picture in panels if caption.startswith(start)]
    return found


def test_strength_filter_and_palette_change_the_mask_shown(scored):
    explored = scored[0]
    image, truth = explored.photograph(explored.first_view())
    shown, other = truth.max(where=truth < 255, initial=0), 20
    assert np.array_equal(panel(explored, "mask", strength=0.0), image)
    assert np.array_equal(panel(explored, "mask", class_id=other), image)
    voc_mask, safe = (
        panel(explored, "mask", strength=1.0),
        panel(explored, "mask", strength=1.0, palette="colour-blind safe"),
    )
    assert (voc_mask[truth == shown] == voc.palette()[shown]).all()
    assert not np.array_equal(voc_mask, safe) and np.array_equal(
        voc_mask[truth == 0], safe[truth == 0]
    )


def test_the_heat_map_is_the_chosen_classes_probability(scored):
    explored = scored[0]
    maps = explored.probabilities(explored.first_view())
    assert np.array_equal(panel(explored, "probability of boat", class_id=4), maps[..., 4])
    assert np.array_equal(panel(explored, "how sure"), maps.max(axis=2))


@pytest.mark.parametrize("change", [{"flip": True}, {"all_scales": True}, {"output_stride": 8}])
def test_each_method_changes_the_prediction(scored, change):
    explored = scored[0]
    first = explored.first_view()
    assert not np.array_equal(
        explored.probabilities(first), explored.probabilities(dataclasses.replace(first, **change))
    )


@pytest.mark.slow
def test_only_a_few_networks_are_held(scored):
    explored = scored[0]
    for stride in (32, 16, 8):
        for flip in (True, False):
            explored.probabilities(
                dataclasses.replace(explored.first_view(), output_stride=stride, flip=flip)
            )
    assert len(explored._networks) == explored._predicted.cache_info().currsize == explorer.KEPT


def test_a_photograph_of_the_readers_is_brought_to_the_lists_size_and_turned_upright(scored):
    explored = scored[0]
    image_id = explored.add_photograph("holiday.jpg", file_of((400, 200), orientation=6))
    view = dataclasses.replace(explored.first_view(), image_id=image_id)
    image, truth = explored.photograph(view)
    assert image.shape[0] == 49 and 22 <= image.shape[1] <= 27 and truth is None
    assert image[5].mean() > 200 > 50 > image[-5].mean()  # the white half is above now
    assert len(explored.panels(view)) == 4 and "no mask" in explored.in_words(view)
    assert explored.ids("your photographs") == [image_id]


def test_a_file_that_is_no_picture_is_refused(scored):
    with pytest.raises(WorkbookError, match="notes.txt cannot be read as a picture"):
        scored[0].add_photograph("notes.txt", b"no picture")


def test_a_picture_comes_with_words_for_those_who_do_not_see_it(scored):
    shown = scored[0].picture(scored[0].first_view())
    data, metadata = DisplayFormatter().format(shown)  # as a notebook prints it
    assert data["text/plain"] == shown.words and len(shown.words) < 500
    assert Image.open(io.BytesIO(data["image/png"])).size[0] > 400
    assert metadata["image/png"]["alt"] == data["text/plain"] and "mean IoU" in data["text/plain"]
