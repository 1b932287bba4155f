"""The commands that measure this machine. Thin, like cli.py, which lists them."""
import glob

import click

from deeplab_nb import paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError


@click.group()
def bench():
    """Measure this machine; never part of the tests."""


@bench.command("network")
@click.argument("names", nargs=-1)
def bench_network(names):
    """Time to build a network's graphs and to evaluate one image of 513x513; NAMES default to all."""
    from deeplab_nb import bench as benchmarks
    for line in benchmarks.network(names):
        click.echo(line)


@bench.command("train")
@click.argument("names", nargs=-1)
def bench_train(names):
    """Seconds and memory of a training step with frozen batch norm, fed with noise; NAMES default to all."""
    from deeplab_nb import bench as benchmarks
    for line in benchmarks.train(names):
        click.echo(line)


@bench.command("input")
@click.option("--records", "pattern", metavar="PATTERN", help="Record files, such as 'records/train-*'; default: the drawn sample's.")
def bench_input(pattern):
    """Images a second that reading, decoding and augmentation deliver at crop 513, batch 7."""
    found = sorted(glob.glob(pattern)) if pattern else None
    if found == []:
        raise WorkbookError("no file matches {}: name record files, such as 'records/train-*'".format(pattern))
    from deeplab_nb import bench as benchmarks
    from deeplab_nb.runs.workbook import Run
    settings = settings_module.read({"train_crop_size": 513, "train_batch_size": 7})
    found = found or Run(recipes.get("sample"), settings, paths.RUNS).records("train")
    for line in benchmarks.input_pipeline(found, settings):
        click.echo(line)


@bench.command("evaluate")
@click.argument("names", nargs=-1)
@click.option("--data", metavar="VOC_ROOT", help="Photographs for the case `list`, which is left out without.")
@click.option("--list", "list_name", default="val", show_default=True)
def bench_evaluate(names, data, list_name):
    """Both engines and the tight frame against TensorFlow's own operations, in turns; NAMES default to all cases."""
    from deeplab_nb import bench_evaluate as benchmarks
    from deeplab_nb.data import voc
    for line in benchmarks.lines(names, data_root=data and voc.check_root(data), list_name=list_name):
        click.echo(line)
