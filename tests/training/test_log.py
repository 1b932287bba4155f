"""The logs of a training: for programs, for grep, for TensorBoard."""

import glob
import io
import os
import re

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data.records import write_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.tf1 import tf
from deeplab_nb.training import loop, validation
from deeplab_nb.training.log import (
    best_before,
    drop_later_lines,
    read_log,
    steps_of,
    validations_of,
)
from tests.support.tiny_training import TINY, variables
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(settings, folder, last checkpoint) of a run that validates."""
    root = make_tiny_voc(tmp_path_factory.mktemp("voc"), train=5, val=5)
    records = write_records(root, "train", str(tmp_path_factory.mktemp("records")))
    settings = settings_module.read(
        dict(TINY, data_root=root, validate_every=2, validation_images=3, log_every=1)
    )
    folder = str(tmp_path_factory.mktemp("run"))
    return settings, folder, loop.train(settings, records, folder)


def log_of(folder):
    return read_log(os.path.join(folder, "log.jsonl"))


def test_every_step_is_logged_with_its_time(run):
    entries = steps_of(log_of(run[1]))
    assert [entry["step"] for entry in entries] == [1, 2, 3, 4, 5, 6]
    for entry in entries:
        assert 0 <= entry["input_seconds_a_step"] <= entry["seconds_a_step"]
        assert entry["gradient_norm"] > 0 and "loss_scale" not in entry
    assert entries[0]["seconds_left"] > 0 == entries[-1]["seconds_left"]


def test_the_lines_that_users_of_both_systems_search_for(run):
    text = open(os.path.join(run[1], "train.log")).read()
    entries = steps_of(log_of(run[1]))
    slim = re.findall(
        r"^INFO:tensorflow:global step (\d+): loss = (\d+\.\d{4}) \(\d+\.\d{3} sec/step\)$",
        text,
        re.M,
    )
    assert slim == [(str(e["step"]), "{:.4f}".format(e["loss"])) for e in entries]
    assert len(re.findall(r"^INFO:tensorflow:global_step/sec: [\d.]+$", text, re.M)) == 6
    steps = re.findall(r"^epoch: (\d+) step: (\d+), loss is [\d.]+$", text, re.M)
    assert steps == [("1", "1"), ("1", "2"), ("2", "1"), ("2", "2"), ("3", "1"), ("3", "2")], (
        "5 images, 2 a step"
    )
    assert len(re.findall(r"^Epoch time: \d+\.\d{3}, per step time: \d+\.\d{3}$", text, re.M)) == 3
    assert len(re.findall(r"^miou_1.0_overall\[0\.\d+\]$", text, re.M)) == 3


def test_quick_validations_are_evaluations_of_fixed_images(run):
    settings, folder, last = run
    entries = validations_of(log_of(folder))
    assert [(e["step"], e["validation_images"]) for e in entries] == [(2, 3), (4, 3), (6, 3)]
    ids = validation.QuickValidation(settings, folder).ids
    assert ids == ["val_000", "val_002", "val_004"], "evenly spread over the list"
    assert evaluate(settings, last, ids=ids).scores.mean_iou == pytest.approx(
        entries[-1]["validation_miou"]
    )


def test_the_best_checkpoint_is_kept_apart(run):
    entries = validations_of(log_of(run[1]))
    best = max(
        entries, key=lambda e: e["validation_miou"]
    )  # the first of equals, as while training
    prefix = os.path.join(run[1], "best", "model.ckpt-{}".format(best["step"]))
    assert sorted(os.listdir(os.path.dirname(prefix))) == [
        os.path.basename(path) for path in sorted(glob.glob(prefix + ".*"))
    ]
    original = variables(os.path.join(run[1], os.path.basename(prefix)))
    assert all(np.array_equal(value, original[name]) for name, value in variables(prefix).items())


def test_a_resumed_run_remembers_the_best(run):
    best = max(e["validation_miou"] for e in validations_of(log_of(run[1])))
    assert best_before(run[1], 6) == best
    assert best_before(run[1], 1) is None


def test_tensorboard_gets_numbers_and_pictures(run):
    numbers, pictures = {}, {}
    for path in glob.glob(os.path.join(run[1], "events.out.tfevents.*")):
        for event in tf.train.summary_iterator(path):
            for value in event.summary.value:
                if value.HasField("image"):
                    pictures[value.tag] = np.array(
                        Image.open(io.BytesIO(value.image.encoded_image_string))
                    )
                else:
                    numbers.setdefault(value.tag, []).append((event.step, value.simple_value))
    entries = steps_of(log_of(run[1]))
    assert numbers["loss"] == [(e["step"], pytest.approx(e["loss"])) for e in entries]
    assert len(numbers["validation_miou"]) == 3
    assert pictures["training/crop"].shape == (33, 66, 3)
    height, width, _ = pictures["validation/val_000"].shape
    assert width % 3 == 0 and height > 0, "photograph, mask, prediction side by side"


def test_entries_after_the_checkpoint_are_made_again(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    drop_later_lines(str(path), 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_missing_validation_picture_stops_before_training(run, tmp_path):
    settings = settings_module.override(run[0], {"val_list": "nowhere"})
    with pytest.raises(WorkbookError, match="nowhere"):
        loop.train(settings, [], str(tmp_path))
