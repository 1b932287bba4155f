"""Trainings of several ranks, each a process of its own, small enough for tests."""

import contextlib
import json
import os
import re
import sys

import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job, launcher, this_machine
from deeplab_nb.training.log import read_log
from tests.support.tiny_notebooks import lives, wait_for
from tests.support.tiny_training import TINY

# frozen batch norm, so that a batch is the sum of its images; the rate does not depend on how many
# steps there are
EXACT = dict(
    TINY,
    fine_tune_batch_norm=False,
    learning_rate=2e-5,
    learning_rate_policy="constant",
    log_every=1,
    depth_multiplier=0.1,
)

_TRAIN = """
import json, os, sys
print("process", os.getpid(), flush=True)  # as early as can be
from deeplab_nb import settings
from deeplab_nb.processes import terminable
from deeplab_nb.training import loop
with terminable():
    loop.train(settings.read(json.loads(sys.argv[1])), json.loads(sys.argv[2]), sys.argv[3])
"""


def ranks_of(
    records, folder, ranks, *, only=None, prelude="", addresses=None, on_line=print, **values
):
    """Launches them; checkpoints go to FOLDER/train.

    only: those that are started; prelude: code that each runs first.
    """
    folder, addresses = str(folder), addresses or this_machine.free_addresses(ranks)
    arguments = [
        json.dumps(dict(EXACT, **dict(values, cards=ranks))),
        json.dumps(records),
        os.path.join(folder, "train"),
    ]
    return launcher.launch(
        lambda rank: [sys.executable, "-c", prelude + _TRAIN] + arguments,
        only or ranks,
        folder,
        on_line=on_line,
        environment=lambda rank: job.environment(rank, ranks, addresses=addresses),
    )


def said(folder, rank):
    with open(os.path.join(str(folder), f"rank_{rank}", "log.txt")) as file:
        return file.read()


def pid(folder, rank):
    return int(re.search(r"process (\d+)", said(folder, rank)).group(1))


def log_of(folder, rank):
    return read_log(os.path.join(str(folder), f"rank_{rank}" if rank else "train", "log.jsonl"))


@contextlib.contextmanager
def failing(folder, ranks, words):
    """The block's launch fails with these words, and no rank is left."""
    with pytest.raises(WorkbookError, match=words):
        yield
    wait_for(lambda: not any(lives(pid(folder, rank)) for rank in ranks), "the end of all ranks", 2)


def at_step(step, act):
    """An `on_line` that acts when rank 0 has logged a step, while the next one is under way."""

    def on_line(line):
        if f"global step {step}:" in line:
            act()

    return on_line
