"""How many training images a second are read, decoded and augmented."""

from deeplab_nb.data import pipeline
from deeplab_nb.data.records import count_records
from deeplab_nb.progress import progress, run_times
from deeplab_nb.tf1 import tf
from tests.benchmarks.networks import matmul_rate


def lines(paths, settings, *, steps=10, repeat=3):
    """Lines of a table: images a second and a CPU second of training batches and their first parts.

    Raises WorkbookError for a file that holds no records.
    """
    count_records(paths)
    yield "{:20s} {:>10s} {:>12s} {:>13s} {:>14s}".format(
        "", "GFLOP/s", "images/s", "images/CPU s", "CPU ms/image"
    )
    for name, build in progress(INPUT_PARTS, label="bench", unit="part"):
        images = steps * settings.train_batch_size
        wall, cpu = fetching(lambda: build(paths, settings), steps, repeat)
        rates = f"{images / wall:12.1f} {images / cpu:13.1f} {1000 * cpu / images:14.2f}"
        yield f"{name:20s} {matmul_rate():10.0f} {rates}"


def read_batches(paths, settings):
    """Serialised records alone."""
    dataset = tf.data.TFRecordDataset(list(paths)).repeat().batch(settings.train_batch_size)
    iterator = tf.data.make_initializable_iterator(dataset)
    return iterator, iterator.get_next()


def decoded_batches(paths, settings):
    """Decoded records; of each only the size is handed on, since sizes differ."""
    dataset = (
        tf.data.TFRecordDataset(list(paths))
        .repeat()
        .map(lambda record: [tf.shape(x) for x in pipeline.decode(record)], 2)
    )
    iterator = tf.data.make_initializable_iterator(
        dataset.batch(settings.train_batch_size).prefetch(2)
    )
    return (iterator,) + tuple(iterator.get_next())


INPUT_PARTS = (
    ("read", read_batches),
    ("read, decode", decoded_batches),
    ("training batches", pipeline.training_batches),
)


def fetching(build, steps, repeat):
    """`(wall seconds, CPU seconds)` of some batches; nothing is copied out of TensorFlow."""
    with tf.Graph().as_default(), tf.Session() as session:
        iterator, *tensors = build()
        session.run(iterator.initializer)
        fetched = [tensor.op for tensor in tensors]
        return run_times(lambda: [session.run(fetched) for _ in range(steps)], repeat)
