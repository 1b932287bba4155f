"""Rank tables: which card of which server is which rank, for Huawei's collectives (HCCL).

Written in the form with `server_list`: version 1.0, or 1.2 with super pods for A3; the older one
with `group_list` is read too. A table is the same file on every server. Not run on hardware.
"""

import collections
import json
import os
import re
import shutil
import socket
import subprocess

from deeplab_nb import ascend_profiles
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json
from deeplab_nb.launch import rank_table_form as form, rank_table_rules as rules
from deeplab_nb.launch.rank_table_form import ANEW, cards_of, said

HCCN_CONF = "/etc/hccn.conf"
CARDS_A_SERVER = 8
MOST = 1 << 24  # characters of a file; 100,000 cards take fewer

# path: the file; cards: every `Card` in the order of ranks; hardware: those of '910', 'a2' and 'a3'
# that take the table; warnings: sentences; content: the file's object
RankTable = collections.namedtuple("RankTable", "path cards hardware warnings content")


# --- read


def read(path, profile=None):
    """The `RankTable` of a file in either form, checked for an Ascend profile by name.

    'auto' is this machine's, unless the table's form is for other hardware; None any that takes it.
    Raises WorkbookError for the first thing that HCCL refuses.
    """
    return _judged(path, load(path), profile)


def load(path):
    """The object in a file. Raises WorkbookError where there is none."""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(0, "no regular file")
        with open(path, encoding="utf-8-sig") as file:
            text = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise WorkbookError(
            f"rank table {path} cannot be read ({why}): correct the path, or {ANEW}"
        )
    try:
        if len(text) > MOST:
            raise ValueError("it is too long")
        table = json.loads(text, object_pairs_hook=lambda pairs: _object(path, pairs))
    except (RecursionError, ValueError) as error:
        comment = next((mark for mark in ("//", "/*", "#") if mark in text), None)
        remedy = f"take out the comment '{comment}', JSON has none" if comment else ANEW
        raise WorkbookError(f"{path} is no JSON ({error}): {remedy}")
    if not isinstance(table, dict) or not {"server_list", "group_list"} & set(table):
        raise WorkbookError(
            f"{path} holds {said(table)}, neither server_list nor group_list: "
            f"it is no rank table, {ANEW}"
        )
    return table


def _object(path, pairs):
    for name, count in collections.Counter(name for name, _ in pairs).items():
        if count > 1:
            raise WorkbookError(
                f"{path}: {said(name)} is there {count} times in one object: leave the right one"
            )
    return dict(pairs)


def _judged(path, content, profile=None):
    cards = cards_of(path, content)
    asked = found = rules.made_for(content, cards)
    if profile:
        own = ascend_profiles.chosen(profile).hardware
        asked = (own,) if own in found or profile != "auto" else found
    warnings, refusals = collections.OrderedDict(), {}
    for hardware in asked:
        try:
            for sentence in rules.judge(path, content, cards, hardware):
                warnings.setdefault(sentence, []).append(hardware.upper())
        except WorkbookError as error:
            refusals[hardware] = error
    taking = [hardware for hardware in asked if hardware not in refusals]
    if not taking:
        raise refusals[asked[-1]]
    sentences = [
        sentence + (f" (on {', '.join(on)})" if len(on) < len(taking) else "")
        for sentence, on in warnings.items()
    ]
    sentences += [
        f"{error} (refused on {hardware.upper()})" for hardware, error in refusals.items()
    ]
    return RankTable(
        os.path.abspath(path), sorted(cards, key=lambda card: card.rank), taking, sentences, content
    )


def is_older(table):
    """Whether a table has the form with `group_list`."""
    return form.is_older(table.content)


def servers(table):
    """[(server id, [Card])] in the order of ranks."""
    found = collections.OrderedDict()
    for card in table.cards:
        found.setdefault(card.server, []).append(card)
    return list(found.items())


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
    smi="npu-smi",
):
    """Writes the table of this server's cards and returns it.

    devices: their numbers; None takes `count` of them from `first` on. profile: an Ascend profile.
    server: this server's address, by which others know it; None looks it up. super_pod: name of the
    A3's super pod, which makes the table one of version 1.2; super_devices: the cards' SDIDs, None
    asks `smi`. conf, tool: where the cards' own addresses come from, see `addresses`.
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
    members = [
        {"device_id": str(device), "device_ip": known.get(device, ""), "rank_id": str(rank)}
        for rank, device in enumerate(devices)
    ]
    content = _content([{"server_id": server, "device": members}])
    if super_pod:
        numbers = super_devices or [_super_device(device, smi) for device in devices]
        if len(numbers) != len(devices):
            raise WorkbookError(
                f"--super-devices gives {len(numbers)} numbers for {len(devices)} "
                "cards: give one a card"
            )
        for member, number in zip(members, numbers):
            member["super_device_id"] = number
        content.update(
            version="1.2",
            super_pod_list=[{"super_pod_id": super_pod, "server_list": [{"server_id": server}]}],
        )
    return _write(path, content, profile)


def merge(path, tables, profile=None):
    """Writes one table of several servers' `RankTable`s, ranks in the order given, and returns it.

    A single table in the older form becomes one of version 1.0. Super pods of one name become one.
    Raises WorkbookError for tables of two versions, and as `read` and `make` do.
    """
    listed, pods, first = [], collections.OrderedDict(), 0
    for table in tables:
        for server in _servers_of(table):
            listed.append(
                dict(
                    server,
                    device=[
                        dict(device, rank_id=str(first + int(device["rank_id"])))
                        for device in server["device"]
                    ],
                )
            )
        for pod in table.content.get("super_pod_list", ()):
            pods.setdefault(pod["super_pod_id"], []).extend(pod["server_list"])
        first += len(table.cards)
    versions = {table.content.get("version", "1.0"): table.path for table in tables}
    if len(versions) > 1:
        raise WorkbookError(
            f"{' and '.join(versions.values())} are of versions "
            f"{' and '.join(versions)}: make all with --super-pod, or none"
        )
    # of the two words 'initializing' is the larger
    content = _content(listed, *versions, status=max(table.content["status"] for table in tables))
    if pods:
        content["super_pod_list"] = [
            {"super_pod_id": pod, "server_list": members} for pod, members in pods.items()
        ]
    return _write(path, content, profile)


def _servers_of(table):
    if not is_older(table):
        return table.content["server_list"]
    return [
        {
            "server_id": server,
            "device": [
                {
                    "device_id": str(card.device),
                    "device_ip": card.address,
                    "rank_id": str(card.rank),
                }
                for card in cards
            ],
        }
        for server, cards in servers(table)
    ]


def _content(listed, version="1.0", status="completed"):
    return {
        "version": version,
        "server_count": str(len(listed)),
        "server_list": listed,
        "status": status,
    }


def _write(path, content, profile):
    table = _judged(path, content, profile)
    if os.path.lexists(path) and not _holds(path, content):
        raise WorkbookError(
            f"{path} exists and is another table: give another name with --out, or delete it"
        )
    write_json(path, content)
    return table


def _holds(path, content):
    try:
        return load(path) == content
    except WorkbookError:
        return False


# --- ask this machine


def addresses(devices, *, conf=HCCN_CONF, tool="hccn_tool", needed=True):
    """{device: its network address}, from `hccn_tool` where there is one, else from /etc/hccn.conf.

    Raises WorkbookError naming the device that has none, if they are needed.
    """
    source = tool if shutil.which(tool) else conf
    if source == tool:  # lines such as 'ipaddr:192.168.100.101'
        texts = {device: _said_by(tool, "-i", str(device), "-ip", "-g") for device in devices}
        found = [(device, re.search(r"ipaddr\s*:\s*(\S+)", text)) for device, text in texts.items()]
        found = {device: match.group(1) for device, match in found if match}
    else:
        found = _from_conf(conf) if needed or os.path.exists(conf) else {}
    for device in devices if needed else ():
        if device not in found:
            raise WorkbookError(
                f"{source} holds no address of card {device}: set it with `hccn_tool -i {device} "
                "-ip -s address IP netmask MASK`, or name fewer cards"
            )
    return found


def read_conf(path):
    """{device: address} of lines such as 'address_0=192.168.100.101'. Raises OSError."""
    with open(path) as file:
        found = re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE)
    return {int(device): address for device, address in found}


def _from_conf(conf):
    try:
        return read_conf(conf)
    except OSError as error:
        raise WorkbookError(
            f"{conf} cannot be read ({error.strerror}) and hccn_tool is not on the "
            "path: run this on the server with the cards, or name its copy with "
            "--hccn-conf"
        )


def check_addresses(table, server, known):
    """Raises WorkbookError if a server's card has another address than this machine gives it."""
    for card in table.cards:
        own = known.get(card.device)
        if card.server == server and card.address and own and own not in card.address.split(","):
            raise WorkbookError(
                f"{table.path} gives card {card.device} of server {server} the address "
                f"{card.address}, this machine {own}: make the table anew on this server"
            )


def own_address():
    """This machine's address as others see it. Raises WorkbookError where its name is its own."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "unknown"
    if address == "unknown" or address.startswith("127."):
        raise WorkbookError(
            f"the address of {socket.gethostname()} is {address}: give the one "
            "that other servers reach it by with --server-ip"
        )
    return address


def _super_device(device, smi):
    """The SDID of a card of an A3; that its NPU of two dies is `device // 2` is inferred."""
    number, die = divmod(device, 2)
    told = shutil.which(smi) and re.search(
        r"SDID\s*:\s*(\d+)",
        _said_by(smi, "info", "-t", "spod-info", "-i", str(number), "-c", str(die)),
    )
    if not told:
        raise WorkbookError(
            f"{smi} tells no SDID of card {device}: give those of all cards with --super-devices"
        )
    return told.group(1)


def _said_by(*words):
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout
