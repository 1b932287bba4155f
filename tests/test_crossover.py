"""A checkpoint of either environment is evaluated, resumed and exported in the other alike.

Needs both of them beside each other: `make environment ENVIRONMENT=...` builds the other one.
"""

import json
import os

import numpy as np
import pytest

from deeplab_nb.data.records import write_records
from deeplab_nb.evaluation.export import open_form
from deeplab_nb.network.checkpoints import find_checkpoint
from deeplab_nb.training.log import read_log
from tests.support import crossover
from tests.support.tiny_checkpoint import noise
from tests.support.tiny_training import variables
from tests.support.tiny_voc import make_tiny_voc

FORMS = ("frozen_inference_graph.pb", "frozen_inference_graph_65x65.pb", "saved_model")
each_trained = pytest.mark.parametrize("trained", sorted(crossover.ENVIRONMENTS))


@pytest.fixture(scope="module")
def results(repo, tmp_path_factory):
    """(environment that trained, NAMES...) -> paths of what each environment made of it."""
    if not os.path.exists(os.path.join(repo, crossover.ENVIRONMENTS[crossover.OTHER])):
        other = crossover.OTHER
        pytest.skip(f"the {other} environment is absent: make environment ENVIRONMENT={other}")
    folder = str(tmp_path_factory.mktemp("crossover"))
    root = make_tiny_voc(os.path.join(folder, "voc"), train=5)
    records = write_records(root, "train", os.path.join(folder, "records"))
    crossover.train(folder, records)
    crossover.elsewhere(repo, folder, *records)
    crossover.take_over(folder, records)
    return lambda trained, *names: [
        os.path.join(folder, f"{trained}-then-{then}", *names)
        for then in sorted(crossover.ENVIRONMENTS)
    ]


@each_trained
def test_a_photograph_gets_the_same_probabilities(results, trained):
    one, two = map(np.load, results(trained, "probabilities.npy"))
    assert one.shape == (40, 57, 21) and abs(one - two).max() < 1e-6
    assert np.array_equal(one.argmax(axis=2), two.argmax(axis=2))


@each_trained
def test_a_list_gets_the_same_miou(results, trained):
    found = []
    for path in results(trained, "results.json"):
        with open(path) as file:
            found.append(json.load(file)["miou"])
    assert 0 < found[0] < 1 and found[0] == pytest.approx(found[1], abs=1e-4)


@each_trained
def test_its_training_goes_on_the_same(results, trained):
    """The whole log: the step of the take-over cannot be told from those before."""
    one, two = map(read_log, results(trained, "train", "log.jsonl"))
    assert [entry["step"] for entry in one] == list(range(1, crossover.STEPS + 1))
    for name, rel in (("loss", 1e-5), ("gradient_norm", 1e-5), ("learning_rate", 1e-6)):
        expected = pytest.approx([entry[name] for entry in two], rel=rel)
        assert [entry[name] for entry in one] == expected, name


@each_trained
def test_its_training_ends_with_the_same_weights(results, trained):
    one, two = (variables(find_checkpoint(path)) for path in results(trained, "train"))
    assert one.keys() == two.keys() and one["global_step"] == crossover.STEPS
    for name in one:
        assert np.linalg.norm(one[name] - two[name]) <= 1e-5 * np.linalg.norm(two[name]), name


@pytest.mark.parametrize("form", FORMS + ("model.onnx",))
def test_what_the_other_exports_is_read_here(results, form):
    """Each exports a checkpoint that it did not train, and no earlier than it labels alike."""
    image = noise(65, 65) if "65x65" in form else noise(40, 57)
    for trained in sorted(crossover.ENVIRONMENTS):
        (path,) = filter(os.path.exists, results(trained, "export", form))
        assert open_form(path).run(image).shape == image.shape[:2]
