"""The rules of a rank table, each broken one a sentence with file, value and remedy.

Two forms: version 1.0 with `server_list`, and the older one with `group_list`, of which a variant from the makers'
laboratory counts `device_num` and gives each instance a `rank_id`. What else a file holds is let pass.
"""
import collections
import ipaddress
import json

from deeplab_nb.errors import WorkbookError

# server: its id; device: number of the card in it; address: of the card's own network port; rank: global
Card = collections.namedtuple("Card", "server device address rank")

ANEW = "make the table anew with `deeplab-nb rank-table make`"


def cards_of(path):
    """`(cards, older)`: every `Card` of a file in the order of ranks, and whether it has the older form.

    Raises WorkbookError for the first broken rule.
    """
    table = _load(path)
    _check_texts(path, table)
    _check_status(path, table)
    if "server_list" in table:
        cards = _cards_of_servers(path, table)
    elif "group_list" in table:
        cards = _cards_of_groups(path, table)
    else:
        raise WorkbookError("{} has neither server_list nor group_list: it is no rank table, {}".format(path, ANEW))
    check_cards(path, cards)
    return sorted(cards, key=lambda card: card.rank), "server_list" not in table


def check_cards(path, cards):
    """The rules between cards: ranks, devices, addresses, counts."""
    if not cards:
        raise WorkbookError("{} lists no card: {}".format(path, ANEW))
    _check_ranks(path, [card.rank for card in cards])
    _check_unique(path, "address", [card.address for card in cards], "each card has an address of its own, see /etc/hccn.conf")
    by_server = collections.OrderedDict()
    for card in cards:
        by_server.setdefault(card.server, []).append(card.device)
    for server, devices in by_server.items():
        _check_unique(path, "device_id", devices, "a card runs one rank", " on server {}".format(server))
        check_devices("{}: server {}".format(path, server), devices)
        if len(by_server) > 1 and len(devices) != 8:
            raise WorkbookError("{}: server {} has {} of the {} cards: in a table of several servers each uses all its 8".format(
                path, server, len(devices), len(cards)))


def check_devices(where, devices):
    """Raises WorkbookError for a choice of one server's cards that HCCL does not take.

    Within 0..3 and within 4..7 cards are linked directly, between the two halves only through the PCIe switch.
    """
    if len(devices) not in (1, 2, 4, 8):
        raise WorkbookError("{} uses {} cards: a server's ranks can be 1, 2, 4 or 8".format(where, len(devices)))
    outside = [device for device in devices if not 0 <= device <= 7]
    if outside:
        raise WorkbookError("{} uses card {}: a server's cards are 0 to 7".format(where, outside[0]))
    if len(devices) in (2, 4) and len({device // 4 for device in devices}) > 1:
        raise WorkbookError("{} uses cards {}: {} cards must lie within 0-3 or within 4-7".format(
            where, ", ".join(map(str, devices)), len(devices)))


def _load(path):
    try:
        with open(path) as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise WorkbookError("rank table {} cannot be read ({}): correct the path, or {}".format(
            path, getattr(error, "strerror", None) or "not text", ANEW))
    try:
        table = json.loads(text)
    except ValueError as error:
        comment = next((mark for mark in ("//", "/*", "#") if mark in text), None)
        raise WorkbookError("{} is no JSON ({}): {}".format(
            path, error, "take out the comment '{}', JSON has none".format(comment) if comment else ANEW))
    if not isinstance(table, dict):
        raise WorkbookError("{} holds a {} where an object is expected: {}".format(path, type(table).__name__, ANEW))
    return table


def _check_texts(path, value, name="the table"):
    """Every value is a text, numbers too: HCCL refuses 0 where it expects "0"."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_texts(path, item, key)
    elif isinstance(value, list):
        for item in value:
            _check_texts(path, item, name)
    elif not isinstance(value, str):
        raise WorkbookError('{}: {} is {}: every value is a text, write "{}"'.format(path, name, json.dumps(value), value))


def _check_status(path, table):
    status = _get(path, table, "status", str, "the table")
    if status == "initializing":
        raise WorkbookError("{}: status is 'initializing': wait until the cluster's manager has filled it in".format(path))
    if status != "completed":
        raise WorkbookError("{}: status is '{}': a table that is ready says 'completed'".format(path, status))


def _cards_of_servers(path, table):
    version = _get(path, table, "version", str, "the table")
    if version != "1.0":
        raise WorkbookError("{}: version is '{}': tables with server_list are of version '1.0'".format(path, version))
    listed, cards, seen = _get(path, table, "server_list", list, "the table"), [], set()
    _check_count(path, table, "server_count", len(listed), "servers")
    for server in listed:
        server_id = _server_id(path, server)
        if server_id in seen:
            raise WorkbookError("{}: server_id {} is there twice: list each server once, with all its cards".format(path, server_id))
        seen.add(server_id)
        for device in _get(path, server, "device", list, "server " + server_id):
            cards.append(_card(path, server_id, device, _number(path, device, "rank_id", "a device of server " + server_id)))
    return cards


def _cards_of_groups(path, table):
    """An instance has its `rank_id`, or its cards are numbered in the order in which they stand."""
    groups, cards = _get(path, table, "group_list", list, "the table"), []
    _check_count(path, table, "group_count", len(groups), "groups")
    if len(groups) != 1:
        raise WorkbookError("{}: group_list has {} groups: training uses one, hccl_world_group".format(path, len(groups)))
    instances = _get(path, groups[0], "instance_list", list, "the group")
    for instance in instances:
        server = _server_id(path, instance)
        devices = _get(path, instance, "devices", list, "an instance of server " + server)
        if "rank_id" in instance and len(devices) != 1:
            raise WorkbookError("{}: the instance of rank_id {} has {} devices: a rank runs one".format(
                path, instance["rank_id"], len(devices)))
        for device in devices:
            rank = _number(path, instance, "rank_id", "an instance") if "rank_id" in instance else len(cards)
            cards.append(_card(path, server, device, rank))
    for name, count, what in (("instance_count", len(instances), "instances"), ("device_count", len(cards), "devices"),
                              ("device_num", len(cards), "devices"), ("server_num", len({card.server for card in cards}), "servers")):
        if name in groups[0]:
            _check_count(path, groups[0], name, count, what)
    return cards


def _card(path, server, device, rank):
    where = "a device of server " + server
    number, address = _number(path, device, "device_id", where), _get(path, device, "device_ip", str, where)
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise WorkbookError("{}: device_ip '{}' of card {} of server {} is no address: take address_{} of its /etc/hccn.conf".format(
            path, address, number, server, number))
    return Card(server, number, address, rank)


def _server_id(path, server):
    server_id = _get(path, server, "server_id", str, "a server")
    if not 0 < len(server_id) < 64:
        raise WorkbookError("{}: server_id '{}' has {} characters: give the server's address, or a name of 1 to 63".format(
            path, server_id, len(server_id)))
    return server_id


def _check_ranks(path, ranks):
    _check_unique(path, "rank_id", ranks, "ranks are numbered from 0 through all servers")
    missing = [rank for rank in range(len(ranks)) if rank not in ranks]
    if missing:
        raise WorkbookError("{}: rank_id {} is missing among {} cards: ranks are numbered from 0 without gaps".format(
            path, missing[0], len(ranks)))


def _check_unique(path, name, values, rule, where=""):
    for value, count in collections.Counter(values).items():
        if count > 1:
            raise WorkbookError("{}: {} {} is there {} times{}: {}".format(path, name, value, count, where, rule))


def _check_count(path, holder, name, count, what):
    if _number(path, holder, name, "the table") != count:
        raise WorkbookError("{}: {} is {}, but {} {} are listed: correct it or complete the list".format(
            path, name, holder[name], count, what))


def _number(path, holder, name, where):
    text = _get(path, holder, name, str, where)
    if not (text.isascii() and text.isdigit()):
        raise WorkbookError("{}: {} '{}' of {} is no number: {}".format(path, name, text, where, ANEW))
    return int(text)


def _get(path, holder, name, kind, where):
    """holder[name] if it is of this kind; what is missing is named."""
    value = holder.get(name) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise WorkbookError("{}: {} has no {}{}: {}".format(path, where, name, " that is a list" if kind is list else "", ANEW))
    return value
