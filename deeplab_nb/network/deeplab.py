"""From images to logits: the one place where a DeepLab network is put together, for every use."""

from deeplab_nb.network.cost import Counter, Map
from deeplab_nb.network.head import aspp, classifier, decoder
from deeplab_nb.network.layers import Layers, resize
from deeplab_nb.network.mobilenet_v2 import mobilenet_v2
from deeplab_nb.network.resnet import resnet
from deeplab_nb.network.variables import create_variables
from deeplab_nb.network.xception import xception
from deeplab_nb.tf1 import tf


def build_logits(images, *, settings, layers=None):
    """Builds the network in the current graph.

    images: float32 [batch, height, width, 3], RGB in 0..255; height and width may be unknown.
    settings: a `settings.Settings`; its network section is used. The atrous rates follow from
      `output_stride`, which is the training's; evaluation takes `settings.for_evaluation()`.
    layers: what builds it, such as `training_layers`; None takes plain ones for inference.
    Returns logits, float32 [batch, ceil(height/s), ceil(width/s), num_classes], s being the output
    stride, or 4 with the decoder.
    """
    layers = layers or Layers(variables_of(settings))
    return network(layers, normalise(images), settings)


def training_layers(settings, kind=Layers, *, clone=0, **place):
    """Layers of a kind that train as the settings say.

    clone: of those that share a batch; each has statistics and dropout of its own.
    place: the step of the training, and the rank among so many ranks, see `layers.Layers`.
    """
    return kind(
        variables_of(settings),
        is_training=True,
        batch_norm_training=settings.fine_tune_batch_norm,
        batch_norm_decay=settings.batch_norm_decay,
        seed=settings.seed + clone,
        **place,
    )


def variables_of(settings):
    """{name: variable} of the network; those that the current graph has already are taken."""
    return create_variables(cost(settings).variables)


def cost(settings, *, size=513):
    """A `cost.Counter` of the network for one image of `size` pixels each way; builds nothing."""
    counter = Counter(batch_norm_training=settings.fine_tune_batch_norm)
    network(counter, Map((1, size, size, 3)), settings)
    return counter


def network(layers, images, settings):
    """DeepLabv3, and with `settings.decoder` DeepLabv3+: normalised images to logits."""
    high, low = backbone(layers, images, settings)
    separable = settings.separable_head
    x = aspp(layers, high, atrous_rates=settings.atrous_rates, separable=separable)
    if settings.decoder:
        x = decoder(layers, x, low, separable=separable)
    return classifier(layers, x, settings.num_classes)


def backbone(layers, images, settings):
    """`layers.Features` of normalised images."""
    families = {"mobilenet": mobilenet_v2, "xception": xception, "resnet": resnet}
    return families[settings.backbone.split("_")[0]](layers, images, settings)


def normalise(images):
    """0..255 to -1..1, inside the network so that no caller can forget it."""
    return images * (2.0 / 255.0) - 1.0


def predict_labels(logits, size):
    """Class ids int32 [batch, height, width]: logits resized to `size`, then the largest one."""
    return tf.argmax(resize(logits, size), axis=3, output_type=tf.int32)
