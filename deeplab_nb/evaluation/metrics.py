"""One confusion matrix, and every score from it."""
import numpy as np


def confusion_matrix(truth, prediction, *, num_classes, ignore_label):
    """int64 [num_classes, num_classes] of pixel counts: row = class in the mask, column = predicted class.

    truth, prediction: integer arrays of one shape. Pixels with `ignore_label` in the mask count nowhere;
    any other value outside the classes raises ValueError.
    """
    counted = truth != ignore_label
    rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    if rows.size and max(rows.max(), columns.max()) >= num_classes:
        raise ValueError("class {} is outside 0..{}".format(max(rows.max(), columns.max()), num_classes - 1))
    return np.bincount(rows * num_classes + columns, minlength=num_classes ** 2).reshape(num_classes, num_classes)


TRIMAP_WIDTHS = (1, 2, 5, 10, 20)


def border_bands(truth, ignore_label):
    """{width: bool [height, width]}: the pixels up to so many away from an object border, in any of eight directions.

    The border is the void band that VOC draws round objects, as in DeepLabv3+ (1802.02611, 'Improvement along
    object boundaries'), and also where two classes meet without one, so that masks without void have it too.
    """
    void = truth == ignore_label
    near, bands = void, {}
    for width in range(1, max(TRIMAP_WIDTHS) + 1):
        near = _grown(near) | (_meeting(truth, void) if width == 1 else False)
        if width in TRIMAP_WIDTHS:
            bands[width] = near
    return bands


def _meeting(truth, void):
    """The pixels beside one of another class, void left out."""
    meeting = np.zeros(truth.shape, bool)
    for axis in (0, 1):
        ids, hidden, marked = (array.swapaxes(0, axis) for array in (truth, void, meeting))
        meet = (ids[1:] != ids[:-1]) & ~hidden[1:] & ~hidden[:-1]
        marked[1:] |= meet
        marked[:-1] |= meet
    return meeting


def _grown(near):
    """One pixel further to all sides, corners too."""
    for axis in (0, 1):
        before, wide = near.swapaxes(0, axis), near.swapaxes(0, axis).copy()
        wide[1:] |= before[:-1]
        wide[:-1] |= before[1:]
        near = wide.swapaxes(0, axis)
    return near


def mean_of_batches(confusions):
    """MindSpore's mIoU: of each batch's matrix over the classes in its masks or predictions, then the mean over batches."""
    values = []
    for confusion in confusions:
        hit, union = np.diag(confusion), confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
        if union.any():  # a batch of nothing but void has no number
            values.append(float(np.mean(hit[union > 0] / union[union > 0])))
    return float(np.mean(values)) if values else float("nan")


class Scores:
    """What a confusion matrix says. IoU = true positives / (mask + prediction - true positives).

    bands: {width: confusion matrix} of border bands, see `border_bands`; `trimap` is {width: mean IoU} of them.

    iou: float [num_classes], NaN for a class that no mask shows ('absent').
    mean_iou: over the classes that the masks show. A class that is only predicted lowers the IoU of
      those it took pixels from and has no IoU of its own; TensorFlow's mean_iou counts it as 0 instead.
    """

    def __init__(self, confusion, bands=None):
        self.confusion = confusion
        truth, predicted, hit = confusion.sum(1), confusion.sum(0), np.diag(confusion)
        self.pixels = truth
        self.present = truth > 0
        self.iou = np.where(self.present, hit / np.maximum(truth + predicted - hit, 1), np.nan)
        self.mean_iou = float(np.nanmean(self.iou)) if self.present.any() else float("nan")
        self.pixel_accuracy = float(hit.sum() / max(truth.sum(), 1))
        self.frequency_weighted_iou = float(np.nansum(truth * self.iou) / max(truth.sum(), 1))
        self.only_predicted = ~self.present & (predicted > 0)
        self.trimap = {width: Scores(matrix).mean_iou for width, matrix in sorted((bands or {}).items())}

    def table(self, names):
        """A line a class: IoU in percent, pixels, name; best first, absent classes last."""
        order = sorted(range(len(names)), key=lambda i: (-self.iou[i] if self.present[i] else 2, i))
        lines = ["{:>6}  {:>11}  {}".format("IoU %", "mask pixels", "class")]
        lines += ["{:>6}  {:>11,}  {}".format(self._iou_text(i), self.pixels[i], names[i]) for i in order]
        lines.append("{:>6.2f}  {:>11,}  mean over the {} classes in the masks; pixel accuracy {:.2f} %, "
                     "frequency-weighted IoU {:.2f} %".format(100 * self.mean_iou, self.pixels.sum(), self.present.sum(),
                                                              100 * self.pixel_accuracy, 100 * self.frequency_weighted_iou))
        lines += ["{:>6.2f}  mean over the pixels within {} of an object border".format(100 * miou, width)
                  for width, miou in self.trimap.items()]
        return "\n".join(lines)

    def as_dict(self, names):
        """JSON-able: mean IoU, accuracy, and IoU and pixels by class name (IoU null where absent)."""
        return {
            "miou": self.mean_iou if self.present.any() else None,
            "mean_over": "the {} classes that the masks show".format(self.present.sum()),
            "pixel_accuracy": self.pixel_accuracy, "frequency_weighted_iou": self.frequency_weighted_iou,
            "trimap": {str(width): miou if np.isfinite(miou) else None for width, miou in self.trimap.items()},
            "classes": {name: {"iou": float(self.iou[i]) if self.present[i] else None, "pixels": int(self.pixels[i])}
                        for i, name in enumerate(names)},
            "only_predicted": [name for i, name in enumerate(names) if self.only_predicted[i]],
        }

    def _iou_text(self, i):
        return "{:.2f}".format(100 * self.iou[i]) if self.present[i] else "absent"
