"""The commands that make and show runs: run, runs, show, ledger. Thin, like cli.py, which lists them."""
import os
import sys

import click

from deeplab_nb import files, recipes
from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.runs import parameters

set_option = click.option("--set", "assignments", multiple=True, metavar="NAME=VALUE",
                          help="Change one setting; may be repeated.")
profile_option = click.option(
    "--ascend-profile", metavar="NAME", help="CANN version and card, such as cann8-a2; the same as "
    "--set ascend_profile=NAME. Default: what this machine has, or cann5-910.")


def with_given(assignments, **values):
    """The assignments, and those options that were given, as settings of the same name."""
    return assignments + tuple(f"{name}={value}" for name, value in values.items() if value)


@click.command()
@click.argument("recipe")
@set_option
@click.option("--name", help="Name of the run's folder under papermill_runs.")
@click.option("--from", "from_", metavar="NN", help="Start with this notebook.")
@click.option("--only", metavar="NN", help="Run this notebook alone; of `published`, this row.")
@click.option("--show-output", is_flag=True, help="Show what the cells print.")
@click.option("--sweep", metavar="NAME=A,B,C", help="A run for each value, compared at the end; --name is their common stem.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Runs of a sweep at a time.")
@click.option("--data", metavar="VOC_ROOT", help="The same as --set data_root=...")
@click.option("--checkpoint", metavar="PATH", help="The same as --set initial_checkpoint=...")
@click.option("--list", "list_name", metavar="NAME", help="The same as --set val_list=...")
def run(recipe, assignments, name, from_, only, show_output, sweep, jobs, data, checkpoint, list_name):
    """Execute the notebooks with a recipe, headlessly, into one run folder.

    RECIPE `published` executes none: it evaluates the published checkpoints, fetched where they are missing, on VOC 2012 val
    as their numbers were obtained, and ends with a table. The same command again resumes an unfinished run, or sweep.
    """
    assignments = with_given(assignments, data_root=data, initial_checkpoint=checkpoint,
                             val_list=list_name)
    if recipe == "published":
        if from_ or show_output or sweep:
            raise WorkbookError("run published executes no notebook: leave --from, --show-output and --sweep out")
        return _run_published(parameters.parse_assignments(assignments), name or recipe, only)
    from deeplab_nb.runs import runner, state
    chosen = recipes.get(recipe)
    if sweep:
        if from_ or only or show_output:
            raise WorkbookError("--sweep runs all notebooks and keeps what they say in logs: leave out --from, --only and --show-output")
        return _sweep(chosen, assignments, sweep, name, jobs)
    notebooks = runner.find_notebooks(files.NOTEBOOKS)
    selected = runner.select(notebooks, from_=from_, only=only) if from_ or only else None
    overrides, values = _split(chosen, assignments, notebooks)
    folder = state.new_or_resumed_run(files.RUNS, chosen.name, settings_module.override(chosen.settings, overrides), name=name)
    click.echo("{}; time: {}".format(chosen.title, chosen.time))
    results = runner.run_notebooks(folder, notebooks, recipe=chosen.name, overrides=overrides,
                                   parameters=values, selected=selected, show_output=show_output)
    from deeplab_nb.runs import report  # and with it TensorFlow, for which refusals need not wait
    report.write(folder)
    _print_summary(folder, results)


def _run_published(values, name, only):
    for setting in values:
        if setting not in ("data_root", "initial_checkpoint", "val_list"):
            raise WorkbookError("{} is part of what was published: run published takes --data, --checkpoint and --list".format(setting))
    from deeplab_nb.runs import zoo_table, state
    values = settings_module.make_absolute(values)
    folder = os.path.join(files.RUNS, state.checked_name(name))
    outcomes = zoo_table.run(folder, only=only, data_root=values.get("data_root"), list_name=values.get("val_list", "val"),
                                   checkpoint=values.get("initial_checkpoint"))
    click.echo("\n{}\n{}".format(zoo_table.table(outcomes), os.path.relpath(folder)))
    if any("error" in results for _, results in outcomes):
        sys.exit(1)


def _split(recipe, assignments, notebooks):
    """(overrides of settings, parameters of notebooks), checked, paths as meant from here."""
    overrides, values = parameters.split(
        parameters.parse_assignments(assignments), [notebook.declared for notebook in notebooks], recipe.settings)
    return settings_module.make_absolute(overrides), values


def _sweep(recipe, assignments, text, stem, jobs):
    """Checks every value before the first run starts; exit code 1 if a run failed."""
    from deeplab_nb.runs import runner, sweep
    setting, values = sweep.parse(text)
    notebooks = runner.find_notebooks(files.NOTEBOOKS)
    for value in values:
        _split(recipe, assignments + ("{}={}".format(setting, value),), notebooks)
    name, trials = sweep.plan(recipe.name, (setting, values), assignments, stem=stem)
    folder = os.path.join(files.RUNS, name)
    outcomes = sweep.run(trials, folder, files.RUNS, jobs=jobs)
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
    rows = state.list_runs(files.RUNS)
    for info in rows:
        click.echo("{:32s} {:26s} {:12s} {}".format(
            info.name, info.recipe or "", info.state, "mIoU {:.4f}".format(info.miou) if info.miou is not None else ""))
    if not rows:
        click.echo("no runs yet: `make run` makes the first")


@click.command()
@click.argument("results", nargs=-1)
def ledger(results):
    """Put numbers beside the published ones, with a tick or a cross for each condition that must agree.

    RESULTS: runs, their folders, or files that `evaluate --json` wrote; default: every run.
    """
    from deeplab_nb.evaluation import ledger as ledgers
    found = ledgers.find(results)
    tables = [ledgers.table(values, name, related=True) for name, values in found]
    click.echo("\n\n".join(tables) or "no results yet: `make run` makes the first")


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
