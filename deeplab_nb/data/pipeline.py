"""Records to training batches with tf.data: decode, scale, pad, crop, flip (the original library's order)."""
import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import MEAN_PIXEL
from deeplab_nb.tf1 import tf

SHUFFLE_BUFFER = 1000  # records; a smaller training set is shuffled whole

_FEATURES = {
    "image/encoded": tf.FixedLenFeature([], tf.string),
    "image/segmentation/class/encoded": tf.FixedLenFeature([], tf.string),
}


def training_batches(paths, settings, *, first_step=0):
    """Endless batches from record files, as an initializable iterator's `(iterator, images, labels)`.

    images: float32 [batch, crop, crop, 3] in 0..255; labels: int32 [batch, crop, crop].
    first_step: where a resumed run goes on. Order and augmentation are functions of the seed and of an
    image's place in the whole run, so a resumed run sees what an uninterrupted one would have seen.
    """
    check_pipeline(settings)
    done = first_step * settings.train_batch_size
    order = tf.data.TFRecordDataset(list(paths)).apply(
        tf.data.experimental.shuffle_and_repeat(SHUFFLE_BUFFER, seed=settings.seed)).skip(done)
    numbered = tf.data.Dataset.zip((order, tf.data.experimental.Counter(done)))
    dataset = numbered.map(lambda record, number: augment(*decode(record), settings=settings, number=number),
                           num_parallel_calls=2)
    dataset = dataset.batch(settings.train_batch_size, drop_remainder=True).prefetch(2)
    iterator = tf.data.make_initializable_iterator(dataset)
    return (iterator,) + tuple(iterator.get_next())


def decode(record):
    """A serialised record to `(image float32 [h, w, 3], label int32 [h, w])`."""
    fields = tf.parse_single_example(record, _FEATURES)
    image = tf.image.decode_jpeg(fields["image/encoded"], channels=3)
    label = tf.image.decode_png(fields["image/segmentation/class/encoded"], channels=1)
    return tf.cast(image, tf.float32), tf.cast(label[..., 0], tf.int32)


def augment(image, label, *, settings, number):
    """Random scale, padding, random crop, random flip: both `[crop, crop, ...]` with a static shape.

    number: int64, the image's place in the run; with the seed it decides what is drawn.
    """
    crop = settings.train_crop_size
    drawn = tf.random.stateless_uniform([4], seed=[settings.seed, number])  # scale, row, column, flip
    image, label = scale_both(image, label[..., None], random_scale(drawn[0], settings))
    image, label = pad_to(image, label, crop, settings.ignore_label)
    room = tf.cast(tf.shape(image)[:2] - crop + 1, tf.float32)
    row, column = tf.unstack(tf.cast(drawn[1:3] * room, tf.int32))
    both = tf.concat([image, tf.cast(label, tf.float32)], axis=2)[row:row + crop, column:column + crop]
    both = tf.cond(drawn[3] < 0.5, lambda: both[:, ::-1], lambda: both)
    both.set_shape([crop, crop, 4])
    return both[..., :3], tf.cast(both[..., 3], tf.int32)


def random_scale(drawn, settings):
    """`drawn`, uniform in 0..1, to one of min, min + step, ..., max; to any scale between where the step is 0."""
    spread = settings.max_scale - settings.min_scale
    if settings.scale_step == 0:
        return settings.min_scale + drawn * spread
    count = int(round(spread / settings.scale_step)) + 1
    return tf.constant(np.linspace(settings.min_scale, settings.max_scale, count), tf.float32)[tf.cast(drawn * count, tf.int32)]


def scale_both(image, label, scale):
    """Image bilinear, label nearest; corners stay corners. Both are [h, w, channels]."""
    size = tf.cast(tf.cast(tf.shape(image)[:2], tf.float32) * scale, tf.int32)
    image = tf.image.resize_bilinear(image[None], size, align_corners=True)[0]
    label = tf.image.resize_nearest_neighbor(label[None], size, align_corners=True)[0]
    return image, label


def pad_to(image, label, crop, ignore_label):
    """Fills right and bottom up to the crop: the image with grey, the label with the ignore label."""
    missing = tf.maximum(crop - tf.shape(image)[:2], 0)
    paddings = [[0, missing[0]], [0, missing[1]], [0, 0]]
    return (tf.pad(image, paddings, constant_values=MEAN_PIXEL),
            tf.pad(label, paddings, constant_values=ignore_label))


def check_pipeline(settings):
    """Raises WorkbookError for an augmentation that is described in the recipes but not built yet."""
    if settings.augmentation != "deeplab":
        raise WorkbookError("augmentation '{}' is described but not built in this version: set augmentation=deeplab".format(
            settings.augmentation))
