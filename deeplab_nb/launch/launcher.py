"""One process a rank, watched: they end together, whatever ends first, and none is left behind.

FOLDER/rank_N/log.txt   what rank N wrote; the process's working folder is FOLDER/rank_N
FOLDER/.launch_N        held while ranks run in the folder, N the first of those on this machine

Nothing in TensorFlow's or Huawei's collectives ends the other ranks when one is gone: they wait for
it for ever, or until a time limit of many minutes. So whoever starts the ranks has to end them.
"""

import collections
import contextlib
import os
import queue
import shlex
import signal
import subprocess
import threading
import time

from deeplab_nb.devices.ranks import HEARTBEAT
from deeplab_nb.errors import WorkbookError, writing
from deeplab_nb.processes import Watcher, locked, terminable
from deeplab_nb.progress import HEADLESS, say

SILENCE = 2400  # seconds: longer than HCCL waits for ranks that still compile
GRACE = 7  # seconds for a rank to save and leave by itself
TAIL = 20  # lines that a failure is told with

# log: its path; start: the log's size before this launch; heartbeat: path of the file that a rank
# touches; process: of the rank, and leader of a process group of its own
Worker = collections.namedtuple("Worker", "rank log start heartbeat process")
# how: a sentence's end such as 'exited with code 3'
Ended = collections.namedtuple("Ended", "worker how good")


def launch(
    command_for_rank, ranks, folder, *, environment=None, heartbeat_seconds=SILENCE, on_line=None
):
    """Runs one process a rank until all have ended well; returns their logs' paths.

    command_for_rank: rank to list of words. ranks: a count, or the numbers of those that run on
    this machine; the first one's lines are shown. environment: rank to {name: text}, laid over this
    process's; None takes a name out. heartbeat_seconds: a rank that has neither written nor called
    `ranks.beat` for so long is taken for hung. on_line: gets each line to show; None prints it.
    Raises WorkbookError where the folder is in use, a rank does not start, fails, is killed or
    hangs: the first of them is told with its last lines, and all others are ended within GRACE and
    a few seconds. Ctrl-C and SIGTERM end them likewise and raise KeyboardInterrupt. If this process
    is killed, its ranks are too.
    """
    ranks = list(range(ranks)) if isinstance(ranks, int) else list(ranks)
    folder = _made(os.path.abspath(folder))
    in_use = (
        f"folder {folder} is in use by the launch of process {{}}: wait for it, or give "
        "another folder"
    )
    with locked(os.path.join(folder, f".launch_{ranks[0]}"), in_use), terminable():
        with _Job(folder, on_line or say) as job:
            for place, rank in enumerate(ranks):
                job.start(
                    rank,
                    command_for_rank(rank),
                    environment(rank) if environment else {},
                    cores_of(place, len(ranks)),
                )
            job.watch(heartbeat_seconds)
        return [worker.log for worker in job.workers]


def cores_of(place, count):
    """The processor cores of one of `count` ranks: an equal share of those this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    first = place * len(cores) // count
    return cores[first : max((place + 1) * len(cores) // count, first + 1)]


class _Job:
    """The ranks of one launch. Leaving it, in whatever way, ends them all."""

    def __init__(self, folder, tell):
        self.folder, self.say, self.workers, self.began = folder, tell, [], time.monotonic()
        self._ended, self._ends, self._watcher = [], queue.Queue(), Watcher()
        self._signs, self._rest = {}, b""  # by worker; what is shown no whole line yet

    def __enter__(self):
        return self

    def start(self, rank, command, environment, cores):
        folder = _made(os.path.join(self.folder, f"rank_{rank}"))
        log, heartbeat = os.path.join(folder, "log.txt"), os.path.join(folder, "heartbeat")
        # a rank writes into its log, wherever the launcher runs
        values = {
            **os.environ,
            "OMP_NUM_THREADS": str(len(cores)),
            "PYTHONUNBUFFERED": "1",
            HEARTBEAT: heartbeat,
            HEADLESS: None,
            **environment,
        }

        def in_child():
            self._watcher.add(os.getpid())  # by the child, so that it is at no moment left behind
            os.sched_setaffinity(0, cores)

        with open(log, "ab") as file:
            start = file.tell()
            try:
                process = subprocess.Popen(
                    command,
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=in_child,
                    env={name: value for name, value in values.items() if value is not None},
                )
            except OSError as error:
                raise WorkbookError(
                    f"rank {rank} did not start ({error.strerror}): correct the "
                    f"command `{' '.join(map(shlex.quote, command))}`"
                )
        worker = Worker(rank, log, start, heartbeat, process)
        self.workers.append(worker)
        # a thread a rank, so that they are known in the order in which they end
        threading.Thread(target=lambda: self._ends.put(_end_of(worker)), daemon=True).start()

    def watch(self, silence):
        """Until all ranks have ended. Raises WorkbookError with the first that ends badly."""
        shown = self.workers[0]
        with open(shown.log, "rb") as log:
            log.seek(shown.start)
            while len(self._ended) < len(self.workers):
                ended = self._next_end(seconds=0.2)
                self._show(shown.rank, log.read())
                if ended and not ended.good:
                    self._fail(ended)
                self._fail_if_silent(silence)
            self._show(shown.rank, log.read(), last=True)

    def _show(self, rank, new, last=False):
        """Whole lines, each after its rank; at the last also one that is not whole."""
        new = self._rest + new
        end = len(new) if last else new.rfind(b"\n") + 1
        self._rest = new[end:]
        for line in _lines(new[:end]):
            self.say(f"[rank {rank}] {line}")

    def _fail_if_silent(self, silence):
        """Where one rank hangs, those that wait for it fall silent too, but later."""
        now, silent = time.monotonic(), []
        for worker in self._running():
            sign = _sign(worker)
            if self._signs.get(worker, (None,))[0] != sign:
                self._signs[worker] = sign, now
            silent.append((now - self._signs[worker][1], worker))
        stopped = [each for each in silent if _is_stopped(each[1])]
        seconds, worker = max(stopped or silent, default=(0, None))
        if seconds > silence:
            how = " and is stopped (SIGSTOP, SIGCONT lets it go on)" if stopped else ""
            self._fail(Ended(worker, f"gave no sign of life for {seconds:.0f} s{how}", False))

    def _next_end(self, seconds):
        """The next rank's end, or None if there is none in this time."""
        try:
            ended = self._ends.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None
        self._ended.append(ended)
        return ended

    def _running(self):
        gone = [ended.worker for ended in self._ended]
        return [worker for worker in self.workers if worker not in gone]

    def _fail(self, first):
        """Tells of the first failure before anything else, then ends the others."""
        rank, log = first.worker[:2]
        self.say(
            f"rank {rank} {first.how} after {time.monotonic() - self.began:.0f} s, the first to "
            f"fail; the end of {log}:"
        )
        for line in _last_lines(first.worker):
            self.say("    " + line)
        before = list(self._ended)
        self._end_all()
        for ended in sorted(self._ended):
            if ended.worker != first.worker:
                with_it = "" if ended in before else "was ended with it and "
                self.say(f"rank {ended.worker.rank} {with_it}{ended.how}")
        raise WorkbookError(
            f"rank {rank} {first.how}: see {log}; checkpoints are kept, and the same command goes "
            "on from the last one"
        )

    def _end_all(self):
        """SIGTERM to every running rank and its children, SIGKILL to what is left after GRACE."""
        self._signal(signal.SIGTERM)
        end = time.monotonic() + GRACE
        while self._running() and time.monotonic() < end:
            self._next_end(seconds=end - time.monotonic())
        self._signal(signal.SIGKILL)
        while self._running():
            self._next_end(seconds=1)

    def _signal(self, number):
        for worker in self._running():
            os.killpg(worker.process.pid, number)

    def __exit__(self, kind, error, trace):
        interrupted = kind is KeyboardInterrupt
        try:
            if interrupted:
                self.say(f"interrupted: ending {len(self._running())} ranks")
            if kind is not None and self._running():
                self._end_all()
            if interrupted:
                self.say(
                    "all ranks have ended; checkpoints are kept, and the same command goes on "
                    "from the last one"
                )
        finally:
            # kills what a rank has left behind: its number stays taken until it is waited for
            self._watcher.close()
            for worker in self.workers:
                worker.process.wait()


def _end_of(worker):
    """Waits for a process's end without taking its number away: its group is still to be ended."""
    how = os.waitid(os.P_PID, worker.process.pid, os.WEXITED | os.WNOWAIT)
    if how.si_code == os.CLD_EXITED:
        return Ended(worker, f"exited with code {how.si_status}", how.si_status == 0)
    names = {number.value: number.name for number in signal.Signals}
    name = names.get(how.si_status, f"signal {how.si_status}")
    return Ended(worker, f"was killed by {name}", False)


def _is_stopped(worker):
    """Whether a rank's process was stopped by a signal, so that its partners wait for it."""
    with contextlib.suppress(OSError), open(f"/proc/{worker.process.pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0] in "Tt"
    return False


def _sign(worker):
    """What changes while a rank goes on."""
    beat = os.stat(worker.heartbeat).st_mtime_ns if os.path.exists(worker.heartbeat) else 0
    return os.path.getsize(worker.log), beat


def _last_lines(worker):
    """The last lines of a rank's log, of those of this launch."""
    with open(worker.log, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(worker.start, size - 200 * TAIL))
        return _lines(file.read())[-TAIL:] or ["(nothing was written)"]


def _lines(text):
    return text.decode(errors="replace").splitlines()


def _made(folder):
    with writing(folder):
        os.makedirs(folder, exist_ok=True)
    return folder
