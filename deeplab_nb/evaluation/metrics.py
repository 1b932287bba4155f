"""Confusion matrices of an evaluation, image by image, in memory and on disk; scores from them."""

import collections
import functools
import io
import json
import os
import time

import numpy as np
from scipy import ndimage

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import beside

TRIMAP_WIDTHS = (1, 2, 5, 10, 20)
SAVE_EVERY = 30  # seconds of work that a process which is killed may lose

# what a pass over a list leaves. confusions: {image id: matrix} in the list's order; bands:
# {width: matrix}, empty unless asked for; conditions: what the number must be read with; seconds:
# an image
Counts = collections.namedtuple("Counts", "confusions bands conditions seconds")


def confusion_matrix(truth, prediction, *, num_classes, ignore_label):
    """int64 [num_classes, num_classes] of pixels: row = class in the mask, column = predicted one.

    truth, prediction: integer arrays of one shape. Pixels with `ignore_label` in the mask count
    nowhere; any other value outside the classes raises ValueError.
    """
    counted = truth != ignore_label
    rows, columns = pairs = np.array([truth[counted], prediction[counted]], np.int64)
    if pairs.max(initial=0) >= num_classes:
        raise ValueError(f"class {pairs.max()} is outside 0..{num_classes - 1}")
    counts = np.bincount(rows * num_classes + columns, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def border_bands(truth, ignore_label):
    """{width: bool [height, width]}: the pixels up to so many away from an object border.

    In any of eight directions. The border is the void band that VOC draws round objects, as in
    DeepLabv3+ (1802.02611, 'Improvement along object boundaries'), and also where two classes meet
    without one, so that masks without void have it too.
    """
    void, cross = truth == ignore_label, ndimage.generate_binary_structure(2, 1)
    # of a pixel and the four beside it, void left out: no class has so large a number
    lowest = ndimage.minimum_filter(truth, footprint=cross)
    highest = ndimage.maximum_filter(np.where(void, 0, truth), footprint=cross)
    border = ndimage.binary_dilation(void, np.ones((3, 3))) | (lowest < highest)
    away = ndimage.distance_transform_cdt(~border, "chessboard")  # -1 everywhere without a border
    return {width: (away >= 0) & (away < width) for width in TRIMAP_WIDTHS}


def mean_of_batches(confusions):
    """MindSpore's mIoU: the mean over batches of each one's own mean IoU.

    That is over the classes in its masks or predictions.
    """
    values = []
    for scores in map(Scores, confusions):
        shown = scores.present | scores.only_predicted
        if shown.any():  # a batch of nothing but void has no number
            values.append(np.mean(np.nan_to_num(scores.iou[shown])))
    return float(np.mean(values)) if values else float("nan")


class Scores:
    """What a confusion matrix says. IoU = true positives / (mask + prediction - true positives).

    bands: {width: confusion matrix} of border bands, see `border_bands`; `trimap` is
      {width: mean IoU} of them.
    iou: float [num_classes], NaN for a class that no mask shows ('absent').
    mean_iou: over the classes that the masks show. A class that is only predicted lowers the IoU of
      those it took pixels from and has no IoU of its own; TensorFlow's mean_iou counts it as 0.
    intervals: float [2, 2 + num_classes], see `intervals.intervals`; None knows of none.
    """

    def __init__(self, confusion, bands=None, intervals=None):
        self.confusion = confusion
        unknown = np.full((2, 2 + len(confusion)), np.nan)
        self.intervals = unknown if intervals is None else intervals
        truth, predicted, hit = confusion.sum(1), confusion.sum(0), np.diag(confusion)
        self.pixels, pixels = truth, max(truth.sum(), 1)
        self.present = truth > 0
        union = np.maximum(truth + predicted - hit, 1)
        self.iou = np.where(self.present, hit / union, np.nan)
        self.mean_iou = float(np.nanmean(self.iou)) if self.present.any() else float("nan")
        self.pixel_accuracy = float(hit.sum() / pixels)
        self.frequency_weighted_iou = float(np.nansum(truth * self.iou) / pixels)
        accuracy = (hit / np.maximum(truth, 1))[self.present]
        self.class_accuracy = float(accuracy.mean()) if accuracy.size else float("nan")
        self.only_predicted = ~self.present & (predicted > 0)
        self.trimap = {
            width: Scores(matrix).mean_iou for width, matrix in sorted((bands or {}).items())
        }

    def table(self, names):
        """A line a class: IoU in percent, pixels, name; best first, absent classes last."""
        mean, accuracy, *each = map(in_percent, self.intervals.T)
        lines = [" IoU %  95 % interval  mask pixels  class"]
        for i in np.argsort(-np.where(self.present, self.iou, -1), kind="stable"):
            iou = f"{100 * self.iou[i]:.2f}" if self.present[i] else "absent"
            lines.append(f"{iou:>6}  {each[i]:13s}  {self.pixels[i]:>11,}  {names[i]}")
        lines.append(
            f"{100 * self.mean_iou:>6.2f}  {mean:13s}  {self.pixels.sum():>11,}  mean over the "
            f"{self.present.sum()} classes in the masks\n{'':36}pixel accuracy "
            f"{100 * self.pixel_accuracy:.2f} %{accuracy and ' ' + accuracy}\n{'':36}"
            f"frequency-weighted IoU "
            f"{100 * self.frequency_weighted_iou:.2f} %"
        )
        lines += [
            f"{100 * miou:>6.2f}  mean over the pixels within {width} of an object border"
            for width, miou in self.trimap.items()
        ]
        return "\n".join(lines)

    def as_dict(self, names):
        """JSON-able: mean IoU, accuracy, and IoU and pixels by class name (null where absent).

        An interval is [low, high]. dice = 2 IoU / (1 + IoU). confusion: as `confusion_matrix`.
        """

        def number(value):
            return float(value) if np.isfinite(value) else None

        mean, accuracy, *each = (list(map(number, ends)) for ends in self.intervals.T)
        return {
            "miou": number(self.mean_iou),
            "miou_interval": mean,
            "mean_over": f"the {self.present.sum()} classes that the masks show",
            "pixel_accuracy": self.pixel_accuracy,
            "pixel_accuracy_interval": accuracy,
            "mean_class_accuracy": number(self.class_accuracy),
            "frequency_weighted_iou": self.frequency_weighted_iou,
            "trimap": {str(width): number(miou) for width, miou in self.trimap.items()},
            "classes": {
                name: {
                    "iou": number(iou),
                    "interval": ends,
                    "dice": number(2 * iou / (1 + iou)),
                    "pixels": int(pixels),
                }
                for name, iou, ends, pixels in zip(names, self.iou, each, self.pixels)
            },
            "confusion": self.confusion.tolist(),
            "only_predicted": [name for name, only in zip(names, self.only_predicted) if only],
        }


def in_percent(ends):
    """'[61.2, 73.4]' of an interval in 0..1; '' of an unknown one, or None."""
    low, high = 100 * np.array([None, None] if ends is None else ends, float)
    return f"[{low:.1f}, {high:.1f}]" if np.isfinite(low) else ""


# --- image by image


class Tally:
    """Confusion matrices image after image, and those of the border bands added up.

    conditions: of the `Counts` that it makes.
    path: where they are kept as they come; what an earlier process left there is gone on with.
    None keeps nothing.
    Raises WorkbookError for a kept file that is damaged or was made under other conditions.
    """

    def __init__(self, settings, trimap, conditions, path=None):
        self._matrix = functools.partial(
            confusion_matrix,
            num_classes=settings.num_classes,
            ignore_label=settings.ignore_label,
        )
        self._void, self._trimap, self._path = settings.ignore_label, trimap, path
        self._before = Counts({}, {}, conditions, 0.0)
        if path and os.path.exists(path):
            self._before = load_counts(path)
            if self._before.conditions != conditions or bool(self._before.bands) != trimap:
                raise WorkbookError(
                    f"counts {path} were made under other conditions: move it away to begin anew"
                )
        self.confusions, self.bands = dict(self._before.confusions), self._before.bands
        self._saved = time.time()
        self._times = [self._saved]

    def add(self, image_id, truth, labels):
        bands = border_bands(truth, self._void) if self._trimap else {}
        near = {
            width: self._matrix(truth[band], labels[band]) + self.bands.get(width, 0)
            for width, band in bands.items()
        }
        # together and last, so that an interruption leaves no image half counted
        self.confusions[image_id], self.bands = self._matrix(truth, labels), near
        self._times.append(time.time())
        if self._times[-1] > self._saved + SAVE_EVERY:
            self.save()

    def save(self):
        """Writes what there is, where it is to be kept; does nothing otherwise."""
        if self._path and self.confusions:
            save_counts(self._path, self.counts(self.confusions))
        self._saved = time.time()

    def counts(self, ids):
        """The `Counts` of these images, in this order."""
        matrices = {i: self.confusions[i] for i in ids}
        return self._before._replace(confusions=matrices, bands=self.bands, seconds=self._seconds())

    def _seconds(self):
        """Of one image, reading included; not of the first, with which the graph is built."""
        times, images = self._times[len(self._times) > 2 :], len(self._before.confusions)
        seconds = times[-1] - times[0] + images * self._before.seconds
        return seconds / max(len(times) - 1 + images, 1)


def save_counts(path, counts):
    """Arrays alone, nothing pickled, whole or not at all."""
    arrays = io.BytesIO()  # numpy's archive would speak of a full disk itself, and later again
    np.savez_compressed(
        arrays,
        ids=list(counts.confusions),
        confusions=list(counts.confusions.values()),
        widths=list(counts.bands),
        bands=list(counts.bands.values()),
        conditions=json.dumps(counts.conditions, sort_keys=True),
        seconds=counts.seconds,
    )
    with beside(path) as part, open(part, "wb") as file:
        file.write(arrays.getvalue())


def load_counts(path):
    """What `save_counts` wrote. Raises WorkbookError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            counts = Counts(
                dict(zip(arrays["ids"].tolist(), arrays["confusions"])),
                dict(zip(arrays["widths"].tolist(), arrays["bands"])),
                json.loads(str(arrays["conditions"])),
                float(arrays["seconds"]),
            )
        Scores(sum(counts.confusions.values()), counts.bands)
        counts.conditions["protocol"] + counts.conditions["list"]
        return counts
    except Exception as error:  # of many kinds, by what of an archive of arrays is damaged
        raise WorkbookError(
            f"counts {path} are not readable ({error}): move the file away and evaluate again"
        )
