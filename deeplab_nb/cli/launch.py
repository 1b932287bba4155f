"""The commands that train without notebooks: train, launch; and rank-table, for several cards."""

import os
import re

import click

from deeplab_nb import ascend_profiles, files, recipes, settings as settings_module
from deeplab_nb.cli.main import (
    choice,
    main,
    options,
    overrides_of,
    profile_option,
    set_option,
    with_given,
)
from deeplab_nb.devices import ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job, rank_table as tables
from deeplab_nb.launch.this_machine import HCCN_CONF
from deeplab_nb.processes import terminable

from_step_option = click.option(
    "--from-step",
    type=click.IntRange(min=0),
    help="Go on from this checkpoint; later ones are moved into after_step_N beside it.",
)


@main.command()
@click.argument("recipe")
@set_option
@choice("device", "--device", help="The same as --set device=...")
@profile_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="With --device npu: show what each card would be given; needs no card, writes nothing.",
)
@click.option(
    "--out",
    metavar="FOLDER",
    help="Where checkpoints and log go; default papermill_runs/RECIPE-train.",
)
@from_step_option
def train(recipe, assignments, dry_run, out, from_step, **given):
    """Train a recipe without notebooks; the same command again resumes."""
    chosen = recipes.get(recipe)
    settings = settings_module.override(
        chosen.settings, overrides_of(with_given(assignments, given))
    )
    if dry_run:
        return _dry_run(settings)
    from deeplab_nb.runs.run import Run
    from deeplab_nb.training.loop import check_trainable

    check_trainable(settings)
    if settings.cards > 1 and ranks.size_of(os.environ) != str(settings.cards):
        raise WorkbookError(
            f"{settings.cards} ranks train together, and this process is none of them: start all "
            f"with `deeplab-nb launch {recipe} --cards {settings.cards}`"
        )
    work = Run(chosen, settings, files.RUNS)
    work.train_folder = os.path.abspath(out or os.path.join(files.RUNS, chosen.name + "-train"))
    _go_back(work.train_folder, from_step)
    with terminable():  # so that a rank that its launcher ends saves first
        click.echo(work.train())


def _go_back(folder, step):
    if step is not None:
        from deeplab_nb.network.checkpoints import go_back

        click.echo(f"checkpoints after step {step} are in {go_back(folder, step)}")


def _dry_run(settings):
    if settings.device != "npu":
        raise WorkbookError("--dry-run shows what an Ascend card would be given: add --device npu")
    from deeplab_nb.launch.dry_run import dry_run

    click.echo("\n".join(dry_run(settings)))


@main.command()
@click.argument("recipe")
@set_option
@click.option("--cards", type=int, help="Ranks in all; default: the recipe's.")
@profile_option
@click.option(
    "--rank-table",
    envvar="RANK_TABLE_FILE",
    metavar="FILE",
    help="Which card is which rank; default: RANK_TABLE_FILE.",
)
@click.option(
    "--addresses",
    metavar="HOST:PORT,...",
    help="Where each rank listens, in place of a rank table; default: ports of this machine.",
)
@click.option(
    "--chief",
    metavar="IP:PORT",
    help="Of server 0: 910s or A2s start without rank table, CANN 8 on.",
)
@click.option(
    "--here",
    type=click.IntRange(min=1),
    help="With --chief: cards of each server; default: all, at most 8.",
)
@click.option(
    "--server-ip", metavar="IP", help="With --chief: this server's address; looked up by default."
)
@click.option("--server", type=int, help="Which of the servers this machine is, from 0.")
@click.option(
    "--out",
    metavar="FOLDER",
    help="Gets each rank's log, and checkpoints under train; default papermill_runs/RECIPE-launch.",
)
@click.option(
    "--silence",
    type=float,
    metavar="SECONDS",
    help="A rank silent for so long is taken for hung; default 2400.",
)
@from_step_option
@click.option("--dry-run", is_flag=True, help="Print each rank's environment and command only.")
def launch(
    recipe, assignments, ascend_profile, addresses, out, silence, from_step, dry_run, **start
):
    """Train a recipe with one process a card; the same command again resumes."""
    chosen = recipes.get(recipe)
    overrides = overrides_of(with_given(assignments, {"ascend_profile": ascend_profile}))
    out = out or os.path.join(files.RUNS, chosen.name + "-launch")
    plan = job.plan(
        chosen,
        overrides,
        out,
        addresses=addresses.split(",") if addresses else None,
        **start,
    )
    if dry_run:
        _say_warnings(plan)
        return click.echo(job.text(plan))
    from deeplab_nb.runs.run import train_together

    _go_back(os.path.join(out, "train"), from_step)
    train_together(chosen, plan, silence=silence)


# --- rank tables


@main.group("rank-table")
def rank_table():
    """Tell the cards of one or several servers which rank each is: of 910, A2 and A3."""


_written = options(
    profile_option,
    click.option(
        "--out",
        metavar="FILE.json",
        help="Default: rank_table_Np.json here, N the number of cards.",
    ),
)


@rank_table.command()
@click.option(
    "--cards",
    default=tables.CARDS_A_SERVER,
    show_default=True,
    help="How many of this server's cards; 1, 2, 4 or 8 of a 910's.",
)
@click.option(
    "--first",
    default=0,
    show_default=True,
    help="The first of them; a 910's lie within 0-3 or 4-7, or are all 8.",
)
@click.option("--devices", metavar="N,N,...", help="The cards themselves, in place of both.")
@click.option("--super-pod", metavar="ID", help="Of an A3: makes the table one of version 1.2.")
@click.option("--super-devices", metavar="SDID,SDID,...", help="Default: asks npu-smi.")
@click.option(
    "--server-ip", "server", metavar="IP", help="This server's address; looked up by default."
)
@click.option(
    "--hccn-conf",
    "conf",
    default=HCCN_CONF,
    show_default=True,
    metavar="FILE",
    help="Read where there is no hccn_tool.",
)
@_written
def make(cards, devices, super_devices, ascend_profile, out, **machine):
    """Write this server's table."""
    numbers = _numbers(devices) if devices else None
    _show(
        tables.make(
            out or f"rank_table_{len(numbers) if numbers else cards}p.json",
            cards,
            devices=numbers,
            super_devices=super_devices and super_devices.split(","),
            profile=ascend_profile or "auto",
            **machine,
        )
    )


@rank_table.command()
@click.argument("files", nargs=-1, required=True)
@_written
def merge(files, ascend_profile, out):
    """Make one table of several servers' FILES, ranks in their order; copy it to each server.

    Also turns a single table of the older form into the present one.
    """
    found = [_read(file, ascend_profile) for file in files]
    count = sum(len(table.cards) for table in found)
    _show(tables.merge(out or f"rank_table_{count}p.json", found, _asked(ascend_profile)))


@rank_table.command()
@click.argument("file")
@profile_option
def check(file, ascend_profile):
    """Look for what HCCL would refuse; exit code 1 and a sentence if there is something.

    Without a profile a table is right if it is for one of 910, A2 and A3, and it is said for which.
    """
    table = _read(file, ascend_profile)
    _say_warnings(table)
    what = "nothing else" if table.warnings else "nothing"
    on = ", ".join(table.hardware).upper()
    click.echo(f"{file}: {len(table.cards)} cards, {what} is wrong on {on}")


@rank_table.command("show")
@click.argument("file")
@profile_option
def show_table(file, ascend_profile):
    """Print a table as a table."""
    table = _read(file, ascend_profile)
    click.echo(tables.show(table))
    _say_warnings(table)


def _numbers(text):
    if not re.fullmatch("[0-9]+(,[0-9]+)*", text):
        raise WorkbookError(f"--devices {text} names no cards: give numbers such as 1,3,6")
    return list(map(int, text.split(",")))


def _asked(profile):
    """The profile to check a table for; None where neither person nor machine names one."""
    found = ascend_profiles.found() if profile in (None, "auto") else ascend_profiles.get(profile)
    return found and found.name


def _read(file, profile):
    return tables.read(file, _asked(profile))


def _say_warnings(found):
    for sentence in found.warnings:
        click.echo(f"warning: {sentence}")


def _show(table):
    click.echo(tables.show(table))
    _say_warnings(table)
    click.echo(table.path)
