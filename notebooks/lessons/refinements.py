"""What each refinement of evaluation brings and costs, for notebook 05 (1802.02611, Table 3)."""

import collections

import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.settings import SIX_SCALES
from deeplab_nb.show.plots import overlay, show_row

# name and what is set for it; each step keeps what the ones before it set
STEPS = (
    (
        "output stride 16, one scale",
        {"eval_output_stride": 16, "eval_scales": (1.0,), "eval_flip": False},
    ),
    ("six scales", {"eval_scales": SIX_SCALES}),
    ("mirrored too", {"eval_flip": True}),
    ("output stride 8", {"eval_output_stride": 8}),
)

# what a change of prediction did, faint where there was none
CHANGE_COLOURS = {
    "as before": (232, 240, 232),
    "now right": (40, 110, 190),
    "now wrong": (200, 30, 30),
    "wrong both times": (230, 170, 60),
    "ignored": (160, 160, 160),
}

# miou: of the list; gain: over the row before, 0 in the first; seconds: an image
Gain = collections.namedtuple("Gain", "name settings miou gain seconds")


def gains(settings, checkpoint, *, ids=None):
    """[`Gain`] of each of STEPS, from one evaluation each; arguments as for `evaluate.evaluate`."""
    rows = []
    for name, values in STEPS:
        settings = settings_module.override(settings, values)
        results = evaluate(settings, checkpoint, ids=ids).results
        rows.append(
            Gain(
                name,
                settings,
                results["miou"],
                results["miou"] - rows[-1].miou if rows else 0.0,
                results["seconds_an_image"],
            )
        )
    return rows


def table(rows):
    """Plain text: a line a step, with mIoU and gain in percent, and seconds an image.

    The last column is their multiple of the first row's.
    """
    lines = [f"{'':28s}  mIoU %    gain s an image   times"]
    for row in rows:
        times = row.seconds / rows[0].seconds
        scores = f"{100 * row.miou:7.2f} {100 * row.gain:+7.2f}"
        lines.append(f"{row.name:28s} {scores} {row.seconds:10.3f} {times:7.1f}")
    return "\n".join(lines)


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
    figure = show_row(
        [
            ("photograph", image),
            ("before", overlay(image, before)),
            ("after", overlay(image, after)),
            ("what changed", change_map(before, after, truth, ignore_label)),
        ],
        title=title,
    )
    handles = [
        patches.Patch(
            facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name
        )
        for name, colour in CHANGE_COLOURS.items()
    ]
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
