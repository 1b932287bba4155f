"""Ranks that train together on CPUs or GPUs, by TensorFlow's own collectives over gRPC.

Each rank is a process with a TensorFlow server, and a session in that server whose operations all
stay on the rank. Once a step the ranks add up one vector, in which everything lies that they have
to share; so all of them see the same loss, take the same step and stop at the same one. TF_CONFIG,
as TensorFlow's own strategies read it, says who the ranks are and which of them a process is;
`deeplab-nb launch` sets it. What Ascend cards do instead stands in `ascend`.
"""

import collections
import os
import socket
import time

from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import parse_json
from deeplab_nb.tf1 import collective_ops, tf

# the variable with the seconds that ranks wait for one another, as on Ascend; and if it is not set
PATIENCE, SECONDS = "HCCL_CONNECT_TIMEOUT", 300

# rank: of this process among so many ranks; target: of its session; server: TensorFlow's, which
#   lives as long as it is held
Team = collections.namedtuple("Team", "rank ranks target server")
ALONE = Team(0, 1, "", None)

LOOPBACK = ("127.0.0.1", "localhost")

# of one step: this rank's own loss; seconds in the all-reduce, waiting for the slowest rank
# included; how many ranks are asked to stop; whether this one is, to be fed with 0 or 1. All float
# scalars.
Shared = collections.namedtuple("Shared", "rank_loss all_reduce_seconds stopping asked")

# keys by which ranks know what belongs together: the group, each of its collectives
_GROUP, _STEP, _START = 1, 1, 2


# --- the ranks


def join(config, ranks):
    """The `Team` that this process belongs to; it has a server then, and all others answer.

    config: the session's tf.ConfigProto; it gets what collectives need. Raises WorkbookError for a
      TF_CONFIG that does not fit, a port that is taken, or a rank that does not answer in time.
    """
    addresses, rank = members(ranks, os.environ)
    config.experimental.collective_group_leader = "/job:worker/replica:0/task:0"
    # what is not placed by hand stays on this rank too
    config.device_filters.append(f"/job:worker/task:{rank}")
    _past_proxies(addresses)
    try:
        server = tf.train.Server(
            {"worker": addresses}, job_name="worker", task_index=rank, config=config
        )
    except tf.errors.OpError as error:
        said = error.message.split("\n")[0]
        raise WorkbookError(
            f"rank {rank} cannot listen at {addresses[rank]} ({said}): its port is "
            "taken, end the process that has it or give other addresses"
        )
    if all(_host_and_port(address)[0] in LOOPBACK for address in addresses):
        _listen_on_loopback(_host_and_port(addresses[rank])[1])
    _wait_for(addresses, rank)
    return Team(rank, ranks, server.target, server)


def members(ranks, variables):
    """`(addresses, rank)` from TF_CONFIG: each rank's HOST:PORT, and which of them this is."""
    if not variables.get("TF_CONFIG"):
        raise WorkbookError(
            f"{ranks} ranks train together but TF_CONFIG is not set: start them "
            f"all with `deeplab-nb launch RECIPE --cards {ranks}`"
        )
    try:
        values = parse_json(variables["TF_CONFIG"])
        addresses, rank = values["cluster"]["worker"], values["task"]["index"]
        for address in addresses:
            _host_and_port(address)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkbookError(
            f"TF_CONFIG {variables['TF_CONFIG']} cannot be used ({error}): it is "
            "to hold cluster.worker, a list of HOST:PORT, and task.index"
        )
    if len(addresses) != ranks or rank not in range(ranks):
        raise WorkbookError(
            f"TF_CONFIG makes this process number {rank} of {len(addresses)} but cards is {ranks}: "
            "set both alike, or start all with `deeplab-nb launch`"
        )
    return addresses, rank


def _host_and_port(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def _past_proxies(addresses):
    """Ranks reach one another without the proxy of http_proxy, which TensorFlow would ask."""
    hosts = {_host_and_port(address)[0] for address in addresses}
    for name in ("no_proxy", "NO_PROXY"):
        given = [os.environ[name]] if os.environ.get(name) else []
        os.environ[name] = ",".join(given + sorted(hosts))


def _listen_on_loopback(port):
    """Binds this process's listening socket to the loopback device.

    TensorFlow's server listens at all of a machine's addresses, whatever its own is, and lets a
    stranger's session write files. Before Linux 5.7 only root may do this: then it is said.
    """
    for number in os.listdir("/proc/self/fd"):
        file = f"/proc/self/fd/{number}"
        if not os.path.islink(file) or not os.readlink(file).startswith("socket:"):
            continue
        with socket.socket(fileno=os.dup(int(number))) as one:
            internet = one.family in (socket.AF_INET, socket.AF_INET6)
            if not internet or one.getsockname()[1] != port:
                continue
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                try:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
                except PermissionError:
                    print(
                        f"other machines can reach port {port}: close it to them while ranks train"
                    )


def _wait_for(addresses, rank):
    """Until every other rank listens: a collective would wait for ever, and not say for whom."""
    text = os.environ.get(PATIENCE) or str(SECONDS)
    if not text.isdigit():
        raise WorkbookError(f"{PATIENCE} is '{text}': give a number of seconds")
    end = time.monotonic() + int(text)
    for other, address in enumerate(addresses):
        while other != rank and not _answers(address):
            if time.monotonic() > end:
                raise WorkbookError(
                    f"rank {other} did not answer at {address} within {text} s: see its log, or "
                    f"start it and the others at the same time; {PATIENCE} sets the seconds"
                )
            time.sleep(0.1)


def _answers(address):
    try:
        socket.create_connection(_host_and_port(address), timeout=2).close()
    except OSError:
        return False
    return True


def in_words(settings, team):
    """Who trains and what a step takes, for the log."""
    batch, rate = settings.train_batch_size, f"learning_rate {settings.learning_rate:.3g}"
    if team.ranks == 1:
        return f"{batch} images a step, {rate}"
    return (
        f"rank {team.rank} of {team.ranks} is process {os.getpid()}: {batch} images a step on "
        f"each, {settings.global_batch_size} in all, {rate}"
    )


# --- what they share


class Averaged(tf.train.Optimizer):
    """Another optimizer, given the gradients that one process with all ranks' batches would have.

    weight: float32 scalar, how many pixels count in this rank's batch: the loss is a mean over
      them, so that the ranks' means weigh by their pixels.
    losses: scalars that are averaged likewise, the first of them this rank's loss.
    statistics: variables, the moving averages of batch norm; every rank gets their mean, which is
      what one process would collect from parts of its batch.
    After `compute_gradients`, `losses` are the means over all ranks and `shared` is the `Shared`.
    """

    def __init__(self, optimizer, team, *, weight, losses, statistics):
        super().__init__(use_locking=False, name="Averaged")
        self.optimizer, self.team = optimizer, team
        self.weight, self.losses, self.statistics = weight, losses, statistics
        self.shared = None

    def compute_gradients(self, loss, var_list=None, **options):
        """Gradients by the other optimizer, averaged over the ranks; None where no rank has one."""
        pairs = self.optimizer.compute_gradients(loss * self.weight, var_list, **options)
        weighted = [tf.reshape(g, v.shape) for g, v in pairs if g is not None]
        weighted += [x * self.weight for x in self.losses]
        # a placeholder without a default takes a scalar's shape for unknown
        asked = tf.placeholder_with_default(0.0, [])
        (*sums, weight, stopping), seconds = timed_sum(
            weighted + [v.read_value() for v in self.statistics] + [self.weight, asked], self.team
        )
        moved = [
            v.assign(s / self.team.ranks) for v, s in zip(self.statistics, sums[len(weighted) :])
        ]
        with tf.control_dependencies(moved):
            means = [s / weight for s in sums[: len(weighted)]]
        gradients = iter(means)
        pairs = [(g if g is None else next(gradients), v) for g, v in pairs]
        self.shared, self.losses = Shared(self.losses[0], seconds, stopping, asked), list(gradients)
        return pairs

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        return self.optimizer.apply_gradients(grads_and_vars, global_step, name)


def timed_sum(tensors, team):
    """`(sums, seconds)`: float32 tensors added up over the ranks in one all-reduce, and its time.

    The clock starts when this rank has all of its own, so the seconds hold the wait for the slowest
    rank.
    """
    with tf.device("/cpu:0"):
        flat = _flat(tensors)
        with tf.control_dependencies([flat]):
            began = tf.timestamp()
        with tf.control_dependencies([began]):
            flat = tf.identity(flat)
        flat = collective_ops.all_reduce(flat, team.ranks, _GROUP, _STEP, "Add", "Id")
        with tf.control_dependencies([flat]):
            return _parts(flat, tensors), tf.timestamp() - began


def broadcast(variables, extra, team):
    """A tensor that gives all float variables rank 0's values; it is rank 0's `extra`, a scalar.

    Run it once, on all ranks, in the session that trains, after first values or checkpoint.
    Integers are not sent.
    """
    floats = [v for v in variables if v.dtype.base_dtype == tf.float32]
    with tf.device("/cpu:0"):
        flat = _flat([v.read_value() for v in floats] + [extra])
        shape = flat.shape
        if team.rank == 0:
            return collective_ops.broadcast_send(
                flat, shape, tf.float32, team.ranks, _GROUP, _START
            )[-1]
        received = collective_ops.broadcast_recv(shape, tf.float32, team.ranks, _GROUP, _START)
        *values, theirs = _parts(received, floats + [extra])
        with tf.control_dependencies([v.assign(value) for v, value in zip(floats, values)]):
            return tf.identity(theirs)


def start_alike(session, first_step, team):
    """Gives every rank rank 0's variables; WorkbookError if they would start at other steps."""
    step = tf.constant(first_step, tf.float32)
    theirs = session.run(broadcast(tf.global_variables(), step, team))
    if theirs != first_step:
        raise WorkbookError(
            f"rank {team.rank} would start at step {first_step}, rank 0 at step "
            f"{theirs:.0f}: all ranks must see the same folder of checkpoints"
        )


def _flat(tensors):
    return tf.concat([tf.reshape(tensor, [-1]) for tensor in tensors], axis=0)


def _parts(flat, like):
    """The vector cut into tensors of these shapes."""
    sizes = [tensor.shape.num_elements() for tensor in like]
    return [tf.reshape(part, tensor.shape) for part, tensor in zip(tf.split(flat, sizes), like)]
