"""What both commands share: help, notes, sentences and exit codes."""
import os
import sys

from deeplab_nb import originals
from deeplab_nb.errors import WorkbookError
from deeplab_nb.published import flags, translation


def enter(translate, run, about, words=None):
    """Runs a command line and returns its exit code. translate: words to `Request`; about: for --help."""
    words = sys.argv[1:] if words is None else words
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
        run(request)
    except WorkbookError as error:
        return _say(error, 1)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    return 0


def help_text():
    """A line a flag: what it is here."""
    lines = [f"  --{name:34s} {flags.OURS.get(name) or originals.meaning(name)}"
             for name in sorted(translation.KNOWN - set(originals.SILENT))]
    return "\n".join(lines)


def _say(sentence, code):
    print(f"Error: {sentence}", file=sys.stderr, flush=True)
    return code
