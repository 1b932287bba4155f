"""A rank table's file, its form and its cards: each member of another form a sentence.

Forms: `server_list`, version 1.0, or 1.2 with the super pods of A3; and the 910's older one with
`group_list`, of which a variant from the makers' laboratory gives each instance a `rank_id`. Every
value of theirs is a text; what else a table holds is let pass.
"""

import collections
import ipaddress
import json
import os
import re

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import parse_json

MOST = 1 << 24  # characters of a file; 100,000 cards take fewer
ANEW = "make the table anew with `deeplab-nb rank-table make`"

# server: its id; device: number of the card in it; address: of its network port, several with
# commas between, '' without; rank: global; place: of the card in the file; members: what is there
Card = collections.namedtuple("Card", "server device address rank place members")


def addresses_of(text):
    """The addresses of a `device_ip`, none for ''. Raises ValueError for what is no address."""
    return [ipaddress.ip_address(part) for part in text.split(",")] if text else []


def are_addresses(text):
    try:
        return addresses_of(text) is not None
    except ValueError:
        return False


def is_number(text):
    return re.fullmatch("[0-9]{1,10}", text)


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
        once = {"object_pairs_hook": lambda pairs: _object(path, pairs)}
        table = parse_json(text, finite=False, **once)  # a number is named with its place
    except ValueError as error:
        comment = next((mark for mark in ("//", "/*", "#") if mark in text), None)
        remedy = f"take out the comment '{comment}', JSON has none" if comment else ANEW
        raise WorkbookError(f"{path} is no JSON ({error}): {remedy}")
    if not isinstance(table, dict) or not {"server_list", "group_list"} & set(table):
        raise WorkbookError(
            f"{path} holds {said(table)}, neither server_list nor group_list: it is no rank "
            f"table, {ANEW}"
        )
    return table


def _object(path, pairs):
    for name, count in collections.Counter(name for name, _ in pairs).items():
        if count > 1:
            raise WorkbookError(
                f"{path}: {said(name)} is there {count} times in one object: leave the right one"
            )
    return dict(pairs)


KINDS = {  # of text: what tells it, and how it is called
    "text": (lambda text: True, ""),
    "number": (is_number, "a number in digits"),
    "port": (lambda text: is_number(text) and 0 < int(text) < 65536, "a port, 1 to 65535"),
    "name": (
        lambda text: text.isprintable() and 0 < len(text.encode()) <= 64,
        "a name of 1 to 64 characters",
    ),
    "addresses": (are_addresses, "an IP address, address_N of /etc/hccn.conf for card N"),
}
# member: its form; '?': may be missing; a list has at least one item
CARD = {
    "device_id": "number",
    "rank_id": "number",
    "device_ip?": "addresses",
    "device_port?": "port",
    "host_port?": "port",
    "super_device_id?": "text",
    "backup_device_ip?": "addresses",
    "backup_device_port?": "port",
}
SERVERS = {
    "version": "text",
    "status": "text",
    "server_count?": "number",
    "server_list": [{"server_id": "name", "host_ip?": "addresses", "device": [CARD]}],
    "super_pod_list?": [{"super_pod_id": "name", "server_list": [{"server_id": "name"}]}],
}
GROUPS = {
    "status": "text",
    "group_count": "number",
    "group_list": [
        {
            "instance_count?": "number",
            "device_count?": "number",
            "device_num?": "number",
            "server_num?": "number",
            "instance_list": [
                {
                    "server_id": "name",
                    "rank_id?": "number",
                    "devices": [{"device_id": "number", "device_ip": "addresses"}],
                }
            ],
        }
    ],
}


def is_older(table):
    return "server_list" not in table


def cards_of(path, table):
    """The `Card`s in the order of the file. Raises WorkbookError for a member of another form."""
    if table.get("status") == "initializing" and not table.get("server_list"):
        return []
    older = is_older(table)
    _check(path, "", table, GROUPS if older else SERVERS)
    place, holders, name = (
        ("group_list[0].instance_list", table["group_list"][0]["instance_list"], "devices")
        if older
        else ("server_list", table["server_list"], "device")
    )
    devices = [
        (f"{place}[{i}].{name}[{j}]", holder, device)
        for i, holder in enumerate(holders)
        for j, device in enumerate(holder[name])
    ]
    return [
        Card(
            holder["server_id"],
            int(device["device_id"]),
            device.get("device_ip", ""),
            # in the older form without `rank_id` cards are numbered in the order they stand in
            int(holder.get("rank_id", number) if older else device["rank_id"]),
            place,
            device,
        )
        for number, (place, holder, device) in enumerate(devices)
    ]


def by_server(cards):
    """{server id: [Card]}, all in the order given."""
    found = {}
    for card in cards:
        found.setdefault(card.server, []).append(card)
    return found


def _check(path, place, value, form):
    kind = type(form)
    if not isinstance(value, kind) or value == []:
        as_text = f'"{value}"' if type(value) in (int, float) else "one or leave it out"
        raise WorkbookError(
            f"{path}: {place or 'the table'} is {said(value)}: "
            + {
                str: f"every value is a text, write {as_text}",
                list: f"it must be a list with an item or more, {ANEW}",
                dict: f"it must be an object, {ANEW}",
            }[kind]
        )
    if kind is str and not KINDS[form][0](value):
        raise WorkbookError(f"{path}: {place} is {said(value)}: it must be {KINDS[form][1]}")
    for number, item in enumerate(value if kind is list else ()):
        _check(path, f"{place}[{number}]", item, form[0])
    for name in form if kind is dict else ():
        member = name.rstrip("?")
        if member in value:
            _check(path, f"{place}.{member}".lstrip("."), value[member], form[name])
        elif member == name:
            raise WorkbookError(f"{path}: {place or 'the table'} has no {name}: {ANEW}")


def said(value):
    """A value as JSON on one line, shortened."""
    text = json.dumps(value)
    return text if len(text) < 80 else text[:75] + "..."
