"""From images to logits: the one place where a DeepLab network is put together, for every use and device."""
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.heads import aspp, classifier
from deeplab_nb.network.layers import Layers, resize
from deeplab_nb.network.mobilenet_v2 import mobilenet_v2
from deeplab_nb.tf1 import tf


def build_logits(images, *, settings, output_stride=None, is_training=False, batch_norm_updates=None):
    """Builds the network in the current graph.

    images: float32 [batch, height, width, 3], RGB in 0..255; height and width may be unknown.
    settings: a `settings.Settings`; the network section of it is used.
    output_stride: 8, 16 or 32; None takes `settings.output_stride`. The atrous rates follow.
    is_training: dropout, and batch statistics if `settings.fine_tune_batch_norm`.
    batch_norm_updates: a list that receives the operations to run with each training step.
    Returns logits, float32 [batch, ceil(height/output_stride), ceil(width/output_stride), num_classes].
    Raises WorkbookError for a network that this version cannot build.
    """
    check_buildable(settings)
    output_stride = output_stride or settings.output_stride
    layers = Layers(batch_norm_training=is_training and settings.fine_tune_batch_norm,
                    batch_norm_decay=settings.batch_norm_decay)
    features = mobilenet_v2(layers, normalise(images), depth_multiplier=settings.depth_multiplier,
                            output_stride=output_stride)
    features = aspp(layers, features, atrous_rates=settings.rates_at(output_stride), is_training=is_training)
    logits = classifier(layers, features, settings.num_classes)
    if batch_norm_updates is not None:
        batch_norm_updates.extend(layers.updates)
    return logits


def normalise(images):
    """0..255 to -1..1, inside the network so that no caller can forget it."""
    return images * (2.0 / 255.0) - 1.0


def predict_labels(logits, size):
    """Class ids int32 [batch, height, width]: logits resized to `size`, then the largest one."""
    return tf.argmax(resize(logits, size), axis=3, output_type=tf.int32)


def check_buildable(settings):
    """Raises WorkbookError if `build_logits` cannot build these settings yet."""
    if settings.backbone != "mobilenet_v2":
        raise WorkbookError("backbone '{}' is described but not built in this version: choose mobilenet_v2".format(settings.backbone))
    if settings.decoder:
        raise WorkbookError("the decoder is described but not built in this version: set decoder=false")
