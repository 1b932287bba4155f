"""What ranks show of themselves while they run: one rank's lines, and a sign of life from each."""
import collections
import os
import time

CHUNK = 1 << 20  # bytes of a log that are shown at once
TAIL = 20        # lines that a failure is told with

Silent = collections.namedtuple("Silent", "rank seconds")


class Follower:
    """Reads the logs of `workers.Worker`s as they grow; the first worker's lines are shown, each after its rank."""

    def __init__(self, workers, say):
        self._say, self._shown, self._offset, self._began = say, workers[0], workers[0].start, time.monotonic()
        self._signs = {worker.rank: (_sign(worker), self._began) for worker in workers}

    def show_new_lines(self, to_the_end=False):
        """Whole lines that have come since the last call; the last one even if it is not whole, if that is the end."""
        with open(self._shown.log, "rb") as file:
            file.seek(self._offset)
            new = file.read(CHUNK)
        length = len(new) if to_the_end or len(new) == CHUNK else new.rfind(b"\n") + 1
        self._offset += length
        for line in _lines(new[:length]):
            self._say("[rank {}] {}".format(self._shown.rank, line))

    def longest_silent(self, running):
        """The `Silent` rank among those running that has gone longest without a sign of life; None without any running.

        Where one rank hangs, those that wait for it fall silent too, but later.
        """
        now, silents = time.monotonic(), []
        for worker in running:
            sign, (last_sign, since) = _sign(worker), self._signs[worker.rank]
            if sign != last_sign:
                self._signs[worker.rank], since = (sign, now), now
            silents.append(Silent(worker.rank, now - since))
        return max(silents, key=lambda silent: silent.seconds, default=None)

    def status(self, running):
        """One line of all ranks."""
        now, running = time.monotonic(), {worker.rank for worker in running}
        states = ["{}: {}".format(rank, "{:.0f} s".format(now - since) if rank in running else "ended")
                  for rank, (_, since) in self._signs.items()]
        return "after {:.0f} s; since each rank's last sign of life: {}".format(now - self._began, ", ".join(states))


def last_lines(path, start):
    """The last lines of a log, of those after byte `start`."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(start, size - 200 * TAIL))
        return _lines(file.read())[-TAIL:] or ["(nothing was written)"]


def _sign(worker):
    beat = os.stat(worker.heartbeat).st_mtime_ns if os.path.exists(worker.heartbeat) else 0
    return os.path.getsize(worker.log), beat


def _lines(text):
    return text.decode(errors="replace").splitlines()
