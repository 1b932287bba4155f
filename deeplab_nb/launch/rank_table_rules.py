"""What HCCL takes for a rank table, by hardware: each broken rule a sentence with file and place.

What both the guides of CANN 8 and 9 and HCCL's published source refuse is an error; what only the
guides refuse, or what they leave open, is a warning. Not run on hardware.
"""

import collections
import itertools

from deeplab_nb import ascend_profiles
from deeplab_nb.launch.rank_table_form import addresses_of, by_server, is_number, is_older, said


def judge(path, table, cards, hardware):
    """`(refusal, warnings)`: a sentence on the first thing HCCL refuses, '' where there is none."""
    warnings = []
    for rule in RULES if cards else RULES[:1]:
        for refused, words in rule(table, cards, hardware):
            if refused:
                return f"{path}: {words}", warnings
            warnings.append(f"{path}: {words}")
    return "", warnings


def made_for(table, cards):
    """The hardware that a table's form is for."""
    if table.get("version") == "1.2" or _has_pods(table, cards):
        return ("a3",)
    return ("910",) if is_older(table) else tuple(ascend_profiles.HARDWARE)


# --- the rules: each yields (whether HCCL refuses it, a sentence without the file)


def _head(table, cards, hardware):
    status, version = table["status"], table.get("version")
    if status == "initializing":
        yield (
            False,
            (
                'status is "initializing": HCCL waits up to 30 minutes '
                "for the cluster's manager to fill the table in"
            ),
        )
    elif status != "completed":
        yield True, f'status is {said(status)}: a table that is ready says "completed"'
    if is_older(table):
        yield (
            hardware != "910",
            (
                "group_list is the older form, of 910s alone: `deeplab-nb rank-table merge` makes "
                "it version 1.0"
            ),
        )
    elif version not in ("1.0", "1.2"):
        yield True, f'version is {said(version)}: it can be "1.0", or "1.2" for super pods of A3'
    elif hardware not in made_for(table, cards):
        yield True, f"version is {said(version)} with super pods: they are A3's alone"


def _counts(table, cards, hardware):
    counted = [("", table, "server_count", table.get("server_list"))]
    if is_older(table):
        groups = table["group_list"]
        lists = {
            "instance_count": groups[0]["instance_list"],
            "device_count": cards,
            "device_num": cards,
            "server_num": by_server(cards),
        }
        counted = [("", table, "group_count", groups)]
        counted += [("group_list[0].", groups[0], name, listed) for name, listed in lists.items()]
    for place, holder, name, listed in counted:
        if name in holder and int(holder[name]) != len(listed):
            yield (
                True,
                (
                    f"{place}{name} is {said(holder[name])}, but {len(listed)} are listed: correct "
                    "it or complete the list"
                ),
            )
    if len(table.get("group_list", ())) > 1:
        yield True, "group_list has several groups: training uses one, hccl_world_group"


def _ranks(table, cards, hardware):
    yield from _twice(
        [(card.place + ".rank_id", card.rank) for card in cards],
        "ranks are numbered from 0 through all servers",
    )
    ordered = sorted(cards, key=lambda card: card.rank)
    missing = next((rank for rank, card in enumerate(ordered) if card.rank != rank), None)
    for card in cards:
        if card.rank >= len(cards):
            yield (
                True,
                (
                    f"{card.place}.rank_id is {card.rank} and {missing} is missing among "
                    f"{len(cards)} cards: ranks are numbered from 0 without gaps"
                ),
            )
    for place, text in _each(cards, "device_id", "rank_id"):
        if text != str(int(text)):
            yield False, f"{place} is {said(text)}, which HCCL reads as {int(text)}: write that"
    for server in _parted(card.server for card in ordered):
        yield (
            True,
            (
                f"server_list gives server {server} ranks among those of others: number its cards "
                "one after the other"
            ),
        )
    if list(by_server(ordered)) != list(by_server(cards)):
        yield False, "server_list lists servers in another order than their ranks"


def _servers(table, cards, hardware):
    yield from _twice(
        _ids("server_list", table.get("server_list", ()), "server_id"),
        "list each server once, with all its cards",
    )
    servers = by_server(cards)
    for server, members in servers.items():
        yield from _twice(
            [(card.place + ".device_id", card.device) for card in members], "a card runs one rank"
        )
        place = members[0].place.rsplit("[", 1)[0]
        for refused, words in ascend_profiles.choice([card.device for card in members], hardware):
            yield refused, f"{place} of server {server} uses {words}"
        if hardware == "a3":
            yield from _twice(
                _each(members, "host_port"), "the cards of a server have ports of their own"
            )
    counts = list(map(len, servers.values()))
    if len(set(counts)) > 1:
        why = "by the guide" if hardware == "910" else "it is quicker if"
        listed = ", ".join(map(str, counts))
        yield False, f"server_list has servers with {listed} cards: {why} each has as many"


def _addresses(table, cards, hardware):
    found = [(card.place + ".device_ip", addresses_of(card.address)) for card in cards]
    each = [(place, address) for place, addresses in found for address in addresses]
    one_pod = table.get("version") == "1.2" and len(table.get("super_pod_list", ())) == 1
    needed = len(by_server(cards)) > 1 and not one_pod
    why = (
        "several servers meet by it, take address_N of /etc/hccn.conf for card N"
        if needed
        else "the guide gives every card one, or all of A2 and A3 none"
    )
    bare = [place for place, addresses in found if not addresses]
    if bare and (needed or each or hardware == "910"):
        yield needed, f"{bare[0]} is missing: {why}"
    most = max(len(addresses) for _, addresses in found)
    for place, addresses in found:
        if 0 < len(addresses) < most:
            yield True, f"{place} has {len(addresses)} addresses: every card has as many"
    yield from _twice(each, "each card has an address of its own, see /etc/hccn.conf")
    for place, address in each:
        if address.version != each[0][1].version:
            yield (
                True,
                (
                    f"{place} is {address}, of another family than {each[0][0]}: give all IPv4 or "
                    "all IPv6"
                ),
            )


def _ports(table, cards, hardware):
    for place, text in _each(cards, "device_port", "host_port", "backup_device_port"):
        if int(text) < 1024:
            yield False, f"{place} is {said(text)}: ports below 1024 are reserved"
    for card in cards if hardware == "a3" else ():
        backup = card.members.get("backup_device_ip", "")
        if set(addresses_of(backup)) & set(addresses_of(card.address)):
            yield (
                True,
                (
                    f"{card.place}.backup_device_ip is {said(backup)}, the card's own: give that "
                    "of its NPU's other die"
                ),
            )


def _pods(table, cards, hardware):
    pods, version = table.get("super_pod_list", ()), table.get("version")
    if version == "1.0" and _has_pods(table, cards):
        yield False, 'version is "1.0", by which HCCL passes over super pods: write "1.2"'
    elif version == "1.2" and not pods:
        yield False, "super_pod_list is missing: HCCL takes the servers for ones outside a pod"
    elif version == "1.2":
        yield from _of_pods(pods, cards)


def _of_pods(pods, cards):
    yield from _twice(_ids("super_pod_list", pods, "super_pod_id"), "list each pod once")
    listed = [
        pair
        for i, pod in enumerate(pods)
        for pair in _ids(f"super_pod_list[{i}].server_list", pod["server_list"], "server_id")
    ]
    yield from _twice(listed, "a server stands in one pod, once")
    servers = by_server(cards)
    for place, server in listed:
        if server not in servers:
            yield True, f"{place} is {said(server)}, which server_list lacks: correct or add it"
    pod_of = {
        server["server_id"]: pod["super_pod_id"] for pod in pods for server in pod["server_list"]
    }
    numbers = []
    for card in cards:
        place, number = card.place + ".super_device_id", card.members.get("super_device_id", "")
        if card.server not in pod_of:
            yield True, f"super_pod_list leaves out server {card.server}: give it a pod"
        if not is_number(number):
            yield (
                True,
                (
                    f"{place} is {said(number)}: give SDID of `npu-smi info -t spod-info -i ID -c "
                    "CHIP`"
                ),
            )
        numbers.append((place, f"{number} in super pod {pod_of[card.server]}"))
    yield from _twice(numbers, "a super pod has each once")
    for pod in _parted(pod_of[card.server] for card in cards):
        yield True, f"server_list parts the servers of super pod {pod}: list them together"


RULES = (_head, _counts, _ranks, _servers, _addresses, _ports, _pods)


def _has_pods(table, cards):
    return "super_pod_list" in table or any(card.members.get("super_device_id") for card in cards)


def _each(cards, *names):
    """[(place, text)] of members of cards, where they are there."""
    return [
        (f"{card.place}.{name}", card.members[name])
        for name in names
        for card in cards
        if name in card.members
    ]


def _ids(place, holders, name):
    """[(place, id)] of a list's servers or pods."""
    return [(f"{place}[{i}].{name}", holder[name]) for i, holder in enumerate(holders)]


def _twice(places, rule):
    """places: (place, value) of what must differ."""
    seen = {}
    for place, value in places:
        if seen.setdefault(value, place) != place:
            yield True, f"{place} is {said(str(value))}, as {seen[value]} is: {rule}"


def _parted(values):
    """The values that come again after others."""
    runs = collections.Counter(key for key, _ in itertools.groupby(values))
    return [value for value, count in runs.items() if count > 1]
