"""Rank tables: made from a server's files, merged, and every broken rule named."""

import copy
import itertools
import json
import os
import time

import pytest
from click.testing import CliRunner

from deeplab_nb import ascend_profiles
from deeplab_nb.cli import main
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table

CONF = "".join(
    "address_{0}=192.168.{1}.{0}\nnetmask_{0}=255.255.255.0\nnetdetect_{0}=192.168.{1}.9\n".format(
        i, 100 + i // 4
    )
    for i in range(8)
)


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "hccn.conf"
    path.write_text(CONF)
    return str(path)


@pytest.fixture
def make(tmp_path, conf):
    """Makes a table in tmp_path and returns it."""

    def made(count=8, name="table.json", server="10.0.0.10", **options):
        return rank_table.make(
            str(tmp_path / name), count, server=server, conf=conf, tool="no-such-tool", **options
        )

    return made


def content(table):
    with open(table.path) as file:
        return json.load(file)


def test_the_table_of_eight_cards_is_the_published_form(make):
    assert content(make()) == {
        "version": "1.0",
        "server_count": "1",
        "status": "completed",
        "server_list": [
            {
                "server_id": "10.0.0.10",
                "device": [
                    {
                        "device_id": str(i),
                        "device_ip": f"192.168.{100 + i // 4}.{i}",
                        "rank_id": str(i),
                    }
                    for i in range(8)
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    "count, first", [(1, 0), (1, 6), (2, 0), (2, 2), (2, 6), (4, 0), (4, 4), (8, 0)]
)
def test_allowed_choices_of_cards(make, count, first):
    table = make(count, first=first)
    assert [(card.device, card.rank) for card in table.cards] == [
        (first + i, i) for i in range(count)
    ]


@pytest.mark.parametrize(
    "count, first, words",
    [
        (3, 0, "--cards 3 --first 0 uses 3 cards: a server's ranks can be 1, 2, 4 or 8"),
        (1, -1, "uses card -1: a server's"),
        (2, 3, "uses cards 3, 4: 2 cards must lie within 0-3 or within 4-7"),
        (4, 2, "uses cards 2, 3, 4, 5: 4 cards must lie"),
        (8, 1, "uses card 8: a server's cards are 0 to 7"),
        (0, 0, "uses 0 cards"),
    ],
)
def test_forbidden_choices_of_cards(make, tmp_path, count, first, words):
    with pytest.raises(WorkbookError, match=words):
        make(count, first=first)
    assert not (tmp_path / "table.json").exists()


def test_the_tool_is_asked_where_there_is_one(tmp_path, monkeypatch):
    tool = tmp_path / "hccn_tool"
    tool.write_text(
        '#!/bin/sh\n[ "$1 $3 $4" = "-i -ip -g" ] && [ "$2" != 1 ] && echo "ipaddr:10.1.1.$2" '
        '&& echo "netmask:255.255.0.0"\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    table = rank_table.make(str(tmp_path / "t.json"), 1, first=5, server="s")
    assert [card.address for card in table.cards] == ["10.1.1.5"]
    with pytest.raises(
        WorkbookError, match="hccn_tool holds no address of card 1: set it with `hccn_tool -i 1"
    ):
        rank_table.make(str(tmp_path / "t.json"), 2, server="s")


def test_a_missing_file_or_address_is_named(make, tmp_path, conf):
    with open(conf, "w") as file:
        file.write(CONF.split("address_7")[0])
    with pytest.raises(WorkbookError, match="hccn.conf holds no address of card 7"):
        make()
    os.remove(conf)
    with pytest.raises(
        WorkbookError,
        match="hccn.conf cannot be read .No such file.* name its copy with --hccn-conf",
    ):
        make()


def test_merged_servers_are_numbered_through(make, tmp_path, conf):
    first = make(name="a.json")
    with open(conf, "w") as file:
        file.write(CONF.replace("192.168", "192.169"))
    merged = rank_table.merge(
        str(tmp_path / "all.json"), [first, make(name="b.json", server="10.0.0.11")]
    )
    assert [card.rank for card in merged.cards] == list(range(16))
    assert [
        (server, [card.device for card in cards]) for server, cards in rank_table.servers(merged)
    ] == [("10.0.0.10", list(range(8))), ("10.0.0.11", list(range(8)))]
    assert content(merged)["server_count"] == "2"
    assert rank_table.show(merged).splitlines()[9:] == [
        "{:4d}  {:24s} {:6d}  192.169.{}.{}".format(8 + i, "10.0.0.11", i, 100 + i // 4, i)
        for i in range(8)
    ] + ["16 cards on 2 servers"]


def test_what_cannot_be_merged_is_named(make, tmp_path):
    one = make(name="a.json")
    for other, words in (
        (
            one,
            r"all.json: server_list\[1\].server_id is .10.0.0.10., as "
            r"server_list\[0\].server_id is: list each server once",
        ),
        (
            make(name="b.json", server="b"),
            r"server_list\[1\].device\[0\].device_ip is .192.168.100.0., as server_list\[0\]",
        ),
        (
            make(2, name="c.json", server="c", super_pod="0", super_devices=["0", "1"]),
            "a.json and .*c.json are of versions 1.0 and 1.2",
        ),
    ):
        with pytest.raises(WorkbookError, match=words):
            rank_table.merge(str(tmp_path / "all.json"), [one, other])
    assert not (tmp_path / "all.json").exists()


def test_servers_may_use_part_of_their_cards_and_keep_what_else_is_said(make, tmp_path, conf):
    first = make(4, name="a.json")
    first.content["server_list"][0]["host_ip"] = "10.0.0.10"
    merged = rank_table.merge(
        str(tmp_path / "all.json"), [first, make(4, name="b.json", server="b", first=4)]
    )
    assert not merged.warnings and content(merged)["server_list"][0]["host_ip"] == "10.0.0.10"
    assert [(card.rank, card.device) for card in merged.cards] == [(i, i) for i in range(8)]


def test_a_server_of_a2_gives_the_cards_that_are_named(make, tmp_path, conf):
    table = make(devices=[1, 3, 6], profile="cann9-a2")
    assert [(card.device, card.address) for card in table.cards] == [
        (1, "192.168.100.1"),
        (3, "192.168.100.3"),
        (6, "192.168.101.6"),
    ]
    os.remove(conf)
    alone = make(5, name="alone.json", profile="cann8-a2")
    assert (
        [card.address for card in alone.cards] == [""] * 5
        and alone.hardware == ["a2"]
        and not alone.warnings
    )
    with pytest.raises(
        WorkbookError, match=r"device\[1\].device_id is .1., as .* is: a card runs one rank"
    ):
        make(devices=[1, 1], name="twice.json", profile="cann8-a2")


def test_a_super_pod_of_two_servers(make, tmp_path, monkeypatch):
    tool = tmp_path / "npu-smi"
    tool.write_text(
        '#!/bin/sh\n[ "$1 $2 $3 $4 $6" = "info -t spod-info -i -c" ] '
        '&& echo "        SDID     : $((100 + 2 * $5 + $7))"\n'
    )
    tool.chmod(0o755)
    with pytest.raises(
        WorkbookError,
        match="npu-smi tells no SDID of card 0: give those of all cards with --super-devices",
    ):
        make(2, super_pod="7")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    first = make(4, name="a.json", super_pod="7")
    assert [card.members["super_device_id"] for card in first.cards] == [
        "100",
        "101",
        "102",
        "103",
    ] and first.hardware == ["a3"]
    with pytest.raises(WorkbookError, match="--super-devices gives 1 numbers for 4 cards"):
        make(4, name="b.json", super_pod="7", super_devices=["1"])
    numbers = ["104", "105", "106", "107"]
    with pytest.raises(
        WorkbookError, match="all.json: version is .1.2. with super pods: they are A3's alone"
    ):
        rank_table.merge(str(tmp_path / "all.json"), [first], "cann9-a2")
    second = make(
        first=4, count=4, name="b.json", server="10.0.0.11", super_pod="7", super_devices=numbers
    )
    merged = rank_table.merge(str(tmp_path / "all.json"), [first, second])
    assert content(merged)["version"] == "1.2" and content(merged)["super_pod_list"] == [
        {
            "super_pod_id": "7",
            "server_list": [{"server_id": "10.0.0.10"}, {"server_id": "10.0.0.11"}],
        }
    ]
    assert "super device 107" in rank_table.show(
        merged
    ) and "super pod 7: 10.0.0.10, 10.0.0.11" in rank_table.show(merged)


def test_nothing_is_overwritten(make, tmp_path):
    table = make()
    assert make() == table, "the same again is no change"
    (tmp_path / "notes.json").write_text("mine")
    (tmp_path / "link.json").symlink_to(tmp_path / "nowhere")
    for name in ("table.json", "notes.json", "link.json"):
        with pytest.raises(
            WorkbookError, match=f"{name} exists and is another table: give another name with --out"
        ):
            make(4, name=name)
    assert content(table) == table.content and (tmp_path / "notes.json").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkbookError, match="cannot be written .*: give another place with --out"):
        make(name="file/t.json")


def test_addresses_of_another_server_are_noticed(make, conf):
    table = make()
    rank_table.check_addresses(
        table, "10.0.0.10", rank_table.addresses([0, 1], conf=conf, tool="no-such-tool")
    )
    with pytest.raises(
        WorkbookError,
        match="gives card 1 of server 10.0.0.10 the address 192.168.100.1, this machine 1.2.3.4",
    ):
        rank_table.check_addresses(table, "10.0.0.10", {1: "1.2.3.4"})
    rank_table.check_addresses(table, "elsewhere", {1: "1.2.3.4"})


# --- tables as files

S1, S2 = "10.20.0.11", "10.20.0.12"


def table(*servers, ips=True, pods=None, version="1.0", **members):
    """A table of (server id, 'device:rank ...').

    pods: {name: server ids}, which makes it one of version 1.2.
    """
    listed, number = [], itertools.count(10)
    for server, devices in servers:
        listed.append({"server_id": server, "device": []})
        for number_here, pair in enumerate(devices.split()):
            device = dict(zip(("device_id", "rank_id"), pair.split(":")))
            device.update({"device_ip": f"198.51.100.{next(number)}"} if ips else {})
            device.update({"super_device_id": str(number_here + 100 * len(listed))} if pods else {})
            listed[-1]["device"].append(device)
    if pods:
        version, members["super_pod_list"] = (
            "1.2",
            [
                {"super_pod_id": pod, "server_list": [{"server_id": server} for server in ids]}
                for pod, ids in pods.items()
            ],
        )
    return dict(
        {
            "version": version,
            "status": "completed",
            "server_count": str(len(listed)),
            "server_list": listed,
        },
        **members,
    )


def ranks(devices, first=0):
    return " ".join(f"{device}:{first + place}" for place, device in enumerate(devices))


TWO = table((S1, "0:0 1:1"), (S2, "0:2 1:3"))
PODS = table((S1, "0:0 1:1"), (S2, "0:2 1:3"), pods={"0": [S1], "1": [S2]})
ONE_POD = table((S1, "0:0 1:1"), (S2, "0:2 1:3"), pods={"0": [S1, S2]}, ips=False)
EVERY = ("910", "a2", "a3")


def changed(table, *place, to=None):
    """The table with one place changed, or taken out without a new value."""
    table = holder = copy.deepcopy(table)
    for step in place[:-1]:
        holder = holder[step]
    if to is None:
        del holder[place[-1]]
    else:
        holder[place[-1]] = to
    return table


def write(tmp_path, table, *place, value=None):
    """A file of the table, of the one with a place changed if there is a place."""
    path = tmp_path / "table.json"
    path.write_text(json.dumps(changed(table, *place, to=value) if place else table))
    return str(path)


FIRST, SECOND = ("server_list", 0, "device", 0), ("server_list", 1, "device", 0)

# the guide's kinds of tables, by the numbers of the list that was gathered from the guides of
# CANN 8 and 9:
# hardware; table; None, or words of the refusal; words of the warning
LISTED = {
    1: (["910"], TWO, None, None),
    2: (["910"], table((S1, ranks(range(8)))), None, None),
    3: (["910"], table((S1, ranks([4, 5, 6, 7]))), None, None),
    4: (
        ["910"],
        table((S1, "2:0 5:1")),
        None,
        "uses cards 2, 5: 2 cards must lie within 0-3 or within 4-7",
    ),
    5: (
        ["910"],
        table((S1, ranks([0, 1, 4, 5]))),
        None,
        "uses cards 0, 1, 4, 5: 4 cards must lie within",
    ),
    6: (
        ["910"],
        table((S1, ranks([0, 1, 2]))),
        "uses 3 cards: a server's ranks can be 1, 2, 4 or 8 on a 910",
        None,
    ),
    7: (
        ["910"],
        table((S1, "0:0 1:1 2:2 7:7"), (S2, ranks(range(4), 3))),
        "server_list gives server 10.20.0.11 ranks among those",
        None,
    ),
    8: (
        ["910"],
        table((S1, ranks(range(4))), (S2, "0:4 1:5")),
        None,
        "has servers with 4, 2 cards: by the guide each has as many",
    ),
    9: (["a2"], table((S1, "1:0 3:1 6:2"), ips=False), None, None),
    10: (
        ["a2"],
        table((S1, ranks(range(3))), (S2, ranks(range(5), 3))),
        None,
        "with 3, 5 cards: it is quicker if each has as many",
    ),
    11: (
        ["a2"],
        table((S1, ranks(range(3))), (S2, ranks(range(5), 3)), ips=False),
        "server_list[0].device[0].device_ip is missing",
        None,
    ),
    12: (
        EVERY,
        changed(TWO, *FIRST, "device_id", to=0),
        'server_list[0].device[0].device_id is 0: every value is a text, write "0"',
        None,
    ),
    13: (
        EVERY,
        changed(TWO, "server_list", 1, "device", 1, "rank_id", to="4"),
        "rank_id is 4 and 3 is missing among 4 cards",
        None,
    ),
    14: (EVERY, dict(TWO, status="initializing"), None, "HCCL waits up to 30 minutes"),
    15: (["a3"], PODS, None, None),
    16: (["a3"], ONE_POD, None, None),
    17: (
        ["a3"],
        changed(PODS, *FIRST, "super_device_id", to=""),
        'server_list[0].device[0].super_device_id is "": give SDID',
        None,
    ),
    18: (
        ["a3"],
        changed(PODS, "super_pod_list", 1, "server_list", 0, "server_id", to="10.20.1.13"),
        'super_pod_list[1].server_list[0].server_id is "10.20.1.13", which server_list lacks',
        None,
    ),
    19: (["a3"], table((S1, ranks(range(16)))), None, None),
}


def judged(path, hardware, refusal, warning):
    """Holds a file against the words, by command line and module."""
    arguments = ["rank-table", "check", path, "--ascend-profile", "cann9-" + hardware]
    done = CliRunner().invoke(main, arguments)
    if refusal:
        assert done.exit_code == 1 and refusal in done.output, done.output
        assert done.output.startswith(f"Error: {path}") and done.output.count("\n") == 1
        return
    assert done.exit_code == 0, done.output
    warnings = rank_table.read(path, "cann9-" + hardware).warnings
    assert (
        "nothing else is wrong" if warning else "nothing is wrong on " + hardware.upper()
    ) in done.output
    assert len(warnings) == bool(warning) and all(
        warning in sentence and sentence.startswith(path) for sentence in warnings
    ), warnings
    assert [line for line in done.output.splitlines() if "warning" in line] == [
        "warning: " + sentence for sentence in warnings
    ]


@pytest.mark.parametrize("number", LISTED)
def test_the_listed_tables(tmp_path, number):
    hardware, content, refusal, warning = LISTED[number]
    for each in hardware:
        judged(write(tmp_path, content), each, refusal, warning)


OLD = {
    "status": "completed",
    "group_count": "1",
    "group_list": [
        {
            "group_name": "hccl_world_group",
            "instance_count": "2",
            "device_count": "2",
            "instance_list": [
                {
                    "pod_name": f"tf-{i}",
                    "server_id": "10.0.0.10",
                    "devices": [{"device_id": str(i), "device_ip": f"192.168.1.{i}"}],
                }
                for i in range(2)
            ],
        }
    ],
}
LAB = {
    "board_id": "0x0000",
    "chip_info": "910",
    "deploy_mode": "lab",
    "status": "completed",
    "group_count": "1",
    "para_plane_nic_location": "device",
    "para_plane_nic_name": ["eth0", "eth1"],
    "para_plane_nic_num": "2",
    "group_list": [
        {
            "group_name": "",
            "device_num": "2",
            "server_num": "1",
            "instance_count": "2",
            "instance_list": [
                {
                    "rank_id": str(1 - i),
                    "server_id": "10.0.0.10",
                    "devices": [{"device_id": str(i), "device_ip": f"192.168.1.{i}"}],
                }
                for i in range(2)
            ],
        }
    ],
}
SERVER, DEVICES = ("server_list", 0), ("server_list", 0, "device")
GROUP, POD = ("group_list", 0), ("group_list", 0, "instance_list", 0)
BACKUP = FIRST + ("backup_device_ip",)
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"
PARTED = table((A, "0:0"), (B, "0:1"), (C, "0:2"), pods={"0": [A, C], "1": [B]})
NUMBER, TEXT = "must be a number in digits", "every value is a text"
SIXTEEN = table((S1, ranks(range(8)) + " " + ranks([8, 9], 8)))


REFUSED = [
    ("910", TWO, ("server_count",), 2, 'server_count is 2: every value is a text, write "2"'),
    ("a2", TWO, ("server_count",), "3", 'server_count is "3", but 2 are listed'),
    ("a3", TWO, ("server_count",), "two", NUMBER),
    ("910", TWO, ("status",), "ready", 'status is "ready": a table that is ready says "completed"'),
    ("a3", TWO, ("status",), None, "the table has no status"),
    ("a2", TWO, ("status",), True, TEXT),
    ("910", TWO, ("version",), "1.1", 'version is "1.1": it can be "1.0"'),
    ("a2", TWO, ("version",), "2.0", 'version is "2.0"'),
    ("a3", TWO, ("version",), 1.0, 'version is 1.0: every value is a text, write "1.0"'),
    ("910", TWO, ("version",), None, "the table has no version"),
    ("910", TWO, ("version",), "1.2", "super pods: they are A3's alone"),
    ("a2", PODS, ("server_count",), None, "they are A3's alone"),
    ("910", TWO, ("server_list",), None, "neither server_list nor group_list"),
    ("a2", TWO, ("server_list",), {}, "server_list is {}: it must be a list"),
    ("a3", TWO, ("server_list",), [], "server_list is []"),
    ("910", TWO, SERVER, ["a"], 'server_list[0] is ["a"]: it must be an object'),
    ("910", TWO, SERVER + ("server_id",), "x" * 65, "it must be a name of 1 to 64 characters"),
    ("a2", TWO, SERVER + ("server_id",), "", 'server_list[0].server_id is "": it must be a name'),
    (
        "a2",
        TWO,
        SERVER + ("server_id",),
        "a\nb\ud800",
        'server_list[0].server_id is "a\\nb\\ud800": it must be a name',
    ),
    ("a3", TWO, SERVER + ("server_id",), None, "server_list[0] has no server_id"),
    (
        "a3",
        TWO,
        SERVER + ("server_id",),
        S2,
        f'server_list[1].server_id is "{S2}", as server_list[0].server_id is',
    ),
    (
        "a3",
        TWO,
        SERVER + ("host_ip",),
        "here",
        'server_list[0].host_ip is "here": it must be an IP address',
    ),
    ("910", TWO, DEVICES, [], "server_list[0].device is []"),
    ("910", TWO, DEVICES, None, "server_list[0] has no device"),
    ("910", TWO, DEVICES, {"0": "1"}, "it must be a list"),
    (
        "910",
        TWO,
        FIRST + ("device_id",),
        "1",
        'device[1].device_id is "1", as server_list[0].device[0].device_id is: a card runs',
    ),
    ("910", TWO, FIRST + ("device_id",), "8", "uses card 8: a server's cards are 0 to 7"),
    (
        "a2",
        TWO,
        FIRST + ("device_id",),
        "16",
        "server_list[0].device of server 10.20.0.11 uses card 16: a server's cards are 0 to 15",
    ),
    ("910", TWO, FIRST + ("device_id",), "-1", NUMBER),
    ("a2", TWO, FIRST + ("device_id",), " 1", NUMBER),
    ("a3", TWO, FIRST + ("device_id",), "\uff11", NUMBER),
    ("910", TWO, FIRST + ("device_id",), "1.0", NUMBER),
    ("910", TWO, FIRST + ("rank_id",), "", NUMBER),
    ("910", TWO, FIRST + ("rank_id",), "9" * 5000, NUMBER),
    (
        "910",
        TWO,
        FIRST + ("rank_id",),
        "1",
        'device[1].rank_id is "1", as server_list[0].device[0].rank_id is: ranks are numbered',
    ),
    ("a2", TWO, FIRST + ("rank_id",), "4", "rank_id is 4 and 0 is missing among 4 cards"),
    (
        "a2",
        TWO,
        FIRST + ("rank_id",),
        "02",
        'device[0].rank_id is "2", as server_list[0].device[0].rank_id is',
    ),
    (
        "910",
        TWO,
        FIRST + ("device_ip",),
        "198.51.100.11",
        'device[1].device_ip is "198.51.100.11", as',
    ),
    (
        "910",
        TWO,
        FIRST + ("device_ip",),
        "198.51.100",
        "it must be an IP address, address_N of /etc/hccn.conf",
    ),
    ("910", TWO, FIRST + ("device_ip",), "", "device_ip is missing: several servers meet by it"),
    (
        "a3",
        TWO,
        SECOND + ("device_ip",),
        None,
        "server_list[1].device[0].device_ip is missing: several servers",
    ),
    (
        "a3",
        PODS,
        SECOND + ("device_ip",),
        None,
        "server_list[1].device[0].device_ip is missing: several servers",
    ),
    (
        "a2",
        TWO,
        FIRST + ("device_ip",),
        "198.51.100.77,198.51.100.78",
        "device_ip has 1 addresses: every card has as many",
    ),
    (
        "a2",
        TWO,
        FIRST + ("device_ip",),
        "2001:db8::1",
        "device_ip is 198.51.100.11, of another family than server_list[0].device[0]",
    ),
    ("a3", TWO, FIRST + ("device_port",), "65536", "must be a port, 1 to 65535"),
    ("910", TWO, FIRST + ("host_port",), "0", "must be a port"),
    (
        "a3",
        table((S1, "0:0 1:1")),
        BACKUP,
        "198.51.100.10",
        "the card's own: give that of its NPU's other die",
    ),
    ("a3", table((S1, "0:0 1:1")), BACKUP, "other", "must be an IP address"),
    (
        "910",
        table((S1, ranks([0, 1, 2, 7]))),
        SERVER + ("x",),
        "y",
        "uses cards 0, 1, 2, 7: 4 cards must lie within",
    ),
    ("910", TWO, ("server_list",), TWO["server_list"] * 2, 'server_count is "2", but 4 are listed'),
    ("a3", PODS, ("super_pod_list",), [], "super_pod_list is []"),
    ("a3", PODS, ("super_pod_list", 0, "server_list"), [], "super_pod_list[0].server_list is []"),
    (
        "a3",
        PODS,
        ("super_pod_list", 0, "super_pod_id"),
        "1",
        'super_pod_list[1].super_pod_id is "1", as super_pod_list[0].super_pod_id is',
    ),
    (
        "a3",
        PODS,
        ("super_pod_list", 0),
        None,
        f"super_pod_list leaves out server {S1}: give it a pod",
    ),
    (
        "a3",
        PODS,
        ("super_pod_list", 0, "server_list", 0, "server_id"),
        S2,
        f'server_id is "{S2}", as super_pod_list[0].server_list[0]',
    ),
    (
        "a3",
        PODS,
        ("super_pod_list", 0, "server_list"),
        [{"server_id": S1}] * 2,
        "a server stands in one pod, once",
    ),
    ("a3", PODS, FIRST + ("super_device_id",), None, 'super_device_id is "": give SDID'),
    ("a3", PODS, FIRST + ("super_device_id",), 5, TEXT),
    (
        "a3",
        ONE_POD,
        SECOND + ("super_device_id",),
        "100",
        'is "100 in super pod 0", as server_list[0].device[0].super_device_id is',
    ),
    (
        "a3",
        PARTED,
        ("server_count",),
        None,
        "server_list parts the servers of super pod 0: list them together",
    ),
    (
        "a3",
        changed(TWO, *FIRST, "host_port", to="6000"),
        FIRST[:-1] + (1, "host_port"),
        "6000",
        "device[1].host_port is",
    ),
    ("a2", OLD, ("x",), "y", "group_list is the older form, of 910s alone"),
    ("910", OLD, ("group_count",), "2", 'group_count is "2", but 1 are listed'),
    (
        "910",
        OLD,
        GROUP + ("instance_count",),
        "1",
        'group_list[0].instance_count is "1", but 2 are listed',
    ),
    (
        "910",
        OLD,
        GROUP + ("device_count",),
        "8",
        'group_list[0].device_count is "8", but 2 are listed',
    ),
    ("910", OLD, GROUP + ("instance_list",), None, "group_list[0] has no instance_list"),
    ("910", OLD, ("group_list",), OLD["group_list"] * 2, 'group_count is "1", but 2 are listed'),
    (
        "910",
        OLD,
        POD + ("devices", 0, "device_id"),
        "1",
        'instance_list[1].devices[0].device_id is "1", as',
    ),
    ("910", LAB, GROUP + ("device_num",), "4", 'device_num is "4", but 2 are listed'),
    ("910", LAB, GROUP + ("server_num",), "2", 'server_num is "2", but 1 are listed'),
    (
        "910",
        LAB,
        POD + ("rank_id",),
        "0",
        "as group_list[0].instance_list[0].devices[0].rank_id is",
    ),
    ("910", LAB, POD + ("devices",), [], "group_list[0].instance_list[0].devices is []"),
]


@pytest.mark.parametrize("hardware, table, place, value, words", REFUSED)
def test_what_is_refused(tmp_path, hardware, table, place, value, words):
    judged(write(tmp_path, table, *place, value=value), hardware, words, None)


PASSED = [
    ("a2", TWO, ("server_count",), None, None),
    ("910", TWO, SERVER + ("server_id",), "x" * 64, None),
    ("910", TWO, ("made_by",), {"number": 5}, None),
    ("a2", TWO, FIRST + ("device_logical_id",), "0", None),
    (
        "910",
        table((S1, "0:0 1:1")),
        FIRST + ("device_ip",),
        "",
        "device_ip is missing: the guide gives every card one",
    ),
    (
        "a2",
        table((S1, "0:0 1:1")),
        FIRST + ("device_ip",),
        None,
        "device_ip is missing: the guide gives every card one",
    ),
    (
        "a2",
        table((S1, "0:0 9:1")),
        SERVER + ("host_ip",),
        S1,
        "uses cards 0, 9: of two modules, 0-7 and 8-15, take the same numbers",
    ),
    ("a2", table((S1, "0:0 8:1")), SERVER + ("host_ip",), S1, None),
    ("a2", SIXTEEN, ("x",), "y", "of two modules"),
    ("a3", SIXTEEN, ("x",), "y", None),
    (
        "a3",
        table((S1, "0:0 16:1")),
        ("x",),
        "y",
        "uses card 16: a server's cards are 0 to 15 as far as is known",
    ),
    ("a2", TWO, FIRST + ("rank_id",), "00", 'rank_id is "00", which HCCL reads as 0'),
    (
        "910",
        TWO,
        FIRST + ("device_port",),
        "80",
        'device_port is "80": ports below 1024 are reserved',
    ),
    (
        "a2",
        table((S1, "0:2 1:3"), (S2, "0:0 1:1")),
        ("x",),
        "y",
        "lists servers in another order than their ranks",
    ),
    (
        "a3",
        PODS,
        ("super_pod_list",),
        None,
        "super_pod_list is missing: HCCL takes the servers for ones outside a pod",
    ),
    ("a3", PODS, ("version",), "1.0", 'version is "1.0", by which HCCL passes over super pods'),
    ("a3", PODS, SECOND + ("super_device_id",), "100", None),
    ("910", OLD, ("x",), "y", "is the older form"),
    ("910", LAB, ("x",), "y", "is the older form"),
    (
        "910",
        dict(status="initializing", version="1.0", server_list=[]),
        ("x",),
        "y",
        "HCCL waits up to 30 minutes",
    ),
]


@pytest.mark.parametrize("hardware, table, place, value, words", PASSED)
def test_what_is_let_pass_with_or_without_a_warning(tmp_path, hardware, table, place, value, words):
    judged(write(tmp_path, table, *place, value=value), hardware, None, words)


def test_many_servers_take_no_long_time(tmp_path):
    path = write(
        tmp_path,
        table(
            *((f"s{i}", ranks(range(8), 8 * i)) for i in range(1000)),
            ips=False,
            pods={"0": [f"s{i}" for i in range(1000)]},
        ),
    )
    began = time.perf_counter()
    assert len(rank_table.read(path).cards) == 8000 and time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "order, refused",
    [
        ("0123", False),
        ("0145", False),
        ("0246", False),
        ("0347", False),
        ("1256", False),
        ("1357", False),
        ("2367", False),
        ("4567", False),
        ("0167", True),
        ("0256", True),
    ],
)
def test_four_cards_of_a_910(order, refused):
    for devices in (order, reversed(order)):
        assert [
            bad for bad, _ in ascend_profiles.choice(list(map(int, devices)), "910") if bad
        ] == [True] * refused


def test_without_a_profile_it_is_said_which_hardware_takes_a_table(tmp_path):
    three = write(tmp_path, table((S1, "0:0 1:1 2:2"), ips=False))
    done = CliRunner().invoke(main, ["rank-table", "check", three])
    assert done.exit_code == 0 and done.output.splitlines() == [
        f"warning: {three}: server_list[0].device of server {S1} uses 3 cards: a server's ranks "
        "can be 1, 2, 4 or 8 on a 910 "
        "(refused on 910)",
        f"{three}: 3 cards, nothing else is wrong on A2, A3",
    ]
    assert rank_table.read(write(tmp_path, PODS), "auto").hardware == ["a3"], "the table tells"
    assert (
        rank_table.read(write(tmp_path, table((S1, "2:0 5:1"))))
        .warnings[0]
        .endswith("within 4-7 (on 910)")
    )
    with pytest.raises(WorkbookError, match="device_ip is missing"):
        rank_table.read(write(tmp_path, table((S1, "0:0 1:1 2:2"), (S2, "0:3"), ips=False)))
    with pytest.raises(
        WorkbookError, match="unknown Ascend profile 'cann9_a2', did you mean 'cann9-a2'"
    ):
        rank_table.read(three, "cann9_a2")


@pytest.mark.parametrize("table, devices", [(TWO, [0, 1, 0, 1]), (OLD, [0, 1]), (LAB, [1, 0])])
def test_both_forms_and_the_laboratorys_are_read(tmp_path, table, devices):
    assert [card.device for card in rank_table.read(write(tmp_path, table)).cards] == devices


def test_an_older_table_becomes_one_of_version_1(tmp_path):
    new = rank_table.merge(str(tmp_path / "new.json"), [rank_table.read(write(tmp_path, LAB))])
    assert content(new)["server_list"][0]["device"][0] == {
        "device_id": "1",
        "device_ip": "192.168.1.1",
        "rank_id": "0",
    }


NO_TABLES = [
    (b'{"version": "1.0" // the form\n}', "take out the comment '//'"),
    (b"", "is no JSON"),
    (b"[]", "holds [], neither server_list"),
    (b'"server_list"', "neither server_list nor group_list"),
    (b'{"server_list": NaN, "version": "1.0", "status": "completed"}', "server_list is NaN"),
    (None, "cannot be read (No such file"),
    (b"\xff\xfe{\0", "cannot be read (not UTF-8 text)"),
    (
        b'{"status": "completed", "version": "1.0", "version": "1.2", "server_list": []}',
        '"version" is there 2 times in one object',
    ),
    (b"[" * 100000, "is no JSON (maximum recursion depth"),
    (b'{"server_list":' * 9000, "is no JSON (maximum recursion"),
    (b" " * (1 << 24) + b"{}", "is no JSON (it is too long)"),
    (json.dumps(TWO).encode() + b"}", "is no JSON (Extra data"),
    (json.dumps(TWO).encode("utf-16"), "not UTF-8 text"),
]


@pytest.mark.parametrize("number", range(len(NO_TABLES)))
def test_what_is_no_table_is_named(tmp_path, number):
    path, (text, words) = tmp_path / "t.json", NO_TABLES[number]
    if text is not None:
        path.write_bytes(text)
    done = CliRunner().invoke(main, ["rank-table", "show", str(path)])
    assert (
        done.exit_code == 1
        and words in done.output
        and done.output.count("\n") == 1
        and len(done.output) < 400
    )


def test_a_mark_of_utf_8_is_passed_over_and_a_folder_is_no_file(tmp_path):
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(TWO).encode())
    assert len(rank_table.read(str(tmp_path / "marked.json")).cards) == 4
    os.mkfifo(str(tmp_path / "pipe.json"))
    for name in (".", "pipe.json"):
        with pytest.raises(WorkbookError, match="cannot be read .no regular file"):
            rank_table.read(str(tmp_path / name))


@pytest.mark.parametrize("name", ["table", "table.txt", "my.json.d/table.json"])
def test_hccl_opens_no_file_of_another_name(tmp_path, name):
    (tmp_path / "my.json.d").mkdir()
    (tmp_path / name).write_text(json.dumps(TWO))
    with pytest.raises(WorkbookError, match="does not end in .json, or has it elsewhere too"):
        rank_table.read(str(tmp_path / name))


ODD = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "1",
    "01",
    " 1",
    "\ud800",
    "a\nb",
    [],
    {},
    ["a"],
    {"a": "b"},
    "9" * 30,
    "1.1.1.1",
    "::1",
    "1.2",
    [[]],
]


def places_of(value, place=()):
    """Every place within a table."""
    for step, inner in (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    ):
        yield place + (step,)
        yield from places_of(inner, place + (step,))


@pytest.mark.parametrize("start", [TWO, PODS, OLD, LAB])
def test_whatever_stands_where_it_is_told_in_one_sentence(tmp_path, start):
    judged = []
    for place, odd in itertools.product(places_of(start), ODD):
        path = write(tmp_path, start, *place, value=odd)
        try:
            judged.append("\n".join(rank_table.read(path).warnings))
            rank_table.show(rank_table.read(path)).encode()
        except WorkbookError as error:
            judged.append(str(error))
    assert len(judged) > 300 and all(said.isprintable() or "\n" in said for said in judged)
    assert all(
        sentence.startswith(str(tmp_path)) and len(sentence) < 500
        for said in judged
        for sentence in said.splitlines()
    )
