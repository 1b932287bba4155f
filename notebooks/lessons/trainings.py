"""Short trainings of the sample's network with float16's rounding and without, for notebook 03."""

import numpy as np

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data.pipeline import batch_of, training_batches
from deeplab_nb.data.records import records_folder, write_records
from deeplab_nb.data.sample import make_sample
from deeplab_nb.devices import devices
from deeplab_nb.evaluation.metrics import Scores, confusion_matrix
from deeplab_nb.network import deeplab
from deeplab_nb.network.layers import Layers
from deeplab_nb.tf1 import tf
from deeplab_nb.training.step import training_step

STEPS, EVERY = 80, 10  # of each; a validation every so many
SHORT = dict(train_crop_size=65, clones=1, train_steps=STEPS, intra_op_threads=2)


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


def training(settings, records, crops):
    """Trains from random weights, yielding `(step, cross-entropy, mIoU or None, skipped)`.

    crops: `(images, masks)` to validate on every `EVERY` steps. A loss that is not finite ends it.
    """
    with tf.Graph().as_default(), session(settings) as running:
        tf.set_random_seed(settings.seed)
        iterator, images, masks, _ = training_batches(records, settings)
        step = training_step(images, masks, settings, "cpu")
        labels = labels_of(crops[0], settings)
        running.run([tf.global_variables_initializer(), iterator.initializer])
        for number in range(1, settings.train_steps + 1):
            found = running.run(step)
            due = number % EVERY == 0 or number == 1
            miou = score(running.run(labels), crops[1], settings) if due else None
            yield number, float(found.cross_entropy), miou


def session(settings):
    """As in training: TensorFlow's graph optimiser would take longer than the lesson's steps."""
    return tf.Session(config=devices.session_config("cpu", settings))


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
    still = settings_module.override(settings, {"min_scale": 1, "max_scale": 1})
    pairs = [batch_of(sample_records("val"), still, step) for step in (1, 2)]
    return tuple(np.concatenate(parts) for parts in zip(*pairs))
