"""What all commands share; and those that only look: recipes, doctor."""

import os
import sys

import click

from deeplab_nb import doctor as doctors, interrupts, recipes, settings as settings_module
from deeplab_nb.errors import WorkbookError, nearest, writing
from deeplab_nb.runs import parameters

# an option whose parameter bears a setting's name stands for that setting
set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change one setting; may be repeated.",
)
profile_option = click.option(
    "--ascend-profile",
    metavar="NAME",
    help="CANN version and card, such as cann8-a2. Default: "
    "the setting ascend_profile, else what this machine has, or cann5-910.",
)


def choice(setting, name, **options):
    """An option that takes what a setting takes."""
    kinds = settings_module.FIELDS[setting].metadata["choices"]
    return click.option(name, setting, type=click.Choice(kinds), **options)


def options(*several):
    """Several click options as one decorator."""

    def decorate(function):
        for option in reversed(several):
            function = option(function)
        return function

    return decorate


def with_given(assignments, values):
    """The assignments of --set, and those of {setting: text} that were given."""
    return assignments + tuple(f"{name}={value}" for name, value in values.items() if value)


def overrides_of(assignments):
    """{setting: text}, paths as meant from where the person stands."""
    return settings_module.make_absolute(parameters.parse_assignments(assignments))


class _Sentences(click.Group):
    """Turns a WorkbookError, or what the file system refuses, into a sentence and exit code 1.

    Ctrl-C ends with exit code 130.
    """

    def __call__(self, *arguments, **named):
        """From the console: Ctrl-C ends it before and after the command's work, too."""
        interrupts.handle(interrupts.leave)
        try:
            return super().__call__(*arguments, **named)
        except SystemExit as end:
            if end.code == 130:  # what was interrupted would have its say as Python ends
                sys.stdout.flush()
                os._exit(130)
            raise

    def resolve_command(self, context, words):
        """As click does it; a word that is no command is told which one is near."""
        close = nearest(words[0], self.commands)
        if close and words[0] not in self.commands:
            raise click.UsageError(f"No such command '{words[0]}'{close}")
        return super().resolve_command(context, words)

    def invoke(self, context):
        interrupts.handle(interrupts.interrupt, interrupts.leave)
        try:
            with writing("a file that the command needs"):
                return super().invoke(context)
        except WorkbookError as error:
            raise click.ClickException(str(error))
        except MemoryError:
            raise click.ClickException(
                "this takes more memory than there is: give smaller pictures, or end other programs"
            )
        except (KeyboardInterrupt, SystemError) as error:
            if not interrupts.is_behind(error):
                raise
            click.echo("interrupted", err=True)
            sys.exit(130)
        finally:
            interrupts.handle(interrupts.leave, interrupts.interrupt)


@click.group(cls=_Sentences)
@click.version_option(package_name="deeplab_nb")
def main():
    """Reproduce, understand and run DeepLabv3+ and DeepLabv3."""


@main.command("recipes")
def show_recipes():
    """List the recipes with source, hardware, time and expected number."""
    for recipe in recipes.RECIPES:
        click.echo(f"{recipe.name}: {recipe.title}")
        for label in ("source", "hardware", "time", "expected"):
            click.echo(f"    {label:9s} {getattr(recipe, label)}")
    click.echo(
        "published: the published checkpoints on VOC 2012 val, as their numbers were obtained\n"
        "    command   deeplab-nb run published"
    )


@main.command("settings")
@click.argument("word", default="")
def show_settings(word):
    """List the settings with their defaults and what they do; WORD: those that speak of it."""
    found = {
        name: field
        for name, field in settings_module.FIELDS.items()
        if word.lower() in f"{name} {field.metadata['doc']}".lower()
    }
    for name, field in found.items():
        choices = field.metadata["choices"]
        click.echo(f"{name} = {field.default!r}\n    {field.metadata['doc']}")
        if choices:
            click.echo(f"    one of {', '.join(map(str, choices))}")
    if not found:
        raise WorkbookError(f"no setting speaks of '{word}': `deeplab-nb settings` lists all")


@main.command()
@profile_option
def doctor(ascend_profile):
    """Look at Python, TensorFlow, Ascend, GPU and room here; exit code 1 if something is wrong."""
    findings = doctors.examine(ascend_profile or "auto")
    for finding in findings:
        click.echo("{:8s} {:16s} {}".format(*finding))
    if any(finding.state == "wrong" for finding in findings):
        sys.exit(1)
