"""The commands that make and show runs: run, runs, show. Thin, like cli.py, which lists them."""
import os
import sys

import click

from deeplab_nb import paths, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs import parameters

set_option = click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                          help="Change one setting; may be repeated.")


@click.command()
@click.argument("recipe")
@set_option
@click.option("--name", help="Name of the run's folder under papermill_runs.")
@click.option("--from", "from_", metavar="NN", help="Start with this notebook.")
@click.option("--only", metavar="NN", help="Run this notebook alone.")
@click.option("--show-output", is_flag=True, help="Show what the cells print.")
@click.option("--sweep", metavar="NAME=A,B,C", help="A run for each value, compared at the end; --name is their common stem.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of a sweep at a time.")
def run(recipe, assignments, name, from_, only, show_output, sweep, jobs):
    """Execute the notebooks with a recipe, headlessly, into one run folder.

    The same command again resumes an unfinished run, or sweep.
    """
    from deeplab_nb.runs import runner, state
    chosen = recipes.get(recipe)
    if sweep:
        if from_ or only or show_output:
            raise WorkbookError("--sweep runs all notebooks and keeps what they say in logs: leave out --from, --only and --show-output")
        return _sweep(chosen, assignments, sweep, name, jobs)
    notebooks = runner.find_notebooks(paths.NOTEBOOKS)
    selected = runner.select(notebooks, from_=from_, only=only) if from_ or only else None
    overrides, values = _split(chosen, assignments, notebooks)
    folder = state.new_or_resumed_run(paths.RUNS, chosen.name, settings_module.override(chosen.settings, overrides), name=name)
    click.echo("{}; time: {}".format(chosen.title, chosen.time))
    results = runner.run_notebooks(folder, notebooks, recipe=chosen.name, overrides=overrides,
                                   parameters=values, selected=selected, show_output=show_output)
    from deeplab_nb.runs import report  # and with it TensorFlow, for which refusals need not wait
    report.write(folder)
    _print_summary(folder, results)


def _split(recipe, assignments, notebooks):
    """(overrides of settings, parameters of notebooks), checked, paths as meant from here."""
    overrides, values = parameters.split(
        parameters.parse_assignments(assignments), [notebook.path for notebook in notebooks], recipe.settings)
    return paths.make_absolute(overrides), values


def _sweep(recipe, assignments, text, stem, jobs):
    """Checks every value before the first run starts; exit code 1 if a run failed."""
    from deeplab_nb.runs import runner, sweep
    setting, values = sweep.parse(text)
    notebooks = runner.find_notebooks(paths.NOTEBOOKS)
    for value in values:
        _split(recipe, assignments + ("{}={}".format(setting, value),), notebooks)
    name, trials = sweep.plan(recipe.name, (setting, values), assignments, stem=stem)
    folder = os.path.join(paths.RUNS, name)
    outcomes = sweep.run(trials, folder, paths.RUNS, jobs=jobs)
    click.echo("\n{}\n".format(sweep.write(setting, outcomes, folder)))
    click.echo("table and plot: {}".format(os.path.relpath(folder)))
    failed = [outcome.name for outcome in outcomes if outcome.state == "failed"]
    if failed:
        click.echo("failed: {}; their logs lie in {}, the same command tries them again".format(", ".join(failed), os.path.relpath(folder)))
        sys.exit(1)


@click.command()
@click.argument("run")
def show(run):
    """Open a run's page, RUN/report.html, in the browser; RUN is a name or a folder. Prints its path."""
    from deeplab_nb.runs import report
    click.echo(report.show(report.folder_of(run))[0])


@click.command()
def runs():
    """List the runs with their state and mIoU."""
    from deeplab_nb.runs import state
    rows = state.list_runs(paths.RUNS)
    for info in rows:
        click.echo("{:32s} {:26s} {:12s} {}".format(
            info.name, info.recipe or "", info.state, "mIoU {:.4f}".format(info.miou) if info.miou is not None else ""))
    if not rows:
        click.echo("no runs yet: `make run` makes the first")


def _print_summary(folder, results):
    """What a run ends with: its table, and where its pictures are."""
    if results.get("eval"):
        classes = [(c["iou"], name) for name, c in results["eval"]["classes"].items() if c["iou"] is not None]
        click.echo("\nIoU %   class")
        for iou, name in sorted(classes, reverse=True):
            click.echo("{:5.1f}   {}".format(100 * iou, name))
        click.echo("{:5.1f}   mean over {}, {} images\n".format(
            100 * results["miou"], results["eval"]["mean_over"], results["eval"]["images"]))
    for name in ("overlays", "ledger.txt", "report.html", ""):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            click.echo("{:9s}{}".format(name.split(".")[0] or "run", os.path.relpath(path)))
