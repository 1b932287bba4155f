import io

import numpy as np
import pytest
from PIL import Image

from deeplab_nb import settings as settings_module
from deeplab_nb.data import pipeline, voc
from deeplab_nb.data.records import read_ids, write_records
from deeplab_nb.errors import WorkbookError
from deeplab_nb.tf1 import tf
from tests.support.tiny_voc import make_tiny_voc


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = make_tiny_voc(tmp_path_factory.mktemp("voc"), train=6, size=(33, 49))
    return root, write_records(root, "train", str(tmp_path_factory.mktemp("records")))


def settings(**values):
    return settings_module.read(dict({"train_batch_size": 3, "train_crop_size": 65}, **values))


def batches(paths, count, settings, first_step=0):
    with tf.Graph().as_default(), tf.Session() as session:
        iterator, images, labels, _ = pipeline.training_batches(
            paths, settings, first_step=first_step
        )
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
                originals.append(
                    session.run(tf.image.decode_jpeg(file.read(), 3)).astype(np.float32)
                )
    for image in made[0][0]:
        parts = [
            image[:33, :49],
            image[:33, -49:][:, ::-1],
        ]  # as it was, or mirrored with the padding on the left
        assert any(np.array_equal(part, original) for part in parts for original in originals)


def test_image_and_mask_are_cut_and_mirrored_together(tmp_path):
    """A picture whose brightness is its mask stays so through scale, crop and flip."""
    root = make_tiny_voc(tmp_path, train=1, val=1, size=(81, 81))
    mask = np.zeros((81, 81), np.uint8)
    mask[10:50, 20:70] = 1
    voc.write_mask(voc.mask_path(root, "train_000"), mask)
    Image.fromarray(np.repeat(mask[..., None] * 200, 3, 2)).save(
        voc.image_path(root, "train_000"), quality=100
    )
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


def places(paths, count, settings, **more):
    """The places of the images of `count` batches, one row a batch."""
    with tf.Graph().as_default(), tf.Session() as session:
        iterator, _, _, places = pipeline.training_batches(paths, settings, **more)
        session.run(iterator.initializer)
        return np.array([session.run(places) for _ in range(count)])


def test_a_place_leads_to_the_image(records):
    """Without scaling, what the place names is in the batch."""
    root, paths = records
    with tf.Graph().as_default(), tf.Session() as session:
        iterator, images, _, where = pipeline.training_batches(
            paths, settings(min_scale=1, max_scale=1)
        )
        session.run(iterator.initializer)
        made, found = session.run([images, where])
    for image, place in zip(made, found):
        original = voc.read_image(voc.image_path(root, read_ids(paths)[place])).astype(np.float32)
        parts = [image[:33, :49], image[:33, -49:][:, ::-1]]
        assert min(abs(part - original).mean() for part in parts) < 2  # two JPEG decoders


def test_every_epoch_holds_every_image_once(records):
    seen = places(records[1], 4, settings())
    assert sorted(seen[:2].ravel()) == sorted(seen[2:].ravel()) == list(range(6))
    assert not np.array_equal(seen[:2], seen[2:])


def test_ranks_share_the_images_of_an_epoch(records):
    first, second = (
        places(records[1], 6, settings(train_batch_size=1), rank=rank, ranks=2) for rank in range(2)
    )
    for epoch in (slice(0, 3), slice(3, 6)):
        assert not set(first[epoch].ravel()) & set(second[epoch].ravel())
        assert set(first[epoch].ravel()) | set(second[epoch].ravel()) == set(range(6))


def test_ranks_together_see_what_one_process_with_a_larger_batch_sees(records):
    parts = [
        places(records[1], 3, settings(train_batch_size=2), rank=rank, ranks=2, first_step=1)
        for rank in range(2)
    ]
    whole = places(records[1], 3, settings(train_batch_size=4), first_step=1)
    assert np.array_equal(np.stack(parts, axis=2).reshape(3, 4), whole)


@pytest.mark.parametrize(
    "size, rule, resized",
    [
        ((300, 400), (200, 321, 16), (209, 273)),
        ((300, 400), (321, 321, 16), (241, 321)),  # the original's own figures
        ((300, 400), (200, 0, 0), (200, 266)),
        ((300, 400), (150, 160, 0), (120, 160)),
    ],
)
def test_resizing_to_a_range_finds_the_size(size, rule, resized):
    with tf.Graph().as_default(), tf.Session() as session:
        assert tuple(session.run(pipeline.range_size(tf.constant(size), *rule))) == resized


def test_resizing_to_a_range_comes_before_the_crop(records):
    values = settings(min_resize_value=17, min_scale=1, max_scale=1)
    _, made = batches(records[1], 1, values)
    assert ((made[0][0] != 127.5).any(-1).sum((1, 2)) <= 17 * 25).all()  # 33x49 has become 17x25


def test_mindspore_scales_the_crop_and_pads_with_black_background(records):
    values = settings(augmentation="mindspore", train_batch_size=6)
    _, made = batches(records[1], 4, values)
    black = np.concatenate([(images == 0).all(-1) for images, _ in made])
    labels = np.concatenate([labels for _, labels in made])
    assert 0.05 < black.mean() < 0.6 and (labels[black] == 0).all()


def test_mindspore_draws_every_short_side_and_keeps_the_aspect():
    with tf.Graph().as_default(), tf.Session() as session:
        drawn = tf.placeholder(tf.float32, [])
        size = pipeline.random_size(
            tf.constant([375, 500]), drawn, settings(augmentation="mindspore", train_crop_size=513)
        )
        sizes = [session.run(size, {drawn: (i + 0.5) / 771}) for i in range(771)]
    assert [height for height, _ in sizes] == list(range(256, 1027))
    assert all(width == height * 500 // 375 for height, width in sizes)


def test_records_that_cannot_be_trained_on_are_refused_in_words(records, tmp_path):
    empty = str(tmp_path / "empty.tfrecord")
    open(empty, "w").close()
    for paths, sentence in (
        ([], "there are no records in an empty list"),
        ([empty], "there are no records in .*empty.tfrecord"),
        (records[1] + ["gone.tfrecord"], "record file gone.tfrecord does not exist"),
    ):
        with pytest.raises(WorkbookError, match=sentence):
            pipeline.training_batches(paths, settings())


def test_a_mask_of_another_size_stops_with_the_image(tmp_path):
    root = make_tiny_voc(tmp_path, train=2, size=(33, 49))
    path = write_records(root, "train", str(tmp_path / "records"), shards=1)[0]
    example = tf.train.Example.FromString(next(tf.io.tf_record_iterator(path)))
    mask = io.BytesIO()
    Image.fromarray(np.zeros((33, 48), np.uint8)).save(mask, format="PNG")
    example.features.feature["image/segmentation/class/encoded"].bytes_list.value[0] = (
        mask.getvalue()
    )
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(example.SerializeToString())
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="photograph and mask differ in size:.*train_000"
    ):
        batches([path], 1, settings(train_batch_size=1))
