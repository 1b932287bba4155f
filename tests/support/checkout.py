"""What bootstrap.sh is tried on: environments, checkouts of it alone, machines without Python."""

import collections
import os
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REFERENCE = sys.version_info[:2] == (3, 7)
# of the interpreter that runs the tests: its environment, the variable that names its Python
OWN = "reference" if REFERENCE else "current"
VARIABLE = "PYTHON37" if REFERENCE else "PYTHON3"
FOLDER = ".venv" if REFERENCE else ".venv-current"
FILES = {"reference": "requirements", "current": "requirements-current"}

# all that bootstrap.sh needs
TOOLS = "sh dirname cat cmp date rm mv ls awk mktemp uname sort mkdir".split()

Pin = collections.namedtuple("Pin", "name version marker hashes")


# --- the files that name packages


def wanted_of(repo, environment):
    """[Requirement] of those that are asked for themselves, in order."""
    with open(os.path.join(repo, FILES[environment] + ".in")) as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [Requirement(line) for line in lines if line]


def pins_of(repo, environment):
    """[Pin] of a lock; marker: None or a packaging Marker, hashes: how many."""
    with open(os.path.join(repo, FILES[environment] + ".lock")) as file:
        blocks = re.split(r"^(?=\w)", file.read(), flags=re.MULTILINE)
    found = []
    for block in filter(None, blocks):
        asked = Requirement(block.splitlines()[0].rstrip(" \\"))
        (pinned,) = asked.specifier
        assert pinned.operator == "=="
        found.append(
            Pin(
                canonicalize_name(asked.name),
                pinned.version,
                asked.marker,
                block.count("--hash=sha256:"),
            )
        )
    return found


def holding(marked, machine=None):
    """Those of Pins or Requirements whose marker holds; machine: packaging's, default this one."""
    return [item for item in marked if item.marker is None or item.marker.evaluate(machine)]


# --- machines and checkouts


def script(path, text):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)
    return str(path)


def fake_python(path, version=None, lacking=None):
    """An interpreter elsewhere: that of the tests, with what it says of itself changed.

    version: a tuple, default what bootstrap.sh takes for the tests' environment; lacking: a module.
    """
    version = version or sys.version_info[:2]
    without = f"sys.modules['{lacking}'] = None; " if lacking else ""
    said = f"import sys; sys.version_info = {version + (0,)}; {without}$2"
    return script(path, f'exec "{sys.executable}" -c "{said}"')


@pytest.fixture
def bare(tmp_path):
    """Environment variables of a machine without Python: an empty HOME, basic tools alone."""
    for place in ("/opt/python", "/Library/Frameworks/Python.framework"):
        if os.path.exists(place):
            pytest.skip(f"this machine has Pythons in {place}, which bootstrap.sh finds by itself")
    for name in ("home", "tools"):
        (tmp_path / name).mkdir()
    for name in TOOLS:
        os.symlink(shutil.which(name), str(tmp_path / "tools" / name))
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "tools")}


def first(variables, *folders):
    """The variables with these folders first on PATH."""
    path = os.pathsep.join([str(folder) for folder in folders] + [variables["PATH"]])
    return dict(variables, PATH=path)


def machine(variables, folder, name):
    """The variables where `uname -m` answers name, by a stand-in that is put into the folder."""
    script(folder / "uname", f"echo {name}")
    return first(variables, folder)


def bootstrap(folder, *arguments, **variables):
    return subprocess.run(
        ["/bin/sh", os.path.join(str(folder), "bootstrap.sh")] + list(arguments),
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def found(folder, variables):
    return bootstrap(folder, "--find", **variables).stdout.strip()


@pytest.fixture
def elsewhere(repo, tmp_path):
    """A checkout of bootstrap.sh alone, so that no Python beside the repository is found."""
    folder = tmp_path / "check out"  # with a space, as people have them
    folder.mkdir()
    shutil.copy(os.path.join(repo, "bootstrap.sh"), str(folder))
    for name in FILES.values():
        (folder / (name + ".lock")).write_text("")
    return folder


CONTENTS = ["bootstrap.sh"] + sorted(name + ".lock" for name in FILES.values())


# builds an empty package with no build tool, for a current Python's environments begin without any
BACKEND = """
import zipfile
def build_editable(folder, *settings):
    with zipfile.ZipFile(folder + "/deeplab_nb-1-py3-none-any.whl", "w") as file:
        about = "Metadata-Version: 2.1\\nName: deeplab-nb\\nVersion: 1\\n"
        file.writestr("deeplab_nb-1.dist-info/METADATA", about)
        file.writestr("deeplab_nb-1.dist-info/RECORD", "")
        tags = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        file.writestr("deeplab_nb-1.dist-info/WHEEL", tags)
    return "deeplab_nb-1-py3-none-any.whl"
build_wheel = build_editable
"""


@pytest.fixture
def ready(elsewhere):
    """A checkout with a package that needs nothing."""
    (elsewhere / "backend.py").write_text(BACKEND)
    (elsewhere / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    )
    return elsewhere


def offline(variables):
    """The variables with which the tests' own environment is built, without any package index."""
    return dict(
        variables,
        ENVIRONMENT=OWN,
        PIP_NO_INDEX="1",
        PIP_CONFIG_FILE=os.devnull,
        **{VARIABLE: sys.executable},
    )
