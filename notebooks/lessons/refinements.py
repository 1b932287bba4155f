"""What each refinement of evaluation brings and costs, as in the papers' tables (1802.02611, Table 3)."""
import collections

from deeplab_nb import settings as settings_module
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.settings import SIX_SCALES

# name and what is set for it; each step keeps what the ones before it set
STEPS = (
    ("output stride 16, one scale", {"eval_output_stride": 16, "eval_scales": (1.0,), "eval_flip": False}),
    ("six scales", {"eval_scales": SIX_SCALES}),
    ("mirrored too", {"eval_flip": True}),
    ("output stride 8", {"eval_output_stride": 8}),
)

# miou: of the list; gain: over the row before, 0 in the first; seconds: an image
Gain = collections.namedtuple("Gain", "name settings miou gain seconds")


def gains(settings, checkpoint, *, ids=None):
    """[`Gain`] of each of STEPS, from one evaluation each; arguments as for `evaluate.evaluate`."""
    rows = []
    for name, values in STEPS:
        settings = settings_module.override(settings, values)
        results = evaluate(settings, checkpoint, ids=ids).results
        rows.append(Gain(name, settings, results["miou"], results["miou"] - rows[-1].miou if rows else 0.0, results["seconds_an_image"]))
    return rows


def table(rows):
    """Plain text: a line a step, with mIoU and gain in percent, seconds an image and their multiple of the first row's."""
    lines = ["{:28s} {:>7s} {:>7s} {:>10s} {:>7s}".format("", "mIoU %", "gain", "s an image", "times")]
    for row in rows:
        lines.append("{:28s} {:7.2f} {:+7.2f} {:10.3f} {:7.1f}".format(
            row.name, 100 * row.miou, 100 * row.gain, row.seconds, row.seconds / rows[0].seconds))
    return "\n".join(lines)
