"""From a recipe to the ranks' commands and environments."""
import os

import pytest
from click.testing import CliRunner

from deeplab_nb import recipes
from deeplab_nb.cli import main
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job, rank_table
from deeplab_nb.training import cluster
from tests.test_rank_table import CONF, conf, make, OLD, write  # noqa: F401


def call(*arguments, code=0):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    return done.output


def plan(tmp_path, recipe="deeplabv3plus_8p", overrides=(), **options):
    return job.plan(recipes.get(recipe), dict(overrides), str(tmp_path / "out"), **dict({"conf": str(tmp_path / "none")}, **options))


def test_eight_ranks_of_a_recipe(make, tmp_path):
    table = make()
    found = plan(tmp_path, rank_table=table.path, overrides={"train_steps": "9"})
    assert found.ranks == list(range(8)) == list(found.devices.values())
    assert found.environments[5] == {"JOB_ID": "deeplab_nb", "RANK_ID": "5", "RANK_SIZE": "8", "ASCEND_DEVICE_ID": "5",
                                     "RANK_TABLE_FILE": table.path, "HCCL_CONNECT_TIMEOUT": "1800"}
    assert found.command[1:] == ["train", "deeplabv3plus_8p", "--set", "train_steps=9", "--out", str(tmp_path / "out" / "train")]
    assert os.path.isabs(found.environments[0]["RANK_TABLE_FILE"]) and os.access(found.command[0], os.X_OK)


def test_a_rank_runs_on_the_card_that_the_table_gives_it(make, tmp_path, monkeypatch):
    monkeypatch.setenv("HCCL_CONNECT_TIMEOUT", "600")
    environment = plan(tmp_path, cards=4, rank_table=make(4, first=4).path).environments[0]
    assert environment["ASCEND_DEVICE_ID"] == "4" and environment["HCCL_CONNECT_TIMEOUT"] == "600"
    alone = plan(tmp_path, "sample", rank_table=make(1, first=6).path).environments[0]
    assert alone["ASCEND_DEVICE_ID"] == "6" and alone["RANK_TABLE_FILE"] is None


def test_without_a_table_only_one_card_can_be_named(tmp_path, monkeypatch):
    found = plan(tmp_path, "sample", cards=2)
    assert found.environments[1] == {"JOB_ID": "deeplab_nb", "RANK_ID": "1", "RANK_SIZE": "2", "RANK_TABLE_FILE": None,
                                     "TF_CONFIG": found.environments[1]["TF_CONFIG"]} and not found.devices
    monkeypatch.setenv("ASCEND_DEVICE_ID", "3")
    assert plan(tmp_path, "sample").devices == {0: "3"} and not plan(tmp_path, "sample", cards=2).devices
    assert found.command[-4:-2] == ["--set", "cards=2"]
    assert job.text(found).splitlines()[1].startswith("JOB_ID=deeplab_nb RANK_ID=1 RANK_SIZE=2 ")


def test_ranks_on_cpus_get_addresses_of_their_own_or_those_given(tmp_path):
    members = [cluster.members(2, plan(tmp_path, "sample", cards=2).environments[rank]) for rank in range(2)]
    assert [rank for _, rank in members] == [0, 1] and all(len(set(addresses)) == 2 for addresses, _ in members)
    four = ["a:1", "b:1", "b:2", "a:2"]
    there = plan(tmp_path, "sample", cards=4, addresses=four, server=1)
    assert there.ranks == [1, 2] and cluster.members(4, there.environments[2]) == (four, 2)
    on_gpus = plan(tmp_path, "sample", cards=4, addresses=four, server=1, overrides={"device": "gpu"}).environments
    assert [on_gpus[rank]["CUDA_VISIBLE_DEVICES"] for rank in (1, 2)] == ["0", "1"]


@pytest.mark.parametrize("options, words", [
    (dict(addresses=["a:1"]), "1 addresses are given for 2 ranks"),
    (dict(addresses=["a:1", "b:1"]), "are of 2 hosts, a, b: say with --server 0 to 1"),
    (dict(addresses=["a:1", "b:1"], server=2), "are of 2 hosts")])
def test_addresses_that_do_not_fit_are_named(tmp_path, options, words):
    with pytest.raises(WorkbookError, match=words):
        plan(tmp_path, "sample", cards=2, **options)


def test_what_does_not_fit_is_named(make, tmp_path):
    table = make()
    with pytest.raises(WorkbookError, match="holds 8 cards, the settings say 2: give --cards 8"):
        plan(tmp_path, cards=2, rank_table=table.path)
    with pytest.raises(WorkbookError, match="table.json has the older form.*`deeplab-nb rank-table merge"):
        plan(tmp_path, cards=2, rank_table=write(tmp_path, OLD))
    with pytest.raises(WorkbookError, match="8 NPUs need a rank table: make one with `deeplab-nb rank-table make --cards 8`"):
        plan(tmp_path, overrides={"device": "npu"})
    table = make()
    with pytest.raises(WorkbookError, match="--server 1 is none of .* give 0 to 0"):
        plan(tmp_path, rank_table=table.path, server=1)


def test_a_table_of_another_machine_is_noticed(make, tmp_path, conf):
    table = make()
    assert plan(tmp_path, rank_table=table.path, conf=conf).ranks == list(range(8))
    with open(conf, "w") as file:
        file.write(CONF.replace("192.168", "10.0"))
    with pytest.raises(WorkbookError, match="gives card 0 of server 10.0.0.10 the address 192.168.100.0, this machine 10.0.100.0"):
        plan(tmp_path, rank_table=table.path, conf=conf)


def test_the_server_has_to_be_named_among_several(make, tmp_path, conf):
    first = make(name="a")
    with open(conf, "w") as file:
        file.write(CONF.replace("192.168", "192.169"))
    both = rank_table.merge(str(tmp_path / "both"), [first, make(name="b", server="10.0.0.11")])
    with pytest.raises(WorkbookError, match="lists 2 servers: say with --server 0 to 1"):
        job._cards_here(both, None, "none")
    assert [(card.rank, card.device) for card in job._cards_here(both, 1, "none")] == [(8 + i, i) for i in range(8)]
    assert job.environment(11, 16, both.path)["ASCEND_DEVICE_ID"] == "3"


def test_the_command_line_makes_shows_checks_and_plans(tmp_path, conf):
    out, hccn = str(tmp_path / "t.json"), ("--server-ip", "10.0.0.10", "--hccn-conf", conf)
    said = call("rank-table", "make", *hccn, "--out", out)
    assert "8 cards on 1 server" in said and said.endswith(out + "\n")
    assert call("rank-table", "show", out) + out + "\n" == said and "nothing is wrong" in call("rank-table", "check", out)
    assert "10.0.0.10" in call("rank-table", "merge", out, "--out", str(tmp_path / "m.json"))
    said = call("launch", "deeplabv3plus_8p", "--rank-table", out, "--dry-run")
    assert said.count("\n") == 8 and "RANK_ID=7" in said.splitlines()[7]
    assert "uses cards 3, 4" in call("rank-table", "make", *hccn, "--cards", "2", "--first", "3", code=1)
    assert "it can be 1, 2, 4, 8, 16, 32" in call("launch", "sample", "--cards", "3", code=1)
