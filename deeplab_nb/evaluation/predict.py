"""A network with its weights, ready to label photographs of any size, at one scale or several.

Several scales and the flipped image are a wrapper round a plain network (1706.05587 and 1802.02611,
section 4). Each scale is a pass of its own with sizes known before it runs, because an Ascend card
compiles a graph for fixed shapes; the passes meet in a running sum, so one map of probabilities is
held, not one a scale.
"""

import collections
import math

import numpy as np

from deeplab_nb.devices import devices
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import upsample
from deeplab_nb.evaluation.onnx_runtime import choose
from deeplab_nb.network.checkpoints import find_checkpoint, restore
from deeplab_nb.network.deeplab import build_logits, predict_labels, variables_of
from deeplab_nb.network.layers import resize
from deeplab_nb.settings import MEAN_PIXEL, crop_for
from deeplab_nb.tf1 import tf

# a graph from what is fed to what is found; seen: what reaches the network in it, which gives the
# logits
_Pass = collections.namedtuple("_Pass", "fed seen logits found")


class Predictor:
    """Builds a network once and labels image after image; use it in a `with` block.

    settings: the network section and eval_* are used.
    checkpoint: folder, prefix or one of its files.
    engine: what computes the logits, one of `onnx_runtime.ENGINES`; 'onnxruntime' is asked on the
      CPU, whatever else is here. self.engine says which engine it became.
    images: how many are to come, which 'auto' asks before it converts.
    On an Ascend card there is a graph for each shape of batch and frame, and at each scale; it is
    compiled when it is first met. Elsewhere one graph takes all.
    Raises WorkbookError for a checkpoint that is missing, damaged or of another network.
    """

    def __init__(self, settings, checkpoint, *, engine="tensorflow", images=1):
        self.settings, self._passes = settings.for_evaluation(), {}
        self._wanted, self._images = engine, images
        self.engine, self._compute = "tensorflow", None
        self._device = device_for(settings, engine)
        self._fixed = self._device == "npu"
        with tf.Graph().as_default():
            self._layers = devices.evaluation_layers(self._device)(variables_of(self.settings))
            self._session = tf.Session(config=devices.evaluation_config(self._device, settings))
        try:
            self.load(checkpoint)
        except WorkbookError:
            self.close()
            raise

    def load(self, checkpoint):
        """Gives the network other weights and chooses its engine; returns the RestoreReport."""
        prefix = find_checkpoint(checkpoint)  # one for both, even if a newer is saved meanwhile
        with self._session.graph.as_default():
            self.report = restore(self._session, prefix, tf.global_variables(), complete=True)
        self.engine, self._compute = choose(
            self._wanted,
            self.settings,
            prefix,
            self._logits_by_tensorflow,
            images=self._images,
            device=self._device,
        )
        return self.report

    def labels(self, images, frame=None):
        """Class ids uint8 [height, width] of a photograph uint8 [height, width, 3].

        Of a batch of photographs of one size, [batch, height, width].
        frame: side, or (height, width), in pixels, of the grey frame that the photograph is laid
        into, at its top left. None takes the smallest square of 16k+1 that holds it (513 for VOC's
        500 x 375).
        """
        frames, size = framed(images, frame), images.shape[-3:-1]
        if self.settings.eval_scales == (1.0,) and not self.settings.eval_flip:
            found = self._largest(frames, size)  # the largest logit needs no softmax
        else:
            found = self._sum(frames, size).argmax(axis=3)
        return found.astype(np.uint8).reshape(images.shape[:-1])

    def probabilities(self, images, frame=None):
        """As `labels`, float32 [height, width, num_classes]: the mean over scales and flip."""
        total = self._sum(framed(images, frame), images.shape[-3:-1])
        np.divide(total, len(self.settings.eval_scales), out=total)
        return total.reshape(images.shape[:-1] + total.shape[-1:])

    def _largest(self, frames, size):
        """Class ids at scale 1: by the graph where shapes are fixed, else from the logits."""
        made = self._pass(frames)
        feeds = {made.fed[0]: frames}
        if not self._fixed:
            logits = feeds[made.logits] = self._logits(made, feeds)
            factors = upsample.factors(frames.shape[1:3], logits.shape[1:3])
            if factors:
                return upsample.largest(logits, size, factors)
        return _inside(self._session.run(made.found, feeds), size)

    def _sum(self, frames, size):
        """Probabilities [batch, height, width, num_classes], added up scale after scale."""
        total = None
        for scale in self.settings.eval_scales:
            sizes = scaled_sizes(frames.shape[1:3], scale, self.settings)
            made = self._pass(frames, sizes)
            feeds = dict(zip(made.fed, (frames,) + sizes))
            if self._compute:  # TensorFlow takes fed logits in place of computing them
                feeds[made.logits] = self._logits(made, feeds)
            maps = _inside(self._session.run(made.found, feeds), size)
            total = maps if total is None else np.add(total, maps, out=total)
        return total

    def _logits(self, made, feeds):
        """The logits of a pass by the engine."""
        if self._compute:
            return self._compute(self._session.run(made.seen, feeds))
        return self._session.run(made.logits, feeds)

    def _logits_by_tensorflow(self, images):
        made = self._pass(images)
        return self._session.run(made.logits, {made.fed[0]: images})

    def _pass(self, frames, sizes=None):
        """The `_Pass` to labels at scale 1 or, with `sizes`, to probabilities; built once.

        With fixed shapes once for each of them, otherwise it is fed the sizes too.
        """
        key = (frames.shape, sizes) if self._fixed else sizes is None
        if key not in self._passes:
            shape = frames.shape if self._fixed else (None, None, None, 3)
            with self._session.graph.as_default():
                self._passes[key] = self._build(tf.placeholder(tf.float32, shape), sizes)
        return self._passes[key]

    def _build(self, images, sizes):
        size = images.shape[1:3] if self._fixed else tf.shape(images)[1:3]
        if sizes is None:
            logits = self._network(images)
            return _Pass((images,), images, logits, predict_labels(logits, size))
        fed = () if self._fixed else (tf.placeholder(tf.int32, [2]), tf.placeholder(tf.int32, [2]))
        scaled, grid = fed or sizes
        seen = resize(images, scaled)
        if self.settings.eval_flip:
            seen = tf.concat([seen, flipped(seen)], axis=0)
        logits = self._network(seen)
        maps = mean_softmax(logits, grid, size, flip=self.settings.eval_flip)
        return _Pass((images,) + fed, seen, logits, maps)

    def _network(self, images):
        return build_logits(images, settings=self.settings, layers=self._layers)

    def close(self):
        self._session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def device_for(settings, engine):
    """'cpu', 'gpu' or 'npu': where an engine computes. Raises WorkbookError where it cannot."""
    if engine != "onnxruntime":
        return devices.find(settings)
    if settings.device in ("gpu", "npu"):
        raise WorkbookError(
            "engine onnxruntime computes on the CPU and device is "
            f"{settings.device}: take engine tensorflow, or device cpu"
        )
    return "cpu"


def framed(images, frame=None):
    """float32 [batch, *frame, 3]: photographs at the top left of a grey frame.

    images: uint8 [height, width, 3] or [batch, height, width, 3].
    frame: side, or (height, width); None takes the smallest square of 16k+1 that holds them.
    Raises WorkbookError for one that is too small.
    """
    height, width = images.shape[-3:-1]
    smallest = crop_for(max(height, width))
    rows, columns = frame if isinstance(frame, tuple) else (frame or smallest,) * 2
    if rows < height or columns < width:
        given = rows if rows == columns else f"{columns}x{rows}"
        raise WorkbookError(
            f"a photograph of {width}x{height} does not fit a frame of {given}: "
            f"use a frame of at least {smallest}"
        )
    batch = images.reshape((-1,) + images.shape[-3:])
    grey = np.full((len(batch), rows, columns, 3), MEAN_PIXEL, np.float32)
    grey[:, :height, :width] = batch
    return grey


def _inside(maps, size):
    """The part of [batch, height, width, ...] maps that shows the photographs, not their frame."""
    height, width = size
    return maps[:, :height, :width]


# --- several scales, and flip


def scaled_sizes(frame, scale, settings):
    """(size that a padded image is seen at, size of its logits before they are spread over it).

    frame: (height, width). DeepLab's logits keep their grid from scale 1 on and are brought to that
    of scale 1 below it; MindSpore's entry rounds up and spreads them over the scaled image first.
    """
    if settings.eval_protocol == "mindspore":
        return (tuple(math.ceil(side * scale) for side in frame),) * 2
    stride = 4 if settings.decoder else settings.eval_output_stride
    return (
        tuple(int((side - 1) * scale + 1) for side in frame),
        tuple(int((side - 1) * max(1.0, scale) / stride + 1) for side in frame),
    )


def mean_softmax(logits, grid, size, *, flip):
    """Softmax over the classes, float32 [batch, *size, num_classes], of logits brought to `grid`.

    flip: the second half of the logits is of the flipped images; the mean of both is taken.
    """
    if flip:
        straight, reverse = tf.split(logits, 2)
        logits = tf.concat([straight, flipped(reverse)], axis=0)
    maps = tf.nn.softmax(resize(resize(logits, grid), size))
    return tf.add_n(tf.split(maps, 2)) / 2 if flip else maps


def flipped(images):
    """Left and right exchanged."""
    return tf.reverse(images, axis=[2])
