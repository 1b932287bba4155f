"""Pictures: overlays with a legend, error maps, curves. Every function returns a matplotlib Figure or an array."""
import matplotlib
import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb.data import voc
from deeplab_nb.training.log import steps_of, validations_of

STRIDE_COLOURS = {8: "#d9822b", 16: "#3d6fa3", 32: "#7a7a7a"}
RATE_COLOURS = ("#d5dde6", "#8fb3d4", "#3d6fa3", "#1d3d5f")  # atrous rate 1, 2, up to 4, higher

# right: faint; wrong: red; ignored by the score: grey
ERROR_COLOURS = {"right": (232, 240, 232), "wrong": (200, 30, 30), "ignored": (160, 160, 160)}

# what a change of prediction did, faint where there was none
CHANGE_COLOURS = {"as before": (232, 240, 232), "now right": (40, 110, 190), "now wrong": (200, 30, 30),
                  "wrong both times": (230, 170, 60), "ignored": (160, 160, 160)}


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


def change_map(before, after, truth, ignore_label):
    """What two predictions differ in, judged by the mask: uint8 [h, w, 3] in CHANGE_COLOURS."""
    picture = np.empty(truth.shape + (3,), np.uint8)
    picture[...] = CHANGE_COLOURS["as before"]
    changed = before != after
    picture[changed] = CHANGE_COLOURS["wrong both times"]
    picture[changed & (after == truth)] = CHANGE_COLOURS["now right"]
    picture[changed & (before == truth)] = CHANGE_COLOURS["now wrong"]
    picture[truth == ignore_label] = CHANGE_COLOURS["ignored"]
    return picture


def show_change(image, before, after, truth, *, ignore_label=voc.VOID, title=""):
    """Photograph, two predictions of it, and where they differ."""
    figure = show_row([("photograph", image), ("before", overlay(image, before)), ("after", overlay(image, after)),
                       ("what changed", change_map(before, after, truth, ignore_label))], title=title)
    handles = [patches.Patch(facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name)
               for name, colour in CHANGE_COLOURS.items()]
    figure.legend(handles=handles, loc="lower center", ncol=len(handles), fontsize=8, frameon=False)
    return figure


def trimap_curve(curves):
    """Mean IoU near object borders: {name: `Scores.trimap`} (1802.02611, Figure 5)."""
    figure = Figure(figsize=(6, 3.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for name, trimap in curves.items():
        axes.plot(list(trimap), [100 * miou for miou in trimap.values()], marker="o", label=name)
    axes.set(xlabel="pixels from an object border, up to", ylabel="mean IoU in percent")
    axes.legend(fontsize=8)
    return figure


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


def add_legend(figure, ids, names, ignore_label=voc.VOID, *, errors=False, palette=None):
    """Class names in their colours along the lower edge."""
    entries = [(names[i], coloured(i, palette)) for i in sorted(ids) if i < len(names) and i != ignore_label]
    if errors:
        entries += [("wrong", ERROR_COLOURS["wrong"]), ("not scored", ERROR_COLOURS["ignored"])]
    handles = [patches.Patch(facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name)
               for name, colour in entries]
    figure.legend(handles=handles, loc="lower center", ncol=min(len(handles), 8), fontsize=8, frameon=False)


def loss_curve(log):
    """Loss, learning rate and quick validations over the steps, from `training.log.read_log`'s entries."""
    figure = Figure(figsize=(8, 3.2))
    axes = figure.add_subplot(1, 1, 1)
    steps, validations = steps_of(log), validations_of(log)
    numbers = [entry["step"] for entry in steps]
    axes.plot(numbers, [entry["loss"] for entry in steps], label="loss")
    axes.plot(numbers, [entry["cross_entropy"] for entry in steps], label="cross-entropy alone")
    if validations:
        axes.plot([entry["step"] for entry in validations], [entry["validation_miou"] for entry in validations],
                  "o-", color="#3a7d44", label="mIoU of quick validations")
    axes.set(xlabel="step", ylabel="loss" + ", mIoU" * bool(validations))
    rate = axes.twinx()
    rate.plot(numbers, [entry["learning_rate"] for entry in steps], color="grey", linestyle=":", label="learning rate (right)")
    rate.set_ylabel("learning rate")
    figure.legend(loc="upper right", bbox_to_anchor=(0.88, 0.92), fontsize=8)
    return figure


def class_bars(scores, names):
    """IoU of each class that the masks show, best first."""
    order = sorted(np.flatnonzero(scores.present), key=lambda i: scores.iou[i])
    return bars([(names[i], 100 * scores.iou[i], voc.palette()[i] / 255) for i in order], 100 * scores.mean_iou)


def bars(rows, mean):
    """Rows (name, percent, colour) from below, and a dotted line at their mean."""
    figure = Figure(figsize=(6, 0.28 * len(rows) + 0.8), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    names, values, colours = zip(*rows)
    axes.barh(names, values, color=colours, edgecolor="black", linewidth=0.5)
    axes.axvline(mean, color="black", linestyle=":")
    axes.set(xlim=(0, 100), xlabel="IoU in percent; dotted: their mean")
    return figure


def cost_bars(rows):
    """Multiply-adds, logarithmic: rows of (network, {output stride: billions}, {output stride: published billions})."""
    figure = Figure(figsize=(8, 0.62 * len(rows) + 1.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for row, (_, counted, published) in enumerate(rows):
        for place, stride in enumerate(sorted(counted, reverse=True)):
            y = row + 0.38 * place - 0.19
            axes.barh(y, counted[stride], height=0.36, color=STRIDE_COLOURS[stride],
                      label="" if row else "output stride {}".format(stride))
            axes.text(counted[stride] * 1.12, y, "{:.2f}".format(counted[stride]), va="center", fontsize=9)
            if stride in published:
                axes.plot([published[stride]] * 2, [y - 0.18, y + 0.18], color="black", linewidth=2.5)
    axes.plot([], [], color="black", linewidth=2.5, label="published")
    axes.set(xscale="log", xlim=(0.1, 1000), yticks=range(len(rows)),
             xlabel="billions of multiply-adds for one image of 513 x 513")
    axes.set_yticklabels([name for name, _, _ in rows])
    axes.invert_yaxis()
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncol=3, fontsize=8, frameon=False)
    return figure


def staircase(stages, output_strides):
    """The map's side after each of `anatomy.stages`, a row of bars for each output stride, darker at higher atrous rates."""
    figure = Figure(figsize=(0.55 * len(stages) + 2, 2.1 * len(output_strides) + 1.3), constrained_layout=True)
    for row, stride in enumerate(output_strides):
        axes = figure.add_subplot(len(output_strides), 1, row + 1)
        sides, rates = ([getattr(stage, what)[row] for stage in stages] for what in ("sides", "rates"))
        axes.bar(range(len(stages)), sides, width=0.92, color=[_rate_colour(rate) for rate in rates])
        for place, side in enumerate(sides):
            axes.text(place, side, side, ha="center", va="bottom", fontsize=9)
        axes.set(ylim=(0, 1.18 * max(sides)), xticks=range(len(stages)), yticks=[], xlim=(-0.6, len(stages) - 0.4))
        axes.set_title("output stride {}".format(stride), fontsize=10, loc="left")
        axes.set_xticklabels([stage.name for stage in stages] if stride == output_strides[-1] else [],
                             rotation=35, ha="right", fontsize=8)
        for edge in ("top", "right", "left"):
            axes.spines[edge].set_visible(False)
    handles = [patches.Patch(color=colour, label=text)
               for colour, text in zip(RATE_COLOURS, ("rate 1", "rate 2", "rate 3 or 4", "higher rate"))]
    figure.axes[0].legend(handles=handles, loc="upper right", fontsize=8, frameon=False)
    return figure


def scaling(curves):
    """Share of full speed over the number of cards: (name, [(cards, share)], {cards: published share}) each."""
    figure = Figure(figsize=(7, 3.4), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for name, points, published in curves:
        line, = axes.plot(*zip(*((cards, 100 * share) for cards, share in points)), marker="o", markersize=4, label=name)
        for cards, share in published.items():
            axes.plot(cards, 100 * share, marker="*", markersize=13, color=line.get_color(), linestyle="none")
    counts = [cards for cards, _ in curves[0][1]]
    axes.plot([], [], marker="*", markersize=10, color="black", linestyle="none", label="published")
    axes.set_xscale("log", base=2)
    axes.set(xticks=counts, ylim=(0, 110), xlabel="cards", ylabel="percent of full speed")
    axes.set_xticklabels(counts)
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def _rate_colour(rate):
    return RATE_COLOURS[0 if rate == 1 else 1 if rate == 2 else 2 if rate <= 4 else 3]


def show_taps(rates):
    """Where the nine weights of a 3 x 3 kernel lie at each atrous rate, on equal grids of pixels."""
    reach = max(rates) + 1
    panels = []
    for rate in rates:
        grid = np.zeros((2 * reach + 1, 2 * reach + 1))
        grid[reach - rate:reach + rate + 1:rate, reach - rate:reach + rate + 1:rate] = 1
        panels.append(("rate {}: {} pixels wide".format(rate, 2 * rate + 1), grid))
    return show_row(panels, width=2.2)


def show_seen(panels):
    """How much each pixel counts: (caption, array [h, w]), from 1 (bright) to a thousandth (dark), the seen part framed."""
    figure = show_row([("{}\n{} x {} pixels seen".format(caption, *seen_box(seen)[2:]), np.log10(np.maximum(seen, 1e-3)))
                       for caption, seen in panels], width=3)
    for axes, (_, seen) in zip(figure.axes, panels):
        top, left, height, width = seen_box(seen)
        axes.add_patch(patches.Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor="white", linestyle=":"))
    return figure


def seen_box(seen):
    """(top, left, height, width) of the pixels that count at all."""
    places = np.argwhere(seen > 0)
    top, left = places.min(axis=0)
    height, width = places.max(axis=0) - (top, left) + 1
    return top, left, height, width


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
        found += [axes.get_title(), " over ".join(filter(None, [axes.get_ylabel(), axes.get_xlabel()]))]
    legends = figure.legends + [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    found += [", ".join(text.get_text() for text in legend.get_texts()) for legend in legends]
    return "; ".join(" ".join(part.split()) for part in found if part)


def save(figure, path):
    """Writes a figure as PNG."""
    figure.savefig(path, dpi=100)


matplotlib.rcParams["figure.dpi"] = 80  # pictures in notebooks stay small
