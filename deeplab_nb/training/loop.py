"""The training loop, of one process or of each of several: batches in, checkpoints and a log out, resumable at any time."""
import collections
import os

from deeplab_nb import settings as settings_module
from deeplab_nb.data.pipeline import training_batches
from deeplab_nb.data.records import count_records
from deeplab_nb.devices import ascend, collectives, devices, ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import newest_checkpoint, restore, step_of
from deeplab_nb.network.deeplab import build_logits
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective
from deeplab_nb.training.journal import Journal, cannot_write, read_log, validations_of
from deeplab_nb.training.saving import Checkpoints, OthersCheckpoints
from deeplab_nb.training.steps import Run
from deeplab_nb.training.validation import QuickValidation

# the operation that trains, then scalars of the step; losses are means over all ranks; shared: a `collectives.Shared`, or () without
Step = collections.namedtuple("Step", "train loss cross_entropy learning_rate gradient_norm global_step loss_scale shared")

# what may change between two runs in one folder, as long as a step takes as many images; anything else would make the log a lie
RESUMABLE = {"train_steps", "log_every", "save_every", "save_minutes", "keep_checkpoints", "validate_every", "validation_images",
             "val_list", "data_root", "device", "ascend_profile", "intra_op_threads", "dump_folder", "profiling_folder",
             "cards", "train_batch_size", "clones",
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
    With several `settings.cards` this process is one rank, see `collectives`: rank 0 alone writes into the folder, the others
    log into a folder of their own.
    """
    check_trainable(settings)
    check_same_run(settings, folder)
    resumed = newest_checkpoint(folder)
    first_step = max(step_of(resumed), 0) if resumed else 0
    if resumed and first_step >= settings.train_steps:
        return resumed
    device = devices.find(settings)
    config = devices.session_config(device, settings)
    team = devices.join(device, settings, config)
    epoch = max(count_records(records) // settings.global_batch_size, 1)
    validation = None
    if team.rank == 0:
        save_settings(settings, folder)
        if settings.validate_every:
            validation = QuickValidation(settings, folder, best_before(folder, first_step))
    with tf.Graph().as_default():
        tf.set_random_seed(settings.seed)  # first values of variables follow from it
        batches = timed_batches(records, settings, first_step, team)
        step = training_step(batches.images, batches.labels, settings, device, team)
        with tf.Session(team.target, config=config) as session:
            session.run(tf.global_variables_initializer())
            # in a call of its own: Ascend's adapter leaves one that makes an iterator to the host, variables and all
            session.run(batches.iterator.initializer)
            print(start(session, resumed, settings), batches_in_words(settings, team), sep="\n", flush=True)
            devices.start_alike(device, session, first_step, team)
            checkpoints = OthersCheckpoints(folder) if team.rank else Checkpoints(session, folder, settings)
            with Journal(log_folder(folder, team), first_step, epoch) as journal:
                run = Run(session, step, batches, records, journal, checkpoints, validation, settings, team)
                return run.until_the_end(first_step)


# asked, came: when a step asked for its batch and when it had it, float64 scalars
Batches = collections.namedtuple("Batches", "iterator images labels places asked came")


def timed_batches(records, settings, first_step=0, team=collectives.ALONE):
    """`training_batches` of a rank with a clock round them."""
    with tf.device("/cpu:0"):
        asked = tf.timestamp()
        with tf.control_dependencies([asked]):
            iterator, images, labels, places = training_batches(
                records, settings, first_step=first_step, rank=team.rank, ranks=team.ranks)
        with tf.control_dependencies([images, labels]):
            came = tf.timestamp()  # subtracted in Python: a card would be given the subtraction
    return Batches(iterator, images, labels, places, asked, came)


def training_step(images, labels, settings, device="cpu", team=collectives.ALONE):
    """Builds network, loss and update of a rank for a device; returns the tensors of one `Step`."""
    updates = []
    global_step = tf.train.get_or_create_global_step()
    logits = build_logits(images, settings=settings, is_training=True, batch_norm_updates=updates, clones=settings.clones,
                          make_layers=devices.layers(device), plain=device != "cpu", half=devices.simulates_half(device, settings),
                          step=global_step, rank=team.rank, ranks=team.ranks)
    loss = objective.cross_entropy(
        logits, labels, settings.ignore_label, stride=settings.loss_stride, upsample=settings.upsample_logits,
        class_weights=settings.class_weights, hardest=objective.hardest_share(global_step, settings),
        device=device)
    total = loss + objective.weight_decay(objective.trained_variables(settings), settings.weight_decay)
    rate = objective.learning_rate(global_step, settings)
    chosen = objective.optimizer(rate, settings)
    averaged = None
    if team.target:  # Ascend's optimizer averages by itself
        chosen = averaged = collectives.Averaged(chosen, team, weight=objective.share_counted(logits, labels, settings),
                                             losses=[total, loss], statistics=moving_averages() if updates else [])
    optimizer, manager = devices.wrapped(chosen, device, settings)
    with tf.control_dependencies(updates):
        train_op, norm = objective.update(total, global_step, optimizer, settings)
    if averaged:
        total, loss = averaged.losses
    with tf.control_dependencies([train_op]):
        scale = manager.get_loss_scale() if manager else tf.constant(1.0)
        return Step(train_op, total, loss, rate, norm, tf.identity(global_step), tf.identity(scale), averaged.shared if averaged else ())


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


def moving_averages():
    """The statistics of batch norm."""
    return [v for v in tf.global_variables() if v.op.name.endswith(("/moving_mean", "/moving_variance"))]


def log_folder(folder, team):
    """Where a rank logs: rank 0 beside the checkpoints, another where its launcher keeps what it prints."""
    if team.rank == 0:
        return folder
    path = ranks.folder() or os.path.join(folder, "rank_{}".format(team.rank))
    os.makedirs(path, exist_ok=True)
    return path


def batches_in_words(settings, team):
    """Who trains and what a step takes, for the log."""
    if team.ranks == 1:
        return "{} images a step, learning_rate {:.3g}".format(settings.train_batch_size, settings.learning_rate)
    return "rank {} of {} is process {}: {} images a step on each, {} in all, learning_rate {:.3g}".format(
        team.rank, team.ranks, os.getpid(), settings.train_batch_size, settings.global_batch_size, settings.learning_rate)


def save_settings(settings, folder):
    try:
        settings_module.save(settings, folder)
    except OSError as error:
        raise cannot_write(folder, error)


def check_trainable(settings):
    """Raises WorkbookError for settings that cannot train, before any work is done."""
    if settings.train_steps < 1:
        raise WorkbookError("train_steps is 0: these settings evaluate only; set train_steps to train")
    if settings.device == "npu":
        ascend.session_config(settings)  # raises for what the card or its CANN lacks
    if settings.device == "npu" and settings.hard_example_mining_step:
        raise WorkbookError("hard_example_mining_step changes a shape at every step, and a card takes fixed ones: "
                            "set it to 0, which counts top_k_percent_pixels from the first step on")


def check_same_run(settings, folder):
    """Raises WorkbookError if the folder was trained with settings that do not go together with these."""
    if not os.path.exists(os.path.join(folder, "settings.json")):
        return
    earlier = settings_module.load(folder)
    if earlier.global_batch_size != settings.global_batch_size:
        raise WorkbookError("{} was trained with {} x {} images a step (cards x train_batch_size), now it is {} x {}: set "
                            "train_batch_size so that a step takes as many, or use another folder".format(
                                folder, earlier.cards, earlier.train_batch_size, settings.cards, settings.train_batch_size))
    before = settings_module.as_dict(earlier)
    for name, value in settings_module.as_dict(settings).items():
        if name not in RESUMABLE and before[name] != value:
            raise WorkbookError("{} was trained with {}={}, now it is {}: use another folder, or the old value".format(
                folder, name, before[name], value))


def best_before(folder, step):
    """The highest mIoU that a run's log has up to a step, None without one."""
    log = os.path.join(folder, "log.jsonl")
    found = validations_of(read_log(log)) if os.path.exists(log) else []
    return max((entry["validation_miou"] for entry in found if entry["step"] <= step), default=None)
