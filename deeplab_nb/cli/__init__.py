"""The command line: `deeplab-nb COMMAND`. Thin; each command calls what the notebooks call.

TensorFlow is imported inside the commands that need it, so that help and refusals come at once.
"""

from deeplab_nb.cli import data, evaluation, launch, runs  # noqa: F401  (each adds its commands)
from deeplab_nb.cli.main import main  # noqa: F401
