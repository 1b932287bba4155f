"""Pictures: overlays with a legend, error maps, curves. Every function returns a matplotlib Figure or an array."""
import matplotlib
import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb.data import voc

# right: faint; wrong: red; ignored by the score: grey
ERROR_COLOURS = {"right": (232, 240, 232), "wrong": (200, 30, 30), "ignored": (160, 160, 160)}


def coloured(labels):
    """Class ids uint8 [h, w] in VOC's colours, uint8 [h, w, 3]; any class count up to 255."""
    return voc.palette()[labels]


def overlay(image, labels, strength=0.6):
    """The photograph with its classes laid over it, uint8 [h, w, 3]; background stays as it is.

    strength: 0 shows the photograph alone, 1 the classes alone.
    """
    mixed = (1 - strength) * image + strength * coloured(labels)
    return np.where((labels == 0)[..., None], image, mixed).astype(np.uint8)


def error_map(prediction, truth, ignore_label):
    """Where prediction and mask differ, uint8 [h, w, 3] in ERROR_COLOURS."""
    picture = np.empty(truth.shape + (3,), np.uint8)
    picture[...] = ERROR_COLOURS["right"]
    picture[prediction != truth] = ERROR_COLOURS["wrong"]
    picture[truth == ignore_label] = ERROR_COLOURS["ignored"]
    return picture


def show_prediction(image, prediction, names, *, truth=None, ignore_label=voc.VOID, title="", strength=0.6):
    """Photograph and prediction, and with `truth` the mask and the error map too, above a legend of the classes seen."""
    panels = [("photograph", image), ("prediction", overlay(image, prediction, strength))]
    seen = set(np.unique(prediction))
    if truth is not None:
        panels += [("mask", overlay(image, truth, strength)), ("wrong pixels", error_map(prediction, truth, ignore_label))]
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
    figure = Figure(figsize=(width * columns, (width * ratio + 0.25) * len(rows)), constrained_layout=True)
    for r, row in enumerate(rows):
        for c, (caption, picture) in enumerate(row):
            axes = figure.add_subplot(len(rows), columns, r * columns + c + 1)
            axes.imshow(picture, interpolation="nearest")
            axes.set_title(caption, fontsize=9)
            axes.axis("off")
    return figure


def add_legend(figure, ids, names, ignore_label=voc.VOID, *, errors=False):
    """Class names in their colours along the lower edge."""
    entries = [(names[i], voc.palette()[i]) for i in sorted(ids) if i < len(names) and i != ignore_label]
    if errors:
        entries += [("wrong", ERROR_COLOURS["wrong"]), ("not scored", ERROR_COLOURS["ignored"])]
    handles = [patches.Patch(facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name)
               for name, colour in entries]
    figure.legend(handles=handles, loc="lower center", ncol=min(len(handles), 8), fontsize=8, frameon=False)


def loss_curve(log):
    """Loss and learning rate over the steps, from `training.loop.read_log`'s entries."""
    figure = Figure(figsize=(8, 3.2))
    axes = figure.add_subplot(1, 1, 1)
    steps = [entry["step"] for entry in log]
    axes.plot(steps, [entry["loss"] for entry in log], label="loss")
    axes.plot(steps, [entry["cross_entropy"] for entry in log], label="cross-entropy alone")
    axes.set(xlabel="step", ylabel="loss")
    rate = axes.twinx()
    rate.plot(steps, [entry["learning_rate"] for entry in log], color="grey", linestyle=":", label="learning rate (right)")
    rate.set_ylabel("learning rate")
    figure.legend(loc="upper right", bbox_to_anchor=(0.88, 0.92), fontsize=8)
    return figure


def class_bars(scores, names):
    """IoU of each class that the masks show, best first."""
    order = sorted(np.flatnonzero(scores.present), key=lambda i: scores.iou[i])
    figure = Figure(figsize=(6, 0.28 * len(order) + 0.8), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    axes.barh([names[i] for i in order], [100 * scores.iou[i] for i in order],
              color=[voc.palette()[i] / 255 for i in order], edgecolor="black", linewidth=0.5)
    axes.axvline(100 * scores.mean_iou, color="black", linestyle=":")
    axes.set(xlim=(0, 100), xlabel="IoU in percent; dotted: their mean")
    return figure


def save(figure, path):
    """Writes a figure as PNG."""
    figure.savefig(path, dpi=100)


matplotlib.rcParams["figure.dpi"] = 80  # pictures in notebooks stay small
