"""The published scripts from a shell: options, refusals, what they leave in the current folder."""

import os
import shutil
import subprocess
import sys

import pytest

from deeplab_nb import files
from tests.support.records import make_edge, write_flat_records
from tests.support.tiny_checkpoint import make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc

SCRIPTS = os.path.join(files.ROOT, "scripts")
DEEPLAB = [
    "train_full_1p.sh",
    "train_full_8p.sh",
    "train_performance_1p.sh",
    "train_performance_8p.sh",
]
ENTRY = ["run_standalone_train.sh", "run_distribute_train.sh", "run_eval.sh"]
TINY = [
    "--set",
    "backbone=mobilenet_v2",
    "--set=depth_multiplier=0.25",
    "--set",
    "train_crop_size=33",
]
PLAIN = TINY + [
    "--set",
    "aspp=false",
    "--set",
    "decoder=false",
    "--set",
    "mixed_precision=false",
    "--set",
    "log_every=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of voc, records, edge and a checkpoint w."""
    folder = str(tmp_path_factory.mktemp("data"))
    root = make_tiny_voc(os.path.join(folder, "voc"))
    for name in ("trainval", "val"):
        write_flat_records(root, name, os.path.join(folder, "records", "tfrecord"), shards=2)
    make_edge(root, os.path.join(folder, "edge"))
    make_tiny_checkpoint(os.path.join(folder, "w"))
    return folder


def call(cwd, script, *words, code=0, **environment):
    """What a script says, run by bash in a folder."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RANK_", "ASCEND_DEVICE"))
    }
    path = os.path.dirname(sys.executable) + os.pathsep + keep["PATH"]
    done = subprocess.run(
        ["bash", script if os.sep in script else os.path.join(SCRIPTS, script)] + list(words),
        cwd=str(cwd),
        env=dict(keep, PATH=path, **environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    said = done.stdout.decode()
    assert done.returncode == code and "Traceback" not in said, said
    return said


@pytest.mark.parametrize("script", DEEPLAB + ENTRY)
def test_help_and_a_wrong_option(tmp_path, script):
    said = call(tmp_path, script, "-h")
    assert "Trains" in said or "Scores" in said
    words = ["--frobnicate=1"] if script in DEEPLAB else ["0", "/voc", "/w", "--frobnicate=1"]
    said = call(tmp_path, script, *words, code=2)
    assert "--frobnicate" in said and said.count("\n") == 1
    assert os.listdir(str(tmp_path)) in ([], ["eval.log"])


@pytest.mark.parametrize(
    "script, words, code, sentence",
    [
        ("train_full_1p.sh", ["--ckpt_path=/w"], 2, "--data_path is missing"),
        ("train_full_1p.sh", ["--data_path=/d"], 2, "--ckpt_path is missing"),
        (
            "train_full_8p.sh",
            ["--data_path={data}/nowhere", "--ckpt_path=/w"],
            1,
            "nowhere does not exist",
        ),
        (
            "train_full_8p.sh",
            ["--data_path={data}/records", "--ckpt_path=/w"],
            1,
            "no Ascend card can be used for 8 ranks",
        ),
        (
            "train_full_1p.sh",
            ["--data_path={data}/records", "--ckpt_path=/w"],
            1,
            "checkpoint /w does not exist",
        ),
        (
            "train_full_8p.sh",
            ["--data_path={data}/records", "--ckpt_path=/w", "--set", "device=cpu"],
            1,
            "checkpoint /w does not exist",
        ),
        (
            "train_full_1p.sh",
            ["--data_path={data}/records", "--ckpt_path={data}/w", "--set", "train_step=1"],
            1,
            "did you mean 'train_steps'?",
        ),
        ("run_standalone_train.sh", ["0"], 2, "takes DEVICE_ID DATA_PATH [CKPT], got 1"),
        (
            "run_distribute_train.sh",
            ["table.json", "{data}/edge", "--cards=2"],
            1,
            "no Ascend card can be used",
        ),
        (
            "run_standalone_train.sh",
            ["0", "{data}/edge", "/w.ckpt"],
            1,
            "checkpoint /w.ckpt does not exist",
        ),
        (
            "run_standalone_train.sh",
            ["0", "{data}/edge", "--batch_size=9"],
            1,
            "has 4 images, fewer than the 9 of one step",
        ),
        ("run_eval.sh", ["0", "{data}/edge"], 2, "takes DEVICE_ID DATA_PATH CKPT"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_written(
    tmp_path, data, script, words, code, sentence
):
    said = call(tmp_path, script, *[word.format(data=data) for word in words], code=code)
    assert sentence in said and os.listdir(str(tmp_path)) == []


def test_cards_without_a_rank_table_are_noticed(tmp_path, data):
    stand_in = os.path.join(files.ROOT, "tests", "support", "stand_in")  # of npu_bridge
    said = call(
        tmp_path,
        "train_full_8p.sh",
        f"--data_path={data}/records",
        f"--ckpt_path={data}/w",
        code=1,
        PYTHONPATH=stand_in,
    )
    assert "8 NPUs need a rank table" in said and os.listdir(str(tmp_path)) == []


def test_a_missing_checkpoint_is_named_by_the_evaluation(tmp_path, data):
    said = call(tmp_path, "run_eval.sh", "0", data + "/edge", "/nowhere.ckpt", code=1)
    assert "checkpoint /nowhere.ckpt does not exist" in said and os.listdir(str(tmp_path)) == [
        "eval.log"
    ]


def test_variables_may_be_edited_and_options_win(tmp_path, data):
    clone = str(tmp_path / "clone")
    shutil.copytree(SCRIPTS, clone + "/scripts")
    os.symlink(os.path.join(files.ROOT, "deeplab_nb"), clone + "/deeplab_nb")
    path = clone + "/scripts/train_full_1p.sh"
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(
            text.replace("data_path=\n", f"data_path={data}/records\n")
            .replace("ckpt_path=\n", f"ckpt_path={data}/w\n")
            .replace("batch_size=7", "batch_size=5")
            .replace("train_steps=300000", "train_steps=77")
        )
    said = call(
        tmp_path,
        path,
        "--learning_rate=0.5",
        "--train_steps=20",
        "--precision_mode=must_keep_origin_dtype",
        "--over_dump=True",
        "--dry_run",
    )
    for words in (
        "train_batch_size=5",
        "learning_rate=0.5",
        "train_steps=20",
        "mixed_precision=False",
        f"data_root={data}/records/tfrecord",
        f"dump_folder={tmp_path}/log_1p/dump",
        f"initial_checkpoint={data}/w",
    ):
        assert f"--set {words}" in said
    assert os.listdir(str(tmp_path)) == ["clone"]


@pytest.mark.slow
def test_train_full_1p_on_records_ends_with_its_summary_and_miou(tmp_path, data):
    words = [f"--data_path={data}/records", f"--ckpt_path={data}/w", "--batch_size=2"] + PLAIN
    said = call(tmp_path, "train_full_1p.sh", "--train_steps=2", *words, ASCEND_DEVICE_ID="3")
    assert "restored  272 variables" in said and "eval/miou_1.0_overall[0." in said
    with open(str(tmp_path / "output" / "3" / "train_3.log")) as file:
        assert file.read().count("INFO:tensorflow:global_step/sec: ") == 2
    with open(str(tmp_path / "output" / "3" / "Deeplabv3+_for_TensorFlow_bs2_1p_acc.log")) as file:
        lines = dict(line.strip().split(" = ") for line in file)
    assert list(lines) == [
        "Network",
        "RankSize",
        "BatchSize",
        "DeviceType",
        "CaseName",
        "ActualFPS",
        "TrainingTime",
        "ActualLoss",
        "E2ETrainingTime",
    ]
    assert lines["BatchSize"] == "2" and float(lines["ActualFPS"]) == pytest.approx(
        2000 / float(lines["TrainingTime"]), rel=0.01
    )
    said = call(tmp_path, "train_full_1p.sh", "--train_steps=3", *words, ASCEND_DEVICE_ID="3")
    assert "resuming at step 2 of 3" in said
    said = call(
        tmp_path, "train_full_1p.sh", "--train_steps=3", *words, "--learning_rate=0.5", code=1
    )
    assert "log_1p was trained with learning_rate=0.0001" in said


@pytest.mark.slow
def test_the_mindspore_scripts_train_and_score_on_the_edge_adapters_folders(tmp_path, data):
    edge, words = data + "/edge", TINY + ["--epoch_size=2", "--set", "mixed_precision=false"]
    said = call(tmp_path, "run_standalone_train.sh", "0", edge, data + "/w", *words)
    with open(str(tmp_path / "log.txt")) as file:
        log = file.read()
    assert (
        "epoch: 1 step: 2, loss is " in log
        and "epoch: 2 step: 2, loss is " in log
        and log.count("Epoch time: ") == 2
    )
    assert "LOG0/chec_deeplabv3-2_2.ckpt (of TensorFlow's form)" in said
    said = call(
        tmp_path,
        "run_eval.sh",
        "0",
        edge,
        "LOG0/chec_deeplabv3-2_2.ckpt",
        "--crop_size=33",
        "--eval_scales=0.5,1.0",
    )
    with open(str(tmp_path / "eval.log")) as file:
        assert [line for line in file if line.startswith("mIoU = 0.")]
    assert "checkpoint LOG0 holds a network with num_classes=21" in call(
        tmp_path, "run_eval.sh", "0", edge, "LOG0", "--seg_num_classes=5", code=1
    )


@pytest.mark.slow
def test_ranks_leave_a_log_each(tmp_path, data):
    said = call(
        tmp_path,
        "run_distribute_train.sh",
        "none.json",
        data + "/edge",
        data + "/w",
        "--cards=2",
        "--epoch_size=2",
        *TINY,
        "--set",
        "device=cpu",
        "--set",
        "mixed_precision=false",
    )
    assert "$ deeplab-nb launch deeplabv3_mindspore_8p" in said
    for rank in (0, 1):
        with open(str(tmp_path / f"LOG{rank}" / "log.txt")) as file:
            assert "epoch: 2 step: 1, loss is " in file.read()
    assert os.path.exists(str(tmp_path / "LOG0" / "chec_deeplabv3-2_1.ckpt.index"))
