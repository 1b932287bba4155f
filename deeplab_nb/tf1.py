"""TensorFlow 1.15, imported in one place so that its import is quiet everywhere.

The C++ start-up lines and the deprecation warnings of TensorFlow's own code go; its errors stay.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow.compat.v1 as tf  # noqa: E402  (the line above must come first)
from tensorflow.python.util import deprecation  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)
# they are not only shown but looked up at each call: a third of building time
deprecation._PRINT_DEPRECATION_WARNINGS = False


def host_config():
    """tf.ConfigProto of a session for work that belongs on the host: records, previews, exports.

    Since its branch r1.9.0 Ascend's adapter, once imported, makes every session one of the card
    unless the session's options say otherwise.
    """
    config = tf.ConfigProto()
    if "npu_bridge" in sys.modules:
        npu = config.graph_options.rewrite_options.custom_optimizers.add(name="NpuOptimizer")
        npu.parameter_map["use_off_line"].b = False
    return config


def host_session(graph=None):
    """A session with `host_config`, of a graph or of the current one."""
    return tf.Session(graph=graph, config=host_config())


__all__ = ["tf", "host_config", "host_session"]
