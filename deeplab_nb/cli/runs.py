"""The commands that make and show runs: run, runs, show, ledger."""

import os
import sys

import click

from deeplab_nb import files, recipes, settings as settings_module
from deeplab_nb.cli.main import main, overrides_of, set_option, with_given
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job
from deeplab_nb.runs import parameters

NO_RUNS = "yet: `make run` makes the first"


@main.command()
@click.argument("recipe")
@set_option
@click.option("--name", help="Name of the run's folder under papermill_runs.")
@click.option("--from", "from_", metavar="NN", help="Start with this notebook.")
@click.option("--only", metavar="NN", help="Run this notebook alone; of `published`, this row.")
@click.option("--show-output", is_flag=True, help="Show what the cells print.")
@click.option(
    "--sweep",
    metavar="NAME=A,B,C",
    help="A run for each value, compared at the end; --name is their common stem.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Runs of a sweep at a time.",
)
@click.option("--data", "data_root", metavar="VOC_ROOT", help="The same as --set data_root=...")
@click.option(
    "--checkpoint",
    "initial_checkpoint",
    metavar="PATH",
    help="The same as --set initial_checkpoint=...",
)
@click.option("--list", "val_list", metavar="NAME", help="The same as --set val_list=...")
def run(recipe, assignments, name, from_, only, show_output, sweep, jobs, **given):
    """Execute the notebooks with a recipe, headlessly, into one run folder.

    RECIPE `published` executes none: it evaluates the published checkpoints, fetched where they are
    missing, on VOC 2012 val as their numbers were obtained, and ends with a table. The same command
    again resumes an unfinished run, or sweep.
    """
    assignments = with_given(assignments, given)
    if recipe == "published":
        if from_ or show_output or sweep:
            raise WorkbookError(
                "run published executes no notebook: leave --from, --show-output and --sweep out"
            )
        return _run_published(overrides_of(assignments), name or recipe, only)
    chosen = recipes.get(recipe)
    if sweep:
        if from_ or only or show_output:
            raise WorkbookError(
                "--sweep runs all notebooks and keeps what they say in logs: leave "
                "out --from, --only and --show-output"
            )
        return _sweep(chosen, assignments, sweep, name, jobs)
    _run_notebooks(chosen, assignments, name, from_, only, show_output)


def _run_notebooks(recipe, assignments, name, from_, only, show_output):
    """Ends with the table of classes and where the pictures are."""
    from deeplab_nb.runs import runner, state

    notebooks = runner.find_notebooks(files.NOTEBOOKS)
    selected = runner.select(notebooks, from_=from_, only=only) if from_ or only else None
    overrides, values = _split(recipe, assignments, notebooks)
    settings = settings_module.override(recipe.settings, overrides)
    if not selected:  # one notebook alone may do without
        job.check_inputs(settings, os.path.join(files.RUNS, name or ""))
    folder = state.new_or_resumed_run(files.RUNS, recipe.name, settings, name=name)
    click.echo(f"{recipe.title}; time: {recipe.time}")
    results = runner.run_notebooks(
        folder,
        notebooks,
        recipe=recipe.name,
        overrides=overrides,
        parameters=values,
        selected=selected,
        show_output=show_output,
    )
    from deeplab_nb.runs import report  # and with it TensorFlow, for which refusals need not wait

    report.write(folder)
    found = results.get("eval")
    if found:
        click.echo("\nIoU %   class")
        for name, iou, _ in report.classes_of(found):
            click.echo(f"{iou:5.1f}   {name}")
        click.echo(
            f"{100 * results['miou']:5.1f}   mean over {found['mean_over']}, "
            f"{found['images']} images{_interval(found)}\n"
        )
    for name in ("overlays", "ledger.txt", "report.html", ""):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            click.echo(f"{name.split('.')[0] or 'run':9s}{os.path.relpath(path)}")


def _interval(results):
    """', 95 % interval [61.2, 73.4]' of an evaluation's mean IoU; '' where it has none."""
    from deeplab_nb.evaluation.metrics import in_percent

    said = in_percent(results.get("miou_interval"))
    return said and f", 95 % interval {said}"


def _run_published(values, name, only):
    names = dict(data_root="data_root", initial_checkpoint="checkpoint", val_list="list_name")
    for setting in values:
        if setting not in names:
            raise WorkbookError(
                f"{setting} is part of what was published: run published takes "
                "--data, --checkpoint and --list"
            )
    from deeplab_nb.runs import state, zoo_table

    folder = os.path.join(files.RUNS, state.checked_name(name))
    given = {names[setting]: value for setting, value in values.items()}
    outcomes = zoo_table.run(folder, only=only, **given)
    click.echo(f"\n{zoo_table.table(outcomes)}\n{os.path.relpath(folder)}")
    if any("error" in results for _, results in outcomes):
        sys.exit(1)


def _split(recipe, assignments, notebooks):
    """(overrides of settings, parameters of notebooks), checked, paths as meant from here."""
    overrides, values = parameters.split(
        parameters.parse_assignments(assignments),
        [notebook.declared for notebook in notebooks],
        recipe.settings,
    )
    return settings_module.make_absolute(overrides), values


def _sweep(recipe, assignments, text, stem, jobs):
    """Checks every value before the first run starts; exit code 1 if a run failed."""
    from deeplab_nb.runs import runner, sweep

    setting, values = sweep.parse(text)
    notebooks = runner.find_notebooks(files.NOTEBOOKS)
    for value in values:
        _split(recipe, assignments + (f"{setting}={value}",), notebooks)
    name, trials = sweep.plan(recipe.name, (setting, values), assignments, stem=stem)
    folder = os.path.join(files.RUNS, name)
    outcomes, place = sweep.run(trials, folder, files.RUNS, jobs=jobs), os.path.relpath(folder)
    click.echo(f"\n{sweep.write(setting, outcomes, folder)}\n\ntable and plot: {place}")
    failed = ", ".join(outcome.name for outcome in outcomes if outcome.state == "failed")
    if failed:
        click.echo(
            f"failed: {failed}; their logs lie in {place}, the same command tries them again"
        )
        sys.exit(1)


@main.command()
@click.argument("run")
def show(run):
    """Open a run's page, RUN/report.html, in the browser; RUN is a name or a folder.

    Prints its path.
    """
    from deeplab_nb.runs import report

    click.echo(report.show(report.folder_of(run))[0])


@main.command()
def runs():
    """List the runs with their state and mIoU."""
    from deeplab_nb.runs import state

    rows = state.list_runs(files.RUNS)
    for info in rows:
        miou = f"mIoU {info.miou:.4f}" if info.miou is not None else ""
        click.echo(f"{info.name:32s} {info.recipe:26s} {info.state:12s} {miou}")
    if not rows:
        click.echo(f"no runs {NO_RUNS}")


@main.command()
@click.argument("results", nargs=-1)
def ledger(results):
    """Put numbers beside the published ones, a tick or cross for each condition that must agree.

    RESULTS: runs, their folders, or files that `evaluate --json` wrote; default: every run.
    """
    from deeplab_nb.evaluation import ledger as ledgers

    tables = [ledgers.table(values, name, related=True) for name, values in ledgers.find(results)]
    click.echo("\n\n".join(tables) or f"no results {NO_RUNS}")
