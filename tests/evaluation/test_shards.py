"""Counts of parts of a list, written, read and joined."""

import os

import numpy as np
import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import shards
from deeplab_nb.evaluation.evaluate import summarise
from deeplab_nb.evaluation.metrics import Counts, save_counts

CONDITIONS = {"protocol": "mindspore: for the test", "list": "val"}


def counts(images=7, conditions=CONDITIONS, bands=True):
    """Of as many images, each another matrix."""
    random = np.random.RandomState(0)
    matrices = random.randint(0, 50, (images, 5, 5))
    return Counts(
        {f"image {i}": m for i, m in enumerate(matrices)},
        {1: matrices[0], 5: matrices[1]} if bands else {},
        conditions,
        0.5,
    )


def write(folder, whole, total):
    """What `total` processes would write of it."""
    items = list(whole.confusions.items())
    for number in range(1, total + 1):
        bands = (
            whole.bands if number == 1 else {width: 0 * band for width, band in whole.bands.items()}
        )
        part = whole._replace(confusions=dict(items[number - 1 :: total]), bands=bands)
        save_counts(str(folder / f"shard-{number}-of-{total}.npz"), part)


@pytest.mark.parametrize("total", [1, 2, 3, 7])
@pytest.mark.parametrize("bands", [True, False])
def test_merged_shards_give_all_of_one_process(tmp_path, total, bands):
    """Under MindSpore's protocol too, whose number depends on the order of the images."""
    whole = counts(bands=bands)
    write(tmp_path, whole, total)
    merged, one = shards.merge(str(tmp_path)), summarise(whole)
    assert merged.results == one.results and merged.image_miou == one.image_miou
    assert list(merged.image_miou) == list(one.image_miou)
    assert np.array_equal(merged.scores.confusion, one.scores.confusion)
    assert not [name for name in os.listdir(str(tmp_path)) if name.endswith(".part")]


def test_a_missing_shard_is_named(tmp_path):
    write(tmp_path, counts(), 3)
    os.remove(str(tmp_path / "shard-2-of-3.npz"))
    with pytest.raises(WorkbookError, match="lacks shard 2 of 3: evaluate it with --shard 2/3"):
        shards.merge(str(tmp_path))


def test_shards_of_two_evaluations_are_refused(tmp_path):
    write(tmp_path, counts(), 2)
    write(tmp_path, counts(), 3)
    with pytest.raises(WorkbookError, match="holds shards of several counts"):
        shards.merge(str(tmp_path))


def test_a_shard_of_other_conditions_is_named(tmp_path):
    write(tmp_path, counts(), 2)
    save_counts(
        str(tmp_path / "shard-2-of-2.npz"), counts(conditions=dict(CONDITIONS, list="train"))
    )
    with pytest.raises(WorkbookError, match="shard 2 of .* other conditions"):
        shards.merge(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04"])
def test_a_damaged_shard_is_named(tmp_path, content):
    (tmp_path / "shard-1-of-1.npz").write_bytes(content)
    with pytest.raises(WorkbookError, match="shard-1-of-1.npz are not readable"):
        shards.merge(str(tmp_path))


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(str(tmp_path / "shard-1-of-1.npz"), ids=np.array([{}], object))
    with pytest.raises(WorkbookError, match="not readable"):
        shards.merge(str(tmp_path))


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(WorkbookError, match="such as 1/4"):
        shards.parse_shard(text)
