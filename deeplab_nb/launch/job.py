"""A recipe on several cards: which command and environment each rank gets."""

import collections
import glob
import importlib.util
import json
import os
import shlex
import sys

from deeplab_nb import ascend_profiles, files, settings as settings_module
from deeplab_nb.devices import ranks as rank_variables
from deeplab_nb.devices.ranks import CHIEF, RANK, TABLE
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table as rank_tables, this_machine
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
    conf=this_machine.HCCN_CONF,
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
    if cards is not None:
        overrides = {**overrides, "cards": cards}
    settings = settings_module.override(recipe.settings, overrides)
    _check_start(settings, rank_table, addresses, chief)
    folder, warnings = os.path.abspath(folder), []
    if chief:
        environments = chief_environments(settings, chief, here, server, server_ip)
    elif rank_table:
        table = rank_tables.of_launch(settings, rank_table)
        here = [card.rank for card in rank_tables.cards_here(table, server, conf, tool)]
        environments = {rank: environment(rank, settings.cards, table.path) for rank in here}
        warnings = table.warnings
    else:
        environments = _without_table(settings, addresses, server)
    own = os.environ.get("ASCEND_DEVICE_ID") if settings.cards == 1 else None
    devices = {rank: given.get("ASCEND_DEVICE_ID", own) for rank, given in environments.items()}
    absent = dict.fromkeys(TABLE + CHIEF + (RANK,))
    return Plan(
        settings,
        folder,
        list(environments),
        command(recipe, overrides, folder),
        {rank: {**absent, **values} for rank, values in environments.items()},
        {rank: device for rank, device in devices.items() if device},
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
    for_npus = bool(rank_table or chief)
    if len(given) > 1:
        raise WorkbookError(f"{' and '.join(given)} are given together: leave all but one out")
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
        for words in _refused(cards, settings):
            raise WorkbookError(
                f"cards is {cards}, which on one server uses {words}; for several servers give "
                "their --rank-table"
            )
        raise WorkbookError(
            f"{cards} NPUs need a rank table: make one with `deeplab-nb rank-table make --cards "
            f"{cards}` and give it with --rank-table, or give --chief"
        )


def _refused(count, settings):
    """What HCCL refuses of a server's first `count` cards."""
    hardware = ascend_profiles.chosen(settings.ascend_profile).hardware
    found = ascend_profiles.choice(list(range(count)), hardware)
    return [words for refused, words in found if refused]


# --- before a launch writes anything


def preflight(plan):
    """Looks for what ranks would miss and writes nothing. Raises WorkbookError for the first."""
    _check_cards(plan)
    check_inputs(plan.settings, plan.folder)


def check_inputs(settings, folder):
    """Raises WorkbookError where data or weights that a run reads are not there.

    folder: the run's; weights to start from are no matter once it has checkpoints.
    """
    settings = settings_module.resolve(settings)
    # made when it is needed
    drawn = settings.data_root == os.path.join(files.ROOT, settings_module.Settings().data_root)
    if drawn and not settings.initial_checkpoint:
        return  # before TensorFlow is imported
    from deeplab_nb.data import voc
    from deeplab_nb.data.records import existing_shards
    from deeplab_nb.network.checkpoints import find_checkpoint, newest_checkpoint

    if not drawn:
        for name in [settings.train_list] + [settings.val_list] * bool(settings.validate_every):
            if not existing_shards(settings.data_root, name):
                voc.read_list(voc.check_root(settings.data_root), name)
    if settings.initial_checkpoint and not newest_checkpoint(os.path.join(folder, "train")):
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
    tool = os.path.join(os.path.dirname(sys.executable), "deeplab-nb")
    return [tool] + words("train", recipe, overrides, os.path.join(folder, "train"))


def words(kind, recipe, overrides, folder):
    """The command `train` or `launch`, without the tool's name."""
    settings = [word for pair in overrides.items() for word in ("--set", "{}={}".format(*pair))]
    return [kind, recipe.name, *settings, "--out", folder]


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
    cards, here = settings.cards, here or min(settings.cards, 8)
    server = 0 if here == cards and server is None else server
    _check_chief(settings, chief, here, server)
    host, _, port = chief.rpartition(":")
    together = {
        "CM_CHIEF_IP": host,
        "CM_CHIEF_PORT": port,
        "CM_CHIEF_DEVICE": "0",
        "CM_WORKER_SIZE": str(cards),
        "JOB_ID": "deeplab_nb",
        "CM_WORKER_IP": server_ip or (this_machine.own_address() if server else host),
        "HCCL_CONNECT_TIMEOUT": _patience(),
    }
    return {
        rank: {**together, "ASCEND_DEVICE_ID": str(rank % here), RANK: str(rank)}
        for rank in range(server * here, (server + 1) * here)
    }


def _check_chief(settings, chief, here, server):
    profile, refused = ascend_profiles.chosen(settings.ascend_profile), _refused(here, settings)
    cards, servers, (host, _, port) = settings.cards, settings.cards // here, chief.rpartition(":")
    why = None
    if not profile.starts_without_table:
        why = (
            "a start without rank table is for 910 and A2 with CANN 8 or newer, not for "
            f"{profile.name}: give --rank-table, or this machine's --ascend-profile"
        )
    elif not (host and are_addresses(host) and is_number(port) and int(port) <= 65520):
        why = f"{chief} is no IP:PORT with a port of 0 to 65520: give such as 10.0.0.10:6000"
    elif servers * here != cards:
        why = f"{cards} cards are not {here} on each server: say with --here how many are"
    elif refused:
        why = f"each server uses {', '.join(refused)}"
    elif server not in range(servers):
        why = (
            f"{cards} cards are {here} on each of {servers} servers: say with --server 0 to "
            f"{servers - 1} which this machine is"
        )
    if why:
        raise WorkbookError(f"--chief: {why}")


def _patience():
    return os.environ.get("HCCL_CONNECT_TIMEOUT", HCCL_CONNECT_TIMEOUT)


def _without_table(settings, addresses, server):
    """Environments by rank of CPUs or GPUs, or of one card."""
    if settings.cards == 1:
        return {0: environment(0, 1)}
    addresses = addresses or this_machine.free_addresses(settings.cards)
    hosts = [address.rsplit(":", 1)[0] for address in addresses]
    names = list(dict.fromkeys(hosts))  # in the order they come up
    said = f"the addresses are of {len(names)} hosts, {', '.join(names)}"
    host = names[this_machine.place_among(names, server, said)]
    ranks = [rank for rank in range(settings.cards) if hosts[rank] == host]
    values = {rank: environment(rank, settings.cards, addresses=addresses) for rank in ranks}
    if settings.device == "gpu":
        for place, rank in enumerate(ranks):
            values[rank]["CUDA_VISIBLE_DEVICES"] = str(place)
    return values


def text(plan):
    """What each rank would run, a line a rank, as one could type it."""
    lines = []
    for values in plan.environments.values():
        given = [f"{name}={shlex.quote(text)}" for name, text in sorted(values.items()) if text]
        lines.append(" ".join(given + list(map(shlex.quote, plan.command))))
    return "\n".join(lines)
