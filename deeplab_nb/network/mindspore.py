"""Checkpoints of the MindSpore model zoo's DeepLabV3, read under the published TensorFlow names.

Such a file is one protocol buffer and nothing is executed in reading it. MindSpore itself is not
needed. The network is ResNet-50 with image pooling and the 1x1 branch as its head: 292 tensors,
24,873,429 parameters.
"""

import functools
import os
import re

import numpy as np
from google.protobuf import descriptor_pb2, message_factory, text_format
from google.protobuf.message import DecodeError

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.head import LOGITS_SCOPE

_UNIT = r"resnet_v1_50/block\1/unit_\2/bottleneck_v1/"

# Where a layer is in MindSpore and in TensorFlow. Pooling comes before aspp0 in both
# concatenations, so the kernel of fc1 needs no reordering. Atrous branches are absent: the zoo
# trains none.
_SCOPES = (
    (r"net\.layer_root\.0\.conv(\d)", r"resnet_v1_50/conv1_\1"),
    (r"net\.layer(\d)_(\d)\.(?:conv_bn|conv|bn)(\d)", _UNIT + r"conv\3"),
    (r"net\.layer(\d)_(\d)\.downsample", _UNIT + "shortcut"),
    (r"aspp\.conv_bn", "image_pooling"),
    (r"aspp\.aspp0", "aspp0"),
    (r"fc1", "concat_projection"),
    (r"fc2", LOGITS_SCOPE),
)

_LEAVES = {
    "weight": "weights",
    "bias": "biases",
    "gamma": "BatchNorm/gamma",
    "beta": "BatchNorm/beta",
    "moving_mean": "BatchNorm/moving_mean",
    "moving_variance": "BatchNorm/moving_variance",
}

_TYPES = re.compile(r"Bool|(Int|Uint)(8|16|32|64)|Float(16|32|64)")

# The two texts, tag and tensor_type, are declared as bytes, which are the same in a file: a damaged
# one is then ours to report.
_FORM = """
name: "mindspore_checkpoint.proto" package: "mindspore" syntax: "proto2"
message_type {
  name: "TensorProto"
  field { name: "dims" number: 1 label: LABEL_REPEATED type: TYPE_INT64 }
  field { name: "tensor_type" number: 2 label: LABEL_REQUIRED type: TYPE_BYTES }
  field { name: "tensor_content" number: 3 label: LABEL_REQUIRED type: TYPE_BYTES }
}
message_type {
  name: "Checkpoint"
  nested_type {
    name: "Value"
    field { name: "tag" number: 1 label: LABEL_REQUIRED type: TYPE_BYTES }
    field { name: "tensor" number: 2 label: LABEL_REQUIRED type: TYPE_MESSAGE
            type_name: ".mindspore.TensorProto" }
  }
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".mindspore.Checkpoint.Value" }
}
"""

_TABLE = bytes.fromhex("57fb808b247547db")  # how TensorFlow's old form ends, a table of LevelDB


def is_checkpoint(path):
    """Whether the path looks like a MindSpore file.

    TensorFlow's `x.ckpt` is only a prefix beside `x.ckpt.index`, or a table in its old form.
    """
    if not path.endswith(".ckpt") or not os.path.isfile(path) or os.path.exists(path + ".index"):
        return False
    with open(path, "rb") as file:
        file.seek(max(os.path.getsize(path) - len(_TABLE), 0))
        return file.read() != _TABLE


def newest_checkpoint(folder):
    """Path of a folder's MindSpore file of highest epoch and step (x-6_732.ckpt), or None."""
    paths = [os.path.join(folder, name) for name in os.listdir(folder)]

    def numbers(path):
        return [int(number) for number in re.findall(r"\d+", os.path.basename(path))]

    return max(filter(is_checkpoint, paths), key=numbers, default=None)


def tensorflow_name(name):
    """The published TensorFlow name of a MindSpore parameter; None for the optimiser's."""
    leaves = "|".join(_LEAVES)
    for place, scope in _SCOPES:
        # a layer with batch norm is a sequence, its numbers say less than the leaf: .0.weight,
        # .1.gamma
        match = re.fullmatch(rf"deeplabv3\.{place}(?:\.\d)?\.(?P<leaf>{leaves})", name)
        if match:
            return match.expand(scope) + "/" + _LEAVES[match.group("leaf")]
    return None


def read_variables(path):
    """{name: float32 array} in TensorFlow's names and layouts.

    The optimiser's entries keep their own names. Raises WorkbookError as `read_checkpoint` does.
    """
    return {
        tensorflow_name(name) or name: _tensorflow_layout(array)
        for name, array in read_checkpoint(path).items()
    }


def _tensorflow_layout(array):
    """Kernels [out, in, h, w] become [h, w, in, out]; vectors stay. None is a depthwise kernel."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array


def read_checkpoint(path):
    """{name: float32 array} of a MindSpore checkpoint, in MindSpore's names and layouts.

    Raises WorkbookError for a file that is missing, foreign or cut short, and for a tensor of
    unknown type or whose bytes do not fit its shape. A file cut between two tensors cannot be told
    from a smaller one: the restore report then names what is absent.
    """
    # MindSpore cuts a large tensor into values of the same tag, each with the whole shape
    slices = {}
    for value in _parse(path).value:
        slices.setdefault(value.tag.decode("utf-8", "replace"), []).append(value.tensor)
    return {name: _array(path, name, tensors) for name, tensors in slices.items()}


def _parse(path):
    message = checkpoint_class()()
    try:
        with open(path, "rb") as file:
            content = file.read()
        # the parser alone accepts a file that it could not read to the end, or that lacks required
        # fields
        if message.ParseFromString(content) != len(content) or not message.IsInitialized():
            raise DecodeError
    except OSError as error:
        raise WorkbookError(
            f"checkpoint {path} cannot be opened ({error.strerror}): give the path of a MindSpore "
            ".ckpt"
        )
    except DecodeError:
        raise WorkbookError(
            f"checkpoint {path} is not a whole MindSpore checkpoint, it is cut short or of another "
            "program: copy it again"
        )
    if not message.value:
        raise WorkbookError(
            f"checkpoint {path} holds no MindSpore tensors: copy it again, or give another"
        )
    return message


def _array(path, name, tensors):
    """The slices of one tensor as one float32 array."""
    kind, shape = tensors[0].tensor_type.decode("utf-8", "replace"), list(tensors[0].dims)
    if not _TYPES.fullmatch(kind):
        raise WorkbookError(
            f"checkpoint {path}: {name} has the unknown type {kind!r}: save it as Float32"
        )
    dtype = np.dtype(kind.lower()).newbyteorder("<")
    content = b"".join(tensor.tensor_content for tensor in tensors)
    shape = [] if shape == [0] else shape  # MindSpore's way to write a scalar
    size = np.prod(np.array(shape, object)) * dtype.itemsize
    if min(shape, default=0) < 0 or len(content) != size:
        raise WorkbookError(
            f"checkpoint {path}: {name} has {len(content)} bytes, which does not "
            f"fit its shape {shape} of {kind}: copy the file again"
        )
    return np.frombuffer(content, dtype).reshape(shape).astype(np.float32)


@functools.lru_cache(maxsize=None)
def checkpoint_class():
    """The message class of MindSpore's `Checkpoint`, from its few fields, without generated code.

    Its pool is not TensorFlow's, whose TensorProto is another.
    """
    form = text_format.Parse(_FORM, descriptor_pb2.FileDescriptorProto())
    return message_factory.GetMessages([form])["mindspore.Checkpoint"]
