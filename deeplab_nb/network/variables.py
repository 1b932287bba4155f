"""The variables of a network, made all at once.

`tf.get_variable` costs about 3 ms of Python a variable: for the 732 of Xception-65, three quarters
of the time that its graph takes. Written as one graph definition and imported, they cost a few
tenths of it.
"""

import collections
import zlib

from deeplab_nb.tf1 import VariableDef, tf

# what a layer asks for; `initial` is one of the three below
Declaration = collections.namedtuple("Declaration", "name shape initial trainable")


class Constant(collections.namedtuple("Constant", "value")):
    op = "Const"


class TruncatedNormal(collections.namedtuple("TruncatedNormal", "stddev")):
    """Redrawn beyond two standard deviations."""

    op, shift = "TruncatedNormal", 0.0
    scale = property(lambda self: self.stddev)


class Uniform(collections.namedtuple("Uniform", "limit")):
    """Between -limit and limit."""

    op = "RandomUniform"
    scale, shift = property(lambda self: 2 * self.limit), property(lambda self: -self.limit)


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
    name = declaration.name
    constant = declaration.initial.op == "Const"
    initial = _constant_nodes(declaration) if constant else _random_nodes(declaration)
    beside = tf.AttrValue(list=tf.AttrValue.ListValue(s=[f"loc:@{name}".encode()]))
    shape = tf.AttrValue(shape=tf.TensorShape(declaration.shape).as_proto())
    return initial + [
        _node("VariableV2", name, dtype=_FLOAT, shape=shape),
        _node("Assign", name + "/Assign", name, initial[-1].name, T=_FLOAT, _class=beside),
        _node("Identity", name + "/read", name, T=_FLOAT, _class=beside),
    ]


def _constant_nodes(declaration):
    return [constant(declaration.name + "/initial", declaration.initial.value, declaration.shape)]


def _random_nodes(declaration):
    """drawn * scale + shift"""
    scope, initial = declaration.name + "/initial", declaration.initial
    seeds = [tf.AttrValue(i=seed) for seed in tf.get_seed(zlib.crc32(declaration.name.encode()))]
    return [
        constant(scope + "/shape", declaration.shape),
        constant(scope + "/scale", initial.scale),
        constant(scope + "/shift", initial.shift),
        _node(
            initial.op,
            scope + "/drawn",
            scope + "/shape",
            dtype=_FLOAT,
            T=_INT,
            seed=seeds[0],
            seed2=seeds[1],
        ),
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
    name = declaration.name
    variable = tf.Variable.from_proto(
        VariableDef(
            variable_name=name + ":0",
            initial_value_name=name + "/initial:0",
            initializer_name=name + "/Assign",
            snapshot_name=name + "/read:0",
            trainable=declaration.trainable,
        )
    )
    tf.add_to_collection(tf.GraphKeys.GLOBAL_VARIABLES, variable)
    if declaration.trainable:
        tf.add_to_collection(tf.GraphKeys.TRAINABLE_VARIABLES, variable)
    return variable
