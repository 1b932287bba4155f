"""The command behind `make bench ARGS="..."`.

TensorFlow is imported inside the commands, so that help and refusals come at once.
"""

import glob
import sys

import click

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.errors import WorkbookError


@click.group()
def bench():
    """Measure this machine; never part of the tests."""


@bench.command()
@click.argument("names", nargs=-1)
def network(names):
    """Time to build a network's graphs and to evaluate one image of 513x513; all without NAMES."""
    from tests.benchmarks import networks

    show(networks.network(names))


@bench.command()
@click.argument("names", nargs=-1)
def train(names):
    """Seconds and memory of a training step on noise, batch norm frozen; all without NAMES."""
    from tests.benchmarks import networks

    show(networks.train(names))


@bench.command("input")
@click.option(
    "--records",
    "pattern",
    metavar="PATTERN",
    help="Record files, such as 'records/train-*'; default: the drawn sample's.",
)
def input_pipeline(pattern):
    """Images a second that reading, decoding and augmentation deliver at crop 513, batch 7."""
    found = sorted(glob.glob(pattern)) if pattern else None
    if found == []:
        raise WorkbookError(
            f"no file matches {pattern}: name record files, such as 'records/train-*'"
        )
    from deeplab_nb.runs.run import Run
    from tests.benchmarks import input as benchmarks

    settings = settings_module.read({"train_crop_size": 513, "train_batch_size": 7})
    found = found or Run(recipes.get("sample"), settings, files.RUNS).records("train")
    show(benchmarks.lines(found, settings))


@bench.command()
@click.argument("names", nargs=-1)
@click.option(
    "--data", metavar="VOC_ROOT", help="Photographs for the case `list`, which is left out without."
)
@click.option("--list", "list_name", default="val", show_default=True)
def evaluate(names, data, list_name):
    """Both engines and the tight frame against plain TensorFlow, in turns; all without NAMES."""
    from deeplab_nb.data import voc
    from tests.benchmarks import labelling

    show(labelling.lines(names, data_root=data and voc.check_root(data), list_name=list_name))


@bench.command()
@click.option("--steps", default=20000, show_default=True, type=click.IntRange(min=20))
def soak(steps):
    """Memory of a training of many small steps with quick validations: it should not grow."""
    from tests.benchmarks import soak as soaks

    show(soaks.lines(steps))


def show(lines):
    for line in lines:
        click.echo(line)


if __name__ == "__main__":
    try:
        bench(prog_name="bench")
    except WorkbookError as error:
        sys.exit(f"Error: {error}")
