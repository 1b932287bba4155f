"""The variables of a network, made all at once.

`tf.get_variable` costs about 3 ms of Python a variable: for the 732 of Xception-65, three quarters
of the time that its graph takes. Written as one graph definition and imported, they cost a few
tenths of it.
"""

import collections
import zlib

from deeplab_nb.tf1 import VariableDef, tf

# what a layer asks for; `initial` is one of the two below
Declaration = collections.namedtuple("Declaration", "name shape initial trainable")

Constant = collections.namedtuple("Constant", "value")

# what TensorFlow's operation of this name draws, times scale, plus shift
Drawn = collections.namedtuple("Drawn", "operation scale shift")

_FLOAT = tf.AttrValue(type=tf.float32.as_datatype_enum)
_INT = tf.AttrValue(type=tf.int32.as_datatype_enum)


def create_variables(declarations):
    """{name: float32 variable}; those that the current graph has already are taken as they are.

    A first value is a function of the graph's seed and the variable's name, whatever else is built.
    """
    found = {v.op.name: v for v in tf.global_variables()}
    missing = [d for d in declarations if d.name not in found]
    if missing:
        nodes = [node for declaration in missing for node in _nodes(declaration)]
        with tf.init_scope(), tf.name_scope(None):
            tf.import_graph_def(tf.GraphDef(node=nodes), name="")
        found.update((d.name, _register(d)) for d in missing)
    return {d.name: found[d.name] for d in declarations}


def _nodes(declaration):
    """The graph's nodes of one variable: first value, storage, assignment and reading."""
    name, shape, initial, _ = declaration
    if isinstance(initial, Constant):
        first = [constant(name + "/initial", initial.value, shape)]
    else:
        first = _drawn_nodes(name, shape, initial)
    beside = tf.AttrValue(list=tf.AttrValue.ListValue(s=[f"loc:@{name}".encode()]))
    shape = tf.AttrValue(shape=tf.TensorShape(shape).as_proto())
    return first + [
        _node("VariableV2", name, dtype=_FLOAT, shape=shape),
        _node("Assign", name + "/Assign", name, name + "/initial", T=_FLOAT, _class=beside),
        _node("Identity", name + "/read", name, T=_FLOAT, _class=beside),
    ]


def _drawn_nodes(name, shape, initial):
    scope = name + "/initial"
    seed, seed2 = (tf.AttrValue(i=seed) for seed in tf.get_seed(zlib.crc32(name.encode())))
    drawn = initial.operation, scope + "/drawn", scope + "/shape"
    return [
        constant(scope + "/shape", shape),
        constant(scope + "/scale", initial.scale),
        constant(scope + "/shift", initial.shift),
        _node(*drawn, dtype=_FLOAT, T=_INT, seed=seed, seed2=seed2),
        _node("Mul", scope + "/scaled", scope + "/drawn", scope + "/scale", T=_FLOAT),
        _node("Add", scope, scope + "/scaled", scope + "/shift", T=_FLOAT),
    ]


def constant(name, value, shape=None):
    """The node of a constant; of Python's numbers it makes float32 and int32."""
    tensor = tf.make_tensor_proto(value, shape=shape)
    kind = tf.AttrValue(type=tensor.dtype)
    return _node("Const", name, dtype=kind, value=tf.AttrValue(tensor=tensor))


def _node(op, name, *inputs, **attributes):
    return tf.NodeDef(op=op, name=name, input=inputs, attr=attributes)


def _register(declaration):
    """TensorFlow's object for a variable's nodes, listed where savers and optimisers look."""
    name, _, _, trainable = declaration
    variable = tf.Variable.from_proto(
        VariableDef(
            variable_name=name + ":0",
            initial_value_name=name + "/initial:0",
            initializer_name=name + "/Assign",
            snapshot_name=name + "/read:0",
            trainable=trainable,
        )
    )
    tf.add_to_collection(tf.GraphKeys.GLOBAL_VARIABLES, variable)
    if trainable:
        tf.add_to_collection(tf.GraphKeys.TRAINABLE_VARIABLES, variable)
    return variable
