"""What a training run writes beside its checkpoints: log.jsonl, train.log and TensorBoard events.

log.jsonl   one JSON object a line; `read_log` reads it, the notebooks draw it
train.log   the same in the words that users of the two published systems search their logs for
events.*    for `tensorboard --logdir FOLDER`: the numbers, a training crop, validation pictures
"""

import collections
import contextlib
import io
import json
import os
import time

import numpy as np
from PIL import Image

from deeplab_nb.data import voc
from deeplab_nb.devices import ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import parse_json, write_text
from deeplab_nb.progress import prints_logs, say
from deeplab_nb.tf1 import tf

_NUMBERS = {"loss", "cross_entropy", "learning_rate", "seconds_a_step"}  # that readers count with


class Log:
    """The three logs of one run folder; use it in a `with` block.

    first_step: the step a run starts or resumes at; entries of later steps go, for they are made
      again.
    steps_per_epoch: at least 1. Raises WorkbookError where the folder cannot be written.
    """

    def __init__(self, folder, first_step, steps_per_epoch):
        self.folder = folder
        self._epoch, self._last, self._epoch_start = steps_per_epoch, first_step, first_step
        self._clock = self._epoch_clock = time.time()
        self._waited = collections.Counter()
        with writing_into(folder):
            drop_later_lines(os.path.join(folder, "log.jsonl"), first_step)
            self._json = open(os.path.join(folder, "log.jsonl"), "a")
            self._text = open(os.path.join(folder, "train.log"), "a")
        self._events = tf.summary.FileWriter(folder)
        # TensorBoard forgets what an interrupted run drew beyond this step
        self._events.add_session_log(tf.SessionLog(status=tf.SessionLog.START), first_step)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for file in (self._json, self._text, self._events):
            with contextlib.suppress(OSError):  # a full disk has been reported by then
                file.close()

    def waited(self, **seconds):
        """Counts the seconds that a step waited: for its `input`, with ranks for `all_reduce`."""
        self._waited.update(seconds)

    def steps(self, step, numbers, *, images_a_step, steps_left):
        """An entry of the steps since the last one. numbers: {name: float} of the newest step."""
        since = step - self._last
        seconds = (time.time() - self._clock) / since
        waits = {name: total / since for name, total in self._waited.items()}
        entry = dict(
            numbers,
            step=step,
            seconds_a_step=round(seconds, 4),
            images_a_second=round(images_a_step / seconds, 2),
            seconds_left=round(steps_left * seconds),
        )
        if "all_reduce" in waits:
            waits["compute"] = seconds - sum(waits.values())
        entry.update((f"{name}_seconds_a_step", round(wait, 4)) for name, wait in waits.items())
        self._write(entry)
        loss, epoch, place = numbers["loss"], *divmod(step - 1, self._epoch)
        self._say(f"INFO:tensorflow:global step {step}: loss = {loss:.4f} ({seconds:.3f} sec/step)")
        self._say(f"INFO:tensorflow:global_step/sec: {1 / seconds:.4g}")
        self._say(f"epoch: {epoch + 1} step: {place + 1}, loss is {loss:.6g}")
        self._last, self._clock = step, time.time()
        self._waited.clear()

    def epoch(self, step):
        """The line that ends an epoch, where `step` is its last."""
        if step % self._epoch:
            return
        taken, steps = 1000 * (time.time() - self._epoch_clock), step - self._epoch_start
        self._say(f"Epoch time: {taken:.3f}, per step time: {taken / steps:.3f}")
        self._epoch_start, self._epoch_clock = step, time.time()

    def validation(self, step, miou, images):
        """An entry of a quick validation on some images."""
        self._write({"step": step, "validation_miou": miou, "validation_images": images})
        self._say(f"miou_1.0_overall[{miou}]")

    def end(self, **found):
        """An entry of what a rank says at its end."""
        self._json.write(json.dumps(dict(found, step=self._last)) + "\n")

    @contextlib.contextmanager
    def paused(self):
        """Leaves out of the step time what the block does: saving, validating."""
        began = time.time()
        yield
        away = time.time() - began
        self._clock += away
        self._epoch_clock += away

    def picture(self, step, name, photograph, *masks):
        """A photograph and masks in VOC's colours, side by side, for TensorBoard."""
        coloured = [voc.palette()[mask] for mask in masks]
        picture, png = np.hstack([photograph.astype(np.uint8)] + coloured), io.BytesIO()
        Image.fromarray(picture).save(png, format="PNG")
        height, width = picture.shape[:2]
        image = tf.Summary.Image(encoded_image_string=png.getvalue(), height=height, width=width)
        self._events.add_summary(tf.Summary(value=[tf.Summary.Value(tag=name, image=image)]), step)

    def _write(self, entry):
        """A reader that follows the files sees the entry at once."""
        self._json.write(json.dumps(entry) + "\n")
        self._json.flush()
        values = [
            tf.Summary.Value(tag=name, simple_value=value)
            for name, value in entry.items()
            if name != "step"
        ]
        self._events.add_summary(tf.Summary(value=values), entry["step"])
        self._events.flush()

    def _say(self, line):
        self._text.write(line + "\n")
        self._text.flush()
        if prints_logs():
            say(line)


def drop_later_lines(path, step):
    """A resumed run repeats the steps after its checkpoint: their old entries go."""
    if os.path.exists(path):
        kept = [entry for entry in read_log(path) if entry["step"] <= step]
        write_text(path, "".join(json.dumps(entry) + "\n" for entry in kept))


def read_log(path):
    """The entries of a log.jsonl; a last line cut off by a kill is left out.

    Raises WorkbookError for any other line that is no entry.
    """
    entries = []
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            try:  # a gradient norm may be infinite, and is written so
                entries.append(_entry(parse_json(line.decode(), finite=False)))
            except ValueError:
                if line.endswith(b"\n"):
                    raise WorkbookError(
                        f"line {number} of {path} is no entry of a step: mend it, or take it out"
                    )
    return entries


def _entry(entry):
    """The entry, if numbers stand where readers look for them; an mIoU may be NaN."""
    try:
        for name in {"step", *entry.keys() & _NUMBERS}:
            if not abs(entry[name]) < 1e300:
                raise ValueError(name)
        abs(entry.get("validation_miou", 0))
        return entry
    except (AttributeError, KeyError, TypeError):
        raise ValueError("no entry")


def steps_of(log):
    """The entries of training steps, without those of validations."""
    return [entry for entry in log if "loss" in entry]


def end_of(log):
    """The entry of a rank's end; {} where it has not ended well."""
    return next((entry for entry in reversed(log) if "variables_sha256" in entry), {})


def validations_of(log):
    return [entry for entry in log if "validation_miou" in entry]


def best_before(folder, step):
    """The highest mIoU that a run's log has up to a step, None without one."""
    found = _validations(folder)
    before = [e["validation_miou"] for e in found if e["step"] <= step]
    return max((miou for miou in before if miou >= 0), default=None)  # no NaN


def validated_at(folder, step):
    """Whether a run's log has a quick validation of this step."""
    return any(entry["step"] == step for entry in _validations(folder))


def _validations(folder):
    path = os.path.join(folder, "log.jsonl")
    return validations_of(read_log(path)) if os.path.exists(path) else []


def log_folder(folder, team):
    """Where a rank logs: rank 0 beside the checkpoints, another where its launcher logs it."""
    if team.rank == 0:
        return folder
    path = ranks.folder() or os.path.join(folder, f"rank_{team.rank}")
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def writing_into(folder, *errors):
    """Round what writes there: WorkbookError for a disk that is full, or a folder that may not be.

    errors: what else says so, beside OSError.
    """
    try:
        yield
    except (OSError,) + errors as error:
        said = str(error).split("\n")[0][:120]
        raise WorkbookError(
            f"cannot write into {folder} ({said}): make room on the disk or mend the "
            "folder's rights; the same command resumes from the newest checkpoint"
        )
