"""How soon photographs are labelled: our ways against TensorFlow's own operations.

They work in turns, each in a process of its own.
"""

import collections
import contextlib
import io
import multiprocessing
import os
import tempfile

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import count, protocol_of
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.network.deeplab import variables_of
from deeplab_nb.processes import peak_memory
from deeplab_nb.progress import progress, run_times
from deeplab_nb.settings import SIX_SCALES
from deeplab_nb.tf1 import tf
from tests.benchmarks.networks import NETWORKS, matmul_rate
from tests.benchmarks.plain import noise, plain_list, plain_photograph

# tight: by ONNX Runtime too, with the frame that a photograph needs in place of one square for all
WAYS = ("plain", "tensorflow", "onnxruntime", "tight")

# values: settings; images: 0 labels one photograph of noise, 375 x 500 as most of VOC's; else so
# many of a list are evaluated
Case = collections.namedtuple("Case", "name values images")

CASES = tuple(Case(name, values, 0) for name, values, _, _ in NETWORKS) + (
    Case(
        "mobilenet_v2_refined",
        {
            "depth_multiplier": 0.5,
            "eval_output_stride": 8,
            "eval_scales": SIX_SCALES,
            "eval_flip": True,
        },
        0,
    ),
    Case("list", {"depth_multiplier": 0.5}, 30),
)

# seconds, cpu: medians an image; faster, leaner: medians of how many times as long the plain way
# takes in the same turn
Line = collections.namedtuple("Line", "case way rate seconds faster cpu leaner memory")


def lines(names=(), *, data_root=None, list_name="val", repeat=5):
    """Lines of a table for cases by name, all of CASES without names; `list` needs data_root.

    Plain is the same network and protocol as one graph of fixed shapes, of TensorFlow's own
    operations alone. Weights are random.
    Raises WorkbookError for an unknown name and where ONNX Runtime cannot be had.
    """
    chosen = choose(names, data_root)
    yield "{:22s} {:12s} {:>8s} {:>11s} {:>7s} {:>11s} {:>7s} {:>12s}".format(
        "", "", "GFLOP/s", "s an image", "times", "CPU s", "times", "memory, MiB"
    )
    for case in progress(chosen, label="bench", unit="case"):
        settings = settings_module.read(
            dict(
                case.values,
                **{"data_root": data_root, "val_list": list_name} if case.images else {},
            )
        )
        for line in compare(case, settings, repeat=repeat):
            yield "{:22s} {:12s} {:8.0f} {:11.3f} {:7.2f} {:11.3f} {:7.2f} {:12.0f}".format(*line)


def choose(names, data_root):
    """CASES of these names, or all that can be measured.

    Raises WorkbookError for an unknown one and for a list without photographs.
    """
    known = [case.name for case in CASES]
    for name in names:
        if name not in known:
            raise WorkbookError("unknown case '{}': there are {}".format(name, ", ".join(known)))
    if "list" in names and not data_root:
        raise WorkbookError("case list needs photographs: give --data VOC_ROOT")
    return [
        case
        for case in CASES
        if (case.name in names or not names) and (data_root or not case.images)
    ]


def compare(case, settings, *, size=(375, 500), repeat=5):
    """[Line], one a way: in each turn each way does the same work once, one after the other."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
        with Worker("weights", settings, case, folder, size):
            pass  # random weights, and their conversion, which takes more memory than its use
        workers = [opened.enter_context(Worker(way, settings, case, folder, size)) for way in WAYS]
        rate = matmul_rate()
        times = np.array([[worker.times() for worker in workers] for _ in range(repeat)]) / max(
            case.images, 1
        )
        ratios = np.median(times[:, :1] / times, axis=0)
        return [
            Line(case.name, way, rate, seconds, faster, cpu, leaner, worker.memory())
            for way, worker, (seconds, cpu), (faster, leaner) in zip(
                WAYS, workers, np.median(times, axis=0), ratios
            )
        ]


class Worker:
    """A process that does one way's work when it is told to; ready when this returns.

    Raises WorkbookError for what the process refuses.
    """

    def __init__(self, way, *arguments):
        context = multiprocessing.get_context(
            "spawn"
        )  # a fork would share TensorFlow's threads and memory
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
    """A worker's life: makes its work, does it once to warm up, then as often as it is asked."""
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
        variables_of(settings)
        session.run(tf.global_variables_initializer())
        prefix = tf.train.Saver().save(
            session, os.path.join(folder, "model.ckpt"), write_meta_graph=False
        )
    return lambda: _predictor(settings, prefix, "onnxruntime").close()


def _predictor(settings, prefix, engine):
    predictor = Predictor(settings, prefix, engine=engine)
    if predictor.engine != engine:
        raise WorkbookError(
            "ONNX Runtime cannot be compared: `deeplab-nb evaluate --engine onnxruntime` says why"
        )
    return predictor


def _ours(way, settings, case, folder, size):
    """Our predictor's work: a photograph of noise, or a part of a list with reading and metric."""
    if way == "tight":
        settings = settings_module.override(settings, {"eval_protocol": "tight"})
    predictor = _predictor(
        settings,
        os.path.join(folder, "model.ckpt"),
        "tensorflow" if way == "tensorflow" else "onnxruntime",
    )
    if case.images:
        ids = voc.read_list(settings.data_root, settings.val_list)[: case.images]
        return lambda: count(settings, None, ids=ids, predictor=predictor)
    frame = protocol_of(settings, max(size)).frame(size)
    return lambda: predictor.labels(noise(size), frame)


def _plain(_, settings, case, folder, size):
    """The same work by one graph of fixed shapes, made of TensorFlow's own operations."""
    with tf.Graph().as_default():
        prefix = os.path.join(folder, "model.ckpt")
        return (
            plain_list(settings, prefix, case.images)
            if case.images
            else plain_photograph(settings, prefix, size)
        )


MAKE = {
    "weights": _weights,
    "plain": _plain,
    "tensorflow": _ours,
    "onnxruntime": _ours,
    "tight": _ours,
}
