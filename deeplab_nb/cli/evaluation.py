"""The commands that use a trained network: evaluate, score, predict, export."""

import os

import click

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.cli.main import choice, main, options, profile_option
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json

_network = options(
    click.option(
        "--checkpoint",
        required=True,
        metavar="PATH",
        help="Folder, prefix or any file of a checkpoint.",
    ),
    click.option(
        "--output-stride",
        "eval_output_stride",
        type=click.Choice(["8", "16", "32"]),
        default="16",
        show_default=True,
    ),
)
_method = options(
    click.option(
        "--scales",
        "eval_scales",
        default="1.0",
        show_default=True,
        metavar="S,S,...",
        help="Image scales whose probabilities are averaged, such as 0.5,0.75,1.0,1.25,1.5,1.75.",
    ),
    click.option("--flip", "eval_flip", is_flag=True, help="Average with the flipped image too."),
    click.option(
        "--engine",
        type=click.Choice(["auto", "tensorflow", "onnxruntime"]),
        default="auto",
        show_default=True,
        help="What computes the logits; auto takes onnxruntime on a CPU where that pays.",
    ),
    choice(
        "device",
        "--device",
        default="auto",
        show_default=True,
        help="Where; auto takes an NPU where npu_bridge is installed, else a GPU, else the CPU.",
    ),
)
_scoring = options(
    click.option(
        "--list",
        "list_name",
        default="val",
        show_default=True,
        help="List in ImageSets/Segmentation.",
    ),
    choice(
        "eval_protocol",
        "--protocol",
        default="deeplab",
        show_default=True,
        help="How images are padded and scored; each number stands under its name.",
    ),
    click.option("--trimap", is_flag=True, help="Score the pixels near object borders too."),
    click.option("--json", "json_path", metavar="FILE", help="Write the results there."),
)


@main.command()
@_network
@_method
@click.option(
    "--data",
    "data_root",
    required=True,
    metavar="VOC_ROOT",
    help="Folder with JPEGImages, SegmentationClass, ImageSets.",
)
@_scoring
@click.option(
    "--predictions",
    metavar="DIR",
    help="Keep each prediction there, a palette PNG of class ids named by its image.",
)
@click.option(
    "--shard",
    metavar="K/N",
    help="Evaluate every N-th image from the K-th on, into --out; `score --merge` joins the parts.",
)
@click.option("--out", metavar="DIR", help="Where --shard writes its counts.")
def evaluate(checkpoint, data_root, shard, out, json_path, **given):
    """Score a checkpoint on a list of photographs: per-class table and mean IoU."""
    from deeplab_nb.evaluation import evaluate as evaluation, shards

    if bool(shard) != bool(out) or shard and json_path:
        raise WorkbookError(
            "--shard and --out go together, without --json: the numbers come from `score --merge`"
        )
    part = shards.parse_shard(shard) if shard else None
    settings, how = _settings_of(checkpoint, given, data_root=os.path.abspath(data_root))
    if shard:
        click.echo(shards.evaluate_shard(settings, checkpoint, out, part, **how))
    else:
        _show(evaluation.evaluate(settings, checkpoint, **how), json_path)


@main.command()
@click.argument("folder")
@click.option(
    "--merge",
    is_flag=True,
    help="FOLDER holds the shards that `evaluate --shard` wrote; no other option counts.",
)
@click.option("--data", "data_root", metavar="VOC_ROOT", help="Folder with the masks and lists.")
@click.option("--num-classes", default=21, show_default=True)
@_scoring
def score(folder, merge, data_root, json_path, list_name, trimap, **given):
    """Score saved predictions in FOLDER, class ids as PNG named by image, or merge shards."""
    from deeplab_nb.evaluation import evaluate as evaluation, shards

    if merge:
        return _show(shards.merge(folder), json_path)
    if not data_root:
        raise WorkbookError(
            "score needs the masks: add --data VOC_ROOT, or --merge for a folder of shards"
        )
    settings = settings_module.read({"data_root": os.path.abspath(data_root), **given})
    _show(evaluation.score(settings, folder, list_name=list_name, trimap=trimap), json_path)


@main.command()
@click.argument("images", nargs=-1, required=True)
@_network
@_method
@click.option(
    "--out", required=True, metavar="DIR", help="Gets NAME.png with class ids and NAME_overlay.png."
)
@click.option(
    "--tile",
    type=click.IntRange(min=129),
    default=1025,
    show_default=True,
    help="Larger photographs are labelled in overlapping tiles of this side.",
)
def predict(images, checkpoint, out, tile, **given):
    """Label photographs of any size and draw the classes over them."""
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation.predict import Predictor
    from deeplab_nb.evaluation.tiles import tiled_labels
    from deeplab_nb.show import plots

    settings, how = _settings_of(checkpoint, given)
    names = voc.class_names(settings.num_classes)
    os.makedirs(out, exist_ok=True)
    with Predictor(settings, checkpoint, images=len(images), **how) as predictor:
        for path in images:
            image, stem = voc.read_image(path), os.path.splitext(os.path.basename(path))[0]
            labels = tiled_labels(predictor, image, tile)
            voc.write_mask(os.path.join(out, stem + ".png"), labels)
            step = -(-max(labels.shape) // 1000)  # the overlay is a few hundred pixels wide
            figure = plots.show_prediction(
                image[::step, ::step], labels[::step, ::step], names, title=stem
            )
            plots.save(figure, os.path.join(out, stem + "_overlay.png"))
            click.echo(f"{path}: {', '.join(names[i] for i in sorted(set(labels.ravel())))}")


@main.command()
@_network
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    help="A new folder, or one with an earlier export, which is replaced.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["frozen", "saved_model", "onnx", "all"]),
    default="all",
    show_default=True,
)
@click.option(
    "--size",
    default=513,
    show_default=True,
    help="Side of the fixed form, to which smaller images are padded.",
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="FILE",
    help="Photograph to compare on; default: three of the drawn sample.",
)
@click.option(
    "--soc-version",
    metavar="CHIP",
    help="Chip in the atc command that is written beside; default: one of the profile's, "
    "Ascend310 without a profile.",
)
@profile_option
def export(checkpoint, out, form, size, images, soc_version, ascend_profile, **given):
    """Write a checkpoint as frozen graphs, SavedModel and ONNX, each compared with it.

    The atc command is included.
    """
    from deeplab_nb.data import voc
    from deeplab_nb.evaluation import export as exports, om

    chip = om.chip(soc_version, ascend_profile)
    settings, _ = _settings_of(checkpoint, given)
    photographs = [voc.read_image(path) for path in images or _sample_photographs(3)]
    result = exports.export(
        settings,
        checkpoint,
        out,
        images=photographs,
        size=size,
        soc_version=chip,
        formats=exports.FORMATS if form == "all" else (form,),
    )
    for row in result["forms"]:
        click.echo(
            f"{row['file']:38s} {row['bytes'] / 1e6:8.1f} MB   {row['equal_pixels']:.6f} of "
            f"{row['pixels']} pixels as the checkpoint labels them"
        )
    click.echo(os.path.join(out, exports.MARKER))


def _sample_photographs(count):
    from deeplab_nb.data import voc
    from deeplab_nb.runs.run import Run

    root = Run(recipes.get("sample"), settings_module.Settings(), files.RUNS).data_root
    return [voc.image_path(root, image_id) for image_id in voc.read_list(root, "val")[:count]]


def _settings_of(checkpoint, given, **values):
    """(Settings of the network that the checkpoint describes, what of `given` is no setting)."""
    from deeplab_nb.network.checkpoints import describe, find_checkpoint

    rest = {name: value for name, value in given.items() if name not in settings_module.FIELDS}
    values.update((name, value) for name, value in given.items() if name not in rest)
    return settings_module.read({**describe(find_checkpoint(checkpoint)), **values}), rest


def _show(evaluation, json_path):
    """The table, and the conditions that it must be read with."""
    results = evaluation.results
    click.echo(evaluation.scores.table(list(results["classes"])))
    if "standard_miou" in results:
        click.echo(
            f"{100 * results['miou']:>6.2f}  by the mindspore protocol: mean over "
            f"{results['mean_over']}"
        )
    told = (
        "protocol",
        "output_stride",
        "scales",
        "flip",
        "engine",
        "list",
        "images",
        "seconds_an_image",
    )
    click.echo(
        "; ".join(f"{name.replace('_', ' ')} {results[name]}" for name in told if name in results)
    )
    if json_path:
        write_json(json_path, results)
