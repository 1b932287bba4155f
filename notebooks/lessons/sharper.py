"""A decoder added to a trained network, for notebook 05: what it changes near object borders.

Backbone and ASPP keep their weights; the decoder (1802.02611, Figure 2) learns for a moment on
training crops. Behind features that this workbook trained it starts from random weights, with the
class layer. Given weights know more than seconds of training can teach: there the decoder starts by
passing features on, before the class layer that knows them, and moves slowly.
"""

import os

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.data.pipeline import training_batches
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.network import deeplab, head
from deeplab_nb.network.checkpoints import restore
from deeplab_nb.network.fast_layers import FastLayers
from deeplab_nb.progress import progress
from deeplab_nb.tf1 import host_session, tf
from deeplab_nb.training.objective import cross_entropy


def curves(run, checkpoint, folder, *, steps, ids=None):
    """{name: `metrics.Scores`} with a trimap, without a decoder and with one.

    Where the network has none, one is trained. One that has a decoder stands alone: taken out, it
    would leave a class layer that knows other features.
    ids: as for `evaluate.evaluate`.
    """
    own = evaluate(run.settings, checkpoint, ids=ids, trimap=True).scores
    if run.settings.decoder:
        return {"with its decoder": own}
    settings = with_decoder(run.settings)
    added = add_decoder(run, checkpoint, folder, steps=steps)
    scores = evaluate(settings, added, ids=ids, trimap=True).scores
    return {"without a decoder": own, f"with a decoder of {steps} steps": scores}


def with_decoder(settings):
    """Settings of the same network with a decoder, for crops of half VOC's size at most."""
    return settings_module.override(
        settings,
        {
            "decoder": True,
            "train_crop_size": min(settings.train_crop_size, 257),
            "train_batch_size": 4,
            "clones": 1,
            # passed on, features need no other mean and variance than the first, 0 and 1
            "fine_tune_batch_norm": not settings.initial_checkpoint,
            "batch_norm_decay": 0.9,
        },
    )


def add_decoder(run, checkpoint, folder, *, steps):
    """Trains a decoder on the features of a checkpoint; returns the new checkpoint's prefix."""
    settings = with_decoder(run.settings)
    given = bool(settings.initial_checkpoint)
    moving, rate = (("decoder",), 3e-5) if given else (("decoder", head.LOGITS_SCOPE), 4e-3)
    records = run.records(settings.train_list)
    with tf.Graph().as_default(), host_session() as session:
        tf.set_random_seed(settings.seed)
        iterator, images, labels, _ = training_batches(records, settings)
        logits, updates = logits_of(images, settings)
        loss = cross_entropy(logits, labels, settings.ignore_label, stride=2)
        moved = [v for v in tf.trainable_variables() if v.op.name.startswith(moving)]
        count = tf.train.create_global_step()
        optimizer = tf.train.AdamOptimizer(tf.train.polynomial_decay(rate, count, steps, 0.0))
        with tf.control_dependencies(updates):
            step = optimizer.minimize(loss, count, var_list=moved)
        session.run([tf.global_variables_initializer(), iterator.initializer])
        restore(session, checkpoint, list(deeplab.variables_of(settings).values()))
        for variable in moved if given else ():
            pass_through(variable, session)
        for _ in progress(range(steps), label="training a decoder", unit="step"):
            session.run(step)
        prefix = os.path.join(folder, "model.ckpt")
        return tf.train.Saver(deeplab.variables_of(settings)).save(session, prefix, steps)


def logits_of(images, settings):
    """`(logits, updates)`: backbone and ASPP as they infer, then decoder and class layer.

    images: float32 [batch, height, width, 3] in 0..255. updates: of the decoder's batch norm.
    """
    variables = deeplab.variables_of(settings)
    still, learning = FastLayers(variables), deeplab.training_layers(settings, FastLayers)
    features = deeplab.backbone(still, deeplab.normalise(images), settings)
    form = {"separable": settings.separable_head}
    x = head.aspp(still, features.high, atrous_rates=settings.atrous_rates, **form)
    x = head.decoder(learning, x, features.low, **form)
    return head.classifier(learning, x, settings.num_classes), learning.updates


def pass_through(variable, session):
    """Lets a 3x3 or pointwise kernel of the decoder begin as the identity of the head's channels.

    So the network begins with the logits that it had, and what training adds is the decoder's.
    """
    name = variable.op.name
    if not name.startswith("decoder/decoder_conv") or not name.endswith("weights"):
        return
    rows, columns, channels, filters = shape = variable.shape.as_list()
    kernel = np.zeros(shape, np.float32)
    kernel[rows // 2, columns // 2] = np.eye(channels, filters) if filters > 1 else 1
    variable.load(kernel, session)
