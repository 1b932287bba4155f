"""The DeepLab protocol: each whole image, padded to one frame, scored at its own size (1802.02611, section 4)."""
import collections
import os
import time

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.network.checkpoints import find_checkpoint
from deeplab_nb.progress import progress
from deeplab_nb.settings import crop_for

# scores: metrics.Scores of the whole list; image_miou: {image id: mean IoU of this image alone}; results: JSON-able
Evaluation = collections.namedtuple("Evaluation", "scores image_miou results")


def evaluate(settings, checkpoint, *, list_name=None, predictions=None, engine="tensorflow"):
    """Scores a checkpoint on a list of photographs and returns an `Evaluation`.

    checkpoint: folder, prefix or one of its files. list_name: None takes `settings.val_list`.
    predictions: a folder that gets each prediction as a palette PNG under the image's id.
    engine: what computes the logits, one of `engine.ENGINES`.
    Raises WorkbookError naming a missing or damaged file, or a mask that does not fit its photograph.
    """
    root, list_name = voc.check_root(settings.data_root), list_name or settings.val_list
    ids = voc.read_list(root, list_name)
    frame = crop_for(max(max(voc.image_size(voc.image_path(root, i))) for i in ids))
    confusions = {}
    if predictions:
        os.makedirs(predictions, exist_ok=True)
    with Predictor(settings, checkpoint, engine=engine, images=len(ids)) as predictor:
        clock = time.time()
        for image_id in progress(ids, label="evaluating"):
            image, truth = read_pair(root, image_id, settings)
            labels = predictor.labels(image, frame)
            confusions[image_id] = confusion_matrix(
                truth, labels, num_classes=settings.num_classes, ignore_label=settings.ignore_label)
            if predictions:
                voc.write_mask(os.path.join(predictions, image_id + ".png"), labels)
        seconds = (time.time() - clock) / len(ids)
    scores = Scores(sum(confusions.values()))
    results = dict(scores.as_dict(voc.class_names(settings.num_classes)),
                   **_conditions(settings, checkpoint, list_name, len(ids), frame, predictor.engine, seconds))
    return Evaluation(scores, {i: Scores(c).mean_iou for i, c in confusions.items()}, results)


def read_pair(root, image_id, settings):
    """A photograph uint8 [h, w, 3] and its mask uint8 [h, w], checked against each other."""
    image = voc.read_image(voc.image_path(root, image_id))
    path = voc.mask_path(root, image_id)
    truth, _ = voc.read_mask(path)
    if truth.shape != image.shape[:2]:
        raise WorkbookError("mask {} is {}x{}, its photograph {}x{}: save it at the photograph's size".format(
            path, truth.shape[1], truth.shape[0], image.shape[1], image.shape[0]))
    bad = np.unique(truth[(truth >= settings.num_classes) & (truth != settings.ignore_label)])
    if bad.size:
        raise WorkbookError("mask {} holds class {}, the settings have 0..{} and {}: correct the mask or num_classes".format(
            path, bad[0], settings.num_classes - 1, settings.ignore_label))
    return image, truth


def _conditions(settings, checkpoint, list_name, count, frame, engine, seconds):
    """What a number must be read with."""
    official = voc.LIST_SIZES.get(list_name)
    return {
        "protocol": "deeplab: whole image padded to {0}x{0}".format(frame),
        "output_stride": settings.eval_output_stride, "scales": list(settings.eval_scales), "flip": settings.eval_flip,
        "list": list_name, "images": count, "whole_list": count == official if official else None,
        "checkpoint": os.path.basename(find_checkpoint(checkpoint)), "engine": engine, "seconds_an_image": round(seconds, 4),
    }
