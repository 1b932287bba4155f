"""The commands `deeplab-nb rank-table`."""
import re

import click

from deeplab_nb import ascend_profiles
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table as tables

_file_option = click.option("--out", metavar="FILE.json",
                            help="Default: rank_table_Np.json here, N the number of cards.")
_profile_option = click.option("--ascend-profile", default="auto", metavar="NAME", show_default=True,
                              help="Cards and CANN: " + ", ".join(ascend_profiles.NAMES) + ".")


@click.group("rank-table")
def rank_table():
    """Tell the cards of one or several servers which rank each is: of 910, A2 and A3."""


@rank_table.command()
@click.option("--cards", default=tables.CARDS_A_SERVER, show_default=True,
              help="How many of this server's cards; 1, 2, 4 or 8 of a 910's.")
@click.option("--first", default=0, show_default=True,
              help="The first of them; a 910's lie within 0-3 or 4-7, or are all 8.")
@click.option("--devices", metavar="N,N,...", help="The cards themselves, in place of both.")
@click.option("--super-pod", metavar="ID", help="Of an A3: makes the table one of version 1.2.")
@click.option("--super-devices", metavar="SDID,SDID,...", help="Default: asks npu-smi.")
@click.option("--server-ip", metavar="IP", help="This server's address; looked up by default.")
@click.option("--hccn-conf", default=tables.HCCN_CONF, show_default=True, metavar="FILE",
              help="Read where there is no hccn_tool.")
@_profile_option
@_file_option
def make(cards, devices, super_devices, server_ip, hccn_conf, ascend_profile, out, **options):
    """Write this server's table."""
    numbers = _numbers(devices) if devices else None
    _show(tables.make(
        out or f"rank_table_{len(numbers) if numbers else cards}p.json", cards, devices=numbers,
        super_devices=super_devices and super_devices.split(","), profile=ascend_profile,
        server=server_ip, conf=hccn_conf, **options))


@rank_table.command()
@click.argument("files", nargs=-1, required=True)
@_profile_option
@_file_option
def merge(files, ascend_profile, out):
    """Make one table of several servers' FILES, ranks in their order; copy it to each server.

    Also turns a single table of the older form into the present one.
    """
    found = [tables.read(file, _asked(ascend_profile)) for file in files]
    count = sum(len(table.cards) for table in found)
    _show(tables.merge(out or f"rank_table_{count}p.json", found, _asked(ascend_profile)))


@rank_table.command()
@click.argument("file")
@_profile_option
def check(file, ascend_profile):
    """Look for what HCCL would refuse; exit code 1 and a sentence if there is something.

    Without a profile a table is right if it is for one of 910, A2 and A3, and it is said for which.
    """
    table = tables.read(file, _asked(ascend_profile))
    say_warnings(table.warnings)
    what = "nothing else" if table.warnings else "nothing"
    on = ", ".join(table.hardware).upper()
    click.echo(f"{file}: {len(table.cards)} cards, {what} is wrong on {on}")


@rank_table.command()
@click.argument("file")
@_profile_option
def show(file, ascend_profile):
    """Print a table as a table."""
    table = tables.read(file, _asked(ascend_profile))
    click.echo(tables.show(table))
    say_warnings(table.warnings)


def _numbers(text):
    if not re.fullmatch("[0-9]+(,[0-9]+)*", text):
        raise WorkbookError(f"--devices {text} names no cards: give numbers such as 1,3,6")
    return list(map(int, text.split(",")))


def _asked(profile):
    """The profile that a table is checked for; None where neither person nor machine names one."""
    found = ascend_profiles.found() if profile == "auto" else ascend_profiles.get(profile)
    return found and found.name


def say_warnings(sentences):
    for sentence in sentences:
        click.echo(f"warning: {sentence}")


def _show(table):
    click.echo(tables.show(table))
    say_warnings(table.warnings)
    click.echo(table.path)
