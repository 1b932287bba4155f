"""What both commands share: help, notes, sentences and exit codes."""

import importlib
import os
import sys

from deeplab_nb import originals
from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.published import flags, translation


def enter(translate, module, about, words):
    """Runs a command line; returns its exit code: 2 for words not understood, 1 for other errors.

    translate: words to `Request`. module: of this package, whose `run` takes it; it brings
    TensorFlow, for which refusals need not wait. about: for --help.
    """
    if set(words) & {"-h", "--help", "--helpfull", "--helpshort"}:
        print(about + "\n" + help_text())
        return 0
    try:
        request = translate(words)
    except WorkbookError as error:
        return _say(error, 2)
    for note in request.notes:
        print("note: " + note, flush=True)
    if request.given.get("device_id"):
        os.environ["ASCEND_DEVICE_ID"] = request.given["device_id"]
    try:
        with writing("a file that the command needs"):
            importlib.import_module("deeplab_nb.published." + module).run(request)
    except WorkbookError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    return 0


def help_text():
    """A line a flag: what it is here."""
    return "\n".join(
        f"  --{name:34s} {flags.OURS.get(name) or originals.meaning(name)}"
        for name in sorted(translation.KNOWN - set(originals.SILENT))
    )


def _say(sentence, code):
    print(f"Error: {sentence}", file=sys.stderr, flush=True)
    return code
