"""A training that is killed, stopped or out of room goes on as if nothing had happened."""

import os
import random
import resource
import shutil
import signal

import numpy as np
import pytest

from deeplab_nb import files, settings as settings_module
from deeplab_nb.data.records import write_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import find_checkpoint, go_back, read_shapes, step_of
from deeplab_nb.processes import alone_at
from deeplab_nb.runs import run as run_module
from deeplab_nb.training import loop
from deeplab_nb.training.log import read_log
from deeplab_nb.training.validation import keep_best
from tests.support.files import digests
from tests.support.tiny_training import (  # noqa: F401
    TINY,
    logged_steps,
    records,
    said,
    start,
    variables,
    wait_for,
)
from tests.support.tiny_voc import make_tiny_voc

STEPS = 40
EXACT = dict(
    TINY,
    intra_op_threads=1,
    train_steps=STEPS,
    save_every=3,
    log_every=1,
    keep_checkpoints=2,
    loss_scale="exponential",
    initial_loss_scale=1024,
    loss_scale_steps=5,
)


@pytest.fixture(scope="module")
def uninterrupted(records, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("uninterrupted"))
    return folder, loop.train(settings_module.read(EXACT), records, folder)


def test_a_killed_run_ends_with_the_weights_of_one_never_interrupted(
    uninterrupted, records, tmp_path
):
    """Killed with SIGKILL three times, each some random steps after it went on, then resumed."""
    folder, draw = str(tmp_path / "killed"), random.Random()
    for _ in range(3):
        process = start(records, folder, **EXACT)
        wanted = min(logged_steps(folder) + draw.randint(3, 12), STEPS - 2)
        wait_for(lambda: logged_steps(folder) >= wanted, process, folder)
        process.kill()
        process.wait()
    last = loop.train(settings_module.read(EXACT), records, folder)
    ours, theirs = variables(last), variables(uninterrupted[1])
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    killed, whole = (
        read_log(os.path.join(path, "log.jsonl")) for path in (folder, uninterrupted[0])
    )
    for name in ("step", "loss", "learning_rate", "gradient_norm", "loss_scale"):
        assert [entry[name] for entry in killed] == [entry[name] for entry in whole], name


def test_resuming_keeps_as_many_checkpoints_as_asked(uninterrupted, records, tmp_path):
    folder = str(tmp_path / "more")
    shutil.copytree(uninterrupted[0], folder)
    loop.train(
        settings_module.read(dict(EXACT, train_steps=STEPS + 2, save_every=1)), records, folder
    )
    assert sorted(name for name in os.listdir(folder) if name.endswith(".index")) == [
        f"model.ckpt-{step}.index" for step in (STEPS + 1, STEPS + 2)
    ]


@pytest.fixture(scope="module")
def saved_by_the_minute(records, tmp_path_factory):
    """`(folder, last checkpoint)` of four steps, all of them saved."""
    folder = str(tmp_path_factory.mktemp("minutes"))
    values = dict(TINY, save_every=1000, save_minutes=1e-6, train_steps=4)
    return folder, loop.train(settings_module.read(values), records, folder)


def test_checkpoints_come_by_the_minute_too(saved_by_the_minute):
    names = os.listdir(saved_by_the_minute[0])
    assert "model.ckpt-1.index" in names and "model.ckpt-3.index" in names


def test_ctrl_c_saves_and_says_how_to_go_on(records, tmp_path):
    folder = str(tmp_path / "run")
    process = start(records, folder, log_every=1)
    wait_for(lambda: logged_steps(folder) > 3, process, folder)
    process.send_signal(signal.SIGINT)
    process.wait(60)
    step = int(said(folder).split("interrupted at step ")[1].split(",")[0])
    assert process.returncode != 0 and "the same command goes on from here" in said(folder)
    assert find_checkpoint(folder).endswith(f"model.ckpt-{step}")
    assert variables(find_checkpoint(folder))["global_step"] == step, (
        "the step that was under way counts"
    )


def limited(megabytes):
    """The largest file that this process may write: what a full disk does, to one process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(megabytes * 2**20), resource.RLIM_INFINITY))


def test_a_disk_that_fills_up_is_named_and_the_last_checkpoint_stays(
    saved_by_the_minute, records, tmp_path
):
    folder = shutil.copytree(saved_by_the_minute[0], str(tmp_path / "full"))
    first = find_checkpoint(folder)
    assert step_of(first) == 4
    before = variables(first)
    try:
        limited(0.5)
        with pytest.raises(
            WorkbookError,
            match="cannot write into .*: make room on the disk .* resumes from the newest "
            "checkpoint",
        ):
            loop.train(settings_module.read(TINY), records, folder)
    finally:
        limited(2**30)
    assert find_checkpoint(folder) == first
    assert all(np.array_equal(value, before[name]) for name, value in variables(first).items())
    assert step_of(loop.train(settings_module.read(TINY), records, folder)) == 6


def test_a_folder_that_vanishes_is_named_and_the_next_checkpoint_saved_all_the_same(
    records, tmp_path
):
    folder = str(tmp_path / "run")
    process = start(records, folder, save_every=50, log_every=1)
    wait_for(lambda: logged_steps(folder) > 3, process, folder)
    shutil.rmtree(folder)
    assert process.wait(120) != 0
    assert f"the folder {folder} was removed while training" in said(folder)
    assert step_of(find_checkpoint(folder)) % 50 == 0


def test_records_that_vanish_are_named(records, tmp_path):
    folder, paths = str(tmp_path / "run"), [shutil.copy(path, str(tmp_path)) for path in records]
    process = start(paths, folder, log_every=1)
    wait_for(lambda: logged_steps(folder) > 3, process, folder)
    os.remove(paths[1])
    assert process.wait(120) != 0
    assert f"record file {paths[1]} does not exist: write the records again" in said(folder)


def test_a_run_goes_on_with_another_device_and_saving_but_not_another_momentum(uninterrupted):
    for name, value in (("device", "cpu"), ("save_minutes", 3), ("intra_op_threads", 0)):
        loop.check_same_run(settings_module.read(dict(EXACT, **{name: value})), uninterrupted[0])
    with pytest.raises(WorkbookError, match="trained with momentum=0.9, now it is 0.5"):
        loop.check_same_run(settings_module.read(dict(EXACT, momentum=0.5)), uninterrupted[0])


def test_a_folder_with_brackets_is_trained_in_as_any_other(records, tmp_path):
    folder = str(tmp_path / "r[1]*")
    settings = settings_module.read(dict(TINY, keep_checkpoints=1, save_every=1))
    loop.train(settings_module.override(settings, {"train_steps": 2}), records, folder)
    last = loop.train(settings, records, folder)
    assert last == os.path.join(folder, "model.ckpt-6")
    assert find_checkpoint(folder) == last and read_shapes(last)
    kept = [name for name in os.listdir(folder) if name.startswith("model.ckpt")]
    assert sorted(kept) == ["model.ckpt-6.data-00000-of-00001", "model.ckpt-6.index"]


def test_a_damaged_checkpoint_names_the_one_before_and_stays(records, tmp_path):
    folder = str(tmp_path / "run")
    last = loop.train(settings_module.read(dict(TINY, train_steps=4)), records, folder)
    with open(last + ".data-00000-of-00001", "r+b") as file:
        file.truncate(1000)
    words = "model.ckpt-4 cannot be restored .*: --from-step 2 goes on from the one before"
    with pytest.raises(WorkbookError, match=words) as error:
        loop.train(settings_module.read(TINY), records, folder)
    assert "delete" not in str(error.value)
    aside = go_back(folder, 2)
    assert step_of(loop.train(settings_module.read(TINY), records, folder)) == 6
    assert os.path.getsize(os.path.join(aside, "model.ckpt-4.data-00000-of-00001")) == 1000


def test_what_a_kill_left_of_a_checkpoint_goes(records, tmp_path):
    left = tmp_path / "model.ckpt-2.data-00000-of-00001.tempstate123"
    left.write_bytes(b"half")
    loop.train(settings_module.read(dict(TINY, train_steps=2)), records, str(tmp_path))
    assert not left.exists() and step_of(find_checkpoint(str(tmp_path))) == 2


@pytest.mark.parametrize("killed_at, cards", [(4, 1), (6, 1), (6, 2)])
def test_a_quick_validation_that_a_kill_cut_short_is_made_up_for(
    tmp_path, killed_at, cards, monkeypatch
):
    """Killed between a checkpoint and its validation: log and best equal an uninterrupted run's.

    Of several ranks, the first makes up for it.
    """
    root = make_tiny_voc(tmp_path / "voc", train=5, val=2)
    records = write_records(root, "train", str(tmp_path / "records"))
    values = dict(
        TINY, data_root=root, validate_every=2, validation_images=2, log_every=1, intra_op_threads=1
    )
    settings = settings_module.read(values)
    whole, killed = str(tmp_path / "whole"), str(tmp_path / "killed")
    loop.train(settings, records, whole)

    def dies(validation, log, step, checkpoint):
        if step == killed_at:
            raise MemoryError
        validate(validation, log, step, checkpoint)

    validate = loop.validate
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(loop, "validate", dies)
        loop.train(settings, records, killed)
    if cards == 2:
        settings = settings_module.override(settings, {"cards": 2, "train_batch_size": 1})
        monkeypatch.setenv("RANK_ID", "1")
        before = digests(killed)
        assert loop.train(settings, records, killed).endswith("-6") and digests(killed) == before
        monkeypatch.setenv("RANK_ID", "0")
    loop.train(settings, records, killed)
    logs = [
        [(e["step"], e.get("loss"), e.get("validation_miou")) for e in read_log(path)]
        for path in (os.path.join(folder, "log.jsonl") for folder in (whole, killed))
    ]
    assert logs[0] == logs[1] and sum(miou is not None for _, _, miou in logs[0]) == 3
    best = [sorted(os.listdir(os.path.join(folder, "best"))) for folder in (whole, killed)]
    assert best[0] == best[1]


def test_a_run_that_has_ended_is_only_read(tmp_path, monkeypatch):
    """Two readers at once do not collide, nor does one where nothing can be written."""
    root = make_tiny_voc(tmp_path / "voc", train=5, val=2)
    settings = settings_module.read(dict(TINY, data_root=root, train_steps=2, depth_multiplier=0.1))
    monkeypatch.setattr(run_module, "records_folder", lambda root: str(tmp_path / "records"))
    monkeypatch.setattr(files, "RUNS", str(tmp_path / "runs"))
    overrides = settings_module.as_dict(settings)
    run = run_module.open_run("sample", str(tmp_path / "run"), overrides)
    prefix = run.train()
    before, times = digests(tmp_path), os.stat(os.path.join(run.folder, "settings.json"))
    with alone_at(run.train_folder), alone_at(os.path.join(run.folder, "settings.json")):
        again = run_module.open_run("sample", str(tmp_path / "run"), overrides)
        assert again.train() == again.checkpoint() == prefix
    assert digests(tmp_path) == before
    assert os.stat(os.path.join(run.folder, "settings.json")).st_mtime_ns == times.st_mtime_ns


@pytest.mark.parametrize("name", ["model.ckpt-9.index", "log.jsonl"])
def test_what_another_program_left_is_not_trained_into(tmp_path, name):
    """Its checkpoints would be taken for ours, and all but the newest removed."""
    path = tmp_path / name
    path.write_text("{}")
    (tmp_path / "model.ckpt-9.data-00000-of-00001").write_text("")
    before = digests(tmp_path)
    with pytest.raises(WorkbookError, match="of another program, for there is no settings"):
        loop.train(settings_module.read(TINY), [], str(tmp_path))
    assert digests(tmp_path) == before


def test_the_best_checkpoint_replaces_an_older_one_alone(tmp_path):
    for name in ("model.ckpt-4.index", "best/model.ckpt-2.index", "best/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    keep_best(str(tmp_path / "model.ckpt-4"), str(tmp_path / "best"))
    assert sorted(os.listdir(str(tmp_path / "best"))) == ["model.ckpt-4.index", "notes.txt"]
