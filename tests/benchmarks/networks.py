"""How long networks take to build, train and evaluate.

Beside it stands the machine's matrix product rate of the same minute: machines drift by a factor
of two.
"""

import time

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import deeplab
from deeplab_nb.processes import peak_memory
from deeplab_nb.progress import progress, run_times
from deeplab_nb.tf1 import tf
from deeplab_nb.training.step import training_step

# name, settings, crop and batch of a training step
NETWORKS = (
    ("mobilenet_v2", {}, 257, 4),
    ("xception_65", {"backbone": "xception_65", "aspp": True, "decoder": True}, 257, 2),
    ("resnet_v1_101_beta", {"backbone": "resnet_v1_101_beta", "aspp": True}, 257, 2),
)


def network(names=None, *, repeat=3):
    """Lines of a table: seconds to build a network's graphs and to evaluate an image of 513x513.

    Raises WorkbookError for a name that is not in NETWORKS.
    """
    chosen = chosen_networks(names)
    yield "{:20s} {:>10s} {:>12s} {:>13s} {:>14s} {:>12s}".format(
        "", "GFLOP/s", "build, s", "training, s", "evaluate, s", "CPU s"
    )
    for name, values, crop, batch in progress(chosen, label="bench", unit="network"):
        settings = settings_module.read(dict(values, fine_tune_batch_norm=False))
        build = min(seconds(lambda: evaluation_graph(settings)) for _ in range(repeat))
        training = min(
            seconds(lambda: training_graph(settings, crop, batch)) for _ in range(repeat)
        )
        wall, cpu = evaluation(settings, repeat)
        found = f"{build:12.2f} {training:13.2f} {wall:14.3f} {cpu:12.3f}"
        yield f"{name:20s} {matmul_rate():10.0f} {found}"


def train(names=None, *, repeat=3):
    """Lines of a table: seconds and memory of a training step on noise, batch norm frozen.

    names: of NETWORKS, whose crops and batches these are. The memory is the most that the process
    has held so far, with what the rows above left: give one name for a network's own.
    Raises WorkbookError for a name that is not in NETWORKS.
    """
    chosen = chosen_networks(names)
    yield "{:20s} {:>10s} {:>10s} {:>10s} {:>10s} {:>12s} {:>10s}".format(
        "", "crop", "GFLOP/s", "step, s", "CPU s", "images/s", "peak, MiB"
    )
    for name, values, crop, batch in progress(chosen, label="bench", unit="network"):
        wall, cpu = training(
            settings_module.read(dict(values, fine_tune_batch_norm=False)), crop, batch, repeat
        )
        yield "{:20s} {:>10s} {:10.0f} {:10.3f} {:10.3f} {:12.2f} {:10.0f}".format(
            name, f"{batch}x{crop}", matmul_rate(), wall, cpu, batch / wall, peak_memory()
        )


def chosen_networks(names):
    """The rows of NETWORKS with these names, or all. Raises WorkbookError for an unknown name."""
    for name in names or ():
        if name not in [row[0] for row in NETWORKS]:
            raise WorkbookError(
                "unknown network '{}': there are {}".format(
                    name, ", ".join(row[0] for row in NETWORKS)
                )
            )
    return [row for row in NETWORKS if not names or row[0] in names]


def evaluation_graph(settings, size=513):
    """`(graph, images, labels)` for one image."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.float32, [1, size, size, 3])
        labels = deeplab.predict_labels(
            deeplab.build_logits(images, settings=settings), [size, size]
        )
    return graph, images, labels


def training_graph(settings, crop, batch):
    """`(graph, images, labels, step)`: loss, gradients and update, fed by placeholders."""
    graph = tf.Graph()
    with graph.as_default():
        images = tf.placeholder(tf.float32, [batch, crop, crop, 3])
        labels = tf.placeholder(tf.int32, [batch, crop, crop])
        return graph, images, labels, training_step(images, labels, settings)


def evaluation(settings, repeat):
    """`(wall seconds, CPU seconds)` of one image, the median of some runs after a warm-up."""
    graph, images, labels = evaluation_graph(settings)
    return graph_times(graph, labels, {images: noise(images, 256)}, 3 * repeat)


def training(settings, crop, batch, repeat):
    """`(wall seconds, CPU seconds)` of a training step, the median of some after a warm-up."""
    graph, images, labels, step = training_graph(settings, crop, batch)
    return graph_times(
        graph,
        step,
        {images: noise(images, 256), labels: noise(labels, settings.num_classes)},
        repeat,
    )


def noise(placeholder, limit):
    """Whole numbers from 0 to below the limit."""
    return (
        np.random.RandomState(0)
        .randint(0, limit, placeholder.shape.as_list())
        .astype(placeholder.dtype.as_numpy_dtype)
    )


def graph_times(graph, fetches, feeds, repeat):
    """`run_times` of a graph whose variables have their first values."""
    with tf.Session(graph=graph) as session:
        with graph.as_default():
            session.run(tf.global_variables_initializer())
        return run_times(lambda: session.run(fetches, feeds), repeat)


def seconds(function):
    start = time.time()
    function()
    return time.time() - start


def matmul_rate(side=1500, repeat=5):
    """Billions of float32 operations a CPU second in a matrix product, the best of some."""
    with tf.Graph().as_default(), tf.Session() as session:
        matrix = tf.Variable(tf.random_uniform([side, side]))
        product = tf.matmul(matrix, matrix).op
        session.run(matrix.initializer)
        return max(
            2 * side**3 / cpu / 1e9
            for _, cpu in [run_times(lambda: session.run(product), 1) for _ in range(repeat)]
        )
