"""A disk that is full, and a folder that takes no files: a sentence that names it, everywhere."""

import contextlib
import glob
import os
import resource
import shutil
import subprocess

import numpy as np
import pytest

from deeplab_nb import files
from deeplab_nb.cli import data as data_commands
from deeplab_nb.data import voc
from deeplab_nb.processes import alone_at
from tests.support.command import COMMAND, call
from tests.support.files import digests
from tests.support.tiny_checkpoint import make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc

# words in capitals stand for paths
COMMANDS = {
    "evaluate --json": "evaluate NETWORK --data DATA --json OUT/found.json",
    "evaluate --predictions": "evaluate NETWORK --data DATA --predictions OUT/seen",
    "evaluate --shard": "evaluate NETWORK --data DATA --shard 1/2 --out OUT/shards",
    "score": "score PREDICTIONS --data DATA --json OUT/found.json",
    "predict": "predict PHOTOGRAPH NETWORK --out OUT/seen",
    "export": "export NETWORK --format frozen --size 49 --image PHOTOGRAPH --out OUT/exported",
    "export saved_model": (
        "export NETWORK --format saved_model --size 49 --image PHOTOGRAPH --out OUT/exported"
    ),
    "convert": "convert DATA/JPEGImages DATA/SegmentationClass --out OUT/own",
    "train": "train sample --set data_root=DATA --set train_crop_size=33 --set clones=1 "
    "--set train_batch_size=2 --set train_steps=1 --out OUT/train",
    "launch": "launch sample --set data_root=DATA --cards 2 --set device=cpu --out OUT/launch",
    "rank-table": "rank-table make --server-ip 127.0.0.1 --cards 1 --hccn-conf CONF "
    "--out OUT/table.json",
    "run": "run sample --name mine",
    "sweep": "run sample --name mine --sweep learning_rate=0.1,0.2",
    "published": "run published --data DATA --name mine",
    "fetch weights": "fetch weights mobilenetv2_dm05_coco_voc_trainaug",
    "fetch voc": "fetch voc",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{word: words} of what the commands read."""
    root = make_tiny_voc(tmp_path_factory.mktemp("voc"), train=4)
    prefix = make_tiny_checkpoint(str(tmp_path_factory.mktemp("network")))
    seen = tmp_path_factory.mktemp("seen")
    for image_id in voc.read_list(root, "val"):
        voc.write_mask(str(seen / (image_id + ".png")), np.zeros((33, 49)))
    conf = seen / "hccn.conf"
    conf.write_text("address_0=192.168.100.101\n")
    return {
        "CONF": str(conf),
        "PREDICTIONS": str(seen),
        "NETWORK": f"--checkpoint {prefix} --engine tensorflow",
        "DATA": root,
        "PHOTOGRAPH": voc.image_path(root, "val_000"),
    }


def words_of(command, made, out):
    text = COMMANDS[command]
    for word, words in dict(made, OUT=str(out)).items():
        text = text.replace(word, words)
    if command.startswith("export"):
        text = text.replace("--engine tensorflow", "")
    return text.split()


@pytest.fixture
def into(monkeypatch):
    """Sends runs, records and downloads into a folder."""

    def send(folder):
        monkeypatch.setattr(files, "RUNS", os.path.join(str(folder), "runs"))
        monkeypatch.setattr(data_commands, "DATA", os.path.join(str(folder), "data"))

    runs = glob.glob(os.path.join(files.RUNS, "mine-*"))
    yield send
    for run in set(glob.glob(os.path.join(files.ROOT, "papermill_runs", "mine-*"))) - set(runs):
        os.rmdir(run)  # a trial of a sweep is a process of its own, and had no room


def one_sentence(said, *names):
    """The last line is it; what a command says while it works stands before."""
    lines = [line for line in said.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 and "Traceback" not in said, said
    assert any(name in lines[0] for name in names), said
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_in_a_folders_place(command, made, into, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    into(tmp_path / "file")
    before = digests(made["DATA"])
    said = call(*words_of(command, made, tmp_path / "file"), code=1)
    one_sentence(said, str(tmp_path / "file"))
    assert os.listdir(str(tmp_path)) == ["file"] and (tmp_path / "file").read_text() == "mine"
    assert digests(made["DATA"]) == before


@pytest.fixture
def read_only(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro,size=100k", "tmpfs", str(folder)],
        stderr=subprocess.PIPE,
    )
    if mounted.returncode:
        pytest.skip("mounting a disk is not permitted here")
    yield str(folder)
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_read_only_disk(command, made, into, read_only):
    into(read_only)
    said = one_sentence(call(*words_of(command, made, read_only), code=1), read_only)
    assert "Read-only file system" in said


@contextlib.contextmanager
def full_disk(size=0):
    """No file grows beyond `size` bytes: what a full disk does, to one process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


LOCAL = [name for name in COMMANDS if name.split()[0] not in ("fetch", "published")]


@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize("command", LOCAL)
def test_a_full_disk(command, size, made, into, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    into(out)
    with full_disk(size):
        said = call(*words_of(command, made, out), code=1)
    assert "File too large" in one_sentence(said, str(out)) or command == "launch"
    left = [name for _, _, names in os.walk(str(out)) for name in names]
    assert not [name for name in left if name.endswith((".part", ".lock")) and name != ".lock"]


@pytest.mark.parametrize("command", ["convert", "export", "train", "fetch weights", "rank-table"])
def test_a_second_command_in_one_folder_is_refused(command, made, into, tmp_path):
    into(tmp_path)
    words = words_of(command, made, tmp_path)
    written = words[-1] if "--out" in words else str(tmp_path / "data" / "weights" / words[-1])
    with alone_at(written):
        said = call(*words, code=1)
    assert one_sentence(said, written) == (
        f"Error: {written} is being written by process {os.getpid()}: wait for it, or give "
        "another place"
    )
    assert digests(os.path.dirname(written)) == {}


def test_checkpoints_of_a_training_that_goes_on_stay_where_they_are(made, tmp_path):
    folder = os.path.dirname(made["NETWORK"].split()[1])
    shutil.copytree(folder, str(tmp_path / "train"))
    for path in (tmp_path / "train").glob("model.ckpt.*"):
        for step in (1, 2):
            shutil.copy(str(path), str(path).replace("ckpt.", f"ckpt-{step}."))
    before = digests(tmp_path)
    words = ["train", "sample", "--out", str(tmp_path / "train"), "--from-step", "1"]
    with alone_at(str(tmp_path / "train")):
        assert "is being written by process" in call(*words, code=1)
    assert digests(tmp_path) == before


def test_a_pipe_whose_reader_has_gone_is_no_error_of_the_disk():
    done = subprocess.run(
        f"{COMMAND} recipes | true", shell=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert b"cannot be read" not in done.stderr and b"Traceback" not in done.stderr
