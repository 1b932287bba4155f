"""From images to logits: the one place where a DeepLab network is put together, for every use and device."""
from deeplab_nb.network.cost import Counter, Map
from deeplab_nb.network.decoder import decoder
from deeplab_nb.network.head import aspp, classifier
from deeplab_nb.network.layers import Layers, resize
from deeplab_nb.network.mobilenet_v2 import mobilenet_v2
from deeplab_nb.network.resnet import resnet
from deeplab_nb.network.variables import create_variables
from deeplab_nb.network.xception import xception
from deeplab_nb.tf1 import tf


def build_logits(images, *, settings, output_stride=None, is_training=False, batch_norm_updates=None,
                 make_layers=Layers, clones=1, plain=False, half=False, step=0, rank=0, ranks=1):
    """Builds the network in the current graph.

    images: float32 [batch, height, width, 3], RGB in 0..255; height and width may be unknown.
    settings: a `settings.Settings`; the network section of it is used.
    output_stride: 8, 16 or 32; None takes `settings.output_stride`. The atrous rates follow.
    is_training: dropout, and batch statistics if `settings.fine_tune_batch_norm`.
    batch_norm_updates: a list that receives the operations to run with each training step.
    make_layers: `Layers`, or `layers.DilatedLayers` for a graph that is to be converted.
    clones: networks that share the batch evenly and the weights, as the original's num_clones. They run side by side, each with
      batch statistics of its own part; the moving ones follow the first.
    plain: TensorFlow's own operations alone, as suits a GPU or NPU in training.
    half: simulate float16's rounding, see `half`.
    step: of the training, a number or a scalar tensor; dropout differs from step to step, and is the same again at the same one.
    rank, ranks: this process among those that train together; dropout follows from an image's place in the batch of all.
    Returns logits, float32 [batch, ceil(height/s), ceil(width/s), num_classes], s being the output
    stride, or 4 with the decoder.
    """
    output_stride = output_stride or settings.output_stride
    variables = create_variables(cost(settings, output_stride).variables)
    made = [make_layers(variables, is_training=is_training, batch_norm_training=is_training and settings.fine_tune_batch_norm,
                        batch_norm_decay=settings.batch_norm_decay, plain=plain, half=half, seed=settings.seed + number, step=step,
                        rank=rank, ranks=ranks)
            for number in range(clones)]
    parts = tf.split(images, clones) if clones > 1 else [images]
    logits = [network(layers, normalise(part), settings=settings, output_stride=output_stride) for layers, part in zip(made, parts)]
    if batch_norm_updates is not None:
        batch_norm_updates.extend(made[0].updates)
    return tf.concat(logits, axis=0) if clones > 1 else logits[0]


def cost(settings, output_stride, size=513):
    """A `cost.Counter` of the network for one image of `size` pixels each way; builds nothing."""
    counter = Counter(batch_norm_training=settings.fine_tune_batch_norm)
    network(counter, Map((1, size, size, 3)), settings=settings, output_stride=output_stride)
    return counter


def network(layers, images, *, settings, output_stride):
    """DeepLabv3, and with `settings.decoder` DeepLabv3+: normalised images to logits, through any kind of `layers`."""
    features = backbone(layers, images, settings=settings, output_stride=output_stride)
    x = aspp(layers, features.high, atrous_rates=settings.rates_at(output_stride), separable=settings.separable_head)
    if settings.decoder:
        x = decoder(layers, x, features.low, separable=settings.separable_head)
    return classifier(layers, x, settings.num_classes)


def backbone(layers, images, *, settings, output_stride):
    """`layers.Features` of normalised images."""
    if settings.backbone == "mobilenet_v2":
        return mobilenet_v2(layers, images, depth_multiplier=settings.depth_multiplier, output_stride=output_stride)
    family = xception if settings.backbone.startswith("xception") else resnet
    return family(layers, images, variant=settings.backbone, output_stride=output_stride, multi_grid=settings.multi_grid)


def normalise(images):
    """0..255 to -1..1, inside the network so that no caller can forget it."""
    return images * (2.0 / 255.0) - 1.0


def predict_labels(logits, size):
    """Class ids int32 [batch, height, width]: logits resized to `size`, then the largest one."""
    return tf.argmax(resize(logits, size), axis=3, output_type=tf.int32)
