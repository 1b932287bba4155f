"""Whether a training's memory grows: many small steps in a process of its own, with validations."""

import json
import os
import tempfile
import time

import numpy as np

from deeplab_nb.data.records import write_records
from deeplab_nb.errors import WorkbookError
from tests.support.tiny_training import said, start
from tests.support.tiny_voc import make_tiny_voc

WARM = 0.1  # share of the steps in which buffers fill, left out of the fit


def lines(steps):
    """A line for each twentieth of the steps, then the bytes a step of a line fitted to them."""
    yield "{:>8s} {:>12s} {:>12s}".format("step", "resident MB", "steps/s")
    found, began = [], time.time()
    with tempfile.TemporaryDirectory() as folder:
        for step, resident in measured(folder, steps, every=max(steps // 200, 1)):
            found.append((step, resident))
            if step % max(steps // 20, 1) == 0:
                rate = step / (time.time() - began)
                yield f"{step:8d} {resident / 1e6:12.2f} {rate:12.1f}"
    yield f"{bytes_a_step(found):.1f} bytes a step from step {int(WARM * steps)} on"


def bytes_a_step(found):
    """Slope of the line that fits [(step, resident bytes)] best, the first ones left out."""
    late = [point for point in found if point[0] >= WARM * found[-1][0] and point[1]]
    return np.polyfit(*zip(*late), 1)[0]


def measured(folder, steps, every):
    """(step, resident bytes of the training's process) at every so many steps.

    A quick validation, and a checkpoint, comes after every 50. Raises WorkbookError if it fails.
    """
    root = make_tiny_voc(os.path.join(folder, "voc"), train=5)
    records = write_records(root, "train", os.path.join(folder, "records"))
    run = os.path.join(folder, "run")
    values = dict(train_steps=steps, save_every=100, keep_checkpoints=2, data_root=root)
    values.update(depth_multiplier=0.1, validate_every=50, validation_images=2, log_every=every)
    process, log, seen = start(records, run, **values), os.path.join(run, "log.jsonl"), 0
    try:
        with _once_there(log, process) as file:
            while True:
                line = file.readline()
                if line.endswith("\n"):
                    entry = json.loads(line)
                    if "loss" in entry:
                        seen = entry["step"]
                        yield seen, resident(process.pid)
                elif process.poll() is not None:
                    break
                else:
                    time.sleep(0.02)
        if seen < steps:
            raise WorkbookError(f"the training ended at step {seen}: {said(run)[-300:]}")
    finally:
        process.kill()
        process.wait()


def _once_there(path, process):
    while not os.path.exists(path) and process.poll() is None:
        time.sleep(0.1)
    return open(path)


def resident(process):
    """Bytes of memory that a process holds; 0 once it has ended."""
    try:
        with open(f"/proc/{process}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0
