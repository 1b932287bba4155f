"""What a card is given: first values, one graph a step, one compilation.

Also evaluation on it, and the host's work off it.
"""

import numpy as np
import pytest

from deeplab_nb import recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.data.pipeline import batch_of, timed_batches
from deeplab_nb.data.records import write_records
from deeplab_nb.devices import ascend, devices
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate, onnx_runtime
from deeplab_nb.evaluation.export import export
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.network.fast_layers import FastLayers
from deeplab_nb.tf1 import tf
from deeplab_nb.training import loop, objective
from deeplab_nb.training.log import read_log, steps_of
from tests.support import card as cards
from tests.support.ascend_library import environment, library, stand_in  # noqa: F401
from tests.support.tiny_checkpoint import amplified, make_tiny_checkpoint
from tests.support.tiny_training import TINY, records  # noqa: F401
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture
def card(stand_in, monkeypatch):  # noqa: F811
    return cards.install(monkeypatch)


def settings(**values):
    return settings_module.read(dict(TINY, device="npu", **values))


# --- the training step


def test_a_card_trains_from_the_start_in_one_graph_that_is_compiled_once(card, records, tmp_path):  # noqa: F811
    loop.train(settings(train_steps=3, log_every=1), records, str(tmp_path))
    training = [call for call in card.calls if call.trains]
    assert len(training) == 3 and card.compiled(trains=True) == 1
    assert {call.graphs for call in training} == {1}
    log = read_log(str(tmp_path / "log.jsonl"))
    assert [entry["step"] for entry in steps_of(log)] == [1, 2, 3]


@pytest.mark.parametrize("rank", [0, 3])
def test_so_does_a_rank_of_eight_that_goes_on(card, records, monkeypatch, tmp_path, rank):  # noqa: F811
    for name, value in environment(rank, 8, tmp_path).items():
        monkeypatch.setenv(name, value)
    chosen = dict(
        cards=8, loss_scale="exponential", initial_loss_scale=16, fine_tune_batch_norm=False
    )
    for last in (1, 2):
        loop.train(settings(train_steps=last, **chosen), records, str(tmp_path / "run"))
    assert {call.graphs for call in card.calls if call.trains} == {1}
    assert card.compiled(trains=True) <= 2, "once a process"


def test_the_card_of_the_tests_is_as_strict_as_a_card(card, records):  # noqa: F811
    """Each of the faults that were mended fails on it."""
    chosen = settings(train_steps=2)

    def built(layers=None):
        batches = timed_batches(records, chosen)
        if layers:
            devices_layers = devices.layers
            devices.layers = lambda device, settings: layers
        try:
            return batches, loop.training_step(batches.images, batches.labels, chosen, "npu")
        finally:
            if layers:
                devices.layers = devices_layers

    with tf.Graph().as_default(), tf.Session(
        config=devices.session_config("npu", chosen)
    ) as session:
        batches, step = built()
        session.run([tf.global_variables_initializer(), batches.iterator.initializer])
        with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value"):
            session.run(step)
        session.run(tf.global_variables_initializer())
        session.run(step)
        session.run([step, batches.images])
        session.run([step, step.loss + 1])
        assert card.compiled(trains=True) == 2, "another tensor of the card's is another graph"
        with pytest.raises(TypeError, match="double|float64"):
            session.run(batches.came - batches.asked)
    with tf.Graph().as_default(), tf.Session(
        config=devices.session_config("npu", chosen)
    ) as session:
        batches, step = built(FastLayers)
        session.run(tf.global_variables_initializer())
        session.run(batches.iterator.initializer)
        session.run(step)
    assert card.calls[-1].graphs == 2, "the CPU's dropout cuts the step in two"


# every setting that changes a step's operations, in as few networks as can hold them
OPTIONS = [
    {},
    {
        "loss_scale": "exponential",
        "class_weights": [1.0] * 21,
        "learning_rate_policy": "cosine",
        "fine_tune_batch_norm": True,
    },
    {
        "loss_scale": "fixed",
        "top_k_percent_pixels": 0.25,
        "learning_rate_policy": "step",
        "optimizer": "adam",
    },
    {
        "upsample_logits": False,
        "slow_start_step": 5,
        "slow_start_type": "linear",
        "trainable": "head_kernels",
    },
    {
        "loss_stride": 2,
        "fine_tune_batch_norm": False,
        "separable_head": False,
        "aspp": True,
        "decoder": True,
    },
]
TRAINING = [recipe.name for recipe in recipes.RECIPES if recipe.settings.train_steps]


def outside_the_list(chosen, size=65):
    """The operations of a step that a card has not, and those whose types or shapes it refuses."""
    with tf.Graph().as_default() as graph:
        images, labels = (
            tf.placeholder(tf.float32, [2, size, size, 3]),
            tf.placeholder(tf.int32, [2, size, size]),
        )
        step = loop.training_step(images, labels, chosen, "npu")
        given = cards.needed(graph, [t for t in step if t != ()], {images: None, labels: None})
        for op in given:
            cards.check(op)
        return {op.type for op in given} - cards.OPERATIONS, len(given)


@pytest.mark.parametrize("recipe", TRAINING)
def test_every_operation_of_a_recipes_step_is_in_the_cards_list(
    stand_in, monkeypatch, tmp_path, recipe
):  # noqa: F811
    chosen = settings_module.override(
        recipes.get(recipe).settings,
        {"device": "npu", "train_crop_size": 65, "train_batch_size": 2, "loss_scale": "none"},
    )
    for name, value in environment(0, chosen.cards, tmp_path).items():
        monkeypatch.setenv(name, value)
    outside, count = outside_the_list(chosen)
    assert not outside and count > 500


@pytest.mark.parametrize("values", OPTIONS, ids=str)
def test_so_is_every_operation_that_a_setting_brings(stand_in, values):  # noqa: F811
    outside, count = outside_the_list(settings_module.read(dict(TINY, device="npu", **values)))
    assert not outside and count > 500


def test_a_shape_that_changes_at_every_step_is_refused(stand_in, records, tmp_path):  # noqa: F811
    with pytest.raises(WorkbookError, match="hard_example_mining_step changes a shape"):
        loop.train(
            settings(top_k_percent_pixels=0.5, hard_example_mining_step=3), records, str(tmp_path)
        )
    assert not list(tmp_path.iterdir())


def test_the_loss_of_a_card_is_the_same():
    random = np.random.RandomState(0)
    logits = tf.constant(random.normal(0, 5, (2, 9, 9, 5)).astype(np.float32))
    labels = tf.constant(random.choice([0, 1, 2, 3, 4, 255], (2, 17, 17)).astype(np.int32))
    losses = [
        objective.cross_entropy(
            logits, labels, 255, layers=devices.layers(device), class_weights=(1, 2, 3, 4, 5)
        )
        for device in ("cpu", "npu")
    ]
    gradients = [tf.gradients(loss, logits)[0] for loss in losses]
    with tf.Session() as session:
        (ours, cards_own), (slope, cards_slope) = session.run([losses, gradients])
    assert ours == pytest.approx(cards_own, rel=1e-6) and np.allclose(slope, cards_slope, atol=1e-7)


def test_a_cards_dropout_keeps_its_share_and_no_more():
    x = tf.ones([4, 33, 33, 8])
    make = [
        devices.layers("npu")({}, is_training=is_training, seed=3) for is_training in (True, False)
    ]
    kept, still = (layers.dropout(x, "concat_projection_dropout", 0.9) for layers in make)
    with tf.Session() as session:
        first, second = session.run(kept), session.run(kept)
    assert still is x and set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.9)}
    assert 0.89 < (first > 0).mean() < 0.91 and (first != second).any()


# --- evaluation on the card, and work that is the host's


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    return amplified(make_tiny_checkpoint(folder), folder)


def photograph(height=40, width=57):
    return np.random.RandomState(1).randint(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("values", [{}, {"eval_scales": (0.5, 1.0), "eval_flip": True}])
def test_a_card_labels_in_graphs_of_fixed_shapes(card, weights, values):
    chosen = settings_module.read(dict(values, depth_multiplier=0.25))
    with Predictor(settings_module.override(chosen, {"device": "cpu"}), weights) as predictor:
        wanted = predictor.labels(photograph())
    assert not card.calls
    with Predictor(settings_module.override(chosen, {"device": "npu"}), weights) as predictor:
        loading, labels = len(card.calls), [predictor.labels(photograph()) for _ in range(2)]
    calls = card.calls[loading:]
    assert (labels[0] == wanted).mean() > 0.999 and (labels[0] == labels[1]).all()
    scales = len(chosen.eval_scales)
    assert (
        len(calls) == 2 * scales
        and len({call.operations for call in calls}) == scales
        and {call.graphs for call in calls} == {1}
    )


def test_start_weights_reach_the_card_and_quick_validation_is_the_cards(card, tmp_path):
    root, start = make_tiny_voc(tmp_path / "voc", train=4, val=2), make_tiny_checkpoint(tmp_path)
    found = write_records(root, "train", str(tmp_path / "records"))
    chosen = settings(
        train_steps=2,
        validate_every=1,
        validation_images=2,
        data_root=root,
        initial_checkpoint=start,
    )
    loop.train(chosen, found, str(tmp_path / "run"))
    assert card.compiled(trains=True) == 1
    labelling = [
        call for call in card.calls if any(name.endswith("ArgMax") for name in call.operations)
    ]
    assert len(labelling) == 4 and len({call.operations for call in labelling}) == 1, (
        "two pictures of one frame, twice"
    )


def test_a_protocol_of_many_frames_is_none_for_a_card(stand_in, weights, tmp_path):  # noqa: F811
    root = make_tiny_voc(tmp_path / "voc")
    with pytest.raises(
        WorkbookError,
        match="protocol native gives photographs frames of many sizes.* take protocol deeplab",
    ):
        evaluate.evaluate(settings(eval_protocol="native", data_root=root), weights)


def test_whoever_asks_for_the_cpu_gets_it_beside_npu_bridge(card, weights, monkeypatch):
    monkeypatch.setattr(onnx_runtime.Conversion, "kept", lambda _: None)
    monkeypatch.setattr(onnx_runtime, "_convert", lambda *_: (None, "now"))
    chosen = settings_module.read({"depth_multiplier": 0.25})
    with Predictor(chosen, weights, engine="onnxruntime") as predictor:
        assert predictor.engine == "onnxruntime" and not card.calls
    with Predictor(chosen, weights, engine="auto", images=500) as predictor:
        assert predictor.engine == "tensorflow" and card.calls, (
            "auto is the card where there is one"
        )
    with pytest.raises(
        WorkbookError, match="engine onnxruntime computes on the CPU and device is npu"
    ):
        Predictor(
            settings_module.override(chosen, {"device": "npu"}), weights, engine="onnxruntime"
        )


def test_the_hosts_work_stays_off_the_card(stand_in, monkeypatch, weights, records, tmp_path):  # noqa: F811
    """Where importing the adapter makes every session the card's, the host's own decline.

    Those are the sessions of records, previews and exports.
    """
    assert ascend.problem() is None
    card = cards.install(monkeypatch, decorates=True)
    chosen = settings_module.read(dict(TINY, device="cpu"))
    images, _ = batch_of(records, chosen, 1)
    loop.train(chosen, records, str(tmp_path / "run"))
    with Predictor(chosen, weights) as predictor:
        predictor.labels(photograph())
    export(
        chosen,
        weights,
        str(tmp_path / "export"),
        images=[photograph()],
        formats=("frozen", "saved_model"),
        size=65,
    )
    assert images.shape == (2, 33, 33, 3) and not card.calls
    tf.Session(graph=tf.Graph()).close()
    with tf.Graph().as_default(), tf.Session() as session:
        session.run(tf.constant(1.0))
    assert len(card.calls) == 1, "a session that says nothing would be the card's"
    assert voc.CLASSES
