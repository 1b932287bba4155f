"""A network with its weights, ready to label photographs of any size."""
import collections

import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import enlarge, multi_scale
from deeplab_nb.evaluation.engine import choose
from deeplab_nb.network.checkpoints import find_checkpoint, restore
from deeplab_nb.network.deeplab import build_logits, predict_labels, variables_of
from deeplab_nb.settings import MEAN_PIXEL, crop_for
from deeplab_nb.tf1 import tf
from deeplab_nb.training import devices

# a graph from what is fed to what is found; seen: what reaches the network in it, which gives the logits
_Pass = collections.namedtuple("_Pass", "fed seen logits found")


class Predictor:
    """Builds a network once and labels image after image; use it in a `with` block.

    settings: the network section and eval_* are used; checkpoint: folder, prefix or one of its files.
    engine: what computes the logits, one of `engine.ENGINES`; 'onnxruntime' is asked on the CPU, whatever else is here.
    images: how many are to come, which 'auto' asks before it converts. self.engine says which engine it became.
    On an Ascend card there is a graph for each shape of batch and frame, and at each scale; it is compiled when it
    is first met. Elsewhere one graph takes all.
    Raises WorkbookError for a checkpoint that is missing, damaged or of another network.
    """

    def __init__(self, settings, checkpoint, *, engine="tensorflow", images=1):
        self.settings, self._passes = settings.for_evaluation(), {}
        self._wanted, self._images = engine, images
        self.engine, self._compute = "tensorflow", None
        self._device = device_for(settings, engine)
        self._fixed = self._device == "npu"
        graph = tf.Graph()
        with graph.as_default():
            self._layers = devices.evaluation_layers(self._device)(variables_of(self.settings))
            self._session = tf.Session(config=devices.evaluation_config(self._device, settings))
        try:
            self.load(checkpoint)
        except WorkbookError:
            self.close()
            raise

    def load(self, checkpoint):
        """Puts another checkpoint's weights into the network as it stands, chooses its engine; returns the RestoreReport."""
        checkpoint = find_checkpoint(checkpoint)  # the same one for the engine, even if a newer is saved meanwhile
        with self._session.graph.as_default():
            self.report = restore(self._session, checkpoint, tf.global_variables(), complete=True)
        self.engine, self._compute = choose(self._wanted, self.settings, checkpoint, self._logits_by_tensorflow,
                                            images=self._images, device=self._device)
        return self.report

    def labels(self, images, frame=None):
        """Class ids uint8 [height, width] of a photograph uint8 [height, width, 3]; of a batch of one size, [batch, ...].

        frame: side, or (height, width), in pixels, of the grey frame that the photograph is laid into, at its
        top left. None takes the smallest square of 16k+1 that holds it (513 for VOC's 500 x 375).
        """
        if self.settings.eval_scales == (1.0,) and not self.settings.eval_flip:  # the largest logit needs no softmax
            found = self._largest(framed(images, frame), images)
        else:
            found = self._sum(images, frame).argmax(axis=3)
        return _alike(found.astype(np.uint8), images)

    def _largest(self, frames, images):
        """Labels at scale 1: by the graph where its shapes are fixed, else from the logits."""
        made = self._label_pass(frames)
        feeds = {made.fed[0]: frames}
        if not self._fixed:
            feeds[made.logits] = self._logits(made, feeds)
            step = enlarge.factors(frames.shape[1:3], feeds[made.logits].shape[1:3])
            if step:
                return enlarge.largest(feeds[made.logits], images.shape[-3:-1], step)
        return _inside(self._session.run(made.found, feeds), images)

    def probabilities(self, images, frame=None):
        """As `labels`, float32 [height, width, num_classes]: softmax, the mean over scales and mirror images."""
        total = self._sum(images, frame)
        return _alike(np.divide(total, len(self.settings.eval_scales), out=total), images)

    def _sum(self, images, frame):
        """Probabilities added up over the scales, one scale after the other: [batch, height, width, num_classes]."""
        total, square = None, framed(images, frame)
        for scale in self.settings.eval_scales:
            sizes = multi_scale.sizes(square.shape[1:3], scale, self.settings)
            maps = _inside(self._run(self._scale_pass(square, sizes), (square,) + sizes), images)
            total = maps if total is None else np.add(total, maps, out=total)
        return total

    def _run(self, made, values):
        """What a pass finds for the values that are fed."""
        feeds = dict(zip(made.fed, values))
        if self._compute:  # TensorFlow takes fed logits in place of computing them
            feeds[made.logits] = self._logits(made, feeds)
        return self._session.run(made.found, feeds)

    def _logits(self, made, feeds):
        """The logits of a pass by the engine."""
        if self._compute:
            return self._compute(self._session.run(made.seen, feeds))
        return self._session.run(made.logits, feeds)

    def _label_pass(self, frames):
        """The pass to labels at scale 1."""
        return self._pass("labels", frames, lambda network, images: (
            (), predict_labels(network(images), frames.shape[1:3] if self._fixed else tf.shape(images)[1:3])))

    def _scale_pass(self, frames, sizes):
        """The pass to probabilities: with fixed shapes a graph for each scale, otherwise one that is fed the sizes too."""
        def build(network, images):
            fed = () if self._fixed else (tf.placeholder(tf.int32, [2]), tf.placeholder(tf.int32, [2]))
            return fed, multi_scale.probabilities(network, images, *(fed or sizes), flip=self.settings.eval_flip)
        return self._pass(sizes if self._fixed else "any size", frames, build)

    def _pass(self, key, frames, build):
        """The `_Pass` under this key, of the frames' shape where shapes are fixed, built once.

        build: takes a function from images to logits, and the images; returns (what is fed beside them, found).
        """
        shape = frames.shape if self._fixed else (None, None, None, 3)
        if (key, shape) not in self._passes:
            seam = []

            def network(images):
                logits = build_logits(images, settings=self.settings, layers=self._layers)
                seam.extend([images, logits])
                return logits
            with self._session.graph.as_default():
                images = tf.placeholder(tf.float32, shape)
                fed, found = build(network, images)
            self._passes[key, shape] = _Pass((images,) + fed, *seam, found)
        return self._passes[key, shape]

    def _logits_by_tensorflow(self, images):
        made = self._label_pass(images)
        return self._session.run(made.logits, {made.fed[0]: images})

    def close(self):
        self._session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def device_for(settings, engine):
    """'cpu', 'gpu' or 'npu': where an engine computes. Raises WorkbookError for one that has no such device."""
    if engine != "onnxruntime":
        return devices.find(settings)
    if settings.device in ("gpu", "npu"):
        raise WorkbookError("engine onnxruntime computes on the CPU and device is {}: take engine tensorflow, or device cpu".format(
            settings.device))
    return "cpu"


def framed(images, frame=None):
    """float32 [batch, *frame, 3]: photographs uint8 [height, width, 3] or [batch, ...] at the top left of a grey frame.

    frame: side, or (height, width); None takes the smallest square of 16k+1 that holds it. Raises
    WorkbookError for one that is too small.
    """
    height, width = images.shape[-3:-1]
    smallest = crop_for(max(height, width))
    rows, columns = (frame or smallest,) * 2 if not isinstance(frame, tuple) else frame
    if rows < height or columns < width:
        raise WorkbookError("a photograph of {}x{} does not fit a frame of {}: use a frame of at least {}".format(
            width, height, rows if rows == columns else "{}x{}".format(columns, rows), smallest))
    batch = images.reshape((-1,) + images.shape[-3:])
    grey = np.full((len(batch), rows, columns, 3), MEAN_PIXEL, np.float32)
    grey[:, :height, :width] = batch
    return grey


def _inside(maps, images):
    """The part of [batch, height, width, ...] maps that shows the photographs and not their frame."""
    height, width = images.shape[-3:-1]
    return maps[:, :height, :width]


def _alike(maps, images):
    """Without the batch where the photograph came without one."""
    return maps if images.ndim == 4 else maps[0]
