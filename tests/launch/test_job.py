"""From a recipe to the ranks' commands and environments."""

import os
import shlex

import pytest
from click.testing import CliRunner

from deeplab_nb import recipes
from deeplab_nb.cli import main
from deeplab_nb.devices import collectives, ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job, rank_table
from tests.launch.test_rank_table import CONF, OLD, conf, make, write  # noqa: F401
from tests.support.tiny_voc import make_tiny_voc


def call(*arguments, code=0):
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    return done.output


def plan(tmp_path, recipe="deeplabv3plus_8p", overrides=(), **options):
    return job.plan(
        recipes.get(recipe),
        dict(overrides),
        str(tmp_path / "out"),
        **dict({"conf": str(tmp_path / "none")}, **options),
    )


def given(plan, rank):
    """The variables that a rank gets; all others of the plan are taken out."""
    return {name: value for name, value in plan.environments[rank].items() if value is not None}


def test_eight_ranks_of_a_recipe(make, tmp_path):
    table = make()
    found = plan(tmp_path, rank_table=table.path, overrides={"train_steps": "9"})
    assert found.ranks == list(range(8)) == list(map(int, found.devices.values()))
    assert given(found, 5) == {
        "JOB_ID": "deeplab_nb",
        "RANK_ID": "5",
        "RANK_SIZE": "8",
        "ASCEND_DEVICE_ID": "5",
        "RANK_TABLE_FILE": table.path,
        "HCCL_CONNECT_TIMEOUT": "1800",
    }
    assert all(name in found.environments[5] for name in ranks.CHIEF), (
        "a start by chief would be switched on by them"
    )
    assert found.command[1:] == [
        "train",
        "deeplabv3plus_8p",
        "--set",
        "train_steps=9",
        "--out",
        str(tmp_path / "out" / "train"),
    ]
    assert os.path.isabs(found.environments[0]["RANK_TABLE_FILE"]) and os.access(
        found.command[0], os.X_OK
    )


def test_a_rank_runs_on_the_card_that_the_table_gives_it(make, tmp_path, monkeypatch):
    monkeypatch.setenv("HCCL_CONNECT_TIMEOUT", "600")
    environment = plan(tmp_path, cards=4, rank_table=make(4, first=4).path).environments[0]
    assert environment["ASCEND_DEVICE_ID"] == "4" and environment["HCCL_CONNECT_TIMEOUT"] == "600"
    alone = plan(
        tmp_path, "sample", rank_table=make(1, first=6, name="one.json").path
    ).environments[0]
    assert alone["ASCEND_DEVICE_ID"] == "6" and alone["RANK_TABLE_FILE"] is None


def test_without_a_table_only_one_card_can_be_named(tmp_path, monkeypatch):
    found = plan(tmp_path, "sample", cards=2)
    assert (
        given(found, 1)
        == {
            "JOB_ID": "deeplab_nb",
            "RANK_ID": "1",
            "RANK_SIZE": "2",
            "TF_CONFIG": found.environments[1]["TF_CONFIG"],
        }
        and not found.devices
    )
    assert "RANK_TABLE_FILE" in found.environments[1]
    monkeypatch.setenv("ASCEND_DEVICE_ID", "3")
    assert (
        plan(tmp_path, "sample").devices == {0: "3"}
        and not plan(tmp_path, "sample", cards=2).devices
    )
    assert found.command[-4:-2] == ["--set", "cards=2"]
    assert job.text(found).splitlines()[1].startswith("JOB_ID=deeplab_nb RANK_ID=1 RANK_SIZE=2 ")


def test_ranks_on_cpus_get_addresses_of_their_own_or_those_given(tmp_path):
    members = [
        collectives.members(2, plan(tmp_path, "sample", cards=2).environments[rank])
        for rank in range(2)
    ]
    assert [rank for _, rank in members] == [0, 1] and all(
        len(set(addresses)) == 2 for addresses, _ in members
    )
    four = ["a:1", "b:1", "b:2", "a:2"]
    there = plan(tmp_path, "sample", cards=4, addresses=four, server=1)
    assert there.ranks == [1, 2] and collectives.members(4, there.environments[2]) == (four, 2)
    on_gpus = plan(
        tmp_path, "sample", cards=4, addresses=four, server=1, overrides={"device": "gpu"}
    ).environments
    assert [on_gpus[rank]["CUDA_VISIBLE_DEVICES"] for rank in (1, 2)] == ["0", "1"]


@pytest.mark.parametrize(
    "cards, overrides, options, words",
    [
        (
            8,
            {"device": "npu"},
            {},
            "8 NPUs need a rank table: make one with `deeplab-nb rank-table make --cards 8`",
        ),
        (
            3,
            {"device": "npu"},
            {},
            "cards is 3, which on one server uses 3 cards: a server's ranks can be 1, 2, 4 or 8 "
            "on a 910; for several",
        ),
        (3, {"device": "npu", "ascend_profile": "cann8-a2"}, {}, "3 NPUs need a rank table"),
        (0, {}, {}, "setting 'cards' is 0, it must be at least 1"),
        (-2, {}, {}, "setting 'cards' is -2, it must be at least 1"),
        (
            2,
            {},
            dict(rank_table="t.json", chief="10.0.0.1:6000"),
            "or RANK_TABLE_FILE. and --chief are given together: leave all but one out",
        ),
        (
            2,
            {"device": "cpu"},
            dict(rank_table="t.json"),
            "RANK_TABLE_FILE. is for NPUs and device is cpu: leave it out",
        ),
        (
            2,
            {},
            dict(rank_table="gone.json"),
            "rank table gone.json cannot be read .No such file or directory.: correct the path",
        ),
        (1, {}, dict(chief="10.0.0.1:6000"), "--chief is for several cards and cards is 1"),
    ],
)
def test_a_start_that_cannot_be_is_refused(tmp_path, cards, overrides, options, words):
    with pytest.raises(WorkbookError, match=words):
        plan(tmp_path, "sample", overrides, cards=cards, **options)
    assert plan(tmp_path, "sample", cards=3).ranks == [0, 1, 2], "CPUs take any number"


A2 = {"ascend_profile": "cann9-a2", "device": "npu"}


def test_a_start_without_rank_table(tmp_path, monkeypatch):
    """The guides of CANN 8 and 9: one process a card; a server's differ in ASCEND_DEVICE_ID "
    "alone."""
    monkeypatch.setenv("RANK_ID", "of another job")
    options = dict(overrides=A2, cards=16, chief="10.0.0.1:6000", server_ip="10.0.0.2")
    found = plan(tmp_path, server=1, **options)
    assert found.ranks == list(range(8, 16)) and list(found.devices.values()) == [
        str(card) for card in range(8)
    ]
    assert given(found, 11) == {
        "CM_CHIEF_IP": "10.0.0.1",
        "CM_CHIEF_PORT": "6000",
        "CM_CHIEF_DEVICE": "0",
        "CM_WORKER_SIZE": "16",
        "CM_WORKER_IP": "10.0.0.2",
        "ASCEND_DEVICE_ID": "3",
        "JOB_ID": "deeplab_nb",
        "HCCL_CONNECT_TIMEOUT": "1800",
        "DEEPLAB_NB_RANK": "11",
    }
    assert all(
        found.environments[11][name] is None for name in ("RANK_TABLE_FILE", "RANK_ID", "RANK_SIZE")
    )
    assert ranks.size_of(given(found, 11)) == "16" and ranks.rank_of(given(found, 11)) == "11"
    three = plan(tmp_path, overrides=A2, cards=3, chief="10.0.0.1:6000")
    assert [given(three, rank)["CM_WORKER_IP"] for rank in three.ranks] == ["10.0.0.1"] * 3
    pairs = plan(
        tmp_path,
        overrides=A2,
        cards=4,
        chief="10.0.0.1:6000",
        here=2,
        server=1,
        server_ip="10.0.0.2",
    )
    assert [(rank, given(pairs, rank)["ASCEND_DEVICE_ID"]) for rank in pairs.ranks] == [
        (2, "0"),
        (3, "1"),
    ]


@pytest.mark.parametrize(
    "profile, options, words",
    [
        (
            "auto",
            {},
            "is for 910 and A2 with CANN 8 or newer, not for cann5-910: give --rank-table",
        ),
        ("cann9-a3", {}, "not for cann9-a3"),
        ("cann9-a2", dict(chief="chief:6000"), "chief:6000 is no IP:PORT"),
        ("cann9-a2", dict(chief="10.0.0.1"), "10.0.0.1 is no IP:PORT"),
        ("cann9-a2", dict(chief="10.0.0.1:65521"), "with a port of 0 to 65520"),
        ("cann9-a2", dict(chief=":6000"), ":6000 is no IP:PORT"),
        (
            "cann9-a2",
            dict(cards=12),
            "12 cards are not 8 on each server: say with --here how many are",
        ),
        (
            "cann9-910",
            dict(cards=6, here=3),
            "each server uses 3 cards: a server's ranks can be 1, 2, 4 or 8",
        ),
        (
            "cann9-910",
            dict(cards=16),
            "16 cards are 8 on each of 2 servers: say with --server 0 to 1 which",
        ),
        ("cann8-a2", dict(cards=16, server=2), "say with --server 0 to 1"),
    ],
)
def test_a_start_without_rank_table_that_cannot_be_is_refused(tmp_path, profile, options, words):
    with pytest.raises(WorkbookError, match="^--chief: .*" + words):
        plan(
            tmp_path,
            overrides={"ascend_profile": profile},
            **dict({"chief": "10.0.0.1:6000"}, **options),
        )


# --- before anything is written

FILES = job.glob.glob


def gpus(monkeypatch, devices):
    """This machine has these device files of GPUs."""
    monkeypatch.setattr(
        job.glob,
        "glob",
        lambda pattern, **options: devices if "nvidia" in pattern else FILES(pattern, **options),
    )


@pytest.fixture
def lacking(tmp_path, monkeypatch):
    """A function that launches a recipe with settings, and has nothing written by it."""
    gpus(monkeypatch, [])
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: None)

    def launched(recipe, *arguments):
        said = call("launch", recipe, "--out", str(tmp_path / "out"), *arguments, code=1)
        assert (
            not (tmp_path / "out").exists() and said.startswith("Error: ") and said.count("\n") == 1
        )
        return said

    return launched


@pytest.mark.parametrize(
    "recipe, arguments, words",
    [
        (
            "deeplabv3plus_8p",
            [],
            "deeplabv3plus_8p is to train on 8 NPUs and none can be used here, npu_bridge is "
            "not installed",
        ),
        (
            "deeplabv3_mindspore_8p",
            ["--cards", "2"],
            "is to train on 2 NPUs and none can be used here",
        ),
        ("sample", ["--set", "device=npu"], "sample is to train on 1 NPUs and none"),
        (
            "sample",
            ["--cards", "4", "--rank-table", "{table}"],
            "sample is to train on 4 NPUs and none",
        ),
        (
            "sample",
            ["--cards", "2", "--chief", "10.0.0.1:6000", "--ascend-profile", "cann8-a2"],
            "sample is to train on 2 NPUs",
        ),
        (
            "deeplabv3plus_8p",
            ["--set", "device=cpu", "--set", "data_root={tmp}/gone"],
            "gone does not exist: `deeplab-nb fetch voc` brings",
        ),
        (
            "sample",
            ["--set", "data_root={voc}", "--set", "train_list=more"],
            "more.txt does not exist: the folder has",
        ),
        (
            "sample",
            ["--set", "data_root={voc}", "--set", "val_list=more", "--set", "validate_every=5"],
            "more.txt does not exist",
        ),
        (
            "deeplabv3plus_8p",
            [
                "--set",
                "device=cpu",
                "--set",
                "data_root={voc}",
                "--set",
                "train_list=train",
                "--set",
                "initial_checkpoint={tmp}/xception_65_imagenet_coco",
            ],
            "xception_65_imagenet_coco does not exist: `deeplab-nb fetch weights "
            "xception_65_imagenet_coco` brings it",
        ),
        ("sample", ["--cards", "0"], "setting 'cards' is 0, it must be at least 1"),
        ("sample", ["--cards", "2", "--rank-table", "{tmp}/gone.json"], "gone.json cannot be read"),
        ("sample", ["--ascend-profile", "cann8-a4"], "setting 'ascend_profile' is 'cann8-a4'"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(
    lacking, make, tmp_path, recipe, arguments, words
):
    places = {"tmp": tmp_path, "voc": make_tiny_voc(tmp_path / "voc"), "table": make(4).path}
    assert words in lacking(recipe, *[word.format(**places) for word in arguments])


def test_a_start_checkpoint_is_not_needed_to_go_on(tmp_path):
    root, train = make_tiny_voc(tmp_path / "voc"), tmp_path / "out" / "train"
    found = plan(
        tmp_path, "sample", {"data_root": root, "initial_checkpoint": str(tmp_path / "gone")}
    )
    with pytest.raises(WorkbookError, match="gone does not exist"):
        job.preflight(found)
    train.mkdir(parents=True)
    for name in ("model.ckpt-3.index", "model.ckpt-3.data-00000-of-00001"):
        (train / name).write_text("")
    job.preflight(found)


def test_where_npus_are_ranks_that_cannot_meet_are_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(
        WorkbookError,
        match="2 ranks would take NPUs, as npu_bridge is installed: give --rank-table or --chief",
    ):
        job.preflight(plan(tmp_path, "sample", cards=2))


def test_a_gpu_or_a_word_keeps_a_recipe_of_cards_off_them(monkeypatch, tmp_path):
    root = make_tiny_voc(tmp_path / "voc")
    values = {"data_root": root, "train_list": "train", "initial_checkpoint": ""}
    monkeypatch.setattr(job.importlib.util, "find_spec", lambda name: None)
    for devices, overrides in ((["/dev/nvidia0"], {}), ([], {"device": "cpu"})):
        gpus(monkeypatch, devices)
        job.preflight(plan(tmp_path, overrides=dict(values, **overrides)))


@pytest.mark.parametrize(
    "options, words",
    [
        (dict(addresses=["a:1"]), "1 addresses are given for 2 ranks"),
        (dict(addresses=["a:1", "b:1"]), "are of 2 hosts, a, b: say with --server 0 to 1"),
        (dict(addresses=["a:1", "b:1"], server=2), "are of 2 hosts"),
    ],
)
def test_addresses_that_do_not_fit_are_named(tmp_path, options, words):
    with pytest.raises(WorkbookError, match=words):
        plan(tmp_path, "sample", cards=2, **options)


def test_the_command_that_makes_an_older_table_anew_can_be_pasted(tmp_path):
    path = str(tmp_path / "Bob's table; $HOME [1].json")
    os.rename(write(tmp_path, OLD), path)
    with pytest.raises(WorkbookError) as refusal:
        plan(tmp_path, cards=2, rank_table=path)
    assert path in shlex.split(str(refusal.value).split("`")[1])


def test_what_does_not_fit_is_named(make, tmp_path):
    table = make(name="eight.json")
    with pytest.raises(WorkbookError, match="holds 8 cards, the settings say 2: give --cards 8"):
        plan(tmp_path, cards=2, rank_table=table.path)
    with pytest.raises(
        WorkbookError, match="table.json has the older form.*`deeplab-nb rank-table merge"
    ):
        plan(tmp_path, cards=2, rank_table=write(tmp_path, OLD))
    filling = write(tmp_path, {"status": "initializing", "version": "1.0", "server_list": []})
    with pytest.raises(
        WorkbookError, match="HCCL waits up to 30 minutes for the cluster's manager"
    ):
        plan(tmp_path, rank_table=filling)
    with pytest.raises(WorkbookError, match="holds 2 cards, the settings say 8: give --cards 2"):
        plan(tmp_path, rank_table=make(2, name="two.json").path)
    with pytest.raises(WorkbookError, match="--server 1 is none of .* give 0 to 0"):
        plan(tmp_path, rank_table=table.path, server=1)


def test_a_table_of_another_machine_is_noticed(make, tmp_path, conf):
    table = make()
    assert plan(tmp_path, rank_table=table.path, conf=conf).ranks == list(range(8))
    with open(conf, "w") as file:
        file.write(CONF.replace("192.168", "10.0"))
    with pytest.raises(
        WorkbookError,
        match="gives card 0 of server 10.0.0.10 the address 192.168.100.0, this machine 10.0.100.0",
    ):
        plan(tmp_path, rank_table=table.path, conf=conf)


def test_the_server_has_to_be_named_among_several(make, tmp_path, conf):
    first = make(name="a.json")
    with open(conf, "w") as file:
        file.write(CONF.replace("192.168", "192.169"))
    both = rank_table.merge(
        str(tmp_path / "both.json"), [first, make(name="b.json", server="10.0.0.11")]
    )
    with pytest.raises(WorkbookError, match="lists 2 servers: say with --server 0 to 1"):
        rank_table.cards_here(both, None, "none")
    assert [(card.rank, card.device) for card in rank_table.cards_here(both, 1, "none")] == [
        (8 + i, i) for i in range(8)
    ]
    assert job.environment(11, 16, both.path)["ASCEND_DEVICE_ID"] == "3"


def test_the_command_line_makes_shows_checks_and_plans(tmp_path, conf):
    out, hccn = str(tmp_path / "t.json"), ("--server-ip", "10.0.0.10", "--hccn-conf", conf)
    said = call("rank-table", "make", *hccn, "--out", out)
    assert "8 cards on 1 server" in said and said.endswith(out + "\n")
    assert call("rank-table", "show", out) + out + "\n" == said and "nothing is wrong" in call(
        "rank-table", "check", out
    )
    assert "10.0.0.10" in call("rank-table", "merge", out, "--out", str(tmp_path / "m.json"))
    said = call("launch", "deeplabv3plus_8p", "--rank-table", out, "--dry-run")
    assert said.count("\n") == 8 and "RANK_ID=7" in said.splitlines()[7]
    assert "uses cards 3, 4" in call(
        "rank-table", "make", *hccn, "--cards", "2", "--first", "3", code=1
    )
    assert "--devices 1;2 names no cards" in call(
        "rank-table", "make", *hccn, "--devices", "1;2", code=1
    )
    three = str(tmp_path / "three.json")
    said = call(
        "rank-table",
        "make",
        *hccn,
        "--devices",
        "1,3,6",
        "--ascend-profile",
        "cann9-a2",
        "--out",
        three,
    )
    assert "3 cards on 1 server" in said and "warning" not in said
    pair = call(
        "rank-table",
        "make",
        *hccn,
        "--devices",
        "1,8",
        "--ascend-profile",
        "cann9-a2",
        "--out",
        str(tmp_path / "pair.json"),
    )
    assert (
        pair.count("warning: ") == 2
        and "uses cards 1, 8: of two modules" in pair
        and "device_ip is missing" in pair
    )
    assert "uses 3 cards" in call(
        "launch", "sample", "--cards", "3", "--rank-table", three, "--dry-run", code=1
    )
    said = call(
        "launch",
        "sample",
        "--cards",
        "3",
        "--rank-table",
        three,
        "--ascend-profile",
        "cann9-a2",
        "--dry-run",
    )
    assert [line.split()[0] for line in said.splitlines()] == [
        "ASCEND_DEVICE_ID=1",
        "ASCEND_DEVICE_ID=3",
        "ASCEND_DEVICE_ID=6",
    ]
    said = call(
        "launch",
        "sample",
        "--cards",
        "2",
        "--chief",
        "10.0.0.1:6000",
        "--ascend-profile",
        "cann9-a2",
        "--dry-run",
    )
    assert (
        said.count("CM_WORKER_SIZE=2") == 2
        and "RANK_SIZE=" not in said
        and "ascend_profile=cann9-a2" in said
    )
