"""A recipe on several cards: which command and environment each rank gets."""
import collections
import os
import shlex
import shutil
import sys

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table as rank_tables

HCCL_CONNECT_TIMEOUT = "1800"  # seconds that ranks wait for one another, as in the published port; its scripts say 600 to 1200

# ranks: those of this machine; command: the same for all; environments, devices: by rank
Plan = collections.namedtuple("Plan", "settings folder ranks command environments devices")


def plan(recipe, overrides, folder, *, cards=None, rank_table=None, server=None, conf=rank_tables.HCCN_CONF):
    """The `Plan` that trains a `recipes.Recipe` with one process a card.

    overrides: {setting: value}, paths absolute. folder: gets each rank's log, and checkpoints under `train`.
    cards: ranks in all; None takes the recipe's. rank_table: a file, needed for several NPUs. server: which of the
    table's servers this machine is, from 0. conf: where this machine's cards have their addresses.
    Raises WorkbookError for a table that does not fit.
    """
    overrides = dict(overrides, **({"cards": cards} if cards else {}))
    settings = settings_module.override(recipe.settings, overrides)
    table = rank_tables.read(rank_table) if rank_table else None
    if table and table.older:
        raise WorkbookError("{} has the older form, whose ranks go by the names of pods: make it one of version 1.0 with "
                            "`deeplab-nb rank-table merge {} --out NEW`".format(table.path, rank_table))
    if table and len(table.cards) != settings.cards:
        raise WorkbookError("{} holds {} cards, the settings say {}: give --cards {}, or the table of the cards you mean".format(
            table.path, len(table.cards), settings.cards, len(table.cards)))
    if settings.device == "npu" and settings.cards > 1 and not table:
        raise WorkbookError("{} NPUs need a rank table: make one with `deeplab-nb rank-table make --cards {}` and give it "
                            "with --rank-table".format(settings.cards, settings.cards))
    mine = _cards_here(table, server, conf) if table else []
    folder, path = os.path.abspath(folder), table.path if table else None
    ranks = [card.rank for card in mine] or list(range(settings.cards))
    return Plan(settings, folder, ranks, command(recipe, overrides, folder),
                {rank: environment(rank, settings.cards, path) for rank in ranks}, _devices(mine, settings.cards))


def command(recipe, overrides, folder):
    """The words of the command that each rank runs; which rank it is, its environment says."""
    words = [os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), "train", recipe.name]
    for name, value in overrides.items():
        words += ["--set", "{}={}".format(name, value)]
    return words + ["--out", os.path.join(folder, "train")]


def environment(rank, ranks, rank_table=None):
    """{name: text} that makes a process rank `rank` of `ranks`; a name without text is to be taken out.

    A rank table switches the collectives on by its presence alone, so a single rank gets none.
    """
    values = {"JOB_ID": "deeplab_nb", "RANK_ID": str(rank), "RANK_SIZE": str(ranks), "RANK_TABLE_FILE": None}
    if rank_table:
        table = rank_tables.read(rank_table)
        values["ASCEND_DEVICE_ID"] = str(table.cards[rank].device)
        if ranks > 1:
            values.update(RANK_TABLE_FILE=table.path,
                          HCCL_CONNECT_TIMEOUT=os.environ.get("HCCL_CONNECT_TIMEOUT", HCCL_CONNECT_TIMEOUT))
    return values


def text(plan):
    """What each rank would run, a line a rank, as one could type it."""
    words = " ".join(shlex.quote(word) for word in plan.command)
    return "\n".join(" ".join(["{}={}".format(name, value) for name, value in sorted(plan.environments[rank].items()) if value] + [words])
                     for rank in plan.ranks)


def _devices(mine, ranks):
    """The cards that this launch takes, as far as anyone has named them."""
    if not mine and ranks == 1 and os.environ.get("ASCEND_DEVICE_ID"):
        return {0: os.environ["ASCEND_DEVICE_ID"]}
    return {card.rank: card.device for card in mine}


def _cards_here(table, server, conf):
    """The table's cards that are in this machine; their addresses are compared where it knows them."""
    servers = rank_tables.servers(table)
    if server is None and len(servers) > 1:
        raise WorkbookError("{} lists {} servers: say with --server 0 to {} which this machine is".format(
            table.path, len(servers), len(servers) - 1))
    if not 0 <= (server or 0) < len(servers):
        raise WorkbookError("--server {} is none of {}, which lists {}: give 0 to {}".format(
            server, table.path, len(servers), len(servers) - 1))
    name, cards = servers[server or 0]
    if os.path.exists(conf) or shutil.which("hccn_tool"):
        rank_tables.check_addresses(table, name, rank_tables.addresses([card.device for card in cards], conf=conf))
    return cards
