"""MindSpore checkpoints: files of that format, written from the zoo network's names and shapes."""

import os

import numpy as np
import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import checkpoints, described, mindspore, resnet
from deeplab_nb.tf1 import tf
from tests.support import golden
from tests.support.network_parts import build

PARAMETERS = golden.figures("mindspore_deeplabv3_params")  # {name: shape}, in MindSpore's layout
UNIT = "resnet_v1_50/block1/unit_1/bottleneck_v1"


def tensorflow_shapes(num_classes=21):
    """{name: shape} of the published resnet_v1_50_beta, without atrous branches as in the zoo."""
    shapes = {
        name: shape
        for name, shape, _ in golden.figures("resnet_v1_50_beta")["variables"]
        if not name.startswith(("aspp1_", "aspp2_", "aspp3_"))
    }
    return dict(
        shapes,
        **{
            "concat_projection/weights": [1, 1, 512, 256],
            "logits/semantic/biases": [num_classes],
            "logits/semantic/weights": [1, 1, 256, num_classes],
        },
    )


def make_variables(shapes):
    return [
        tf.get_variable(name, shape, initializer=tf.zeros_initializer())
        for name, shape in shapes.items()
    ]


def write(path, tensors):
    """A MindSpore file of (name, type, shape, bytes) tuples."""
    message = mindspore.checkpoint_class()()
    for name, kind, shape, content in tensors:
        message.value.add(
            tag=name.encode(),
            tensor={"dims": shape, "tensor_type": kind.encode(), "tensor_content": content},
        )
    with open(str(path), "wb") as file:
        file.write(message.SerializeToString())
    return str(path)


def float32(name, array):
    return name, "Float32", array.shape, array.astype("<f4").tobytes()


@pytest.fixture(scope="module")
def arrays():
    """A value for each of the zoo network's parameters: {name: array}."""
    random = np.random.RandomState(0)

    def value(name, shape):
        z = random.random_sample(shape).astype(np.float32)
        return (
            0.1 * z - 0.05
            if name.endswith("weight")
            else z + 0.5
            if name.endswith(("gamma", "variance"))
            else z - 0.5
        )

    return {name: value(name, shape) for name, shape in PARAMETERS.items()}


@pytest.fixture(scope="module")
def zoo(arrays, tmp_path_factory):
    """A whole checkpoint as training leaves it, with the optimiser's entries."""
    scalar = np.array([7], "<i4").tobytes()
    optimiser = [
        float32("moments.deeplabv3.fc1.0.weight", arrays["deeplabv3.fc1.0.weight"]),
        ("learning_rate", "Float32", [0], np.array([0.0014], "<f4").tobytes()),
        ("global_step", "Int32", [1], scalar),
        ("epoch_num", "Int32", [0], scalar),
        ("step_num", "Int32", [0], scalar),
    ]
    path = tmp_path_factory.mktemp("zoo") / "checkpoint_deeplabv3-6_732.ckpt"
    return write(path, [float32(name, array) for name, array in arrays.items()] + optimiser)


# --- names


def test_the_zoo_names_are_the_published_ones_one_to_one():
    renamed = {mindspore.tensorflow_name(name): shape for name, shape in PARAMETERS.items()}
    wanted = tensorflow_shapes()
    assert len(PARAMETERS) == len(renamed) == 292
    assert {n: [s[2], s[3], s[1], s[0]] if len(s) == 4 else s for n, s in renamed.items()} == wanted
    assert sum(int(np.prod(shape)) for shape in wanted.values()) == 24873429


@pytest.mark.parametrize(
    "theirs, ours",
    [
        ("deeplabv3.net.layer_root.0.conv3.0.weight", "resnet_v1_50/conv1_3/weights"),
        (
            "deeplabv3.net.layer2_4.conv_bn2.1.moving_mean",
            "resnet_v1_50/block2/unit_4/bottleneck_v1/conv2/BatchNorm/moving_mean",
        ),
        (
            "deeplabv3.net.layer4_3.conv_bn2.3.gamma",
            "resnet_v1_50/block4/unit_3/bottleneck_v1/conv2/BatchNorm/gamma",
        ),
        (
            "deeplabv3.net.layer3_6.bn3.beta",
            "resnet_v1_50/block3/unit_6/bottleneck_v1/conv3/BatchNorm/beta",
        ),
        ("deeplabv3.net.layer1_1.downsample.0.weight", UNIT + "/shortcut/weights"),
        ("deeplabv3.aspp.conv_bn.0.weight", "image_pooling/weights"),
        ("deeplabv3.aspp.aspp0.1.moving_variance", "aspp0/BatchNorm/moving_variance"),
        ("deeplabv3.fc2.bias", "logits/semantic/biases"),
        ("moments.deeplabv3.fc2.bias", None),
        ("learning_rate", None),
        ("deeplabv3.aspp.aspp1.0.weight", None),
    ],
)
def test_a_name_follows_from_its_place_and_its_leaf(theirs, ours):
    assert mindspore.tensorflow_name(theirs) == ours


# --- the file format


def test_bytes_assembled_by_hand_are_read(tmp_path):
    tensor = (
        b"\x08\x02\x08\x01"  # field 1, dims: 2, 1
        b"\x12\x07Float32"  # field 2, the type, 7 letters
        b"\x1a\x08\x00\x00\xc0\x3f\x00\x00\x00\xc0"
    )  # field 3, 8 bytes: 1.5 and -2.0, little-endian
    value = b"\x0a\x01w" + b"\x12" + bytes([len(tensor)]) + tensor
    (tmp_path / "hand.ckpt").write_bytes(b"\x0a" + bytes([len(value)]) + value)
    read = mindspore.read_checkpoint(str(tmp_path / "hand.ckpt"))
    assert list(read) == ["w"] and read["w"].dtype == np.float32
    assert read["w"].tolist() == [[1.5], [-2.0]]


def test_the_slices_of_a_large_tensor_are_joined(tmp_path):
    array = np.arange(6, dtype="<f4").reshape(2, 3)
    path = write(
        tmp_path / "sliced.ckpt",
        [
            ("w", "Float32", [2, 3], array.tobytes()[:8]),
            ("w", "Float32", [2, 3], array.tobytes()[8:]),
        ],
    )
    assert mindspore.read_checkpoint(path)["w"].tolist() == array.tolist()


def test_scalars_and_other_types_become_float32(tmp_path):
    path = write(
        tmp_path / "types.ckpt",
        [
            ("step", "Int32", [0], np.array(732, "<i4").tobytes()),
            ("half", "Float16", [2], np.array([0.5, -4], "<f2").tobytes()),
        ],
    )
    read = mindspore.read_checkpoint(path)
    assert read["step"].shape == () and read["step"] == 732
    assert read["half"].dtype == np.float32 and read["half"].tolist() == [0.5, -4]


def test_a_kernel_is_transposed_and_a_vector_is_not(tmp_path):
    kernel = np.arange(2 * 3 * 3 * 3).reshape(2, 3, 3, 3)  # output, input, row, column
    path = write(
        tmp_path / "kernel.ckpt",
        [float32("deeplabv3.fc1.0.weight", kernel), float32("deeplabv3.fc1.1.beta", np.arange(2))],
    )
    read = mindspore.read_variables(path)
    assert read["concat_projection/weights"].shape == (3, 3, 3, 2)
    # the counting kernel's value at (o, i, y, x) is 27 o + 9 i + 3 y + x
    assert read["concat_projection/weights"][1, 2, 0, 1] == 27 * 1 + 9 * 0 + 3 * 1 + 2
    assert read["concat_projection/weights"][2, 0, 2, 0] == 27 * 0 + 9 * 2 + 3 * 2 + 0
    assert read["concat_projection/BatchNorm/beta"].tolist() == [0, 1]


# --- what is refused


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WorkbookError, match="none.ckpt cannot be opened .*: give the path"):
        mindspore.read_checkpoint(str(tmp_path / "none.ckpt"))


@pytest.mark.parametrize("keep", [-1, -9, 30, 3])
def test_a_truncated_file_is_named(tmp_path, keep):
    path = write(tmp_path / "cut.ckpt", [float32("a", np.zeros(5)), float32("b", np.zeros(5))])
    whole = open(path, "rb").read()
    open(path, "wb").write(whole[:keep])
    with pytest.raises(WorkbookError, match="cut.ckpt is not a whole MindSpore checkpoint"):
        mindspore.read_checkpoint(path)


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 an archive",
        b"\x80\x02}q\x00.",
        b"some text\n",
        b"\x0a\x03\x0a\x01a",
        b"\x0a\x07\x0a\x01a\x12\x02\x12\x00",
    ],
    ids=["archive", "pickle", "text", "value without tensor", "tensor without content"],
)
def test_a_foreign_file_is_named_and_never_run(tmp_path, content):
    (tmp_path / "foreign.ckpt").write_bytes(content)
    with pytest.raises(WorkbookError, match="foreign.ckpt is not a whole MindSpore checkpoint"):
        described.describe(checkpoints.find_checkpoint(str(tmp_path / "foreign.ckpt")))


def test_an_empty_file_is_named(tmp_path):
    with pytest.raises(WorkbookError, match="empty.ckpt holds no MindSpore tensors"):
        mindspore.read_checkpoint(write(tmp_path / "empty.ckpt", []))


def test_an_unknown_type_is_named(tmp_path):
    path = write(tmp_path / "odd.ckpt", [("w", "BFloat16", [1], b"\0\0")])
    with pytest.raises(
        WorkbookError, match="odd.ckpt: w has the unknown type 'BFloat16': save it as Float32"
    ):
        mindspore.read_checkpoint(path)


@pytest.mark.filterwarnings(
    "ignore:Unexpected end-group tag"
)  # the parser's own remark on what is refused
def test_damage_of_any_byte_is_read_or_refused_in_words(tmp_path):
    path = write(
        tmp_path / "damaged.ckpt",
        [float32("deeplabv3.fc1.1.beta", np.arange(2)), float32("b", np.arange(2))],
    )
    whole = open(path, "rb").read()
    outcomes = set()
    for place in range(len(whole)):
        for byte in (0, 0x24, 0x7F, 0xFF):
            open(path, "wb").write(whole[:place] + bytes([byte]) + whole[place + 1 :])
            try:
                outcomes.add(len(mindspore.read_variables(path)))
            except WorkbookError:
                outcomes.add("refused")
    assert outcomes == {2, "refused"}  # a changed name or value cannot be noticed


@pytest.mark.parametrize("shape", [[3], [2, 2], [-1], [-2, -1], []])
def test_bytes_that_do_not_fit_the_shape_are_refused(tmp_path, shape):
    path = write(tmp_path / "short.ckpt", [("w", "Float32", shape, bytes(8))])
    with pytest.raises(
        WorkbookError, match="short.ckpt: w has 8 bytes, which does not fit its shape"
    ):
        mindspore.read_checkpoint(path)


# --- restoring


def test_every_variable_gets_its_parameter(arrays, zoo):
    source = {mindspore.tensorflow_name(name): array for name, array in arrays.items()}
    with tf.Graph().as_default(), tf.Session() as session:
        variables = make_variables(tensorflow_shapes())
        report = checkpoints.restore(session, zoo, variables, complete=True)
        for name, value in zip([v.op.name for v in variables], session.run(variables)):
            expected = np.einsum("oiyx->yxio", source[name]) if value.ndim == 4 else source[name]
            assert np.array_equal(value, expected), name
    assert len(report.restored) == 292 and not report.fresh
    assert report.unused == [
        "epoch_num",
        "global_step",
        "learning_rate",
        "moments.deeplabv3.fc1.0.weight",
        "step_num",
    ]
    assert "restored  292" in str(report) and "(5 of them the optimiser's, as expected)" in str(
        report
    )


def test_the_file_describes_its_network(zoo):
    assert (
        checkpoints.find_checkpoint(zoo) == checkpoints.find_checkpoint(os.path.dirname(zoo)) == zoo
    )
    assert described.describe(zoo) == {
        "backbone": "resnet_v1_50_beta",
        "depth_multiplier": 1.0,
        "num_classes": 21,
        "aspp": False,
        "decoder": False,
        "separable_head": True,
    }


def test_the_newest_of_a_folder_has_the_highest_epoch(tmp_path):
    for name in ("deeplabv3-9_732.ckpt", "deeplabv3-10_100.ckpt"):
        write(tmp_path / name, [float32("deeplabv3.fc2.bias", np.zeros(21))])
    assert checkpoints.find_checkpoint(str(tmp_path)).endswith("deeplabv3-10_100.ckpt")


def test_another_class_count_leaves_the_class_layer_fresh(zoo):
    with tf.Graph().as_default(), tf.Session() as session:
        variables = make_variables(tensorflow_shapes(num_classes=5))
        report = checkpoints.restore(session, zoo, variables)
        with pytest.raises(
            WorkbookError,
            match="does not fill 2 of the network's variables.*21 classes there, 5 here",
        ):
            checkpoints.restore(session, zoo, variables, complete=True)
    assert len(report.restored) == 290
    assert report.fresh == {
        "logits/semantic/" + leaf: "21 classes there, 5 here" for leaf in ("weights", "biases")
    }


def test_another_head_is_refused(zoo):
    with tf.Graph().as_default():
        variables = make_variables(
            dict(tensorflow_shapes(), **{"concat_projection/weights": [1, 1, 1280, 256]})
        )
        with pytest.raises(
            WorkbookError, match="is of another network: concat_projection/weights has shape"
        ):
            checkpoints.plan_restore(zoo, checkpoints.read_shapes(zoo), variables)


def test_a_tensorflow_prefix_of_the_same_ending_is_still_tensorflow(tmp_path):
    prefix = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default(), tf.Session() as session:
        variables = make_variables({"resnet_v1_50/conv1_1/weights": [2]})
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, prefix)
        open(prefix, "w").close()  # some tools leave such a file beside the real ones
        assert checkpoints.restore(session, prefix, variables).restored == [
            "resnet_v1_50/conv1_1/weights"
        ]


# --- one block, computed twice


def test_a_restored_block_computes_what_mindspore_would(arrays, zoo):
    """The first residual unit, from the TensorFlow graph and from MindSpore's own arrays."""
    x = np.random.RandomState(1).standard_normal([2, 9, 7, 128]).astype(np.float32)
    with tf.Graph().as_default(), tf.Session() as session:
        y = build(
            lambda layers, x: resnet.bottleneck(layers, x, UNIT, 64, stride=1, rate=1)[0],
            tf.constant(x),
        )
        report = checkpoints.restore(session, zoo, tf.global_variables(), complete=True)
        ours = session.run(y)
    theirs = mindspore_unit(arrays, "deeplabv3.net.layer1_1.", x.transpose(0, 3, 1, 2))
    assert len(report.restored) == 20
    assert ours.shape == (2, 9, 7, 256) and 0.2 < np.mean(ours > 0) < 0.99 and theirs.std() > 0.1
    np.testing.assert_allclose(ours, theirs.transpose(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def mindspore_unit(arrays, place, x):
    """The same unit in numpy and float64, `[batch, channels, h, w]`, from MindSpore's arrays."""

    def layer(x, kernel, norm):
        return normalised(convolved(x, arrays[place + kernel + ".weight"].astype(np.float64)), norm)

    def normalised(x, norm):
        gamma, beta, mean, variance = (
            arrays[place + norm + "." + leaf].astype(np.float64).reshape(-1, 1, 1)
            for leaf in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    y = np.maximum(layer(x, "conv_bn1.0", "conv_bn1.1"), 0)
    y = np.maximum(layer(y, "conv_bn2.0", "conv_bn2.1"), 0)
    return np.maximum(layer(y, "conv3", "bn3") + layer(x, "downsample.0", "downsample.1"), 0)


def convolved(x, kernel):
    """Stride 1, zero padding that keeps the size: each tap moves and mixes the whole map."""
    size, (height, width) = kernel.shape[2], x.shape[2:]
    padded = np.pad(x, [(0, 0), (0, 0)] + [(size // 2, size // 2)] * 2, mode="constant")
    return sum(
        np.einsum(
            "nihw,oi->nohw",
            padded[:, :, row : row + height, column : column + width],
            kernel[:, :, row, column],
        )
        for row in range(size)
        for column in range(size)
    )


def test_a_shape_whose_product_no_whole_number_holds_is_refused(tmp_path):
    path = write(
        tmp_path / "a-1_1.ckpt", [("deeplabv3.fc2.weight", "Float32", [2**32, 2**32], b"")]
    )
    with pytest.raises(WorkbookError, match="has 0 bytes, which does not fit its shape"):
        mindspore.read_checkpoint(path)
