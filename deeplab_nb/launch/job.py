"""A recipe on several cards: which command and environment each rank gets."""

import collections
import contextlib
import glob
import importlib.util
import json
import os
import shlex
import shutil
import socket
import sys

from deeplab_nb import ascend_profiles, files, settings as settings_module
from deeplab_nb.devices import ranks as rank_variables
from deeplab_nb.devices.ranks import CHIEF, RANK, TABLE
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table as rank_tables
from deeplab_nb.launch.rank_table_form import are_addresses, is_number

# seconds that ranks wait for one another, as in the published port; its scripts say 600 to 1200
HCCL_CONNECT_TIMEOUT = "1800"

# ranks: those of this machine; command: the same for all; environments, devices: by rank; warnings:
# sentences about the rank table
Plan = collections.namedtuple(
    "Plan", "settings folder ranks command environments devices recipe warnings"
)


def plan(
    recipe,
    overrides,
    folder,
    *,
    cards=None,
    rank_table=None,
    server=None,
    addresses=None,
    chief=None,
    here=None,
    server_ip=None,
    conf=rank_tables.HCCN_CONF,
    tool="hccn_tool",
):
    """The `Plan` that trains a `recipes.Recipe` with one process a card.

    overrides: {setting: value}, paths absolute. folder: gets each rank's log, and checkpoints under
    `train`. cards: ranks in all; None takes the recipe's. Several NPUs need rank_table, a file, or
    chief, here and server_ip, see `chief_environments`. server: which of the servers this machine
    is, from 0. addresses: HOST:PORT of every rank on CPUs or GPUs; None takes free ports of this
    machine. conf, tool: where this machine's cards have their addresses.
    Raises WorkbookError for a table, chief or addresses that do not fit.
    """
    overrides = dict(overrides, **({"cards": cards} if cards is not None else {}))
    settings = settings_module.override(recipe.settings, overrides)
    _check_start(settings, rank_table, addresses, chief)
    folder, devices, warnings = os.path.abspath(folder), {}, []
    if chief:
        environments = chief_environments(settings, chief, here, server, server_ip)
        devices = {rank: values["ASCEND_DEVICE_ID"] for rank, values in environments.items()}
    elif rank_table:
        table = _table(settings, rank_table)
        devices = {card.rank: card.device for card in _cards_here(table, server, conf, tool)}
        environments = {rank: environment(rank, settings.cards, table.path) for rank in devices}
        warnings = table.warnings
    else:
        environments = _without_table(settings, addresses, server)
        if settings.cards == 1 and os.environ.get("ASCEND_DEVICE_ID"):
            devices = {0: os.environ["ASCEND_DEVICE_ID"]}
    absent = dict.fromkeys(TABLE + CHIEF + (RANK,))
    return Plan(
        settings,
        folder,
        list(environments),
        command(recipe, overrides, folder),
        {rank: {**absent, **values} for rank, values in environments.items()},
        devices,
        recipe,
        warnings,
    )


def _check_start(settings, rank_table, addresses, chief):
    """Raises WorkbookError for ways to start that do not go together, or if one is missing."""
    ways = {
        "--rank-table (or RANK_TABLE_FILE)": rank_table,
        "--addresses": addresses,
        "--chief": chief,
    }
    given, cards = [name for name, value in ways.items() if value], settings.cards
    if len(given) > 1:
        raise WorkbookError(f"{' and '.join(given)} are given together: leave all but one out")
    for_npus = bool(rank_table or chief)
    if cards > 1 and for_npus and settings.device in ("cpu", "gpu"):
        raise WorkbookError(f"{given[0]} is for NPUs and device is {settings.device}: leave it out")
    if cards == 1 and chief:
        raise WorkbookError(
            "--chief is for several cards and cards is 1: give --cards, or leave it out"
        )
    if addresses and len(addresses) != cards:
        raise WorkbookError(
            f"{len(addresses)} addresses are given for {cards} ranks: give one a rank"
        )
    if settings.device == "npu" and cards > 1 and not for_npus:
        for words in _refused(cards, settings)[:1]:
            raise WorkbookError(
                f"cards is {cards}, which on one server uses {words}; for "
                "several servers give their --rank-table"
            )
        raise WorkbookError(
            f"{cards} NPUs need a rank table: make one with `deeplab-nb rank-table make --cards "
            f"{cards}` and give it with --rank-table, or give --chief"
        )


def _refused(count, settings):
    """What HCCL refuses of a server's first `count` cards."""
    hardware = ascend_profiles.chosen(settings.ascend_profile).hardware
    return [
        words for refused, words in ascend_profiles.choice(list(range(count)), hardware) if refused
    ]


# --- the cards of this machine


def _table(settings, path):
    """The table that a launch goes by. Raises WorkbookError for one that it cannot go by."""
    table = rank_tables.read(path, settings.ascend_profile)
    if not table.cards:  # 'initializing'
        raise WorkbookError(table.warnings[0])
    if rank_tables.is_older(table):
        raise WorkbookError(
            f"{table.path} has the older form, whose ranks go by the names of pods: make it "
            f"version 1.0 with `deeplab-nb rank-table merge {shlex.quote(path)} --out NEW.json`"
        )
    if len(table.cards) != settings.cards:
        raise WorkbookError(
            f"{table.path} holds {len(table.cards)} cards, the settings say "
            f"{settings.cards}: give --cards {len(table.cards)}, or the table of "
            "the cards you mean"
        )
    return table


def _cards_here(table, server, conf, tool="hccn_tool"):
    """The table's cards in this machine; their addresses are compared where it knows them."""
    servers = rank_tables.servers(table)
    name, cards = servers[_this(server, servers, f"{table.path} lists {len(servers)} servers")]
    if os.path.exists(conf) or shutil.which(tool):
        devices = [card.device for card in cards if card.address]
        rank_tables.check_addresses(
            table, name, rank_tables.addresses(devices, conf=conf, tool=tool)
        )
    return cards


def _ranks_here(addresses, server):
    """The ranks whose host this machine is; hosts are counted in the order they come up."""
    hosts = [address.rsplit(":", 1)[0] for address in addresses]
    names = list(dict.fromkeys(hosts))
    here = _this(server, names, f"the addresses are of {len(names)} hosts, {', '.join(names)}")
    return [rank for rank, host in enumerate(hosts) if host == names[here]]


def _this(server, servers, said):
    """The number of this machine among servers; said: what they are, for the WorkbookError."""
    if server is None and len(servers) > 1:
        raise WorkbookError(
            f"{said}: say with --server 0 to {len(servers) - 1} which this machine is"
        )
    if (server or 0) not in range(len(servers)):
        raise WorkbookError(
            f"--server {server} is none of these, {said}: give 0 to {len(servers) - 1}"
        )
    return server or 0


# --- before a launch writes anything


def preflight(plan):
    """Looks for what ranks would miss and writes nothing. Raises WorkbookError for the first."""
    from deeplab_nb.data import voc
    from deeplab_nb.data.records import existing_shards
    from deeplab_nb.network.checkpoints import find_checkpoint, newest_checkpoint

    _check_cards(plan)
    settings = settings_module.resolve(plan.settings)
    # the drawn sample is made when it is needed
    if settings.data_root != os.path.join(files.ROOT, settings_module.Settings().data_root):
        for name in [settings.train_list] + [settings.val_list] * bool(settings.validate_every):
            if not existing_shards(settings.data_root, name):
                voc.read_list(voc.check_root(settings.data_root), name)
    if settings.initial_checkpoint and not newest_checkpoint(os.path.join(plan.folder, "train")):
        find_checkpoint(settings.initial_checkpoint)


def _check_cards(plan):
    """Raises WorkbookError where NPUs are wanted, by word or recipe, and none can be used."""
    settings, any_rank = plan.settings, plan.environments[plan.ranks[0]]
    start = any_rank["RANK_TABLE_FILE"] or any_rank["CM_CHIEF_IP"]
    by_recipe = "Ascend" in plan.recipe.hardware and not glob.glob("/dev/nvidia[0-9]*")
    several = settings.device == "auto" and settings.cards > 1
    installed = importlib.util.find_spec("npu_bridge")
    if not installed and (settings.device == "npu" or several and (start or by_recipe)):
        raise WorkbookError(
            f"{plan.recipe.name} is to train on {settings.cards} NPUs and none can be used here, "
            "npu_bridge is not installed: see `deeplab-nb doctor`, or give --set device=cpu to "
            "train on this machine's cores"
        )
    if installed and several and not start:
        raise WorkbookError(
            f"{settings.cards} ranks would take NPUs, as npu_bridge is installed: "
            "give --rank-table or --chief, or --set device=cpu"
        )


# --- what a rank gets


def command(recipe, overrides, folder):
    """The words that each rank runs; which rank it is, its environment says."""
    words = [os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), "train", recipe.name]
    for name, value in overrides.items():
        words += ["--set", f"{name}={value}"]
    return words + ["--out", os.path.join(folder, "train")]


def environment(rank, ranks, rank_table=None, addresses=None):
    """As `ranks.environment`, with what a rank table or the addresses of all ranks add to it.

    addresses: HOST:PORT of every rank, for TensorFlow's own collectives; they go by TF_CONFIG, in
    TensorFlow's form.
    """
    values = rank_variables.environment(rank, ranks)
    if addresses:
        values["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        )
    if rank_table:
        table = rank_tables.read(rank_table)
        values["ASCEND_DEVICE_ID"] = str(table.cards[rank].device)
        if ranks > 1:
            values.update(RANK_TABLE_FILE=table.path, HCCL_CONNECT_TIMEOUT=_patience())
    return values


def chief_environments(settings, chief, here=None, server=None, server_ip=None):
    """{rank: environment} of this server's ranks, which find one another without a rank table.

    chief: IP:PORT of server 0, whose card 0 gathers all. here: cards that train on each server, the
    first ones; None takes all, at most 8. server: this one, from 0. server_ip: its own address.
    By the guides of CANN 8 and 9: on 910 and A2 only, and without RANK_ID, since HCCL numbers the
    ranks itself. So DEEPLAB_NB_RANK numbers the processes, for the share of images and for who
    writes. HCCL's rank 0, whose first variables all get, may be another process; that this does no
    harm, since all have the same variables from then on, is inferred. Not run on hardware.
    Raises WorkbookError for what does not fit.
    """
    profile, here = ascend_profiles.chosen(settings.ascend_profile), here or min(settings.cards, 8)
    servers, (host, _, port) = settings.cards // here, chief.rpartition(":")
    server = 0 if servers == 1 and server is None else server
    refused = ", ".join(_refused(here, settings))
    for wrong, why in (
        (
            not profile.starts_without_table,
            "a start without rank table is for 910 and A2 with CANN 8 or newer, not for "
            f"{profile.name}: give --rank-table, or this machine's --ascend-profile",
        ),
        (
            not (host and are_addresses(host) and is_number(port) and int(port) <= 65520),
            f"{chief} is no IP:PORT with a port of 0 to 65520: give such as 10.0.0.10:6000",
        ),
        (
            servers * here != settings.cards,
            f"{settings.cards} cards are not {here} on each server: say with --here how many are",
        ),
        (refused, f"each server uses {refused}"),
        (
            server not in range(servers),
            f"{settings.cards} cards are {here} on each of {servers} servers: say with --server 0 "
            f"to {servers - 1} which this machine is",
        ),
    ):
        if wrong:
            raise WorkbookError(f"--chief: {why}")
    together = {
        "CM_CHIEF_IP": host,
        "CM_CHIEF_PORT": port,
        "CM_CHIEF_DEVICE": "0",
        "CM_WORKER_SIZE": str(settings.cards),
        "JOB_ID": "deeplab_nb",
        "CM_WORKER_IP": server_ip or (rank_tables.own_address() if server else host),
        "HCCL_CONNECT_TIMEOUT": _patience(),
    }
    return {
        rank: {**together, "ASCEND_DEVICE_ID": str(rank % here), RANK: str(rank)}
        for rank in range(server * here, (server + 1) * here)
    }


def _patience():
    return os.environ.get("HCCL_CONNECT_TIMEOUT", HCCL_CONNECT_TIMEOUT)


def _without_table(settings, addresses, server):
    """Environments by rank of CPUs or GPUs, or of one card."""
    if settings.cards == 1:
        return {0: environment(0, 1)}
    addresses = addresses or _free_addresses(settings.cards)
    ranks = _ranks_here(addresses, server)
    values = {rank: environment(rank, settings.cards, addresses=addresses) for rank in ranks}
    if settings.device == "gpu":
        for place, rank in enumerate(ranks):
            values[rank]["CUDA_VISIBLE_DEVICES"] = str(place)
    return values


def _free_addresses(count):
    """So many addresses of this machine; held all at once, so that they differ, then let go."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def text(plan):
    """What each rank would run, a line a rank, as one could type it."""
    words = [shlex.quote(word) for word in plan.command]
    return "\n".join(
        " ".join(
            [
                f"{name}={shlex.quote(value)}"
                for name, value in sorted(plan.environments[rank].items())
                if value
            ]
            + words
        )
        for rank in plan.ranks
    )
