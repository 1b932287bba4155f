"""A checkpoint of random weights, for whatever only needs some network."""
import os

from deeplab_nb import settings as settings_module
from deeplab_nb.network import deeplab
from deeplab_nb.tf1 import tf

SETTINGS = {"depth_multiplier": 0.25}


def make_tiny_checkpoint(folder, seed=3):
    """Writes a checkpoint of SETTINGS' network; returns its prefix."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(seed)
        deeplab.build_logits(tf.placeholder(tf.float32, [1, 33, 33, 3]), settings=settings_module.read(SETTINGS))
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, os.path.join(str(folder), "model.ckpt"))
