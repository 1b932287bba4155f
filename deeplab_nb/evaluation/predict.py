"""A network with its weights, ready to label photographs of any size."""
import numpy as np

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.engine import choose
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.network.deeplab import build_logits, predict_labels
from deeplab_nb.settings import MEAN_PIXEL, crop_for
from deeplab_nb.tf1 import tf


class Predictor:
    """Restores a checkpoint once and labels image after image; use it in a `with` block.

    settings: the network section is used; checkpoint: folder, prefix or one of its files.
    engine: what computes the logits, one of `engine.ENGINES`; self.engine says which it became.
    images: how many are to come, which 'auto' asks before it converts.
    Raises WorkbookError for a checkpoint that is missing, damaged or of another network.
    """

    def __init__(self, settings, checkpoint, *, engine="tensorflow", images=1):
        check_evaluable(settings)
        self.num_classes = settings.num_classes
        graph = tf.Graph()
        with graph.as_default():
            self._image = tf.placeholder(tf.float32, [1, None, None, 3])
            self._logits = build_logits(self._image, settings=settings, output_stride=settings.eval_output_stride)
            self._labels = predict_labels(self._logits, tf.shape(self._image)[1:3])
            self._session = tf.Session()
            try:
                self.report = restore(self._session, checkpoint, tf.global_variables(), complete=True)
            except WorkbookError:
                self.close()
                raise
        self.engine, self._compute = choose(engine, settings, checkpoint, self._logits_by_tensorflow, images=images)

    def labels(self, image, frame=None):
        """Class ids uint8 [height, width] of a photograph uint8 [height, width, 3].

        frame: side in pixels of the grey square that the photograph is laid into, at its top left.
        None takes the smallest 16k+1 that holds it (513 for VOC's 500 x 375).
        """
        height, width = image.shape[:2]
        square = framed(image, frame)
        # TensorFlow takes fed logits in place of computing them
        fed = {self._image: square, self._logits: self._compute(square)}
        return self._session.run(self._labels, fed)[0, :height, :width].astype(np.uint8)

    def _logits_by_tensorflow(self, images):
        return self._session.run(self._logits, {self._image: images})

    def close(self):
        self._session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def framed(image, frame=None):
    """float32 [1, frame, frame, 3]: the photograph uint8 [height, width, 3] at the top left of a grey square.

    frame: None takes the smallest 16k+1 that holds it. Raises WorkbookError for one that is too small.
    """
    height, width = image.shape[:2]
    smallest = crop_for(max(height, width))
    frame = frame or smallest
    if frame < max(height, width):
        raise WorkbookError("a photograph of {}x{} does not fit a frame of {}: use a frame of at least {}".format(
            width, height, frame, smallest))
    square = np.full((1, frame, frame, 3), MEAN_PIXEL, np.float32)
    square[0, :height, :width] = image
    return square


def check_evaluable(settings):
    """Raises WorkbookError for an evaluation that is described in the recipes but not built yet."""
    for name, wanted in (("eval_scales", (1.0,)), ("eval_flip", False), ("eval_protocol", "deeplab")):
        if getattr(settings, name) != wanted:
            raise WorkbookError("{}={} is described but not built in this version: set {}={}".format(
                name, getattr(settings, name), name, "1.0" if name == "eval_scales" else str(wanted).lower()))
