"""The command line: `deeplab-nb COMMAND`. Thin; each command calls what the notebooks call.

TensorFlow is imported inside the commands that need it, so that help and refusals come at once.
"""

import signal

from deeplab_nb import interrupts

interrupts.handle(interrupts.leave)
from deeplab_nb.cli import (  # noqa: E402
    data,  # noqa: F401  (each adds its commands)
    evaluation,  # noqa: F401
    launch,  # noqa: F401
    runs,  # noqa: F401
)
from deeplab_nb.cli.main import main  # noqa: E402, F401

# a test that only imports the commands keeps its own; `main` takes it anew
interrupts.handle(signal.default_int_handler, interrupts.leave)
