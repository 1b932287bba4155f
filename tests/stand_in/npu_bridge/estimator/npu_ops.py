import tensorflow.compat.v1 as tf


def dropout(x, keep_prob, noise_shape=None, seed=None, name=None):
    return tf.nn.dropout(x, rate=1 - keep_prob, noise_shape=noise_shape, seed=seed, name=name)
