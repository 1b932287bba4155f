"""Published checkpoints: fetched, checked for what they should hold, refused in words.

A local server plays the host.
"""

import hashlib
import os

import pytest
from click.testing import CliRunner

from deeplab_nb import cli, recipes
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import zoo
from deeplab_nb.network.weights import contents, fetch_weights
from deeplab_nb.tf1 import tf
from tests.support.archives import packed, packed_file
from tests.support.file_server import server  # noqa: F401

HALF_WIDTH, WITH_DIGEST = "mobilenetv2_dm05_coco_voc_trainaug", "mobilenetv2_coco_voc_trainaug"
FILE = zoo.get(HALF_WIDTH).file
MOBILENET = {
    "MobilenetV2/expanded_conv_16/project/weights": [1, 1, 2, 160],
    "logits/semantic/weights": [1, 1, 256, 21],
}
XCEPTION = {"xception_65/entry_flow/conv1_1/weights": [3, 3, 3, 32]}


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "data" / "weights")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The bytes of two archives with checkpoints of a few variables."""
    return {
        name: packed(save(shapes, str(tmp_path_factory.mktemp("saved"))))
        for name, shapes in [("mobilenet", MOBILENET), ("xception", XCEPTION)]
    }


def save(shapes, folder):
    with tf.Graph().as_default(), tf.Session() as session:
        for name, shape in shapes.items():
            tf.get_variable(name, shape)
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(
            session, os.path.join(folder, "model.ckpt-30000"), write_meta_graph=False
        )
    return folder


def refusal(name, folder, **given):
    with pytest.raises(WorkbookError) as caught:
        fetch_weights(name, folder, **given)
    return str(caught.value)


def test_fetched_once_whatever_the_archive_calls_its_folder(server, archives, folder):
    server.content = archives["mobilenet"]
    prefix = fetch_weights(HALF_WIDTH, folder, base=server.base)
    assert prefix == os.path.join(folder, HALF_WIDTH, "model.ckpt-30000")
    assert sorted(os.listdir(folder)) == sorted([HALF_WIDTH, FILE, FILE + ".sha256"])
    assert fetch_weights(
        HALF_WIDTH, folder, base="http://127.0.0.1:9/"
    ) == prefix and server.asked == ["HEAD", "GET"]
    assert contents(prefix) == "mobilenet_v2 of width 0.5, 21 classes"


@pytest.mark.parametrize("inside", ["", "top"])
def test_a_backbone_without_classes_is_what_some_should_be(server, tmp_path, folder, inside):
    server.content = packed(save(XCEPTION, str(tmp_path)), inside)
    assert (
        contents(fetch_weights("xception_65_imagenet", folder, base=server.base))
        == "xception_65, backbone only"
    )


def test_a_checkpoint_put_by_hand_needs_no_network(folder):
    os.makedirs(os.path.join(folder, HALF_WIDTH))
    save(XCEPTION, os.path.join(folder, HALF_WIDTH))
    assert fetch_weights(HALF_WIDTH, folder).endswith("model.ckpt-30000")


def test_a_broken_transfer_resumes(server, tmp_path, folder):
    large = dict(MOBILENET, more=[100, 1000])  # some pieces of a transfer, not one
    server.content, server.cut_after = packed(save(large, str(tmp_path))), 200000
    assert "run again to go on at" in refusal(HALF_WIDTH, folder, base=server.base)
    assert os.listdir(folder) == [FILE + ".part"]
    server.cut_after = None
    assert os.path.exists(fetch_weights(HALF_WIDTH, folder, base=server.base) + ".index")
    assert len(server.ranges) == 1 and sorted(os.listdir(folder)) == sorted(
        [HALF_WIDTH, FILE, FILE + ".sha256"]
    )


def test_a_wrong_digest_is_refused(server, archives, folder):
    server.content = archives["mobilenet"]
    said = refusal(WITH_DIGEST, folder, base=server.base)
    assert (
        f"has digest sha384:{hashlib.sha384(server.content).hexdigest()}, not sha384:d3f2b27b"
        in said
    )
    assert os.listdir(folder) == []


def test_the_digest_of_the_first_download_is_checked_when_it_is_unpacked_again(
    server, archives, folder
):
    server.content = archives["mobilenet"]
    fetch_weights(HALF_WIDTH, folder, base=server.base)
    os.rename(os.path.join(folder, HALF_WIDTH), os.path.join(folder, "aside"))
    fetch_weights(HALF_WIDTH, folder)
    os.rename(os.path.join(folder, HALF_WIDTH), os.path.join(folder, "aside too"))
    with open(os.path.join(folder, FILE), "ab") as file:
        file.write(b"changed")
    assert refusal(HALF_WIDTH, folder).endswith("replace the file")


def test_without_a_network_one_sentence_says_what_to_put_where(folder):
    assert refusal(HALF_WIDTH, folder, base="http://127.0.0.1:9/") == (  # nothing listens there
        f"{HALF_WIDTH} did not come from http://127.0.0.1:9/{FILE} (the connection failed or "
        "broke off): run again to go on at 0.0 MB, "
        f"or put the file at {os.path.join(folder, FILE)} by hand (digest not known)"
    )


@pytest.mark.parametrize(
    "content, sentence",
    [
        (
            packed_file("../evil"),
            "holds ../evil, which leads out of its folder: do not use this archive",
        ),
        (
            packed_file("top/frozen_inference_graph.pb"),
            "holds no checkpoint: move it away and fetch it again",
        ),
        (b"<html>please log in</html>", "is damaged"),
    ],
    ids=["a path that climbs out", "no checkpoint", "a page"],
)
def test_what_is_no_archive_of_a_checkpoint_is_refused(server, folder, content, sentence):
    server.content = content
    said = refusal(HALF_WIDTH, folder, base=server.base)
    assert sentence in said and os.path.join(folder, FILE) in said
    assert os.listdir(folder) == [FILE]


def test_another_network_is_refused_and_its_digest_forgotten(server, archives, folder):
    server.content = archives["xception"]
    path = os.path.join(folder, FILE)
    assert refusal(HALF_WIDTH, folder, base=server.base) == (
        f"archive {path} does not hold {HALF_WIDTH}: its backbone is xception_65, not "
        "mobilenet_v2; "
        "move it away and fetch it again"
    )
    os.remove(path)
    server.content = archives["mobilenet"]
    assert fetch_weights(HALF_WIDTH, folder, base=server.base).startswith(
        os.path.join(folder, HALF_WIDTH)
    )


def test_an_unknown_name_gets_the_nearest(folder):
    assert (
        "unknown weights 'xception_65_coco', did you mean 'xception_65_imagenet_coco'?; there are"
        in refusal("xception_65_coco", folder)
    )


def test_the_command_says_what_came(archives, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("deeplab_nb.cli.data.DATA", str(tmp_path / "data"))
    os.makedirs(folder)
    with open(os.path.join(folder, FILE), "wb") as file:
        file.write(archives["mobilenet"])
    said = (
        CliRunner()
        .invoke(cli.main, ["fetch", "weights", HALF_WIDTH], catch_exceptions=False)
        .output
    )
    assert os.path.join(folder, HALF_WIDTH, "model.ckpt-30000") in said
    assert (
        "holds     mobilenet_v2 of width 0.5, 21 classes" in said
        and "expected  mIoU 70.19 %" in said
    )
    assert (
        "archive   {}, sha256:{}".format(FILE, hashlib.sha256(archives["mobilenet"]).hexdigest())
        in said
    )


def test_recipes_start_where_the_fetch_puts_what_they_need():
    starts = [recipe.settings for recipe in recipes.RECIPES if recipe.settings.initial_checkpoint]
    fetched = [s for s in starts if os.path.basename(s.initial_checkpoint) in zoo.NAMES]
    assert len(fetched) == 8
    for settings in fetched:
        holds = zoo.get(os.path.basename(settings.initial_checkpoint)).holds
        assert os.path.dirname(settings.initial_checkpoint) == "data/weights"
        assert all(getattr(settings, name) == value for name, value in holds.items())
