"""Training on a tiny set: real graphs, real checkpoints."""

import os
import re
import shutil

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import find_checkpoint
from deeplab_nb.training import loop
from deeplab_nb.training.log import read_log
from tests.support.tiny_training import TINY, records, variables  # noqa: F401


@pytest.fixture(scope="module")
def trained(records, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("trained"))
    return folder, loop.train(settings_module.read(TINY), records, folder)


def test_training_leaves_settings_log_and_checkpoints(trained):
    folder, last = trained
    assert last == os.path.join(folder, "model.ckpt-6") == find_checkpoint(folder)
    assert settings_module.load(folder) == settings_module.read(TINY)
    log = read_log(os.path.join(folder, "log.jsonl"))
    assert [entry["step"] for entry in log] == [2, 4, 6]
    assert log[0]["learning_rate"] == pytest.approx(0.01 * (1 - 1 / 6) ** 0.9, rel=1e-4)
    assert all(entry["loss"] > entry["cross_entropy"] > 0 for entry in log)


def test_training_moves_weights_and_statistics(trained):
    folder, last = trained
    before, after = variables(os.path.join(folder, "model.ckpt-2")), variables(last)
    for name in (
        "MobilenetV2/Conv/weights",
        "logits/semantic/biases",
        "aspp0/BatchNorm/moving_mean",
        "aspp0/BatchNorm/gamma",
    ):
        assert not np.array_equal(before[name], after[name]), name
    assert after["global_step"] == 6


def test_first_weights_follow_from_the_seed(records, tmp_path):
    first = []
    for number, seed in enumerate((1, 1, 2)):
        still = settings_module.read(dict(TINY, seed=seed, train_steps=1, learning_rate=0))
        first.append(
            variables(loop.train(still, records, str(tmp_path / str(number))))[
                "MobilenetV2/Conv/weights"
            ]
        )
    assert np.array_equal(first[0], first[1]) and not np.array_equal(first[0], first[2])


def test_a_finished_training_is_not_repeated(trained, records):
    folder, last = trained
    changed = os.path.getmtime(last + ".index")
    assert loop.train(settings_module.read(TINY), records, folder) == last
    assert os.path.getmtime(last + ".index") == changed


def test_more_steps_go_on_with_momentum_and_one_log(trained, records, tmp_path, capsys):
    folder = str(tmp_path / "more")
    shutil.copytree(trained[0], folder)
    last = loop.train(settings_module.read(dict(TINY, train_steps=8)), records, folder)
    assert last.endswith("model.ckpt-8") and "resuming at step 6 of 8" in capsys.readouterr().out
    assert [entry["step"] for entry in read_log(os.path.join(folder, "log.jsonl"))] == [2, 4, 6, 8]


def test_other_settings_in_the_same_folder_are_refused(trained, records):
    with pytest.raises(WorkbookError, match="was trained with learning_rate=0.01, now it is 0.5"):
        loop.train(settings_module.read(dict(TINY, learning_rate=0.5)), records, trained[0])


def test_frozen_batch_norm_keeps_its_statistics(records, tmp_path):
    values = dict(TINY, fine_tune_batch_norm=False, train_steps=2, learning_rate=1e-4)
    after = variables(loop.train(settings_module.read(values), records, str(tmp_path)))
    assert (after["aspp0/BatchNorm/moving_mean"] == 0).all() and (
        after["aspp0/BatchNorm/moving_variance"] == 1
    ).all()


def test_head_training_moves_four_kernels_and_decays_no_other(trained, records, tmp_path):
    values = dict(
        TINY,
        trainable="head_kernels",
        fine_tune_batch_norm=False,
        initial_checkpoint=trained[1],
        train_steps=2,
        log_every=1,
    )
    after, before = (
        variables(loop.train(settings_module.read(values), records, str(tmp_path))),
        variables(trained[1]),
    )
    kernels = {
        scope + "/weights"
        for scope in ("aspp0", "image_pooling", "concat_projection", "logits/semantic")
    }
    assert kernels == {
        name
        for name, value in after.items()
        if name in before
        and not np.array_equal(value, before[name])
        and not name.endswith("/Momentum")
    } - {"global_step"}
    assert {name + "/Momentum" for name in kernels} == {
        name for name in after if name.endswith("/Momentum")
    }
    first = read_log(str(tmp_path / "log.jsonl"))[0]
    decay = sum((before[name].astype(float) ** 2).sum() for name in kernels) * 4e-5 / 2
    assert first["loss"] - first["cross_entropy"] == pytest.approx(decay, rel=1e-3)


def test_training_starts_from_given_weights_with_its_own_class_count(
    trained, records, tmp_path, capsys
):
    values = dict(
        TINY, initial_checkpoint=trained[1], train_steps=1, learning_rate=0.0, weight_decay=0.0
    )
    after = variables(loop.train(settings_module.read(values), records, str(tmp_path)))
    before = variables(trained[1])
    assert np.array_equal(after["MobilenetV2/Conv/weights"], before["MobilenetV2/Conv/weights"])
    assert after["global_step"] == 1, "the step of the given weights does not count"
    assert "restored  272 variables" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_stops_and_keeps_what_was_saved(trained, records, tmp_path):
    folder = str(tmp_path / "wild")
    # as after two steps
    shutil.copytree(trained[0], folder, ignore=shutil.ignore_patterns("*.ckpt-4.*", "*.ckpt-6.*"))
    with open(os.path.join(folder, "settings.json")) as file:
        text = file.read()
    with open(os.path.join(folder, "settings.json"), "w") as file:
        file.write(text.replace('"learning_rate": 0.01', '"learning_rate": 1e+18'))
    with pytest.raises(WorkbookError) as refusal:
        loop.train(
            settings_module.read(dict(TINY, learning_rate=1e18, train_steps=9)), records, folder
        )
    found = re.match(
        r"the loss is \S+ at step (\d+) \(learning rate \S+, gradient norm (nan|inf)\) on "
        r"(train_00\d), (train_00\d): "
        r"look at that batch in (\S+npz), lower learning_rate; the checkpoints are from before",
        str(refusal.value),
    )
    assert find_checkpoint(folder).endswith("model.ckpt-2")
    batch = np.load(found.group(5))
    assert list(batch["ids"]) == [found.group(3), found.group(4)]
    assert batch["images"].shape == (2, 33, 33, 3) and batch["labels"].shape == (2, 33, 33)
    assert os.path.basename(found.group(5)) == f"not_finite_step_{found.group(1)}.npz"


def test_a_damaged_record_file_is_named(records, tmp_path):
    paths = [shutil.copy(path, str(tmp_path)) for path in records]
    with open(paths[2], "r+b") as file:
        file.truncate(os.path.getsize(paths[2]) - 9)
    with pytest.raises(
        WorkbookError,
        match="train-00002-of-00004.tfrecord is damaged .*: move it away and write the records",
    ):
        loop.train(settings_module.read(dict(TINY, train_steps=9)), paths, str(tmp_path / "run"))


def test_a_damaged_checkpoint_is_named(trained, records, tmp_path):
    folder = str(tmp_path / "damaged")
    shutil.copytree(trained[0], folder)
    with open(os.path.join(folder, "model.ckpt-6.data-00000-of-00001"), "r+b") as file:
        file.truncate(500)
    words = (
        r"model.ckpt-6 cannot be restored .*: --from-step \d goes on from the one before and keeps"
    )
    with pytest.raises(WorkbookError, match=words):
        loop.train(settings_module.read(dict(TINY, train_steps=8)), records, folder)


def test_settings_that_only_evaluate_are_refused_at_once():
    with pytest.raises(WorkbookError, match="train_steps is 0"):
        loop.check_trainable(settings_module.read(dict(TINY, train_steps=0)))
