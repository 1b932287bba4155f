"""The training loop of one process: batches in, checkpoints and a log out, resumable at any time."""
import collections
import math
import os

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.data.pipeline import training_batches
from deeplab_nb.data.records import count_records, read_ids
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import workers
from deeplab_nb.network.checkpoints import newest_checkpoint, restore, step_of
from deeplab_nb.network.deeplab import build_logits
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import tf
from deeplab_nb.training import devices, objective
from deeplab_nb.training.journal import Journal, cannot_write, read_log, validations_of
from deeplab_nb.training.saving import Checkpoints
from deeplab_nb.training.validation import QuickValidation

# the operation that trains, then scalars of the step
Step = collections.namedtuple("Step", "train loss cross_entropy learning_rate gradient_norm global_step loss_scale")

# what may change between two runs in one folder; anything else would make the log a lie
RESUMABLE = {"train_steps", "log_every", "save_every", "save_minutes", "keep_checkpoints", "validate_every", "validation_images",
             "val_list", "data_root", "device", "intra_op_threads", "dump_folder", "profiling_folder",
             "eval_output_stride", "eval_scales", "eval_flip", "eval_protocol", "initial_checkpoint"}


def train(settings, records, folder):
    """Trains until `settings.train_steps` and returns the last checkpoint's prefix.

    records: TFRecord files; folder: gets settings.json, the logs (see `journal`) and the checkpoints.
    Where training starts:
      1. from the folder's newest checkpoint, with momentum, step, loss scale and data order, if there is one;
      2. else from `settings.initial_checkpoint`, weights only, if it is set;
      3. else from random weights.
    Ctrl-C saves a checkpoint before KeyboardInterrupt goes on. A loss that is not finite raises WorkbookError;
    the checkpoints before it stay.
    """
    check_trainable(settings)
    check_same_run(settings, folder)
    resumed = newest_checkpoint(folder)
    first_step = max(step_of(resumed), 0) if resumed else 0
    if resumed and first_step >= settings.train_steps:
        return resumed
    device = devices.find(settings)
    epoch = max(count_records(records) // settings.global_batch_size, 1)
    validation = QuickValidation(settings, folder, best_before(folder, first_step)) if settings.validate_every else None
    settings_module.save(settings, folder)
    with tf.Graph().as_default():
        batches = timed_batches(records, settings, first_step)
        step = training_step(batches.images, batches.labels, settings, device)
        with tf.Session(config=devices.session_config(device, settings)) as session:
            session.run([tf.global_variables_initializer(), batches.iterator.initializer])
            print(start(session, resumed, settings), flush=True)
            with Journal(folder, first_step, epoch) as journal:
                run = Run(session, step, batches, journal, Checkpoints(session, folder, settings), validation, settings)
                return run.until_the_end(first_step, folder, records)


# sample: the first image and mask; waited: seconds that the step waited for its batch, a float64 scalar
Batches = collections.namedtuple("Batches", "iterator images labels places sample waited")


def timed_batches(records, settings, first_step=0):
    """`training_batches` with a clock round them."""
    with tf.device("/cpu:0"):
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            iterator, images, labels, places = training_batches(records, settings, first_step=first_step)
        with tf.control_dependencies([images, labels]):
            waited = tf.timestamp() - asked
    return Batches(iterator, images, labels, places, (images[0], labels[0]), waited)


def training_step(images, labels, settings, device="cpu"):
    """Builds network, loss and update for a device; returns the tensors of one `Step`."""
    updates = []
    global_step = tf.train.get_or_create_global_step()
    logits = build_logits(images, settings=settings, is_training=True, batch_norm_updates=updates, clones=settings.clones,
                          plain=device != "cpu", half=devices.simulates_half(device, settings), step=global_step)
    loss = objective.cross_entropy(
        logits, labels, settings.ignore_label, stride=settings.loss_stride, upsample=settings.upsample_logits,
        class_weights=settings.class_weights, hardest=objective.hardest_share(global_step, settings),
        plain=device != "cpu")
    total = loss + objective.weight_decay(objective.trained_variables(settings), settings.weight_decay)
    rate = objective.learning_rate(global_step, settings)
    optimizer, manager = devices.wrapped(objective.optimizer(rate, settings), device, settings)
    with tf.control_dependencies(updates):
        train_op, norm = objective.update(total, global_step, optimizer, settings)
    with tf.control_dependencies([train_op]):
        scale = manager.get_loss_scale() if manager else tf.constant(1.0)
        return Step(train_op, total, loss, rate, norm, tf.identity(global_step), tf.identity(scale))


def start(session, resumed, settings):
    """Gives the variables their first values; returns a sentence or report that says which."""
    if resumed:
        return resume(session, resumed, settings)
    if settings.initial_checkpoint:
        return str(restore(session, settings.initial_checkpoint, network_variables(), layers=settings.initial_layers))
    return "starting from random weights, seed {}".format(settings.seed)


def resume(session, prefix, settings):
    """Restores every variable of the graph; returns a sentence with step and learning rate."""
    try:
        tf.train.Saver().restore(session, prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise WorkbookError("checkpoint {} is damaged ({}): delete its files to go on from the one before".format(
            prefix, str(error).split("\n")[0][:120]))
    rate = session.run(objective.learning_rate(tf.train.get_global_step(), settings))
    return "resuming at step {} of {}, learning rate {:.3g}".format(step_of(prefix), settings.train_steps, rate)


def network_variables():
    """Weights and batch-norm statistics, without the step and what the optimiser remembers."""
    return [v for v in tf.global_variables()
            if v.op.name.rsplit("/", 1)[-1] in ("weights", "depthwise_weights", "biases", "gamma", "beta",
                                                "moving_mean", "moving_variance")]


def check_trainable(settings):
    """Raises WorkbookError for settings that this version cannot train with, before any work is done."""
    if settings.train_steps < 1:
        raise WorkbookError("train_steps is 0: these settings evaluate only; set train_steps to train")
    if settings.cards != 1:
        raise WorkbookError("cards={} is described but not built in this version: set cards=1".format(settings.cards))


def check_same_run(settings, folder):
    """Raises WorkbookError if the folder was trained with settings that do not go together with these."""
    if not os.path.exists(os.path.join(folder, "settings.json")):
        return
    before = settings_module.as_dict(settings_module.load(folder))
    for name, value in settings_module.as_dict(settings).items():
        if name not in RESUMABLE and before[name] != value:
            raise WorkbookError("{} was trained with {}={}, now it is {}: use another folder, or the old value".format(
                folder, name, before[name], value))


class Run:
    """The steps of one session, with what is logged, saved and validated between them."""

    def __init__(self, session, step, batches, journal, checkpoints, validation, settings):
        self._session, self._step, self._batches = session, step, batches
        self._journal, self._checkpoints, self._validation = journal, checkpoints, validation
        self._settings = settings

    def until_the_end(self, first_step, folder, records):
        """The last checkpoint's prefix. Steps are counted in calls: one skipped for an overflow does not move global_step."""
        done, total = first_step, self._settings.train_steps
        global_step = tf.train.get_global_step()
        seen = self._session.run(global_step)
        bar = progress(label="training", total=total - first_step, unit="step")
        try:
            while done < total:
                sample = self._batches.sample if done == first_step else ()  # the first crop, for TensorBoard
                values, places, waited, crop = self._session.run([self._step, self._batches.places, self._batches.waited, sample])
                done, seen = done + 1, values.global_step
                if not is_finite(values, self._settings):
                    raise not_finite(values, done, folder, records, places, self._settings)
                workers.beat()
                self._journal.waited(waited)
                bar.set_postfix_str("loss {:.3f}".format(values.loss), refresh=False)
                bar.update()
                self._after(done, values, crop)
            return self._checkpoints.save(done)
        except KeyboardInterrupt:
            # it comes up where Python goes on, after the step that TensorFlow was in, which then is not counted yet
            done += int(self._session.run(global_step) - seen)
            self._checkpoints.save(done)
            print("interrupted at step {}, saved; the same command goes on from here".format(done), flush=True)
            raise
        except OSError as error:
            raise cannot_write(folder, error)
        except tf.errors.OpError as error:
            count_records(records)  # where a record file is damaged or gone, this raises the sentence that names it
            raise WorkbookError("training stopped at step {} ({}): check the records and the disk, the same command resumes".format(
                done, error.message.split("\n")[0][:200]))
        finally:
            bar.close()

    def _after(self, done, values, crop):
        """What is due after a step."""
        settings, last = self._settings, done == self._settings.train_steps
        if done % settings.log_every == 0 or last:
            self._journal.steps(done, numbers(values, done, settings), images_a_step=settings.global_batch_size,
                                steps_left=settings.train_steps - done)
        self._journal.epoch(done)
        with self._journal.paused():
            if crop:
                self._journal.picture(done, "training/crop", np.hstack([crop[0].astype(np.uint8), voc.palette()[crop[1]]]))
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
    return entry


def is_finite(values, settings):
    """Whether training may go on. With a loss scale, gradients that overflow are skipped and the scale falls."""
    return math.isfinite(values.loss) and (settings.loss_scale != "none" or math.isfinite(values.gradient_norm))


def not_finite(values, step, folder, records, places, settings):
    """The error of a loss or gradient that is inf or nan; it saves the batch and names the images: one bad mask can be the cause."""
    stored = read_ids(records)
    ids = [stored[place] for place in places]
    path = os.path.join(folder, "not_finite_step_{}.npz".format(step))
    save_batch(path, records, step, ids, settings)
    return WorkbookError("the loss is {} at step {} (learning rate {:.3g}, gradient norm {:.3g}) on {}: look at that batch in {}, "
                         "lower learning_rate; the checkpoints are from before".format(
                             values.loss, step, values.learning_rate, values.gradient_norm,
                             ", ".join(ids), path))


def save_batch(path, records, step, ids, settings):
    """Writes a step's batch, made once more: `images` float32, `labels` int32, `ids`."""
    with tf.Graph().as_default(), tf.Session() as session:
        iterator, images, labels, _ = training_batches(records, settings, first_step=step - 1)
        session.run(iterator.initializer)
        images, labels = session.run([images, labels])
    np.savez_compressed(path, images=images, labels=labels, ids=np.array(ids))


def best_before(folder, step):
    """The highest mIoU that a run's log has up to a step, None without one."""
    log = os.path.join(folder, "log.jsonl")
    found = validations_of(read_log(log)) if os.path.exists(log) else []
    return max((entry["validation_miou"] for entry in found if entry["step"] <= step), default=None)
