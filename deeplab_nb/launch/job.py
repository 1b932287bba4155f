"""A recipe on several cards: which command and environment each rank gets."""
import collections
import contextlib
import json
import os
import shlex
import shutil
import socket
import sys

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table as rank_tables

HCCL_CONNECT_TIMEOUT = "1800"  # seconds that ranks wait for one another, as in the published port; its scripts say 600 to 1200

# ranks: those of this machine; command: the same for all; environments, devices: by rank
Plan = collections.namedtuple("Plan", "settings folder ranks command environments devices")


def plan(recipe, overrides, folder, *, cards=None, rank_table=None, server=None, addresses=None, conf=rank_tables.HCCN_CONF,
         tool="hccn_tool"):
    """The `Plan` that trains a `recipes.Recipe` with one process a card.

    overrides: {setting: value}, paths absolute. folder: gets each rank's log, and checkpoints under `train`.
    cards: ranks in all; None takes the recipe's. rank_table: a file, needed for several NPUs. server: which of the
    table's or the addresses' servers this machine is, from 0. addresses: HOST:PORT of every rank on CPUs or GPUs; None takes
    free ports of this machine. conf, tool: where this machine's cards have their addresses.
    Raises WorkbookError for a table or addresses that do not fit.
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
    mine = _cards_here(table, server, conf, tool) if table else []
    folder, path = os.path.abspath(folder), table.path if table else None
    if addresses and (table or len(addresses) != settings.cards):
        raise WorkbookError("{} addresses are given {}: give one a rank, and no rank table".format(
            len(addresses), "beside a rank table" if table else "for {} ranks".format(settings.cards)))
    if not table and settings.cards > 1:
        addresses = addresses or _free_addresses(settings.cards)
    ranks = [card.rank for card in mine] or (_ranks_here(addresses, server) if addresses else list(range(settings.cards)))
    environments = {rank: environment(rank, settings.cards, path, addresses) for rank in ranks}
    if settings.device == "gpu" and settings.cards > 1:
        for place, rank in enumerate(ranks):
            environments[rank]["CUDA_VISIBLE_DEVICES"] = str(place)
    return Plan(settings, folder, ranks, command(recipe, overrides, folder), environments, _devices(mine, settings.cards))


def command(recipe, overrides, folder):
    """The words of the command that each rank runs; which rank it is, its environment says."""
    words = [os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), "train", recipe.name]
    for name, value in overrides.items():
        words += ["--set", "{}={}".format(name, value)]
    return words + ["--out", os.path.join(folder, "train")]


def environment(rank, ranks, rank_table=None, addresses=None):
    """{name: text} that makes a process rank `rank` of `ranks`; a name without text is to be taken out.

    A rank table switches Ascend's collectives on by its presence alone, so a single rank gets none.
    addresses: HOST:PORT of every rank, for TensorFlow's own collectives; they go by TF_CONFIG, in TensorFlow's form.
    """
    values = {"JOB_ID": "deeplab_nb", "RANK_ID": str(rank), "RANK_SIZE": str(ranks), "RANK_TABLE_FILE": None}
    if addresses:
        values["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}})
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
    given = [["{}={}".format(name, shlex.quote(value)) for name, value in sorted(plan.environments[rank].items()) if value]
             for rank in plan.ranks]
    return "\n".join(" ".join(values + [words]) for values in given)


def _free_addresses(count):
    """So many addresses of this machine; held all at once, so that they differ, and let go for the ranks."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return ["127.0.0.1:{}".format(each.getsockname()[1]) for each in sockets]


def _ranks_here(addresses, server):
    """The ranks whose host this machine is; hosts are counted in the order in which they come up."""
    hosts = list(collections.OrderedDict.fromkeys(address.rsplit(":", 1)[0] for address in addresses))
    if server is None and len(hosts) > 1 or not 0 <= (server or 0) < len(hosts):
        raise WorkbookError("the addresses are of {} hosts, {}: say with --server 0 to {} which this machine is".format(
            len(hosts), ", ".join(hosts), len(hosts) - 1))
    return [rank for rank, address in enumerate(addresses) if address.rsplit(":", 1)[0] == hosts[server or 0]]


def _devices(mine, ranks):
    """The cards that this launch takes, as far as anyone has named them."""
    if not mine and ranks == 1 and os.environ.get("ASCEND_DEVICE_ID"):
        return {0: os.environ["ASCEND_DEVICE_ID"]}
    return {card.rank: card.device for card in mine}


def _cards_here(table, server, conf, tool="hccn_tool"):
    """The table's cards that are in this machine; their addresses are compared where it knows them."""
    servers = rank_tables.servers(table)
    if server is None and len(servers) > 1:
        raise WorkbookError("{} lists {} servers: say with --server 0 to {} which this machine is".format(
            table.path, len(servers), len(servers) - 1))
    if not 0 <= (server or 0) < len(servers):
        raise WorkbookError("--server {} is none of {}, which lists {}: give 0 to {}".format(
            server, table.path, len(servers), len(servers) - 1))
    name, cards = servers[server or 0]
    if os.path.exists(conf) or shutil.which(tool):
        rank_tables.check_addresses(table, name, rank_tables.addresses([card.device for card in cards], conf=conf, tool=tool))
    return cards
