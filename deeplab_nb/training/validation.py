"""Quick validation while training: always the same few pictures, and a copy of the best weights."""

import glob
import os
import shutil

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.devices.ranks import leads
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.files import beside
from deeplab_nb.network.checkpoints import newest_checkpoint, step_of
from deeplab_nb.training.log import Log, best_before, validated_at


class QuickValidation:
    """Scores checkpoints of a run on `validation_images` pictures, evenly spread over val_list.

    best: the highest mIoU so far; folder/best holds that checkpoint, whatever happens to the
      others. Raises WorkbookError where list or pictures are missing, before any training.
    """

    def __init__(self, settings, folder, best=None):
        self._settings = settings_module.override(settings, settings_module.known("quick"))
        self._folder, self.best, self._predictor = folder, best, None
        self._root = voc.check_root(settings.data_root)
        ids = voc.read_list(self._root, settings.val_list)
        places = np.linspace(0, len(ids) - 1, min(settings.validation_images, len(ids)))
        self.ids = [ids[int(place)] for place in places]

    def score(self, checkpoint):
        """mIoU of a checkpoint; it is copied where it is the best so far."""
        # kept: a graph takes a second and more to build
        self._predictor = self._predictor or Predictor(self._settings, checkpoint)
        found = evaluate(
            self._settings,
            checkpoint,
            ids=self.ids,
            predictor=self._predictor,
            predictions=os.path.join(self._folder, "validation"),
        )
        miou = found.scores.mean_iou
        if self.best is None or miou > self.best:
            self.best = miou
            keep_best(checkpoint, os.path.join(self._folder, "best"))
        return miou

    def pictures(self, count=3):
        """[(id, photograph, mask, prediction)] of the first pictures, as last scored."""
        return [self._picture(image_id) for image_id in self.ids[:count]]

    def _picture(self, image_id):
        mask, _ = voc.read_mask(voc.mask_path(self._root, image_id))
        found, _ = voc.read_mask(os.path.join(self._folder, "validation", image_id + ".png"))
        return image_id, voc.read_image(voc.image_path(self._root, image_id)), mask, found


def keep_best(checkpoint, folder):
    """Copies a checkpoint's files into a folder, then removes older ones there.

    The index, which makes it whole, comes last.
    """
    files = sorted(glob.glob(glob.escape(checkpoint) + ".*"), key=lambda p: p.endswith(".index"))
    for path in files:
        with beside(os.path.join(folder, os.path.basename(path))) as part:
            shutil.copyfile(path, part)
    names = {os.path.basename(path) for path in files}
    for name in os.listdir(folder):
        if name not in names and name.startswith("model.ckpt-"):
            os.remove(os.path.join(folder, name))


def ended(settings, folder):
    """The last checkpoint of a training to which nothing is left to be done, else None."""
    newest = newest_checkpoint(folder)
    if newest and step_of(newest) >= settings.train_steps and not missing(settings, folder, newest):
        return newest


def missing(settings, folder, resumed):
    """Whether a kill came before the end of the quick validation that was due at a checkpoint.

    Rank 0 can make up for it, in a folder that may be written.
    """
    step = step_of(resumed) if resumed else 0
    every = settings.validate_every
    due = step > 0 and every and (step % every == 0 or step == settings.train_steps)
    return due and leads() and os.access(folder, os.W_OK) and not validated_at(folder, step)


def make_up(settings, folder, resumed, steps_per_epoch):
    """The quick validation that `missing` finds."""
    if missing(settings, folder, resumed):
        step = step_of(resumed)
        validation = QuickValidation(settings, folder, best_before(folder, step))
        with Log(folder, step, steps_per_epoch) as log:
            validate(validation, log, step, resumed)


def validate(validation, log, step, checkpoint):
    """Scores a checkpoint of this step; the log gets the number and some pictures."""
    log.validation(step, validation.score(checkpoint), len(validation.ids))
    for name, photograph, *masks in validation.pictures():
        log.picture(step, "validation/" + name, photograph, *masks)
