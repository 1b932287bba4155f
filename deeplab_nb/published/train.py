"""The originals' train.py with their own flags: `python -m deeplab_nb.published.train --help`.

DeepLabv3+ for TensorFlow; with a flag of the MindSpore entry, such as --data_url, its DeepLabv3.
"""

import importlib
import os
import sys

from deeplab_nb import interrupts

if __name__ == "__main__":
    interrupts.handle(interrupts.leave)
from deeplab_nb import originals  # noqa: E402
from deeplab_nb.errors import WorkbookError, writing  # noqa: E402
from deeplab_nb.published import flags, translation  # noqa: E402


def enter(translate, action, about):
    """Runs the command line; returns its exit code: 2 for words not understood, 1 for other errors.

    translate: words to `Request`. action: of `work`, takes it; `work` brings TensorFlow, for which
    refusals need not wait. about: for --help.
    """
    words, code = sys.argv[1:], 2
    if set(words) & {"-h", "--help", "--helpfull", "--helpshort"}:
        print(about, *help_lines(), sep="\n")
        return 0
    interrupts.handle(interrupts.interrupt, interrupts.leave)
    try:
        request = translate(words)
        for note in request.notes:
            print("note: " + note, flush=True)
        if request.given.get("device_id"):
            os.environ["ASCEND_DEVICE_ID"] = request.given["device_id"]
        code = 1
        with writing("a file that the command needs"):
            getattr(importlib.import_module("deeplab_nb.published.work"), action)(request)
        return 0
    except WorkbookError as error:
        said = f"Error: {error}"
    except (KeyboardInterrupt, SystemError) as error:
        if not interrupts.is_behind(error):
            raise
        code, said = 130, "Error: interrupted"
    print(said, file=sys.stderr, flush=True)
    return code


def help_lines():
    """A line a flag: what it is here."""
    return [
        f"  --{name:34s} {flags.OURS.get(name) or originals.meaning(name)}"
        for name in sorted(translation.KNOWN - set(originals.SILENT))
    ]


if __name__ == "__main__":
    sys.exit(enter(translation.training, "train", __doc__))
