"""A run on one page: RUN/report.html, whole in one file, to be sent, kept, read without network."""

import base64
import importlib
import io
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import webbrowser

import jinja2
import numpy as np
from PIL import Image

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.data.audit import audit
from deeplab_nb.data.pictures import opened
from deeplab_nb.data.voc import read_text
from deeplab_nb.errors import WorkbookError, nearest
from deeplab_nb.evaluation.metrics import in_percent
from deeplab_nb.runs import state
from deeplab_nb.runs.runner import command_line
from deeplab_nb.show import plots
from deeplab_nb.training.log import read_log, steps_of

NAME = "report.html"
OVERLAYS = 12  # shown, spread from the worst to the best
WIDTH = 1000  # pixels of an overlay: as a JPEG about 80 kB, so that a page stays below 5 MB
PACKAGES = (
    "deeplab_nb tensorflow numpy pillow matplotlib onnxruntime papermill jupyterlab"
).split()


def write(run, folder=None):
    """Writes the page of a run folder, there or into another folder, and returns its path.

    A part whose files are missing says so in its place. Raises WorkbookError for a folder that no
    run wrote.
    """
    record, loaded = state.read_run(run), settings_module.load(run)
    settings = settings_module.as_dict(loaded)
    results = state.evaluation_of(run)
    recipe = next((one for one in recipes.RECIPES if one.name == record["recipe"]), None)
    usual = recipe.settings if recipe else settings_module.Settings()
    changed = settings_module.changes(usual, loaded)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("deeplab_nb", "runs"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    try:
        page = environment.get_template("report.html.j2").render(
            name=os.path.basename(os.path.abspath(run)),
            record=record,
            seconds=state.seconds(run),
            recipe=recipe,
            results=results,
            command=_command(run, record, changed),
            settings=settings,
            changed=changed,
            fields=settings_module.FIELDS,
            audit=_audit(loaded),
            curve=_curve(run),
            classes=classes_of(results),
            sure=in_percent,
            bars=_bars(results),
            overlays=_overlays(run, results),
            ledger=_ledger(run),
            versions=_versions(),
        )
    except (jinja2.UndefinedError, TypeError) as error:
        raise WorkbookError(
            f"{state.evaluation_path(run)} lacks what a report shows ({error}): evaluate again"
        )
    return files.write_text(os.path.join(folder or run, NAME), page)


def show(run):
    """Opens the page, written first where it is missing or older than the run's results.

    Where the run's folder cannot be written it lies in a temporary one.
    Returns (path, whether a browser took it).
    """
    path, results = os.path.join(run, NAME), os.path.join(run, "results.json")
    newest = os.path.getmtime(results) if os.path.exists(results) else 0
    if not os.path.exists(path) or os.path.getmtime(path) < newest:
        path = write(run, None if os.access(run, os.W_OK) else tempfile.mkdtemp())
    return path, _has_screen() and webbrowser.open("file://" + os.path.abspath(path))


def folder_of(name):
    """The folder of a run given by its name or path. Raises WorkbookError where there is none."""
    for folder in (os.path.join(files.RUNS, name), os.path.abspath(name)):
        if os.path.isfile(os.path.join(folder, "run.json")):
            return folder
    close = nearest(name, [info.name for info in state.list_runs(files.RUNS)])
    raise WorkbookError(f"there is no run '{name}'{close}: `deeplab-nb runs` lists them")


def _has_screen():
    """Without one, webbrowser could start a browser within the terminal and wait for it."""
    names = "DISPLAY", "WAYLAND_DISPLAY", "BROWSER"
    return sys.platform != "linux" or any(map(os.environ.get, names))


def _command(run, record, changed):
    parameters = {}
    for stem in record["notebooks"]:
        parameters.update(state.parameters_of(run, stem) or {})
    return command_line(run, record["recipe"], changed, parameters)


def _audit(settings):
    """The audit's tables and sentences, or why there is none."""
    names = list(dict.fromkeys((settings.train_list, settings.val_list)))
    try:
        found = audit(
            settings_module.resolve(settings).data_root,
            names,
            num_classes=settings.num_classes,
            ignore_label=settings.ignore_label,
        )
    except WorkbookError as error:
        return {"tables": [], "sentences": [str(error)]}
    sentences = [sentence for _, sentence in found.problems + found.warnings] + list(found.notes)
    return {
        "tables": [found.table(name) for name in names],
        "sentences": sentences or ["nothing is wrong with masks, photographs and lists"],
    }


def _curve(run):
    path = os.path.join(run, "train", "log.jsonl")
    log = read_log(path) if os.path.exists(path) else []
    steps = steps_of(log)
    if not steps:
        return None
    ends = [f"{entry['loss']:.3f} at step {entry['step']}" for entry in (steps[0], steps[-1])]
    return _png(plots.loss_curve(log)), f"Loss over the steps: {', '.join(ends)}."


def classes_of(results):
    """[(class name, IoU in percent, pixels in the masks)] of what the masks show, best first."""
    rows = [
        (name, 100 * entry["iou"], entry["pixels"])
        for name, entry in results.get("classes", {}).items()
        if entry["iou"] is not None
    ]
    return sorted(rows, key=lambda row: -row[1])


def _bars(results):
    rows = classes_of(results)
    if not rows or results.get("miou") is None:
        return None
    ious = {name: entry["iou"] for name, entry in results["classes"].items()}
    shown = ", ".join(f"{name} {iou:.1f}" for name, iou, _ in rows)
    return _png(plots.bars(ious, results["miou"])), f"IoU by class in percent: {shown}."


def _overlays(run, results):
    """Pictures that notebook 06 wrote, the worst image first, at most OVERLAYS of them."""
    paths = {path.stem: path for path in pathlib.Path(run, "overlays").glob("*.png")}
    scores = results.get("image_miou", {})
    ranked = sorted(paths, key=lambda name: (scores.get(name, 0), name))
    chosen = np.unique(np.linspace(0, len(ranked) - 1, min(OVERLAYS, len(ranked))).astype(int))
    pictures = []
    for name in (ranked[i] for i in chosen):
        said = f", mean IoU {scores[name]:.3f}" if name in scores else ""
        alt = f"Photograph, prediction, mask and wrong pixels of {name}{said}."
        pictures.append((_as_jpeg(paths[name]), alt))
    return pictures


def _ledger(run):
    path = os.path.join(run, "ledger.txt")
    return read_text(path) if os.path.exists(path) else None


def _versions():
    """[(what, version)] of what a repetition should have too."""
    # slow to load, needed here only; a part of Python since 3.8
    new = sys.version_info >= (3, 8)
    metadata = importlib.import_module("importlib.metadata" if new else "importlib_metadata")
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    rows = [("Python", platform.python_version()), ("machine", machine)]
    for name in PACKAGES:
        try:
            rows.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            rows.append((name, "not installed"))
    return rows + [("revision", _revision())]


def _revision():
    """The project's revision, as git tells it."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=files.ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError:
        return "unknown: git is not installed"
    return done.stdout.decode().strip() or "unknown: not a clone"


def _png(figure):
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=90, bbox_inches="tight")
    return _address("png", file)


def _as_jpeg(path):
    file = io.BytesIO()
    with opened(path, "overlay") as image:
        image = image.convert("RGB")
        image.thumbnail((WIDTH, WIDTH), Image.LANCZOS)
        image.save(file, "JPEG", quality=80)
    return _address("jpeg", file)


def _address(kind, file):
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
