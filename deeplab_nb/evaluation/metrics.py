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


class Scores:
    """What a confusion matrix says. IoU = true positives / (mask + prediction - true positives).

    iou: float [num_classes], NaN for a class that no mask shows ('absent').
    mean_iou: over the classes that the masks show. A class that is only predicted lowers the IoU of
      those it took pixels from and has no IoU of its own; TensorFlow's mean_iou counts it as 0 instead.
    """

    def __init__(self, confusion):
        self.confusion = confusion
        truth, predicted, hit = confusion.sum(1), confusion.sum(0), np.diag(confusion)
        self.pixels = truth
        self.present = truth > 0
        self.iou = np.where(self.present, hit / np.maximum(truth + predicted - hit, 1), np.nan)
        self.mean_iou = float(np.nanmean(self.iou)) if self.present.any() else float("nan")
        self.pixel_accuracy = float(hit.sum() / max(truth.sum(), 1))
        self.only_predicted = ~self.present & (predicted > 0)

    def table(self, names):
        """A line a class: IoU in percent, pixels, name; best first, absent classes last."""
        order = sorted(range(len(names)), key=lambda i: (-self.iou[i] if self.present[i] else 2, i))
        lines = ["{:>6}  {:>11}  {}".format("IoU %", "mask pixels", "class")]
        lines += ["{:>6}  {:>11,}  {}".format(self._iou_text(i), self.pixels[i], names[i]) for i in order]
        lines.append("{:>6.2f}  {:>11,}  mean over the {} classes in the masks; pixel accuracy {:.2f} %".format(
            100 * self.mean_iou, self.pixels.sum(), self.present.sum(), 100 * self.pixel_accuracy))
        return "\n".join(lines)

    def as_dict(self, names):
        """JSON-able: mean IoU, accuracy, and IoU and pixels by class name (IoU null where absent)."""
        return {
            "miou": self.mean_iou if self.present.any() else None,
            "mean_over": "the {} classes that the masks show".format(self.present.sum()),
            "pixel_accuracy": self.pixel_accuracy,
            "classes": {name: {"iou": float(self.iou[i]) if self.present[i] else None, "pixels": int(self.pixels[i])}
                        for i, name in enumerate(names)},
            "only_predicted": [name for i, name in enumerate(names) if self.only_predicted[i]],
        }

    def _iou_text(self, i):
        return "{:.2f}".format(100 * self.iou[i]) if self.present[i] else "absent"
