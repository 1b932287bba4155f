"""Progress that suits where it is shown, a bar or plain lines when headless; and time spent."""

import builtins
import contextlib
import os
import statistics
import sys
import threading
import time
from multiprocessing.pool import ThreadPool

from tqdm.auto import tqdm as auto_tqdm
from tqdm.std import tqdm as plain_tqdm

HEADLESS = "DEEPLAB_NB_HEADLESS"  # the runner sets it for the notebooks that it executes
BEAT = 30  # seconds between the lines that say that work goes on


def progress(items=None, *, label, total=None, unit="image"):
    """A tqdm over `items`, or one to `update` by hand."""
    executed, words = bool(os.environ.get(HEADLESS)), dict(desc=label, total=total, unit=unit)
    if executed or not (_in_notebook() or sys.stderr.isatty()):
        # a notebook shows the error stream as a warning, so its lines go to the output
        lines = _Lines(sys.stdout if executed else sys.stderr)
        return plain_tqdm(
            items, file=lines, mininterval=15, miniters=1, ascii=True, ncols=80, **words
        )
    return auto_tqdm(items, **words)


def in_threads(function, items, *, label):
    """[function(item), ...] in order, with progress; after an error no further one begins."""
    pool = ThreadPool(min(16, os.cpu_count()))
    try:
        return list(progress(pool.imap(function, items), total=len(items), label=label))
    finally:
        pool.terminate()
        pool.join()


def say(line):
    """A line at once, also where the output is a pipe."""
    print(line, flush=True)


@contextlib.contextmanager
def signs_of_life(tell):
    """Calls `tell` every BEAT seconds while the block runs, from a thread of its own."""
    ended = threading.Event()

    def beat():
        while not ended.wait(BEAT):
            tell()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def duration(seconds):
    """In words, such as '4 min 05 s'."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 90:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def run_times(function, repeat, *, warm_up=True):
    """Medians of `(wall seconds, CPU seconds)` over some calls; two more, not counted, warm up."""
    times, uncounted = [], 2 if warm_up else 0
    for _ in range(repeat + uncounted):
        cpu, wall = time.process_time(), time.time()
        function()
        times.append((time.time() - wall, time.process_time() - cpu))
    return tuple(map(statistics.median, zip(*times[uncounted:])))


def prints_logs():
    """Whether the output goes to a file or pipe that someone will search, not to a screen."""
    return not (os.environ.get(HEADLESS) or _in_notebook() or sys.stdout.isatty())


def _in_notebook():
    return hasattr(builtins, "__IPYTHON__")


class _Lines:
    """Turns tqdm's carriage returns into lines, one an update."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        text = text.strip("\r\n ")
        if text:
            print(text, file=self._stream, flush=True)

    def flush(self):
        self._stream.flush()
