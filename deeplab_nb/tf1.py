"""TensorFlow 1.15, imported in one place so that its import is quiet everywhere.

The C++ start-up lines and the deprecation warnings of TensorFlow's own code go; its errors stay.
"""
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow.compat.v1 as tf  # noqa: E402  (the line above must come first)
from tensorflow.python.util import deprecation  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)
deprecation._PRINT_DEPRECATION_WARNINGS = False  # they are not only shown but looked up at each call: a third of building time

__all__ = ["tf"]
