"""Where the project's folders are, whatever the working directory."""
import dataclasses
import hashlib
import os

from deeplab_nb.settings import known

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NOTEBOOKS = os.path.join(ROOT, "notebooks")
RUNS = os.path.join(ROOT, "papermill_runs")


def resolve(settings):
    """The same settings with paths that do not depend on the working directory; relative ones start at the project."""
    given = {name: getattr(settings, name) for name in known("path")}
    return dataclasses.replace(settings, **{name: os.path.join(ROOT, path) for name, path in given.items() if path})


def make_absolute(overrides):
    """Paths that a person typed are meant from where they stand."""
    return {name: os.path.abspath(value) if name in known("path") and value else value
            for name, value in overrides.items()}


def records_folder(data_root):
    """Records lie in the project, since a data folder may be read-only; one folder for each data folder."""
    path = os.path.realpath(data_root)
    digest = hashlib.sha256(path.encode()).hexdigest()[:8]
    return os.path.join(ROOT, "data", "records", "{}-{}".format(os.path.basename(path), digest))
