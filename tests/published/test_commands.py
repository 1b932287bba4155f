"""The originals' command lines: what they come to, what is refused, where users look afterwards."""

import json
import os
import re
import shlex

import numpy as np
import pytest

from deeplab_nb import files, originals, recipes, settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import Evaluation
from deeplab_nb.evaluation.metrics import Scores
from deeplab_nb.launch import job
from deeplab_nb.published import translation, work
from deeplab_nb.runs.parameters import parse_assignments

DOORS = {"train.py": translation.training, "eval.py": translation.evaluation}
WORDS = {
    "plus": "--model_variant=xception_65 --atrous_rates=6 --atrous_rates=12 --atrous_rates=18 "
    "--output_stride=16 --decoder_output_stride=4",
    "out": "--train_logdir=log --dataset_dir=/data/tfrecord",
    "at": "--checkpoint_dir=log --eval_logdir=eval --dataset_dir=/data/tfrecord",
}


def read_lines():
    """[(command, settings or None, notes, error or None)] of the file of command lines."""
    path = os.path.join(files.ROOT, "tests", "figures", "published_lines.txt")
    with open(path) as file:
        blocks = re.sub(r"(?m)^#.*\n", "", file.read()).strip().split("\n\n")
    rows = []
    for block in blocks:
        command, *said = re.split(r"\n  (?=->|note:|error:)", block)
        found = [text.partition(" ") for text in said]
        of = {kind: [rest for mark, _, rest in found if mark == kind] for kind, _, _ in found}
        settings = of["->"][0].split() if "->" in of else None
        rows.append((command, settings, of.get("note:", []), of.get("error:", [None])[0]))
    return rows


LINES = read_lines()
DONE = [row[:3] for row in LINES if row[1] is not None]
REFUSED = [(row[0], row[3]) for row in LINES if row[3] is not None]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("RANK_SIZE", "RANK_ID", "RANK_TABLE_FILE", "ASCEND_DEVICE_ID"):
        monkeypatch.delenv(name, raising=False)


def ask(command):
    door, *words = shlex.split(command.format(**WORDS))
    return DOORS[door](words)


def settings_of(request):
    start = recipes.get(request.recipe).settings if request.recipe else settings_module.Settings()
    return settings_module.override(start, request.values)


@pytest.mark.parametrize("command, settings, notes", DONE)
def test_a_published_line_comes_to_these_settings(command, settings, notes):
    request = ask(command)
    found = settings_of(request)
    assert settings_module.override(found, parse_assignments(settings)) == found
    for note in notes:
        assert any(note in said for said in request.notes), request.notes
    assert len(request.notes) <= len(notes) + 2  # the ones that come with every line


@pytest.mark.parametrize("command, sentence", REFUSED)
def test_what_cannot_be_done_is_refused_in_words(command, sentence):
    with pytest.raises(WorkbookError) as refusal:
        ask(command)
    assert sentence in str(refusal.value)


def test_there_are_forty_lines_and_more():
    assert len(DONE) >= 40 and len(REFUSED) >= 20 and len(DONE) + len(REFUSED) == len(LINES)


def test_data_lists_folders_and_cards_are_as_typed():
    request = ask("train.py --train_split=trainval {out}")
    assert (request.data, request.split, request.folder, request.cards) == (
        "/data/tfrecord",
        "trainval",
        "log",
        1,
    )
    request = ask("train.py --data_url=/voc --distribute=true --epoch_size=3")
    assert (request.data, request.split, request.folder, request.cards, request.epochs) == (
        "/voc",
        "train",
        "LOG0",
        8,
        3,
    )
    assert request.recipe == "deeplabv3_mindspore_8p"
    request = ask("eval.py --eval_split=trainval {at}")
    assert (request.split, request.folder, request.values["initial_checkpoint"]) == (
        "trainval",
        "eval",
        "log",
    )


def test_ranks_that_a_script_has_started_are_counted(monkeypatch):
    monkeypatch.setenv("RANK_SIZE", "4")
    assert (
        ask("train.py {out}").cards == 4
        and ask("train.py --data_url=/voc --distribute=true").cards == 4
    )
    assert ask("train.py --cards=1 {out}").cards == 1 and ask("train.py --data_url=/voc").cards == 1


def test_the_defaults_are_train_pys_own():
    found = settings_of(ask("train.py {out}"))
    assert (
        found.backbone,
        found.aspp,
        found.decoder,
        found.train_steps,
        found.train_batch_size,
        found.learning_rate,
    ) == ("mobilenet_v2", False, False, 30000, 8, 1e-4)
    assert (
        found.fine_tune_batch_norm,
        found.weight_decay,
        found.bias_gradient_multiplier,
        found.save_minutes,
    ) == (True, 4e-5, 2.0, 20)


def test_every_word_leads_to_a_setting_that_there_is():
    for names in (originals.TRAIN, originals.EVAL, originals.NETWORK, originals.CONFIG):
        assert set(names.values()) <= set(settings_module.FIELDS)


@pytest.mark.parametrize(
    "word, sentence",
    [
        ("base_learning_rate", "here that is learning_rate"),
        ("atrous_rates", "here that is aspp"),
        ("decoder_output_stride", "here that is decoder,"),
        ("train_logdir", "here that is the option --out"),
        ("tf_initial_checkpoint", "here that is initial_checkpoint"),
        ("training_number_of_steps", "here that is train_steps"),
        ("model_variant", "here that is backbone"),
        ("seg_num_classes", "here that is num_classes"),
        ("epoch_size", "here that is train_steps, epochs times"),
        ("crop_size", "here that is train_crop_size"),
        ("checkpoint_url", "here that is initial_checkpoint"),
        ("batch_size", "here that is train_batch_size"),
        ("save_summaries_secs", "TensorBoard's events"),
        ("image_pyramid", "one scale"),
        ("momentun", "did you mean 'momentum'?"),
    ],
)
def test_a_setting_by_an_originals_name_is_answered_with_ours(word, sentence):
    with pytest.raises(WorkbookError) as refusal:
        settings_module.read({word: 1})
    assert f"unknown setting '{word}'" in str(refusal.value) and sentence in str(refusal.value)


LOG = [{"step": 1, "loss": 3.0, "seconds_a_step": 99.0}] + [
    {"step": i, "loss": 2.0 / i, "seconds_a_step": 0.5} for i in (2, 3, 4)
]


def write_log(folder):
    os.makedirs(folder)
    with open(os.path.join(folder, "log.jsonl"), "w") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in LOG)


def test_the_summary_of_eight_cards_gives_the_steps_own_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = job.Plan(
        None, None, list(range(8)), None, None, {rank: rank for rank in range(8)}, None, []
    )
    found = work.places(False, str(tmp_path / "log_8p"), plan)
    write_log(found.train)
    work.link_logs(found)
    text = work.finish(
        found, settings_module.read({"cards": 8, "train_batch_size": 7}), 61.4, "perf", 0
    )
    lines = dict(line.split(" = ") for line in text.splitlines())
    assert (
        lines["ActualFPS"] == "112.00"
        and lines["TrainingTime"] == "500.00"
        and lines["RankSize"] == "8"
    )
    assert (
        lines["ActualLoss"] == "0.5000"
        and lines["E2ETrainingTime"] == "61"
        and lines["Network"] == "Deeplabv3+_for_TensorFlow"
    )
    with open("output/7/Deeplabv3+_for_TensorFlow_bs7_8p_perf.log") as file:
        assert file.read() == text
    assert os.readlink("output/2/train_2.log") == "../../log_8p/rank_2/log.txt"


@pytest.mark.parametrize(
    "mindspore, rank, link, target",
    [
        (False, None, "output/5/train_5.log", "run/train.log"),
        (False, "3", "output/5/train_5.log", "run/rank_3/train.log"),
        (True, None, "LOG0/log.txt", "run/train.log"),
        (True, "3", "LOG3/log.txt", "run/rank_3/train.log"),
    ],
)
def test_a_processs_log_is_where_its_user_looks(
    tmp_path, monkeypatch, mindspore, rank, link, target
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASCEND_DEVICE_ID", "5")
    for _ in range(2):
        work.link_logs(work.places(mindspore, str(tmp_path / "run"), None, rank))
        assert os.path.realpath(link) == str(tmp_path / target)


def test_a_file_of_someone_else_is_not_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.makedirs("output/0")
    with open("output/0/train_0.log", "w") as file:
        file.write("of the original")
    with pytest.raises(
        WorkbookError, match="output/0/train_0.log cannot lead to .*: move what stands there away"
    ):
        work.link_logs(work.places(False, str(tmp_path / "run"), None))
    with open("output/0/train_0.log") as file:
        assert file.read() == "of the original"


def test_the_evaluations_lines_are_the_originals():
    confusion = np.array([[6, 2, 0, 0], [0, 4, 4, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    evaluation = Evaluation(Scores(confusion), {}, {"miou": 0.65049})
    lines = work.last_lines(
        False, settings_module.read({"eval_scales": "0.5,1.0", "eval_flip": "true"}), evaluation
    )
    # class 2 is only predicted: it counts as 0 in the mean of three, and has no number of its own
    assert lines == [
        "eval/miou_0.5_1.0_flipped_overall[0.383333]",
        "eval/miou_0.5_1.0_flipped_class_0[0.75]",
        "eval/miou_0.5_1.0_flipped_class_1[0.4]",
        "eval/miou_0.5_1.0_flipped_class_2[nan]",
        "eval/miou_0.5_1.0_flipped_class_3[nan]",
    ]
    assert work.last_lines(True, None, evaluation) == ["mIoU = 0.65049"]
