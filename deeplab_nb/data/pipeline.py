"""Records to training batches with tf.data: decode, resize, scale, pad, crop, flip.

The order is the original library's. What it makes whole and then cuts, this file makes smaller
where no value changes: mask pixels are looked up for the crop alone, and the image stays uint8
until it is scaled.
"""

import collections

import numpy as np

from deeplab_nb.data.records import count_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import MEAN_PIXEL
from deeplab_nb.tf1 import host_session, tf

SHUFFLE_BUFFER = 1000  # records; a smaller training set is shuffled whole

# what an image and its mask are padded with, None for the ignore label. The MindSpore entry pads
# both with 0: black before the network's normalisation, and background, so padding is trained on.
_FILL = {"deeplab": (MEAN_PIXEL, None), "mindspore": (0.0, 0)}

_FEATURES = {
    "image/encoded": tf.FixedLenFeature([], tf.string),
    "image/filename": tf.FixedLenFeature([], tf.string),
    "image/segmentation/class/encoded": tf.FixedLenFeature([], tf.string),
}


def training_batches(paths, settings, *, first_step=0, rank=0, ranks=1):
    """Endless batches from record files: `(initializable iterator, images, labels, places)`.

    images: float32 [batch, crop, crop, 3] in 0..255; labels: int32 [batch, crop, crop];
    places: int64 [batch], each image's position in `records.read_ids(paths)`.
    first_step: where a resumed run goes on. Order and augmentation are functions of the seed and of
    an image's number in the whole run, so a resumed run sees what an uninterrupted one would have.
    rank, ranks: every process shuffles alike and takes each ranks-th image, so that all make
    equally many steps and their batches together are the batch of one process with a larger one.
    Raises WorkbookError for missing files and for files without a record.
    """
    done = first_step * settings.train_batch_size * ranks
    numbered = tf.data.Dataset.zip(
        (shuffled(paths, settings.seed, done), tf.data.experimental.Counter(done))
    ).shard(ranks, rank)

    def prepare(record_and_place, number):
        record, place = record_and_place
        return augment(*decode(record), settings=settings, number=number) + (place,)

    # AutoGraph would rewrite every function below line by line, in seconds; none has Python control
    # flow over tensors
    dataset = numbered.map(tf.autograph.experimental.do_not_convert(prepare), num_parallel_calls=2)
    dataset = dataset.batch(settings.train_batch_size, drop_remainder=True).prefetch(2)
    iterator = tf.data.make_initializable_iterator(dataset)
    return (iterator,) + tuple(iterator.get_next())


# asked, came: when a step asked for its batch and when it had it, float64 scalars
Batches = collections.namedtuple("Batches", "iterator images labels places asked came")


def timed_batches(paths, settings, **start):
    """`training_batches`, whose options `start` holds, on the host and with a clock round them."""
    with tf.device("/cpu:0"):
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            iterator, images, labels, places = training_batches(paths, settings, **start)
        with tf.control_dependencies([images, labels]):
            came = tf.timestamp()  # subtracted in Python: a card would be given the subtraction
    return Batches(iterator, images, labels, places, asked, came)


def batch_of(paths, settings, step, **share):
    """`(images, labels)` of a step's batch, made once more on the host; share: rank and ranks."""
    with tf.Graph().as_default(), host_session() as session:
        iterator, images, labels, _ = training_batches(
            paths, settings, first_step=step - 1, **share
        )
        session.run(iterator.initializer)
        return session.run([images, labels])


def shuffled(paths, seed, done):
    """Endless `(record, place)`, shuffled anew each epoch, from the run's image number `done` on.

    The order of an epoch follows from the seed and the epoch's number alone, so that a resumed run
    skips within one epoch and need not read all those before it.
    """
    count = count_records(paths)
    if not count:
        named = ", ".join(paths) or "an empty list of files"
        raise WorkbookError(f"there are no records in {named}: write them from a list with images")
    counter = tf.data.experimental.Counter
    records = tf.data.Dataset.zip((tf.data.TFRecordDataset(list(paths)), counter()))
    # the seeds of two runs stay apart for as many epochs as any run has
    epochs = counter(1000000 * seed + done // count).flat_map(
        tf.autograph.experimental.do_not_convert(
            lambda epoch: records.shuffle(
                SHUFFLE_BUFFER, seed=epoch, reshuffle_each_iteration=False
            )
        )
    )
    return epochs.skip(done % count)


def decode(record):
    """A serialised record to `(image uint8 [h, w, 3], label uint8 [h, w])`.

    The graph fails with the image's id where photograph and mask differ in size.
    """
    fields = tf.parse_single_example(record, _FEATURES)
    image = tf.image.decode_jpeg(fields["image/encoded"], channels=3)
    label = tf.image.decode_png(fields["image/segmentation/class/encoded"], channels=1)[..., 0]
    equal = tf.reduce_all(tf.equal(tf.shape(image)[:2], tf.shape(label)))
    said = ["photograph and mask differ in size:", fields["image/filename"]]
    with tf.control_dependencies([tf.Assert(equal, said)]):
        return image, tf.identity(label)


def augment(image, label, *, settings, number):
    """Random scale, crop and flip: `(image float32 [crop, crop, 3], label int32 [crop, crop])`.

    number: int64, the image's number in the run; with the seed it decides what is drawn.
    """
    if settings.min_resize_value:
        image, label = resize_to_range(image, label, settings)
    # scale, row, column, flip
    drawn = tf.random.stateless_uniform([4], seed=[settings.seed, number])
    size = random_size(tf.shape(image)[:2], drawn[0], settings)
    room = tf.maximum(size - settings.train_crop_size, 0) + 1
    offset = tf.cast(drawn[1:3] * tf.cast(room, tf.float32), tf.int32)
    return crop_both(
        image, label, size=size, offset=offset, flipped=drawn[3] < 0.5, settings=settings
    )


def resize_to_range(image, label, settings):
    """Both, the short side at min_resize_value unless the long one exceeded max_resize_value."""
    size = range_size(
        tf.shape(image)[:2],
        settings.min_resize_value,
        settings.max_resize_value,
        settings.resize_factor,
    )
    image = tf.image.resize_bilinear(image[None], size, align_corners=True)[0]
    label = tf.image.resize_nearest_neighbor(label[None, ..., None], size, align_corners=True)
    return image, label[0, ..., 0]


def range_size(size, shortest, longest, factor):
    """int32 `[height, width]` of `resize_to_range`: k * factor + 1, `longest` at most; 0: none."""
    if longest and factor:
        longest -= (longest - 1) % factor
    sides = tf.cast(size, tf.float32)
    resized = tf.floor(sides * (shortest / tf.reduce_min(sides)))
    if longest:
        smaller = tf.floor(sides * (longest / tf.reduce_max(sides)))
        resized = tf.where(tf.reduce_max(resized) > longest, smaller, resized)
    resized = tf.cast(resized, tf.int32)
    return resized + tf.floormod(1 - resized, factor) if factor else resized


def random_size(size, drawn, settings):
    """int32 `[height, width]` of the scaled image; `drawn` is uniform in 0..1."""
    sides = tf.cast(size, tf.float32)
    if settings.augmentation == "deeplab":
        return tf.cast(sides * random_scale(drawn, settings), tf.int32)
    # MindSpore: the scales are of the crop, not of the image, and the short side is any whole
    # number between
    low, high = (
        int(scale * settings.train_crop_size) for scale in (settings.min_scale, settings.max_scale)
    )
    short = low + tf.cast(drawn * (high - low + 1), tf.int32)
    # in whole numbers, as the entry divides: in float32 a short side of 500 could come out as 499
    return size * short // tf.reduce_min(size)


def random_scale(drawn, settings):
    """`drawn`, uniform in 0..1, to one of min, min + step, ..., max; with step 0 to any between."""
    spread = settings.max_scale - settings.min_scale
    if settings.scale_step == 0:
        return settings.min_scale + drawn * spread
    count = int(round(spread / settings.scale_step)) + 1
    scales = tf.constant(np.linspace(settings.min_scale, settings.max_scale, count), tf.float32)
    return scales[tf.cast(drawn * count, tf.int32)]


def crop_both(image, label, *, size, offset, flipped, settings):
    """Image and label scaled to `size`, padded to the crop, cut at `offset`, flipped or not."""
    crop = settings.train_crop_size
    image_fill, label_fill = _FILL[settings.augmentation]
    if label_fill is None:
        label_fill = settings.ignore_label
    return (
        crop_image(image, size, offset, flipped, crop=crop, fill=image_fill),
        crop_label(label, size, offset, flipped, crop=crop, fill=label_fill),
    )


def crop_image(image, size, offset, flipped, *, crop, fill):
    """float32 [crop, crop, 3], bilinear; corners stay corners."""
    image = tf.image.resize_bilinear(image[None], size, align_corners=True)[0]
    image = image[offset[0] : offset[0] + crop, offset[1] : offset[1] + crop]
    height, width = tf.unstack(tf.shape(image)[:2])
    # joined, for tf.pad computes an index for every number: 9 ms an image, more than the scaling
    image = tf.concat([image, tf.fill([height, crop - width, 3], fill)], axis=1)
    image = tf.concat([image, tf.fill([crop - height, crop, 3], fill)], axis=0)
    image = tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)
    image.set_shape([crop, crop, 3])
    return image


def crop_label(label, size, offset, flipped, *, crop, fill):
    """int32 [crop, crop], nearest; corners stay corners. Pixels outside the crop are never made."""
    height, width = tf.unstack(tf.shape(label))
    rows = source_places(height, size[0], offset[0], crop)
    columns = source_places(width, size[1], offset[1], crop)
    columns = tf.cond(flipped, lambda: columns[::-1], lambda: columns)
    fill = tf.constant(fill, label.dtype)  # one more row and column to look padding up in
    label = tf.concat([label, tf.fill([height, 1], fill)], axis=1)
    label = tf.concat([label, tf.fill([1, width + 1], fill)], axis=0)
    return tf.cast(tf.gather(tf.gather(label, columns, axis=1), rows), tf.int32)


def source_places(length, scaled, first, crop):
    """int32 [crop]: pixels of a side nearest to `first`... of the scaled; `length` beyond."""
    places = tf.range(first, first + crop)
    step = tf.cast(length - 1, tf.float32) / tf.cast(tf.maximum(scaled - 1, 1), tf.float32)
    exact = tf.cast(places, tf.float32) * step
    # halves go up, as in TensorFlow's nearest neighbour kernel; tf.round takes them to the even one
    nearest = tf.cast(exact, tf.int32) + tf.cast(exact - tf.floor(exact) >= 0.5, tf.int32)
    places = tf.where(places < scaled, tf.minimum(nearest, length - 1), tf.fill([crop], length))
    places.set_shape([crop])
    return places
