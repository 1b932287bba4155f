"""The originals' eval.py with their own flags: `python -m deeplab_nb.published.eval --help`.

DeepLabv3+ for TensorFlow; with a flag of the MindSpore entry, such as --data_url, its DeepLabv3.
"""

import sys

from deeplab_nb import interrupts

if __name__ == "__main__":
    interrupts.handle(interrupts.leave)
from deeplab_nb.published import translation  # noqa: E402
from deeplab_nb.published.train import enter  # noqa: E402

if __name__ == "__main__":
    sys.exit(enter(translation.evaluation, "score", __doc__))
