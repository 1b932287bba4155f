"""What a notebook opens first: its run, whose parts are made when they are first asked for.

A notebook gets a recipe, a run folder and overrides, and reads everything else from here. Because
each part makes what it needs, every notebook can be run alone.
"""

import contextlib
import os
import sys

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.data.records import check_masks, existing_shards, records_folder, write_records
from deeplab_nb.data.sample import make_sample
from deeplab_nb.devices import ranks
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation.evaluate import evaluate
from deeplab_nb.launch import job, launcher
from deeplab_nb.network.checkpoints import find_checkpoint, newest_checkpoint
from deeplab_nb.processes import alone_at
from deeplab_nb.runs import state
from deeplab_nb.training.loop import check_same_run, check_trainable, train
from deeplab_nb.training.validation import ended

SAMPLE_ROOT = settings_module.Settings().data_root

# notebooks import `lessons` wherever they lie: an executed one is opened in its run's folder
if files.NOTEBOOKS not in sys.path:
    sys.path.append(files.NOTEBOOKS)


class Run:
    """One run folder. recipe: a `recipes.Recipe`; settings: with absolute paths."""

    def __init__(self, recipe, settings, folder):
        self.recipe, self.settings, self.folder = recipe, settings_module.resolve(settings), folder
        self.train_folder = os.path.join(folder, "train")
        self.names = voc.class_names(settings.num_classes, self.settings.data_root)

    @property
    def data_root(self):
        """The VOC folder; the drawn sample is made here when it is first needed."""
        if self.settings.data_root == os.path.join(files.ROOT, SAMPLE_ROOT):
            make_sample(self.settings.data_root)
        return voc.check_root(self.settings.data_root)

    def records(self, list_name):
        """Record files of a list: the data folder's own, or written after an audit if need be."""
        classes = {name: getattr(self.settings, name) for name in ("num_classes", "ignore_label")}
        shards = existing_shards(self.settings.data_root, list_name)
        if shards:
            check_masks(shards, **classes)
            return shards
        folder = records_folder(self.data_root)
        return write_records(self.data_root, list_name, folder, **classes)

    def train(self):
        """Trains to the last step, from where it stands; returns the checkpoint's prefix.

        A run that has ended is only read.
        """
        check_same_run(self.settings, self.train_folder)
        done = ended(self.settings, self.train_folder)
        if done:
            return done
        records = self.records(self.settings.train_list)
        # rank 0 holds the folder for all
        with alone_at(self.train_folder) if ranks.leads() else contextlib.nullcontext():
            return train(self.settings, records, self.train_folder)

    def checkpoint(self):
        """Prefix of the weights to look at: this run's, trained if need be, or those given."""
        if self.settings.train_steps == 0:
            if not self.settings.initial_checkpoint:
                raise WorkbookError(
                    "nothing to evaluate: set initial_checkpoint, or train_steps above 0"
                )
            return find_checkpoint(self.settings.initial_checkpoint)
        if not newest_checkpoint(self.train_folder):
            print("this run has no checkpoint yet, so the recipe is trained first")
        return self.train()

    def evaluation(self):
        """Evaluates, keeps predictions and results under RUN/eval; an `evaluate.Evaluation`."""
        self.data_root  # noqa: B018  (makes the sample)
        evaluation = evaluate(self.settings, self.checkpoint(), predictions=self._predictions)
        results = dict(evaluation.results, image_miou=evaluation.image_miou)
        files.write_json(state.evaluation_path(self.folder), results)
        return evaluation

    @property
    def _predictions(self):
        return os.path.join(self.folder, "eval", "predictions")

    def results(self):
        """What the evaluation wrote of the checkpoint that the run has now; made if missing."""
        checkpoint = os.path.basename(self.checkpoint())
        if state.evaluation_of(self.folder).get("checkpoint") != checkpoint:
            self.evaluation()
        return state.evaluation_of(self.folder)

    def prediction_path(self, image_id):
        return os.path.join(self._predictions, image_id + ".png")

    def folder_for(self, name):
        """RUN/name, made if missing."""
        path = os.path.join(self.folder, name)
        os.makedirs(path, exist_ok=True)
        return path


def open_run(recipe="sample", run_folder=None, overrides=None):
    """The run that a notebook works in.

    recipe: a name of recipes.py; overrides: settings that differ from it; run_folder: None, in
    JupyterLab, takes the newest finished run of the recipe with these settings and says so, else
    papermill_runs/notebook-RECIPE. Raises WorkbookError for an unknown recipe or setting.
    """
    recipe = recipes.get(recipe)
    settings = settings_module.override(recipe.settings, overrides or {})
    folder = run_folder and os.path.abspath(run_folder) or _finished_run(recipe, settings)
    if not folder:
        folder = os.path.join(files.RUNS, "notebook-" + recipe.name)
    settings_module.save(settings, folder)
    return Run(recipe, settings, folder)


def _finished_run(recipe, settings):
    """The newest finished run of these settings that has its weights still; None without one."""
    for run in state.finished_runs(files.RUNS, recipe.name, settings):
        if settings.train_steps == 0 or newest_checkpoint(os.path.join(run, "train")):
            print(f"this notebook looks at the finished run {os.path.relpath(run, files.ROOT)}")
            return run
    return None


def train_together(recipe, plan, *, silence=None, on_line=None):
    """Trains a recipe by a `job.Plan`, one process a rank; returns the ranks' logs.

    silence, on_line: as for `launcher.launch`, whose errors these are too. What `job.preflight`
    finds missing is said before anything is written.
    """
    check_trainable(plan.settings)
    job.preflight(plan)
    for sentence in plan.warnings:
        (on_line or print)("warning: " + sentence)
    run = Run(recipe, plan.settings, plan.folder)
    check_same_run(run.settings, run.train_folder)
    run.records(run.settings.train_list)  # once, before all ranks would at the same time
    return launcher.launch(
        lambda rank: plan.command,
        plan.ranks,
        plan.folder,
        environment=plan.environments.get,
        heartbeat_seconds=silence or launcher.SILENCE,
        on_line=on_line,
    )
