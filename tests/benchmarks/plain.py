"""What our ways of labelling are measured against: one graph of TensorFlow's own operations."""

import os

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.evaluation.evaluate import protocol_of
from deeplab_nb.evaluation.predict import flipped, padded, scaled_sizes
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.network.deeplab import build_logits, predict_labels
from deeplab_nb.network.layers import resize
from deeplab_nb.settings import MEAN_PIXEL, crop_for
from deeplab_nb.tf1 import tf


def plain_photograph(settings, prefix, size):
    frame = protocol_of(settings, max(size)).frame(size)
    images = tf.placeholder(tf.float32, (1,) + frame + (3,))
    labels, session = plain_labels(images, settings), tf.Session()
    restore(session, prefix, tf.global_variables(), complete=True)
    return lambda: session.run(labels, {images: padded(noise(size), frame)})


def plain_list(settings, prefix, images):
    """Reading by tf.data, and TensorFlow's own metric; the work returns its confusion matrix."""
    listed = voc.read_list(settings.data_root, settings.val_list)
    side = crop_for(max(max(voc.image_size(voc.image_path(settings.data_root, i))) for i in listed))
    dataset = tf.data.Dataset.from_tensor_slices(listed[:images]).map(
        lambda name: _framed_pair(settings, name, side), 2
    )
    iterator = tf.data.make_initializable_iterator(dataset.batch(1).prefetch(2))
    image, truth = iterator.get_next()
    counted = tf.not_equal(truth, settings.ignore_label)
    _, update = tf.metrics.mean_iou(
        tf.where(counted, truth, tf.zeros_like(truth)),
        plain_labels(image, settings),
        settings.num_classes,
        weights=tf.cast(counted, tf.float32),
    )
    session, begin = tf.Session(), [tf.local_variables_initializer(), iterator.initializer]
    restore(session, prefix, tf.global_variables(), complete=True)

    def work():
        session.run(begin)
        return [session.run(update) for _ in listed[:images]][-1]

    return work


def _framed_pair(settings, name, side):
    """(float32 [side, side, 3], int32 [side, side]) of an image id.

    TensorFlow cannot read a palette's numbers, so Pillow does.
    """
    image = tf.cast(
        tf.image.decode_jpeg(tf.read_file(_path(settings, "JPEGImages", name, ".jpg")), 3),
        tf.float32,
    )
    mask = tf.numpy_function(
        lambda path: voc.read_mask(path.decode())[0],
        [_path(settings, "SegmentationClass", name, ".png")],
        tf.uint8,
    )
    fill = [[0, side - tf.shape(image)[0]], [0, side - tf.shape(image)[1]]]
    image = tf.pad(image, fill + [[0, 0]], constant_values=MEAN_PIXEL)
    mask = tf.pad(tf.cast(mask, tf.int32), fill, constant_values=settings.ignore_label)
    return tf.ensure_shape(image, [side, side, 3]), tf.ensure_shape(mask, [side, side])


def _path(settings, folder, name, ending):
    """As `voc.image_path`, of a name that is a tensor."""
    return tf.strings.join([os.path.join(settings.data_root, folder, ""), name, ending])


def plain_labels(images, settings):
    """Class ids int32 [1, h, w] of padded photographs float32 [1, h, w, 3].

    A network a scale and flip, all averaged at the end.
    """
    size = images.shape[1:3].as_list()

    def logits(images):
        return build_logits(images, settings=settings.for_evaluation())

    if settings.eval_scales == (1.0,) and not settings.eval_flip:
        return predict_labels(logits(images), size)
    maps = []
    for scale in settings.eval_scales:
        seen, grid = scaled_sizes(size, scale, settings)
        for turn in (tf.identity, flipped)[: 1 + settings.eval_flip]:
            maps.append(
                tf.nn.softmax(resize(resize(turn(logits(resize(turn(images), seen))), grid), size))
            )
    return tf.argmax(tf.reduce_mean(tf.stack(maps), axis=0), axis=3, output_type=tf.int32)


def noise(size):
    return np.random.RandomState(0).randint(0, 256, size + (3,)).astype(np.uint8)
