"""Processes that end together: a lock for one at a time, one way to be ended, no orphans."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess

from deeplab_nb.errors import WorkbookError, writing


@contextlib.contextmanager
def locked(path, in_use):
    """Holds a lock file for this process; the lock goes with the process, however it ends.

    in_use: the sentence of the WorkbookError while another holds it; `{}` stands for that process.
    """
    with writing(path):
        # in a folder of all users a link could lead to a file of ours
        file = open(
            path, "a+", opener=lambda path, flags: os.open(path, flags | os.O_NOFOLLOW, 0o666)
        )
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(file.fileno()), os.stat(path))
        except (BlockingIOError, FileNotFoundError):
            held = False  # or was until this moment, see `alone_at`
        if not held:
            file.seek(0)
            raise WorkbookError(in_use.replace("{}", file.read().strip() or "unknown"))
        with contextlib.suppress(OSError):  # of a full disk, whoever writes next will say so
            file.truncate(0)
            os.write(file.fileno(), b"%d\n" % os.getpid())
        yield


def is_locked(path):
    """Whether a process holds such a lock file now."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def alone_at(path):
    """Makes the folder of a path that is written meanwhile; leaves no lock behind.

    Raises WorkbookError where another process writes it, or the folder cannot be written.
    """
    folder, name = os.path.split(os.path.abspath(path))
    with writing(path):
        os.makedirs(folder, exist_ok=True)
    lock = os.path.join(folder, f".{name}.lock")
    in_use = f"{path} is being written by process {{}}: wait for it, or give another place"
    with locked(lock, in_use):
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.remove(lock)


@contextlib.contextmanager
def alone_in(folder):
    """Waits until no other process is in such a block for the folder; leaves no file behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def terminable():
    """SIGTERM ends what runs here as Ctrl-C does, so that state is saved and children are ended."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def asked_to_stop():
    """Collects SIGINT and SIGTERM in a list in place of being interrupted. For the main thread."""
    asked = []
    before = {
        number: signal.signal(number, lambda number, _: asked.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield asked
    finally:
        for handler in before.items():
            signal.signal(*handler)


def peak_memory():
    """MiB, the most that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Watcher:
    """Kills process groups when it is closed or when this process ends, even by SIGKILL.

    A shell in a session of its own reads their numbers from a pipe. The pipe's end, which comes
    with ours, is its sign.
    """

    def __init__(self):
        collect = 'groups=; while read -r group; do groups="$groups -$group"; done; '
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", collect + "kill -s KILL -- $groups"],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def add(self, group):
        os.write(self._shell.stdin.fileno(), b"%d\n" % group)

    def close(self):
        self._shell.stdin.close()
        self._shell.wait()
