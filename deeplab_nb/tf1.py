"""TensorFlow 1.15, imported in one place so that its import is quiet everywhere.

The C++ start-up lines and the deprecation warnings of TensorFlow's own code go; its errors stay.
"""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow.compat.v1 as tf  # noqa: E402  (the line above must come first)

tf.logging.set_verbosity(tf.logging.ERROR)

__all__ = ["tf"]
