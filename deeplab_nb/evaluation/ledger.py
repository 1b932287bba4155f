"""Paper versus here: a number beside published ones, with every condition that must agree.

Two numbers are compared only if all their conditions are known and agree; otherwise the table marks
those that are not.
"""

import collections
import glob
import json
import os

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import zoo
from deeplab_nb.network.checkpoints import step_of
from deeplab_nb.settings import SIX_SCALES

TRAINING = ("data", "init", "batch", "batch_norm", "steps", "crop")
CONDITIONS = (
    ("network",) + TRAINING + ("list", "images", "output_stride", "scales", "flip", "protocol")
)

_TITLES = dict(zip(CONDITIONS, CONDITIONS), batch_norm="norm", output_stride="stride")  # of columns
_UNTOLD = dict.fromkeys(TRAINING)
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
    head = settings.aspp or settings.decoder
    words = (
        (settings.backbone, True),
        (f"{settings.depth_multiplier:g}", settings.depth_multiplier != 1),
        ("aspp", settings.aspp),
        ("decoder", settings.decoder),
        ("with full convolutions", head and not settings.separable_head),
        ("multi-grid {},{},{}".format(*settings.multi_grid), settings.multi_grid != (1, 1, 1)),
    )
    return " ".join(word for word, holds in words if holds)


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
    try:
        settings = settings_module.load(os.path.dirname(os.path.abspath(prefix)))
    except WorkbookError:  # none, or of another version
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

_EVALUATED = {"list": "val", "output_stride": 16, "scales": (1.0,), "flip": False}
_REFINED = {"output_stride": 8, "scales": SIX_SCALES, "flip": True}


def _row(name, number, source, conditions, *, weights=None, **evaluated):
    """A `Row` whose evaluation is that of the papers but for what is given."""
    told = {**_UNTOLD, **conditions, "protocol": "deeplab", **_EVALUATED, **evaluated}
    told["images"] = _IMAGES[told["list"]]
    return Row(name, number, source, weights, told)


def _zoo(row, number):
    """Of a published checkpoint: whoever has it has all of its training, told or not."""
    network, data = network_name(settings_module.read(row.holds)), row.name.split("_")[-1]
    told = {"network": network, "data": data, "init": "ImageNet, COCO"}
    evaluated = {name: getattr(number, name) for name in _EVALUATED}
    source = "TensorFlow DeepLab model zoo"
    return _row(number.name, number.miou, source, told, weights=row.name, **evaluated)


def _of(recipe):
    """Conditions of a recipe that holds the published settings."""
    settings = recipes.get(recipe).settings
    told = training(settings, settings.train_steps, _IMAGES[settings.train_list])
    return {**told, "network": network_name(settings)}


_XCEPTION = {"network": "xception_65 aspp decoder"}
_AUGMENTED = {"data": "trainaug, 10,582 images", "batch_norm": "trained", "crop": 513}
_TRAINVAL = {"data": "trainval, 2,913 images", "init": "xception_65_imagenet_coco"}
_PAPER = {**_XCEPTION, **_AUGMENTED, "steps": 30000}

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
        _of("deeplabv3_mindspore_1p"),
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


def conditions_of(results):
    """{condition: value} of what an evaluation wrote; None for what it does not tell."""
    here = {**_UNTOLD, **(results.get("trained") or {})}
    here.update({name: results.get(name) for name in CONDITIONS if name not in TRAINING})
    here["scales"] = tuple(here["scales"] or ()) or None
    here["protocol"] = here["protocol"].split(":")[0]
    return here


def compare(results):
    """[(Row, {condition: Mark})], the row with the most conditions in common first."""
    here, weights = conditions_of(results), results.get("weights")
    rows = [
        (row, {name: _mark(name, row, here[name], weights) for name in CONDITIONS})
        for row in PUBLISHED
    ]
    return sorted(rows, key=lambda pair: -agreeing(pair[1]))


def _mark(name, row, here, weights):
    there = row.conditions[name]
    if name in TRAINING and weights is not None and weights == row.weights:
        return Mark(True, "these weights", "these weights")
    return Mark(None if here is None or there is None else here == there, here, there)


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
    differing = [(name, mark) for name, mark in marks.items() if mark.agrees is not True]
    return "; ".join(_differs(*pair) for pair in differing) or "every condition agrees"


def _differs(name, mark):
    here, there = ("not told" if value is None else value for value in (mark.here, mark.there))
    return f"{name.replace('_', ' ')} {here} here, {there} there"


# --- in words

_SYMBOLS = {True: "✓", False: "✗", None: "?"}
_LEGEND = "✓ agrees, ✗ differs, ? is not told by one side; a difference stands only where all agree"


def table(results, name="this run", *, related=False):
    """Plain text: the number, a line a published row, and what keeps the closest row apart.

    related: only rows of the same network, or the closest one where there is none.
    """
    rows = compare(results)
    if related:
        rows = [pair for pair in rows if pair[1]["network"].agrees] or rows[:1]
    titles = " ".join(_TITLES[condition] for condition in CONDITIONS)
    closest, marks = rows[0]
    lines = [_heading(results, name)]
    lines.append(f"{'published':30s} {'mIoU %':>7s} {'here':>7s}  {titles}")
    lines += [_line(results, *pair) for pair in rows]
    lines.append(_LEGEND)
    lines.append(f"{closest.name}: {apart(marks)}; source: {closest.source}")
    return "\n".join(lines)


def _heading(results, name):
    miou, weights = results["miou"], results.get("weights")
    number = "no number" if miou is None else f"mIoU {100 * miou:.2f} %"
    official = _IMAGES.get(results["list"])
    part = " (a subset or another set)" if official not in (None, results["images"]) else ""
    held = f", weights {weights}" if weights else ""
    return f"{name}: {number}, {results['images']:,} images of list {results['list']}{part}{held}"


def _line(results, row, marks):
    """A published row, with a mark a condition."""
    found = difference(results, row, marks)
    here = "-" if found is None else f"{found:+.2f}"
    symbols = " ".join(
        _SYMBOLS[marks[name].agrees].center(len(_TITLES[name])) for name in CONDITIONS
    )
    return f"{row.name:30s} {row.number:7.2f} {here:>7s}  {symbols}".rstrip()


# --- what evaluations wrote


def find(names=(), *, runs=files.RUNS):
    """[(name, results)] of runs, folders and files of results; of all runs without names.

    Raises WorkbookError for a name with nothing under it, and for a file that holds no results.
    """
    found = []
    for name in names or (sorted(os.listdir(runs)) if os.path.isdir(runs) else ()):
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
    places = ("eval/results.json", "*/eval/results.json")
    return sorted(
        path for place in places for path in glob.glob(os.path.join(glob.escape(folder), place))
    )


def _read(path):
    try:
        with open(path) as file:
            results = json.load(file)
        results = results.get("eval", results)
        results["miou"], results["images"], results["list"], results["protocol"] + ""
        return results
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise WorkbookError(
            f"{path} holds no results of an evaluation: name what `evaluate --json` or a run wrote"
        )
