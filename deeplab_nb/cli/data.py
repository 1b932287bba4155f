"""The commands about data: audit, convert, fetch."""

import os
import shlex

import click

from deeplab_nb import files
from deeplab_nb.cli.main import main
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import zoo

DATA = os.path.join(files.ROOT, "data")


@main.command()
@click.argument("voc_root")
@click.option(
    "--list", "list_names", multiple=True, help="List to check; default: every list that is there."
)
@click.option("--num-classes", default=21, show_default=True, type=click.IntRange(2, 255))
def audit(voc_root, list_names, num_classes):
    """Check photographs, masks and lists before they are trusted; exit code 1 if one is wrong."""
    from deeplab_nb.data import audit as audits, voc

    root = voc.check_root(voc_root)
    names = list(list_names) or voc.list_names(root)
    result = audits.audit(root, names, num_classes=num_classes)
    for name in names:
        click.echo(result.table(name) + "\n")
    for sentence in [warning for _, warning in result.warnings] + list(result.notes):
        click.echo(sentence)
    result.raise_if_bad()
    click.echo(f"nothing is wrong with {root}")


@main.command()
@click.argument("images")
@click.argument("masks")
@click.option("--out", required=True, metavar="VOC_ROOT", help="A new folder, in VOC's layout.")
@click.option(
    "--classes",
    default="",
    metavar="NAME,NAME,...",
    help="Names by class number, background first.",
)
@click.option(
    "--colours",
    metavar="FILE",
    help='For masks in colour: JSON such as {"background": [0, 0, 0], "leaf": [0, 255, 0]}.',
)
@click.option(
    "--val-share",
    default=0.2,
    show_default=True,
    help="Share of the images that are kept for the score.",
)
@click.option(
    "--seed", default=1, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Of the split."
)
@click.option("--strict", is_flag=True, help="Stop at an entry that cannot be read or drawn.")
@click.option(
    "--unlabelled",
    type=click.Choice(["background", "leave-out"]),
    help="What becomes of images without annotation; default: those that an export lists are "
    "background, others are left out, or refused where masks are pictures.",
)
@click.option("--ignore", type=int, help="Class of the masks that is to be ignored, beside 255.")
@click.option(
    "--shift", default=0, help="Added to the other classes; ADE20K: --ignore 0 --shift -1."
)
def convert(images, masks, out, classes, colours, **split):
    """Lay your own IMAGES and MASKS, folders with files of the same names, out as VOC does.

    Then audit them. Masks may be palette or grey PNGs of class numbers, 0/255, or colours; or
    outlines, labelme's files or COCO's. Both may be one folder, and hold train, valid and test.
    """
    from deeplab_nb.data import audit as audits, own

    table, named = own.read_colours(colours) if colours else (None, [])
    names = [name.strip() for name in classes.split(",") if name.strip()] or named
    found = own.convert(images, masks, out, classes=names, colours=table, **split)
    count = len(found.classes)
    click.echo(f"{found}\n")
    result = audits.audit(out, list(found.counts)[:-1], num_classes=count)  # the last is both
    click.echo(result.table("train"))
    absent = [str(i) for i in range(count) if not any(one.pixels[i] for one in result.lists)]
    if absent:
        click.echo(f"no mask shows class {', '.join(absent)}")
    for _, sentence in result.problems + result.warnings:
        click.echo(sentence)
    train = result.of("train")
    for how in (train.median_frequency, train.inverse_log):
        weights = ",".join(map(str, how(count)))
        click.echo(f"class_weights by {how.__name__}: {weights}")
    result.raise_if_bad()
    click.echo(
        f"deeplab-nb train finetune_mobilenetv2_dm05 --set {shlex.quote(f'data_root={out}')} "
        f"--set num_classes={count}"
    )


@main.command()
@click.argument("what", type=click.Choice(["voc", "trainaug", "weights"]))
@click.argument("name", required=False)
def fetch(what, name):
    """Download into data/: VOC 2012 (2.0 GB), SBD (1.4 GB) for the trainaug list, or weights.

    `fetch weights` lists the published ones; `fetch weights NAME` brings one to data/weights/NAME.
    """
    if what == "weights":
        return _fetch_weights(name) if name else _list_weights()
    if name:
        raise WorkbookError(f"fetch {what} takes no name: leave '{name}' out")
    from deeplab_nb.data import download as archives
    from deeplab_nb.data.trainaug import make_trainaug

    root = archives.fetch_voc(DATA)
    click.echo(root)
    if what == "trainaug":
        click.echo(make_trainaug(root, archives.fetch_sbd(DATA)))


def _list_weights():
    for row in zoo.PUBLISHED:
        click.echo(f"{row.name:34s} {row.size:>7s}   {row.expected}")


def _fetch_weights(name):
    """Downloads, then says what came: never the published number alone, but what the file holds."""
    row = zoo.get(name)
    from deeplab_nb.data.download import known_digest
    from deeplab_nb.network.weights import archive_of, contents, fetch_weights

    folder = os.path.join(DATA, "weights")
    prefix = fetch_weights(name, folder)
    digest = known_digest(archive_of(row), folder) or "not recorded"
    click.echo(prefix)
    click.echo(f"    holds     {contents(prefix)}")
    click.echo(f"    expected  {row.expected}")
    click.echo(f"    archive   {row.file}, {digest}")
