"""A checkpoint, or saved predictions, scored on a list of photographs under a named protocol (see protocols.py)."""
import collections
import contextlib
import os

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import metrics, protocols
from deeplab_nb.evaluation.confusion import Tally
from deeplab_nb.evaluation.origin import origin
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.progress import progress

# scores: metrics.Scores of the whole list; image_miou: {image id: mean IoU of this image alone}; results: JSON-able
Evaluation = collections.namedtuple("Evaluation", "scores image_miou results")


def evaluate(settings, checkpoint, **options):
    """Scores a checkpoint on a list of photographs and returns an `Evaluation`; options and errors as for `count`."""
    return summarise(count(settings, checkpoint, **options), voc.class_names(settings.num_classes, settings.data_root))


def count(settings, checkpoint, *, list_name=None, ids=None, predictions=None, trimap=False, predictor=None,
          engine="tensorflow", kept=None):
    """The `Counts` of a checkpoint's predictions.

    checkpoint: folder, prefix or one of its files; None leaves a `predictor` the weights that it has.
    list_name: None takes `settings.val_list`. ids: these images of the list; None takes all.
    predictions: a folder that gets each prediction as a palette PNG under the image's id.
    trimap: count in bands along the object borders too, see `metrics.border_bands`.
    predictor: one that was made with the same settings; it gets the checkpoint's weights and stays open.
    engine: what computes the logits, one of `onnx_runtime.ENGINES`; a `predictor` keeps to its own.
    kept: a file for the counts as they come, with which the same call goes on after an interruption.
    Raises WorkbookError naming a missing or damaged file, or a mask that does not fit its photograph.
    """
    root, list_name = voc.check_root(settings.data_root), list_name or settings.val_list
    listed = voc.read_list(root, list_name)
    protocol = protocols.protocol_of(settings, max(max(voc.image_size(voc.image_path(root, i))) for i in listed))
    if predictions:
        os.makedirs(predictions, exist_ok=True)
    with _opened(predictor, settings, checkpoint, protocol, engine, len(listed)) as network:
        tally = Tally(settings, trimap, _conditions(settings, list_name, protocol, network), kept)
        wanted = listed if ids is None else ids
        try:
            for image_id in progress([i for i in wanted if i not in tally.confusions], label="evaluating"):
                image, truth = (protocols.fit(part, protocol.crop) for part in read_pair(root, image_id, settings))
                labels = network.labels(image, protocol.frame(truth.shape))
                if predictions:
                    voc.write_mask(os.path.join(predictions, image_id + ".png"), labels)
                tally.add(image_id, truth, labels)
        finally:
            tally.save()
    return tally.counts(wanted)


def score(settings, predictions, *, list_name=None, trimap=False):
    """The `Evaluation` of a folder of predictions, each a mask of class ids named by its image; no photograph is needed.

    settings: data_root and classes are used, and eval_protocol for what the predictions show: the whole
    image or MindSpore's centre crop. Raises WorkbookError naming a prediction that is missing, damaged or
    does not fit its mask.
    """
    root, list_name = voc.check_root(settings.data_root), list_name or settings.val_list
    ids, crop = voc.read_list(root, list_name), protocols.protocol_of(settings, 1).crop
    says = "mindspore: saved predictions of the centre crop" if crop else "saved predictions of whole images"
    tally = Tally(settings, trimap, {"protocol": says, "list": list_name})
    for image_id in progress(ids, label="scoring"):
        truth = protocols.fit(_read_classes("mask", voc.mask_path(root, image_id), settings, settings.ignore_label), crop)
        path = os.path.join(predictions, image_id + ".png")
        labels = _read_classes("prediction", path, settings, ignore_label=None)
        _check_size("prediction " + path, labels, "its mask", truth)
        tally.add(image_id, truth, labels)
    return summarise(tally.counts(ids), voc.class_names(settings.num_classes, root))


def summarise(counts, names=None):
    """The `Evaluation` that counts give; the one place where counts become numbers. names: of the classes; None takes VOC's."""
    scores = metrics.Scores(sum(counts.confusions.values()), counts.bands)
    images, official = len(counts.confusions), voc.LIST_SIZES.get(counts.conditions["list"])
    results = dict(scores.as_dict(names or voc.class_names(len(scores.iou))), **counts.conditions, images=images,
                   whole_list=images == official if official else None, seconds_an_image=round(counts.seconds, 4))
    if counts.conditions["protocol"].startswith("mindspore"):
        results.update(standard_miou=results["miou"], **_batch_mean(list(counts.confusions.values())))
    return Evaluation(scores, {i: metrics.Scores(c).mean_iou for i, c in counts.confusions.items()}, results)


def _batch_mean(confusions):
    """MindSpore's own number from the images' matrices, in their order."""
    batches = [sum(confusions[i:i + protocols.BATCH]) for i in range(0, len(confusions), protocols.BATCH)]
    return {"miou": metrics.mean_of_batches(batches),
            "mean_over": "{} batches of {}, each over the classes that its masks or predictions show".format(
                len(batches), protocols.BATCH)}


def read_pair(root, image_id, settings):
    """A photograph uint8 [h, w, 3] and its mask uint8 [h, w], checked against each other."""
    image, path = voc.read_image(voc.image_path(root, image_id)), voc.mask_path(root, image_id)
    truth = _read_classes("mask", path, settings, settings.ignore_label)
    _check_size("mask " + path, truth, "its photograph", image)
    return image, truth


def _read_classes(what, path, settings, ignore_label):
    """Class ids uint8 [h, w] of a file, all of them within the settings' classes or `ignore_label`."""
    ids, _ = voc.read_mask(path)
    bad = np.unique(ids[(ids >= settings.num_classes) & (ids != ignore_label)])
    if bad.size:
        raise WorkbookError("{} {} holds class {}, the settings have 0..{}{}: correct the file or num_classes".format(
            what, path, bad[0], settings.num_classes - 1, "" if ignore_label is None else " and {}".format(ignore_label)))
    return ids


def _check_size(name, ids, other, array):
    if ids.shape != array.shape[:2]:
        raise WorkbookError("{} is {}x{}, {} {}x{}: save it at that size".format(
            name, ids.shape[1], ids.shape[0], other, array.shape[1], array.shape[0]))


def _opened(predictor, settings, checkpoint, protocol, engine, images):
    """A context that holds the predictor: the caller's, filled with the checkpoint if there is one and left open, or one of our own.

    images: of the whole list, so that all shards of an evaluation choose the same engine.
    """
    if predictor:
        if checkpoint is not None:
            predictor.load(checkpoint)
        return contextlib.nullcontext(predictor)
    if settings.device == "npu" and not protocol.one_frame:
        raise WorkbookError("protocol {} gives photographs frames of many sizes, and a card compiles each of them: "
                            "take protocol deeplab, or device cpu".format(settings.eval_protocol))
    return Predictor(settings, checkpoint, engine=engine, images=images)


def _conditions(settings, list_name, protocol, network):
    """What a number must be read with."""
    checkpoint = network.report.checkpoint
    return {
        "protocol": "{}: {}".format(settings.eval_protocol, protocol.says),
        "output_stride": settings.eval_output_stride, "scales": list(settings.eval_scales), "flip": settings.eval_flip,
        "list": list_name, "checkpoint": os.path.basename(checkpoint), "engine": network.engine, **origin(settings, checkpoint),
    }
