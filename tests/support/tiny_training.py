"""A training small enough for tests, in this process or in one that may be killed."""

import json
import os
import subprocess
import sys
import time

import pytest

from deeplab_nb.data.records import write_records
from deeplab_nb.tf1 import tf
from tests.support.tiny_voc import make_tiny_voc

TINY = dict(
    depth_multiplier=0.25,
    train_crop_size=33,
    train_batch_size=2,
    train_steps=6,
    log_every=2,
    save_every=2,
    keep_checkpoints=9,
    learning_rate=0.01,
    batch_norm_decay=0.9,
    output_stride=16,
)

_CODE = (
    "import json, sys; from deeplab_nb import settings; from deeplab_nb.training import loop; "
    "loop.train(settings.read(json.loads(sys.argv[1])), json.loads(sys.argv[2]), sys.argv[3])"
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Record files of five images."""
    root = make_tiny_voc(tmp_path_factory.mktemp("voc"), train=5)
    return write_records(root, "train", str(tmp_path_factory.mktemp("records")))


def start(records, folder, **values):
    """A training in a process of its own, its output in FOLDER.txt; of many steps unless told."""
    arguments = [
        json.dumps(dict(TINY, **dict({"train_steps": 5000}, **values))),
        json.dumps(records),
        folder,
    ]
    with open(folder + ".txt", "a") as output:
        return subprocess.Popen(
            [sys.executable, "-c", _CODE] + arguments, stdout=output, stderr=subprocess.STDOUT
        )


def said(folder):
    with open(folder + ".txt") as file:
        return file.read()


def wait_for(condition, process, folder, seconds=240):
    end = time.time() + seconds
    while not condition():
        assert process.poll() is None, said(folder)
        assert time.time() < end, "it took too long"
        time.sleep(0.02)


def logged_steps(folder):
    """Number of lines in the log, whole or not."""
    path = os.path.join(folder, "log.jsonl")
    if not os.path.exists(path):
        return 0
    with open(path) as file:
        return sum(1 for _ in file)


def variables(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
