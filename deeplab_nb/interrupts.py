"""Ctrl-C from a command's first moment to its last: exit code 130 and no traceback.

While modules are imported and arguments are read nothing is half done, and Python's own exception
would be lost there: libraries catch it or take it for a failed import. So the process ends at once.
"""

import os
import signal

stderr = 2  # where a person reads; elsewhere while TensorFlow is imported, see `tf1`


def leave(*_):
    """Ends the process now."""
    os.write(stderr, b"interrupted\n")
    os._exit(130)


def interrupt(number, frame):
    """Of a command at work: KeyboardInterrupt, so that it ends in order; within an import, leaves.

    TensorFlow's import takes seconds, wherever a command comes to it.
    """
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            leave()
        frame = frame.f_back
    raise KeyboardInterrupt


def handle(handler, instead_of=signal.default_int_handler):
    """Ctrl-C calls a handler from now on, unless something else than `instead_of` has it.

    So one that is ignored, as in a shell's background, stays so.
    """
    if signal.getsignal(signal.SIGINT) == instead_of:
        signal.signal(signal.SIGINT, handler)


def is_behind(error):
    """Whether Ctrl-C is what an error came from: TensorFlow's C++ makes a SystemError of it."""
    while error and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None
