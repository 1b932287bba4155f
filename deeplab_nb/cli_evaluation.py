"""The commands that use a trained network: evaluate, score, predict, export. Thin, like cli.py, which lists them."""
import os

import click

from deeplab_nb import cli_runs, files, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json


def _options(*options):
    """Several click options as one decorator."""
    def decorate(function):
        for option in reversed(options):
            function = option(function)
        return function
    return decorate


_network = _options(
    click.option("--checkpoint", required=True, metavar="PATH", help="Folder, prefix or any file of a checkpoint."),
    click.option("--output-stride", type=click.Choice(["8", "16", "32"]), default="16", show_default=True))
_method = _options(
    click.option("--scales", default="1.0", show_default=True, metavar="S,S,...",
                 help="Image scales whose probabilities are averaged, such as 0.5,0.75,1.0,1.25,1.5,1.75."),
    click.option("--flip", is_flag=True, help="Average with the mirrored image too."),
    click.option("--engine", type=click.Choice(["auto", "tensorflow", "onnxruntime"]), default="auto", show_default=True,
                 help="What computes the logits; auto takes onnxruntime on a CPU where that pays."),
    click.option("--device", type=click.Choice(settings_module.FIELDS["device"].metadata["choices"]), default="auto",
                 show_default=True, help="Where; auto takes an NPU where npu_bridge is installed, else a GPU, else the CPU."))
_list = click.option("--list", "list_name", default="val", show_default=True, help="List in ImageSets/Segmentation.")
_protocol = click.option("--protocol", type=click.Choice(settings_module.FIELDS["eval_protocol"].metadata["choices"]),
                         default="deeplab", show_default=True, help="How images are framed and scored; each number stands under its name.")
_trimap = click.option("--trimap", is_flag=True, help="Score the pixels near object borders too.")
_json = click.option("--json", "json_path", metavar="FILE", help="Write the results there.")


@click.command()
@_network
@_method
@click.option("--data", required=True, metavar="VOC_ROOT", help="Folder with JPEGImages, SegmentationClass, ImageSets.")
@_list
@_protocol
@_trimap
@click.option("--predictions", metavar="DIR", help="Keep each prediction there, a palette PNG of class ids named by its image.")
@click.option("--shard", metavar="K/N", help="Evaluate every N-th image from the K-th on, into --out; `score --merge` joins the parts.")
@click.option("--out", metavar="DIR", help="Where --shard writes its counts.")
@_json
def evaluate(checkpoint, output_stride, scales, flip, engine, device, data, list_name, protocol, trimap, predictions, shard, out, json_path):
    """Score a checkpoint on a list of photographs: per-class table and mean IoU."""
    from deeplab_nb.evaluation import evaluate as evaluation
    from deeplab_nb.evaluation import shards
    if bool(shard) != bool(out) or shard and json_path:
        raise WorkbookError("--shard and --out go together, without --json: the numbers come from `score --merge`")
    part = shards.parse_shard(shard) if shard else None
    settings = _settings_of(checkpoint, output_stride, scales, flip, device=device, data_root=os.path.abspath(data),
                            eval_protocol=protocol)
    options = dict(list_name=list_name, predictions=predictions, trimap=trimap, engine=engine)
    if shard:
        click.echo(shards.evaluate_shard(settings, checkpoint, out, part, **options))
    else:
        _show(evaluation.evaluate(settings, checkpoint, **options), json_path)


@click.command()
@click.argument("folder")
@click.option("--merge", is_flag=True, help="FOLDER holds the shards that `evaluate --shard` wrote; no other option counts.")
@click.option("--data", metavar="VOC_ROOT", help="Folder with the masks and lists.")
@_list
@_protocol
@click.option("--num-classes", default=21, show_default=True)
@_trimap
@_json
def score(folder, merge, data, list_name, protocol, num_classes, trimap, json_path):
    """Score saved predictions in FOLDER, class ids as PNG named by image, or merge the shards of an evaluation."""
    from deeplab_nb.evaluation import evaluate as evaluation
    from deeplab_nb.evaluation import shards
    if merge:
        return _show(shards.merge(folder), json_path)
    if not data:
        raise WorkbookError("score needs the masks: add --data VOC_ROOT, or --merge for a folder of shards")
    settings = settings_module.read({"data_root": os.path.abspath(data), "eval_protocol": protocol, "num_classes": num_classes})
    _show(evaluation.score(settings, folder, list_name=list_name, trimap=trimap), json_path)


@click.command()
@click.argument("images", nargs=-1, required=True)
@_network
@_method
@click.option("--out", required=True, metavar="DIR", help="Gets NAME.png with class ids and NAME_overlay.png.")
@click.option("--tile", type=click.IntRange(min=129), default=1025, show_default=True,
              help="Larger photographs are labelled in overlapping tiles of this side.")
def predict(images, checkpoint, output_stride, scales, flip, engine, device, out, tile):
    """Label photographs of any size and draw the classes over them."""
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation.predict import Predictor
    from deeplab_nb.evaluation.tiles import tiled_labels
    from deeplab_nb.show import plots
    settings = _settings_of(checkpoint, output_stride, scales, flip, device=device)
    names = voc.class_names(settings.num_classes)
    os.makedirs(out, exist_ok=True)
    with Predictor(settings, checkpoint, engine=engine, images=len(images)) as predictor:
        for path in images:
            image, stem = voc.read_image(path), os.path.splitext(os.path.basename(path))[0]
            labels = tiled_labels(predictor, image, tile)
            voc.write_mask(os.path.join(out, stem + ".png"), labels)
            step = -(-max(labels.shape) // 1000)  # the overlay is a few hundred pixels wide
            figure = plots.show_prediction(image[::step, ::step], labels[::step, ::step], names, title=stem)
            plots.save(figure, os.path.join(out, stem + "_overlay.png"))
            click.echo("{}: {}".format(path, ", ".join(names[i] for i in sorted(set(labels.ravel())))))


@click.command()
@_network
@click.option("--out", required=True, metavar="DIR", help="A new folder, or one with an earlier export, which is replaced.")
@click.option("--format", "form", type=click.Choice(["frozen", "saved_model", "onnx", "all"]), default="all", show_default=True)
@click.option("--size", default=513, show_default=True, help="Side of the fixed form, and of the frame that smaller images are laid into.")
@click.option("--image", "images", multiple=True, metavar="FILE", help="Photograph to compare on; default: three of the drawn sample.")
@click.option("--soc-version", metavar="CHIP",
              help="Chip in the atc command that is written beside; default: one of the profile's, "
                   "Ascend310 without a profile.")
@cli_runs.profile_option
def export(checkpoint, output_stride, out, form, size, images, soc_version, ascend_profile):
    """Write a checkpoint as frozen graphs, SavedModel and ONNX, each compared with it; atc command included."""
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation import export as exports
    from deeplab_nb.evaluation import om
    soc_version = om.chip(soc_version, ascend_profile)
    settings = _settings_of(checkpoint, output_stride)
    photographs = [voc.read_image(path) for path in images or _sample_photographs(3)]
    result = exports.export(settings, checkpoint, out, images=photographs, size=size, soc_version=soc_version,
                            formats=exports.FORMATS if form == "all" else (form,))
    for row in result["forms"]:
        click.echo("{:38s} {:8.1f} MB   {:.6f} of {} pixels as the checkpoint labels them".format(
            row["file"], row["bytes"] / 1e6, row["equal_pixels"], row["pixels"]))
    click.echo(os.path.join(out, exports.MARKER))


def _sample_photographs(count):
    from deeplab_nb.data import voc
    from deeplab_nb.runs.run import Run
    root = Run(recipes.get("sample"), settings_module.Settings(), files.RUNS).data_root
    return [voc.image_path(root, image_id) for image_id in voc.read_list(root, "val")[:count]]


def _settings_of(checkpoint, output_stride, scales="1.0", flip=False, **values):
    """Settings with the network that the checkpoint itself describes."""
    from deeplab_nb.network.checkpoints import describe, find_checkpoint
    return settings_module.read(dict(describe(find_checkpoint(checkpoint)), eval_output_stride=output_stride,
                                     eval_scales=scales, eval_flip=flip, **values))


def _show(evaluation, json_path):
    """The table, and the conditions that it must be read with."""
    results = evaluation.results
    click.echo(evaluation.scores.table(list(results["classes"])))
    if "standard_miou" in results:
        click.echo("{:>6.2f}  by the mindspore protocol: mean over {}".format(100 * results["miou"], results["mean_over"]))
    told = ("protocol", "output_stride", "scales", "flip", "engine", "list", "images", "seconds_an_image")
    click.echo("; ".join("{} {}".format(name.replace("_", " "), results[name]) for name in told if name in results))
    if json_path:
        write_json(json_path, results)
