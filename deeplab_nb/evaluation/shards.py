"""An evaluation in parts, on any number of processes or machines, whose counts are merged."""

import itertools
import os
import re

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import count, listed, summarise
from deeplab_nb.evaluation.metrics import Counts, load_counts, save_counts


def parse_shard(text):
    """(number from 1, of how many) from a text such as 1/4."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, total = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= total:
        raise WorkbookError(f"shard '{text}' must be its number and their count, such as 1/4")
    return number, total


def evaluate_shard(settings, checkpoint, folder, shard, **options):
    """Counts every N-th image of the list from the shard's number on.

    Writes FOLDER/shard-1-of-4.npz and returns its path.
    shard: (number from 1, N). options: as for `evaluate.count`.
    """
    (number, total), (_, every) = shard, listed(settings)
    ids = every[number - 1 :: total]
    if not ids:
        raise WorkbookError(
            f"shard {number}/{total} is empty: the list has fewer images, take fewer shards"
        )
    path = _path(folder, number, total)
    save_counts(path, count(settings, checkpoint, ids=ids, **options))
    return path


def merge(folder):
    """The `Evaluation` of all shards in a folder: the same as one process gives.

    Raises WorkbookError if one is missing or damaged, or if they differ in checkpoint, list or
    protocol.
    """
    shards = [load_counts(path) for path in _shard_paths(folder)]
    first = shards[0]
    for number, shard in enumerate(shards, start=1):
        if _comparable(shard) != _comparable(first):
            raise WorkbookError(
                f"shard {number} of {folder} was evaluated under other conditions "
                "than shard 1: evaluate it again"
            )
    # the list's order again, which MindSpore's batches depend on
    in_turn = itertools.zip_longest(*(shard.confusions.items() for shard in shards))
    confusions = dict(filter(None, itertools.chain(*in_turn)))
    bands = {width: sum(shard.bands[width] for shard in shards) for width in first.bands}
    seconds = sum(shard.seconds for shard in shards) / len(shards)
    return summarise(Counts(confusions, bands, first.conditions, seconds))


def _comparable(shard):
    """Without the training's conditions, of which a machine without its data knows less."""
    return {**shard.conditions, "trained": None}, set(shard.bands)


def _path(folder, number, total):
    return os.path.join(folder, f"shard-{number}-of-{total}.npz")


def _shard_paths(folder):
    """Paths of the shards 1..N, every one of them there."""
    names = "\n".join(os.listdir(folder)) if os.path.isdir(folder) else ""
    totals = set(re.findall(r"^shard-\d+-of-(\d+)\.npz$", names, re.MULTILINE))
    if len(totals) != 1:
        held = "shards of several counts" if totals else "no shard-1-of-N.npz"
        raise WorkbookError(f"folder {folder} holds {held}: it needs the shards of one evaluation")
    total = int(totals.pop())
    paths = [_path(folder, number, total) for number in range(1, total + 1)]
    for number, path in enumerate(paths, start=1):
        if not os.path.exists(path):
            raise WorkbookError(
                f"folder {folder} lacks shard {number} of {total}: "
                f"evaluate it with --shard {number}/{total}"
            )
    return paths
