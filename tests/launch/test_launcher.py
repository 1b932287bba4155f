"""Ranks as real processes: however a launch ends, the first failure is told, nothing is left."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest

from deeplab_nb.devices import ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import launcher
from tests.support.orphans import adopting_orphans
from tests.support.tiny_notebooks import lives, wait_for

# each rank writes its own number and that of a child, which outlives it
CHILD = (
    "import os, subprocess, sys, time; c = subprocess.Popen(['sleep', '60']); "
    "print('pids', os.getpid(), c.pid);"
)
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + CHILD
WAIT = CHILD + "time.sleep(60)"
LAUNCHER = """
import signal, sys
from deeplab_nb.launch import launcher
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background tests ignore it
try:
    launcher.launch(lambda rank: [sys.executable, "-c", sys.argv[2]], 3, sys.argv[1])
except KeyboardInterrupt:
    sys.exit(130)
"""


def python(*programs):
    """Rank to the command of its program; the last is for all further ranks."""
    return lambda rank: [sys.executable, "-c", programs[min(rank, len(programs) - 1)]]


def shell(*scripts):
    return lambda rank: ["/bin/sh", "-c", scripts[rank]]


def log(folder, rank):
    path = folder / f"rank_{rank}" / "log.txt"
    return path.read_text() if path.exists() else ""


def pids(folder, ranks):
    """Of every rank that has told them, and of their children."""
    found = [re.search(r"pids (\d+) (\d+)\n", log(folder, rank)) for rank in range(ranks)]
    return [int(number) for match in found if match for number in match.groups()]


def no_process_left(folder, ranks):
    wait_for(
        lambda: not any(lives(pid) for pid in pids(folder, ranks)), "the end of all processes", 2
    )


def fails(folder, command, ranks, **options):
    """The error of a launch and what it said; every process of it is gone."""
    lines = []
    with pytest.raises(WorkbookError) as caught:
        launcher.launch(command, ranks, str(folder), on_line=lines.append, **options)
    no_process_left(folder, ranks)
    return str(caught.value), lines


def test_eight_ranks_end_well(tmp_path):
    lines = []
    logs = launcher.launch(
        python("print('one'); print('two', end='')"), 8, str(tmp_path), on_line=lines.append
    )
    assert lines == ["[rank 0] one", "[rank 0] two"]
    assert [os.path.relpath(path, str(tmp_path)) for path in logs] == [
        f"rank_{rank}/log.txt" for rank in range(8)
    ]
    assert all(log(tmp_path, rank) == "one\ntwo" for rank in range(8))


def test_each_rank_has_its_environment_its_folder_and_its_log(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK_TABLE_FILE", "of another job")
    monkeypatch.setenv("DEEPLAB_NB_HEADLESS", "of the notebook that launches")
    program = (
        "import os, json; assert not {'RANK_TABLE_FILE', 'DEEPLAB_NB_HEADLESS'} & set(os.environ)\n"
        "print(json.dumps([os.environ['RANK_ID'], os.environ['HOME'], os.getcwd(), "
        "os.environ['OMP_NUM_THREADS']]))"
    )
    launcher.launch(
        python(program),
        range(8, 10),
        str(tmp_path),
        on_line=print,
        environment=lambda rank: {"RANK_ID": str(rank), "RANK_TABLE_FILE": None},
    )
    cores = len(launcher.cores_of(0, 2))
    for rank in (8, 9):
        assert json.loads(log(tmp_path, rank)) == [
            str(rank),
            os.environ["HOME"],
            str(tmp_path / f"rank_{rank}"),
            str(cores),
        ]


def test_ranks_share_the_cores_without_overlap(tmp_path):
    count = len(os.sched_getaffinity(0))
    launcher.launch(
        python("import os; print(sorted(os.sched_getaffinity(0)))"),
        count,
        str(tmp_path),
        on_line=print,
    )
    bound = [json.loads(log(tmp_path, rank)) for rank in range(count)]
    assert sorted(core for cores in bound for core in cores) == sorted(os.sched_getaffinity(0))
    assert all(len(launcher.cores_of(place, 8)) >= 1 for place in range(8))


def test_a_launch_adds_to_the_logs_of_the_one_before(tmp_path):
    for word in ("first", "second"):
        lines = []
        launcher.launch(python(f"print('{word}')"), 1, str(tmp_path), on_line=lines.append)
        assert lines == ["[rank 0] " + word]
    assert log(tmp_path, 0) == "first\nsecond\n"


def test_a_rank_that_fails_ends_the_others_and_is_told_first(tmp_path):
    failing = "import time; time.sleep(1); print('no such weights'); raise SystemExit(3)"
    said, lines = fails(tmp_path, python(WAIT, failing, WAIT), 3)
    assert said.startswith(
        "rank 1 exited with code 3: see {}".format(tmp_path / "rank_1" / "log.txt")
    )
    assert "the same command goes on from the last one" in said
    told = [line for line in lines if not line.startswith("[rank 0] pids")]
    assert (
        re.match(r"rank 1 exited with code 3 after \d+ s, the first to fail", told[0])
        and told[1] == "    no such weights"
    )
    assert told[2:] == [
        f"rank {rank} was ended with it and was killed by SIGTERM" for rank in (0, 2)
    ]


def test_a_rank_that_does_not_heed_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(launcher, "GRACE", 1)
    said, lines = fails(
        tmp_path,
        shell(
            "trap '' TERM; touch ready; sleep 60",
            "until [ -e ../rank_0/ready ]; do sleep 0.1; done; exit 3",
        ),
        2,
    )
    assert (
        "rank 1 exited with code 3" in said
        and lines[-1] == "rank 0 was ended with it and was killed by SIGKILL"
    )


def test_a_rank_that_is_killed_ends_the_others(tmp_path):
    said, _ = fails(tmp_path, python(WAIT, "import os; os.kill(os.getpid(), 9)", WAIT), 3)
    assert "rank 1 was killed by SIGKILL" in said


def test_only_lines_of_this_launch_are_told(tmp_path):
    launcher.launch(python("print('old')"), 1, str(tmp_path), on_line=print)
    _, lines = fails(tmp_path, python("raise SystemExit(1)"), 1)
    assert lines[1] == "    (nothing was written)"


def test_a_rank_that_hangs_is_told_and_ended(tmp_path):
    # rank 0 writes, rank 1 does what `beat` does, rank 2 does neither
    said, lines = fails(
        tmp_path,
        shell(
            "while :; do echo; sleep 0.2; done",
            'while :; do touch "$DEEPLAB_NB_HEARTBEAT"; sleep 0.2; done',
            "sleep 60",
        ),
        3,
        heartbeat_seconds=3,
    )
    assert "rank 2 gave no sign of life for 3 s" in said
    assert "rank 2" not in " ".join(line for line in lines if "ended with it" in line)


def test_a_rank_that_was_stopped_is_named_and_not_its_partner(tmp_path):
    # rank 1 stops itself at once; rank 0 fell silent before it
    said, _ = fails(
        tmp_path, shell("sleep 60", "sleep 0.5; echo; kill -STOP $$"), 2, heartbeat_seconds=3
    )
    assert "rank 1 gave no sign of life for 3 s and is stopped (SIGSTOP" in said


def test_a_beat_is_a_sign_of_life(tmp_path, monkeypatch):
    ranks.beat()
    monkeypatch.setenv(ranks.HEARTBEAT, str(tmp_path / "heartbeat"))
    ranks.beat()
    os.utime(str(tmp_path / "heartbeat"), (1, 1))
    ranks.beat()
    assert os.path.getmtime(str(tmp_path / "heartbeat")) > 1


def test_a_command_that_did_not_start_can_be_pasted(tmp_path):
    words = [str(tmp_path / "no such"), "--set", "data_root=Bob's; $HOME [1]"]
    said, _ = fails(tmp_path, lambda rank: words, 1)
    assert shlex.split(said.split("`")[1]) == words


def test_a_rank_that_cannot_start_ends_those_before_it(tmp_path):
    said, _ = fails(
        tmp_path, lambda rank: python(WAIT)(rank) if rank == 0 else ["no-such-command", "a b"], 2
    )
    assert said.startswith("rank 1 did not start (No such file or directory")
    assert "`no-such-command 'a b'`" in said


def test_what_a_rank_leaves_behind_is_ended(tmp_path):
    launcher.launch(python(CHILD), 2, str(tmp_path), on_line=print)
    no_process_left(tmp_path, 2)


@contextlib.contextmanager
def launching(folder, program=WAIT, ranks=3):
    """A launcher in a process of its own, whose ranks run; (process, pids of ranks and "
    "children)."""
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder), program],
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    found = []
    try:
        wait_for(lambda: len(pids(folder, ranks)) == 2 * ranks, "the ranks")
        found.extend(pids(folder, ranks))
        yield process, found
    finally:
        for pid in [process.pid] + found:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_launcher_ends_all_ranks(tmp_path, number):
    saving = (
        "import signal; signal.signal(signal.SIGTERM, signal.default_int_handler)\ntry:\n    "
        + WAIT
        + "\nexcept KeyboardInterrupt: print('saved')"
    )
    with launching(tmp_path, saving) as (process, found):
        process.send_signal(number)
        assert process.wait(30) == 130
        assert not any(lives(pid) for pid in found)
        said = process.stdout.read()
    assert "interrupted: ending 3 ranks" in said and "the same command goes on" in said
    assert all("saved" in log(tmp_path, rank) for rank in range(3))


def test_a_killed_launcher_leaves_no_process_and_no_lock(tmp_path):
    with adopting_orphans(), launching(tmp_path, DEAF + "time.sleep(60)") as (process, found):
        process.kill()
        process.wait(30)
        wait_for(
            lambda: not any(lives(pid) for pid in found),
            "the end of the ranks and their children",
            10,
        )
    launcher.launch(python("0"), 1, str(tmp_path), on_line=print)


def test_a_folder_in_use_is_refused(tmp_path):
    with launching(tmp_path) as (process, _):
        with pytest.raises(WorkbookError, match=f"in use by the launch of process {process.pid}"):
            launcher.launch(python("0"), 1, str(tmp_path))
        assert process.poll() is None


def test_what_cannot_be_made_or_locked_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkbookError, match="file cannot be read or written .what stands there"):
        launcher.launch(python("0"), 1, str(tmp_path / "file"))
    (tmp_path / ".launch_0").symlink_to(tmp_path / "file")
    with pytest.raises(
        WorkbookError, match="launch_0 cannot be read or written .Too many levels of symbolic links"
    ):
        launcher.launch(python("0"), 1, str(tmp_path))
    assert (tmp_path / "file").read_text() == "x"
