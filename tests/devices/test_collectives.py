"""Ranks that train together compute what one process would.

They are real processes over TensorFlow's own collectives.
"""

import os
import re
import shutil

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.devices import collectives
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import find_checkpoint
from deeplab_nb.training import loop
from deeplab_nb.training.log import end_of, read_log, steps_of
from tests.support.tiny_ranks import EXACT, at_step, log_of, ranks_of, said
from tests.support.tiny_training import records, variables  # noqa: F401

STEPS = 20

# every rank but the first throws its first values away for others; only a broadcast makes them
# alike again
OTHER_WEIGHTS = """
import os
import numpy as np
from deeplab_nb.tf1 import tf
from deeplab_nb.training import loop
first = loop.start
def other(session, resumed, settings):
    said, rank = first(session, resumed, settings), int(os.environ["RANK_ID"])
    draw = np.random.RandomState(rank)
    floats = [v for v in tf.global_variables() if rank and v.dtype.base_dtype == tf.float32]
    session.run(  # all at once: each call of its own would be a graph of its own for the server
        [v.initializer for v in floats],
        {v.initializer.inputs[1]: draw.normal(size=v.shape.as_list()) for v in floats},
    )
    return said
loop.start = other
"""


def alone(records, folder, batch=4, **values):
    """One process with the batch of all ranks."""
    return loop.train(
        settings_module.read(dict(EXACT, train_batch_size=batch, **values)), records, str(folder)
    )


@pytest.fixture(scope="module")
def warm(records, tmp_path_factory):
    """Weights whose frozen statistics fit, so that gradients reach every layer."""
    # the rate falls to 0, for statistics of weights that still move make a network in which
    # roundings grow without bound
    return alone(
        records,
        tmp_path_factory.mktemp("warm"),
        train_steps=30,
        learning_rate=1e-2,
        learning_rate_policy="poly",
        fine_tune_batch_norm=True,
        batch_norm_decay=0.5,
    )


@pytest.fixture(scope="module")
def single(records, warm, tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    return folder, alone(records, folder, train_steps=STEPS, initial_checkpoint=warm)


@pytest.fixture(scope="module")
def pair(records, warm, tmp_path_factory):
    """Two ranks of which the second starts from other weights, random ones."""
    folder = tmp_path_factory.mktemp("pair")
    ranks_of(records, folder, 2, prelude=OTHER_WEIGHTS, train_steps=STEPS, initial_checkpoint=warm)
    return folder


def largest_difference(one, other):
    """Of weights and statistics; momentum sums up gradients, some hundred times as large."""
    ours, theirs = variables(one), variables(other)
    names = [name for name in ours if not name.endswith("/Momentum")]
    assert ours.keys() == theirs.keys() and len(names) > 250
    return max(abs(np.float64(ours[name]) - theirs[name]).max() for name in names)


def test_two_ranks_end_with_the_weights_of_one_process_with_both_batches(single, pair, warm):
    assert largest_difference(single[1], find_checkpoint(str(pair / "train"))) < 1e-5
    before, after = variables(warm), variables(single[1])
    moved = [abs(after[name] - before[name]).max() for name in before if name.endswith("weights")]
    assert np.median(moved) > 1e-4, "else the ranks had nothing to agree upon"


def test_ranks_that_started_from_different_weights_end_with_the_same(pair):
    ends = [end_of(log_of(pair, rank)) for rank in range(2)]
    assert ends[0]["variables_sha256"] == ends[1]["variables_sha256"]
    assert [(end["rank"], end["ranks"], end["step"]) for end in ends] == [
        (0, 2, STEPS),
        (1, 2, STEPS),
    ]
    assert all(end["peak_memory_mb"] > 50 for end in ends)


def test_the_log_has_the_loss_of_all_ranks_and_of_each(single, pair):
    reference = steps_of(read_log(str(single[0] / "log.jsonl")))
    logs = [steps_of(log_of(pair, rank)) for rank in range(2)]
    for name in ("loss", "cross_entropy", "gradient_norm", "learning_rate"):
        assert [e[name] for e in logs[0]] == [e[name] for e in logs[1]]
        assert [e[name] for e in logs[0]] == pytest.approx([e[name] for e in reference], rel=1e-3)
    assert all(one["rank_loss"] != other["rank_loss"] for one, other in zip(*logs))
    assert all(
        min(pair) <= one["loss"] <= max(pair)
        for one, pair in (
            (one, (one["rank_loss"], other["rank_loss"])) for one, other in zip(*logs)
        )
    )


def test_a_steps_time_is_split(pair):
    for rank in range(2):
        for entry in steps_of(log_of(pair, rank)):
            assert entry["all_reduce_seconds_a_step"] > 0 and entry["compute_seconds_a_step"] > 0
            parts = sum(
                entry[name + "_seconds_a_step"] for name in ("input", "all_reduce", "compute")
            )
            assert parts == pytest.approx(entry["seconds_a_step"], abs=2e-4)


def test_rank_0_alone_writes_checkpoints_and_both_say_what_a_step_takes(pair):
    assert not [
        name
        for name in os.listdir(str(pair / "rank_1"))
        if "ckpt" in name or name == "settings.json"
    ]
    for rank in range(2):
        sentence = (
            rf"rank {rank} of 2 is process \d+: 2 images a step on each, 4 in all, "
            "learning_rate 2e-05"
        )
        assert re.search(sentence, said(pair, rank))
    assert settings_module.load(str(pair / "train")).cards == 2


def test_another_number_of_ranks_goes_on_where_they_stopped(single, pair, warm, records, tmp_path):
    folders = [
        shutil.copytree(str(path), str(tmp_path / path.name))
        for path in (single[0], pair / "train")
    ]
    ends = [
        alone(records, folder, train_steps=STEPS + 4, initial_checkpoint=warm) for folder in folders
    ]
    assert largest_difference(*ends) < 1e-5
    with pytest.raises(
        WorkbookError,
        match="was trained with 1 x 4 images a step .*, now it is 2 x 4: set train_batch_size",
    ):
        loop.check_same_run(
            settings_module.read(dict(EXACT, cards=2, train_batch_size=4)), folders[1]
        )


def test_batch_statistics_and_skipped_steps_are_alike_on_all_ranks(records, tmp_path):
    ranks_of(
        records,
        tmp_path,
        2,
        fine_tune_batch_norm=True,
        train_steps=6,
        loss_scale="exponential",
        initial_loss_scale=3e38,
        loss_scale_steps=100,
    )
    logs = [log_of(tmp_path, rank) for rank in range(2)]
    assert logs[0][0]["skipped"] > 0, "the scale is meant to overflow"
    assert [[(e["skipped"], e["loss_scale"]) for e in steps_of(log)] for log in logs[:1]] == [
        [(e["skipped"], e["loss_scale"]) for e in steps_of(log)] for log in logs[1:]
    ]
    assert end_of(logs[0])["variables_sha256"] == end_of(logs[1])["variables_sha256"]
    ends = variables(find_checkpoint(str(tmp_path / "train")))
    assert ends["aspp0/BatchNorm/moving_mean"].any()


def test_a_loss_that_is_not_finite_stops_all_ranks_at_the_same_step(records, tmp_path):
    with pytest.raises(WorkbookError):
        ranks_of(records, tmp_path, 2, learning_rate=1e18, train_steps=9)
    steps = [
        [
            line.split(" at step ")[1].split()[0]
            for line in said(tmp_path, rank).splitlines()
            if "WorkbookError: the loss is" in line
        ]
        for rank in range(2)
    ]
    assert len(steps[0]) == 1 and steps[0] == steps[1]
    assert "on rank 1 alone" in said(tmp_path, 1) and os.path.exists(
        str(tmp_path / "rank_1" / "not_finite_step_{}.npz".format(*steps[1]))
    )


def test_ctrl_c_stops_all_ranks_at_the_same_step_and_saves(records, tmp_path):
    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ranks_of(
            records, tmp_path, 2, on_line=at_step(3, interrupt), train_steps=5000, save_every=5000
        )
    steps = [
        said(tmp_path, rank).split("interrupted at step ")[1].split(",")[0] for rank in range(2)
    ]
    assert steps[0] == steps[1] and find_checkpoint(str(tmp_path / "train")).endswith(
        "model.ckpt-" + steps[0]
    )


@pytest.mark.slow
def test_eight_ranks_end_with_the_weights_of_one_process(warm, records, tmp_path):
    ranks_of(
        records,
        tmp_path,
        8,
        prelude=OTHER_WEIGHTS,
        train_batch_size=1,
        train_steps=STEPS,
        initial_checkpoint=warm,
    )
    reference = alone(records, tmp_path / "single", 8, train_steps=STEPS, initial_checkpoint=warm)
    assert largest_difference(reference, find_checkpoint(str(tmp_path / "train"))) < 1e-5
    assert len({end_of(log_of(tmp_path, rank))["variables_sha256"] for rank in range(8)}) == 1


# --- who the ranks are


def config_of(*workers, index=0):
    text = '{{"cluster": {{"worker": [{}]}}, "task": {{"type": "worker", "index": {}}}}}'
    return {"TF_CONFIG": text.format(", ".join(f'"{worker}"' for worker in workers), index)}


def test_tf_config_says_who_the_ranks_are():
    assert collectives.members(2, config_of("a:1", "b:2", index=1)) == (["a:1", "b:2"], 1)


@pytest.mark.parametrize(
    "given, words",
    [
        (
            {},
            "2 ranks train together but TF_CONFIG is not set: start them all with `deeplab-nb "
            "launch RECIPE --cards 2`",
        ),
        ({"TF_CONFIG": "{"}, "TF_CONFIG { cannot be used"),
        (
            {"TF_CONFIG": '{"task": {"index": 0}}'},
            "it is to hold cluster.worker, a list of HOST:PORT",
        ),
        (config_of("a:1", "b"), "cannot be used"),
        (config_of("a:1"), "makes this process number 0 of 1 but cards is 2"),
        (config_of("a:1", "b:1", index=2), "number 2 of 2 but cards is 2"),
    ],
)
def test_a_tf_config_that_does_not_fit_is_refused(given, words):
    with pytest.raises(WorkbookError, match=words):
        collectives.members(2, given)


def test_one_process_that_should_be_several_is_refused(records, tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        WorkbookError, match="start them all with `deeplab-nb launch RECIPE --cards 8`"
    ):
        loop.train(settings_module.read(dict(EXACT, cards=8)), records, str(tmp_path / "run"))
    assert not os.path.exists(str(tmp_path / "run"))
