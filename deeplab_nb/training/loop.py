"""The training loop, of one process or of each of several, resumable at any time.

Batches in, checkpoints and logs out. What one step computes stands in `step`.
"""

import collections
import contextlib
import hashlib
import os

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.data.pipeline import batch_of, timed_batches
from deeplab_nb.data.records import count_records, read_ids
from deeplab_nb.devices import ascend, collectives, devices
from deeplab_nb.devices.ranks import beat
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import (
    literal,
    newest_checkpoint,
    restore,
    step_of,
    whole_checkpoints,
)
from deeplab_nb.network.deeplab import variables_of
from deeplab_nb.processes import asked_to_stop, peak_memory
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from deeplab_nb.training.log import Log, best_before, cannot_write, log_folder, save_settings
from deeplab_nb.training.saving import Checkpoints, refuse_foreign
from deeplab_nb.training.step import is_finite, numbers, training_step
from deeplab_nb.training.validation import QuickValidation, make_up, validate


def train(settings, records, folder):
    """Trains until `settings.train_steps` and returns the last checkpoint's prefix.

    records: TFRecord files; folder: gets settings.json, the logs (see `log`) and the checkpoints.
    Where training starts:
      1. from the folder's newest checkpoint, with momentum, step, loss scale and data order;
      2. without one from `settings.initial_checkpoint`, weights only, if it is set;
      3. else from random weights.
    Ctrl-C saves a checkpoint before KeyboardInterrupt goes on. A loss that is not finite raises
    WorkbookError; the checkpoints before it stay.
    With several `settings.cards` this process is one rank, see `collectives`: rank 0 alone writes
    into the folder, the others log into a folder of their own.
    """
    check_trainable(settings)
    check_same_run(settings, folder)
    resumed = newest_checkpoint(folder)
    first_step = max(step_of(resumed), 0) if resumed else 0
    epoch = max(count_records(records) // settings.global_batch_size, 1)
    if resumed and first_step >= settings.train_steps:
        make_up(settings, folder, resumed, epoch)
        return resumed
    device = devices.find(settings)
    config = devices.session_config(device, settings)
    team = devices.join(device, settings, config)
    validation = None
    if team.rank == 0:
        make_up(settings, folder, resumed, epoch)
        save_settings(settings, folder)
        if settings.validate_every:
            validation = QuickValidation(settings, folder, best_before(folder, first_step))
    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)  # first values of variables follow from it
        batches = timed_batches(
            records, settings, first_step=first_step, rank=team.rank, ranks=team.ranks
        )
        step = training_step(batches.images, batches.labels, settings, device, team)
        with literal(folder) as name, tf.Session(team.target, config=config) as session:
            session.run(tf.global_variables_initializer())
            # in a call of its own: Ascend's adapter leaves one that makes an iterator to the host,
            # variables and all
            session.run(batches.iterator.initializer)
            print(
                start(session, resumed, settings),
                collectives.in_words(settings, team),
                sep="\n",
                flush=True,
            )
            devices.start_alike(device, session, first_step, team)
            checkpoints = Checkpoints(session, folder, name, settings, team, newest=resumed)
            with Log(log_folder(folder, team), first_step, epoch) as log:
                training = Training(
                    settings, records, team, session, batches, step, log, checkpoints, validation
                )
                return training.run(first_step)


# --- where it starts


def start(session, resumed, settings):
    """Gives the variables their first values; returns a sentence or report that says which."""
    if resumed:
        return resume(session, resumed, settings)
    if settings.initial_checkpoint:
        return str(
            restore(
                session,
                settings.initial_checkpoint,
                variables_of(settings).values(),
                layers=settings.initial_layers,
            )
        )
    return f"starting from random weights, seed {settings.seed}"


def resume(session, prefix, settings):
    """Restores every variable of the graph; returns a sentence with step and learning rate."""
    try:
        with literal(prefix) as name:
            tf.train.Saver().restore(session, name)
    except (tf.errors.OpError, ValueError) as error:
        said, step = str(error).split("\n")[0][:120], step_of(prefix)
        steps = map(step_of, whole_checkpoints(os.path.dirname(prefix)))
        before = max((number for number in steps if 0 <= number < step), default=None)
        remedy = (
            "there is none before it, so train into another folder"
            if before is None
            else f"--from-step {before} goes on from the one before and keeps this one's files"
        )
        raise WorkbookError(f"checkpoint {prefix} cannot be restored ({said}): {remedy}")
    rate = session.run(objective.learning_rate(tf.train.get_global_step(), settings))
    return f"resuming at step {step_of(prefix)} of {settings.train_steps}, learning rate {rate:.3g}"


# --- the steps


class Training(
    collections.namedtuple(
        "Training", "settings records team session batches step log checkpoints validation"
    )
):
    """The steps of one session, with what is logged, saved and validated between them."""

    def run(self, first_step):
        """The last checkpoint's prefix."""
        # a rank that left in between would leave the others waiting: they stop at the same step
        with asked_to_stop() if self.step.shared else contextlib.nullcontext(()) as asked:
            prefix = self._steps(first_step, asked)
        if self.team.ranks > 1:
            self._tell_the_end()
        return prefix

    def _steps(self, done, asked):
        """Counted in calls: a step that is skipped for an overflow does not move global_step."""
        global_step, total, first = tf.train.get_global_step(), self.settings.train_steps, done + 1
        seen = self.session.run(global_step)
        bar = progress(label="training", total=total - done, unit="step")
        try:
            while done < total:
                values, places = self._one(asked)
                done, seen = done + 1, values.global_step
                if not is_finite(values, self.settings):
                    raise self._not_finite(done, values, places)
                beat()
                bar.set_postfix_str(f"loss {values.loss:.3f}", refresh=False)
                bar.update()
                self._after(done, values, done == first)
                if values.shared and values.shared.stopping:
                    raise KeyboardInterrupt
            return self.checkpoints.save(done)
        except KeyboardInterrupt:
            # it comes up where Python goes on, after the step that TensorFlow was in, which then
            # is not counted yet
            done += int(self.session.run(global_step) - seen)
            self.checkpoints.save(done)
            print(
                f"interrupted at step {done}, saved; the same command goes on from here", flush=True
            )
            raise
        except OSError as error:
            raise cannot_write(self.log.folder, error)
        except tf.errors.OpError as error:
            raise self._stopped(done, error)
        finally:
            bar.close()

    def _one(self, asked):
        """What one step gives: values of `Step`, and the places of its images.

        Always the same tensors: for others a card would compile the step again, and a server make
        its graph anew.
        """
        shared, batches = self.step.shared, self.batches
        values, places, before, after = self.session.run(
            [self.step, batches.places, batches.asked, batches.came],
            {shared.asked: float(bool(asked))} if shared else None,
        )
        self.log.waited(after - before, values.shared.all_reduce_seconds if shared else None)
        return values, places

    def _after(self, done, values, first):
        """What is due after a step. first: of this session, whose crop TensorBoard shows."""
        settings, last = self.settings, done == self.settings.train_steps
        if done % settings.log_every == 0 or last:
            self.log.steps(
                done,
                numbers(values, done, settings),
                images_a_step=settings.global_batch_size,
                steps_left=settings.train_steps - done,
            )
        self.log.epoch(done)
        with self.log.paused():
            if first and self.team.rank == 0:
                images, labels = self._batch(done)
                self.log.picture(done, "training/crop", images[0], labels[0])
            validates = self.validation and (done % settings.validate_every == 0 or last)
            if validates or self.checkpoints.due(done):
                checkpoint = self.checkpoints.save(done)
                if validates:
                    validate(self.validation, self.log, done, checkpoint)

    def _batch(self, step):
        rank, ranks = self.team.rank, self.team.ranks
        return batch_of(self.records, self.settings, step, rank=rank, ranks=ranks)

    def _not_finite(self, step, values, places):
        """The error of a loss or gradient that is inf or nan; one bad mask can be the cause.

        It saves the batch, `images` float32, `labels` int32 and `ids`, and names the images. All
        ranks raise it at the same step, each for its own images.
        """
        stored = read_ids(self.records)
        ids = [stored[place] for place in places]
        path = os.path.join(self.log.folder, f"not_finite_step_{step}.npz")
        images, labels = self._batch(step)
        np.savez_compressed(path, images=images, labels=labels, ids=np.array(ids))
        alone = f" on rank {self.team.rank} alone"
        own = f" and {values.shared.rank_loss}{alone}" if values.shared else ""
        return WorkbookError(
            f"the loss is {values.loss}{own} at step {step} (learning rate "
            f"{values.learning_rate:.3g}, gradient norm {values.gradient_norm:.3g}) on "
            f"{', '.join(ids)}: look at that batch in {path}, lower learning_rate; "
            "the checkpoints are from before"
        )

    def _stopped(self, done, error):
        """TensorFlow's error in words; of a record file that is damaged or gone, those name it."""
        count_records(self.records)
        where = "the other ranks' logs" if self.team.ranks > 1 else "the records and the disk"
        said = error.message.split("\n")[0][:200]
        return WorkbookError(
            f"training stopped at step {done} ({said}): check {where}, the same command resumes"
        )

    def _tell_the_end(self):
        """What shows that all ranks hold the same, and what one took."""
        floats = [
            tf.reshape(v, [-1]) for v in tf.global_variables() if v.dtype.base_dtype == tf.float32
        ]
        digest = hashlib.sha256(self.session.run(tf.concat(floats, 0)).tobytes()).hexdigest()
        rank, ranks, memory = self.team.rank, self.team.ranks, round(peak_memory())
        self.log.end(rank=rank, ranks=ranks, variables_sha256=digest, peak_memory_mb=memory)
        print(
            f"rank {rank} of {ranks} has ended: peak memory {memory} MB, "
            f"sha256 of all variables {digest[:16]}",
            flush=True,
        )


# --- what is refused before any work is done


def check_trainable(settings):
    """Raises WorkbookError for settings that cannot train."""
    if settings.train_steps < 1:
        raise WorkbookError(
            "train_steps is 0: these settings evaluate only; set train_steps to train"
        )
    if settings.device == "npu":
        ascend.check(settings)


def check_same_run(settings, folder):
    """Raises WorkbookError if the folder was trained with settings that do not go with these."""
    if not os.path.exists(os.path.join(folder, "settings.json")):
        return refuse_foreign(folder)
    earlier = settings_module.load(folder)
    if earlier.global_batch_size != settings.global_batch_size:
        was, now = (f"{s.cards} x {s.train_batch_size}" for s in (earlier, settings))
        raise WorkbookError(
            f"{folder} was trained with {was} images a step (cards x train_batch_size), now it is "
            f"{now}: set train_batch_size so that a step takes as many, or use another folder"
        )
    before, resumable = settings_module.as_dict(earlier), settings_module.known("resumable")
    for name, value in settings_module.as_dict(settings).items():
        if name not in resumable and before[name] != value:
            raise WorkbookError(
                f"{folder} was trained with {name}={before[name]}, now it is "
                f"{value}: use another folder, or the old value"
            )
