"""What both environments do with a checkpoint that either of them trained; also as a process.

python -m tests.support.crossover FOLDER RECORDS...
"""

import json
import os
import shutil
import subprocess
import sys

import numpy as np

from deeplab_nb import settings as settings_module
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.evaluation.export import export
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.training import loop
from tests.support.checkout import OWN
from tests.support.tiny_checkpoint import noise
from tests.support.tiny_training import TINY

HALF, STEPS = 5, 10
ENVIRONMENTS = {"reference": ".venv", "current": ".venv-current"}
(OTHER,) = set(ENVIRONMENTS) - {OWN}


def settings(**values):
    """Stored statistics, as those of two images magnify a rounding a thousand times in a step."""
    own = dict(TINY, fine_tune_batch_norm=False, train_steps=STEPS, log_every=1, save_every=HALF)
    return settings_module.read(dict(own, **values))


def train(folder, records):
    """The first half of a training, in FOLDER/environment."""
    loop.train(settings(train_steps=HALF), records, os.path.join(folder, OWN))


def take_over(folder, records):
    """Goes on, evaluates and exports from each environment's half of a training, if it is there.

    All that comes out lies in FOLDER/first-then-second.
    """
    for first in sorted(ENVIRONMENTS):
        begun, out = os.path.join(folder, first), os.path.join(folder, f"{first}-then-{OWN}")
        if not os.path.isdir(begun) or os.path.isdir(out):
            continue
        shutil.copytree(begun, os.path.join(out, "train"))
        loop.train(settings(), records, os.path.join(out, "train"))
        labelling = settings(data_root=os.path.join(folder, "voc"))
        with Predictor(labelling, begun) as predictor:
            np.save(os.path.join(out, "probabilities.npy"), predictor.probabilities(noise(40, 57)))
        results = evaluate(labelling, begun).results
        with open(os.path.join(out, "results.json"), "w") as file:
            json.dump({"miou": results["miou"]}, file)
        if first != OWN:  # own ones are tests/evaluation/test_export.py's
            where = os.path.join(out, "export")
            export(labelling, begun, where, images=[noise(40, 57)], size=65)


def elsewhere(repo, *arguments):
    """The same by the other environment, in a process."""
    python = os.path.join(repo, ENVIRONMENTS[OTHER], "bin", "python")
    done = subprocess.run(
        [python, "-m", "tests.support.crossover", *arguments],
        cwd=repo,
        env=dict(os.environ, PYTHONPATH=repo),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


if __name__ == "__main__":
    train(sys.argv[1], sys.argv[2:])
    take_over(sys.argv[1], sys.argv[2:])
