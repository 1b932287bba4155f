"""The commands that use a trained network: evaluate, score, predict, export."""

import functools
import os
from pathlib import Path

import click

from deeplab_nb import settings as settings_module
from deeplab_nb.cli.main import choice, main, options, overrides_of, profile_option, set_option
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import refuse_over, write_json

option = functools.partial(click.option, show_default=True)
_network = options(
    option(
        "--checkpoint",
        required=True,
        metavar="PATH",
        help="Folder, prefix or any file of a checkpoint.",
    ),
    set_option,
    option(
        "--output-stride", "eval_output_stride", type=click.Choice(["8", "16", "32"]), default="16"
    ),
)
_method = options(
    option(
        "--scales",
        "eval_scales",
        default="1.0",
        metavar="S,S,...",
        help="Image scales whose probabilities are averaged, such as 0.5,0.75,1.0,1.25,1.5,1.75.",
    ),
    option("--flip", "eval_flip", is_flag=True, help="Average with the flipped image too."),
    option(
        "--engine",
        type=click.Choice(["auto", "tensorflow", "onnxruntime"]),
        default="auto",
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
_overwrite = option(
    "--overwrite", is_flag=True, help="Replace files that no earlier command like this one made."
)
_scoring = options(
    _overwrite,
    option("--list", "val_list", default="val", help="List in ImageSets/Segmentation."),
    choice(
        "eval_protocol",
        "--protocol",
        default="deeplab",
        show_default=True,
        help="How images are padded and scored; each number stands under its name.",
    ),
    option("--trimap", is_flag=True, help="Score the pixels near object borders too."),
    option("--json", "json_path", metavar="FILE", help="Write the results there."),
)


@main.command()
@_network
@_method
@option(
    "--data",
    "data_root",
    required=True,
    metavar="VOC_ROOT",
    help="Folder with JPEGImages, SegmentationClass, ImageSets.",
)
@_scoring
@option(
    "--predictions",
    metavar="DIR",
    help="Keep each prediction there, a palette PNG of class ids named by its image.",
)
@option(
    "--shard",
    metavar="K/N",
    help="Evaluate every N-th image from the K-th on, into --out; `score --merge` joins the parts.",
)
@option("--out", metavar="DIR", help="Where --shard writes its counts.")
def evaluate(checkpoint, data_root, shard, out, json_path, overwrite, **given):
    """Score a checkpoint on a list of photographs: per-class table and mean IoU."""
    from deeplab_nb.evaluation import evaluate as evaluation, shards

    if bool(shard) != bool(out) or shard and json_path:
        raise WorkbookError(
            "--shard and --out go together, without --json: the numbers come from `score --merge`"
        )
    part = shard and shards.parse_shard(shard)
    _check_json(json_path, overwrite, data_root, checkpoint)
    settings, how = _settings_of(checkpoint, given, data_root=os.path.abspath(data_root))
    how.update(overwrite=overwrite)
    if shard:
        click.echo(shards.evaluate_shard(settings, checkpoint, out, part, **how))
    else:
        _show(evaluation.evaluate(settings, checkpoint, **how), json_path)


@main.command()
@click.argument("folder")
@option(
    "--merge",
    is_flag=True,
    help="FOLDER holds the shards that `evaluate --shard` wrote; no other option counts.",
)
@option("--data", "data_root", metavar="VOC_ROOT", help="Folder with the masks and lists.")
@option("--num-classes", default=21)
@_scoring
def score(folder, merge, data_root, json_path, overwrite, trimap, **given):
    """Score saved predictions in FOLDER, class ids as PNG named by image, or merge shards."""
    from deeplab_nb.evaluation import evaluate as evaluation, shards

    _check_json(json_path, overwrite, data_root, folder)
    if merge:
        return _show(shards.merge(folder), json_path)
    if not data_root:
        raise WorkbookError(
            "score needs the masks: add --data VOC_ROOT, or --merge for a folder of shards"
        )
    settings = settings_module.read({"data_root": os.path.abspath(data_root), **given})
    _show(evaluation.score(settings, folder, trimap=trimap), json_path)


@main.command()
@click.argument("images", nargs=-1, required=True)
@_network
@_method
@option(
    "--out", required=True, metavar="DIR", help="Gets NAME.png with class ids and NAME_overlay.png."
)
@option(
    "--longest-side",
    metavar="513|native|N",
    help="Larger photographs are brought to that many pixels before they are labelled, and the "
    "mask is enlarged back. Default: what the checkpoint's run evaluates at, else 513.",
)
@option(
    "--tile",
    type=click.IntRange(min=129),
    help="What is larger still is labelled in overlapping tiles of this side. Default: 1025, or "
    "what the checkpoint's run evaluates at.",
)
@option("--classes", metavar="FILE", help="Class names, one a line, background first.")
@_overwrite
def predict(images, checkpoint, out, longest_side, classes, tile, overwrite, **given):
    """Label photographs, files or folders of them, and draw the classes over them.

    Stopped, the same command goes on: each PNG notes what it was made by and from.
    """
    from deeplab_nb.network.checkpoints import find_checkpoint
    from deeplab_nb.show import labelling

    settings, how = _settings_of(checkpoint, given)
    prefix = find_checkpoint(checkpoint)
    side = longest_side or str(labelling.known_side(prefix))
    if side != "native" and not (side.isdecimal() and int(side) >= 33):
        raise WorkbookError(
            f"--longest-side is {side}: give 'native' or a number of pixels, at least 33"
        )
    side = None if side == "native" else int(side)
    names = labelling.names_of(prefix, settings.num_classes, classes)
    click.echo(f"labelled at {f'up to {side} pixels a side' if side else 'full size, by tiles'}")
    failed = labelling.label(
        settings,
        prefix,
        images,
        out,
        names=names,
        side=side,
        tile=tile,
        overwrite=overwrite,
        tell=click.echo,
        **how,
    )
    for path, why in failed.items():
        click.echo(f"not labelled: {path}: {why}", err=True)
    if failed:
        raise WorkbookError(
            f"{len(failed)} photographs were not labelled, {next(iter(failed))} first: correct or "
            "leave them out, and give the command again; it does the others no second time"
        )


@main.command()
@_network
@option(
    "--out",
    required=True,
    metavar="DIR",
    help="A new folder, or one with an earlier export, which is replaced.",
)
@option(
    "--format", "form", type=click.Choice(["frozen", "saved_model", "onnx", "all"]), default="all"
)
@option("--size", default=513, help="Side of the fixed form, to which smaller images are padded.")
@option(
    "--image",
    "images",
    multiple=True,
    metavar="FILE",
    help="Photograph to compare on; default: three of the drawn sample.",
)
@option(
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
    from deeplab_nb.data.sample import make_sample
    from deeplab_nb.evaluation import export as exports, om

    chip = om.chip(soc_version, ascend_profile)
    settings, _ = _settings_of(checkpoint, given)
    if not images:
        root = make_sample(settings_module.resolve(settings_module.Settings()).data_root)
        images = [voc.image_path(root, image_id) for image_id in voc.read_list(root, "val")[:3]]
    result = exports.export(
        settings,
        checkpoint,
        out,
        images=[voc.read_image(path) for path in images],
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


def _settings_of(checkpoint, given, **values):
    """(Settings of the network that the checkpoint holds, what of `given` is no setting)."""
    from deeplab_nb.network.checkpoints import find_checkpoint
    from deeplab_nb.network.described import describe

    prefix, changed = find_checkpoint(checkpoint), overrides_of(given.pop("assignments"))
    values.update(describe(prefix))
    if not {"multi_grid"} & (values.keys() | changed) and values["backbone"] != "mobilenet_v2":
        click.echo(
            f"no settings lie beside {prefix}: multi_grid is taken as 1,1,1; give what it was "
            "trained with by --set multi_grid=",
            err=True,
        )
    for name in settings_module.FIELDS.keys() & given:
        values[name] = given.pop(name)
    return settings_module.override(settings_module.read(values), changed), given


def _check_json(path, overwrite, *read):
    """Refuses to write over a file that holds no results, never mind which in what is read."""

    ours = lambda name: b'"miou":' in Path(name).read_bytes()  # noqa: E731
    if path:
        there = os.path.isfile(path) and not ours(path)
        below = tuple(map(os.path.realpath, filter(None, read)))
        inputs = [path] if there and os.path.realpath(path).startswith(below) else []
        refuse_over([path], inputs=inputs, ours=ours, overwrite=overwrite)


def _show(evaluation, json_path):
    """The table, and the conditions that it must be read with."""
    results = evaluation.results
    click.echo(evaluation.scores.table(list(results["classes"])))
    if "standard_miou" in results:
        click.echo(
            f"{100 * results['miou']:>6.2f}  by the mindspore protocol: mean over "
            f"{results['mean_over']}"
        )
    names = "protocol output_stride scales flip engine list images seconds_an_image".split()
    told = [f"{name.replace('_', ' ')} {results[name]}" for name in names if name in results]
    click.echo("; ".join(told))
    if json_path:
        write_json(json_path, results)
