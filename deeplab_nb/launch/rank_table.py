"""Rank tables: which card of which server is which rank, for Huawei's collectives (HCCL).

Written in the form with `server_list`: version 1.0, or 1.2 with super pods for A3; the older one
with `group_list` is read too. A table is the same file on every server. Not run on hardware.
"""

import collections
import os
import shlex
import shutil

from deeplab_nb import ascend_profiles
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json
from deeplab_nb.launch import rank_table_form as form, rank_table_rules as rules
from deeplab_nb.launch.this_machine import (
    HCCN_CONF,
    addresses,
    own_address,
    place_among,
    super_device,
)

CARDS_A_SERVER = 8

# path: the file; cards: every `Card` in the order of ranks; hardware: those of '910', 'a2' and 'a3'
# that take the table; warnings: sentences; content: the file's object
RankTable = collections.namedtuple("RankTable", "path cards hardware warnings content")


# --- read


def read(path, profile=None):
    """The `RankTable` of a file in either form, checked for an Ascend profile by name.

    'auto' is this machine's, unless the table's form is for other hardware; None any that takes it.
    Raises WorkbookError for the first thing that HCCL refuses.
    """
    return _judged(path, form.load(path), profile)


def _judged(path, content, profile=None):
    cards = form.cards_of(path, content)
    if os.path.abspath(path).partition(".json")[1:] != (".json", ""):
        raise WorkbookError(
            f"{path} does not end in .json, or has it elsewhere too, so that HCCL does not open "
            "it: give another name"
        )
    asked = found = rules.made_for(content, cards)
    if profile:
        own = ascend_profiles.chosen(profile).hardware
        asked = (own,) if own in found or profile != "auto" else found
    judged = [(each, *rules.judge(path, content, cards, each)) for each in asked]
    taking = [hardware for hardware, refusal, _ in judged if not refusal]
    if not taking:
        raise WorkbookError(judged[-1][1])
    warnings = collections.defaultdict(list)
    for hardware, refusal, sentences in judged:
        for sentence in () if refusal else sentences:
            warnings[sentence].append(hardware.upper())
    sentences = [
        sentence if len(on) == len(taking) else f"{sentence} (on {', '.join(on)})"
        for sentence, on in warnings.items()
    ]
    sentences += [
        f"{refusal} (refused on {hardware.upper()})" for hardware, refusal, _ in judged if refusal
    ]
    return RankTable(
        os.path.abspath(path), sorted(cards, key=lambda card: card.rank), taking, sentences, content
    )


def servers(table):
    """[(server id, [Card])] in the order of ranks."""
    return list(form.by_server(table.cards).items())


def show(table):
    """The table as text, a line a card."""
    lines = [f"{'rank':>4s}  {'server':24s} {'device':>6s}  address"]
    for card in table.cards:
        number = card.members.get("super_device_id")
        lines.append(
            f"{card.rank:4d}  {card.server:24s} {card.device:6d}  {card.address or '-'}"
            + (f"  super device {number}" if number else "")
        )
    lines.append(f"{_count(table.cards, 'card')} on {_count(servers(table), 'server')}")
    for pod in table.content.get("super_pod_list", ()):
        ids = ", ".join(server["server_id"] for server in pod["server_list"])
        lines.append(f"super pod {pod['super_pod_id']}: {ids}")
    return "\n".join(lines)


def _count(items, what):
    return f"{len(items)} {what}{'' if len(items) == 1 else 's'}"


# --- for a launch


def of_launch(settings, path):
    """The table that a launch goes by. Raises WorkbookError for one that it cannot go by."""
    table = read(path, settings.ascend_profile)
    if not table.cards:  # 'initializing'
        raise WorkbookError(table.warnings[0])
    if form.is_older(table.content):
        raise WorkbookError(
            f"{table.path} has the older form, whose ranks go by the names of pods: make it "
            f"version 1.0 with `deeplab-nb rank-table merge {shlex.quote(path)} --out NEW.json`"
        )
    if len(table.cards) != settings.cards:
        raise WorkbookError(
            f"{table.path} holds {len(table.cards)} cards, the settings say {settings.cards}: give "
            f"--cards {len(table.cards)}, or the table of the cards you mean"
        )
    return table


def cards_here(table, server, conf=HCCN_CONF, tool="hccn_tool"):
    """The table's cards in this machine; their addresses are compared where it knows them."""
    listed = servers(table)
    said = f"{table.path} lists {len(listed)} servers"
    name, cards = listed[place_among(listed, server, said)]
    if os.path.exists(conf) or shutil.which(tool):
        known = addresses([card.device for card in cards if card.address], conf=conf, tool=tool)
        check_addresses(table, name, known)
    return cards


def check_addresses(table, server, known):
    """Raises WorkbookError if a server's card has another address than this machine gives it."""
    for card in table.cards:
        own = known.get(card.device)
        if card.server == server and card.address and own and own not in card.address.split(","):
            raise WorkbookError(
                f"{table.path} gives card {card.device} of server {server} the address "
                f"{card.address}, this machine {own}: make the table anew on this server"
            )


# --- write


def make(
    path,
    count=CARDS_A_SERVER,
    *,
    first=0,
    devices=None,
    profile="auto",
    server=None,
    super_pod=None,
    super_devices=None,
    conf=HCCN_CONF,
    tool="hccn_tool",
):
    """Writes the table of this server's cards and returns it.

    devices: their numbers; None takes `count` of them from `first` on. profile: an Ascend profile.
    server: this server's address, by which others know it; None looks it up. super_pod: name of the
    A3's super pod, which makes the table one of version 1.2; super_devices: the cards' SDIDs, None
    asks npu-smi. conf, tool: where the cards' own addresses come from, see `addresses`.
    Raises WorkbookError where one is missing, for a forbidden choice of cards, or if another file
    is there.
    """
    asked = f"--cards {count} --first {first}" if not devices else "--devices"
    devices = devices or list(range(first, first + count))
    hardware = "a3" if super_pod else ascend_profiles.chosen(profile).hardware
    for refused, words in ascend_profiles.choice(devices, hardware):
        if refused or hardware == "910":  # none is made against the guide, though HCCL may take it
            raise WorkbookError(f"{asked} uses {words}")
    known = addresses(devices, conf=conf, tool=tool, needed=hardware == "910")
    server = server or own_address()
    members = [_device(device, known.get(device, ""), rank) for rank, device in enumerate(devices)]
    listed = [{"server_id": server, "device": members}]
    if not super_pod:
        return _write(path, profile, listed)
    numbers = super_devices or list(map(super_device, devices))
    if len(numbers) != len(devices):
        raise WorkbookError(
            f"--super-devices gives {len(numbers)} numbers for {len(devices)} cards: give one a "
            "card"
        )
    for member, number in zip(members, numbers):
        member["super_device_id"] = number
    return _write(path, profile, listed, "1.2", pods={super_pod: [{"server_id": server}]})


def merge(path, tables, profile=None):
    """Writes one table of several servers' `RankTable`s, ranks in the order given, and returns it.

    A single table in the older form becomes one of version 1.0. Super pods of one name become one.
    Raises WorkbookError for tables of two versions, and as `read` and `make` do.
    """
    listed, pods, first = [], {}, 0
    for table in tables:
        for server in _servers_of(table):
            devices = [
                dict(device, rank_id=str(first + int(device["rank_id"])))
                for device in server["device"]
            ]
            listed.append(dict(server, device=devices))
        for pod in table.content.get("super_pod_list", ()):
            pods.setdefault(pod["super_pod_id"], []).extend(pod["server_list"])
        first += len(table.cards)
    versions = {table.content.get("version", "1.0"): table.path for table in tables}
    if len(versions) > 1:
        raise WorkbookError(
            f"{' and '.join(versions.values())} are of versions {' and '.join(versions)}: make "
            "all with --super-pod, or none"
        )
    # of the two words 'initializing' is the larger
    status = max(table.content["status"] for table in tables)
    return _write(path, profile, listed, *versions, status=status, pods=pods)


def _servers_of(table):
    if not form.is_older(table.content):
        return table.content["server_list"]
    return [
        {
            "server_id": server,
            "device": [_device(card.device, card.address, card.rank) for card in cards],
        }
        for server, cards in servers(table)
    ]


def _device(number, address, rank):
    return {"device_id": str(number), "device_ip": address, "rank_id": str(rank)}


def _write(path, profile, listed, version="1.0", *, status="completed", pods=None):
    """listed: of the servers; pods: {id of a super pod: its servers}."""
    content = {
        "version": version,
        "server_count": str(len(listed)),
        "server_list": listed,
        "status": status,
    }
    if pods:
        content["super_pod_list"] = [
            {"super_pod_id": pod, "server_list": members} for pod, members in pods.items()
        ]
    table = _judged(path, content, profile)
    if os.path.lexists(path) and not _holds(path, content):
        raise WorkbookError(
            f"{path} exists and is another table: give another name with --out, or move it away"
        )
    write_json(path, content)
    return table


def _holds(path, content):
    try:
        return form.load(path) == content
    except WorkbookError:
        return False
