import numpy as np
import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.data import pipeline, voc
from deeplab_nb.data.records import write_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.tf1 import tf
from tests.tiny_voc import make_tiny_voc


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = make_tiny_voc(tmp_path_factory.mktemp("voc"), train=6, size=(33, 49))
    return root, write_records(root, "train", str(tmp_path_factory.mktemp("records")))


def settings(**values):
    return settings_module.read(dict({"train_batch_size": 3, "train_crop_size": 65}, **values))


def batches(paths, count, settings, first_step=0):
    with tf.Graph().as_default(), tf.Session() as session:
        iterator, images, labels = pipeline.training_batches(paths, settings, first_step=first_step)
        static = images.shape.as_list(), labels.shape.as_list()
        session.run(iterator.initializer)
        return static, [session.run([images, labels]) for _ in range(count)]


def test_batches_have_a_static_shape_and_legal_values(records):
    static, made = batches(records[1], 5, settings())
    assert static == ([3, 65, 65, 3], [3, 65, 65])
    for images, labels in made:
        assert images.dtype == np.float32 and labels.dtype == np.int32
        assert images.min() >= 0 and images.max() <= 255
        assert set(np.unique(labels)) <= set(range(21)) | {255}


def test_padding_is_grey_and_void(records):
    _, made = batches(records[1], 2, settings(min_scale=0.5, max_scale=0.5))
    images, labels = made[0]
    grey = (images == 127.5).all(-1)
    assert grey.mean() > 0.5 and (labels[grey] == 255).all()


def test_without_scaling_an_image_comes_through_unchanged(records):
    root, paths = records
    values = settings(min_scale=1, max_scale=1, train_batch_size=6)
    _, made = batches(paths, 1, values)
    with tf.Graph().as_default(), tf.Session() as session:
        originals = []
        for image_id in voc.read_list(root, "train"):
            with open(voc.image_path(root, image_id), "rb") as file:
                originals.append(session.run(tf.image.decode_jpeg(file.read(), 3)).astype(np.float32))
    for image in made[0][0]:
        parts = [image[:33, :49], image[:33, -49:][:, ::-1]]  # as it was, or mirrored with the padding on the left
        assert any(np.array_equal(part, original) for part in parts for original in originals)


def test_image_and_mask_are_cut_and_mirrored_together(tmp_path):
    """A picture whose brightness is its mask stays so through scale, crop and flip."""
    root = make_tiny_voc(tmp_path, train=1, val=1, size=(81, 81))
    mask = np.zeros((81, 81), np.uint8)
    mask[10:50, 20:70] = 1
    voc.write_mask(voc.mask_path(root, "train_000"), mask)
    from PIL import Image
    Image.fromarray(np.repeat(mask[..., None] * 200, 3, 2)).save(voc.image_path(root, "train_000"), quality=100)
    paths = write_records(root, "train", str(tmp_path / "records"))
    _, made = batches(paths, 6, settings(train_batch_size=1, min_scale=1, max_scale=1.5))
    for images, labels in made:
        bright = images[0, ..., 0] > 100
        assert (bright == (labels[0] == 1)).mean() > 0.97


def test_every_scale_of_the_steps_is_drawn_equally():
    with tf.Graph().as_default(), tf.Session() as session:
        drawn = tf.placeholder(tf.float32, [])
        scale = pipeline.random_scale(drawn, settings(min_scale=0.5, max_scale=2, scale_step=0.25))
        scales = [round(float(session.run(scale, {drawn: (i + 0.5) / 70})), 3) for i in range(70)]
    assert scales == sorted(10 * [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2])


def test_a_resumed_run_sees_what_an_uninterrupted_one_sees(records):
    _, whole = batches(records[1], 6, settings())
    _, rest = batches(records[1], 2, settings(), first_step=4)
    for (images, labels), (again, labels_again) in zip(whole[4:], rest):
        assert np.array_equal(images, again) and np.array_equal(labels, labels_again)


def test_another_seed_draws_other_batches(records):
    _, one = batches(records[1], 1, settings(seed=1))
    _, other = batches(records[1], 1, settings(seed=2))
    assert not np.array_equal(one[0][0], other[0][0])


def test_an_augmentation_of_a_later_version_is_refused():
    with pytest.raises(WorkbookError, match="augmentation 'mindspore' is described but not built"):
        pipeline.check_pipeline(settings(augmentation="mindspore"))
