"""One process a rank, watched: they end together, whatever ends first, and nothing is left behind.

FOLDER/rank_N/log.txt   what rank N wrote; the process's working folder is FOLDER/rank_N
FOLDER/.launch_N        held while ranks run in the folder, N the first of those on this machine
Nothing in TensorFlow's or Huawei's collectives ends the other ranks when one is gone: they wait for it for ever, or
until a time limit of many minutes. So whoever starts the ranks has to end them.
"""
import collections
import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time

from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch.following import Follower, last_lines
from deeplab_nb.processes import locked, terminable, Watcher
from deeplab_nb.progress import HEADLESS

HEARTBEAT = "DEEPLAB_NB_HEARTBEAT"  # names the file that a rank touches as it goes on, see `beat`
SILENCE = 2400  # seconds: longer than HCCL waits for ranks that still compile
GRACE = 7       # seconds for a rank to save and leave by itself
STATUS = 30     # seconds between the lines that tell of all ranks

# log: its path; start: the log's size before this launch; process: of the rank, and leader of a process group of its own
Worker = collections.namedtuple("Worker", "rank log start heartbeat process")
# how: a sentence's end such as 'exited with code 3'
Ended = collections.namedtuple("Ended", "rank how good")


def launch(command_for_rank, ranks, folder, *, environment=None, devices=None, heartbeat_seconds=SILENCE, on_line=None,
           card_locks=None):
    """Runs one process a rank until all have ended well; returns their logs' paths.

    command_for_rank: rank to list of words. ranks: a count, or the numbers of those that run on this machine.
    environment: rank to {name: text}, laid over this process's; None takes a name out. devices: {rank: card}, which no other launch gets;
    card_locks: the folder by which launches of a machine agree on that. heartbeat_seconds: a rank that has neither
    written nor called `beat` for so long is taken for hung. on_line: gets each line to show; None prints it.
    Raises WorkbookError where a folder or card is in use, a rank does not start, fails, is killed or hangs: the first of
    them is told with its last lines, and all others are ended within GRACE and a few seconds. Ctrl-C and SIGTERM end them
    likewise and raise KeyboardInterrupt. If this process is killed, its ranks are too.
    """
    ranks, say = list(range(ranks)) if isinstance(ranks, int) else list(ranks), on_line or _print
    folder = _made(os.path.abspath(folder))
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(os.path.join(folder, ".launch_{}".format(ranks[0])), "folder %s is in use by the launch of process {}: "
                                   "wait for it, or give another folder" % folder))
        for rank in ranks if devices else ():
            stack.enter_context(locked(_card_lock(devices[rank], card_locks), "card %s is in use by the launch of process {}: "
                                       "wait for it, or choose other cards" % devices[rank]))
        stack.enter_context(terminable())
        with _Job(folder, say) as job:
            for place, rank in enumerate(ranks):
                job.start(rank, command_for_rank(rank), environment(rank) if environment else {}, cores_of(place, len(ranks)))
            job.watch(heartbeat_seconds)
        return [worker.log for worker in job.workers]


def beat():
    """For what a rank runs: tells the launcher, if there is one, that the rank goes on though it writes nothing."""
    path = os.environ.get(HEARTBEAT)
    if path:
        with open(path, "a"):
            os.utime(path)


def rank_folder():
    """The folder that the launcher gave this rank, None where there is no launcher."""
    path = os.environ.get(HEARTBEAT)
    return os.path.dirname(path) if path else None


def cores_of(place, count):
    """The processor cores of one of `count` ranks on this machine: an equal share of those this process may use."""
    cores = sorted(os.sched_getaffinity(0))
    first = place * len(cores) // count
    return cores[first:max((place + 1) * len(cores) // count, first + 1)]


class _Job:
    """The ranks of one launch. Leaving it, in whatever way, ends them all."""

    def __init__(self, folder, say):
        self.folder, self.say, self.workers, self.began = folder, say, [], time.monotonic()
        self._ended, self._events, self._watcher = [], queue.Queue(), Watcher()

    def __enter__(self):
        return self

    def start(self, rank, command, environment, cores):
        folder = _made(os.path.join(self.folder, "rank_{}".format(rank)))
        log, heartbeat = os.path.join(folder, "log.txt"), os.path.join(folder, "heartbeat")
        values = {**os.environ, "OMP_NUM_THREADS": str(len(cores)), "PYTHONUNBUFFERED": "1", HEARTBEAT: heartbeat,
                  HEADLESS: None,  # a rank writes into its log, wherever the launcher runs
                  **environment}
        with open(log, "ab") as file:
            start = file.tell()
            try:
                process = subprocess.Popen(
                    command, cwd=folder, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                    env={name: value for name, value in values.items() if value is not None},
                    preexec_fn=lambda: self._in_child(cores))
            except OSError as error:
                raise WorkbookError("rank {} did not start ({}): correct the command `{}`".format(
                    rank, error.strerror, " ".join(command)))
        self.workers.append(Worker(rank, log, start, heartbeat, process))
        # a thread a rank, so that the order of the events is the order in which ranks end
        threading.Thread(target=lambda: self._events.put(_end_of(rank, process.pid)), daemon=True).start()

    def _in_child(self, cores):
        self._watcher.add(os.getpid())  # by the child itself, so that there is no moment in which it could be left behind
        os.sched_setaffinity(0, cores)

    def watch(self, silence):
        """Until all ranks have ended. Raises WorkbookError with the first that did not end well."""
        follower = Follower(self.workers, self.say)
        next_status = self.began + STATUS
        while len(self._ended) < len(self.workers):
            ended = self._next_end(seconds=0.2)
            follower.show_new_lines()
            if ended and not ended.good:
                self._fail(ended)
            silent = follower.longest_silent(self._running())
            if silent and silent.seconds > silence:
                self._fail(Ended(silent.rank, "gave no sign of life for {:.0f} s".format(silent.seconds), False))
            if time.monotonic() > next_status and self._running():
                next_status += STATUS
                self.say(follower.status(self._running()))
        follower.show_new_lines(to_the_end=True)

    def _next_end(self, seconds):
        """The next rank's end, or None if there is none in this time."""
        try:
            ended = self._events.get(timeout=max(seconds, 0))
        except queue.Empty:
            return None
        self._ended.append(ended)
        return ended

    def _running(self):
        gone = {ended.rank for ended in self._ended}
        return [worker for worker in self.workers if worker.rank not in gone]

    def _fail(self, first):
        """Tells of the first failure before anything else, then ends the others."""
        worker = next(worker for worker in self.workers if worker.rank == first.rank)
        self.say("rank {} {} after {:.0f} s, the first to fail; the end of {}:".format(
            first.rank, first.how, time.monotonic() - self.began, worker.log))
        for line in last_lines(worker.log, worker.start):
            self.say("    " + line)
        before = [ended for ended in self._ended if ended != first]
        self._end_all()
        for ended in sorted(self._ended):
            if ended.rank != first.rank:
                self.say("rank {} {}{}".format(ended.rank, "" if ended in before else "was ended with it and ", ended.how))
        raise WorkbookError("rank {} {}: see {}; checkpoints are kept, and the same command goes on from the last one".format(
            first.rank, first.how, worker.log))

    def _end_all(self):
        """SIGTERM to every running rank and its children, SIGKILL to what is left after GRACE."""
        for worker in self._running():
            os.killpg(worker.process.pid, signal.SIGTERM)
        end = time.monotonic() + GRACE
        while self._running() and time.monotonic() < end:
            self._next_end(seconds=end - time.monotonic())
        for worker in self._running():
            os.killpg(worker.process.pid, signal.SIGKILL)
        while self._running():
            self._next_end(seconds=1)

    def __exit__(self, kind, error, trace):
        try:
            if kind is KeyboardInterrupt:
                self.say("interrupted: ending {} ranks".format(len(self._running())))
            if kind is not None and self._running():
                self._end_all()
            if kind is KeyboardInterrupt:
                self.say("all ranks have ended; checkpoints are kept, and the same command goes on from the last one")
        finally:
            self._watcher.close()  # kills what a rank has left behind: its number stays taken until it is waited for
            for worker in self.workers:
                worker.process.wait()


def _end_of(rank, process):
    """Waits for a process's end, without taking its number away: its group is still to be ended."""
    how = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
    if how.si_code == os.CLD_EXITED:
        return Ended(rank, "exited with code {}".format(how.si_status), how.si_status == 0)
    names = {number.value: number.name for number in signal.Signals}
    return Ended(rank, "was killed by {}".format(names.get(how.si_status, "signal {}".format(how.si_status))), False)


def _card_lock(card, folder):
    """Path of a card's lock file, in a folder of this machine that all users may write to."""
    folder = folder or os.path.join(tempfile.gettempdir(), "deeplab_nb_cards")
    path = os.path.join(folder, "card_{}".format(card))
    with contextlib.suppress(OSError):  # another user's, made by these very lines; or no file: taking the lock says so
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, 0o777)
        descriptor = os.open(path, os.O_CREAT | os.O_NOFOLLOW | os.O_WRONLY, 0o666)
        os.fchmod(descriptor, 0o666)
        os.close(descriptor)
    return path


def _made(folder):
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise WorkbookError("folder {} cannot be made ({}): give another, or mend its parent's rights".format(folder, error.strerror))
    return folder


def _print(line):
    print(line, flush=True)
