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
from deeplab_nb.launch import rank_table_form as forms
from deeplab_nb.launch import rank_table_rules as rules
from deeplab_nb.launch.rank_table_form import Card

HCCN_CONF = "/etc/hccn.conf"
CARDS_A_SERVER = 8

# path: the file; cards: every `Card` in the order of ranks; hardware: those of '910', 'a2' and 'a3'
# that take the table; warnings: sentences; content: the file's object
RankTable = collections.namedtuple("RankTable", "path cards hardware warnings content")


def read(path, profile=None):
    """The `RankTable` of a file in either form, checked for an Ascend profile by name.

    'auto' is this machine's, unless the table's form is for other hardware; None any that takes it.
    Raises WorkbookError for the first thing that HCCL refuses.
    """
    return _judged(path, forms.load(path), profile)


def _judged(path, content, profile=None):
    cards = forms.cards_of(path, content)
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
    said = [sentence + (f" (on {', '.join(on)})" if len(on) < len(taking) else "")
            for sentence, on in warnings.items()]
    said += [f"{error} (refused on {hardware.upper()})" for hardware, error in refusals.items()]
    return RankTable(os.path.abspath(path), sorted(cards, key=lambda card: card.rank), taking, said,
                     content)


def is_older(table):
    """Whether a table has the form with `group_list`."""
    return forms.is_older(table.content)


def servers(table):
    """[(server id, [Card])] in the order of ranks."""
    found = collections.OrderedDict()
    for card in table.cards:
        found.setdefault(card.server, []).append(card)
    return list(found.items())


def make(path, count=CARDS_A_SERVER, *, first=0, devices=None, profile="auto", server=None,
         super_pod=None, super_devices=None, conf=HCCN_CONF, tool="hccn_tool", smi="npu-smi"):
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
    for refused, words in rules.choice(devices, hardware):
        if refused or hardware == "910":  # none is made against the guide, though HCCL may take it
            raise WorkbookError(f"{asked} uses {words}")
    known = addresses(devices, conf=conf, tool=tool, needed=hardware == "910")
    server = server or own_address()
    members = [{"device_id": str(device), "device_ip": known.get(device, ""), "rank_id": str(rank)}
               for rank, device in enumerate(devices)]
    content = _content([{"server_id": server, "device": members}])
    if super_pod:
        numbers = super_devices or [_super_device(device, smi) for device in devices]
        if len(numbers) != len(devices):
            raise WorkbookError(f"--super-devices gives {len(numbers)} numbers for {len(devices)} "
                                "cards: give one a card")
        for member, number in zip(members, numbers):
            member["super_device_id"] = number
        content.update(version="1.2", super_pod_list=[
            {"super_pod_id": super_pod, "server_list": [{"server_id": server}]}])
    return _write(path, content, profile)


def merge(path, tables, profile=None):
    """Writes one table of several servers' `RankTable`s, ranks in the order given, and returns it.

    A single table in the older form becomes one of version 1.0. Super pods of one name become one.
    Raises WorkbookError for tables of two versions, and as `read` and `make` do.
    """
    listed, pods, first = [], collections.OrderedDict(), 0
    for table in tables:
        for server in _servers_of(table):
            listed.append(dict(server, device=[
                dict(device, rank_id=str(first + int(device["rank_id"])))
                for device in server["device"]]))
        for pod in table.content.get("super_pod_list", ()):
            pods.setdefault(pod["super_pod_id"], []).extend(pod["server_list"])
        first += len(table.cards)
    versions = {table.content.get("version", "1.0"): table.path for table in tables}
    if len(versions) > 1:
        raise WorkbookError(f"{' and '.join(versions.values())} are of versions "
                            f"{' and '.join(versions)}: make all with --super-pod, or none")
    # of the two words 'initializing' is the larger
    content = _content(listed, *versions, status=max(table.content["status"] for table in tables))
    if pods:
        content["super_pod_list"] = [{"super_pod_id": pod, "server_list": members}
                                     for pod, members in pods.items()]
    return _write(path, content, profile)


def show(table):
    """The table as text, a line a card."""
    lines = [f"{'rank':>4s}  {'server':24s} {'device':>6s}  address"]
    for card in table.cards:
        number = card.members.get("super_device_id")
        lines.append(f"{card.rank:4d}  {card.server:24s} {card.device:6d}  {card.address or '-'}"
                     + (f"  super device {number}" if number else ""))
    count = f"{_count(len(table.cards), 'card')} on {_count(len(servers(table)), 'server')}"
    pods = [f"super pod {pod['super_pod_id']}: "
            + ", ".join(server["server_id"] for server in pod["server_list"])
            for pod in table.content.get("super_pod_list", ())]
    return "\n".join(lines + [count] + pods)


def addresses(devices, *, conf=HCCN_CONF, tool="hccn_tool", needed=True):
    """{device: its network address}, from `hccn_tool` where there is one, else from /etc/hccn.conf.

    Raises WorkbookError naming the device that has none, if they are needed.
    """
    source = tool if shutil.which(tool) else conf
    if source == tool:
        found = _from_tool(devices, tool)
    else:
        found = _from_conf(conf) if needed or os.path.exists(conf) else {}
    for device in devices if needed else ():
        if device not in found:
            raise WorkbookError(
                f"{source} holds no address of card {device}: set it with `hccn_tool -i {device} "
                "-ip -s address IP netmask MASK`, or name fewer cards")
    return found


def check_addresses(table, server, known):
    """Raises WorkbookError if a server's card has another address than this machine gives it."""
    for card in table.cards:
        own = known.get(card.device)
        if card.server == server and card.address and own and own not in card.address.split(","):
            raise WorkbookError(
                f"{table.path} gives card {card.device} of server {server} the address "
                f"{card.address}, this machine {own}: make the table anew on this server")


def own_address():
    """This machine's address as others see it. Raises WorkbookError where its name is its own."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "unknown"
    if address == "unknown" or address.startswith("127."):
        raise WorkbookError(f"the address of {socket.gethostname()} is {address}: give the one "
                            "that other servers reach it by with --server-ip")
    return address


def _said_by(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, universal_newlines=True).stdout


def _from_tool(devices, tool):
    """From lines such as 'ipaddr:192.168.100.101'."""
    texts = {device: _said_by(tool, "-i", str(device), "-ip", "-g") for device in devices}
    found = [(device, re.search(r"ipaddr\s*:\s*(\S+)", text)) for device, text in texts.items()]
    return {device: match.group(1) for device, match in found if match}


def _from_conf(conf):
    """From lines such as 'address_0=192.168.100.101'."""
    try:
        with open(conf) as file:
            matches = re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE)
    except OSError as error:
        raise WorkbookError(f"{conf} cannot be read ({error.strerror}) and hccn_tool is not on the "
                            "path: run this on the server with the cards, or name its copy with "
                            "--hccn-conf")
    return {int(device): address for device, address in matches}


def _super_device(device, smi):
    """The SDID of a card of an A3; that its NPU of two dies is `device // 2` is inferred."""
    match = re.search(r"SDID\s*:\s*(\d+)", _said_by(
        smi, "info", "-t", "spod-info", "-i", str(device // 2), "-c", str(device % 2))
                      if shutil.which(smi) else "")
    if not match:
        raise WorkbookError(f"{smi} tells no SDID of card {device}: give those of all cards with "
                            "--super-devices")
    return match.group(1)


def _content(listed, version="1.0", status="completed"):
    return {"version": version, "server_count": str(len(listed)), "server_list": listed,
            "status": status}


def _servers_of(table):
    if not is_older(table):
        return table.content["server_list"]
    return [{"server_id": server, "device": [
        {"device_id": str(card.device), "device_ip": card.address, "rank_id": str(card.rank)}
        for card in cards]} for server, cards in servers(table)]


def _write(path, content, profile):
    table = _judged(path, content, profile)
    if os.path.lexists(path):
        try:
            same = forms.load(path) == content
        except WorkbookError:
            same = False
        if not same:
            raise WorkbookError(f"{path} exists and is another table: give another name with "
                                "--out, or delete it")
    try:
        write_json(path, content)
    except OSError as error:
        raise WorkbookError(f"{path} cannot be written ({error.strerror}): give another place "
                            "with --out")
    return table


def _count(number, what):
    return f"{number} {what}{'' if number == 1 else 's'}"
