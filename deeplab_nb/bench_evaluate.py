"""How soon photographs are labelled: our ways against TensorFlow's own operations, in turns, each in a process of its own."""
import collections
import contextlib
import io
import multiprocessing
import os
import tempfile

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.bench import NETWORKS, matmul_rate, run_times
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import count, protocol_of
from deeplab_nb.evaluation.predict import Predictor, flipped, framed, scaled_sizes
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.network.deeplab import build_logits, predict_labels
from deeplab_nb.network.layers import resize
from deeplab_nb.processes import peak_memory
from deeplab_nb.progress import progress
from deeplab_nb.settings import MEAN_PIXEL, SIX_SCALES, crop_for
from deeplab_nb.tf1 import tf

# tight: by ONNX Runtime too, with the frame that a photograph needs in place of one square for all
WAYS = ("plain", "tensorflow", "onnxruntime", "tight")

# values: settings; images: 0 labels one photograph of noise, 375 x 500 as most of VOC's; else so many of a list are evaluated
Case = collections.namedtuple("Case", "name values images")

CASES = tuple(Case(name, values, 0) for name, values, _, _ in NETWORKS) + (
    Case("mobilenet_v2_refined", {"depth_multiplier": 0.5, "eval_output_stride": 8, "eval_scales": SIX_SCALES, "eval_flip": True}, 0),
    Case("list", {"depth_multiplier": 0.5}, 30))

# seconds, cpu: medians an image; faster, leaner: medians of how many times as long the plain way takes in the same turn
Line = collections.namedtuple("Line", "case way rate seconds faster cpu leaner memory")


def lines(names=(), *, data_root=None, list_name="val", repeat=5):
    """Lines of a table for cases by name, all of CASES without names; `list` needs the photographs of data_root.

    Plain is the same network and protocol as one graph of fixed shapes, of TensorFlow's own operations alone. Weights are random.
    Raises WorkbookError for an unknown name and where ONNX Runtime cannot be had.
    """
    chosen = choose(names, data_root)
    yield "{:22s} {:12s} {:>8s} {:>11s} {:>7s} {:>11s} {:>7s} {:>12s}".format(
        "", "", "GFLOP/s", "s an image", "times", "CPU s", "times", "memory, MiB")
    for case in progress(chosen, label="bench", unit="case"):
        settings = settings_module.read(dict(case.values, **{"data_root": data_root, "val_list": list_name} if case.images else {}))
        for line in compare(case, settings, repeat=repeat):
            yield "{:22s} {:12s} {:8.0f} {:11.3f} {:7.2f} {:11.3f} {:7.2f} {:12.0f}".format(*line)


def choose(names, data_root):
    """CASES of these names, or all that can be measured. Raises WorkbookError for an unknown one and for a list without photographs."""
    known = [case.name for case in CASES]
    for name in names:
        if name not in known:
            raise WorkbookError("unknown case '{}': there are {}".format(name, ", ".join(known)))
    if "list" in names and not data_root:
        raise WorkbookError("case list needs photographs: give --data VOC_ROOT")
    return [case for case in CASES if (case.name in names or not names) and (data_root or not case.images)]


def compare(case, settings, *, size=(375, 500), repeat=5):
    """[Line], one a way: in each turn each way does the same work once, one after the other."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        with Worker("weights", settings, case, folder, size):
            pass  # random weights, and their conversion, which takes more memory than its use
        workers = [opened.enter_context(Worker(way, settings, case, folder, size)) for way in WAYS]
        rate = matmul_rate()
        times = np.array([[worker.times() for worker in workers] for _ in range(repeat)]) / max(case.images, 1)
        ratios = np.median(times[:, :1] / times, axis=0)
        return [Line(case.name, way, rate, seconds, faster, cpu, leaner, worker.memory()) for way, worker, (seconds, cpu), (faster, leaner)
                in zip(WAYS, workers, np.median(times, axis=0), ratios)]


class Worker:
    """A process that does one way's work when it is told to; ready when this returns. Use it in a `with` block.

    Raises WorkbookError for what the process refuses.
    """

    def __init__(self, way, *arguments):
        context = multiprocessing.get_context("spawn")  # a fork would share TensorFlow's threads and memory
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, way) + arguments, daemon=True)
        self._process.start()
        theirs.close()
        self._heard()

    def times(self):
        """`(wall seconds, CPU seconds)` of the work, done once."""
        self._pipe.send("work")
        return self._heard()

    def memory(self):
        """MiB, the most that the process has held."""
        self._pipe.send("memory")
        return self._heard()

    def _heard(self):
        try:
            found = self._pipe.recv()
        except EOFError:
            raise WorkbookError("a process of the benchmark ended; its own words stand above")
        if isinstance(found, str):
            raise WorkbookError(found)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._pipe.close()
        self._process.join()


def _serve(pipe, way, *arguments):
    """The life of a worker: makes its work, does it once to warm up, then as often as it is asked."""
    silent = io.StringIO()  # which engine is taken, and progress
    ends = contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt)
    with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent), ends:
        try:
            work = MAKE[way](way, *arguments)
            work()
        except WorkbookError as error:
            return pipe.send(str(error))
        pipe.send(None)
        while True:
            pipe.send(run_times(work, 1, warm_up=False) if pipe.recv() == "work" else peak_memory())


def _weights(_, settings, case, folder, size):
    """Saves random weights; to work is to convert them."""
    with tf.Graph().as_default(), tf.Session() as session:
        build_logits(tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings, output_stride=settings.eval_output_stride)
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(session, os.path.join(folder, "model.ckpt"), write_meta_graph=False)
    return lambda: _predictor(settings, prefix, "onnxruntime").close()


def _predictor(settings, prefix, engine):
    predictor = Predictor(settings, prefix, engine=engine)
    if predictor.engine != engine:
        raise WorkbookError("ONNX Runtime cannot be compared: `deeplab-nb evaluate --engine onnxruntime` says why")
    return predictor


def _ours(way, settings, case, folder, size):
    """The work of our predictor: a photograph of noise, or a part of a list with reading and metric."""
    if way == "tight":
        settings = settings_module.override(settings, {"eval_protocol": "tight"})
    predictor = _predictor(settings, os.path.join(folder, "model.ckpt"), "tensorflow" if way == "tensorflow" else "onnxruntime")
    if case.images:
        ids = voc.read_list(settings.data_root, settings.val_list)[:case.images]
        return lambda: count(settings, None, ids=ids, predictor=predictor)
    frame = protocol_of(settings, max(size)).frame(size)
    return lambda: predictor.labels(_noise(size), frame)


def _plain(_, settings, case, folder, size):
    """The same work by one graph of fixed shapes, made of TensorFlow's own operations."""
    with tf.Graph().as_default():
        prefix = os.path.join(folder, "model.ckpt")
        return _plain_list(settings, prefix, case.images) if case.images else _plain_photograph(settings, prefix, size)


def _plain_photograph(settings, prefix, size):
    frame = protocol_of(settings, max(size)).one_frame
    images = tf.placeholder(tf.float32, (1,) + frame + (3,))
    labels, session = plain_labels(images, settings), tf.Session()
    restore(session, prefix, tf.global_variables(), complete=True)
    return lambda: session.run(labels, {images: framed(_noise(size), frame)})


def _plain_list(settings, prefix, images):
    """Reading by tf.data, and TensorFlow's own metric; the work returns its confusion matrix."""
    listed = voc.read_list(settings.data_root, settings.val_list)
    side = crop_for(max(max(voc.image_size(voc.image_path(settings.data_root, i))) for i in listed))
    dataset = tf.data.Dataset.from_tensor_slices(listed[:images]).map(lambda name: _framed_pair(settings, name, side), 2)
    iterator = tf.data.make_initializable_iterator(dataset.batch(1).prefetch(2))
    image, truth = iterator.get_next()
    counted = tf.not_equal(truth, settings.ignore_label)
    _, update = tf.metrics.mean_iou(tf.where(counted, truth, tf.zeros_like(truth)), plain_labels(image, settings), settings.num_classes,
                                    weights=tf.cast(counted, tf.float32))
    session, begin = tf.Session(), [tf.local_variables_initializer(), iterator.initializer]
    restore(session, prefix, tf.global_variables(), complete=True)

    def work():
        session.run(begin)
        return [session.run(update) for _ in listed[:images]][-1]
    return work


def _framed_pair(settings, name, side):
    """(float32 [side, side, 3], int32 [side, side]) of an image id; TensorFlow cannot read a palette's numbers, so Pillow does."""
    image = tf.cast(tf.image.decode_jpeg(tf.read_file(_path(settings, "JPEGImages", name, ".jpg")), 3), tf.float32)
    mask = tf.numpy_function(lambda path: voc.read_mask(path.decode())[0], [_path(settings, "SegmentationClass", name, ".png")], tf.uint8)
    fill = [[0, side - tf.shape(image)[0]], [0, side - tf.shape(image)[1]]]
    image = tf.pad(image, fill + [[0, 0]], constant_values=MEAN_PIXEL)
    mask = tf.pad(tf.cast(mask, tf.int32), fill, constant_values=settings.ignore_label)
    return tf.ensure_shape(image, [side, side, 3]), tf.ensure_shape(mask, [side, side])


def _path(settings, folder, name, ending):
    """As `voc.image_path`, of a name that is a tensor."""
    return tf.strings.join([os.path.join(settings.data_root, folder, ""), name, ending])


def plain_labels(images, settings):
    """Class ids int32 [1, h, w] of framed photographs float32 [1, h, w, 3]: a network a scale and mirror image, all averaged at the end."""
    size = images.shape[1:3].as_list()

    def logits(images):
        return build_logits(images, settings=settings, output_stride=settings.eval_output_stride, plain=True)
    if settings.eval_scales == (1.0,) and not settings.eval_flip:
        return predict_labels(logits(images), size)
    maps = []
    for scale in settings.eval_scales:
        seen, grid = scaled_sizes(size, scale, settings)
        for turn in (tf.identity, flipped)[:1 + settings.eval_flip]:
            maps.append(tf.nn.softmax(resize(resize(turn(logits(resize(turn(images), seen))), grid), size)))
    return tf.argmax(tf.reduce_mean(tf.stack(maps), axis=0), axis=3, output_type=tf.int32)


MAKE = {"weights": _weights, "plain": _plain, "tensorflow": _ours, "onnxruntime": _ours, "tight": _ours}


def _noise(size):
    return np.random.RandomState(0).randint(0, 256, size + (3,)).astype(np.uint8)
