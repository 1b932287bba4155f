"""What an evaluation has counted, image by image, in memory and on disk."""
import collections
import json
import os
import time
import zipfile

import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import metrics

# what a pass over a list leaves. confusions: {image id: matrix} in the list's order; bands: {width: matrix}, empty
# unless asked for; conditions: what the number must be read with; seconds: an image
Counts = collections.namedtuple("Counts", "confusions bands conditions seconds")

SAVE_EVERY = 30  # seconds of work that a process which is killed may lose


class Tally:
    """Confusion matrices image after image, and those of the border bands added up.

    conditions: of the `Counts` that it makes.
    path: where they are kept as they come; what an earlier process left there is gone on with. None keeps nothing.
    Raises WorkbookError for a kept file that is damaged or was made under other conditions.
    """

    def __init__(self, settings, trimap, conditions, path=None):
        self._classes = {"num_classes": settings.num_classes, "ignore_label": settings.ignore_label}
        self._trimap, self._conditions, self._path = trimap, conditions, path
        self.confusions, self.bands, self._before = {}, {}, (0, 0.0)
        if path and os.path.exists(path):
            self._go_on_with(load_counts(path))
        self._times = [time.time()]
        self._saved = time.time()

    def _go_on_with(self, kept):
        if kept.conditions != self._conditions or bool(kept.bands) != self._trimap:
            raise WorkbookError("counts {} were made under other conditions: delete the file to begin anew".format(self._path))
        self.confusions, self.bands, self._before = kept.confusions, kept.bands, (len(kept.confusions), kept.seconds)

    def add(self, image_id, truth, labels):
        bands = metrics.border_bands(truth, self._classes["ignore_label"]) if self._trimap else {}
        near = {width: metrics.confusion_matrix(truth[band], labels[band], **self._classes) for width, band in bands.items()}
        # together and last, so that an interruption leaves no image half counted
        self.confusions[image_id] = metrics.confusion_matrix(truth, labels, **self._classes)
        self.bands = {width: self.bands.get(width, 0) + matrix for width, matrix in near.items()}
        self._times.append(time.time())
        if self._path and time.time() > self._saved + SAVE_EVERY:
            self.save()

    def save(self):
        """Writes what there is, where it is to be kept; does nothing otherwise."""
        if self._path and self.confusions:
            save_counts(self._path, self.counts(self.confusions))
        self._saved = time.time()

    def counts(self, ids):
        """The `Counts` of these images, in this order."""
        return Counts({i: self.confusions[i] for i in ids}, self.bands, self._conditions, self._seconds())

    def _seconds(self):
        """Of one image, reading included; the first is left out where there are more, since the graph is built with it."""
        spans, (images, seconds) = np.diff(self._times), self._before
        spans = spans[1:] if len(spans) > 1 else spans
        total = len(spans) + images
        return float((spans.sum() + images * seconds) / total) if total else 0.0


def save_counts(path, counts):
    """Arrays alone, nothing pickled, whole or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "wb") as file:
        np.savez_compressed(
            file, ids=np.array(list(counts.confusions)), confusions=np.array(list(counts.confusions.values())),
            widths=np.array(sorted(counts.bands), np.int64), bands=np.array([counts.bands[w] for w in sorted(counts.bands)]),
            conditions=np.array(json.dumps(counts.conditions, sort_keys=True)), seconds=np.array(counts.seconds))
    os.replace(path + ".part", path)


def load_counts(path):
    """What `save_counts` wrote. Raises WorkbookError for a file that is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return Counts(dict(zip(arrays["ids"].tolist(), arrays["confusions"])),
                          dict(zip(arrays["widths"].tolist(), arrays["bands"])),
                          json.loads(str(arrays["conditions"])), float(arrays["seconds"]))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise WorkbookError("counts {} are not readable ({}): delete the file and evaluate again".format(path, error))
