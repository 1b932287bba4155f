"""The command line: `deeplab-nb COMMAND`. Thin; each command calls what the notebooks call.

TensorFlow is imported inside the commands that need it, so that help and refusals come at once.
"""
import glob
import os
import sys

import click

from deeplab_nb import paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json
from deeplab_nb.network import published
from deeplab_nb.runs import parameters


class _Sentences(click.Group):
    """Turns a WorkbookError into one sentence and exit code 1, Ctrl-C into exit code 130."""

    def invoke(self, context):
        try:
            return super().invoke(context)
        except WorkbookError as error:
            raise click.ClickException(str(error))
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)


_set_option = click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                           help="Change one setting; may be repeated.")
_checkpoint_option = click.option("--checkpoint", required=True, metavar="PATH",
                                  help="Folder, prefix or any file of a checkpoint.")

_engine_option = click.option("--engine", type=click.Choice(["auto", "tensorflow", "onnxruntime"]), default="auto", show_default=True,
                              help="What computes the logits; auto takes onnxruntime on a CPU where that pays.")


@click.group(cls=_Sentences)
@click.version_option(package_name="deeplab_nb")
def main():
    """Reproduce, understand and run DeepLabv3+ and DeepLabv3."""


@main.command("recipes")
def show_recipes():
    """List the recipes with source, hardware, time and expected number."""
    for recipe in recipes.RECIPES:
        click.echo("{}: {}".format(recipe.name, recipe.title))
        for label in ("source", "hardware", "time", "expected"):
            click.echo("    {:9s} {}".format(label, getattr(recipe, label)))


@main.command()
@click.argument("recipe")
@_set_option
@click.option("--name", help="Name of the run's folder under papermill_runs.")
@click.option("--from", "from_", metavar="NN", help="Start with this notebook.")
@click.option("--only", metavar="NN", help="Run this notebook alone.")
@click.option("--show-output", is_flag=True, help="Show what the cells print.")
def run(recipe, assignments, name, from_, only, show_output):
    """Execute the notebooks with a recipe, headlessly, into one run folder.

    The same command again resumes an unfinished run.
    """
    from deeplab_nb.runs import runner, state
    chosen = recipes.get(recipe)
    notebooks = runner.find_notebooks(paths.NOTEBOOKS)
    selected = runner.select(notebooks, from_=from_, only=only) if from_ or only else None
    overrides, values = parameters.split(
        parameters.parse_assignments(assignments), [notebook.path for notebook in notebooks], chosen.settings)
    overrides = paths.make_absolute(overrides)
    folder = state.new_or_resumed_run(paths.RUNS, chosen.name, settings_module.override(chosen.settings, overrides), name=name)
    click.echo("{}; time: {}".format(chosen.title, chosen.time))
    results = runner.run_notebooks(folder, notebooks, recipe=chosen.name, overrides=overrides,
                                   parameters=values, selected=selected, show_output=show_output)
    _print_summary(folder, results)


@main.command()
def runs():
    """List the runs with their state and mIoU."""
    from deeplab_nb.runs import state
    rows = state.list_runs(paths.RUNS)
    for info in rows:
        click.echo("{:32s} {:26s} {:12s} {}".format(
            info.name, info.recipe or "", info.state, "mIoU {:.4f}".format(info.miou) if info.miou is not None else ""))
    if not rows:
        click.echo("no runs yet: `make run` makes the first")


@main.command()
@click.argument("recipe")
@_set_option
@click.option("--out", metavar="FOLDER", help="Where checkpoints and log go; default papermill_runs/RECIPE-train.")
def train(recipe, assignments, out):
    """Train a recipe without notebooks; the same command again resumes."""
    from deeplab_nb.runs.workbook import Run
    from deeplab_nb.training.loop import check_trainable
    chosen = recipes.get(recipe)
    settings = settings_module.override(chosen.settings, paths.make_absolute(parameters.parse_assignments(assignments)))
    check_trainable(settings)
    work = Run(chosen, settings, paths.RUNS)
    work.train_folder = os.path.abspath(out or os.path.join(paths.RUNS, chosen.name + "-train"))
    click.echo(work.train())


@main.command()
@_checkpoint_option
@click.option("--data", required=True, metavar="VOC_ROOT", help="Folder with JPEGImages, SegmentationClass, ImageSets.")
@click.option("--list", "list_name", default="val", show_default=True, help="List in ImageSets/Segmentation.")
@click.option("--output-stride", type=click.Choice(["8", "16", "32"]), default="16", show_default=True)
@_engine_option
@click.option("--json", "json_path", metavar="FILE", help="Write the results there.")
def evaluate(checkpoint, data, list_name, output_stride, engine, json_path):
    """Score a checkpoint on a list of photographs: per-class table and mean IoU."""
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation import evaluate as evaluation
    settings = _settings_of(checkpoint, data_root=os.path.abspath(data), eval_output_stride=output_stride)
    result = evaluation.evaluate(settings, checkpoint, list_name=list_name, engine=engine)
    click.echo(result.scores.table(voc.class_names(settings.num_classes)))
    if json_path:
        write_json(json_path, result.results)


@main.command()
@click.argument("images", nargs=-1, required=True)
@_checkpoint_option
@click.option("--out", required=True, metavar="DIR", help="Gets NAME.png with class ids and NAME_overlay.png.")
@click.option("--output-stride", type=click.Choice(["8", "16", "32"]), default="16", show_default=True)
@_engine_option
def predict(images, checkpoint, out, output_stride, engine):
    """Label photographs of any size and draw the classes over them."""
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation.predict import Predictor
    from deeplab_nb.show import plots
    settings = _settings_of(checkpoint, eval_output_stride=output_stride)
    names = voc.class_names(settings.num_classes)
    os.makedirs(out, exist_ok=True)
    with Predictor(settings, checkpoint, engine=engine, images=len(images)) as predictor:
        for path in images:
            image, stem = voc.read_image(path), os.path.splitext(os.path.basename(path))[0]
            labels = predictor.labels(image)
            voc.write_mask(os.path.join(out, stem + ".png"), labels)
            plots.save(plots.show_prediction(image, labels, names, title=stem), os.path.join(out, stem + "_overlay.png"))
            click.echo("{}: {}".format(path, ", ".join(names[i] for i in sorted(set(labels.ravel())))))


@main.command()
@_checkpoint_option
@click.option("--out", required=True, metavar="DIR", help="A new folder, or one with an earlier export, which is replaced.")
@click.option("--format", "form", type=click.Choice(["frozen", "saved_model", "onnx", "all"]), default="all", show_default=True)
@click.option("--size", default=513, show_default=True, help="Side of the fixed form, and of the frame that smaller images are laid into.")
@click.option("--output-stride", type=click.Choice(["8", "16", "32"]), default="16", show_default=True)
@click.option("--image", "images", multiple=True, metavar="FILE", help="Photograph to compare on; default: three of the drawn sample.")
@click.option("--soc-version", default="Ascend310", show_default=True, help="Chip in the atc command that is written beside.")
def export(checkpoint, out, form, size, output_stride, images, soc_version):
    """Write a checkpoint as frozen graphs, SavedModel and ONNX, each compared with it; atc command included."""
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation import export as exports
    settings = _settings_of(checkpoint, eval_output_stride=output_stride)
    photographs = [voc.read_image(path) for path in images or _sample_photographs(3)]
    result = exports.export(settings, checkpoint, out, images=photographs, size=size, soc_version=soc_version,
                            formats=exports.FORMATS if form == "all" else (form,))
    for row in result["forms"]:
        click.echo("{:38s} {:8.1f} MB   {:.6f} of {} pixels as the checkpoint labels them".format(
            row["file"], row["bytes"] / 1e6, row["equal_pixels"], row["pixels"]))
    click.echo(os.path.join(out, exports.MARKER))


def _sample_photographs(count):
    from deeplab_nb.data import voc
    from deeplab_nb.runs.workbook import Run
    root = Run(recipes.get("sample"), settings_module.Settings(), paths.RUNS).data_root
    return [voc.image_path(root, image_id) for image_id in voc.read_list(root, "val")[:count]]


@main.command()
@click.argument("voc_root")
@click.option("--list", "list_names", multiple=True, help="List to check; default: every list that is there.")
@click.option("--num-classes", default=21, show_default=True)
def audit(voc_root, list_names, num_classes):
    """Check photographs, masks and lists before they are trusted; exit code 1 if something is wrong."""
    from deeplab_nb.data import audit as audits
    from deeplab_nb.data import voc
    root = voc.check_root(voc_root)
    names = list(list_names) or voc.list_names(root)
    result = audits.audit(root, names, num_classes=num_classes)
    for name in names:
        click.echo(result.table(name) + "\n")
    for sentence in [warning for _, warning in result.warnings] + list(result.notes):
        click.echo(sentence)
    result.raise_if_bad()
    click.echo("nothing is wrong with {}".format(root))


@main.command()
@click.argument("what", type=click.Choice(["voc", "trainaug", "weights"]))
@click.argument("name", required=False)
def fetch(what, name):
    """Download into data/: VOC 2012 (2.0 GB), SBD (1.4 GB) to make the trainaug list, or published weights.

    `fetch weights` lists them; `fetch weights NAME` brings one to data/weights/NAME.
    """
    if what == "weights":
        return _fetch_weights(name) if name else _list_weights()
    if name:
        raise WorkbookError("fetch {} takes no name: leave '{}' out".format(what, name))
    from deeplab_nb.data import fetch as archives
    from deeplab_nb.data.trainaug import make_trainaug
    folder = os.path.join(paths.ROOT, "data")
    root = archives.fetch_voc(folder)
    click.echo(root)
    if what == "trainaug":
        click.echo(make_trainaug(root, archives.fetch_sbd(folder)))


def _list_weights():
    for row in published.PUBLISHED:
        click.echo("{:34s} {:>7s}   {}".format(row.name, row.size, row.expected))


def _fetch_weights(name):
    """Downloads, then says what came: never the published number alone, but what the file itself holds."""
    row = published.get(name)
    from deeplab_nb.data.fetch import known_digest
    from deeplab_nb.network.weights import archive_of, contents, fetch_weights
    folder = os.path.join(paths.ROOT, "data", "weights")
    prefix = fetch_weights(name, folder)
    digest = known_digest(archive_of(row), folder) or "not recorded"
    click.echo(prefix)
    for label, text in (("holds", contents(prefix)), ("expected", row.expected), ("archive", row.file + ", " + digest)):
        click.echo("    {:9s} {}".format(label, text))


@main.group()
def bench():
    """Measure this machine; never part of the tests."""


@bench.command("network")
@click.argument("names", nargs=-1)
def bench_network(names):
    """Time to build a network's graphs and to evaluate one image of 513x513; NAMES default to all."""
    from deeplab_nb import bench as benchmarks
    for line in benchmarks.network(names):
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


@bench.command("engine")
@click.argument("names", nargs=-1)
def bench_engine(names):
    """TensorFlow and ONNX Runtime in turns on one image of 513x513; NAMES default to all networks."""
    from deeplab_nb import bench as benchmarks
    for line in benchmarks.engines(names):
        click.echo(line)


def _settings_of(checkpoint, **values):
    """Settings with the network that the checkpoint itself describes."""
    from deeplab_nb.network.checkpoints import describe, find_checkpoint
    return settings_module.read(dict(describe(find_checkpoint(checkpoint)), **values))


def _print_summary(folder, results):
    """What a run ends with: its table, and where its pictures are."""
    if results.get("eval"):
        classes = [(c["iou"], name) for name, c in results["eval"]["classes"].items() if c["iou"] is not None]
        click.echo("\nIoU %   class")
        for iou, name in sorted(classes, reverse=True):
            click.echo("{:5.1f}   {}".format(100 * iou, name))
        click.echo("{:5.1f}   mean over {}, {} images\n".format(
            100 * results["miou"], results["eval"]["mean_over"], results["eval"]["images"]))
    for name in ("overlays", "ledger.txt", ""):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            click.echo("{:9s}{}".format(name.split(".")[0] or "run", os.path.relpath(path)))
