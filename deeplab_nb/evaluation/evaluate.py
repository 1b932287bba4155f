"""A checkpoint, or saved predictions, scored on a list of photographs under a named protocol."""

import collections
import contextlib
import os

import numpy as np
from PIL import Image

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import metrics
from deeplab_nb.evaluation.intervals import intervals, totals
from deeplab_nb.evaluation.ledger import origin
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.files import refuse_over
from deeplab_nb.progress import progress
from deeplab_nb.settings import crop_for

# scores: metrics.Scores of the whole list; image_miou: {image id: mean IoU of this image alone};
# results: JSON-able
Evaluation = collections.namedtuple("Evaluation", "scores image_miou results")


def evaluate(settings, checkpoint, **options):
    """Scores a checkpoint on a list and returns an `Evaluation`; the rest is as for `count`."""
    names = voc.class_names(settings.num_classes, settings.data_root)
    return summarise(count(settings, checkpoint, **options), names)


def count(
    settings,
    checkpoint,
    *,
    ids=None,
    predictions=None,
    trimap=False,
    predictor=None,
    engine="tensorflow",
    kept=None,
    overwrite=False,
):
    """The `Counts` of a checkpoint's predictions on the photographs of `settings.val_list`.

    checkpoint: folder, prefix or one of its files; None leaves a `predictor` the weights it has.
    ids: these images of the list; None takes all.
    predictions: a folder that gets each prediction as a palette PNG under the image's id; what is
      there and was not made so is not replaced but with `overwrite`, a mask of the data never.
    trimap: count in bands along the object borders too, see `metrics.border_bands`.
    predictor: made with the same settings; it gets the checkpoint's weights and stays open.
    engine: one of `onnx_runtime.ENGINES`; a `predictor` keeps to its own.
    kept: a file for the counts as they come, with which the same call goes on once interrupted.
    Raises WorkbookError naming a missing or damaged file, or a mask that does not fit.
    """
    root, every = listed(settings)
    sides = sides_of(root, every)
    common = common_side(sides)
    protocol = protocol_of(settings, common, sum(side > common for side in sides))
    many_frames = settings.eval_protocol in ("tight", "native")
    if settings.device == "npu" and many_frames and not predictor:
        raise WorkbookError(
            f"protocol {settings.eval_protocol} gives photographs frames of many sizes, and a card "
            "compiles each of them: take protocol deeplab, or device cpu"
        )
    wanted = every if ids is None else ids
    if predictions:
        refuse_over(
            [os.path.join(predictions, i + ".png") for i in wanted],
            inputs=[path(root, i) for i in every for path in (voc.image_path, voc.mask_path)],
            overwrite=overwrite,
        )
    if predictor and checkpoint is not None:
        predictor.load(checkpoint)
    # all images of the list, so that all shards of an evaluation choose the same engine
    opened = (
        contextlib.nullcontext(predictor)
        if predictor
        else Predictor(settings, checkpoint, engine=engine, images=len(every))
    )
    with opened as network:
        tally = metrics.Tally(settings, trimap, _conditions(settings, protocol, network), kept)
        try:
            missing = [i for i in wanted if i not in tally.confusions]
            for image_id in progress(missing, label="evaluating"):
                pair = read_pair(root, image_id, settings)
                image, truth = (fit(part, protocol.crop) for part in pair)
                labels = network.labels(image, protocol.frame(truth.shape))
                if predictions:
                    path = os.path.join(predictions, image_id + ".png")
                    voc.write_mask(path, labels, "evaluate")
                tally.add(image_id, truth, labels)
        finally:
            tally.save()
    return tally.counts(wanted)


def score(settings, predictions, *, trimap=False):
    """The `Evaluation` of a folder of predictions, masks of class ids named by their images.

    No photograph is needed. settings: data_root, val_list and classes are used, and eval_protocol
    for what the predictions show: the whole image or MindSpore's centre crop. Raises WorkbookError
    naming a prediction that is missing, damaged or does not fit its mask.
    """
    (root, ids), crop = listed(settings), protocol_of(settings, 1).crop
    says = "saved predictions of whole images"
    if crop:
        says = "mindspore: saved predictions of the centre crop"
    tally = metrics.Tally(settings, trimap, {"protocol": says, "list": settings.val_list})
    for image_id in progress(ids, label="scoring"):
        mask = voc.mask_path(root, image_id)
        truth = fit(_read_classes("mask", mask, settings, settings.ignore_label), crop)
        path = os.path.join(predictions, image_id + ".png")
        labels = _read_classes("prediction", path, settings, ignore_label=None)
        _check_size("prediction " + path, labels, "its mask", truth)
        tally.add(image_id, truth, labels)
    return summarise(tally.counts(ids), voc.class_names(settings.num_classes, root))


def listed(settings):
    """(VOC folder, image ids of the evaluation list); one that the list names twice counts once."""
    root = voc.check_root(settings.data_root)
    return root, list(dict.fromkeys(voc.read_list(root, settings.val_list)))


def summarise(counts, names=None):
    """The `Evaluation` that counts give; the one place where counts become numbers.

    names: of the classes; None takes VOC's.
    """
    matrices, conditions = counts.confusions, counts.conditions
    sure = intervals(totals(list(matrices.values())))
    scores = metrics.Scores(sum(matrices.values()), counts.bands, sure)
    official = voc.LIST_SIZES.get(conditions["list"])
    results = {
        **scores.as_dict(names or voc.class_names(len(scores.iou))),
        **conditions,
        "images": len(matrices),
        "whole_list": official and len(matrices) == official,
        "seconds_an_image": round(counts.seconds, 4),
    }
    if conditions["protocol"].startswith("mindspore"):
        each = list(matrices.values())
        batches = [sum(each[i : i + BATCH]) for i in range(0, len(each), BATCH)]
        results.update(
            standard_miou=results["miou"],
            standard_miou_interval=results.pop("miou_interval"),
            miou=metrics.mean_of_batches(batches),
            mean_over=f"{len(batches)} batches of {BATCH}, "
            "each over the classes that its masks or predictions show",
        )
    image_miou = {i: metrics.Scores(matrix).mean_iou for i, matrix in matrices.items()}
    return Evaluation(scores, image_miou, results)


def _conditions(settings, protocol, network):
    """What a number must be read with."""
    checkpoint = network.checkpoint
    return {
        "protocol": f"{settings.eval_protocol}: {protocol.says}",
        "output_stride": settings.eval_output_stride,
        "scales": list(settings.eval_scales),
        "flip": settings.eval_flip,
        "list": settings.val_list,
        "checkpoint": os.path.basename(checkpoint),
        "engine": network.engine,
        **origin(settings, checkpoint),
    }


# --- protocols: a number means something only under the name of one

# says: the sentence beside the number; frame: (height, width) of an image, after the crop -> that
# of its grey frame; crop: side that image and mask are cut to, or None
Protocol = collections.namedtuple("Protocol", "says frame crop", defaults=[None])

BATCH = 2  # of MindSpore's evaluation: its metric is a mean over batches, so it is part of it
KNOWN = 513  # frame of VOC's photographs, which the published networks know


def sides_of(root, ids):
    """The longer side of each photograph, in pixels."""
    return [max(voc.image_size(voc.image_path(root, image_id))) for image_id in ids]


def common_side(sides):
    """The side, in pixels, that sets the frame of a list's photographs.

    sides: what `sides_of` gives. It is the largest within KNOWN, so that a few larger photographs
    do not change the frame of the others; where all are larger, the largest.
    """
    return max([side for side in sides if side <= KNOWN] or sides)


def protocol_of(settings, longest_side, larger=0):
    """The protocol that `settings.eval_protocol` names.

    longest_side: of the list's photographs, in pixels, see `common_side`; the frame of 'deeplab'
    follows from it. larger: how many photographs are larger; each of them has a frame of its own.
    """
    stride, crop = settings.eval_output_stride, settings.train_crop_size
    square = crop_for(longest_side)
    return {
        # the published networks learned from padded crops: image pooling expects the grey
        "deeplab": Protocol(
            f"whole image padded to {square}x{square}"
            + (f", {larger} larger of the list each to a square of its own" if larger else ""),
            lambda size: (max(square, crop_for(max(size))),) * 2,
        ),
        "tight": Protocol(
            f"whole image padded to the nearest sides of {stride}k+1",
            lambda size: tuple(-(-(side - 1) // stride) * stride + 1 for side in size),
        ),
        "native": Protocol("whole image at its own size, without padding", lambda size: size),
        "mindspore": Protocol(
            f"short side scaled to {crop}, centre crop {crop}x{crop}, "
            f"mean over batches of {BATCH} of each batch's mIoU",
            lambda size: size,
            crop,
        ),
    }[settings.eval_protocol]


def fit(array, crop):
    """A photograph uint8 [height, width, 3], or a mask [height, width], as the protocol shows it.

    None leaves it whole. A crop scales the short side to it and takes the square in the middle, as
    the MindSpore entry prepares its evaluation; nothing of that is padding. That the long side is
    cut to whole pixels and the offset rounded is our reading of it.
    """
    if crop is None:
        return array
    sides = array.shape[:2]
    height, width = (side * crop // min(sides) for side in sides)
    kind = Image.NEAREST if array.ndim == 2 else Image.BILINEAR
    scaled = np.asarray(Image.fromarray(array).resize((width, height), kind))
    top, left = round((height - crop) / 2), round((width - crop) / 2)
    return scaled[top : top + crop, left : left + crop]


# --- photographs and masks, checked against each other


def read_pair(root, image_id, settings):
    """A photograph uint8 [h, w, 3] and its mask uint8 [h, w]."""
    image, path = voc.read_image(voc.image_path(root, image_id)), voc.mask_path(root, image_id)
    truth = _read_classes("mask", path, settings, settings.ignore_label)
    _check_size("mask " + path, truth, "its photograph", image)
    return image, truth


def _read_classes(what, path, settings, ignore_label):
    """Class ids uint8 [h, w] of a file, all of them of the settings' classes or `ignore_label`."""
    ids, _ = voc.read_mask(path)
    bad = ids[(ids >= settings.num_classes) & (ids != ignore_label)]
    if bad.size:
        also = "" if ignore_label is None else f" and {ignore_label}"
        raise WorkbookError(
            f"{what} {path} holds class {bad.min()}, the settings have "
            f"0..{settings.num_classes - 1}{also}: correct the file or num_classes"
        )
    return ids


def _check_size(name, ids, other, array):
    if ids.shape != array.shape[:2]:
        (height, width), (rows, columns) = ids.shape, array.shape[:2]
        raise WorkbookError(
            f"{name} is {width}x{height}, {other} {columns}x{rows}: save it at that size"
        )
