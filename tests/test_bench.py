"""The benchmarks' own arithmetic, on work too small to measure anything."""

import os
import runpy
import subprocess
import sys

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate
from deeplab_nb.evaluation.metrics import Scores
from deeplab_nb.evaluation.predict import Predictor, padded
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.tf1 import tf
from tests.benchmarks import labelling, networks, soak
from tests.benchmarks.plain import plain_labels, plain_list
from tests.support.tiny_checkpoint import SETTINGS, make_tiny_checkpoint
from tests.support.tiny_voc import make_tiny_voc


def test_training_has_a_line_a_network(monkeypatch):
    monkeypatch.setattr(networks, "NETWORKS", (("small", {"depth_multiplier": 0.25}, 33, 2),))
    header, line = networks.train(repeat=1)
    name, crop, rate, wall, cpu, images, memory = line.split()
    assert (name, crop) == ("small", "2x33") and header.split()[0] == "crop"
    rounding = 0.0005 * float(images) + 0.005 * float(wall)  # of the last digits shown
    assert abs(float(images) * float(wall) - 2) <= 1.01 * rounding
    assert min(float(rate), float(cpu)) > 0 and float(memory) > 100


@pytest.mark.parametrize(
    "values", [{}, {"eval_output_stride": 8, "eval_scales": (0.5, 1.25), "eval_flip": True}]
)
def test_the_plain_form_is_the_same_evaluation(tmp_path, values):
    settings, checkpoint = (
        settings_module.read(dict(SETTINGS, **values)),
        make_tiny_checkpoint(tmp_path),
    )
    image = np.random.RandomState(0).randint(0, 256, (40, 57, 3)).astype(np.uint8)
    with Predictor(settings, checkpoint) as predictor:
        ours = predictor.labels(image, (65, 65))
    with tf.Graph().as_default() as graph, tf.Session() as session:
        images = tf.placeholder(tf.float32, [1, 65, 65, 3])
        labels = plain_labels(images, settings)
        restore(session, checkpoint, tf.global_variables(), complete=True)
        plain = session.run(labels, {images: padded(image, 65)})[0, :40, :57]
        assert "FusedBatchNormV3" in {op.type for op in graph.get_operations()}
    assert (plain == ours).mean() > 0.999


def test_the_plain_list_is_counted_as_ours(tmp_path):
    """TensorFlow's own reader and metric; only its JPEG decoder may round otherwise."""
    settings = settings_module.read(
        dict(SETTINGS, data_root=make_tiny_voc(tmp_path / "voc", val=3))
    )
    checkpoint = make_tiny_checkpoint(tmp_path)
    with tf.Graph().as_default():
        work = plain_list(settings, checkpoint, 3)
        work()
        plain = Scores(work())  # begins anew each time
    ours = evaluate.evaluate(settings, checkpoint).scores
    assert plain.confusion.sum() == ours.confusion.sum()
    assert plain.pixel_accuracy == pytest.approx(ours.pixel_accuracy, abs=0.01)


@pytest.mark.slow
def test_every_way_has_a_line_of_its_own_process():
    case = labelling.Case("small", {}, 0)
    settings = settings_module.read({"depth_multiplier": 0.1, "num_classes": 5})
    lines = labelling.compare(case, settings, size=(33, 49), repeat=2)
    assert [line.way for line in lines] == list(labelling.WAYS) and lines[0].faster == lines[
        0
    ].leaner == 1
    assert all(
        min(line.rate, line.seconds, line.cpu, line.faster) > 0 and line.memory > 100
        for line in lines
    )


def test_cases_are_chosen_by_name():
    names = [case.name for case in labelling.choose((), data_root=None)]
    assert names == ["mobilenet_v2", "xception_65", "resnet_v1_101_beta", "mobilenet_v2_refined"]
    assert [case.name for case in labelling.choose(("list",), data_root="some")] == ["list"]
    with pytest.raises(WorkbookError, match="case list needs photographs: give --data VOC_ROOT"):
        labelling.choose(("list",), data_root=None)


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["input", "--records", "nowhere*"], "no file matches nowhere*: name record files"),
        (["input", "--records", "README.md"], "README.md is damaged"),
        (["network", "resnet"], "unknown network 'resnet': there are mobilenet_v2"),
        (["evaluate", "resnet"], "unknown case 'resnet': there are mobilenet_v2"),
        (["train", "resnet"], "unknown network 'resnet': there are mobilenet_v2"),
    ],
)
def test_bad_input_gets_one_sentence_and_exit_code_1(repo, arguments, sentence, monkeypatch, capfd):
    monkeypatch.chdir(repo)
    monkeypatch.setattr(sys, "argv", ["bench"] + arguments)
    with pytest.raises(SystemExit) as end:
        runpy.run_module("tests.benchmarks", run_name="__main__")
    said = end.value.code  # Python writes a text to stderr and exits with code 1
    assert isinstance(said, str) and capfd.readouterr() == ("", "")
    assert sentence in said and said.strip().count("\n") == 0


def test_a_process_says_one_sentence_and_nothing_else(repo):
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "evaluate", "resnet"],
        cwd=repo,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
    )
    said = done.stdout.decode()
    assert done.returncode == 1 and "Traceback" not in said
    assert said.startswith("Error: unknown case 'resnet'") and said.strip().count("\n") == 0


def test_the_makefile_leads_to_them(repo):
    with open(os.path.join(repo, "Makefile")) as file:
        assert "python -m tests.benchmarks $(ARGS)" in file.read()


def test_the_soak_fits_a_line_to_what_comes_after_the_start():
    found = [(step, 5e8 if step < 100 else 4e8 + 3 * step) for step in range(10, 1001, 10)]
    assert soak.bytes_a_step(found) == pytest.approx(3)
    assert soak.bytes_a_step(found + [(1000, 0)]) == pytest.approx(3)  # read after its end


def test_a_short_soak_has_a_line_each_twentieth():
    header, *rows, last = soak.lines(20)
    assert [int(row.split()[0]) for row in rows] == list(range(1, 21))
    assert all(float(row.split()[1]) > 50 for row in rows[:-1]) and "bytes a step" in last
