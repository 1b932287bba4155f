"""The steps of one session: run, logged, saved, validated, and ended as they should be."""
import contextlib
import hashlib
import math
import os

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.data.pipeline import training_batches
from deeplab_nb.data.records import count_records, read_ids
from deeplab_nb.devices import ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.processes import asked_to_stop, peak_memory
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import host_session, tf
from deeplab_nb.training.journal import cannot_write


class Run:
    """The steps of one session, with what is logged, saved and validated between them."""

    def __init__(self, session, step, batches, records, journal, checkpoints, validation, settings, team):
        self._session, self._step, self._batches, self._records = session, step, batches, records
        self._journal, self._checkpoints, self._validation = journal, checkpoints, validation
        self._settings, self._team = settings, team

    def until_the_end(self, first_step):
        """The last checkpoint's prefix. Steps are counted in calls: one skipped for an overflow does not move global_step."""
        # a rank that left in between would leave the others waiting: they stop at the same step, see `_one`
        with asked_to_stop() if self._step.shared else contextlib.nullcontext(()) as asked:
            prefix = self._steps(first_step, asked)
        if self._team.ranks > 1:
            self._tell_the_end()
        return prefix

    def _steps(self, first_step, asked):
        done, total = first_step, self._settings.train_steps
        global_step = tf.train.get_global_step()
        seen = self._session.run(global_step)
        bar = progress(label="training", total=total - first_step, unit="step")
        try:
            while done < total:
                values, places, waited = self._one(asked)
                done, seen = done + 1, values.global_step
                if not is_finite(values, self._settings):
                    raise not_finite(values, done, self._journal.folder, self._records, places, self._settings, self._team)
                ranks.beat()
                self._journal.waited(waited, values.shared.all_reduce_seconds if values.shared else None)
                bar.set_postfix_str("loss {:.3f}".format(values.loss), refresh=False)
                bar.update()
                self._after(done, values, first=done == first_step + 1)
                if values.shared and values.shared.stopping:
                    raise KeyboardInterrupt
            return self._checkpoints.save(done)
        except KeyboardInterrupt:
            # it comes up where Python goes on, after the step that TensorFlow was in, which then is not counted yet
            done += int(self._session.run(global_step) - seen)
            self._checkpoints.save(done)
            print("interrupted at step {}, saved; the same command goes on from here".format(done), flush=True)
            raise
        except OSError as error:
            raise cannot_write(self._journal.folder, error)
        except tf.errors.OpError as error:
            count_records(self._records)  # where a record file is damaged or gone, this raises the sentence that names it
            raise WorkbookError("training stopped at step {} ({}): check {}, the same command resumes".format(
                done, error.message.split("\n")[0][:200],
                "the other ranks' logs" if self._team.ranks > 1 else "the records and the disk"))
        finally:
            bar.close()

    def _one(self, asked):
        """What one step gives: values of `Step`, places of the images, seconds waited for them.

        Always the same tensors: for others a card would compile the step again, and a server make its graph anew.
        """
        shared, batches = self._step.shared, self._batches
        values, places, before, after = self._session.run(
            [self._step, batches.places, batches.asked, batches.came], {shared.asked: float(bool(asked))} if shared else None)
        return values, places, after - before

    def _tell_the_end(self):
        """What shows that all ranks hold the same, and what one took."""
        floats = [tf.reshape(v, [-1]) for v in tf.global_variables() if v.dtype.base_dtype == tf.float32]
        digest = hashlib.sha256(self._session.run(tf.concat(floats, 0)).tobytes()).hexdigest()
        memory = peak_memory()
        self._journal.end(rank=self._team.rank, ranks=self._team.ranks, variables_sha256=digest, peak_memory_mb=round(memory))
        print("rank {} of {} has ended: peak memory {:.0f} MB, sha256 of all variables {}".format(
            self._team.rank, self._team.ranks, memory, digest[:16]), flush=True)

    def _after(self, done, values, first):
        """What is due after a step. first: of this session; its first crop is drawn for TensorBoard."""
        settings, last = self._settings, done == self._settings.train_steps
        if done % settings.log_every == 0 or last:
            self._journal.steps(done, numbers(values, done, settings), images_a_step=settings.global_batch_size,
                                steps_left=settings.train_steps - done)
        self._journal.epoch(done)
        with self._journal.paused():
            if first and self._team.rank == 0:
                images, labels = batch_of(self._records, done, settings, self._team)
                self._journal.picture(done, "training/crop", np.hstack([images[0].astype(np.uint8), voc.palette()[labels[0]]]))
            validates = self._validation and (done % settings.validate_every == 0 or last)
            if validates or self._checkpoints.due(done):
                checkpoint = self._checkpoints.save(done)
                if validates:
                    self._validate(done, checkpoint)

    def _validate(self, done, checkpoint):
        self._journal.validation(done, self._validation.score(checkpoint), len(self._validation.ids))
        for name, *pictures in self._validation.pictures():
            photograph, mask, prediction = pictures
            self._journal.picture(done, "validation/" + name,
                                  np.hstack([photograph, voc.palette()[mask], voc.palette()[prediction]]))


def numbers(values, done, settings):
    """{name: float} of a step for the log; loss scale and skipped steps only where there is a scale."""
    entry = {name: float(getattr(values, name)) for name in ("loss", "cross_entropy", "learning_rate", "gradient_norm")}
    if settings.loss_scale != "none":
        entry.update(loss_scale=float(values.loss_scale), skipped=done - int(values.global_step))
    if values.shared:
        entry.update(rank_loss=float(values.shared.rank_loss))
    return entry


def is_finite(values, settings):
    """Whether training may go on. With a loss scale, gradients that overflow are skipped and the scale falls."""
    return math.isfinite(values.loss) and (settings.loss_scale != "none" or math.isfinite(values.gradient_norm))


def not_finite(values, step, folder, records, places, settings, team):
    """The error of a loss or gradient that is inf or nan; it saves the batch and names the images: one bad mask can be the cause.

    All ranks raise it at the same step, each for its own images.
    """
    stored = read_ids(records)
    ids = [stored[place] for place in places]
    path = os.path.join(folder, "not_finite_step_{}.npz".format(step))
    save_batch(path, records, step, ids, settings, team)
    own = " and {} on rank {} alone".format(values.shared.rank_loss, team.rank) if values.shared else ""
    return WorkbookError("the loss is {}{} at step {} (learning rate {:.3g}, gradient norm {:.3g}) on {}: look at that batch in {}, "
                         "lower learning_rate; the checkpoints are from before".format(
                             values.loss, own, step, values.learning_rate, values.gradient_norm,
                             ", ".join(ids), path))


def save_batch(path, records, step, ids, settings, team):
    """Writes a rank's batch of a step: `images` float32, `labels` int32, `ids`."""
    images, labels = batch_of(records, step, settings, team)
    np.savez_compressed(path, images=images, labels=labels, ids=np.array(ids))


def batch_of(records, step, settings, team):
    """`(images, labels)` of a rank's batch of a step, made once more on the host."""
    with tf.Graph().as_default(), host_session() as session:
        iterator, images, labels, _ = training_batches(
            records, settings, first_step=step - 1, rank=team.rank, ranks=team.ranks)
        session.run(iterator.initializer)
        return session.run([images, labels])
