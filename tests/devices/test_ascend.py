"""What Ascend is given: options by key and field, environment, wrapping.

The library itself is a stand-in, see tests/support/stand_in.
"""

import ast
import glob
import importlib
import inspect
import json
import os
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.cli import main
from deeplab_nb.data.records import write_records
from deeplab_nb.devices import ascend, devices
from deeplab_nb.devices.ranks import TABLE, problem as rank_problem
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch.dry_run import dry_run
from deeplab_nb.network.variables import Constant, Declaration, create_variables
from deeplab_nb.tf1 import tf
from deeplab_nb.training import loop, objective
from deeplab_nb.training.log import end_of, read_log
from tests.support.ascend_library import STAND_IN, by_chief, environment, forget, library, stand_in  # noqa: F401
from tests.support.tiny_training import TINY, variables
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture
def everything(tmp_path):
    """Settings that use every option."""
    (tmp_path / "mixlist.json").write_text('{"black-list": {"to-add": ["BiasAdd"]}}')
    return dict(
        mixed_precision=True,
        mixlist=str(tmp_path / "mixlist.json"),
        dump_folder=str(tmp_path),
        profiling_folder=str(tmp_path),
    )


def options(config):
    """{key: (field, value)} of the session's one custom optimizer."""
    (npu,) = config.graph_options.rewrite_options.custom_optimizers
    assert npu.name == "NpuOptimizer"
    return {
        key: (value.WhichOneof("value"), getattr(value, value.WhichOneof("value")))
        for key, value in npu.parameter_map.items()
    }


def config_of(**values):
    return ascend.session_config(settings_module.read(values))


# --- the session


def test_every_option_has_the_adapters_key_and_field(repo, everything):
    with open(os.path.join(repo, "tests", "figures", "ascend_keys.json")) as file:
        fields = json.load(file)
    given = options(config_of(**everything))
    assert len(given) == 10
    assert {key: fields.get(key) for key in given} == {
        key: field for key, (field, _) in given.items()
    }


def test_the_options_are_those_of_the_published_port():
    config = config_of(mixed_precision=True, intra_op_threads=3)
    assert options(config) == {
        "use_off_line": ("b", True),
        "mix_compile_mode": ("b", True),
        "iterations_per_loop": ("i", 1),
        "precision_mode": ("s", b"allow_mix_precision"),
    }
    rewrite = config.graph_options.rewrite_options
    assert (rewrite.remapping, rewrite.memory_optimization) == (2, 2)
    assert config.allow_soft_placement and config.intra_op_parallelism_threads == 3


def test_without_mixed_precision_float32_stays_where_the_card_has_it():
    assert options(config_of())["precision_mode"] == ("s", b"allow_fp32_to_fp16")


def test_lists_dumps_and_profiles_are_handed_on(everything, tmp_path):
    given = options(config_of(**everything))
    folder = str(tmp_path).encode()
    assert given["modify_mixlist"][1] == folder + b"/mixlist.json"
    assert [given[key][1] for key in ("enable_dump_debug", "dump_path", "dump_debug_mode")] == [
        True,
        folder,
        b"all",
    ]
    assert given["profiling_mode"][1] is True
    assert json.loads(given["profiling_options"][1].decode()) == {
        "output": str(tmp_path),
        "task_trace": "on",
    }


@pytest.mark.parametrize("name", ["dump_folder", "profiling_folder"])
def test_a_folder_that_would_end_the_process_is_refused(name, tmp_path):
    for path in (tmp_path / "gone", tmp_path / "file"):
        (tmp_path / "file").write_text("")
        with pytest.raises(WorkbookError, match=f"{name} {path} is no folder"):
            config_of(**{name: str(path)})


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "cannot be read as JSON"),
        ("{", "cannot be read as JSON"),
        ("[]", "holds no JSON object"),
    ],
)
def test_a_mixlist_that_is_none_is_refused(text, words, tmp_path):
    path = tmp_path / "list.json"
    if text:
        path.write_text(text)
    with pytest.raises(WorkbookError, match="list.json " + words):
        config_of(mixed_precision=True, mixlist=str(path))


def test_tensorflow_without_ascend_passes_over_the_options(everything):
    image = np.arange(27, dtype=np.float32).reshape(1, 3, 3, 3)
    with tf.Graph().as_default():
        doubled = tf.nn.relu(
            tf.nn.conv2d(image, 2 * np.eye(3, dtype=np.float32).reshape(1, 1, 3, 3), 1, "SAME")
        )
        with tf.Session(config=config_of(**everything)) as session:
            assert (session.run(doubled) == 2 * image).all()


# --- the library


def imports(path):
    with open(path) as file:
        nodes = list(ast.walk(ast.parse(file.read())))
    return {
        name
        for node in nodes
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }


def test_one_file_imports_it(repo):
    files = glob.glob(os.path.join(repo, "deeplab_nb", "**", "*.py"), recursive=True)
    importing = [
        os.path.basename(path)
        for path in files
        if {n.split(".")[0] for n in imports(path)} & {"npu_bridge", "hccl"}
    ]
    assert len(files) > 30 and importing == ["ascend.py"]


def test_where_it_is_absent_a_sentence_says_so(library, tmp_path):
    library(tmp_path)
    if importlib.util.find_spec("npu_bridge"):
        pytest.skip("this machine has npu_bridge")
    assert ascend.problem().startswith("npu_bridge is not installed: source the set_env.sh")
    with tf.Graph().as_default(), pytest.raises(WorkbookError, match="npu_bridge is not installed"):
        ascend.broadcast([tf.Variable(1.0)])


@pytest.mark.parametrize(
    "code, words",
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("npu_bridge_handle", "NameError: name 'npu_bridge_handle' is not defined"),
        ("import os; os.no_such_thing", "AttributeError: module 'os' has no attribute"),
        (
            "import ctypes; ctypes.CDLL('_tf_adapter.so')",
            "OSError: _tf_adapter.so: cannot open shared object file",
        ),
        ("", "No module named 'npu_bridge.npu_init'"),
    ],
)
def test_where_it_does_not_load_a_sentence_says_why(library, tmp_path, code, words):
    (tmp_path / "npu_bridge").mkdir()
    (tmp_path / "npu_bridge" / "__init__.py").write_text(code)
    library(tmp_path)
    sentence = ascend.problem()
    assert (
        sentence.startswith("npu_bridge does not load (")
        and words in sentence
        and "\n" not in sentence
    )
    (tmp_path / "npu_bridge" / "__init__.py").write_text("raise SystemExit")
    assert ascend.problem() == sentence  # it is not tried again


def test_the_stand_in_has_the_adapters_signatures(stand_in, repo):
    assert ascend.problem() is None
    with open(os.path.join(repo, "tests", "figures", "ascend_api.txt")) as file:
        lines = file.read().splitlines()
    found = []
    for line in lines:
        module, name = line.split("(")[0].rsplit(".", 1)
        found.append(
            f"{module}.{name}{inspect.signature(getattr(importlib.import_module(module), name))}"
        )
    assert len(lines) == 6 and found == lines


# --- the optimiser


def wrap(ranks=1, **values):
    settings = settings_module.read(values)
    return ascend.wrapped(objective.optimizer(tf.constant(0.5), settings), settings, ranks)


@pytest.fixture
def rank(monkeypatch, tmp_path):
    """The environment of rank 3 of 8."""
    for name, value in environment(3, 8, tmp_path).items():
        monkeypatch.setenv(name, value)


def test_without_loss_scale_one_card_keeps_its_optimiser(stand_in):
    with tf.Graph().as_default():
        optimizer, manager = wrap()
    assert type(optimizer) is objective.Momentum and manager is None


@pytest.mark.parametrize(
    "kind, manager_class",
    [("fixed", "FixedLossScaleManager"), ("exponential", "ExponentialUpdateLossScaleManager")],
)
def test_the_loss_scale_is_outside_the_average_of_the_ranks(stand_in, rank, kind, manager_class):
    with tf.Graph().as_default(), tf.control_dependencies([tf.no_op()]):
        outer, manager = wrap(8, loss_scale=kind, initial_loss_scale=512)
    assert (type(outer).__name__, type(manager).__name__) == (
        "NPULossScaleOptimizer",
        manager_class,
    )
    assert outer._is_distributed and outer._loss_scale_manager is manager
    assert (
        type(outer._opt).__name__ == "NPUDistributedOptimizer"
        and type(outer._opt._optimizer) is objective.Momentum
    )


def test_one_card_does_not_share_its_overflow_flag(stand_in):
    with tf.Graph().as_default():
        outer, _ = wrap(loss_scale="fixed")
    assert not outer._is_distributed and type(outer._opt) is objective.Momentum


def test_ranks_without_loss_scale_are_averaged_all_the_same(stand_in, rank):
    with tf.Graph().as_default():
        outer, manager = wrap(8)
    assert type(outer).__name__ == "NPUDistributedOptimizer" and manager is None


def test_the_exponential_scale_has_the_published_arguments(stand_in, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        ascend._bridge(),
        "ExponentialUpdateLossScaleManager",
        lambda **arguments: seen.update(arguments),
    )
    with tf.Graph().as_default():
        wrap(loss_scale="exponential", initial_loss_scale=2.0**32, loss_scale_steps=1000)
    assert seen == dict(
        init_loss_scale=2.0**32,
        incr_every_n_steps=1000,
        decr_every_n_nan_or_inf=2,
        incr_ratio=2,
        decr_ratio=0.5,
    )


def steps(calls, slope=1.0, ranks=1, **values):
    """[(global_step, weight, loss scale)] after each call, for a loss of slope * weight."""
    with tf.Graph().as_default(), tf.Session() as session:
        weight = create_variables(
            [Declaration("logits/semantic/weights", [2], Constant(1.0), True)]
        )["logits/semantic/weights"]
        optimizer, manager = wrap(ranks, **values)
        step = tf.train.get_or_create_global_step()
        gradients = optimizer.compute_gradients(
            slope * tf.reduce_sum(weight), [weight], gate_gradients=tf.train.Optimizer.GATE_GRAPH
        )
        train = optimizer.apply_gradients(gradients, global_step=step)
        scale = manager.get_loss_scale() if manager else tf.constant(1.0)
        session.run(tf.global_variables_initializer())
        return [
            (session.run(train), session.run((step, weight[0], scale)))[1] for _ in range(calls)
        ]


@pytest.mark.parametrize("kind", ["fixed", "exponential"])
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_scaled_loss_trains_to_the_same_weights(stand_in, optimizer, kind):
    plain = steps(4, optimizer=optimizer)
    scaled = steps(4, optimizer=optimizer, loss_scale=kind, initial_loss_scale=512)
    assert (
        [s[:2] for s in scaled] == [s[:2] for s in plain]
        and plain[-1][0] == 4
        and plain[-1][1] < plain[0][1] < 1
    )
    assert {s[2] for s in scaled} == {512}


def test_ranks_that_agree_train_as_one_does(stand_in, rank):
    os.environ["RANK_SIZE"] = "1"
    alone = steps(3, loss_scale="fixed")
    os.environ["RANK_SIZE"] = "8"
    assert steps(3, ranks=8, loss_scale="fixed") == alone


def test_a_step_that_overflows_changes_nothing_and_does_not_count(stand_in):
    seen = steps(
        8, loss_scale="exponential", initial_loss_scale=2.0**17, loss_scale_steps=3, momentum=0
    )
    assert [(step, scale) for step, _, scale in seen] == [
        (0, 2**17),
        (0, 2**16),
        (0, 2**16),
        (0, 2**15),
        (1, 2**15),
        (2, 2**15),
        (3, 2**16),
        (3, 2**16),
    ]
    assert [weight for _, weight, _ in seen] == [1, 1, 1, 1, 0.5, 0, -0.5, -0.5]


def test_every_float_variable_is_sent(stand_in):
    with tf.Graph().as_default(), tf.Session() as session:
        floats = [
            tf.Variable(1.5, name="gamma"),
            tf.Variable(2.5, name="moving_mean", trainable=False),
        ]
        step = tf.train.get_or_create_global_step()
        session.run(tf.global_variables_initializer())
        session.run(ascend.broadcast(tf.global_variables()))
        assert session.run(floats + [step]) == [1.5, 2.5, 0]
        assert (
            sum("hcom_broadcast" in op.name for op in tf.get_default_graph().get_operations()) == 2
        )


def test_one_card_gets_what_the_adapter_needs_and_several_keep_what_is_exported(
    library, monkeypatch
):
    library(STAND_IN)
    assert (
        ascend.problem() is None
        and os.environ["JOB_ID"] == "deeplab_nb"
        and os.environ["RANK_ID"] == "0"
    )
    assert "ASCEND_DEVICE_ID" not in os.environ, "it would win over an exported DEVICE_ID"
    for name in ("JOB_ID", "RANK_ID"):
        del os.environ[name]
    forget()
    monkeypatch.setenv("RANK_SIZE", "8")
    assert ascend.problem() is None and "RANK_ID" not in os.environ, (
        "a rank must not take itself for rank 0"
    )


@pytest.mark.parametrize("scale", ["none", "exponential"])
def test_the_loop_trains_on_the_stand_in(stand_in, tmp_path, scale):
    root = make_tiny_voc(tmp_path / "voc", train=5)
    records = write_records(root, "train", str(tmp_path / "records"))
    values = dict(
        TINY, device="npu", mixed_precision=True, loss_scale=scale, log_every=1, train_steps=3
    )
    if scale != "none":
        values["initial_loss_scale"] = 16  # no step of this network overflows at it
    assert devices.find(settings_module.read(values)) == "npu"
    loop.train(settings_module.read(values), records, str(tmp_path / "run"))
    log = read_log(str(tmp_path / "run" / "log.jsonl"))
    assert [entry["step"] for entry in log] == [1, 2, 3]
    assert [entry.get("loss_scale") for entry in log] == [None if scale == "none" else 16] * 3
    with tf.Graph().as_default():
        config = devices.session_config(
            "npu", settings_module.read(values)
        ).graph_options.rewrite_options
    assert not config.disable_meta_optimizer, "NpuOptimizer is one of its optimizers"


@pytest.mark.parametrize("number", [0, 3])
def test_a_rank_of_eight_is_wrapped_and_gets_rank_0s_variables(
    stand_in, monkeypatch, tmp_path, number
):
    for name, value in environment(number, 8, tmp_path).items():
        monkeypatch.setenv(name, value)
    bridge, order, sent = ascend._bridge(), [], []
    distributed, scaled = bridge.NPUDistributedOptimizer, bridge.NPULossScaleOptimizer
    monkeypatch.setattr(
        bridge,
        "NPUDistributedOptimizer",
        lambda inner: order.append("distributed") or distributed(inner),
    )
    monkeypatch.setattr(
        bridge,
        "NPULossScaleOptimizer",
        lambda inner, manager, is_distributed: (
            order.append(is_distributed) or scaled(inner, manager, is_distributed)
        ),
    )
    monkeypatch.setattr(
        bridge,
        "broadcast",
        lambda tensors, root: sent.append(root) or [tf.fill(tensors[0].shape, 0.01)],
    )
    records = write_records(
        make_tiny_voc(tmp_path / "voc", train=5), "train", str(tmp_path / "records")
    )
    values = dict(
        TINY,
        device="npu",
        cards=8,
        loss_scale="fixed",
        fine_tune_batch_norm=False,
        learning_rate=0.0,
        train_steps=1,
    )
    folder = str(tmp_path / "run")
    last = loop.train(settings_module.read(values), records, folder)
    assert order == ["distributed", True] and set(sent) == {0}
    log = read_log(os.path.join(folder, "rank_3" if number else "", "log.jsonl"))
    assert (end_of(log)["rank"], end_of(log)["ranks"]) == (number, 8)
    assert os.path.exists(last + ".index") == (number == 0), "rank 0 alone writes checkpoints"
    if number == 0:
        after = variables(last)
        assert all(
            np.allclose(after[name], 0.01)
            for name in ("MobilenetV2/Conv/weights", "aspp0/BatchNorm/moving_variance")
        )


# --- the environment


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
def test_what_a_rank_gets_is_accepted(ranks, tmp_path):
    for rank in range(ranks):
        assert rank_problem(ranks, environment(rank, ranks, tmp_path)) is None


@pytest.mark.parametrize(
    "ranks, changes, sentence",
    [
        (1, {"RANK_SIZE": "8"}, "RANK_SIZE is 8 but one card trains: export RANK_SIZE=1"),
        (8, {"RANK_SIZE": None}, "RANK_SIZE is 1 but 8 cards train together: export RANK_SIZE=8"),
        (8, {"RANK_SIZE": "4"}, "RANK_SIZE is 4 but 8 cards"),
        (8, {"JOB_ID": None}, "JOB_ID is not set"),
        (8, {"RANK_ID": ""}, "RANK_ID is not set"),
        (8, {"RANK_ID": "8"}, "RANK_ID is 8 but 8 cards train together: it must be 0..7"),
        (8, {"RANK_TABLE_FILE": None}, "RANK_TABLE_FILE is not set"),
        (8, {"RANK_TABLE_FILE": "gone.json"}, "RANK_TABLE_FILE gone.json does not exist"),
        (8, {"ASCEND_DEVICE_ID": None}, "ASCEND_DEVICE_ID is not set"),
    ],
)
def test_an_environment_that_would_train_alone_is_refused(
    stand_in, rank, monkeypatch, ranks, changes, sentence
):
    for name, value in changes.items():
        monkeypatch.setenv(name, value) if value is not None else monkeypatch.delenv(name)
    with tf.Graph().as_default(), pytest.raises(WorkbookError, match=sentence):
        wrap(ranks)


@pytest.mark.parametrize("ranks", [2, 3, 8])
def test_what_a_rank_gets_without_rank_table_is_accepted(ranks):
    for rank in range(ranks):
        assert rank_problem(ranks, by_chief(rank, ranks)) is None


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (
            {"RANK_SIZE": "8", "RANK_ID": "3"},
            "CM_WORKER_SIZE are set and RANK_ID, RANK_SIZE too: unset the former to start by "
            "rank table",
        ),
        ({"RANK_TABLE_FILE": "t.json"}, "are set and RANK_TABLE_FILE too"),
        (
            {"CM_WORKER_SIZE": "4"},
            "CM_WORKER_SIZE is 4 but 8 cards train together: export CM_WORKER_SIZE=8",
        ),
        ({"CM_WORKER_SIZE": ""}, "CM_WORKER_SIZE is 1 but 8 cards train together"),
        ({"CM_CHIEF_PORT": ""}, "CM_CHIEF_PORT is not set"),
        ({"CM_WORKER_IP": ""}, "CM_WORKER_IP is not set"),
        ({"JOB_ID": ""}, "JOB_ID is not set"),
        ({"DEEPLAB_NB_RANK": ""}, "DEEPLAB_NB_RANK is not set"),
        (
            {"DEEPLAB_NB_RANK": "8"},
            "DEEPLAB_NB_RANK is 8 but 8 cards train together: it must be 0..7",
        ),
        ({"ASCEND_DEVICE_ID": ""}, "ASCEND_DEVICE_ID is not set"),
    ],
)
def test_a_start_without_rank_table_that_would_train_alone_is_refused(changes, sentence):
    assert sentence in rank_problem(8, dict(by_chief(3, 8), **changes))


def test_without_a_rank_table_a_rank_is_known_by_the_launchers_word(library, monkeypatch):
    library(STAND_IN)
    for name, value in by_chief(3, 8).items():
        monkeypatch.setenv(name, value)
    assert ascend.problem() is None and not set(TABLE) & set(os.environ), (
        "RANK_SIZE would rule the chief out"
    )
    team = devices.join("npu", settings_module.read({"cards": 8}), None)
    assert (team.rank, team.ranks) == (3, 8)


# --- the dry run


def call(*arguments):
    return CliRunner().invoke(main, ["train"] + list(arguments))


def test_a_dry_run_shows_options_environment_and_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = set(os.listdir(files.RUNS))
    done = call(
        "deeplabv3plus_8p", "--device", "npu", "--dry-run", "--set", "loss_scale=exponential"
    )
    lines = [line.strip() for line in done.output.splitlines()]
    assert done.exit_code == 0 and "npu_bridge" not in sys.modules
    assert (
        "precision_mode = allow_mix_precision (s)" in lines
        and "iterations_per_loop = 1 (i)" in lines
    )
    assert "RANK_SIZE=8" in lines and "RANK_TABLE_FILE=(from --rank-table)" in lines
    assert lines[-3].startswith(
        "NPULossScaleOptimizer, is_distributed=True, "
        "ExponentialUpdateLossScaleManager(init_loss_scale=65536.0"
    )
    assert lines[-2:] == ["NPUDistributedOptimizer", "momentum"]
    assert set(os.listdir(files.RUNS)) == before and os.listdir(str(tmp_path)) == []


@pytest.mark.parametrize("ranks", [1, 8])
@pytest.mark.parametrize("kind", ["none", "fixed", "exponential"])
def test_the_order_shown_is_the_order_built(stand_in, monkeypatch, tmp_path, kind, ranks):
    for name, value in environment(0, ranks, tmp_path).items():
        monkeypatch.setenv(name, value)
    lines = dry_run(settings_module.read({"loss_scale": kind, "cards": ranks}))
    shown = [
        line.strip().split(",")[0]
        for line in lines[lines.index("optimiser, from the outside in") + 1 :]
    ]
    with tf.Graph().as_default():
        built, _ = wrap(ranks, loss_scale=kind)
    names = []
    while type(built) is not objective.Momentum:
        names.append(type(built).__name__)
        built = getattr(built, "_opt", None) or built._optimizer
    assert shown == names + ["momentum"]


@pytest.mark.parametrize("recipe", [r.name for r in recipes.RECIPES])
def test_every_recipe_can_be_shown(recipe):
    done = call(recipe, "--device", "npu", "--dry-run")
    assert done.exit_code == 0 and "use_off_line = True (b)" in done.output


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["--dry-run"], "add --device npu"),
        (["--dry-run", "--device", "gpu"], "add --device npu"),
        (["--dry-run", "--device", "npu", "--set", "device=cpu"], "'device' is given twice"),
        (
            ["--dry-run", "--device", "npu", "--set", "dump_folder=gone"],
            "gone is no folder that can be written to",
        ),
        (
            ["--device", "npu", "--set", "cards=8"],
            "start all with `deeplab-nb launch sample --cards 8`",
        ),
    ],
)
def test_what_cannot_be_shown_or_trained_is_refused(arguments, sentence):
    done = call("sample", *arguments)
    assert done.exit_code == 1 and sentence in done.output and done.output.strip().count("\n") == 0
