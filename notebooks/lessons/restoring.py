"""Checkpoints for notebook 02: one to restore from, and the published weights that are there."""

import os

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import ROOT
from deeplab_nb.network import checkpoints, deeplab, zoo
from deeplab_nb.settings import override
from deeplab_nb.tf1 import tf
from lessons.exercises import wrapped


def save(settings, folder):
    """Saves the network with random weights and step counter 7 into a folder."""
    with tf.Graph().as_default(), tf.Session() as session:
        deeplab.variables_of(settings)
        tf.train.create_global_step()
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        saver.save(
            session, os.path.join(folder, "model.ckpt"), global_step=7, write_meta_graph=False
        )


def restored(settings, path, **options):
    """The report of restoring a checkpoint into the network of the settings."""
    with tf.Graph().as_default(), tf.Session() as session:
        variables = deeplab.variables_of(settings).values()
        return checkpoints.restore(session, path, variables, **options)


def published(settings):
    """`(path, settings)`: where the recipe starts, else a published network in data/weights.

    `(None, settings)` where there is none. Prints a sentence where the recipe's start is absent.
    """
    for path, holds in [(settings.initial_checkpoint, {})] + [
        (os.path.join(ROOT, "data", "weights", row.name), row.holds)
        for row in zoo.PUBLISHED
        if row.numbers
    ]:
        try:
            if path and checkpoints.find_checkpoint(path):
                return path, override(settings, holds)
        except WorkbookError as error:
            if not holds:
                print(wrapped(str(error)))
    return None, settings
