"""Several ranks of the sample on this machine's CPU, small enough for notebook 04.

Processes and collectives are real.
"""

import contextlib
import os
import re

from deeplab_nb import recipes
from deeplab_nb.files import read_json, write_json
from deeplab_nb.launch import job
from deeplab_nb.runs.run import train_together
from deeplab_nb.training.log import read_log, steps_of

BATCH = 8  # images a step, shared by the ranks


def rehearse(folder, ranks, steps, *, on_line=None):
    """Trains a thin network on small crops until `steps`; the folder gets `train` and `rank_N`.

    Raises WorkbookError where a rank fails, after all have ended; the same call goes on from the
    last checkpoint.
    """
    recipe = recipes.get("sample")
    values = dict(
        depth_multiplier=0.1,
        train_crop_size=65,
        train_batch_size=BATCH // ranks,
        clones=1,
        device="cpu",
        learning_rate_policy="constant",
        train_steps=steps,
        log_every=1,
        save_every=2,
    )
    return train_together(recipe, job.plan(recipe, values, folder, cards=ranks), on_line=on_line)


def logs(folder, ranks):
    """[entries of log.jsonl] by rank."""
    folders = [os.path.join(folder, f"rank_{rank}" if rank else "train") for rank in range(ranks)]
    return [read_log(os.path.join(path, "log.jsonl")) for path in folders]


def table(found):
    """Text: the loss of all ranks and of each at every step; then where each rank's time went.

    The first step is left out of the times.
    """
    steps = [steps_of(log) for log in found]
    lines = ["step   all ranks   " + "   ".join(f"rank {rank}" for rank in range(len(found)))]
    for entries in zip(*steps):
        own = "   ".join(f"{entry['rank_loss']:6.3f}" for entry in entries)
        lines.append(f"{entries[0]['step']:4d}   {entries[0]['loss']:9.4f}   {own}")
    lines.append(f"\nrank {'compute':>12s} {'all-reduce':>12s} {'input':>12s}")
    for rank, entries in enumerate(steps):
        counted = entries[1:]
        parts = [
            1000 * sum(entry[f"{name}_seconds_a_step"] for entry in counted) / max(len(counted), 1)
            for name in ("compute", "all_reduce", "input")
        ]
        lines.append(f"{rank:4d} " + " ".join(f"{part:9.1f} ms" for part in parts))
    return "\n".join(lines)


def process_of(folder, rank):
    """The number of a rank's process, of its newest launch; None before it has said so."""
    path = os.path.join(folder, f"rank_{rank}", "log.txt")
    with open(path) as file:
        found = re.findall(r"rank \d+ of \d+ is process (\d+)", file.read())
    return int(found[-1]) if found else None


def without(lines, *words):
    """The lines in which none of the words stands."""
    return [line for line in lines if not any(word in line for word in words)]


def batches(*names):
    """Text: what a step takes and all steps see, a line a recipe."""
    lines = [" " * 24 + "  cards  batch   a step     rate    steps      images"]
    for name in names:
        s = recipes.get(name).settings
        lines.append(
            f"{name:24s} {s.cards:6d} {s.train_batch_size:6d} {s.global_batch_size:8d} "
            f"{s.learning_rate:8g} {s.train_steps:8d} {s.train_steps * s.global_batch_size:11,d}"
        )
    return "\n".join(lines)


def first_rank_twice(path, copy):
    """Writes a copy of a rank table in which card 0 has the last rank too; returns its path."""
    content = read_json(path)
    devices = content["server_list"][0]["device"]
    devices[0]["rank_id"] = str(max(len(devices) - 1, 1))
    write_json(copy, content)
    return copy


@contextlib.contextmanager
def without_cards():
    """Hides this machine's hccn_tool, whose addresses a drawn rank table does not have."""
    path = os.environ.get("PATH", "")
    os.environ["PATH"] = ""
    try:
        yield
    finally:
        os.environ["PATH"] = path
