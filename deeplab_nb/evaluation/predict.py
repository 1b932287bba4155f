"""A network with its weights, ready to label photographs of any size, at one scale or several.

Several scales and the flipped image are a wrapper round a plain network (1706.05587 and 1802.02611,
section 4). Each scale is a pass of its own with sizes known before it runs, because an Ascend card
compiles a graph for fixed shapes; the passes meet in a running sum, so one map of probabilities is
held, not one a scale.
"""

import collections
import functools
import math

import numpy as np

from deeplab_nb.devices import devices
from deeplab_nb.errors import WorkbookError
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
    checkpoint: folder, prefix or one of its files. self.checkpoint is its prefix.
    engine: what computes the logits, one of `onnx_runtime.ENGINES`; 'onnxruntime' is asked on the
      CPU, whatever else is here. self.engine says which engine it became.
    images: how many are to come, which 'auto' asks before it converts.
    On an Ascend card there is a graph for each shape of batch and frame, and at each scale; it is
    compiled when it is first met. Elsewhere one graph takes all.
    Raises WorkbookError for a checkpoint that is missing, damaged or of another network.
    """

    def __init__(self, settings, checkpoint, *, engine="tensorflow", images=1):
        if not all(0.1 <= scale <= 4 for scale in settings.eval_scales):
            raise WorkbookError(
                f"scales {settings.eval_scales} must lie in 0.1 to 4: 1 is an image's own size"
            )
        self.settings, self._passes = settings.for_evaluation(), {}
        self.engine, self._compute = "tensorflow", None
        device = _device_for(settings, engine)
        self._fixed = device == "npu"
        self._choose = functools.partial(
            choose, engine, self.settings, images=images, device=device
        )
        with tf.Graph().as_default():
            self._layers = devices.evaluation_layers(device)(variables_of(self.settings))
            self._session = tf.Session(config=devices.evaluation_config(device, settings))
        try:
            self.load(checkpoint)
        except WorkbookError:
            self.close()
            raise

    def load(self, checkpoint):
        """Gives the network other weights and chooses its engine."""
        # one for both, even if a newer is saved meanwhile
        self.checkpoint, self._compute = find_checkpoint(checkpoint), None
        with self._session.graph.as_default():
            restore(self._session, self.checkpoint, tf.global_variables(), complete=True)
        self.engine, self._compute = self._choose(
            self.checkpoint, lambda frames: self._logits(*self._pass(frames))
        )

    def labels(self, images, frame=None):
        """Class ids uint8 [height, width] of a photograph uint8 [height, width, 3].

        Of a batch of photographs of one size, [batch, height, width].
        frame: side, or (height, width), in pixels, to which the photograph is padded with grey at
        its bottom and right. None takes the smallest square of 16k+1 that holds it (513 for VOC's
        500 x 375).
        """
        if self.settings.eval_scales == (1.0,) and not self.settings.eval_flip:
            found = self._largest(images, frame)  # the largest logit needs no softmax
        else:
            found = self._sum(images, frame).argmax(axis=3)
        return found.astype(np.uint8).reshape(images.shape[:-1])

    def probabilities(self, images, frame=None):
        """As `labels`, float32 [height, width, num_classes]: the mean over scales and flip."""
        total = self._sum(images, frame)
        total /= len(self.settings.eval_scales)
        return total.reshape(images.shape[:-1] + total.shape[-1:])

    def _largest(self, images, frame):
        """Class ids at scale 1: by the graph where shapes are fixed, else from the logits."""
        frames, size = padded(images, frame), images.shape[-3:-1]
        made, feeds = self._pass(frames)
        if not self._fixed:
            logits = feeds[made.logits] = self._logits(made, feeds)
            step = whole_steps(frames.shape[1:3], logits.shape[1:3])
            if step:
                return largest_class(logits, size, step)
        return self._session.run(made.found, feeds)[:, : size[0], : size[1]]

    def _sum(self, images, frame):
        """Probabilities [batch, height, width, num_classes], added up scale after scale."""
        frames, (height, width), total = padded(images, frame), images.shape[-3:-1], 0
        for scale in self.settings.eval_scales:
            sizes = scaled_sizes(frames.shape[1:3], scale, self.settings)
            made, feeds = self._pass(frames, sizes)
            if self._compute:  # TensorFlow takes fed logits in place of computing them
                feeds[made.logits] = self._logits(made, feeds)
            total += self._session.run(made.found, feeds)[:, :height, :width]
        return total

    def _logits(self, made, feeds):
        """The logits of a pass by the engine."""
        if self._compute:
            return self._compute(self._session.run(made.seen, feeds))
        return self._session.run(made.logits, feeds)

    def _pass(self, frames, sizes=()):
        """(`_Pass`, what to feed it) to labels at scale 1 or, with `sizes`, to probabilities.

        Built once; with fixed shapes once for each of them, otherwise it is fed the sizes too.
        """
        key = (frames.shape, sizes) if self._fixed else bool(sizes)
        if key not in self._passes:
            with self._session.graph.as_default():
                self._passes[key] = self._build(frames.shape, sizes)
        made = self._passes[key]
        return made, dict(zip(made.fed, (frames,) + sizes))

    def _build(self, shape, sizes):
        images = tf.placeholder(tf.float32, shape if self._fixed else (None, None, None, 3))
        size = images.shape[1:3] if self._fixed else tf.shape(images)[1:3]
        fed, seen, flip = [images], images, sizes and self.settings.eval_flip
        if sizes:
            if not self._fixed:
                sizes = [tf.placeholder(tf.int32, [2]) for _ in sizes]
                fed += sizes
            seen = resize(images, sizes[0])
        if flip:
            seen = tf.concat([seen, flipped(seen)], axis=0)
        logits = build_logits(seen, settings=self.settings, layers=self._layers)
        if not sizes:
            return _Pass(fed, seen, logits, predict_labels(logits, size))
        straight = logits
        if flip:
            first, second = tf.split(logits, 2)
            straight = tf.concat([first, flipped(second)], axis=0)
        maps = tf.nn.softmax(resize(resize(straight, sizes[1]), size))
        if flip:
            maps = tf.add_n(tf.split(maps, 2)) / 2
        return _Pass(fed, seen, logits, maps)

    def close(self):
        self._session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _device_for(settings, engine):
    """'cpu', 'gpu' or 'npu': where an engine computes. Raises WorkbookError where it cannot."""
    if engine != "onnxruntime":
        return devices.find(settings)
    if settings.device in ("gpu", "npu"):
        raise WorkbookError(
            "engine onnxruntime computes on the CPU and device is "
            f"{settings.device}: take engine tensorflow, or device cpu"
        )
    return "cpu"


def padded(images, frame=None):
    """float32 [batch, *frame, 3]: photographs at the top left, grey below and beside them.

    images: uint8 [height, width, 3] or [batch, height, width, 3].
    frame: side, or (height, width); None takes the smallest square of 16k+1 that holds them.
    Raises WorkbookError for one that is too small.
    """
    *_, height, width, _ = images.shape
    smallest = crop_for(max(height, width))
    rows, columns = frame if isinstance(frame, tuple) else (frame or smallest,) * 2
    if rows < height or columns < width:
        given = rows if rows == columns else f"{columns}x{rows}"
        raise WorkbookError(
            f"a photograph of {width}x{height} does not fit a frame of {given}: "
            f"use a frame of at least {smallest}"
        )
    batch = images.reshape((-1, height, width, 3))
    grey = np.full((len(batch), rows, columns, 3), MEAN_PIXEL, np.float32)
    grey[:, :height, :width] = batch
    return grey


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


def flipped(images):
    """Left and right exchanged."""
    return tf.reverse(images, axis=[2])


# --- labels from coarse logits, upsampled only where borders run: between four logits that all
# prefer one class, so does every bilinear mean of them. Only the other cells, one in four on a
# photograph tried at stride 16, are upsampled class by class

CELLS = 1024  # upsampled at a time: 22 MB of logits at stride 16 and 21 classes


def whole_steps(frame, grid):
    """Whole pixels from one logit to the next, (rows, columns); None for any other frame."""
    steps = [divmod(side - 1, max(cells - 1, 1)) for side, cells in zip(frame, grid)]
    whole, rests = zip(*steps)
    return None if 0 in whole or any(rests) else whole


def largest_class(logits, size, step):
    """Class ids uint8 [batch, height, width]: the largest logit at every pixel.

    As the argmax of a bilinear resize whose corners stay corners.
    logits: float32 [batch, h, w, classes]; size: (height, width) of what is looked at, from the
    top left; step: what `whole_steps` gave.
    """
    # cells that show it; the last logit begins one too
    rows, columns = (-(-side // pixels) for side, pixels in zip(size, step))
    logits = np.pad(logits, [(0, 0), (0, 1), (0, 1), (0, 0)], "edge")
    winner = logits.argmax(axis=3).astype(np.uint8)
    corners = [winner[:, y : y + rows, x : x + columns] for y in (0, 1) for x in (0, 1)]
    labels = corners[0].repeat(step[0], axis=1).repeat(step[1], axis=2)
    cells = labels.reshape(len(labels), rows, step[0], columns, step[1])
    borders = np.argwhere(np.ptp(corners, axis=0))
    for begin in range(0, len(borders), CELLS):
        image, y, x = borders[begin : begin + CELLS].T
        top, bottom = (
            _between(logits[image, row, x], logits[image, row, x + 1], step[1])
            for row in (y, y + 1)
        )
        cells[image, y, :, x] = _between(top, bottom, step[0]).argmax(axis=3)
    return labels[:, : size[0], : size[1]]


def _between(one, other, count):
    """[n, count, ...]: from one to just before the other."""
    shares = (np.arange(count, dtype=np.float32) / count).reshape((count,) + (1,) * (one.ndim - 1))
    return one[:, None] + (other - one)[:, None] * shares
