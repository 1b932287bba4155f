import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from deeplab_nb.data import voc
from deeplab_nb.evaluation.metrics import Scores
from deeplab_nb.show import plots
from lessons.anatomy import Stage

IMAGE = np.full((20, 30, 3), 100, np.uint8)
LABELS = np.zeros((20, 30), np.uint8)
LABELS[5:10, 5:10] = 17
TRUTH = LABELS.copy()
TRUTH[5:10, 9] = 0
TRUTH[0] = 255


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


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


def test_the_change_map_judges_by_the_mask():
    after = TRUTH.copy()
    after[6, 5], after[7, 9] = 3, 4
    picture = plots.change_map(LABELS, after, TRUTH, 255)
    colour = lambda y, x: next(name for name, c in plots.CHANGE_COLOURS.items() if tuple(picture[y, x]) == c)  # noqa: E731
    assert [colour(6, 6), colour(6, 9), colour(6, 5), colour(7, 9), colour(0, 0)] == list(plots.CHANGE_COLOURS)
    assert len(plots.show_change(IMAGE, LABELS, after, TRUTH).axes) == 4


def test_the_trimap_curve_shows_percent():
    line, = plots.trimap_curve({"stride 16": {1: 0.5, 5: 0.75}}).axes[0].get_lines()
    assert line.get_xdata().tolist() == [1, 5] and line.get_ydata().tolist() == [50, 75]


def test_the_legend_names_the_classes_seen_and_no_other():
    figure = plots.show_prediction(IMAGE, LABELS, voc.CLASSES, truth=TRUTH, title="here")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["background", "sheep", "wrong", "not scored"]
    assert len(figure.axes) == 4 and drawn(figure).std() > 0


def test_the_palette_is_vocs():
    palette = voc.palette()
    assert palette[[0, 1, 8, 15, 20, 255]].tolist() == [
        [0, 0, 0], [128, 0, 0], [64, 0, 0], [192, 128, 128], [0, 64, 128], [224, 224, 192]]


def test_curves_and_bars_show_the_figures_they_are_given():
    log = [{"step": 1, "loss": 3.0, "cross_entropy": 2.9, "learning_rate": 0.1},
           {"step": 2, "loss": 2.0, "cross_entropy": 1.9, "learning_rate": 0.05}]
    lines = plots.loss_curve(log).axes[0].get_lines()
    assert lines[0].get_ydata().tolist() == [3.0, 2.0] and lines[1].get_ydata().tolist() == [2.9, 1.9]
    lines = plots.loss_curve(log + [{"step": 10, "validation_miou": 0.4}]).axes[0].get_lines()
    assert len(lines) == 3 and lines[2].get_ydata().tolist() == [0.4]
    bars = plots.class_bars(Scores(np.array([[3, 1], [0, 4]])), ["background", "sheep"]).axes[0].patches
    assert sorted(round(bar.get_width()) for bar in bars) == [75, 80]


def test_cost_bars_set_the_published_figures_beside_the_counted():
    axes = plots.cost_bars([("one", {16: 2.0, 8: 6.0}, {16: 2.1}), ("two", {16: 50.0, 8: 150.0}, {})]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [2.0, 6.0, 50.0, 150.0]
    assert [line.get_xdata()[0] for line in axes.get_lines() if len(line.get_xdata())] == [2.1]


def test_a_staircase_is_as_high_as_the_maps_and_darker_at_higher_rates():
    stages = [Stage("first", 8, (65, 65), (1, 1)), Stage("last", 16, (33, 65), (1, 12))]
    coarse, dense = plots.staircase(stages, (16, 8)).axes
    assert [bar.get_height() for bar in coarse.patches] == [65, 33] and [bar.get_height() for bar in dense.patches] == [65, 65]
    assert sum(dense.patches[1].get_facecolor()[:3]) < sum(dense.patches[0].get_facecolor()[:3])


def test_taps_are_nine_at_any_rate():
    figure = plots.show_taps((1, 12))
    grids = [axes.images[0].get_array() for axes in figure.axes]
    assert [grid.sum() for grid in grids] == [9, 9] and grids[0].shape == grids[1].shape
    assert figure.axes[1].get_title() == "rate 12: 25 pixels wide" and drawn(figure).std() > 0


def test_what_is_seen_is_framed():
    seen = np.zeros((9, 9))
    seen[2:5, 3:8] = 0.5
    figure = plots.show_seen([("here", seen)])
    assert plots.seen_box(seen) == (2, 3, 3, 5)
    assert figure.axes[0].get_title() == "here\n3 x 5 pixels seen" and len(figure.axes[0].patches) == 1


def test_a_saved_picture_can_be_read_again(tmp_path):
    path = str(tmp_path / "x.png")
    plots.save(plots.show_row([("photograph", IMAGE)]), path)
    assert voc.read_image(path).std() > 0


def test_a_figure_has_words():
    log = [{"step": step, "loss": 1 / step, "cross_entropy": 1 / step, "learning_rate": 0.1} for step in (1, 2, 3)]
    said = plots.words(plots.loss_curve(log))
    assert "loss" in said and "step" in said and "\n" not in said
    row = plots.words(plots.show_row([("photograph", np.zeros((4, 5))), ("mask", np.zeros((4, 5)))], title="2007_000033"))
    assert row == "2007_000033; photograph; mask"
