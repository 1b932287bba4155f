"""A run on one page: RUN/report.html, whole in one file, so that it can be sent, kept and read without a network."""
import base64
import glob
import io
import os
import platform
import subprocess
import sys
import webbrowser
from typing import NamedTuple

import jinja2
import numpy as np
from PIL import Image

from deeplab_nb import paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.data.audit import audit
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import write_text
from deeplab_nb.runs import state
from deeplab_nb.runs.runner import command_line
from deeplab_nb.show import plots
from deeplab_nb.training.log import read_log, steps_of

NAME = "report.html"
OVERLAYS = 12        # shown, spread from the worst to the best
WIDTH = 1000         # pixels of an overlay: as a JPEG about 80 kB, so that a page stays below 5 MB
PACKAGES = ("tensorflow", "numpy", "pillow", "matplotlib", "onnxruntime", "papermill", "jupyterlab")


class Figure(NamedTuple):
    """A picture of the page. source: a data address; alt: the words that stand for it."""
    source: str
    alt: str


def write(run):
    """Writes the page of a run folder and returns its path.

    A part whose files are missing says so in its place. Raises WorkbookError for a folder that no run wrote.
    """
    record, settings = state.read_run(run), settings_module.load(run)
    results = state.evaluation_of(run)
    environment = jinja2.Environment(loader=jinja2.PackageLoader("deeplab_nb", "runs"), autoescape=True, undefined=jinja2.StrictUndefined)
    page = environment.get_template("report.html.j2").render(
        name=os.path.basename(os.path.abspath(run)), record=record, recipe=_recipe(record), results=results,
        command=_command(run, record, settings), settings=_settings_rows(record, settings), audit=_audit(settings),
        curve=_curve(run), bars=_bars(results), classes=_classes(results), overlays=_overlays(run, results),
        ledger=_ledger(run), versions=_versions())
    return write_text(os.path.join(run, NAME), page)


def show(run):
    """Opens the page, written first where it is missing or older than the run's results; returns (path, whether a browser took it)."""
    path, results = os.path.join(run, NAME), os.path.join(run, "results.json")
    newest = os.path.getmtime(results) if os.path.exists(results) else 0
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        write(run)
    return path, _has_screen() and webbrowser.open("file://" + os.path.abspath(path))


def folder_of(name):
    """The folder of a run given by its name or its path. Raises WorkbookError where there is none."""
    for folder in (os.path.join(paths.RUNS, name), os.path.abspath(name)):
        if os.path.isfile(os.path.join(folder, "run.json")):
            return folder
    names = [info.name for info in state.list_runs(paths.RUNS)]
    raise WorkbookError("there is no run '{}'{}: `deeplab-nb runs` lists them".format(name, settings_module.nearest(name, names)))


def _has_screen():
    """Without one, webbrowser could start a browser within the terminal and wait for it."""
    return sys.platform != "linux" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def _recipe(record):
    return next((recipe for recipe in recipes.RECIPES if recipe.name == record["recipe"]), None)


def _changed(record, settings):
    """{name: value} of the settings in which a run differs from its recipe, or from the defaults without one."""
    recipe = _recipe(record)
    base = settings_module.as_dict(recipe.settings if recipe else settings_module.Settings())
    return {name: value for name, value in settings_module.as_dict(settings).items() if value != base[name]}


def _command(run, record, settings):
    parameters = {}
    for entry in record["notebooks"].values():
        parameters.update(entry.get("parameters") or {})
    overrides = {name: ",".join(map(str, value)) if isinstance(value, list) else value
                 for name, value in _changed(record, settings).items()}
    return command_line(run, record["recipe"], overrides, parameters)


def _settings_rows(record, settings):
    """[(name, value, what it is for, whether it differs from the recipe)]."""
    changed = _changed(record, settings)
    return [(name, value, settings_module.FIELDS[name].metadata["doc"], name in changed)
            for name, value in settings_module.as_dict(settings).items()]


def _audit(settings):
    """The audit's tables and sentences, or why there is none."""
    resolved = paths.resolve(settings)
    names = list(dict.fromkeys((settings.train_list, settings.val_list)))
    try:
        found = audit(resolved.data_root, names, num_classes=settings.num_classes, ignore_label=settings.ignore_label)
    except WorkbookError as error:
        return {"tables": [], "sentences": [str(error)]}
    sentences = [sentence for _, sentence in found.problems + found.warnings] + list(found.notes)
    return {"tables": [found.table(name) for name in names],
            "sentences": sentences or ["nothing is wrong with masks, photographs and lists"]}


def _curve(run):
    path = os.path.join(run, "train", "log.jsonl")
    log = read_log(path) if os.path.exists(path) else []
    steps = steps_of(log)
    if not steps:
        return None
    first, last = steps[0], steps[-1]
    return _figure(plots.loss_curve(log), "Loss over the steps: {:.3f} at step {}, {:.3f} at step {}.".format(
        first["loss"], first["step"], last["loss"], last["step"]))


def _classes(results):
    """[(class name, IoU in percent, pixels in the masks)] of the classes that the masks show, best first."""
    rows = [(name, 100 * entry["iou"], entry["pixels"]) for name, entry in (results or {}).get("classes", {}).items()
            if entry["iou"] is not None]
    return sorted(rows, key=lambda row: -row[1])


def _bars(results):
    rows = _classes(results)
    if not rows:
        return None
    colours = dict(zip(results["classes"], voc.palette() / 255))
    figure = plots.bars([(name, iou, colours[name]) for name, iou, _ in reversed(rows)], 100 * results["miou"])
    return _figure(figure, "IoU by class in percent: " + ", ".join("{} {:.1f}".format(name, iou) for name, iou, _ in rows) + ".")


def _overlays(run, results):
    """Figures of the overlays that notebook 06 wrote, the worst image first, at most OVERLAYS of them."""
    files = {os.path.splitext(os.path.basename(path))[0]: path for path in glob.glob(os.path.join(glob.escape(run), "overlays", "*.png"))}
    scores = (results or {}).get("image_miou", {})
    ranked = sorted(files, key=lambda name: (scores.get(name, 0), name))
    chosen = [ranked[i] for i in np.unique(np.linspace(0, len(ranked) - 1, min(OVERLAYS, len(ranked))).astype(int))] if ranked else []
    return [Figure(_as_jpeg(files[name]), "Photograph, prediction, mask and wrong pixels of {}{}.".format(
        name, ", mean IoU {:.3f}".format(scores[name]) if name in scores else "")) for name in chosen]


def _ledger(run):
    path = os.path.join(run, "ledger.txt")
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return file.read()


def _versions():
    """[(what, version)] of what a repetition should have too."""
    from importlib_metadata import PackageNotFoundError, version  # slow to load, and needed here only
    rows = [("Python", platform.python_version()), ("machine", "{} {}, {} cores".format(
        platform.system(), platform.machine(), os.cpu_count()))]
    for name in ("deeplab_nb",) + PACKAGES:
        try:
            rows.append((name, version(name)))
        except PackageNotFoundError:
            rows.append((name, "not installed"))
    return rows + [("revision", _revision())]


def _revision():
    """The project's revision, as git tells it."""
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return "unknown: git is not installed"
    return done.stdout.decode().strip() or "unknown: not a clone"


def _figure(figure, alt):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, bbox_inches="tight")
    return Figure(_address("png", file.getvalue()), alt)


def _as_jpeg(path):
    with Image.open(path) as image:
        image = image.convert("RGB")
    image.thumbnail((WIDTH, WIDTH), Image.LANCZOS)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return _address("jpeg", file.getvalue())


def _address(kind, content):
    return "data:image/{};base64,{}".format(kind, base64.b64encode(content).decode())
