"""The originals' eval.py with their own flags: `python -m deeplab_nb.published.eval --help`.

DeepLabv3+ for TensorFlow; with a flag of the MindSpore entry, such as --data_url, its DeepLabv3.
"""

import sys

from deeplab_nb.published import translation
from deeplab_nb.published.train import enter

if __name__ == "__main__":
    sys.exit(enter(translation.evaluation, "score", __doc__))
