"""A checkpoint of random weights, for whatever only needs some network."""

import os

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.tf1 import tf

SETTINGS = {"depth_multiplier": 0.25}
SMALLEST = settings_module.read(
    {"depth_multiplier": 0.1, "eval_output_stride": 8, "num_classes": 5}
)


def noise(height, width):
    """A photograph of random pixels, uint8 [height, width, 3], always the same of a height."""
    return np.random.RandomState(height).randint(0, 256, (height, width, 3)).astype(np.uint8)


def make_tiny_checkpoint(folder, seed=3):
    """Writes a checkpoint of SETTINGS' network; returns its prefix."""
    return save_random(folder, seed=seed, settings=settings_module.read(SETTINGS))


def save_random(folder, *, seed, settings):
    """Writes a checkpoint of random weights, of any network; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(seed)
        deeplab.build_logits(tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings)
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        return saver.save(session, os.path.join(str(folder), "model.ckpt"), write_meta_graph=False)


def amplified(prefix, folder):
    """The checkpoint with so strong a class layer that features differ; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {
            name: tf.train.load_checkpoint(prefix).get_tensor(name)
            for name, _ in tf.train.list_variables(prefix)
        }
        tensors["logits/semantic/weights"] *= 3e14
        variables = [tf.Variable(value, name=name) for name, value in tensors.items()]
        session.run(tf.global_variables_initializer())
        return tf.train.Saver(variables).save(session, os.path.join(str(folder), "amplified.ckpt"))
