"""The commands `deeplab-nb rank-table`."""
import click

from deeplab_nb.launch import rank_table as tables

_file_option = click.option("--out", metavar="FILE", help="Default: rank_table_Np.json, N the number of cards, in this folder.")


@click.group("rank-table")
def rank_table():
    """Tell the cards of one or several servers which rank each is."""


@rank_table.command()
@click.option("--cards", default=tables.CARDS_A_SERVER, show_default=True, help="How many of this server's cards: 1, 2, 4 or 8.")
@click.option("--first", default=0, show_default=True, help="The first of them; they must lie within 0-3 or 4-7, or be all 8.")
@click.option("--server-ip", metavar="IP", help="This server's address; looked up by default.")
@click.option("--hccn-conf", default=tables.HCCN_CONF, show_default=True, metavar="FILE", help="Read where there is no hccn_tool.")
@_file_option
def make(cards, first, server_ip, hccn_conf, out):
    """Write this server's table."""
    _show(tables.make(out or "rank_table_{}p.json".format(cards), cards, first=first, server=server_ip, conf=hccn_conf))


@rank_table.command()
@click.argument("files", nargs=-1, required=True)
@_file_option
def merge(files, out):
    """Make one table of several servers' FILES, ranks in their order; copy it to each server.

    Also turns a single table of the older form into the present one.
    """
    found = [tables.read(file) for file in files]
    _show(tables.merge(out or "rank_table_{}p.json".format(sum(len(table.cards) for table in found)), found))


@rank_table.command()
@click.argument("file")
def check(file):
    """Look for what HCCL would refuse; exit code 1 and a sentence if there is something."""
    table = tables.read(file)
    click.echo("{}: {} cards, nothing is wrong".format(file, len(table.cards)))


@rank_table.command()
@click.argument("file")
def show(file):
    """Print a table as a table."""
    click.echo(tables.show(tables.read(file)))


def _show(table):
    click.echo(tables.show(table))
    click.echo(table.path)
