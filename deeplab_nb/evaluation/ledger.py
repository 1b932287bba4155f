"""Paper versus here: a number beside published ones, with every condition that must agree.

Two numbers are compared only if all their conditions are known and agree; otherwise the table marks
those that are not.
"""

import collections
import glob
import os

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.metrics import in_percent
from deeplab_nb.network import zoo
from deeplab_nb.network.checkpoints import step_of
from deeplab_nb.network.described import trained_with
from deeplab_nb.settings import SIX_SCALES

TRAINING = ("data", "init", "batch", "batch_norm", "steps", "crop")
EVALUATION = ("list", "images", "output_stride", "scales", "flip", "protocol")
CONDITIONS = ("network", *TRAINING, *EVALUATION)

_TITLES = dict(zip(CONDITIONS, CONDITIONS), batch_norm="norm", output_stride="stride")  # of columns
_IMAGES = dict(voc.LIST_SIZES, test=1456)


# --- what a checkpoint's number must be read with, beside how it was evaluated


def origin(settings, prefix):
    """{"network", "weights", "trained"}: the network in words, the published checkpoint, training.

    weights is None for any checkpoint that is no published one, trained where the settings of its
    training do not lie beside it.
    """
    weights, trained = zoo.name_of(prefix), _training_beside(prefix)
    return {"network": network_name(settings), "weights": weights, "trained": trained}


def network_name(settings):
    """Such as 'mobilenet_v2 0.5' or 'xception_65 aspp decoder'; equal for equal networks."""
    full = (settings.aspp or settings.decoder) and not settings.separable_head
    several = settings.multi_grid != (1, 1, 1)
    words = (
        settings.backbone,
        settings.depth_multiplier != 1 and f"{settings.depth_multiplier:g}",
        settings.aspp and "aspp",
        settings.decoder and "decoder",
        full and "with full convolutions",
        several and "multi-grid " + ",".join(map(str, settings.multi_grid)),
    )
    return " ".join(filter(None, words))


def training(settings, steps, images):
    """How a checkpoint of so many steps was trained, as a ledger compares it.

    images: of the training list; None is unknown.
    """
    start = settings.initial_checkpoint
    return {
        "data": settings.train_list + (f", {images:,} images" if images else ""),
        "init": os.path.basename(os.path.normpath(start)) if start else "random",
        "batch": settings.global_batch_size,
        "batch_norm": "trained" if settings.fine_tune_batch_norm else "frozen",
        "steps": steps,
        "crop": settings.train_crop_size,
    }


def _training_beside(prefix):
    settings = trained_with(prefix)
    if settings is None:
        return None
    try:
        images = len(voc.read_list(voc.check_root(settings.data_root), settings.train_list))
    except WorkbookError:  # the data are elsewhere
        images = None
    return training(settings, step_of(prefix), images)


# --- the published numbers

# number: mIoU in percent; weights: name of the published checkpoint that has it, or None;
# conditions: {name: value}, None for what the source does not tell
Row = collections.namedtuple("Row", "name number source weights conditions")

_EVALUATED = {
    "list": "val",
    "output_stride": 16,
    "scales": (1.0,),
    "flip": False,
    "protocol": "deeplab",
}
_REFINED = {"output_stride": 8, "scales": SIX_SCALES, "flip": True}


def _row(name, number, source, conditions, *, weights=None, **evaluated):
    """A `Row` whose evaluation is that of the papers but for what is given."""
    told = {**_EVALUATED, **conditions, **evaluated}
    told["images"] = _IMAGES[told["list"]]
    return Row(name, number, source, weights, {name: told.get(name) for name in CONDITIONS})


def _zoo(row, number):
    """Of a published checkpoint: whoever has it has all of its training, told or not."""
    network, data = network_name(settings_module.read(row.holds)), row.name.split("_")[-1]
    told = {"network": network, "data": data, "init": "ImageNet, COCO"}
    evaluated = {name: getattr(number, name) for name in ("list", *_REFINED)}
    source = "TensorFlow DeepLab model zoo"
    return _row(number.name, number.miou, source, told, weights=row.name, **evaluated)


_XCEPTION = {"network": "xception_65 aspp decoder"}
_AUGMENTED = {"data": "trainaug, 10,582 images", "batch_norm": "trained", "crop": 513}
_TRAINVAL = {"data": "trainval, 2,913 images", "init": "xception_65_imagenet_coco"}
_PAPER = {**_XCEPTION, **_AUGMENTED, "steps": 30000}
_MINDSPORE = recipes.get("deeplabv3_mindspore_1p").settings  # those published

# the third's README: 200,000 steps, the best checkpoint; batch 7 and 16 are both named
PUBLISHED = tuple(_zoo(row, number) for row in zoo.PUBLISHED for number in row.numbers) + (
    _row("DeepLabv3+ Xception-65", 79.79, "1802.02611, Table 5, separable convolutions", _PAPER),
    _row("DeepLabv3+ Xception-65 refined", 81.39, "the same", _PAPER, **_REFINED),
    _row(
        "DeepLabv3+ Ascend 910 test",
        87.72,
        "Huawei model zoo, DeepLabv3+ for TensorFlow 1.15",
        {**_XCEPTION, **_TRAINVAL, "steps": 200000},
        list="test",
        **_REFINED,
    ),
    _row(
        "DeepLabv3 MindSpore 2020",
        65.05,
        "its README",
        training(_MINDSPORE, _MINDSPORE.train_steps, _IMAGES[_MINDSPORE.train_list]),
        network=network_name(_MINDSPORE),
        scales=SIX_SCALES,
        protocol="mindspore",
    ),
    _row(
        "DeepLabv3 MindSpore 2021",
        77.37,
        "its README, eight Ascend 910; another stem than resnet_v1_101_beta's",
        {
            **_AUGMENTED,
            "network": "resnet_v1_101 aspp with full convolutions multi-grid 1,2,4",
            "init": "ImageNet",
            "batch": 256,
            "steps": 12300,
        },
        protocol="long side 513, padded",
    ),
)


# --- comparing

# whether a condition agrees, None where one side does not tell; and both values
Mark = collections.namedtuple("Mark", "agrees here there")


def compare(results):
    """[(Row, {condition: Mark})], the row with the most conditions in common first."""
    told = {**results, **(results.get("trained") or {})}
    here = {name: told.get(name) for name in CONDITIONS}
    here["scales"] = here["scales"] and tuple(here["scales"])
    here["protocol"] = here["protocol"].split(":")[0]
    rows = [(row, _marks(row, here, results.get("weights"))) for row in PUBLISHED]
    return sorted(rows, key=lambda pair: -agreeing(pair[1]))


def _marks(row, here, weights):
    marks = {}
    for name, there in row.conditions.items():
        untold = here[name] is None or there is None
        marks[name] = Mark(None if untold else here[name] == there, here[name], there)
    if weights is not None and weights == row.weights:
        marks.update(dict.fromkeys(TRAINING, Mark(True, "these weights", "these weights")))
    return marks


def agreeing(marks):
    """How many conditions agree."""
    return sum(mark.agrees is True for mark in marks.values())


def difference(results, row, marks):
    """Percent points from the published number to this one; None unless every condition agrees."""
    if agreeing(marks) < len(CONDITIONS) or results["miou"] is None:
        return None
    return 100 * results["miou"] - row.number


def apart(marks):
    """What keeps two numbers apart, in words."""
    differing = []
    for name, (agrees, *values) in marks.items():
        if not agrees:
            here, there = ("not told" if value is None else value for value in values)
            differing.append(f"{name.replace('_', ' ')} {here} here, {there} there")
    return "; ".join(differing) or "every condition agrees"


# --- in words

_SYMBOLS = {True: "✓", False: "✗", None: "?"}


def table(results, name="this run", *, related=False):
    """Plain text: the number, a line a published row, and what keeps the closest row apart.

    related: only rows of the same network, or the closest one where there is none.
    """
    rows = compare(results)
    if related:
        rows = [pair for pair in rows if pair[1]["network"].agrees] or rows[:1]
    closest, marks = rows[0]
    lines = [
        _heading(results, name),
        f"{'published':30s} {'mIoU %':>7s} {'here':>7s}  {' '.join(_TITLES.values())}",
        *(_line(results, *pair) for pair in rows),
        "✓ agrees, ✗ differs, ? is not told by one side; a difference stands only where all agree",
        f"{closest.name}: {apart(marks)}; source: {closest.source}",
    ]
    return "\n".join(lines)


def _heading(results, name):
    miou, weights = results["miou"], results.get("weights")
    number = "no number" if miou is None else f"mIoU {100 * miou:.2f} %"
    sure = in_percent(results.get("miou_interval"))
    number += sure and f" (95 % interval {sure})"
    official = _IMAGES.get(results["list"], results["images"])
    part = " (a subset or another set)" if results["images"] != official else ""
    held = f", weights {weights}" if weights else ""
    return f"{name}: {number}, {results['images']:,} images of list {results['list']}{part}{held}"


def _line(results, row, marks):
    """A published row, with a mark a condition."""
    found = difference(results, row, marks)
    here = "-" if found is None else f"{found:+.2f}"
    symbols = [_SYMBOLS[mark.agrees].center(len(_TITLES[name])) for name, mark in marks.items()]
    return f"{row.name:30s} {row.number:7.2f} {here:>7s}  {' '.join(symbols)}".rstrip()


# --- what evaluations wrote


def find(names=(), *, runs=files.RUNS):
    """[(name, results)] of runs, folders and files of results; of all runs without names.

    Raises WorkbookError for a name with nothing under it, and for a file that holds no results.
    """
    found = []
    for name in names or sorted(glob.glob(os.path.join(glob.escape(runs), "*", ""))):
        in_run = os.path.join(runs, name)
        paths = [name] if os.path.isfile(name) else _files(name) or _files(in_run)
        if names and not paths:
            raise WorkbookError(
                f"{name} holds no results: give a run, its folder, "
                "or a file that `evaluate --json` wrote"
            )
        found += [(os.path.relpath(path), _read(path)) for path in paths]
    return found


def _files(folder):
    """Of a run's folder, or for `run published` of those of its rows."""
    folder = glob.escape(folder)
    return sorted(
        glob.glob(folder + "/eval/results.json") + glob.glob(folder + "/*/eval/results.json")
    )


def _read(path):
    try:
        results = files.read_json(path, finite=False)  # an image's mIoU may be NaN
        results = results.get("eval", results)
        table(results)  # what no table can be made of is none
        if not 0 <= (results["miou"] or 0) <= 1:
            raise ValueError
        return results
    except (OSError, ValueError, AttributeError, KeyError, OverflowError, TypeError):
        raise WorkbookError(
            f"{path} holds no results of an evaluation: name what `evaluate --json` or a run wrote"
        )
