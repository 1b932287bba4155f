"""A card that is not there: what Ascend's adapter would give it of each call, as strictly.

TensorFlow computes on the CPU; beside it each call of a card's session is cut up as the adapter
(r1.5.1) does under mixed compilation: operations of the card's list go to the card, the others stay
on the host, and each change from one to the other and back makes one more graph of the card. A call
that makes an iterator stays on the host whole.
"""

import collections
import functools
import os

from tensorflow.python.client import session as sessions

from deeplab_nb.devices import ascend
from deeplab_nb.tf1 import tf

with open(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "figures", "ascend_910_ops.txt")
) as _file:
    # those marked grey are the card's too, but stay on the host under mixed compilation
    OPERATIONS = {line.strip() for line in _file if line.strip() and " " not in line.strip()}
HOST_CALLS = {"MakeIterator", "Iterator"}
ASSIGNING = {"Assign", "AssignAdd", "AssignSub"}
UPDATING = {"ApplyMomentum", "ApplyAdam"}
REFUSED = {tf.float64, tf.complex64, tf.complex128, tf.variant}

# operations: of the call that the card gets; graphs: number of them; trains: whether the call
# moves weights
Call = collections.namedtuple("Call", "operations graphs trains")


class Card:
    """Every `Call` of sessions that go to the card.

    decorates: every session does that does not decline, as since r1.9.0.
    """

    def __init__(self, decorates=False):
        self.decorates, self.calls, self.filled = decorates, [], set()

    def takes(self, session):
        """Whether a session's options send it here."""
        entries = (
            session._config.graph_options.rewrite_options.custom_optimizers
            if session._config
            else []
        )
        wanted = [
            entry.parameter_map["use_off_line"].b
            for entry in entries
            if entry.name == "NpuOptimizer"
        ]
        return wanted[-1] if wanted else self.decorates

    def look(self, graph, fetches, feeds):
        """Notes one call; raises what a card would."""
        wanted = [t for t in tf.nest.flatten(fetches) if t is not None]
        operations = needed(graph, wanted, feeds or {})
        if HOST_CALLS & {op.type for op in operations}:
            return  # what the host fills in this call the card does not see
        given = [op for op in operations if on_card(op)]
        for op in given:
            check(op)
        self._read(graph, given)
        self._fill(graph, given)
        self.calls.append(
            Call(
                frozenset(op.name for op in given),
                graphs_of(operations, set(given)),
                any(op.type in UPDATING for op in given),
            )
        )

    def compiled(self, trains):
        """How many different graphs were compiled, of training or of all else."""
        return len({call.operations for call in self.calls if call.trains == trains})

    def _read(self, graph, given):
        for op in given:
            for tensor in op.inputs if op.type not in ("Assign",) else op.inputs[1:]:
                if (
                    tensor.op.type == "VariableV2"
                    and (id(graph), tensor.op.name) not in self.filled
                ):
                    raise tf.errors.FailedPreconditionError(
                        None, op, "Attempting to use uninitialized value " + tensor.op.name
                    )

    def _fill(self, graph, given):
        self.filled |= {(id(graph), op.inputs[0].op.name) for op in given if op.type == "Assign"}


def needed(graph, fetches, feeds):
    """The operations of one call, in an order in which inputs come first."""
    fed = {graph.as_graph_element(key) for key in feeds}
    found, order = set(), []

    def visit(op):
        stack = [(op, iter([]))]
        while stack:
            op, rest = stack[-1]
            if op not in found:
                found.add(op)
                rest = iter([t.op for t in op.inputs if t not in fed] + list(op.control_inputs))
                stack[-1] = op, rest
            after = next((other for other in rest if other not in found), None)
            if after is None:
                order.append(op)
                stack.pop()
            else:
                stack.append((after, iter([])))

    for fetch in fetches:
        element = graph.as_graph_element(fetch)
        op = element if isinstance(element, tf.Operation) else element.op
        if op not in found and element not in fed:
            visit(op)
    return order


def on_card(op):
    """Whether the adapter gives an operation to the card; texts, such as names, stay on the "
    "host."""
    return op.type in OPERATIONS and tf.string not in {
        t.dtype.base_dtype for t in list(op.inputs) + list(op.outputs)
    }


def check(op):
    """Raises TypeError or ValueError for what a card never takes: doubles, values of any shape."""
    for tensor in list(op.inputs) + list(op.outputs):
        if tensor.dtype.base_dtype in REFUSED:
            raise TypeError(f"{op.name} of {op.type} has {tensor.dtype.name}")
    for tensor in (
        op.inputs if op.type != "Assign" else ()
    ):  # what a checkpoint gives a variable has that one's shape
        if tensor.op.type == "Placeholder" or not on_card(tensor.op):
            if not tensor.shape.is_fully_defined():
                raise ValueError(f"{op.name} of {op.type} is fed a shape {tensor.shape}")


def graphs_of(operations, given):
    """How many graphs a card would be given: one more wherever a value comes back from the host."""
    # of each operation: in the how manieth graph of the card it is, or after which it comes on the
    # host
    number = {}
    for op in operations:
        before = [o for o in [t.op for t in op.inputs] + list(op.control_inputs) if o in number]
        number[op] = max(
            [number[o] + (op in given and o not in given and number[o] > 0) for o in before],
            default=0,
        )
        if op in given:
            number[op] = max(number[op], 1)
    return max([number[op] for op in given], default=0)


def install(monkeypatch, decorates=False):
    """Puts the card under every session; returns the `Card`.

    What it is given is cut from the graph as it was built: TensorFlow's own rewriting, which would
    take half of a training's time here, is off in its sessions.
    """
    card, run, configure = Card(decorates), sessions.BaseSession.run, ascend.session_config

    def as_built(settings):
        config = configure(settings)
        config.graph_options.rewrite_options.disable_meta_optimizer = True
        return config

    @functools.wraps(run)
    def watched(self, fetches, feed_dict=None, *args, **kwargs):
        if card.takes(self):
            card.look(self.graph, fetches, feed_dict)
        return run(self, fetches, feed_dict, *args, **kwargs)

    monkeypatch.setattr(ascend, "session_config", as_built)
    monkeypatch.setattr(sessions.BaseSession, "run", watched)
    return card
