"""From a recipe, or a published script's arguments, to the ranks' commands and environments."""
import os

import click
import pytest
from click.testing import CliRunner

from deeplab_nb import paths, recipes
from deeplab_nb.cli import main
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import commands, entries, job, rank_table
from deeplab_nb.settings import read
from deeplab_nb.training import collectives
from tests.test_rank_table import CONF, conf, make, OLD, write  # noqa: F401
from tests.tiny_voc import make_tiny_voc


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
    members = [collectives.members(2, plan(tmp_path, "sample", cards=2).environments[rank]) for rank in range(2)]
    assert [rank for _, rank in members] == [0, 1] and all(len(set(addresses)) == 2 for addresses, _ in members)
    four = ["a:1", "b:1", "b:2", "a:2"]
    there = plan(tmp_path, "sample", cards=4, addresses=four, server=1)
    assert there.ranks == [1, 2] and collectives.members(4, there.environments[2]) == (four, 2)
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
    assert "--cards 8" in call("published", "run_distribute_train", out, "/voc", "--dry-run")
    assert "Missing option '--rank_table'" in call("published", "train_full_8p", "--data_path=/voc", "--ckpt_path=/w", code=2)
    assert "does not exist" in call("published", "run_eval", "0", str(tmp_path), str(tmp_path / "none"), code=1)


def joined(entry):
    return [" ".join(words) for words in entry.commands]


def test_train_full_1p():
    entry = entries.train_full(1, data_path="/voc", ckpt_path="/weights", over_dump="True")
    folder = os.path.join(paths.RUNS, "train_full_1p")
    assert joined(entry) == [
        "deeplab-nb launch deeplabv3plus_1p --cards 1 --set data_root=/voc --set initial_checkpoint=/weights/xception_65_coco_pretrained/"
        "x65-b2u1s2p-d48-2-3x256-sc-cr300k_init.ckpt --set mixed_precision=true --set dump_folder={0}/dump --out {0}".format(folder),
        "deeplab-nb evaluate --checkpoint {0}/train --data /voc --list val --json {0}/eval/results.json".format(folder)]
    assert "names 300000 steps and trains 3000" in entry.notes[0]


def test_train_full_8p():
    entry = entries.train_full(8, data_path="/voc", ckpt_path="/w", precision_mode="must_keep_origin_dtype", rank_table="/t.json")
    assert joined(entry)[0].startswith("deeplab-nb launch deeplabv3plus_8p --cards 8 --set data_root=/voc")
    assert "mixed_precision=false" in joined(entry)[0] and "--rank-table /t.json --out" in joined(entry)[0]
    assert "an eighth" in entry.notes[0]


def test_the_mindspore_scripts():
    entry = entries.run_standalone_train("3", "/voc", "/w.ckpt")
    assert entry.environment == {"ASCEND_DEVICE_ID": "3"} and "initial_checkpoint=/w.ckpt" in joined(entry)[0]
    entry = entries.run_distribute_train("/t.json", "/voc")
    assert "--set initial_checkpoint= --set trainable=all --rank-table /t.json" in joined(entry)[0]
    assert any("random weights" in note for note in entry.notes)
    (command,) = joined(entries.run_eval("0", "/voc", "/w.ckpt"))
    assert "--checkpoint /w.ckpt --data /voc" in command
    assert command.endswith("--protocol mindspore --scales 0.5,0.75,1.0,1.25,1.5,1.75")


@pytest.mark.parametrize("options, words", [
    ({"precision_mode": "force_fp16"}, "--precision_mode=force_fp16 is not one of this workbook: give allow_mix_precision or must_keep"),
    ({"data_dump_flag": "1"}, "give --over_dump=True")])
def test_what_an_entry_cannot_do_is_refused(options, words):
    with pytest.raises(WorkbookError, match=words):
        entries.train_full(1, data_path="/voc", ckpt_path="/w", **options)
    with pytest.raises(WorkbookError, match="DEVICE_ID 8 is no card"):
        entries.run_eval("8", "/voc", "/w")


LOG = [{"step": 1, "loss": 3.0, "seconds_a_step": 99.0}] + [{"step": i, "loss": 2.0 / i, "seconds_a_step": 0.5} for i in (2, 3, 4)]


def test_the_summary_of_eight_cards_gives_the_steps_own_time():
    entry = entries.train_full(8, data_path="/voc", ckpt_path="/w", rank_table="/t")
    outcome = entries.Outcome(read({"cards": 8, "train_batch_size": 7}), LOG, 0.8, 61.4)
    lines = dict(line.split(" = ") for line in entries.summary(entry, outcome).splitlines())
    assert lines["ActualFPS"] == "112.00" and lines["TrainingTime"] == "500.00" and lines["RankSize"] == "8"
    assert lines["TrainAccuracy"] == "0.8000" and lines["ActualLoss"] == "0.5000" and lines["E2ETrainingTime"] == "61"
    assert lines["CaseName"] == "DeepLabv3plus_bs7_8p_acc"


def test_the_mindspore_summary_fits_itself():
    outcome = entries.Outcome(read({"train_steps": 6 * 732}), LOG, 0.65, 1)
    assert entries.summary(entries.run_standalone_train("0", "/voc"), outcome).splitlines() == [
        "epoch: 6 step: 732, loss is 0.500000", "Epoch time: 366000.000, per step time: 500.000", "mIoU = 0.65"]


@pytest.mark.slow
def test_an_entry_is_launched_scored_and_summed_up(tmp_path, capsys):
    root, out = make_tiny_voc(tmp_path / "voc"), str(tmp_path / "out")
    tiny = dict(data_root=root, depth_multiplier=0.25, train_crop_size=33, train_batch_size=2, train_steps=2)
    launch = ["deeplab-nb", "launch", "sample", "--out", out] + ["--set={}={}".format(*item) for item in tiny.items()]
    with click.Context(main):
        commands._run(entries.Entry("sample", out, [launch, entries._evaluation(out, root)], {}, ["otherwise"]), dry_run=False)
    said = capsys.readouterr().out
    assert said.startswith("note: otherwise\n$ deeplab-nb launch sample --out") and "[rank 0] starting from random weights" in said
    assert "mean over" in said and "BatchSize = 2" in said and "TrainAccuracy = 0." in said
