"""Pictures: overlays with a legend, error maps, curves. Every function returns a matplotlib Figure or an array."""

import matplotlib
import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb.data import voc
from deeplab_nb.training.log import steps_of, validations_of

# right: faint; wrong: red; ignored by the score: grey
ERROR_COLOURS = {"right": (232, 240, 232), "wrong": (200, 30, 30), "ignored": (160, 160, 160)}


def coloured(labels, palette=None):
    """Class ids uint8 [h, w] as colours uint8 [h, w, 3]; palette: colours [256, 3], None takes VOC's."""
    return (voc.palette() if palette is None else palette)[labels]


def overlay(image, labels, strength=0.6, palette=None):
    """The photograph with its classes laid over it, uint8 [h, w, 3]; background stays as it is.

    strength: 0 shows the photograph alone, 1 the classes alone.
    """
    mixed = (1 - strength) * image + strength * coloured(labels, palette)
    return np.where((labels == 0)[..., None], image, mixed).astype(np.uint8)


def error_map(prediction, truth, ignore_label):
    """Where prediction and mask differ, uint8 [h, w, 3] in ERROR_COLOURS."""
    picture = np.empty(truth.shape + (3,), np.uint8)
    picture[...] = ERROR_COLOURS["right"]
    picture[prediction != truth] = ERROR_COLOURS["wrong"]
    picture[truth == ignore_label] = ERROR_COLOURS["ignored"]
    return picture


def show_prediction(
    image, prediction, names, *, truth=None, ignore_label=voc.VOID, title="", strength=0.6
):
    """Photograph and prediction, and with `truth` the mask and the error map too, above a legend of the classes seen."""
    panels = [("photograph", image), ("prediction", overlay(image, prediction, strength))]
    seen = set(np.unique(prediction))
    if truth is not None:
        panels += [
            ("mask", overlay(image, truth, strength)),
            ("wrong pixels", error_map(prediction, truth, ignore_label)),
        ]
        seen |= set(np.unique(truth))
    figure = show_row(panels, title=title)
    add_legend(figure, seen, names, ignore_label, errors=truth is not None)
    return figure


def show_row(panels, *, title="", width=3.4):
    """Pictures side by side: a list of (caption, array [h, w] or [h, w, 3])."""
    ratio = max(picture.shape[0] / picture.shape[1] for _, picture in panels)
    figure = Figure(figsize=(width * len(panels), width * ratio + 0.9))
    for number, (caption, picture) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.imshow(picture, interpolation="nearest")
        axes.set_title(caption, fontsize=10)
        axes.axis("off")
    figure.suptitle(title, fontsize=11)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.84, bottom=0.12, wspace=0.03)
    return figure


def show_grid(rows, *, width=2.6):
    """Rows of (caption, array) pictures, such as photographs above their masks."""
    columns = max(map(len, rows))
    ratio = max(picture.shape[0] / picture.shape[1] for row in rows for _, picture in row)
    figure = Figure(
        figsize=(width * columns, (width * ratio + 0.25) * len(rows)), constrained_layout=True
    )
    for r, row in enumerate(rows):
        for c, (caption, picture) in enumerate(row):
            axes = figure.add_subplot(len(rows), columns, r * columns + c + 1)
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(caption, fontsize=9)
            axes.axis("off")
    return figure


def add_legend(figure, ids, names, ignore_label=voc.VOID, *, errors=False, palette=None):
    """Class names in their colours along the lower edge."""
    entries = [
        (names[i], coloured(i, palette))
        for i in sorted(ids)
        if i < len(names) and i != ignore_label
    ]
    if errors:
        entries += [("wrong", ERROR_COLOURS["wrong"]), ("not scored", ERROR_COLOURS["ignored"])]
    handles = [
        patches.Patch(
            facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name
        )
        for name, colour in entries
    ]
    figure.legend(
        handles=handles, loc="lower center", ncol=min(len(handles), 8), fontsize=8, frameon=False
    )


def loss_curve(log):
    """Loss, learning rate and quick validations over the steps, from `training.log.read_log`'s entries."""
    figure = Figure(figsize=(8, 3.2))
    axes = figure.add_subplot(1, 1, 1)
    steps, validations = steps_of(log), validations_of(log)
    numbers = [entry["step"] for entry in steps]
    axes.plot(numbers, [entry["loss"] for entry in steps], label="loss")
    axes.plot(numbers, [entry["cross_entropy"] for entry in steps], label="cross-entropy alone")
    if validations:
        axes.plot(
            [entry["step"] for entry in validations],
            [entry["validation_miou"] for entry in validations],
            "o-",
            color="#3a7d44",
            label="mIoU of quick validations",
        )
    axes.set(xlabel="step", ylabel="loss" + ", mIoU" * bool(validations))
    rate = axes.twinx()
    rate.plot(
        numbers,
        [entry["learning_rate"] for entry in steps],
        color="grey",
        linestyle=":",
        label="learning rate (right)",
    )
    rate.set_ylabel("learning rate")
    figure.legend(loc="upper right", bbox_to_anchor=(0.88, 0.92), fontsize=8)
    return figure


def class_bars(scores, names):
    """IoU of each class that the masks show, best first."""
    order = sorted(np.flatnonzero(scores.present), key=lambda i: scores.iou[i])
    return bars(
        [(names[i], 100 * scores.iou[i], voc.palette()[i] / 255) for i in order],
        100 * scores.mean_iou,
    )


def bars(rows, mean):
    """Rows (name, percent, colour) from below, and a dotted line at their mean."""
    figure = Figure(figsize=(6, 0.28 * len(rows) + 0.8), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    names, values, colours = zip(*rows)
    axes.barh(names, values, color=colours, edgecolor="black", linewidth=0.5)
    axes.axvline(mean, color="black", linestyle=":")
    axes.set(xlim=(0, 100), xlabel="IoU in percent; dotted: their mean")
    return figure


def inline():
    """From here on this notebook shows a Figure as a picture that carries its words, for readers who hear it."""
    from IPython import get_ipython  # slow to load, and only notebooks need it
    from IPython.core.pylabtools import print_figure

    pictures = get_ipython().display_formatter.formatters["image/png"]
    pictures.for_type(Figure, lambda figure: (print_figure(figure), {"alt": words(figure)}))


def words(figure):
    """What stands in a Figure as one line: titles, axes, names of colours and curves."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [
            axes.get_title(),
            " over ".join(filter(None, [axes.get_ylabel(), axes.get_xlabel()])),
        ]
    legends = figure.legends + [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    found += [", ".join(text.get_text() for text in legend.get_texts()) for legend in legends]
    return "; ".join(" ".join(part.split()) for part in found if part)


def save(figure, path):
    """Writes a figure as PNG."""
    figure.savefig(path, dpi=100)


matplotlib.rcParams["figure.dpi"] = 80  # pictures in notebooks stay small
