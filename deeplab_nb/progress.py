"""Progress that suits where it is shown: a bar in a terminal or notebook, plain lines when headless."""
import os
import sys

from tqdm.auto import tqdm as auto_tqdm
from tqdm.std import tqdm as plain_tqdm

HEADLESS = "DEEPLAB_NB_HEADLESS"  # the runner sets it for the notebooks that it executes


def progress(items=None, *, label, total=None, unit="image"):
    """A tqdm over `items`, or one to `update` by hand."""
    if _headless():
        return plain_tqdm(items, desc=label, total=total, unit=unit, file=_Lines(), mininterval=15, miniters=1,
                          ascii=True, ncols=80)
    return auto_tqdm(items, desc=label, total=total, unit=unit)


def _headless():
    in_notebook = "ipykernel" in sys.modules
    return bool(os.environ.get(HEADLESS)) or not (in_notebook or sys.stderr.isatty())


class _Lines:
    """Turns tqdm's carriage returns into lines, so that a log keeps one line an update."""

    def write(self, text):
        text = text.strip("\r\n ")
        if text:
            print(text, file=sys.stderr, flush=True)

    def flush(self):
        sys.stderr.flush()
