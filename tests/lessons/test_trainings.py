"""Short trainings side by side."""

import numpy as np

from lessons import trainings


def test_three_settings_differ_in_precision_alone():
    float32, float16, scaled = (trainings.settings_of(**p) for p in trainings.THREE.values())
    assert (float32.mixed_precision, float16.mixed_precision, scaled.mixed_precision) == (0, 1, 1)
    assert (float16.loss_scale, scaled.loss_scale) == ("none", "exponential")
    assert {s.train_steps for s in (float32, float16, scaled)} == {trainings.STEPS}


def test_a_training_learns_and_is_validated_in_between(monkeypatch):
    monkeypatch.setattr(trainings, "EVERY", 6)
    settings = trainings.settings_of(train_steps=12, depth_multiplier=0.1, train_crop_size=33)
    points = list(trainings.training(settings))
    assert [point[0] for point in points] == list(range(1, 13))
    assert [step for step, _, miou in points if miou is not None] == [6, 12]
    assert points[-1][1] < points[0][1] and 0 < points[-1][2] < 1


def test_validation_crops_are_always_the_same():
    settings = trainings.settings_of(train_crop_size=33)
    images, masks = trainings.validation_crops(settings)
    assert images.shape == (12, 33, 33, 3) and masks.shape == (12, 33, 33)
    assert np.array_equal(images, trainings.validation_crops(settings)[0])
    assert trainings.score(np.where(masks == 255, 0, masks), masks, settings) == 1


def test_the_table_has_the_last_steps_mean_and_the_last_miou():
    points = [(1, 9.0, None), (2, 2.0, 0.25), (3, 1.0, None)]
    lines = trainings.table({"float32": points}, last=2).splitlines()
    assert lines[0].split() == "training loss, last 2 steps mIoU".split()
    assert lines[1].split() == ["float32", "1.500", "0.250"]
