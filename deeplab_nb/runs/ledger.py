"""Paper versus here: a number beside published ones, with every condition that must agree.

Two numbers are compared only if all their conditions are known and agree; otherwise the table marks those that are not.
"""
import collections
import glob
import json
import os

from deeplab_nb import paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.origin import network_name, training
from deeplab_nb.network import zoo
from deeplab_nb.settings import SIX_SCALES

# number: mIoU in percent; weights: name of the published checkpoint that has it, or None;
# conditions: {name: value}, None for what the source does not tell
Row = collections.namedtuple("Row", "name number source weights conditions")

TRAINING = ("data", "init", "batch", "batch_norm", "steps", "crop")
CONDITIONS = ("network",) + TRAINING + ("list", "images", "output_stride", "scales", "flip", "protocol")
_TITLES = dict(batch_norm="norm", output_stride="stride")  # of columns; the others bear the condition's name

# whether a condition agrees, None where one side does not tell; and both values
Mark = collections.namedtuple("Mark", "agrees here there")

_IMAGES = dict(voc.LIST_SIZES, test=1456)
_UNTOLD = dict.fromkeys(TRAINING)


def _evaluated(list_name="val", output_stride=16, scales=(1.0,), flip=False, protocol="deeplab"):
    return {"list": list_name, "images": _IMAGES[list_name], "output_stride": output_stride, "scales": scales,
            "flip": flip, "protocol": protocol}


def _zoo(row, number):
    """Of a published checkpoint. How it was trained is told in part only, but whoever has the checkpoint has all of that."""
    conditions = dict(_UNTOLD, network=network_name(settings_module.read(row.holds)), data=row.name.split("_")[-1], init="ImageNet, COCO")
    conditions.update(_evaluated(number.list, number.output_stride, number.scales, number.flip))
    return Row(number.name, number.miou, "TensorFlow DeepLab model zoo", row.name, conditions)


def _of(recipe, **evaluated):
    """Conditions of a recipe that holds the published settings."""
    settings = recipes.get(recipe).settings
    told = training(settings, settings.train_steps, _IMAGES[settings.train_list])
    return dict(told, network=network_name(settings), **_evaluated(**evaluated))


_XCEPTION = network_name(settings_module.read({"backbone": "xception_65", "aspp": True, "decoder": True}))
_PAPER = dict(_UNTOLD, network=_XCEPTION, data="trainaug, 10,582 images", batch_norm="trained", crop=513, steps=30000)
_REFINED = {"output_stride": 8, "scales": SIX_SCALES, "flip": True}

PUBLISHED = tuple(_zoo(row, number) for row in zoo.PUBLISHED for number in row.numbers) + (
    Row("DeepLabv3+ Xception-65", 79.79, "1802.02611, Table 5, separable convolutions", None, dict(_PAPER, **_evaluated())),
    Row("DeepLabv3+ Xception-65 refined", 81.39, "the same", None, dict(_PAPER, **_evaluated(**_REFINED))),
    # its README: 200,000 steps, the best checkpoint; batch 7 and 16 are both named
    Row("DeepLabv3+ Ascend 910 test", 87.72, "Huawei model zoo, DeepLabv3+ for TensorFlow 1.15", None, dict(
        _UNTOLD, network=_XCEPTION, data="trainval, 2,913 images", init="xception_65_imagenet_coco", steps=200000,
        **_evaluated(list_name="test", **_REFINED))),
    Row("DeepLabv3 MindSpore 2020", 65.05, "its README", None,
        _of("deeplabv3_mindspore_1p", scales=SIX_SCALES, protocol="mindspore")),
    Row("DeepLabv3 MindSpore 2021", 77.37, "its README, eight Ascend 910; another stem than resnet_v1_101_beta's", None, dict(
        network="resnet_v1_101 aspp with full convolutions multi-grid 1,2,4", data="trainaug, 10,582 images", init="ImageNet",
        batch=256, batch_norm="trained", steps=12300, crop=513, **_evaluated(protocol="long side 513, padded"))),
)


def conditions_of(results):
    """{condition: value} of what an evaluation wrote; None for what it does not tell."""
    here = dict(_UNTOLD, **results.get("trained") or {})
    here.update({name: results.get(name) for name in CONDITIONS if name not in TRAINING})
    return dict(here, scales=tuple(results.get("scales") or ()) or None, protocol=results["protocol"].split(":")[0])


def compare(results):
    """[(Row, {condition: Mark})], the row with the most conditions in common first."""
    here = conditions_of(results)
    rows = [(row, {name: _mark(name, row, here[name], results.get("weights")) for name in CONDITIONS}) for row in PUBLISHED]
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
    return 100 * results["miou"] - row.number if agreeing(marks) == len(CONDITIONS) and results["miou"] is not None else None


def table(results, name="this run", *, related=False):
    """Plain text: the number, a line a published row with a mark a condition, and what keeps the closest row apart.

    related: only rows of the same network, or the closest one where there is none.
    """
    rows = compare(results)
    shown = [pair for pair in rows if pair[1]["network"].agrees] or rows[:1] if related else rows
    titles = [_TITLES.get(condition, condition) for condition in CONDITIONS]
    here = "no number" if results["miou"] is None else "mIoU {:.2f} %".format(100 * results["miou"])
    lines = ["{}: {}, {}{}".format(name, here, _images(results), ", weights " + results["weights"] if results.get("weights") else ""),
             "{:30s} {:>7s} {:>7s}  {}".format("published", "mIoU %", "here", " ".join(titles))]
    for row, marks in shown:
        found = difference(results, row, marks)
        symbols = " ".join({True: "✓", False: "✗", None: "?"}[marks[condition].agrees].center(len(title))
                           for condition, title in zip(CONDITIONS, titles))
        lines.append("{:30s} {:7.2f} {:>7s}  {}".format(row.name, row.number, "-" if found is None else "{:+.2f}".format(found), symbols).rstrip())
    lines.append("✓ agrees, ✗ differs, ? is not told by one side; a difference stands only where all agree")
    return "\n".join(lines + ["{}: {}; source: {}".format(shown[0][0].name, apart(shown[0][1]), shown[0][0].source)])


def apart(marks):
    """What keeps two numbers apart, in words."""
    return "; ".join("{} {} here, {} there".format(name.replace("_", " "), *("not told" if value is None else value for value in mark[1:]))
                     for name, mark in marks.items() if mark.agrees is not True) or "every condition agrees"


def _images(results):
    official = _IMAGES.get(results["list"])
    part = "" if official == results["images"] else " (a subset or another set)" if official else ""
    return "{:,} images of list {}{}".format(results["images"], results["list"], part)


def find(names=(), *, runs=paths.RUNS):
    """[(name, results)] of runs, folders and files of results; of all runs without names.

    Raises WorkbookError for a name with nothing under it, and for a file that holds no results.
    """
    found = []
    for name in names or (sorted(os.listdir(runs)) if os.path.isdir(runs) else ()):
        files = [name] if os.path.isfile(name) else _files(name) or _files(os.path.join(runs, name))
        if names and not files:
            raise WorkbookError("{} holds no results: give a run, its folder, or a file that `evaluate --json` wrote".format(name))
        found += [(os.path.relpath(path), _read(path)) for path in files]
    return found


def _files(folder):
    """What evaluations wrote into a run's folder or, for `run published`, into those of its rows."""
    return sorted(glob.glob(os.path.join(glob.escape(folder), "eval", "results.json")) +
                  glob.glob(os.path.join(glob.escape(folder), "*", "eval", "results.json")))


def _read(path):
    try:
        with open(path) as file:
            results = json.load(file)
        results = results.get("eval", results)
        results["miou"], results["images"], results["list"], results["protocol"] + ""
        return results
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        raise WorkbookError("{} holds no results of an evaluation: name what `evaluate --json` or a run wrote".format(path))
