import functools
import json
import os
import resource
import shutil

import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import checkpoints, deeplab, described
from deeplab_nb.tf1 import tf
from tests.support import golden

SETTINGS = {"depth_multiplier": 0.25, "num_classes": 5}


def network(values):
    """A graph with the network's variables, built once for all tests."""
    return _network(json.dumps(values, sort_keys=True))


@functools.lru_cache(maxsize=None)
def _network(text):
    with tf.Graph().as_default() as graph:
        deeplab.build_logits(
            tf.placeholder(tf.float32, [1, 33, 33, 3]),
            settings=settings_module.read(json.loads(text)),
        )
    return graph


def plan(prefix, graph):
    return checkpoints.plan_restore(
        prefix, checkpoints.read_shapes(prefix), graph.get_collection("variables")
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the checkpoints of steps 9 and 10."""
    folder = str(tmp_path_factory.mktemp("checkpoints"))
    with network(SETTINGS).as_default(), tf.Session() as session:
        tf.set_random_seed(4)
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver()
        for step in (9, 10):
            saver.save(
                session,
                os.path.join(folder, "model.ckpt"),
                global_step=step,
                write_meta_graph=False,
            )
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """{variant: prefix of a checkpoint of it with the published variables}"""
    folder = str(tmp_path_factory.mktemp("published"))
    prefixes = {}
    for variant in ("mobilenet_v2", "xception_65"):
        with network(golden.VARIANTS[variant]).as_default(), tf.Session() as session:
            session.run(tf.global_variables_initializer())
            prefixes[variant] = tf.train.Saver().save(
                session, os.path.join(folder, variant), write_meta_graph=False
            )
    return prefixes


@pytest.mark.parametrize(
    "variant, layers, fresh",
    [
        ("xception_65", "without_last_layers", 72),
        ("xception_65", "without_logits", 2),
        ("xception_65", "all", 0),
        ("mobilenet_v2", "without_last_layers", 17),
        ("mobilenet_v2", "without_logits", 2),
    ],
)
def test_last_layers_are_left_out_as_in_the_original(whole, variant, layers, fresh):
    """The original's counts, with initialize_last_layer=False and "
    "last_layers_contain_logits_only."""
    graph = network(golden.VARIANTS[variant])
    report = checkpoints.plan_restore(
        whole[variant],
        checkpoints.read_shapes(whole[variant]),
        graph.get_collection("variables"),
        layers=layers,
    )
    assert len(report.fresh) == fresh
    assert set(report.fresh.values()) <= {"left out: initial_layers=" + layers}


def test_a_head_that_fits_does_not_make_another_backbone_ours(whole):
    with pytest.raises(WorkbookError, match="has none of this network's variables: check backbone"):
        plan(whole["xception_65"], network(golden.VARIANTS["resnet_v1_50_beta"]))


def test_v3_weights_leave_the_decoder_of_v3_plus_fresh(whole):
    report = plan(whole["mobilenet_v2"], network({"decoder": True}))
    assert len(report.restored) == 272 and {name.split("/")[0] for name in report.fresh} == {
        "decoder"
    }


def test_a_checkpoint_describes_its_network(whole):
    assert described.describe(whole["xception_65"]) == {
        "backbone": "xception_65",
        "depth_multiplier": 1.0,
        "num_classes": 21,
        "aspp": True,
        "decoder": True,
        "separable_head": True,
    }
    assert described.describe(whole["mobilenet_v2"])["aspp"] is False


@pytest.mark.parametrize(
    "name", ["", "model.ckpt-10", "model.ckpt-10.index", "model.ckpt-10.data-00000-of-00001"]
)
def test_a_checkpoint_is_found_by_folder_prefix_or_file(folder, name):
    assert checkpoints.find_checkpoint(os.path.join(folder, name)) == os.path.join(
        folder, "model.ckpt-10"
    )


def test_the_newest_is_the_highest_step_not_the_last_name(folder):
    assert checkpoints.newest_checkpoint(folder).endswith("model.ckpt-10")


def test_an_index_without_its_data_is_no_checkpoint(folder, tmp_path):
    shutil.copy(os.path.join(folder, "model.ckpt-10.index"), str(tmp_path))
    with pytest.raises(WorkbookError, match="holds no checkpoint"):
        checkpoints.find_checkpoint(str(tmp_path))


def test_a_missing_checkpoint_is_refused_in_words(tmp_path):
    with pytest.raises(WorkbookError, match="none/model.ckpt does not exist: give a folder"):
        checkpoints.find_checkpoint(str(tmp_path / "none" / "model.ckpt"))


def test_a_missing_published_checkpoint_names_its_command():
    with pytest.raises(
        WorkbookError,
        match="does not exist: `deeplab-nb fetch weights xception_65_imagenet` brings it to "
        "data/weights, or give",
    ):
        checkpoints.find_checkpoint("elsewhere/xception_65_imagenet/")


def test_restoring_gives_every_variable_its_value(folder):
    saved = tf.train.load_checkpoint(os.path.join(folder, "model.ckpt-10"))
    with network(SETTINGS).as_default(), tf.Session() as session:
        report = checkpoints.restore(session, folder, tf.global_variables(), complete=True)
        found = session.run({variable.op.name: variable for variable in tf.global_variables()})
    assert all(np.array_equal(value, saved.get_tensor(name)) for name, value in found.items())
    assert len(report.restored) == 272 and not report.fresh and not report.unused


def test_another_class_count_leaves_the_class_layer_fresh_and_says_so(folder):
    graph = network(dict(SETTINGS, num_classes=3))
    report = plan(checkpoints.find_checkpoint(folder), graph)
    assert report.fresh == {
        "logits/semantic/weights": "5 classes there, 3 here",
        "logits/semantic/biases": "5 classes there, 3 here",
    }
    assert "5 classes there, 3 here" in str(report)


def test_evaluation_refuses_a_fresh_layer(folder):
    with network(dict(SETTINGS, num_classes=3)).as_default(), tf.Session() as session:
        with pytest.raises(
            WorkbookError,
            match="does not fill 2 of the network's variables.*5 classes there, 3 here",
        ):
            checkpoints.restore(session, folder, tf.global_variables(), complete=True)


def test_another_width_is_refused(folder):
    graph = network(dict(SETTINGS, depth_multiplier=0.35))
    with pytest.raises(
        WorkbookError,
        match="is of another network: .* has shape .*; check backbone and depth_multiplier",
    ):
        plan(checkpoints.find_checkpoint(folder), graph)


def test_a_foreign_checkpoint_is_refused(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("elsewhere", [2])
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "foreign.ckpt"))
    prefix = checkpoints.find_checkpoint(str(tmp_path))
    with pytest.raises(WorkbookError, match="none of this network's variables"):
        plan(prefix, network(SETTINGS))
    with pytest.raises(WorkbookError, match="not of a DeepLab network"):
        described.describe(prefix)
    assert described.outline(prefix)["backbone"] is None


def test_a_damaged_checkpoint_is_named(folder, tmp_path):
    damaged = str(tmp_path / "damaged")
    shutil.copytree(folder, damaged)
    with open(os.path.join(damaged, "model.ckpt-10.index"), "r+b") as file:
        file.truncate(100)
    words = "model.ckpt-10 is not readable .*: compare its files' sizes with their source"
    with pytest.raises(WorkbookError, match=words):
        checkpoints.read_shapes(checkpoints.find_checkpoint(damaged))


def test_damaged_data_is_named(folder, tmp_path):
    damaged = str(tmp_path / "damaged")
    shutil.copytree(folder, damaged)
    with open(os.path.join(damaged, "model.ckpt-10.data-00000-of-00001"), "r+b") as file:
        file.truncate(1000)
    with network(SETTINGS).as_default(), tf.Session() as session:
        with pytest.raises(WorkbookError, match="is not readable"):
            checkpoints.restore(session, damaged, tf.global_variables())


@pytest.mark.parametrize("name", ["ck[1]", "a*b?", "[ab]", "back\\slash", "two words", "Größe"])
def test_no_folders_name_is_taken_for_a_pattern(folder, tmp_path, name):
    ours = str(tmp_path / name)
    shutil.copytree(folder, ours)
    prefix = checkpoints.find_checkpoint(ours)
    assert checkpoints.read_shapes(prefix) == checkpoints.read_shapes(
        checkpoints.find_checkpoint(folder)
    )
    with network(SETTINGS).as_default(), tf.Session() as session:
        report = checkpoints.restore(session, ours, tf.global_variables(), complete=True)
    assert report.checkpoint == os.path.join(ours, "model.ckpt-10")


def test_no_files_name_is_taken_for_a_pattern(folder, tmp_path):
    for path in checkpoints._files(os.path.join(folder, "model.ckpt-10")):
        name = os.path.basename(path).replace("model", "model[1]*")
        shutil.copy(path, str(tmp_path / name))
    shapes = checkpoints.read_shapes(checkpoints.find_checkpoint(str(tmp_path)))
    assert shapes == checkpoints.read_shapes(os.path.join(folder, "model.ckpt-10"))


def test_a_checkpoint_of_the_old_form_is_read(tmp_path):
    with network(SETTINGS).as_default(), tf.Session() as session:
        session.run(tf.global_variables_initializer())
        saver = tf.train.Saver(write_version=tf.train.SaverDef.V1)
        path = saver.save(session, str(tmp_path / "old[1].ckpt"), write_meta_graph=False)
        wanted = session.run(tf.global_variables())
        assert not os.path.exists(path + ".index") and checkpoints.find_checkpoint(path) == path
        session.run(tf.global_variables_initializer())
        report = checkpoints.restore(session, path, tf.global_variables(), complete=True)
        assert len(report.restored) == len(wanted)
        assert all(map(np.array_equal, wanted, session.run(tf.global_variables())))


def test_reading_shapes_leaves_no_memory_behind(folder):
    def held():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    prefix = checkpoints.find_checkpoint(folder)
    checkpoints.read_shapes(prefix)
    before = held()
    for _ in range(200):
        checkpoints.read_shapes(prefix)
    assert held() - before < 4e6, "TensorFlow's own map of shapes would have left 10 MB"


def test_later_checkpoints_are_set_aside_and_none_is_lost(folder, tmp_path):
    ours = str(tmp_path / "run[1]")
    shutil.copytree(folder, ours)
    with pytest.raises(WorkbookError, match="has no checkpoint of step 3: .* give 9, 10"):
        checkpoints.go_back(ours, 3)
    for times in (1, 2):
        aside = checkpoints.go_back(ours, 9)
        assert checkpoints.newest_checkpoint(ours).endswith("model.ckpt-9")
        assert len(os.listdir(aside)) == 2 * times
        for path in checkpoints._files(os.path.join(folder, "model.ckpt-10")):
            shutil.copy(path, ours)


def test_a_checkpoint_describes_its_own_network(folder):
    found = described.describe(checkpoints.find_checkpoint(folder))
    assert found == {
        "backbone": "mobilenet_v2",
        "depth_multiplier": 0.25,
        "num_classes": 5,
        "aspp": False,
        "decoder": False,
        "separable_head": True,
    }


@pytest.mark.parametrize(
    "name, width",
    [("deeplabv3_mobilenetv2_dm05_voc", 0.5), ("deeplabv3_mobilenetv2_voc_dequantised", 1.0)],
)
def test_real_weights_restore_with_nothing_missing(shared, name, width):
    prefix = checkpoints.find_checkpoint(os.path.join(shared, "weights", name))
    found = described.describe(prefix)
    assert found["depth_multiplier"] == width and found["num_classes"] == 21
    with network(found).as_default(), tf.Session() as session:
        report = checkpoints.restore(session, prefix, tf.global_variables(), complete=True)
    assert len(report.restored) == 272 and not report.fresh
