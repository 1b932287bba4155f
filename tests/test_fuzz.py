"""300 damaged files, always the same: each is read or told in a sentence, nothing else changes."""

import json
import os
import subprocess
import sys

import pytest

SEED, COUNT = 7, 300


@pytest.fixture(scope="module")
def outcomes(repo, tmp_path_factory):
    """What came of each input, as a process says that may take so much memory and no more."""
    words = [sys.executable, "-m", "tests.support.fuzzing", str(tmp_path_factory.mktemp("fuzz"))]
    done = subprocess.run(
        words + [str(SEED), str(COUNT)],
        cwd=repo,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=repo, OMP_NUM_THREADS="1"),
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]  # its last line names the input
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_damaged_file_is_read_or_told_in_a_sentence(outcomes):
    assert [(found["input"], found["wrong"]) for found in outcomes if found["wrong"]] == []


def test_so_many_were_damaged_and_most_were_refused(outcomes):
    """So that a fuzzer that damages nothing, or gives it to nothing, is noticed."""
    damaged = [found for found in outcomes if not found["input"].endswith("whole")]
    refused = [found for found in damaged if found["said"] != "read"]
    assert len(damaged) == COUNT and len(refused) > COUNT / 3
