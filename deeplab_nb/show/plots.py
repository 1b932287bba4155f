"""Pictures: overlays with a legend, error maps, curves, palettes; each a Figure or an array."""

import matplotlib
import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb.data import voc
from deeplab_nb.files import MARK, beside
from deeplab_nb.training.log import steps_of, validations_of

# right: faint; wrong: red; ignored by the score: grey
ERROR_COLOURS = {"right": (232, 240, 232), "wrong": (200, 30, 30), "ignored": (160, 160, 160)}
# borders drawn on the photograph, and of both where they agree; far apart for every kind of eye
BORDER_COLOURS = {"predicted": (255, 160, 0), "mask": (0, 60, 255), "both": (255, 255, 255)}

# Red, green and blue in steps of 17. Each colour is, of all those whose steps are multiples of 3,
# the farthest from those before it for the eye that tells it apart worst; tests/show/test_palettes
# holds the search. From about 30 classes on some pairs come close: no palette of so many is safe.
_SAFE = """
    000 f0f 0f0 060 969 009 f96 606 9cf f06 03f 030 690 c99 cf9 303 333 639 936 9f6 c6c 6ff
    90c 0cc 096 6c0 963 09f c3c f9c 006 9c9 933 00c 93f ffc 609 636 c9f 069 600 c00 ff0 0c6
    699 036 939 fc9 f63 f30 ccc 633 f3c 6fc 003 c63 363 60c fc0 93c 300 039 96f 00f 900 cc6
    c66 966 603 fff 39c c33 c90 f90 306 0f9 993 c6f 03c f66 66c cfc ff9 669 cc0 999 cc9 660
    cff ccf cf0 9c6 60f 393 90f 3cf c3f c39 fc6 f6c c69 903 033 906 996 9f9 c36 cf6 330 099
    696 99f 3c9 630 336 c03 663 c60 9f0 36c f99 c30 066 f60 3f6 c0c 930 0c3 666 ff6 090 69c
    63c 9c0 f09 309 6cc 9fc 99c 9cc 9ff 6c6 c96 c0f 69f 36f c93 990 693 63f f0c 6f3 fcf 909
    fcc 6c9 c09 c06 f6f f93 339 f9f 66f f00 366 6f9 063 30c f33 c9c f03 f69 6f6 cc3 9c3 6c3
    33c 360 6cf 30f fc3 0c0 33f 369 06c 093 f36 3f3 06f 390 396 399 09c f39 39f 3c0 3c3 3c6
    0c9 3cc 96c 0cf 6f0 9f3 cf3 ff3 3f0 0f6 3f9 960 f3f 0fc 0ff 0f3 3fc
""".split()


def safe_palette():
    """Colours that people who see red and green alike tell apart, uint8 [256, 3], by class id.

    Background stays black and void VOC's cream.
    """
    table = [[17 * int(step, 16) for step in word] for word in _SAFE]
    colours = np.resize(np.array(table, np.uint8), (256, 3))
    colours[voc.VOID] = voc.palette()[voc.VOID]
    return colours


PALETTES = {"VOC": voc.palette, "colour-blind safe": safe_palette}


def coloured(labels, palette=None):
    """Class ids uint8 [h, w] as colours uint8 [h, w, 3]; palette: [256, 3], None takes VOC's."""
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


def borders(image, labels, truth=None):
    """The photograph, paler, with the borders of predicted classes and of the mask's.

    uint8 [h, w, 3] in BORDER_COLOURS. A border is a pixel whose right or lower neighbour has
    another class. Where the mask is void lies its own border, so that the band is drawn by its edge
    to either side.
    """
    picture = (image // 2 + 64).astype(np.uint8)
    predicted = _edges(labels)
    picture[predicted] = BORDER_COLOURS["predicted"]
    if truth is not None:
        masked = _edges(truth)
        picture[masked] = BORDER_COLOURS["mask"]
        picture[predicted & masked] = BORDER_COLOURS["both"]
    return picture


def _edges(labels):
    """Where a pixel differs from its right or lower neighbour, bool [h, w]."""
    found = np.zeros(labels.shape, bool)
    found[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    found[:-1] |= labels[:-1] != labels[1:]
    return found


def show_prediction(
    image, prediction, names, *, truth=None, ignore_label=voc.VOID, title="", strength=0.6
):
    """Photograph and prediction above a legend of the classes seen.

    With `truth` the mask and the error map too.
    """
    panels = [("photograph", image), ("prediction", overlay(image, prediction, strength))]
    if truth is not None:
        panels += [
            ("mask", overlay(image, truth, strength)),
            ("wrong pixels", error_map(prediction, truth, ignore_label)),
        ]
    figure = show_row(panels, title=title)
    add_legend(figure, prediction, truth, names, ignore_label, errors=truth is not None)
    return figure


def two_rows(panels):
    """Pictures in two rows, with room for captions above and a legend below.

    panels: as for `show_row`. Faster than a layout that is solved for.
    """
    columns, (height, breadth) = -(-len(panels) // 2), panels[0][1].shape[:2]
    width, caption, legend = 3.1, 0.3, 0.5  # inches
    row = width * height / breadth + caption
    total = 2 * row + legend
    figure = Figure(figsize=(width * columns, total))
    for place, panel in enumerate(panels, start=1):
        # a map of colours that is equal for every kind of eye
        _show((2, columns, place), figure, *panel, cmap="cividis", vmin=0, vmax=1)
    figure.subplots_adjust(
        left=0.005,
        right=0.995,
        top=1 - caption / total,
        bottom=legend / total,
        wspace=0.02,
        hspace=caption / row,
    )
    return figure


def show_row(panels, *, title="", width=3.4):
    """Pictures side by side: a list of (caption, array [h, w] or [h, w, 3])."""
    ratio = max(picture.shape[0] / picture.shape[1] for _, picture in panels)
    ratio = min(max(ratio, 0.3), 3)  # a panorama or a tower is shown narrower than its place
    figure = Figure(figsize=(width * len(panels), width * ratio + 0.9))
    for number, panel in enumerate(panels, start=1):
        _show((1, len(panels), number), figure, *panel)
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
        for c, panel in enumerate(row, start=1):
            _show((len(rows), columns, r * columns + c), figure, *panel, size=9)
    return figure


def _show(place, figure, caption, picture, *, size=10, **colours):
    """One picture of a figure. place: (rows, columns, number from 1)."""
    axes = figure.add_subplot(*place)
    axes.imshow(picture, interpolation="nearest", **colours)
    axes.set_title(caption, fontsize=size)
    axes.axis("off")


def add_legend(figure, labels, truth, names, ignore_label, *, errors=False, palette=None):
    """Names of the classes in labels and truth (or None), in their colours, at the lower edge."""
    seen = np.unique(labels if truth is None else [labels, truth])
    entries = [
        (names[i], coloured(i, palette)) for i in seen if i < len(names) and i != ignore_label
    ]
    if errors:
        entries += [("wrong", ERROR_COLOURS["wrong"]), ("not scored", ERROR_COLOURS["ignored"])]
    handles = [
        patches.Patch(
            facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name
        )
        for name, colour in entries
    ]
    breadth, height = figure.get_size_inches()
    name = max([len(name) for name, _ in entries], default=1)
    columns = max(1, min(8, int(breadth / (0.4 + 0.08 * name))))
    # rows that find no place below the pictures make the figure higher
    more = max(0, 0.19 * -(-len(handles) // columns) + 0.1 - figure.subplotpars.bottom * height)
    if more:
        sides = figure.subplotpars
        bottom, top = (
            (side * height + more) / (height + more) for side in (sides.bottom, sides.top)
        )
        figure.set_size_inches(breadth, height + more)
        figure.subplots_adjust(bottom=bottom, top=top)
    figure.legend(handles=handles, loc="lower center", ncol=columns, fontsize=8, frameon=False)


def loss_curve(log):
    """Loss, learning rate and quick validations over the steps.

    log: entries as `training.log.read_log` returns them.
    """
    figure = Figure(figsize=(8, 3.2))
    axes = figure.add_subplot(1, 1, 1)
    steps, validations = steps_of(log), validations_of(log)

    def curve(axes, entries, name, label, style="-", **look):
        there = [entry for entry in entries if name in entry]
        steps, values = ([entry[key] for entry in there] for key in ("step", name))
        axes.plot(steps, values, style, label=label, **look)

    curve(axes, steps, "loss", "loss")
    curve(axes, steps, "cross_entropy", "cross-entropy alone")
    if validations:
        curve(
            axes, validations, "validation_miou", "mIoU of quick validations", "o-", color="#3a7d44"
        )
    axes.set(xlabel="step", ylabel="loss" + ", mIoU" * bool(validations))
    rate = axes.twinx()
    curve(rate, steps, "learning_rate", "learning rate (right)", ":", color="grey")
    rate.set_ylabel("learning rate")
    figure.legend(loc="upper right", bbox_to_anchor=(0.88, 0.92), fontsize=8)
    return figure


def class_bars(scores, names):
    """IoU of each class that the masks show, best first."""
    return bars(dict(zip(names, scores.iou)), scores.mean_iou)


def bars(ious, mean):
    """Bars of {class: IoU 0..1}, best first, and a dotted line at their mean.

    ious: in the order of class ids; None or NaN for a class that no mask shows.
    """
    names, values = list(ious), 100 * np.array(list(ious.values()), float)
    order = [i for i in np.argsort(values, kind="stable") if values[i] >= 0]
    figure = Figure(figsize=(6, 0.28 * len(order) + 0.8), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    axes.barh(
        [names[i] for i in order],
        values[order],
        color=voc.palette()[order] / 255,
        edgecolor="black",
        linewidth=0.5,
    )
    axes.axvline(100 * mean, color="black", linestyle=":")
    axes.set(xlim=(0, 100), xlabel="IoU in percent; dotted: their mean")
    return figure


def inline():
    """From here on this notebook shows a Figure as a picture that carries its words.

    They are for readers who hear it.
    """
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


def save(figure, path, mark=None):
    """Writes a figure as PNG; mark: as for `voc.write_mask`."""
    with beside(path) as part:
        figure.savefig(part, format="png", dpi=100, metadata={MARK: mark} if mark else None)


matplotlib.rcParams["figure.dpi"] = 80  # pictures in notebooks stay small
