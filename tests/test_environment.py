"""environment.yml, requirements.in, the lock and what is installed agree; bootstrap.sh finds and keeps step."""
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOOLS = ("sh", "dirname", "cat", "cmp", "date", "rm", "mv", "awk", "mktemp")  # all that bootstrap.sh needs


# --- the files that name packages

@pytest.fixture(scope="module")
def wanted(repo):
    """The direct requirements, in order."""
    with open(os.path.join(repo, "requirements.in")) as file:
        lines = [line.split("#")[0].strip() for line in file]
    return [Requirement(line) for line in lines if line]


@pytest.fixture(scope="module")
def pins(repo):
    """{package: (version, number of hashes)} of the lock."""
    with open(os.path.join(repo, "requirements.lock")) as file:
        blocks = re.split(r"^(?=\w)", file.read(), flags=re.MULTILINE)
    found = {}
    for block in filter(None, blocks):
        name, version = re.match(r"([\w.-]+)==(\S+)", block).groups()
        found[canonicalize_name(name)] = version, block.count("--hash=sha256:")
    return found


@pytest.fixture(scope="module")
def conda(repo):
    with open(os.path.join(repo, "environment.yml")) as file:
        return yaml.safe_load(file)


@pytest.fixture(scope="module")
def installed():
    output = subprocess.check_output([sys.executable, "-m", "pip", "list", "--format=json"], stderr=subprocess.DEVNULL)
    return {canonicalize_name(item["name"]): item["version"] for item in json.loads(output.decode())}


def test_every_direct_requirement_has_a_pin_that_satisfies_it(wanted, pins):
    assert len(wanted) > 20
    unmet = [str(r) for r in wanted if not r.specifier.contains(pins.get(canonicalize_name(r.name), ("0",))[0])]
    assert unmet == []


def test_every_pin_has_a_hash(pins):
    assert len(pins) > 100
    assert [name for name, (_, hashes) in pins.items() if not hashes] == []


def test_what_is_installed_is_what_is_pinned(pins, installed):
    assert {name: installed.get(name) for name in pins} == {name: version for name, (version, _) in pins.items()}


def test_installed_packages_do_not_contradict_each_other():
    check = subprocess.run([sys.executable, "-m", "pip", "check"], stdout=subprocess.PIPE, universal_newlines=True)
    assert check.returncode == 0, check.stdout


def test_the_package_is_installed_in_place_with_its_command(repo, installed):
    assert "deeplab-nb" in installed
    assert os.access(os.path.join(os.path.dirname(sys.executable), "deeplab-nb"), os.X_OK)
    where = subprocess.check_output([sys.executable, "-c", "import deeplab_nb; print(deeplab_nb.__file__)"], cwd=os.sep)
    assert os.path.samefile(os.path.dirname(where.decode().strip()), os.path.join(repo, "deeplab_nb"))


def test_conda_takes_python_and_pip_of_the_lock(conda, pins):
    assert conda["name"] == "deeplab-nb"
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    assert conda["dependencies"][:2] == ["python=3.7", "pip=" + pins["pip"][0]]


def test_conda_installs_the_lock(conda, repo):
    (line,) = conda["dependencies"][2]["pip"]
    flag, name = line.split()
    assert flag == "-r" and os.path.samefile(os.path.join(repo, name), os.path.join(repo, "requirements.lock"))


@pytest.mark.parametrize("name", ["requirements.in", "environment.yml"])
def test_every_line_says_what_it_is_for(repo, name):
    with open(os.path.join(repo, name)) as file:
        lines = file.read().splitlines()
    assert [line for line in lines if line.strip() and not re.search(r"(^|\s)#\s*\w.{8}", line)] == []


# --- bootstrap.sh --find

def script(path, text):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)


def working_python(path):
    """An interpreter elsewhere: the one that runs the tests, under another name."""
    script(path, 'exec "{}" "$@"'.format(sys.executable))
    return str(path)


@pytest.fixture
def bare(tmp_path):
    """Environment variables of a machine without any Python: an empty HOME, and the basic tools alone on PATH."""
    if os.path.exists("/opt/python/cp37-cp37m"):
        pytest.skip("this machine has a Python 3.7 in /opt/python, which bootstrap.sh finds by itself")
    for name in ("home", "tools"):
        (tmp_path / name).mkdir()
    for name in TOOLS:
        os.symlink(shutil.which(name), str(tmp_path / "tools" / name))
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "tools")}


def bootstrap(folder, *arguments, **variables):
    return subprocess.run(["/bin/sh", os.path.join(str(folder), "bootstrap.sh")] + list(arguments), env=variables,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)


def found(folder, variables):
    return bootstrap(folder, "--find", **variables).stdout.strip()


@pytest.fixture
def elsewhere(repo, tmp_path):
    """A checkout of bootstrap.sh alone, so that no Python beside the repository is found."""
    folder = tmp_path / "check out"  # with a space, as people have them
    folder.mkdir()
    shutil.copy(os.path.join(repo, "bootstrap.sh"), str(folder))
    (folder / "requirements.lock").write_text("")
    return folder


def test_a_failing_python37_first_on_path_is_passed_over(elsewhere, bare, tmp_path):
    script(tmp_path / "shims" / "python3.7", "exit 127")
    good = working_python(tmp_path / "good" / "python3.7")
    bare["PATH"] = os.pathsep.join([str(tmp_path / "shims"), os.path.dirname(good), bare["PATH"]])
    assert found(elsewhere, bare) == good


@pytest.mark.parametrize("version, counts", [((3, 7), True), ((3, 8), False), ((2, 7), False)])
def test_only_a_python_that_reports_37_counts(elsewhere, bare, tmp_path, version, counts):
    path = tmp_path / "other" / "python3.7"
    script(path, 'exec "{}" -c "import sys; sys.version_info = {}; $2"'.format(sys.executable, version))
    bare["PATH"] = os.pathsep.join([str(path.parent), bare["PATH"]])
    assert found(elsewhere, bare) == (str(path) if counts else "")


def test_a_python_that_does_not_activate_is_found_beside_pyenvs_shims(elsewhere, bare, tmp_path):
    script(tmp_path / "pyenv" / "shims" / "python3.7", "exit 127")
    good = working_python(tmp_path / "pyenv" / "versions" / "3.7.16" / "bin" / "python")
    bare["PATH"] = os.pathsep.join([str(tmp_path / "pyenv" / "shims"), bare["PATH"]])
    assert found(elsewhere, bare) == good


def test_pyenv_in_the_home_folder_is_found_without_its_shims(elsewhere, bare, tmp_path):
    good = working_python(tmp_path / "home" / ".pyenv" / "versions" / "3.7.9" / "bin" / "python")
    assert found(elsewhere, bare) == good


def test_python37_in_the_variable_wins_over_conda_and_path(elsewhere, bare, tmp_path):
    on_path = working_python(tmp_path / "good" / "python3.7")
    in_conda = working_python(tmp_path / "conda" / "bin" / "python")
    named = working_python(tmp_path / "named" / "snake")
    bare["PATH"] = os.pathsep.join([os.path.dirname(on_path), bare["PATH"]])
    bare["CONDA_PREFIX"] = str(tmp_path / "conda")
    assert found(elsewhere, bare) == in_conda
    assert found(elsewhere, dict(bare, PYTHON37=named)) == named


def test_an_activated_environment_is_not_built_from_itself(elsewhere, bare):
    own = working_python(elsewhere / ".venv" / "bin" / "python3.7")
    bare["PATH"] = os.pathsep.join([os.path.dirname(own), bare["PATH"]])
    assert found(elsewhere, bare) == ""


@pytest.mark.parametrize("arguments", [(), ("--find",), ("--lock",)])
def test_without_any_python_three_ways_out_are_named(elsewhere, bare, arguments):
    result = bootstrap(elsewhere, *arguments, **bare)
    assert result.returncode == 3
    for way in ("PYTHON37=", "conda env create -f environment.yml", "pyenv install 3.7"):
        assert way in result.stderr
    assert sorted(os.listdir(str(elsewhere))) == ["bootstrap.sh", "requirements.lock"]


def test_an_unknown_argument_is_refused(elsewhere, bare):
    result = bootstrap(elsewhere, "--fnid", **bare)
    assert result.returncode == 2 and "--find or --lock" in result.stderr


# --- bootstrap.sh: a real environment, of an empty lock and a package that needs nothing

def offline(bare):
    return dict(bare, PYTHON37=sys.executable, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)


@pytest.fixture
def built(elsewhere, bare):
    (elsewhere / "setup.py").write_text("from setuptools import setup\nsetup(name='deeplab_nb', packages=[])\n")
    result = bootstrap(elsewhere, **offline(bare))
    assert result.returncode == 0, result.stderr
    return elsewhere


def test_an_environment_in_step_is_left_alone_until_something_changes(built, bare):
    stamp = built / ".venv" / "stamp"
    before = stamp.stat().st_mtime_ns

    # `bare` has no Python to build with, so a call that is not content with what is there ends with 3
    second = bootstrap(built, **bare)
    assert (second.returncode, second.stdout + second.stderr) == (0, "")
    assert stamp.stat().st_mtime_ns == before

    moved = built.with_name("moved")
    shutil.copytree(str(built), str(moved), symlinks=True)
    assert bootstrap(moved, **bare).returncode == 3

    (built / "requirements.lock").write_text("# changed\n")
    assert bootstrap(built, **bare).returncode == 3
    (built / "requirements.lock").write_text("")
    assert bootstrap(built, **bare).returncode == 0

    (built / ".venv" / "bin" / "python").unlink()
    assert bootstrap(built, **bare).returncode == 3


def test_a_package_that_cannot_be_had_leaves_no_stamp(elsewhere, bare):
    (elsewhere / "requirements.lock").write_text("wheel==0.42.0 --hash=sha256:" + 64 * "0" + "\n")
    result = bootstrap(elsewhere, **offline(bare))
    assert result.returncode == 1
    assert "tools.lock could not be installed" in result.stderr
    assert not (elsewhere / ".venv" / "stamp").exists()
