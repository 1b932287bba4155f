"""The graph of one training step: network, loss, what ranks share, update."""

import collections
import math

from deeplab_nb.devices import collectives, devices
from deeplab_nb.network.deeplab import build_logits, training_layers
from deeplab_nb.tf1 import tf
from deeplab_nb.training import objective

# the operation that trains, then scalars of the step; losses are means over all ranks;
# shared: a `collectives.Shared`, or () without
Step = collections.namedtuple(
    "Step", "train loss cross_entropy learning_rate gradient_norm global_step loss_scale shared"
)


def training_step(images, labels, settings, device="cpu", team=collectives.ALONE):
    """Builds network, loss and update of a rank for a device; returns the tensors of one `Step`."""
    global_step = tf.train.get_or_create_global_step()
    kind = devices.layers(device, settings)
    logits, updates = training_logits(images, settings, kind, global_step, team)
    total, loss = objective.losses(logits, labels, global_step, settings, kind)
    rate = objective.learning_rate(global_step, settings)
    optimizer, shared = objective.optimizer(rate, settings), ()
    if team.target:  # Ascend's optimizer averages by itself
        weight = objective.share_counted(labels, logits, settings)
        optimizer = averaged = collectives.Averaged(
            optimizer,
            team,
            weight=weight,
            losses=[total, loss],
            statistics=tf.global_variables(".*/moving_(mean|variance):") if updates else [],
        )
    optimizer, manager = devices.wrapped(optimizer, device, settings)
    with tf.control_dependencies(updates):
        train_op, norm = objective.update(total, global_step, optimizer, settings)
    if team.target:
        (total, loss), shared = averaged.losses, averaged.shared
    with tf.control_dependencies([train_op]):
        scale = manager.get_loss_scale() if manager else tf.constant(1.0)
        return Step(
            train_op, total, loss, rate, norm, tf.identity(global_step), tf.identity(scale), shared
        )


def training_logits(images, settings, kind, step, team):
    """`(logits, updates)`, the updates being those of batch norm's moving statistics.

    kind: of the layers. Clones, as the original's num_clones, share the batch evenly, and the
    weights. They run side by side, each with batch statistics of its own part; the moving ones
    follow the first.
    """
    clones = [
        training_layers(settings, kind, clone=number, step=step, rank=team.rank, ranks=team.ranks)
        for number in range(settings.clones)
    ]
    parts = tf.split(images, len(clones)) if len(clones) > 1 else [images]
    logits = [
        build_logits(part, settings=settings, layers=layers) for part, layers in zip(parts, clones)
    ]
    return tf.concat(logits, axis=0) if len(clones) > 1 else logits[0], clones[0].updates


def numbers(values, done, settings):
    """{name: float} of a step for the log; loss scale and skipped steps where there is a scale."""
    names = "loss", "cross_entropy", "learning_rate", "gradient_norm"
    entry = {name: float(getattr(values, name)) for name in names}
    if settings.loss_scale != "none":
        entry.update(loss_scale=float(values.loss_scale), skipped=done - int(values.global_step))
    if values.shared:
        entry.update(rank_loss=float(values.shared.rank_loss))
    return entry


def is_finite(values, settings):
    """Whether training may go on: under a loss scale, gradients that overflow are skipped."""
    return math.isfinite(values.loss) and (
        settings.loss_scale != "none" or math.isfinite(values.gradient_norm)
    )
