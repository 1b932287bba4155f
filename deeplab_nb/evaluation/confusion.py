"""Confusion matrices of an evaluation, image by image, in memory and on disk."""

import collections
import functools
import io
import json
import os
import time

import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import metrics
from deeplab_nb.files import beside

# what a pass over a list leaves. confusions: {image id: matrix} in the list's order; bands:
# {width: matrix}, empty unless asked for; conditions: what the number must be read with; seconds:
# an image
Counts = collections.namedtuple("Counts", "confusions bands conditions seconds")

SAVE_EVERY = 30  # seconds of work that a process which is killed may lose


class Tally:
    """Confusion matrices image after image, and those of the border bands added up.

    conditions: of the `Counts` that it makes.
    path: where they are kept as they come; what an earlier process left there is gone on with.
    None keeps nothing.
    Raises WorkbookError for a kept file that is damaged or was made under other conditions.
    """

    def __init__(self, settings, trimap, conditions, path=None):
        self._matrix = functools.partial(
            metrics.confusion_matrix,
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
        bands = metrics.border_bands(truth, self._void) if self._trimap else {}
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
        metrics.Scores(sum(counts.confusions.values()), counts.bands)
        counts.conditions["protocol"] + counts.conditions["list"]
        return counts
    except Exception as error:  # of many kinds, by what of an archive of arrays is damaged
        raise WorkbookError(
            f"counts {path} are not readable ({error}): move the file away and evaluate again"
        )
