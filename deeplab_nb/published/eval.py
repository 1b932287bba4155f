"""The originals' eval.py with their own flags: `python -m deeplab_nb.published.eval --help`.

DeepLabv3+ for TensorFlow; with a flag of the MindSpore entry, such as --data_url, its DeepLabv3.
"""

import sys

from deeplab_nb.published import doors, translation

if __name__ == "__main__":
    sys.exit(doors.enter(translation.evaluation, "scoring", __doc__, sys.argv[1:]))
