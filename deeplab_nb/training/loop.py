"""The training loop of one process: batches in, checkpoints and a log out, resumable at any time."""
import collections
import json
import math
import os
import time

from deeplab_nb import settings as settings_module
from deeplab_nb.data.pipeline import training_batches
from deeplab_nb.data.records import count_records, read_ids
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import newest_checkpoint, restore, step_of
from deeplab_nb.network.deeplab import build_logits
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective

Step = collections.namedtuple("Step", "train loss cross_entropy learning_rate")

# what may change between two runs in one folder; anything else would make the log a lie
RESUMABLE = {"train_steps", "log_every", "save_every", "keep_checkpoints", "val_list", "data_root",
             "eval_output_stride", "eval_scales", "eval_flip", "eval_protocol", "initial_checkpoint"}


def train(settings, records, folder):
    """Trains until `settings.train_steps` and returns the last checkpoint's prefix.

    records: TFRecord files; folder: gets settings.json, log.jsonl and the checkpoints.
    Where training starts:
      1. from the folder's newest checkpoint, with momentum and step, if there is one;
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
    settings_module.save(settings, folder)
    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed + first_step)
        iterator, images, labels, places = training_batches(records, settings, first_step=first_step)
        step = training_step(images, labels, settings)
        saver = tf.train.Saver(max_to_keep=settings.keep_checkpoints)
        with tf.Session() as session:
            session.run([tf.global_variables_initializer(), iterator.initializer])
            print(start(session, saver, resumed, settings), flush=True)
            return _run(session, step, places, records, saver, settings, folder, first_step)


def training_step(images, labels, settings):
    """Builds network, loss and update; returns the tensors of one `Step`."""
    updates = []
    logits = build_logits(images, settings=settings, is_training=True, batch_norm_updates=updates)
    global_step = tf.train.get_or_create_global_step()
    loss = objective.cross_entropy(
        logits, labels, settings.ignore_label, stride=settings.loss_stride, upsample=settings.upsample_logits,
        class_weights=settings.class_weights, hardest=objective.hardest_share(global_step, settings))
    total = loss + objective.weight_decay(objective.trained_variables(settings), settings.weight_decay)
    rate = objective.learning_rate(global_step, settings)
    with tf.control_dependencies(updates):
        train_op = objective.update(total, global_step, rate, settings)
    return Step(train_op, total, loss, rate)


def start(session, saver, resumed, settings):
    """Gives the variables their first values; returns a sentence or report that says which."""
    if resumed:
        try:
            saver.restore(session, resumed)
        except (tf.errors.OpError, ValueError) as error:
            raise WorkbookError("checkpoint {} is damaged ({}): delete its files to go on from the one before".format(
                resumed, str(error).split("\n")[0][:120]))
        return "resuming at step {} of {}".format(step_of(resumed), settings.train_steps)
    if settings.initial_checkpoint:
        return str(restore(session, settings.initial_checkpoint, network_variables(), layers=settings.initial_layers))
    return "starting from random weights, seed {}".format(settings.seed)


def network_variables():
    """Weights and batch-norm statistics, without the step and what the optimiser remembers."""
    return [v for v in tf.global_variables()
            if v.op.name.rsplit("/", 1)[-1] in ("weights", "depthwise_weights", "biases", "gamma", "beta",
                                                "moving_mean", "moving_variance")]


def check_trainable(settings):
    """Raises WorkbookError for settings that this version cannot train with, before any work is done."""
    if settings.train_steps < 1:
        raise WorkbookError("train_steps is 0: these settings evaluate only; set train_steps to train")
    for name, wanted in (("cards", 1), ("mixed_precision", False)):
        if getattr(settings, name) != wanted:
            raise WorkbookError("{}={} is described but not built in this version: set {}={}".format(
                name, getattr(settings, name), name, str(wanted).lower()))


def check_same_run(settings, folder):
    """Raises WorkbookError if the folder was trained with settings that do not go together with these."""
    if not os.path.exists(os.path.join(folder, "settings.json")):
        return
    before = settings_module.as_dict(settings_module.load(folder))
    for name, value in settings_module.as_dict(settings).items():
        if name not in RESUMABLE and before[name] != value:
            raise WorkbookError("{} was trained with {}={}, now it is {}: use another folder, or the old value".format(
                folder, name, before[name], value))


def _run(session, step, places, records, saver, settings, folder, first_step):
    """Steps, log lines and checkpoints; the last checkpoint's prefix."""
    done, log = first_step, os.path.join(folder, "log.jsonl")
    _drop_later_lines(log, first_step)
    bar = progress(label="training", total=settings.train_steps - first_step, unit="step")
    try:
        with open(log, "a") as file:
            last, clock = first_step, time.time()
            while done < settings.train_steps:
                values, seen = session.run([step, places])
                done += 1
                if not math.isfinite(values.loss):
                    raise _not_finite(values, done, folder, records, seen)
                bar.set_postfix_str("loss {:.3f}".format(values.loss), refresh=False)
                bar.update()
                if done % settings.log_every == 0 or done == settings.train_steps:
                    _log(file, values, done, (time.time() - clock) / (done - last), settings)
                    last, clock = done, time.time()
                if done % settings.save_every == 0:
                    _save(session, saver, folder, done)
        return _save(session, saver, folder, done)
    except KeyboardInterrupt:
        _save(session, saver, folder, done)
        print("interrupted at step {}, saved; the same command goes on from here".format(done), flush=True)
        raise
    except tf.errors.OpError as error:
        count_records(records)  # where a record file is damaged, this raises the sentence that names it
        raise WorkbookError("training stopped at step {} ({}): check the records and the disk, the same command resumes".format(
            done, error.message.split("\n")[0][:200]))
    finally:
        bar.close()


def _not_finite(values, step, folder, records, places):
    """The error of a loss that is inf or nan; it names the images, since one bad mask can be the cause."""
    ids = read_ids(records)
    return WorkbookError("the loss is {} at step {} (learning rate {:.3g}) on {}: lower learning_rate; "
                         "the checkpoints in {} are from before".format(
                             values.loss, step, values.learning_rate, ", ".join(ids[place] for place in places), folder))


def _log(file, values, step, seconds_a_step, settings):
    """One JSON line; a reader that follows the file sees it at once."""
    json.dump({"step": step, "loss": float(values.loss), "cross_entropy": float(values.cross_entropy),
               "learning_rate": float(values.learning_rate), "seconds_a_step": round(seconds_a_step, 4),
               "images_a_second": round(settings.global_batch_size / seconds_a_step, 2)}, file)
    file.write("\n")
    file.flush()


def _drop_later_lines(path, step):
    """A resumed run repeats the steps after its checkpoint: their old lines go, so that the curve has no fold."""
    if not os.path.exists(path):
        return
    kept = [entry for entry in read_log(path) if entry["step"] <= step]
    with open(path + ".part", "w") as file:
        file.writelines(json.dumps(entry) + "\n" for entry in kept)
    os.replace(path + ".part", path)


def read_log(path):
    """The entries of a log.jsonl; a last line cut off by a kill is left out."""
    entries = []
    with open(path) as file:
        for line in file:
            try:
                entries.append(json.loads(line))
            except ValueError:
                break
    return entries


def _save(session, saver, folder, step):
    try:
        return saver.save(session, os.path.join(folder, "model.ckpt"), global_step=step, write_meta_graph=False)
    except (tf.errors.OpError, ValueError, OSError) as error:
        raise WorkbookError("could not save step {} in {} ({}): make room on the disk, the same command resumes from the "
                            "checkpoint before".format(step, folder, str(error).split("\n")[0][:120]))
