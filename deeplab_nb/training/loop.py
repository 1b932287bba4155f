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
from deeplab_nb.progress import progress, say
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from deeplab_nb.training.log import Log, best_before, log_folder, writing_into
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
    share, validation = dict(rank=team.rank, ranks=team.ranks), None
    if team.rank == 0:
        make_up(settings, folder, resumed, epoch)
        settings_module.save(settings, folder)
        if settings.validate_every:
            validation = QuickValidation(settings, folder, best_before(folder, first_step))
    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)  # first values of variables follow from it
        batches = timed_batches(records, settings, first_step=first_step, **share)
        step = training_step(batches.images, batches.labels, settings, device, team)
        with literal(folder) as name, tf.Session(team.target, config=config) as session:
            session.run(tf.global_variables_initializer())
            # in a call of its own: Ascend's adapter leaves one that makes an iterator to the host,
            # variables and all
            session.run(batches.iterator.initializer)
            print(start(session, resumed, settings))
            say(collectives.in_words(settings, team))
            devices.start_alike(device, session, first_step, team)
            checkpoints = Checkpoints(session, folder, name, settings, team.rank, resumed)
            with Log(log_folder(folder, team), first_step, epoch) as log:
                training = Training(
                    settings, records, share, session, batches, step, log, checkpoints, validation
                )
                return training.run(first_step)


# --- where it starts


def start(session, resumed, settings):
    """Gives the variables their first values; returns a sentence or report that says which."""
    if resumed:
        return resume(session, resumed, settings)
    path = settings.initial_checkpoint
    if path:
        variables = variables_of(settings).values()
        return restore(session, path, variables, layers=settings.initial_layers)
    return f"starting from random weights, seed {settings.seed}"


def resume(session, prefix, settings):
    """Restores every variable of the graph; returns a sentence with step and learning rate."""
    step = step_of(prefix)
    try:
        with literal(prefix) as name:
            tf.train.Saver().restore(session, name)
    except (tf.errors.OpError, ValueError) as error:
        said = str(error).split("\n")[0][:120]
        steps = map(step_of, whole_checkpoints(os.path.dirname(prefix)))
        before = max((number for number in steps if 0 <= number < step), default=None)
        remedy = f"--from-step {before} goes on from the one before and keeps this one's files"
        if before is None:
            remedy = "there is none before it, so train into another folder"
        raise WorkbookError(f"checkpoint {prefix} cannot be restored ({said}): {remedy}")
    rate = session.run(objective.learning_rate(tf.train.get_global_step(), settings))
    return f"resuming at step {step} of {settings.train_steps}, learning rate {rate:.3g}"


# --- the steps


class Training(
    collections.namedtuple(
        "Training", "settings records share session batches step log checkpoints validation"
    )
):
    """The steps of one session, with what is logged, saved and validated between them.

    share: this process's rank among so many ranks.
    """

    def run(self, first_step):
        """The last checkpoint's prefix."""
        # a rank that left in between would leave the others waiting: they stop at the same step
        with asked_to_stop() if self.step.shared else contextlib.nullcontext(()) as asked:
            prefix = self._steps(first_step, asked)
        if self.share["ranks"] > 1:
            self._tell_the_end()
        return prefix

    def _steps(self, done, asked):
        """Counted in calls: a step that is skipped for an overflow does not move global_step."""
        global_step, total, first = tf.train.get_global_step(), self.settings.train_steps, done + 1
        seen = self.session.run(global_step)
        bar = progress(label="training", total=total - done, unit="step")
        try:
            with writing_into(self.log.folder):
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
            say(f"interrupted at step {done}, saved; the same command goes on from here")
            raise
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
        reducing = dict(all_reduce=values.shared.all_reduce_seconds) if shared else {}
        self.log.waited(input=after - before, **reducing)
        return values, places

    def _after(self, done, values, first):
        """What is due after a step. first: of this session, whose crop TensorBoard shows."""
        settings, log = self.settings, self.log
        left = settings.train_steps - done
        if done % settings.log_every == 0 or not left:
            entry = numbers(values, done, settings)
            log.steps(done, entry, images_a_step=settings.global_batch_size, steps_left=left)
        log.epoch(done)
        with log.paused():
            if first and self.share["rank"] == 0:
                images, labels = batch_of(self.records, settings, done, **self.share)
                log.picture(done, "training/crop", images[0], labels[0])
            validates = self.validation and (done % settings.validate_every == 0 or not left)
            if validates or self.checkpoints.due(done):
                checkpoint = self.checkpoints.save(done)
                if validates:
                    validate(self.validation, log, done, checkpoint)

    def _not_finite(self, step, values, places):
        """The error of a loss or gradient that is inf or nan; one bad mask can be the cause.

        It saves the batch, `images` float32, `labels` int32 and `ids`, and names the images. All
        ranks raise it at the same step, each for its own images.
        """
        stored = read_ids(self.records)
        ids = [stored[place] for place in places]
        path = os.path.join(self.log.folder, f"not_finite_step_{step}.npz")
        images, labels = batch_of(self.records, self.settings, step, **self.share)
        np.savez_compressed(path, images=images, labels=labels, ids=np.array(ids))
        own = ""
        if values.shared:
            own = f" and {values.shared.rank_loss} on rank {self.share['rank']} alone"
        return WorkbookError(
            f"the loss is {values.loss}{own} at step {step} (learning rate "
            f"{values.learning_rate:.3g}, gradient norm {values.gradient_norm:.3g}) on "
            f"{', '.join(ids)}: look at that batch in {path}, lower learning_rate; "
            "the checkpoints are from before"
        )

    def _stopped(self, done, error):
        """TensorFlow's error in words; of a record file that is damaged or gone, those name it."""
        count_records(self.records)
        alone = self.share["ranks"] == 1
        where = "the records and the disk" if alone else "the other ranks' logs"
        said = error.message.split("\n")[0][:200]
        return WorkbookError(
            f"training stopped at step {done} ({said}): check {where}, the same command resumes"
        )

    def _tell_the_end(self):
        """What shows that all ranks hold the same, and what one took."""
        floats = [v for v in tf.global_variables() if v.dtype.base_dtype == tf.float32]
        values = b"".join(value.tobytes() for value in self.session.run(floats))
        digest, memory = hashlib.sha256(values).hexdigest(), round(peak_memory())
        self.log.end(**self.share, variables_sha256=digest, peak_memory_mb=memory)
        say(
            f"rank {self.share['rank']} of {self.share['ranks']} has ended: peak memory "
            f"{memory} MB, sha256 of all variables {digest[:16]}"
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
