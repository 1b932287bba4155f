"""Rank tables: made from a server's files, merged, and every broken rule named."""
import copy
import json
import os

import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table

CONF = "".join("address_{0}=192.168.{1}.{0}\nnetmask_{0}=255.255.255.0\nnetdetect_{0}=192.168.{1}.9\n".format(i, 100 + i // 4)
               for i in range(8))


@pytest.fixture
def conf(tmp_path):
    path = tmp_path / "hccn.conf"
    path.write_text(CONF)
    return str(path)


@pytest.fixture
def make(tmp_path, conf):
    """Makes a table in tmp_path and returns it."""
    def made(count=8, name="table.json", server="10.0.0.10", **options):
        return rank_table.make(str(tmp_path / name), count, server=server, conf=conf, tool="no-such-tool", **options)
    return made


def content(table):
    with open(table.path) as file:
        return json.load(file)


def test_the_table_of_eight_cards_is_the_published_form(make):
    assert content(make()) == {"version": "1.0", "server_count": "1", "status": "completed", "server_list": [
        {"server_id": "10.0.0.10", "device": [
            {"device_id": str(i), "device_ip": "192.168.{}.{}".format(100 + i // 4, i), "rank_id": str(i)} for i in range(8)]}]}


@pytest.mark.parametrize("count, first", [(1, 0), (1, 6), (2, 0), (2, 2), (2, 6), (4, 0), (4, 4), (8, 0)])
def test_allowed_choices_of_cards(make, count, first):
    table = make(count, first=first)
    assert [(card.device, card.rank) for card in table.cards] == [(first + i, i) for i in range(count)]


@pytest.mark.parametrize("count, first, words", [
    (3, 0, "--cards 3 --first 0 uses 3 cards: a server's ranks can be 1, 2, 4 or 8"),
    (2, 3, "uses cards 3, 4: 2 cards must lie within 0-3 or within 4-7"),
    (4, 2, "uses cards 2, 3, 4, 5: 4 cards must lie"), (8, 1, "uses card 8: a server's cards are 0 to 7"),
    (0, 0, "uses 0 cards")])
def test_forbidden_choices_of_cards(make, tmp_path, count, first, words):
    with pytest.raises(WorkbookError, match=words):
        make(count, first=first)
    assert not (tmp_path / "table.json").exists()


def test_the_tool_is_asked_where_there_is_one(tmp_path, monkeypatch):
    tool = tmp_path / "hccn_tool"
    tool.write_text('#!/bin/sh\n[ "$1 $3 $4" = "-i -ip -g" ] && [ "$2" != 1 ] && echo "ipaddr:10.1.1.$2" && echo "netmask:255.255.0.0"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    table = rank_table.make(str(tmp_path / "t"), 1, first=5, server="s")
    assert [card.address for card in table.cards] == ["10.1.1.5"]
    with pytest.raises(WorkbookError, match="hccn_tool holds no address of card 1: set it with `hccn_tool -i 1"):
        rank_table.make(str(tmp_path / "t"), 2, server="s")


def test_a_missing_file_or_address_is_named(make, tmp_path, conf):
    with open(conf, "w") as file:
        file.write(CONF.split("address_7")[0])
    with pytest.raises(WorkbookError, match="hccn.conf holds no address of card 7"):
        make()
    os.remove(conf)
    with pytest.raises(WorkbookError, match="hccn.conf cannot be read .No such file.* name its copy with --hccn-conf"):
        make()


def test_merged_servers_are_numbered_through(make, tmp_path, conf):
    first = make(name="a")
    with open(conf, "w") as file:
        file.write(CONF.replace("192.168", "192.169"))
    merged = rank_table.merge(str(tmp_path / "all"), [first, make(name="b", server="10.0.0.11")])
    assert [card.rank for card in merged.cards] == list(range(16))
    assert [(server, [card.device for card in cards]) for server, cards in rank_table.servers(merged)] == [
        ("10.0.0.10", list(range(8))), ("10.0.0.11", list(range(8)))]
    assert content(merged)["server_count"] == "2"
    assert rank_table.show(merged).splitlines()[9:] == [
        "{:4d}  {:24s} {:6d}  192.169.{}.{}".format(8 + i, "10.0.0.11", i, 100 + i // 4, i) for i in range(8)] + ["16 cards on 2 servers"]


def test_what_cannot_be_merged_is_named(make, tmp_path):
    with pytest.raises(WorkbookError, match="a and .*a both hold server 10.0.0.10"):
        rank_table.merge(str(tmp_path / "all"), [make(name="a"), make(name="a")])
    with pytest.raises(WorkbookError, match="address 192.168.100.0 is there 2 times"):
        rank_table.merge(str(tmp_path / "all"), [make(name="a"), make(name="b", server="b")])
    assert not (tmp_path / "all").exists()


def test_part_of_a_server_is_no_part_of_a_cluster(make, tmp_path, conf):
    first = make(4, name="a")
    with pytest.raises(WorkbookError, match="server 10.0.0.10 has 4 of the 8 cards: in a table of several servers each uses all"):
        rank_table.merge(str(tmp_path / "all"), [first, make(4, name="b", server="b", first=4)])


def test_addresses_of_another_server_are_noticed(make, conf):
    table = make()
    rank_table.check_addresses(table, "10.0.0.10", rank_table.addresses([0, 1], conf=conf, tool="no-such-tool"))
    with pytest.raises(WorkbookError, match="gives card 1 of server 10.0.0.10 the address 192.168.100.1, this machine 1.2.3.4"):
        rank_table.check_addresses(table, "10.0.0.10", {1: "1.2.3.4"})
    rank_table.check_addresses(table, "elsewhere", {1: "1.2.3.4"})


GOOD = {"server_count": "1", "status": "completed", "version": "1.0", "server_list": [{
    "server_id": "10.0.0.10", "host_nic_ip": "reserve", "device": [
        {"device_id": str(i), "device_ip": "192.168.1.{}".format(i), "rank_id": str(i)} for i in range(2)]}]}
OLD = {"status": "completed", "group_count": "1", "group_list": [{
    "group_name": "hccl_world_group", "instance_count": "2", "device_count": "2", "instance_list": [
        {"pod_name": "tf-{}".format(i), "server_id": "10.0.0.10", "devices": [
            {"device_id": str(i), "device_ip": "192.168.1.{}".format(i)}]} for i in range(2)]}]}
LAB = {"board_id": "0x0000", "chip_info": "910", "deploy_mode": "lab", "status": "completed", "group_count": "1",
       "para_plane_nic_location": "device", "para_plane_nic_name": ["eth0", "eth1"], "para_plane_nic_num": "2", "group_list": [{
           "group_name": "", "device_num": "2", "server_num": "1", "instance_count": "2", "instance_list": [
               {"rank_id": str(1 - i), "server_id": "10.0.0.10", "devices": [
                   {"device_id": str(i), "device_ip": "192.168.1.{}".format(i)}]} for i in range(2)]}]}


def write(tmp_path, table, *place, value=None):
    """A file of the table with one place changed; a value of None takes the place out."""
    table = copy.deepcopy(table)
    holder = table
    for step in place[:-1]:
        holder = holder[step]
    if value is not None:
        holder[place[-1]] = value
    elif place:
        del holder[place[-1]]
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table))
    return str(path)


@pytest.mark.parametrize("table, devices", [(GOOD, [0, 1]), (OLD, [0, 1]), (LAB, [1, 0])])
def test_both_forms_and_the_laboratorys_are_read(tmp_path, table, devices):
    assert [card.device for card in rank_table.read(write(tmp_path, table)).cards] == devices


def test_an_older_table_becomes_one_of_version_1(tmp_path):
    new = rank_table.merge(str(tmp_path / "new"), [rank_table.read(write(tmp_path, LAB))])
    assert content(new)["server_list"][0]["device"][0] == {"device_id": "1", "device_ip": "192.168.1.1", "rank_id": "0"}


SERVER, FIRST = ("server_list", 0), ("server_list", 0, "device", 0)
GROUP, POD = ("group_list", 0), ("group_list", 0, "instance_list", 0)


@pytest.mark.parametrize("table, place, value, words", [
    (GOOD, FIRST + ("rank_id",), 0, 'rank_id is 0: every value is a text, write "0"'),
    (GOOD, ("server_count",), 1, 'server_count is 1: every value is a text'),
    (GOOD, ("status",), "initializing", "wait until the cluster's manager"),
    (GOOD, ("status",), "ready", "status is 'ready': a table that is ready says 'completed'"),
    (GOOD, ("status",), None, "the table has no status"),
    (GOOD, ("version",), "1.1", "version is '1.1'"),
    (GOOD, ("version",), None, "the table has no version"),
    (GOOD, ("server_count",), "2", "server_count is 2, but 1 servers are listed"),
    (GOOD, ("server_count",), "one", "server_count 'one' of the table is no number"),
    (GOOD, ("server_list",), None, "neither server_list nor group_list"),
    (GOOD, ("server_list",), {}, "the table has no server_list that is a list"),
    (GOOD, SERVER + ("server_id",), "x" * 64, "has 64 characters"),
    (GOOD, SERVER + ("server_id",), None, "a server has no server_id"),
    (GOOD, SERVER + ("device",), [], "lists no card"),
    (GOOD, FIRST + ("device_id",), "1", "device_id 1 is there 2 times on server 10.0.0.10: a card runs one rank"),
    (GOOD, FIRST + ("device_id",), "8", "uses card 8"),
    (GOOD, FIRST + ("device_id",), "4", "uses cards 4, 1: 2 cards must lie within 0-3 or within 4-7"),
    (GOOD, FIRST + ("device_id",), "-1", "device_id '-1' of a device of server 10.0.0.10 is no number"),
    (GOOD, FIRST + ("device_ip",), "192.168.1.1", "address 192.168.1.1 is there 2 times"),
    (GOOD, FIRST + ("device_ip",), "192.168.1", "device_ip '192.168.1' of card 0 of server 10.0.0.10 is no address"),
    (GOOD, FIRST + ("device_ip",), None, "a device of server 10.0.0.10 has no device_ip"),
    (GOOD, FIRST + ("rank_id",), "1", "rank_id 1 is there 2 times"),
    (GOOD, FIRST + ("rank_id",), "2", "rank_id 0 is missing among 2 cards"),
    (OLD, ("group_count",), "2", "group_count is 2, but 1 groups"),
    (OLD, GROUP + ("instance_count",), "1", "instance_count is 1, but 2 instances"),
    (OLD, GROUP + ("device_count",), "8", "device_count is 8, but 2 devices"),
    (OLD, GROUP + ("instance_list",), None, "the group has no instance_list"),
    (OLD, POD + ("devices", 0, "device_id"), "1", "device_id 1 is there 2 times"),
    (LAB, GROUP + ("device_num",), "4", "device_num is 4, but 2 devices"),
    (LAB, GROUP + ("server_num",), "2", "server_num is 2, but 1 servers"),
    (LAB, POD + ("rank_id",), "0", "rank_id 0 is there 2 times"),
    (LAB, POD + ("devices",), [], "the instance of rank_id 1 has 0 devices"),
])
def test_every_broken_rule_has_a_sentence(tmp_path, table, place, value, words):
    path = write(tmp_path, table, *place, value=value)
    with pytest.raises(WorkbookError) as caught:
        rank_table.read(path)
    said = str(caught.value)
    assert words in said and said.startswith(path) and "\n" not in said


@pytest.mark.parametrize("text, words", [
    ('{"version": "1.0" // the form\n}', "take out the comment '//'"), ("", "is no JSON"), ("[]", "holds a list"),
    (None, "cannot be read (No such file")])
def test_what_is_no_table_is_named(tmp_path, text, words):
    path = tmp_path / "t.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(WorkbookError) as caught:
        rank_table.read(str(path))
    assert words in str(caught.value)


def test_a_server_listed_twice_is_named(tmp_path):
    twice = dict(GOOD, server_list=GOOD["server_list"] * 2, server_count="2")
    with pytest.raises(WorkbookError, match="server_id 10.0.0.10 is there twice"):
        rank_table.read(write(tmp_path, twice))
