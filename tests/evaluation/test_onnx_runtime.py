"""ONNX Runtime: the same labels, kept conversions that serve nothing else, TensorFlow otherwise."""

import os
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate as evaluation, onnx_runtime
from deeplab_nb.evaluation.predict import Predictor
from tests.support.tiny_checkpoint import SMALLEST, noise, save_random


def conversions(folder):
    return sorted(name for name in os.listdir(str(folder)) if name.endswith(".onnx"))


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """Folder with a checkpoint and its conversion, made by the engine itself."""
    folder = tmp_path_factory.mktemp("weights")
    with Predictor(
        SMALLEST, save_random(folder, seed=3, settings=SMALLEST), engine="onnxruntime"
    ) as predictor:
        assert predictor.engine == "onnxruntime"
    assert len(conversions(folder)) == 1
    return folder


def test_a_conversion_pads_within_its_convolutions(converted):
    nodes = onnx.load(str(converted / conversions(converted)[0])).graph.node
    kinds = {node.op_type for node in nodes}
    assert "Conv" in kinds and "Pad" not in kinds
    assert any(
        list(one.ints) == [2, 2, 2, 2]
        for node in nodes
        for one in node.attribute
        if one.name == "pads"
    )


@pytest.fixture
def copied(converted, tmp_path):
    return shutil.copytree(str(converted), str(tmp_path / "copied"))


def conversion(settings, folder):
    prefix = os.path.join(str(folder), "model.ckpt")
    return onnx_runtime.Conversion(settings.for_evaluation(), prefix)


def name_of(settings, folder, model=b"model"):
    kept = conversion(settings, folder)
    return os.path.basename(kept.path(model, kept.key()))


def test_both_engines_give_the_same_labels_at_any_size(converted, capsys):
    with Predictor(SMALLEST, str(converted)) as slow, Predictor(
        SMALLEST, str(converted), engine="auto"
    ) as fast:
        assert (slow.engine, fast.engine) == ("tensorflow", "onnxruntime")
        for size in ((40, 71), (90, 33)):
            assert (slow.labels(noise(*size)) == fast.labels(noise(*size))).mean() > 0.999
    assert capsys.readouterr().out == "engine: ONNX Runtime, converted before\n"


def test_both_engines_give_the_same_probabilities_over_scales_and_flip(converted):
    """The conversion that was made for one scale serves all, and a batch."""
    settings = settings_module.override(SMALLEST, {"eval_scales": (0.5, 1.25), "eval_flip": True})
    images = np.stack([noise(40, 57), noise(40, 57)[::-1]])
    with Predictor(settings, str(converted)) as slow, Predictor(
        settings, str(converted), engine="auto"
    ) as fast:
        assert fast.engine == "onnxruntime"
        assert fast.probabilities(images) == pytest.approx(slow.probabilities(images), abs=1e-4)


def test_many_images_at_once(converted):
    model = onnx_runtime.open_onnx(conversion(SMALLEST, converted).kept())
    frames = np.stack([noise(48, 65), noise(48, 65)[::-1]]).astype(np.float32)
    both = onnx_runtime._run(model, frames)
    assert both.shape == (2, 6, 9, 5) and both.dtype == np.float32
    assert np.allclose(
        both[1], onnx_runtime._run(model, frames[1:])[0], atol=1e-4 * np.abs(both).max()
    )


@pytest.mark.slow
def test_atrous_branches_decoder_and_symmetric_padding_are_converted(tmp_path):
    """What MobileNetV2 lacks."""
    settings = settings_module.override(
        SMALLEST,
        {"backbone": "resnet_v1_50_beta", "aspp": True, "decoder": True, "depth_multiplier": 1.0},
    )
    with Predictor(
        settings, save_random(tmp_path, seed=3, settings=settings), engine="onnxruntime"
    ) as predictor:
        assert predictor.engine == "onnxruntime"  # the new conversion gave TensorFlow's logits


def test_a_name_serves_one_network_and_one_checkpoint(converted, copied):
    name = name_of(SMALLEST, converted)
    assert (
        name.startswith("model.ckpt.engine-mobilenet_v2-os8-") and name_of(SMALLEST, copied) == name
    )
    others = [
        {"eval_output_stride": 16},
        {"num_classes": 6},
        {"aspp": True},
        {"decoder": True},
        {"separable_head": False},
    ]
    assert name_of(SMALLEST, copied, b"other") != name
    assert (
        len(
            {name}
            | {name_of(settings_module.override(SMALLEST, values), converted) for values in others}
        )
        == 6
    )
    with open(os.path.join(copied, "model.ckpt.data-00000-of-00001"), "r+b") as file:
        file.write(b"other")
    assert name_of(SMALLEST, copied) != name


def test_another_checkpoint_never_meets_the_old_conversion(copied, tmp_path):
    """Neither where a running predictor gets it nor where it takes the old one's place and name."""
    other = save_random(tmp_path, seed=4, settings=SMALLEST)
    with Predictor(SMALLEST, other) as slow, Predictor(SMALLEST, copied, engine="auto") as fast:
        assert fast.engine == "onnxruntime"
        fast.load(other)
        assert fast.engine == "tensorflow" and np.array_equal(
            fast.labels(noise(65, 65)), slow.labels(noise(65, 65))
        )
        fast.load(copied)
        assert (
            fast.engine == "onnxruntime"
            and (fast.labels(noise(65, 65)) != slow.labels(noise(65, 65))).any()
        )
    shutil.copy(other + ".data-00000-of-00001", copied)
    assert conversion(SMALLEST, copied).kept() is None


def test_a_damaged_conversion_is_not_used(copied, capsys):
    path = os.path.join(copied, conversions(copied)[0])
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        file.write(b"damaged")
    assert conversion(SMALLEST, copied).kept() is None
    with Predictor(SMALLEST, copied, engine="auto", images=3) as predictor:
        assert predictor.engine == "tensorflow"
    assert "converts the network once, which pays from 100 images" in capsys.readouterr().out


def test_outdated_conversions_go_when_a_new_one_is_kept(copied):
    kept = conversions(copied)[0]
    with open(os.path.join(copied, kept), "rb") as file:
        model = file.read()
    earlier = "model.ckpt.engine-mobilenet_v2-os8-{}.onnx".format(16 * "a")
    orphan, foreign = earlier.replace("ckpt", "ckpt-7"), "mine.onnx"
    for name in (earlier, orphan, foreign):
        open(os.path.join(copied, name), "w").close()
    found = conversion(SMALLEST, copied)
    found.keep(model, found.key())
    assert conversions(copied) == sorted([kept, foreign])


def test_in_a_folder_that_takes_no_files_nothing_is_kept(copied, monkeypatch, capsys):
    """A file in the folder's place stands for a read-only one, to which a root user may write."""
    os.remove(os.path.join(copied, conversions(copied)[0]))
    no_folder = os.path.join(copied, "model.ckpt.index")
    monkeypatch.setattr(
        onnx_runtime.Conversion, "path", lambda *_: os.path.join(no_folder, "model.onnx")
    )
    with Predictor(SMALLEST, copied, engine="onnxruntime") as predictor:
        assert predictor.engine == "onnxruntime"
    assert "not kept, because the checkpoint's folder takes no files" in capsys.readouterr().out
    assert conversions(copied) == [] and conversion(SMALLEST, copied).kept() is None


def test_no_checkpoint_is_hashed_where_nothing_is_kept_and_tensorflow_is_taken(
    copied, monkeypatch, capsys
):
    os.remove(os.path.join(copied, conversions(copied)[0]))
    monkeypatch.setattr(onnx_runtime, "digest", None)
    with Predictor(SMALLEST, copied, engine="auto", images=99) as predictor:
        assert predictor.engine == "tensorflow"
    assert "which pays from 100 images" in capsys.readouterr().out


@pytest.mark.parametrize("package", ["onnxruntime", "tf2onnx"])
def test_without_a_package_tensorflow_is_taken(converted, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    with Predictor(SMALLEST, str(converted), engine="onnxruntime") as predictor:
        assert predictor.engine == "tensorflow" and predictor.labels(noise(33, 33)).shape == (
            33,
            33,
        )
    said = capsys.readouterr().out
    assert (
        said.startswith("engine: TensorFlow, because ONNX needs the package " + package)
        and said.count("\n") == 1
    )


@pytest.mark.parametrize("package", ["tf2onnx", "tf2onnx.convert"])
def test_importing_the_converter_leaves_the_log_level_of_later_processes(package):
    said = subprocess.check_output(
        [
            sys.executable,
            "-c",
            "import os; from deeplab_nb.evaluation import onnx_runtime; "
            f"onnx_runtime.import_package('{package}'); print(os.environ['TF_CPP_MIN_LOG_LEVEL'])",
        ]
    )
    assert said == b"2\n"


def test_a_conversion_with_other_logits_is_refused():
    def reference(frames):
        return frames[:, ::8, ::8]

    onnx_runtime._compare(reference, reference)
    for wrong in (
        lambda frames: 1.001 * reference(frames),
        lambda frames: reference(frames) * np.nan,
        lambda frames: frames,
    ):
        with pytest.raises(WorkbookError, match="other logits than TensorFlow"):
            onnx_runtime._compare(wrong, reference)


def test_an_unknown_engine_is_refused(converted):
    with pytest.raises(
        WorkbookError, match="engine 'tensorrt' is unknown: there are auto, tensorflow, onnxruntime"
    ):
        Predictor(SMALLEST, str(converted), engine="tensorrt")


@pytest.mark.slow
def test_real_weights_score_the_same(shared, tmp_path):
    root = os.path.join(shared, "data", "VOCdevkit", "VOC2012")
    weights = shutil.copytree(
        os.path.join(shared, "weights", "deeplabv3_mobilenetv2_dm05_voc"), str(tmp_path / "weights")
    )
    settings = settings_module.read({"depth_multiplier": 0.5, "data_root": root})
    ids = voc.read_list(root, "val")[:6]
    slow, fast = (
        evaluation.evaluate(settings, weights, ids=ids, engine=name).results
        for name in ("tensorflow", "onnxruntime")
    )
    assert (slow["engine"], fast["engine"]) == ("tensorflow", "onnxruntime")
    assert fast["miou"] == pytest.approx(slow["miou"], abs=1e-4)
