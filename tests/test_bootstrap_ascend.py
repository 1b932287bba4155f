"""bootstrap.sh --ascend: TensorFlow, numpy and what belongs to them are the container's."""

import json
import os
import re
import subprocess
import sys
import zipfile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.checkout import (  # noqa: F401
    CONTENTS,
    REFERENCE,
    bare,
    bootstrap,
    elsewhere,
    found,
    offline,
    pins_of,
    ready,
    script,
    wanted_of,
)

# the container's Python is 3.7, and so is that which stands for it here
pytestmark = pytest.mark.skipif(not REFERENCE, reason="Ascend's container has Python 3.7")

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
    from importlib_metadata import distribution  # of Python 3.7's environment

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
    repo,
):
    pins, wanted = {pin.name for pin in pins_of(repo, "reference")}, wanted_of(repo, "reference")
    ours = closure(r.name for r in wanted if r.name not in set(VENDORS) | UNWANTED)
    assert left_out(repo) == {name for name in pins if name not in ours} | set(VENDORS)


def test_what_is_installed_on_ascend_goes_with_the_containers_packages(repo):
    theirs = left_out(repo)
    pins = {pin.name for pin in pins_of(repo, "reference")}
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


def test_on_ascend_the_containers_packages_stay(ready, bare, container):
    """From a lock whose packages of TensorFlow cannot be had, so that asking for one would fail."""
    lock = "".join(
        "{}=={} \\\n    --hash=sha256:{}\n".format(name, version, 64 * "0")
        for name, version in (("tensorflow", "1.15.5"), ("numpy", "1.18.5"), ("protobuf", "3.20.3"))
    )
    (ready / "requirements.lock").write_text(lock)
    result = bootstrap(ready, "--ascend", **container)
    assert result.returncode == 0 and "ready after" in result.stderr, result.stderr
    seen = listed(ready, container)
    assert {name: seen[name] for name in VENDORS} == VENDORS and "deeplab-nb" in seen

    # from here on without a Python to build with: what is in step is left alone, the rest would be
    # built
    for arguments in (["--ascend"], []):
        result = bootstrap(ready, *arguments, **bare)
        assert (result.returncode, result.stdout + result.stderr) == (0, "")
    (ready / "requirements.lock").write_text(lock + "# changed\n")
    assert "with a TensorFlow of its own" in bootstrap(ready, **bare).stderr  # of the same kind
    (ready / "requirements.lock").write_text(lock)
    (ready / ".venv" / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    assert bootstrap(ready, "--ascend", **bare).returncode == 3  # in place of an ordinary one


def test_a_python_without_tensorflow_is_no_container(elsewhere, bare, tmp_path):
    script(
        tmp_path / "plain" / "python3.7", f'exec "{sys.executable}" -S "$@"'
    )  # -S: without installed packages
    variables = dict(bare, PYTHON37=str(tmp_path / "plain" / "python3.7"))
    assert found(elsewhere, variables) == variables["PYTHON37"]
    result = bootstrap(elsewhere, "--ascend", **variables)
    assert result.returncode == 3 and "no Python 3.7 with a TensorFlow of its own" in result.stderr
    assert sorted(os.listdir(str(elsewhere))) == CONTENTS


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
    container["ENVIRONMENT"] = "current"  # means nothing here: the container's TensorFlow is 1.15
    assert "npu_bridge" not in bootstrap(ready, "--ascend", **container).stderr
    assert str(folder) in adapter_of(ready, container)
    assert not list((ready / ".venv").glob("lib/*/site-packages/npu_bridge*"))


def test_a_wheel_that_does_not_exist_is_named_before_anything_is_built(ready, container):
    result = bootstrap(ready, "--ascend", **dict(container, ADAPTER="/gone/npu_bridge.whl"))
    assert result.returncode == 2
    assert "ADAPTER names /gone/npu_bridge.whl, which does not exist" in result.stderr
    assert not (ready / ".venv").exists()
