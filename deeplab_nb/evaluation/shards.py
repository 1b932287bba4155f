"""An evaluation in parts, on any number of processes or machines: each writes its counts, and the counts are merged."""
import itertools
import os
import re

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.confusion import Counts, load_counts, save_counts
from deeplab_nb.evaluation.evaluate import count, summarise


def parse_shard(text):
    """(number from 1, of how many) from a text such as 1/4."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    number, total = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= total:
        raise WorkbookError("shard '{}' must be its number and their count, such as 1/4".format(text))
    return number, total


def evaluate_shard(settings, checkpoint, folder, shard, *, list_name=None, **options):
    """Counts every N-th image of the list from the shard's number on, and writes FOLDER/shard-1-of-4.npz; returns its path.

    shard: (number from 1, N). options: as for `evaluate.count`.
    """
    number, total = shard
    ids = voc.read_list(voc.check_root(settings.data_root), list_name or settings.val_list)[number - 1::total]
    if not ids:
        raise WorkbookError("shard {}/{} is empty: the list has fewer images, take fewer shards".format(number, total))
    counts = count(settings, checkpoint, list_name=list_name, ids=ids, **options)
    path = os.path.join(folder, "shard-{}-of-{}.npz".format(number, total))
    save_counts(path, counts)
    return path


def merge(folder):
    """The `Evaluation` of all shards in a folder: the same as one process gives.

    Raises WorkbookError if one is missing or damaged, or if they differ in checkpoint, list or protocol.
    """
    shards = [load_counts(path) for path in _shard_paths(folder)]
    for number, shard in enumerate(shards, start=1):
        if _evaluated(shard) != _evaluated(shards[0]) or set(shard.bands) != set(shards[0].bands):
            raise WorkbookError("shard {} of {} was evaluated under other conditions than shard 1: evaluate it again".format(
                number, folder))
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*(shard.confusions.items() for shard in shards)))
    confusions = dict(pair for pair in in_turn if pair)  # the list's order again, which MindSpore's batches depend on
    bands = {width: sum(shard.bands[width] for shard in shards) for width in shards[0].bands}
    return summarise(Counts(confusions, bands, shards[0].conditions, float(np.mean([shard.seconds for shard in shards]))))


def _evaluated(shard):
    """Conditions but for the training's, which a machine without the training data knows less of."""
    return {name: value for name, value in shard.conditions.items() if name != "trained"}


def _shard_paths(folder):
    """Paths of the shards 1..N, every one of them there."""
    names = os.listdir(folder) if os.path.isdir(folder) else []
    found = [match for match in (re.fullmatch(r"shard-(\d+)-of-(\d+)\.npz", name) for name in names) if match]
    totals = {int(match.group(2)) for match in found}
    if len(totals) != 1:
        raise WorkbookError("folder {} holds {}: it needs the shards of one evaluation".format(
            folder, "shards of several counts" if totals else "no shard-1-of-N.npz"))
    total = totals.pop()
    missing = set(range(1, total + 1)) - {int(match.group(1)) for match in found}
    if missing:
        raise WorkbookError("folder {} lacks shard {} of {}: evaluate it with --shard {}/{}".format(
            folder, min(missing), total, min(missing), total))
    return [os.path.join(folder, "shard-{}-of-{}.npz".format(number, total)) for number in range(1, total + 1)]
