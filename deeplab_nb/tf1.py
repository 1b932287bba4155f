"""TensorFlow's graphs and sessions, imported in one place: 1.15's, and a current one's as 1.15's.

Its import is quiet everywhere: the C++ start-up lines and the deprecation warnings of TensorFlow's
own code go; its errors stay.
"""

import contextlib
import os
import sys
import tempfile

from deeplab_nb import interrupts

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextlib.contextmanager
def _unheard():
    """Keeps back what TensorFlow 2 says before it heeds the level above; shown if it fails."""
    with tempfile.TemporaryFile() as said, open(os.dup(2), "wb") as stderr:
        os.dup2(said.fileno(), 2)
        interrupts.stderr = stderr.fileno()
        try:
            yield
        except BaseException:
            said.seek(0)
            stderr.write(said.read())
            raise
        finally:
            os.dup2(stderr.fileno(), 2)
            interrupts.stderr = 2


@contextlib.contextmanager
def _without_keras():
    """Nothing here asks for it, and TensorFlow 2 takes a third of its seconds to load it."""
    given = os.environ.setdefault("TF_USE_LEGACY_KERAS", "True")  # that one is not installed
    yield
    if given == "True":
        del os.environ["TF_USE_LEGACY_KERAS"]


_new = sys.version_info >= (3, 8)  # no TensorFlow 1.15, whose lines heed the level
with _unheard() if _new and sys.stderr else contextlib.nullcontext(), _without_keras():
    import tensorflow.compat.v1 as tf  # the level stands before it

    if not tf.version.VERSION.startswith("1."):
        tf.config.list_physical_devices("GPU")  # once in a process it says that it finds none

from tensorflow.core.framework.variable_pb2 import VariableDef  # noqa: E402
from tensorflow.python.ops import collective_ops  # noqa: E402
from tensorflow.python.util import deprecation  # noqa: E402

tf.logging.set_verbosity(tf.logging.ERROR)
# they are not only shown but looked up at each call: a third of building time
deprecation._PRINT_DEPRECATION_WARNINGS = False
tf.disable_v2_behavior()  # 1.15's defaults, whichever it is


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


__all__ = ["tf", "VariableDef", "collective_ops", "host_config", "host_session"]
