"""Ranks that die, never start or cannot write.

All end, what was saved stays, and a sentence says how to go on.
"""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from deeplab_nb.data.records import records_folder, write_records
from deeplab_nb.launch import this_machine
from deeplab_nb.network.checkpoints import find_checkpoint, step_of
from deeplab_nb.training.log import end_of
from tests.support.tiny_ranks import at_step, failing, log_of, pid, ranks_of, said
from tests.support.tiny_training import TINY, records  # noqa: F401
from tests.support.tiny_voc import make_tiny_voc

# takes root's power over read-only folders from a process
NO_OVERRIDE = """
import ctypes
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
libc = ctypes.CDLL(None)
assert libc.capget(header, data) == 0
data[0] &= ~2
assert libc.capset(header, data) == 0
"""


@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_rank_ends_all_and_the_last_checkpoint_stays(records, tmp_path, killed):
    times = []

    def kill():
        times.append(time.time())
        os.kill(pid(tmp_path, killed), signal.SIGKILL)

    words = (
        f"rank {killed} was killed by SIGKILL: see .*; checkpoints are kept, and the same "
        "command goes on"
    )
    with failing(tmp_path, (0, 1), words):
        ranks_of(records, tmp_path, 2, train_steps=5000, save_every=2, on_line=at_step(5, kill))
    assert time.time() - times[0] < 10, "all are to be gone by then"
    assert step_of(find_checkpoint(str(tmp_path / "train"))) >= 4


def test_a_rank_that_never_starts_is_named(records, tmp_path, monkeypatch):
    monkeypatch.setenv("HCCL_CONNECT_TIMEOUT", "1")
    with failing(tmp_path, [0], "rank 0 exited with code 1"):
        ranks_of(records, tmp_path, 2, only=[0])
    assert "WorkbookError: rank 1 did not answer at 127.0.0.1:" in said(
        tmp_path, 0
    ) and "within 1 s" in said(tmp_path, 0)


def test_a_proxy_is_not_asked_and_no_other_machine_reaches_a_port(records, tmp_path, monkeypatch):
    """The ranks train, each port answers at 127.0.0.1 and at no other address of this machine."""
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    addresses, seen = this_machine.free_addresses(2), {}
    ports = [int(address.rsplit(":", 1)[1]) for address in addresses]

    def knock():
        own = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}
        for host in own - {"127.0.0.1", "127.0.1.1", "::1"} | {"127.0.0.1"}:
            for port in ports:
                with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
                    one.settimeout(2)
                    seen[host, port] = one.connect_ex((host, port)) == 0

    ranks_of(records, tmp_path, 2, train_steps=4, addresses=addresses, on_line=at_step(2, knock))
    assert step_of(find_checkpoint(str(tmp_path / "train"))) == 4
    assert {key for key, open_ in seen.items() if open_} == {("127.0.0.1", p) for p in ports}


def test_a_port_that_is_taken_is_named(records, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        addresses = this_machine.free_addresses(1) + [f"127.0.0.1:{taken.getsockname()[1]}"]
        with failing(tmp_path, (0, 1), "rank 1 exited with code 1"):
            ranks_of(records, tmp_path, 2, addresses=addresses)
    assert f"rank 1 cannot listen at {addresses[1]}" in said(tmp_path, 1)
    assert "its port is taken, end the process that has it or give other addresses" in said(
        tmp_path, 1
    )


def test_a_checkpoint_folder_that_is_read_only_is_named(records, tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    folder.chmod(0o555)
    with failing(tmp_path, (0, 1), "rank 0 exited with code 1"):
        ranks_of(records, tmp_path, 2, prelude=NO_OVERRIDE)
    refused = f"WorkbookError: {folder}/.settings.json.lock cannot be read or written (Permission"
    assert refused in said(tmp_path, 0)
    assert os.listdir(str(folder)) == []


COMMAND = [os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), "launch", "sample"]


def values(root, **changed):
    """`--set` of every value."""
    tiny = dict(TINY, **dict(dict(data_root=root, clones=1, train_steps=2), **changed))
    return ["--set={}={}".format(*item) for item in tiny.items()]


def call(*words):
    done = subprocess.run(
        COMMAND + list(words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_the_command_trains_two_ranks_and_goes_on_with_one(tmp_path):
    root, out = make_tiny_voc(tmp_path / "voc", train=5), str(tmp_path / "out")
    code, text = call("--cards", "2", "--out", out, *values(root))
    assert code == 0, text
    assert (
        "[rank 0] starting from random weights" in text
        and "[rank 0] rank 0 of 2 has ended: peak memory " in text
    )
    assert find_checkpoint(os.path.join(out, "train")).endswith("model.ckpt-2")
    assert len({end_of(log_of(out, rank))["variables_sha256"] for rank in range(2)}) == 1
    code, text = call("--cards", "4", "--out", out, *values(root))
    assert code == 1 and "was trained with 2 x 2 images a step" in text and text.count("\n") == 1
    code, text = call(
        "--cards", "1", "--out", out, *values(root, train_steps=4, train_batch_size=4)
    )
    assert code == 0 and "resuming at step 2 of 4" in text, text


@pytest.mark.slow
def test_two_hosts_launch_their_own_ranks(tmp_path):
    """Two addresses of this machine stand for two hosts."""
    root = make_tiny_voc(tmp_path / "voc", train=5)
    ports = [address.split(":")[1] for address in this_machine.free_addresses(2)]
    write_records(
        root, "train", records_folder(root)
    )  # else both would at the same time, into the same folder
    words = ["--cards", "2", "--addresses", "127.0.0.1:{},127.0.0.2:{}".format(*ports)] + values(
        root
    )
    started = [
        subprocess.Popen(
            COMMAND + ["--server", str(server), "--out", str(tmp_path / str(server))] + words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            universal_newlines=True,
        )
        for server in range(2)
    ]
    said = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert "[rank 1] rank 1 of 2 has ended" in said[1]
    digests = [end_of(log_of(tmp_path / str(rank), rank))["variables_sha256"] for rank in range(2)]
    assert digests[0] == digests[1]
