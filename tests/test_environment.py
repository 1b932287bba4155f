"""environment.yml, the .in files, their locks and the installation agree, in both environments."""

import json
import os
import re
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.checkout import FILES, OWN, holding, pins_of, wanted_of

# what the current lock is for; as packaging's markers say it
SYSTEMS = {
    "Linux x86-64": ("linux", "Linux", "x86_64"),
    "Linux Arm": ("linux", "Linux", "aarch64"),
    "macOS Arm": ("darwin", "Darwin", "arm64"),
}
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
both = pytest.mark.parametrize("environment", sorted(FILES))


def machines(environment):
    """Markers' variables of each machine that an environment is for; None: this one's."""
    if environment == "reference":
        return [None]
    names = ("sys_platform", "platform_system", "platform_machine")
    return [
        dict(zip(names, system), python_version=python, python_full_version=python + ".7")
        for system in SYSTEMS.values()
        for python in PYTHONS
    ]


@pytest.fixture(scope="module")
def conda(repo):
    with open(os.path.join(repo, "environment.yml")) as file:
        return yaml.safe_load(file)


@pytest.fixture(scope="module")
def installed():
    output = subprocess.check_output(
        [sys.executable, "-m", "pip", "list", "--format=json"], stderr=subprocess.DEVNULL
    )
    return {
        canonicalize_name(item["name"]): item["version"] for item in json.loads(output.decode())
    }


@both
def test_every_direct_requirement_has_a_pin_that_satisfies_it(repo, environment):
    asked = wanted_of(repo, environment)
    assert len(asked) > 20
    for machine in machines(environment):
        pins = {pin.name: pin.version for pin in holding(pins_of(repo, environment), machine)}
        unmet = [
            str(r)
            for r in holding(asked, machine)
            if not r.specifier.contains(pins.get(canonicalize_name(r.name), "0"))
        ]
        assert unmet == [], machine


@both
def test_no_machine_is_given_two_versions_of_a_package(repo, environment):
    for machine in machines(environment):
        names = [pin.name for pin in holding(pins_of(repo, environment), machine)]
        assert len(names) > 100 and len(names) == len(set(names)), machine


@both
def test_every_pin_has_a_hash(repo, environment):
    assert [pin.name for pin in pins_of(repo, environment) if not pin.hashes] == []


def test_tensorflow_is_locked_for_each_system_and_python(repo):
    """One version whose wheels are many enough; each lies in the lock by its hash."""
    (tensorflow,) = [pin for pin in pins_of(repo, "current") if pin.name == "tensorflow"]
    assert tensorflow.hashes >= len(SYSTEMS) * len(PYTHONS)


def test_both_environments_ask_for_the_same_form(repo):
    ruffs = {
        pin.version for name in FILES for pin in pins_of(repo, name) if pin.name.startswith("ruff")
    }
    assert len(ruffs) == 1


def test_what_is_installed_is_what_is_pinned(repo, installed):
    pins = {pin.name: pin.version for pin in holding(pins_of(repo, OWN))}
    assert {name: installed.get(name) for name in pins} == pins


def test_installed_packages_do_not_contradict_each_other():
    check = subprocess.run(
        [sys.executable, "-m", "pip", "check"], stdout=subprocess.PIPE, text=True
    )
    assert check.returncode == 0, check.stdout


def test_the_package_is_installed_in_place_with_its_command(repo, installed):
    assert "deeplab-nb" in installed
    assert os.access(os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), os.X_OK)
    where = subprocess.check_output(
        [sys.executable, "-c", "import deeplab_nb; print(deeplab_nb.__file__)"], cwd=os.sep
    )
    assert os.path.samefile(
        os.path.dirname(where.decode().strip()), os.path.join(repo, "deeplab_nb")
    )


KERNEL = """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
client.execute_interactive("import sys; print(sys.prefix)")
client.stop_channels(); manager.shutdown_kernel()
"""


def test_a_kernel_of_the_environment_starts_without_a_word():
    done = subprocess.run(
        [sys.executable, "-c", KERNEL], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, sys.prefix)


def test_conda_takes_python_and_pip_of_the_lock(repo, conda):
    (pip,) = [pin.version for pin in pins_of(repo, "reference") if pin.name == "pip"]
    assert conda["name"] == "deeplab-nb"
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    assert conda["dependencies"][:2] == ["python=3.7", "pip=" + pip]


def test_conda_installs_the_lock(conda, repo):
    (line,) = conda["dependencies"][2]["pip"]
    flag, name = line.split()
    assert flag == "-r" and os.path.samefile(
        os.path.join(repo, name), os.path.join(repo, "requirements.lock")
    )


@pytest.mark.parametrize("name", ["requirements.in", "requirements-current.in", "environment.yml"])
def test_every_line_says_what_it_is_for(repo, name):
    with open(os.path.join(repo, name)) as file:
        lines = file.read().splitlines()
    assert [
        line for line in lines if line.strip() and not re.search(r"(^|\s)#\s*\w.{8}", line)
    ] == []


def test_installing_the_project_brings_no_tensorflow(repo):
    with open(os.path.join(repo, "pyproject.toml")) as file:
        assert not re.search("^(dependencies|dynamic)", file.read(), re.MULTILINE)


def test_what_a_hosted_service_is_asked_for_is_in_the_current_lock(repo):
    with open(os.path.join(repo, "pyproject.toml")) as file:
        (names,) = re.findall(r"^hosted = (\[.*?\])$", file.read(), re.MULTILINE | re.DOTALL)
    asked = [Requirement(name) for name in json.loads(names)]
    wanted = {r.name for r in wanted_of(repo, "current")}
    assert "tensorflow" in wanted and {r.name for r in asked} <= wanted
    pins = {pin.name: pin.version for pin in pins_of(repo, "current")}
    assert all(r.specifier.contains(pins[canonicalize_name(r.name)]) for r in asked)


def test_binders_python_is_one_that_the_current_environment_takes(repo):
    with open(os.path.join(repo, ".binder", "runtime.txt")) as file:
        assert file.read().strip().replace("python-", "") in PYTHONS
    assert os.access(os.path.join(repo, ".binder", "postBuild"), os.X_OK)
