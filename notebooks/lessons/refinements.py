"""What each refinement of evaluation brings and costs, for notebook 05 (1802.02611, Table 3)."""

import collections
import contextlib

import numpy as np
from matplotlib import patches
from matplotlib.figure import Figure

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.network.deeplab import build_logits
from deeplab_nb.settings import SIX_SCALES
from deeplab_nb.show import plots
from deeplab_nb.show.plots import overlay, show_row
from deeplab_nb.tf1 import host_session, tf

# name and what is set for it; each step keeps what the ones before it set
STEPS = (
    (
        "output stride 16, one scale",
        {"eval_output_stride": 16, "eval_scales": (1.0,), "eval_flip": False},
    ),
    ("six scales", {"eval_scales": SIX_SCALES}),
    ("flip too", {"eval_flip": True}),
    ("output stride 8", {"eval_output_stride": 8}),
)

# what a change of prediction did
CHANGE_COLOURS = {
    "as before": plots.ERROR_COLOURS["right"],
    "now right": (40, 110, 190),
    "now wrong": plots.ERROR_COLOURS["wrong"],
    "wrong both times": (230, 130, 20),
    "ignored": plots.ERROR_COLOURS["ignored"],
}

# miou: of the list; gain: over the row before, 0 in the first; seconds: an image
Gain = collections.namedtuple("Gain", "name settings miou gain seconds")


@contextlib.contextmanager
def network_of(settings, checkpoint):
    """The plain network of a checkpoint, as a function from images to logits.

    images: float32 [batch, height, width, 3] in 0..255, of any size.
    """
    with tf.Graph().as_default(), host_session() as session:
        images = tf.placeholder(tf.float32, (None, None, None, 3))
        logits = build_logits(images, settings=settings.for_evaluation())
        restore(session, checkpoint, tf.global_variables(), complete=True)
        yield lambda values: session.run(logits, {images: values})


def resize(maps, size):
    """Bilinear, corners on corners: [batch, h, w, channels] to [batch, *size, channels]."""
    for axis, new in zip((1, 2), size):
        old = maps.shape[axis]
        at = np.linspace(0, old - 1, new).astype(np.float32)
        low = np.minimum(at.astype(int), max(old - 2, 0))
        shape = [1, 1, 1, 1]
        shape[axis] = new
        share = (at - low).reshape(shape)
        first, second = maps.take(low, axis), maps.take(np.minimum(low + 1, old - 1), axis)
        maps = first + (second - first) * share
    return maps


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


def saved_pair(run, image_id):
    """(mask, the prediction that the run's evaluation saved), each uint8 [h, w]."""
    paths = voc.mask_path(run.data_root, image_id), run.prediction_path(image_id)
    return tuple(voc.read_mask(path)[0] for path in paths)


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


def show_change(image, before, after, truth, names, *, ignore_label=voc.VOID, title=""):
    """Photograph, two predictions of it, and where they differ, above both legends."""
    changed = change_map(before, after, truth, ignore_label)
    figure = show_row(
        [
            (f"photograph {title}".strip(), image),
            ("before", overlay(image, before)),
            ("after", overlay(image, after)),
            ("what changed", changed),
        ]
    )
    plots.add_legend(figure, before, after, names, ignore_label)
    handles = [
        patches.Patch(
            facecolor=np.divide(colour, 255), edgecolor="black", linewidth=0.5, label=name
        )
        for name, colour in CHANGE_COLOURS.items()
    ]
    figure.legend(handles=handles, loc="upper right", ncol=len(handles), fontsize=10, frameon=False)
    same, right, wrong = (
        np.mean((changed == CHANGE_COLOURS[name]).all(-1))
        for name in ("as before", "now right", "now wrong")
    )
    figure.set_label(
        f"{figure.get_label()}; {same:.1%} of the pixels are as before, "
        f"{right:.1%} became right, {wrong:.1%} wrong"
    )
    return figure


def show_confusion(confusion, names):
    """A picture of the matrix: which share of each class's mask pixels is predicted as which.

    Rows: classes that the masks show; columns: those and what is predicted though no mask shows it.
    """
    rows = np.flatnonzero(confusion.sum(1))
    columns = np.flatnonzero(confusion.sum(1) + confusion.sum(0))
    shares = 100 * confusion[rows][:, columns] / confusion[rows].sum(1, keepdims=True)
    side = 1.8 + 0.4 * len(columns)
    figure = Figure(figsize=(side + 0.4, 1.2 + 0.36 * len(rows)), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=10, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.5:
            dark = "white" if share > 45 else "black"
            axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=dark, fontsize=9)
    axes.set(xticks=range(len(columns)), yticks=range(len(rows)), xlabel="predicted as")
    axes.set_xticklabels([names[i] for i in columns], rotation=60, ha="right")
    axes.set_yticklabels([names[i] for i in rows])
    axes.set_ylabel("class in the mask")
    axes.set_title("percent of a class's mask pixels", fontsize=11)
    wrong = confusion - np.diag(np.diag(confusion))
    row, column = np.unravel_index(wrong.argmax(), wrong.shape)
    figure.set_label(f"the largest confusion is {names[row]} taken for {names[column]}")
    return figure


def trimap_curve(curves):
    """Mean IoU near object borders: {name: `Scores.trimap`} (1802.02611, Figure 5)."""
    figure = Figure(figsize=(6, 3.2), constrained_layout=True)
    axes = figure.add_subplot(1, 1, 1)
    for name, trimap in curves.items():
        axes.plot(list(trimap), [100 * miou for miou in trimap.values()], marker="o", label=name)
    widths = list(next(iter(curves.values())))
    axes.set_xscale("log")
    axes.set(xlabel="pixels from an object border, up to", ylabel="mean IoU in percent")
    axes.set_xticks([], minor=True)
    axes.set_xticks(widths)
    axes.set_xticklabels(widths)
    axes.legend(fontsize=10, frameon=False)
    figure.set_label(
        "; ".join(
            f"{name}: " + ", ".join(f"{100 * v:.1f} within {n}" for n, v in trimap.items())
            for name, trimap in curves.items()
        )
    )
    return figure
