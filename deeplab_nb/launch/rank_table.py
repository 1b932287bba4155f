"""Rank tables: which card of which server is which rank, for Huawei's collectives (HCCL).

Written in the form with `server_list`, version 1.0; the older one with `group_list` is read too. A table is the same
file on every server. Forms and rules: the guide of CANN 5.0 on training with several cards.
"""
import collections
import os
import re
import shutil
import socket
import subprocess

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_json
from deeplab_nb.launch import rank_table_rules
from deeplab_nb.launch.rank_table_rules import Card

HCCN_CONF = "/etc/hccn.conf"
CARDS_A_SERVER = 8

# path: the file; cards: every `Card` in the order of ranks; older: in the form with `group_list`
RankTable = collections.namedtuple("RankTable", "path cards older")


def read(path):
    """The `RankTable` of a file in either form, checked. Raises WorkbookError for the first broken rule."""
    return RankTable(os.path.abspath(path), *rank_table_rules.cards_of(path))


def servers(table):
    """[(server id, [Card])] in the order of ranks."""
    found = collections.OrderedDict()
    for card in table.cards:
        found.setdefault(card.server, []).append(card)
    return list(found.items())


def make(path, count=CARDS_A_SERVER, *, first=0, server=None, conf=HCCN_CONF, tool="hccn_tool"):
    """Writes the table of `count` cards of this server, those from device `first` on, and reads it back.

    server: this server's address, by which others know it; None looks it up. conf, tool: where the cards' own
    addresses come from, see `addresses`. Raises WorkbookError where one is missing, or for a forbidden choice of cards.
    """
    devices = range(first, first + count)
    rank_table_rules.check_devices("--cards {} --first {}".format(count, first), list(devices))
    known, server = addresses(devices, conf=conf, tool=tool), server or own_address()
    return _write(path, [Card(server, device, known[device], rank) for rank, device in enumerate(devices)])


def merge(path, tables):
    """Writes one table of several servers' `RankTable`s, ranks in the order given, and reads it back.

    A single table in the older form becomes one of version 1.0.
    """
    owners = {}
    for table in tables:
        for server, _ in servers(table):
            if server in owners:
                raise WorkbookError("{} and {} both hold server {}: give each server's table once, made on that server".format(
                    owners[server], table.path, server))
            owners[server] = table.path
    cards = [card for table in tables for card in table.cards]
    return _write(path, [card._replace(rank=rank) for rank, card in enumerate(cards)])


def show(table):
    """The table as text, a line a card."""
    lines = ["{:>4s}  {:24s} {:>6s}  {}".format("rank", "server", "device", "address")]
    lines += ["{:4d}  {:24s} {:6d}  {}".format(card.rank, card.server, card.device, card.address) for card in table.cards]
    return "\n".join(lines + ["{} on {}".format(_count(len(table.cards), "card"), _count(len(servers(table)), "server"))])


def addresses(devices, *, conf=HCCN_CONF, tool="hccn_tool"):
    """{device: its network address}, from `hccn_tool` where there is one, else from /etc/hccn.conf.

    Raises WorkbookError naming the device that has none.
    """
    found = _from_tool(devices, tool) if shutil.which(tool) else _from_conf(conf)
    for device in devices:
        if device not in found:
            raise WorkbookError("{} holds no address of card {}: set it with `hccn_tool -i {} -ip -s address IP netmask MASK`, "
                                "or name fewer cards".format(tool if shutil.which(tool) else conf, device, device))
    return found


def check_addresses(table, server, known):
    """Raises WorkbookError if a card of the table's server has another address than this machine gives it."""
    for card in table.cards:
        if card.server == server and known.get(card.device, card.address) != card.address:
            raise WorkbookError("{} gives card {} of server {} the address {}, this machine {}: make the table anew on this server".format(
                table.path, card.device, server, card.address, known[card.device]))


def own_address():
    """This machine's address as others see it. Raises WorkbookError where its name leads to itself alone."""
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = "unknown"
    if address == "unknown" or address.startswith("127."):
        raise WorkbookError("the address of {} is {}: give the one that other servers reach it by with --server-ip".format(
            socket.gethostname(), address))
    return address


def _from_tool(devices, tool):
    """From lines such as 'ipaddr:192.168.100.101'."""
    found = {}
    for device in devices:
        done = subprocess.run([tool, "-i", str(device), "-ip", "-g"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        match = re.search(r"ipaddr\s*:\s*(\S+)", done.stdout)
        if match:
            found[device] = match.group(1)
    return found


def _from_conf(conf):
    """From lines such as 'address_0=192.168.100.101'."""
    try:
        with open(conf) as file:
            matches = re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE)
    except OSError as error:
        raise WorkbookError("{} cannot be read ({}) and hccn_tool is not on the path: run this on the server with the cards, "
                            "or name its copy with --hccn-conf".format(conf, error.strerror))
    return {int(device): address for device, address in matches}


def _write(path, cards):
    groups = servers(RankTable(path, cards, older=False))
    listed = [{"server_id": server, "device": [
        {"device_id": str(card.device), "device_ip": card.address, "rank_id": str(card.rank)} for card in members]}
        for server, members in groups]
    rank_table_rules.check_cards(path, cards)
    write_json(path, {"version": "1.0", "server_count": str(len(listed)), "server_list": listed, "status": "completed"})
    return read(path)


def _count(number, what):
    return "{} {}{}".format(number, what, "" if number == 1 else "s")
