"""Quick validation while training: a few pictures of the evaluation list, always the same, and a copy of the best weights."""
import glob
import os
import shutil

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.evaluation.predict import Predictor


class QuickValidation:
    """Scores checkpoints of one run on `settings.validation_images` pictures, evenly spread over val_list.

    best: the highest mIoU so far; folder/best holds that checkpoint, whatever happens to the others.
    Raises WorkbookError where list or pictures are missing, before any training.
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
        self._predictor = self._predictor or Predictor(self._settings, checkpoint)  # kept: a graph takes a second and more to build
        predictions = os.path.join(self._folder, "validation")
        miou = evaluate(self._settings, checkpoint, ids=self.ids, predictions=predictions, predictor=self._predictor).scores.mean_iou
        if self.best is None or miou > self.best:
            self.best = miou
            keep_best(checkpoint, os.path.join(self._folder, "best"))
        return miou

    def pictures(self, count=3):
        """[(id, photograph, mask, prediction)] of the first pictures as last scored; arrays as `voc` reads them."""
        return [(i, voc.read_image(voc.image_path(self._root, i)), voc.read_mask(voc.mask_path(self._root, i))[0],
                 voc.read_mask(os.path.join(self._folder, "validation", i + ".png"))[0]) for i in self.ids[:count]]


def keep_best(checkpoint, folder):
    """Copies a checkpoint's files into a folder, then removes older ones there; the index, which makes it whole, comes last."""
    os.makedirs(folder, exist_ok=True)
    files = sorted(glob.glob(glob.escape(checkpoint) + ".*"), key=lambda path: path.endswith(".index"))
    for path in files:
        part = os.path.join(folder, "copy.part")
        shutil.copyfile(path, part)
        os.replace(part, os.path.join(folder, os.path.basename(path)))
    names = {os.path.basename(path) for path in files}
    for name in os.listdir(folder):
        if name not in names:
            os.remove(os.path.join(folder, name))
