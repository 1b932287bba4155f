"""The commands `deeplab-nb rank-table` and `deeplab-nb published`."""
import json
import os
import shlex
import time

import click

from deeplab_nb.launch import entries
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


@click.group()
def published():
    """The published ports' scripts by their names and arguments; each prints the commands that it runs."""


def _entry_options(command):
    """What train_full_1p and train_full_8p parse."""
    for option in (
            click.option("--data_path", required=True, metavar="VOC_ROOT"),
            click.option("--ckpt_path", required=True, metavar="FOLDER", help="Holds xception_65_coco_pretrained."),
            click.option("--precision_mode", default="allow_mix_precision", show_default=True),
            click.option("--over_dump", default="False", show_default=True, help="True: keep tensors that overflow."),
            click.option("--data_dump_flag", default="0", show_default=True),
            click.option("--profiling", default="False", show_default=True)):
        command = option(command)
    return _dry_run(command)


_dry_run = click.option("--dry-run", is_flag=True, help="Print the commands only.")


@published.command("train_full_1p")
@_entry_options
def train_full_1p(dry_run, **arguments):
    """DeepLabv3+ on one card, then its accuracy."""
    _run(entries.train_full(1, **arguments), dry_run)


@published.command("train_full_8p")
@_entry_options
@click.option("--rank_table", envvar="RANK_TABLE_FILE", required=True, metavar="FILE", help="Default: RANK_TABLE_FILE.")
def train_full_8p(dry_run, **arguments):
    """DeepLabv3+ on eight cards, then its accuracy."""
    _run(entries.train_full(8, **arguments), dry_run)


@published.command("run_standalone_train")
@click.argument("device_id")
@click.argument("data_path")
@click.argument("ckpt", required=False)
@_dry_run
def run_standalone_train(device_id, data_path, ckpt, dry_run):
    """DeepLabv3 of the MindSpore zoo on one card."""
    _run(entries.run_standalone_train(device_id, data_path, ckpt), dry_run)


@published.command("run_distribute_train")
@click.argument("rank_table_file")
@click.argument("data_path")
@click.argument("ckpt", required=False)
@_dry_run
def run_distribute_train(rank_table_file, data_path, ckpt, dry_run):
    """DeepLabv3 of the MindSpore zoo on eight cards."""
    _run(entries.run_distribute_train(rank_table_file, data_path, ckpt), dry_run)


@published.command("run_eval")
@click.argument("device_id")
@click.argument("data_path")
@click.argument("ckpt")
@_dry_run
def run_eval(device_id, data_path, ckpt, dry_run):
    """Score a checkpoint of the MindSpore entry."""
    _run(entries.run_eval(device_id, data_path, ckpt), dry_run)


def _run(entry, dry_run):
    """Says what it runs, runs it in this process, and ends with the summary."""
    for note in entry.notes:
        click.echo("note: " + note)
    for words in entry.commands:
        click.echo("$ " + " ".join(["{}={}".format(*item) for item in entry.environment.items()] + list(map(shlex.quote, words))))
    if dry_run:
        return
    main, began = click.get_current_context().find_root().command, time.time()
    os.environ.update(entry.environment)
    for words in entry.commands:
        main.main(words[1:], standalone_mode=False)
    click.echo(entries.summary(entry, _outcome(entry.folder, time.time() - began)))


def _outcome(folder, seconds):
    from deeplab_nb import settings as settings_module
    from deeplab_nb.training.log import read_log, steps_of
    results, train = os.path.join(folder, "eval", "results.json"), os.path.join(folder, "train")
    miou = None
    if os.path.exists(results):
        with open(results) as file:
            miou = json.load(file)["miou"]
    if not os.path.isdir(train):
        return entries.Outcome(None, None, miou, seconds)
    log = steps_of(read_log(os.path.join(train, "log.jsonl")))
    return entries.Outcome(settings_module.load(train), log, miou, seconds)
