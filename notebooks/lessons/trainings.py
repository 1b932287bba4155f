"""Short trainings of the sample's network with float16's rounding and without, for notebook 03."""

import numpy as np

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data.pipeline import batch_of, training_batches
from deeplab_nb.data.records import records_folder, write_records
from deeplab_nb.data.sample import make_sample
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.network import deeplab
from deeplab_nb.network.layers import Layers
from deeplab_nb.tf1 import tf
from deeplab_nb.training.step import training_step
from lessons.precision import session_of

STEPS, EVERY = 150, 15  # of each training; a validation every so many
# small crops of small pictures, so that a crop holds as much as in the sample's own training
SHORT = dict(
    train_crop_size=97,
    min_scale=0.7,
    max_scale=0.8,
    train_batch_size=4,
    clones=1,
    train_steps=STEPS,
    batch_norm_decay=0.9,
    intra_op_threads=2,
)

# what the settings of the three differ in
HALF = {"mixed_precision": True}
THREE = {
    "float32": {},
    "float16": dict(HALF, loss_scale="none"),
    "float16, loss scale": dict(HALF, loss_scale="exponential", initial_loss_scale=2.0**16),
}


def settings_of(**precision):
    """The sample's settings for a short training. precision: what differs."""
    values = dict(SHORT, **precision)
    return settings_module.resolve(settings_module.override(recipes.get("sample").settings, values))


def sample_records(list_name):
    """Record files of the drawn sample."""
    settings = settings_of()
    make_sample(settings.data_root)
    return write_records(
        settings.data_root,
        list_name,
        records_folder(settings.data_root),
        num_classes=settings.num_classes,
        ignore_label=settings.ignore_label,
    )


def training(settings):
    """Trains on the drawn sample from random weights, yielding `(step, cross-entropy, mIoU)`.

    mIoU: of `validation_crops`, every `EVERY` steps, else None. Weights that are not finite go on:
    that is what the lesson is about.
    """
    records, crops = sample_records("train"), validation_crops(settings)
    with tf.Graph().as_default(), session_of(settings) as running:
        tf.set_random_seed(settings.seed)
        iterator, images, masks, _ = training_batches(records, settings)
        step = training_step(images, masks, settings, "cpu")
        labels = labels_of(crops[0], settings)
        running.run([tf.global_variables_initializer(), iterator.initializer])
        for number in range(1, settings.train_steps + 1):
            found = running.run(step)
            due = number % EVERY == 0
            miou = score(running.run(labels), crops[1], settings) if due else None
            yield number, float(found.cross_entropy), miou


def table(found, last=30):
    """Text: the mean loss of each training's last steps, and its last mIoU."""
    lines = [f"{'training':20s} {f'loss, last {last} steps':>20s} {'mIoU':>6s}"]
    for name, points in found.items():
        loss = np.mean([point[1] for point in points[-last:]])
        miou = [point[2] for point in points if point[2] is not None][-1]
        lines.append(f"{name:20s} {loss:20.3f} {miou:6.3f}")
    return "\n".join(lines)


def labels_of(images, settings):
    """What the network of the current graph's variables answers: class ids [batch, h, w]."""
    logits = deeplab.build_logits(
        tf.constant(images), settings=settings, layers=Layers(deeplab.variables_of(settings))
    )
    return deeplab.predict_labels(logits, images.shape[1:3])


def score(labels, masks, settings):
    """Mean IoU."""
    counts = confusion_matrix(
        masks, labels, num_classes=settings.num_classes, ignore_label=settings.ignore_label
    )
    return Scores(counts).mean_iou


def validation_crops(settings):
    """`(images, masks)` of the drawn sample's validation list, always the same."""
    still = settings_module.override(settings, {"max_scale": settings.min_scale})
    pairs = [batch_of(sample_records("val"), still, step) for step in (1, 2, 3)]
    return tuple(np.concatenate(parts) for parts in zip(*pairs))
