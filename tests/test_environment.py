"""environment.yml, requirements.in, lock and installation agree; bootstrap.sh keeps step."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
import yaml
from importlib_metadata import distribution
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# all that bootstrap.sh needs
TOOLS = ("sh", "dirname", "cat", "cmp", "date", "rm", "mv", "awk", "mktemp", "uname")


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
    output = subprocess.check_output(
        [sys.executable, "-m", "pip", "list", "--format=json"], stderr=subprocess.DEVNULL
    )
    return {
        canonicalize_name(item["name"]): item["version"] for item in json.loads(output.decode())
    }


def test_every_direct_requirement_has_a_pin_that_satisfies_it(wanted, pins):
    assert len(wanted) > 20
    unmet = [
        str(r)
        for r in wanted
        if not r.specifier.contains(pins.get(canonicalize_name(r.name), ("0",))[0])
    ]
    assert unmet == []


def test_every_pin_has_a_hash(pins):
    assert len(pins) > 100
    assert [name for name, (_, hashes) in pins.items() if not hashes] == []


def test_what_is_installed_is_what_is_pinned(pins, installed):
    assert {name: installed.get(name) for name in pins} == {
        name: version for name, (version, _) in pins.items()
    }


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


def test_conda_takes_python_and_pip_of_the_lock(conda, pins):
    assert conda["name"] == "deeplab-nb"
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    assert conda["dependencies"][:2] == ["python=3.7", "pip=" + pins["pip"][0]]


def test_conda_installs_the_lock(conda, repo):
    (line,) = conda["dependencies"][2]["pip"]
    flag, name = line.split()
    assert flag == "-r" and os.path.samefile(
        os.path.join(repo, name), os.path.join(repo, "requirements.lock")
    )


@pytest.mark.parametrize("name", ["requirements.in", "environment.yml"])
def test_every_line_says_what_it_is_for(repo, name):
    with open(os.path.join(repo, name)) as file:
        lines = file.read().splitlines()
    assert [
        line for line in lines if line.strip() and not re.search(r"(^|\s)#\s*\w.{8}", line)
    ] == []


# --- bootstrap.sh --find


def script(path, text):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    path.write_text("#!/bin/sh\n" + text + "\n")
    path.chmod(0o755)


def working_python(path):
    """An interpreter elsewhere: the one that runs the tests, under another name."""
    script(path, f'exec "{sys.executable}" "$@"')
    return str(path)


@pytest.fixture
def bare(tmp_path):
    """Environment variables of a machine without Python: an empty HOME, basic tools alone on "
    "PATH."""
    if os.path.exists("/opt/python/cp37-cp37m"):
        pytest.skip(
            "this machine has a Python 3.7 in /opt/python, which bootstrap.sh finds by itself"
        )
    for name in ("home", "tools"):
        (tmp_path / name).mkdir()
    for name in TOOLS:
        os.symlink(shutil.which(name), str(tmp_path / "tools" / name))
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "tools")}


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
    script(path, f'exec "{sys.executable}" -c "import sys; sys.version_info = {version}; $2"')
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
    assert result.returncode == 2 and "--ascend, --find or --lock" in result.stderr


# --- bootstrap.sh: a real environment, of an empty lock and a package that needs nothing


def offline(bare):
    return dict(bare, PYTHON37=sys.executable, PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)


@pytest.fixture
def built(elsewhere, bare):
    (elsewhere / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='deeplab_nb', packages=[])\n"
    )
    result = bootstrap(elsewhere, **offline(bare))
    assert result.returncode == 0, result.stderr
    return elsewhere


def test_an_environment_in_step_is_left_alone_until_something_changes(built, bare):
    stamp = built / ".venv" / "stamp"
    before = stamp.stat().st_mtime_ns

    # `bare` has no Python to build with: a call that is not content with what is there ends with 3
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


# --- bootstrap.sh --ascend: TensorFlow, numpy and what belongs to them are the container's

VENDORS = {"tensorflow": "1.15.0", "numpy": "1.17.2", "protobuf": "3.11.3"}
UNWANTED = {"onnx", "onnxruntime", "tf2onnx"}  # and what they alone ask for


def left_out(repo):
    with open(os.path.join(repo, "bootstrap.sh")) as file:
        lists = re.findall(
            r"^(?:vendors|unwanted)=['\"](?:\$vendors\|)?(.*)['\"]$", file.read(), re.MULTILINE
        )
    return set("|".join(lists).split("|"))


def asks_for(name, extras=()):
    """The requirements of an installed package that hold here."""
    asked = [Requirement(text) for text in distribution(name).requires or ()]
    return [
        r
        for r in asked
        if r.marker is None
        or any(r.marker.evaluate({"extra": extra}) for extra in ("",) + tuple(extras))
    ]


def closure(names):
    """These packages and all that they ask for."""
    found, waiting = set(), [(canonicalize_name(name), ()) for name in names]
    while waiting:
        package = waiting.pop()
        if package not in found:
            found.add(package)
            waiting += [
                (canonicalize_name(r.name), tuple(sorted(r.extras))) for r in asks_for(*package)
            ]
    return {name for name, _ in found}


def test_on_ascend_all_is_installed_but_what_tensorflow_and_the_converter_alone_ask_for(
    repo, wanted, pins
):
    ours = closure(r.name for r in wanted if r.name not in set(VENDORS) | UNWANTED)
    assert left_out(repo) == {name for name in pins if name not in ours} | set(VENDORS)


def test_what_is_installed_on_ascend_goes_with_the_containers_packages(repo, pins):
    theirs = left_out(repo)
    asked = [
        r
        for name in set(pins) - theirs
        for r in asks_for(name)
        if canonicalize_name(r.name) in theirs
    ]
    assert {r.name for r in asked} == {"numpy"}
    assert [
        str(r)
        for r in asked
        if not (r.specifier.contains("1.17.2") and r.specifier.contains("1.18.5"))
    ] == []


def test_installing_the_project_brings_no_tensorflow(repo):
    with open(os.path.join(repo, "pyproject.toml")) as file:
        assert not re.search("^(dependencies|dynamic)", file.read(), re.MULTILINE)


@pytest.fixture
def container(bare, tmp_path):
    """Environment variables of Ascend's container: its Python sees the vendor's packages, here "
    "empty."""
    for name, version in VENDORS.items():
        package, about = (
            tmp_path / "vendor" / name,
            tmp_path / "vendor" / f"{name}-{version}.dist-info",
        )
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("")
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
    return dict(offline(bare), PYTHONPATH=str(tmp_path / "vendor"))


def listed(folder, variables):
    """{package: version} that .venv sees."""
    output = subprocess.check_output(
        [str(folder / ".venv" / "bin" / "python"), "-m", "pip", "list", "--format=json"],
        env=variables,
        stderr=subprocess.DEVNULL,
    )
    return {item["name"].lower(): item["version"] for item in json.loads(output.decode())}


def test_on_ascend_the_containers_packages_stay(elsewhere, bare, container):
    """From a lock whose packages of TensorFlow cannot be had, so that asking for one would fail."""
    lock = "".join(
        "{}=={} \\\n    --hash=sha256:{}\n".format(name, version, 64 * "0")
        for name, version in (("tensorflow", "1.15.5"), ("numpy", "1.18.5"), ("protobuf", "3.20.3"))
    )
    (elsewhere / "requirements.lock").write_text(lock)
    (elsewhere / "setup.py").write_text(
        "from setuptools import setup\nsetup(name='deeplab_nb', packages=[])\n"
    )
    result = bootstrap(elsewhere, "--ascend", **container)
    assert result.returncode == 0 and "ready after" in result.stderr, result.stderr
    seen = listed(elsewhere, container)
    assert {name: seen[name] for name in VENDORS} == VENDORS and "deeplab-nb" in seen

    # from here on without a Python to build with: what is in step is left alone, the rest would be
    # built
    for arguments in (["--ascend"], []):
        result = bootstrap(elsewhere, *arguments, **bare)
        assert (result.returncode, result.stdout + result.stderr) == (0, "")
    (elsewhere / "requirements.lock").write_text(lock + "# changed\n")
    assert "with a TensorFlow of its own" in bootstrap(elsewhere, **bare).stderr  # of the same kind
    (elsewhere / "requirements.lock").write_text(lock)
    (elsewhere / ".venv" / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    assert bootstrap(elsewhere, "--ascend", **bare).returncode == 3  # in place of an ordinary one


def test_a_python_without_tensorflow_is_no_container(elsewhere, bare, tmp_path):
    script(
        tmp_path / "plain" / "python3.7", f'exec "{sys.executable}" -S "$@"'
    )  # -S: without installed packages
    variables = dict(bare, PYTHON37=str(tmp_path / "plain" / "python3.7"))
    assert found(elsewhere, variables) == variables["PYTHON37"]
    result = bootstrap(elsewhere, "--ascend", **variables)
    assert result.returncode == 3 and "no Python 3.7 with a TensorFlow of its own" in result.stderr
    assert sorted(os.listdir(str(elsewhere))) == ["bootstrap.sh", "requirements.lock"]


# --- bootstrap.sh --ascend: where the adapter comes from


def wheel(folder):
    """A wheel that holds an empty npu_bridge, named as the vendor names its own."""
    path, about = folder / "npu_bridge-1.15.0-py3-none-any.whl", "npu_bridge-1.15.0.dist-info/"
    with zipfile.ZipFile(str(path), "w") as file:
        for name, text in (
            ("npu_bridge/__init__.py", ""),
            (about + "RECORD", ""),
            (about + "METADATA", "Metadata-Version: 2.1\nName: npu_bridge\nVersion: 1.15.0\n"),
            (about + "WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\nRoot-Is-Purelib: true\n"),
        ):
            file.writestr(name, text)
    return path


def package(folder):
    (folder / "npu_bridge").mkdir(parents=True)
    (folder / "npu_bridge" / "__init__.py").write_text("")
    return folder


@pytest.fixture
def ready(elsewhere):
    setup = "from setuptools import setup\nsetup(name='deeplab_nb', packages=[])\n"
    (elsewhere / "setup.py").write_text(setup)
    return elsewhere


def adapter_of(folder, variables):
    """Where .venv finds npu_bridge; fails without."""
    code = "import npu_bridge; print(npu_bridge.__file__)"
    return subprocess.check_output(
        [str(folder / ".venv" / "bin" / "python"), "-c", code],
        env=variables,
        universal_newlines=True,
    )


def test_without_an_adapter_a_sentence_says_so_and_its_wheel_can_follow(ready, container, tmp_path):
    if os.path.isdir("/usr/local/Ascend/tfplugin"):
        pytest.skip("this machine has an adapter where bootstrap.sh looks")
    result = bootstrap(ready, "--ascend", **container)
    said = [line for line in result.stderr.splitlines() if "npu_bridge" in line]
    assert result.returncode == 0 and len(said) == 1
    assert "ADAPTER=/path/to/npu_bridge-1.15.0-" in said[0]
    stamp = (ready / ".venv" / "stamp").stat().st_mtime_ns
    result = bootstrap(ready, "--ascend", **dict(container, ADAPTER=str(wheel(tmp_path))))
    assert (result.returncode, "not importable" in result.stderr) == (0, False), result.stderr
    assert str(ready / ".venv") in adapter_of(ready, container)
    assert (ready / ".venv" / "stamp").stat().st_mtime_ns == stamp, "nothing was built anew"


@pytest.mark.parametrize(
    "place", ["tfplugin", "tfplugin/python/site-packages", "tfplugin/latest/python/site-packages"]
)
def test_an_adapter_in_its_usual_folder_is_found(ready, container, tmp_path, place):
    folder = package(tmp_path / "home" / "Ascend" / place)
    result = bootstrap(ready, "--ascend", **container)
    assert result.returncode == 0 and "npu_bridge" not in result.stderr, result.stderr
    assert str(folder) in adapter_of(ready, container)


def test_the_adapter_that_is_on_the_path_stays(ready, container, tmp_path):
    package(tmp_path / "home" / "Ascend" / "tfplugin")
    folder = package(tmp_path / "sourced")
    container["PYTHONPATH"] += os.pathsep + str(folder)
    assert "npu_bridge" not in bootstrap(ready, "--ascend", **container).stderr
    assert str(folder) in adapter_of(ready, container)
    assert not list((ready / ".venv").glob("lib/*/site-packages/npu_bridge*"))


def test_a_wheel_that_does_not_exist_is_named_before_anything_is_built(ready, container):
    result = bootstrap(ready, "--ascend", **dict(container, ADAPTER="/gone/npu_bridge.whl"))
    assert result.returncode == 2
    assert "ADAPTER names /gone/npu_bridge.whl, which does not exist" in result.stderr
    assert not (ready / ".venv").exists()
