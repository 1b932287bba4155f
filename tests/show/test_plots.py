import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.evaluation.metrics import Scores
from deeplab_nb.show import plots
from tests.support.pictures import IMAGE, LABELS, TRUTH, drawn


def test_the_overlay_leaves_background_and_mixes_the_rest():
    mixed = plots.overlay(IMAGE, LABELS, 0.5)
    assert (mixed[0, 0] == 100).all()
    assert mixed[6, 6].tolist() == ((100 + voc.palette()[17].astype(int)) // 2).tolist()
    assert np.array_equal(plots.overlay(IMAGE, LABELS, 0), IMAGE)
    assert np.array_equal(plots.overlay(IMAGE, LABELS, 1)[6, 6], voc.palette()[17])


def test_the_error_map_tells_right_wrong_and_void():
    errors = plots.error_map(LABELS, TRUTH, 255)
    assert tuple(errors[0, 0]) == plots.ERROR_COLOURS["ignored"]
    assert tuple(errors[6, 9]) == plots.ERROR_COLOURS["wrong"]
    assert tuple(errors[6, 6]) == plots.ERROR_COLOURS["right"]


def test_the_legend_names_the_classes_seen_and_no_other():
    figure = plots.show_prediction(IMAGE, LABELS, voc.CLASSES, truth=TRUTH, title="here")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["background", "sheep", "right", "wrong", "void"]
    assert len(figure.axes) == 4 and drawn(figure).std() > 0
    assert plots.words(figure).startswith("here; predicted: background 96%, sheep 4%; photograph")


def test_void_is_named_where_a_mask_has_it_and_in_no_class_of_vocs_colours():
    figure = plots.show_row([("mask", plots.coloured(TRUTH))])
    plots.add_legend(figure, TRUTH, None, voc.CLASSES, 255)
    *_, void = figure.legends[0].get_patches()
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "void"
    assert np.allclose(void.get_facecolor()[:3], voc.palette()[255] / 255)
    classes = {tuple(colour) for colour in voc.palette()[: len(voc.CLASSES)].tolist()}
    assert not classes & set(plots.ERROR_COLOURS.values())
    assert plots.ERROR_COLOURS["ignored"] == tuple(voc.palette()[255])
    assert plots.shares(TRUTH, voc.CLASSES) == "background 92%, void 5%, sheep 3%"


def test_a_legend_finds_room_below_a_grid():
    figure = plots.show_grid([[("a", IMAGE)] * 2, [("b", IMAGE)] * 2])
    before = figure.get_size_inches()[1]
    plots.add_legend(figure, np.arange(21, dtype=np.uint8), None, voc.CLASSES, 255)
    sides = figure.subplotpars
    assert sides.bottom * figure.get_size_inches()[1] > 0.9 * (figure.get_size_inches()[1] - before)
    drawn(figure)
    legend = figure.legends[0].get_window_extent()
    assert legend.y1 < min(axes.get_window_extent().y0 for axes in figure.axes)
    assert legend.x0 >= 0 and legend.x1 <= figure.bbox.width


def test_the_palette_is_vocs():
    palette = voc.palette()
    assert palette[[0, 1, 8, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [64, 0, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_curves_and_bars_show_the_figures_they_are_given():
    log = [
        {"step": 1, "loss": 3.0, "cross_entropy": 2.9, "learning_rate": 0.1},
        {"step": 2, "loss": 2.0, "cross_entropy": 1.9, "learning_rate": 0.05},
    ]
    lines = plots.loss_curve(log).axes[0].get_lines()
    assert lines[0].get_ydata().tolist() == [3.0, 2.0] and lines[1].get_ydata().tolist() == [
        2.9,
        1.9,
    ]
    lines = plots.loss_curve(log + [{"step": 10, "validation_miou": 0.4}]).axes[0].get_lines()
    assert len(lines) == 3 and lines[2].get_ydata().tolist() == [0.4]
    figure = plots.class_bars(Scores(np.array([[3, 1], [0, 4]])), ["background", "sheep"])
    assert sorted(round(bar.get_width()) for bar in figure.axes[0].patches) == [75, 80]
    assert plots.words(figure).startswith("sheep 80, background 75")


def test_a_saved_picture_can_be_read_again(tmp_path):
    path = str(tmp_path / "x.png")
    plots.save(plots.show_row([("photograph", IMAGE)]), path)
    assert voc.read_image(path).std() > 0


def test_a_figure_has_words():
    log = [
        {"step": step, "loss": 1 / step, "cross_entropy": 1 / step, "learning_rate": 0.1}
        for step in (1, 2, 3)
    ]
    said = plots.words(plots.loss_curve(log))
    assert "loss" in said and "step" in said and "\n" not in said
    row = plots.words(
        plots.show_row(
            [("photograph", np.zeros((4, 5))), ("mask", np.zeros((4, 5)))], title="2007_000033"
        )
    )
    assert row == "2007_000033; photograph; mask"


def test_borders_are_told_apart():
    labels, truth = np.zeros((8, 8), int), np.zeros((8, 8), int)
    labels[:, 4:], truth[:4, 4:], truth[4:, 6:] = 1, 1, 1
    picture = plots.borders(np.zeros((8, 8, 3), np.uint8), labels, truth)
    assert tuple(picture[1, 3]) == plots.BORDER_COLOURS["both"]
    assert tuple(picture[6, 3]) == plots.BORDER_COLOURS["predicted"]
    assert tuple(picture[6, 5]) == plots.BORDER_COLOURS["mask"]
    assert tuple(picture[1, 1]) == (64, 64, 64)
