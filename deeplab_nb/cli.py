"""The command line: `deeplab-nb COMMAND`. Thin; each command calls what the notebooks call.

TensorFlow is imported inside the commands that need it, so that help and refusals come at once.
"""
import os
import sys

import click

from deeplab_nb import cli_evaluation, cli_runs, paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import commands
from deeplab_nb.network import zoo
from deeplab_nb.processes import terminable
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
@cli_runs.set_option
@click.option("--device", type=click.Choice(settings_module.FIELDS["device"].metadata["choices"]), help="The same as --set device=...")
@cli_runs.profile_option
@click.option("--dry-run", is_flag=True, help="With --device npu: show what each card would be given; needs no card, writes nothing.")
@click.option("--out", metavar="FOLDER", help="Where checkpoints and log go; default papermill_runs/RECIPE-train.")
def train(recipe, assignments, device, ascend_profile, dry_run, out):
    """Train a recipe without notebooks; the same command again resumes."""
    chosen = recipes.get(recipe)
    assignments = cli_runs.with_given(assignments, device=device, ascend_profile=ascend_profile)
    settings = settings_module.override(chosen.settings, paths.make_absolute(parameters.parse_assignments(assignments)))
    if dry_run:
        return _dry_run(settings)
    from deeplab_nb.launch import job
    from deeplab_nb.runs.workbook import Run
    from deeplab_nb.training.loop import check_trainable
    check_trainable(settings)
    if settings.cards > 1 and job.size_of(os.environ) != str(settings.cards):
        raise WorkbookError("{0} ranks train together, and this process is none of them: start all with "
                            "`deeplab-nb launch {1} --cards {0}`".format(settings.cards, recipe))
    work = Run(chosen, settings, paths.RUNS)
    work.train_folder = os.path.abspath(out or os.path.join(paths.RUNS, chosen.name + "-train"))
    with terminable():  # so that a rank that its launcher ends saves first
        click.echo(work.train())


def _dry_run(settings):
    if settings.device != "npu":
        raise WorkbookError("--dry-run shows what an Ascend card would be given: add --device npu")
    from deeplab_nb.training import ascend
    for line in ascend.dry_run(settings):
        click.echo(line)


@main.command()
@click.argument("recipe")
@cli_runs.set_option
@click.option("--cards", type=int, help="Ranks in all; default: the recipe's.")
@cli_runs.profile_option
@click.option("--rank-table", envvar="RANK_TABLE_FILE", metavar="FILE", help="Which card is which rank; default: RANK_TABLE_FILE.")
@click.option("--addresses", metavar="HOST:PORT,...", help="Where each rank listens, in place of a rank table; default: ports of this machine.")
@click.option("--chief", metavar="IP:PORT",
              help="Of server 0: 910s or A2s start without rank table, CANN 8 on.")
@click.option("--here", type=click.IntRange(min=1),
              help="With --chief: cards of each server; default: all, at most 8.")
@click.option("--server-ip", metavar="IP",
              help="With --chief: this server's address; looked up by default.")
@click.option("--server", type=int, help="Which of the servers this machine is, from 0.")
@click.option("--out", metavar="FOLDER", help="Gets each rank's log, and checkpoints under train; default papermill_runs/RECIPE-launch.")
@click.option("--silence", type=float, metavar="SECONDS", help="A rank silent for so long is taken for hung; default 2400.")
@click.option("--dry-run", is_flag=True, help="Print each rank's environment and command only.")
def launch(recipe, assignments, addresses, ascend_profile, out, silence, dry_run, **options):
    """Train a recipe with one process a card; the same command again resumes."""
    from deeplab_nb.launch import job
    chosen = recipes.get(recipe)
    assignments = cli_runs.with_given(assignments, ascend_profile=ascend_profile)
    plan = job.plan(chosen, paths.make_absolute(parameters.parse_assignments(assignments)),
                    out or os.path.join(paths.RUNS, chosen.name + "-launch"),
                    addresses=addresses.split(",") if addresses else None, **options)
    if dry_run:
        commands.say_warnings(plan.warnings)
        return click.echo(job.text(plan))
    from deeplab_nb.runs.workbook import train_together
    train_together(chosen, plan, silence=silence)


main.add_command(commands.rank_table)


for _command in (cli_runs.run, cli_runs.runs, cli_runs.show, cli_runs.ledger,
                 cli_evaluation.evaluate, cli_evaluation.score, cli_evaluation.predict, cli_evaluation.export):
    main.add_command(_command)


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
@click.argument("images")
@click.argument("masks")
@click.option("--out", required=True, metavar="VOC_ROOT", help="A new folder, which gets VOC's layout.")
@click.option("--classes", default="", metavar="NAME,NAME,...", help="Names by class number, background first.")
@click.option("--colours", metavar="FILE", help='For masks in colour: JSON such as {"background": [0, 0, 0], "leaf": [0, 255, 0]}.')
@click.option("--val-share", default=0.2, show_default=True, help="Share of the images that are kept for the score.")
@click.option("--seed", default=1, show_default=True, help="Of the split.")
def convert(images, masks, out, classes, colours, val_share, seed):
    """Lay your own IMAGES and MASKS, two folders with files of the same names, out as VOC does; then audit them.

    Masks may be palette or grey PNGs of class numbers, 0/255, or colours; or outlines, labelme's files or one file of COCO's.
    """
    from deeplab_nb.data import audit as audits
    from deeplab_nb.data import class_weights, own, polygons
    table, named = own.read_colours(colours) if colours else (None, [])
    names = [name.strip() for name in classes.split(",") if name.strip()] or named
    with polygons.drawn(images, masks, names) as (masks, names):
        found = own.convert(images, masks, out, classes=names, colours=table, val_share=val_share, seed=seed)
    click.echo("{}\n".format(found))
    result = audits.audit(out, ["train", "val"], num_classes=len(found.classes))
    click.echo(result.table("train"))
    for sentence in [sentence for _, sentence in result.problems + result.warnings]:
        click.echo(sentence)
    for how in (class_weights.median_frequency, class_weights.inverse_log):
        click.echo("class_weights by {}: {}".format(how.__name__, ",".join(map(str, how(result.of("train"), len(found.classes))))))
    result.raise_if_bad()
    click.echo("deeplab-nb train finetune_mobilenetv2_dm05 --set data_root={} --set num_classes={}".format(out, len(found.classes)))


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
    for row in zoo.PUBLISHED:
        click.echo("{:34s} {:>7s}   {}".format(row.name, row.size, row.expected))


def _fetch_weights(name):
    """Downloads, then says what came: never the published number alone, but what the file itself holds."""
    row = zoo.get(name)
    from deeplab_nb.data.fetch import known_digest
    from deeplab_nb.network.weights import archive_of, contents, fetch_weights
    folder = os.path.join(paths.ROOT, "data", "weights")
    prefix = fetch_weights(name, folder)
    digest = known_digest(archive_of(row), folder) or "not recorded"
    click.echo(prefix)
    for label, text in (("holds", contents(prefix)), ("expected", row.expected), ("archive", row.file + ", " + digest)):
        click.echo("    {:9s} {}".format(label, text))


@main.command()
@cli_runs.profile_option
def doctor(ascend_profile):
    """Look at Python, TensorFlow, Ascend, GPU and room here; exit code 1 if something is wrong."""
    from deeplab_nb import doctor as doctors
    findings = doctors.examine(ascend_profile or "auto")
    for finding in findings:
        click.echo("{:8s} {:16s} {}".format(*finding))
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)
