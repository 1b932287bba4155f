"""bootstrap.sh finds a Python, chooses an environment, builds it and keeps it in step."""

import os
import shutil
import sys

import pytest

from tests.support.checkout import (  # noqa: F401
    CONTENTS,
    FILES,
    FOLDER,
    OWN,
    VARIABLE,
    bare,
    bootstrap,
    elsewhere,
    fake_python,
    first,
    found,
    machine,
    offline,
    ready,
    script,
)

NAMES = {"reference": "python3.7", "current": "python3.12"}
VERSIONS = {"reference": (3, 7), "current": (3, 12)}
VARIABLES = {"reference": "PYTHON37", "current": "PYTHON3"}
OTHER = {"reference": "current", "current": "reference"}
both = pytest.mark.parametrize("environment", sorted(FILES))


@pytest.fixture
def on_x86(bare, tmp_path):  # noqa: F811
    """A bare machine with the processor that TensorFlow 1.15.5 has wheels for."""
    return machine(bare, tmp_path / "x86", "x86_64")


# --- --find


@both
def test_a_failing_python_first_on_path_is_passed_over(elsewhere, bare, tmp_path, environment):
    script(tmp_path / "shims" / NAMES[environment], "exit 127")
    good = fake_python(tmp_path / "good" / NAMES[environment], VERSIONS[environment])
    bare = dict(first(bare, tmp_path / "shims", tmp_path / "good"), ENVIRONMENT=environment)
    assert found(elsewhere, bare) == good


@pytest.mark.parametrize(
    "environment, version, counts",
    [
        ("reference", (3, 7), True),
        ("reference", (3, 8), False),
        ("reference", (2, 7), False),
        ("current", (3, 9), False),
        ("current", (3, 10), True),
        ("current", (3, 13), True),
        ("current", (3, 14), False),
    ],
)
def test_only_what_tensorflow_has_wheels_for_counts(
    elsewhere, bare, tmp_path, environment, version, counts
):
    path = fake_python(tmp_path / "other" / NAMES[environment], version)
    bare = dict(first(bare, tmp_path / "other"), ENVIRONMENT=environment)
    assert found(elsewhere, bare) == (path if counts else "")


def test_a_plain_python3_serves_if_it_is_current(elsewhere, bare, tmp_path):
    path = fake_python(tmp_path / "other" / "python3", (3, 11))
    assert found(elsewhere, dict(first(bare, tmp_path / "other"), ENVIRONMENT="current")) == path


@both
def test_a_python_that_does_not_activate_is_found_beside_pyenvs_shims(
    elsewhere, bare, tmp_path, environment
):
    script(tmp_path / "pyenv" / "shims" / NAMES[environment], "exit 127")
    number = ".".join(map(str, VERSIONS[environment])) + ".4"
    place = tmp_path / "pyenv" / "versions" / number / "bin" / "python"
    good = fake_python(place, VERSIONS[environment])
    bare = dict(first(bare, tmp_path / "pyenv" / "shims"), ENVIRONMENT=environment)
    assert found(elsewhere, bare) == good


@both
def test_pyenv_in_the_home_folder_is_found_without_its_shims(
    elsewhere, bare, tmp_path, environment
):
    number = ".".join(map(str, VERSIONS[environment])) + ".9"
    place = tmp_path / "home" / ".pyenv" / "versions" / number / "bin" / "python"
    good = fake_python(place, VERSIONS[environment])
    assert found(elsewhere, dict(bare, ENVIRONMENT=environment)) == good


@both
def test_python_in_the_variable_wins_over_conda_and_path(elsewhere, bare, tmp_path, environment):
    version = VERSIONS[environment]
    fake_python(tmp_path / "good" / NAMES[environment], version)
    in_conda = fake_python(tmp_path / "conda" / "bin" / "python", version)
    named = fake_python(tmp_path / "named" / "snake", version)
    bare = dict(
        first(bare, tmp_path / "good"),
        CONDA_PREFIX=str(tmp_path / "conda"),
        ENVIRONMENT=environment,
    )
    assert found(elsewhere, bare) == in_conda
    assert found(elsewhere, dict(bare, **{VARIABLES[environment]: named})) == named


@both
@pytest.mark.parametrize("folder", [".venv", ".venv-current"])
def test_an_activated_environment_is_not_built_from_itself(elsewhere, bare, environment, folder):
    place = elsewhere / folder / "bin"
    fake_python(place / NAMES[environment], VERSIONS[environment])
    assert found(elsewhere, dict(first(bare, place), ENVIRONMENT=environment)) == ""


# --- which environment


def chosen(folder, variables):
    """(folder that bootstrap.sh would take, how many lines it says)."""
    result = bootstrap(folder, "--folder", **variables)
    assert result.returncode == 0 and result.stderr == ""
    return result.stdout.strip()


@pytest.mark.parametrize(
    "pythons, processor, folder",
    [
        (["reference", "current"], "x86_64", ".venv"),
        (["reference"], "x86_64", ".venv"),
        (["current"], "x86_64", ".venv-current"),
        ([], "x86_64", ".venv-current"),
        (["reference", "current"], "aarch64", ".venv-current"),  # no wheel of TensorFlow 1.15
        (["reference"], "arm64", ".venv-current"),
    ],
)
def test_what_is_on_the_machine_chooses(elsewhere, bare, tmp_path, pythons, processor, folder):
    for environment in pythons:
        fake_python(tmp_path / "good" / NAMES[environment], VERSIONS[environment])
    variables = machine(first(bare, tmp_path / "good"), tmp_path / "processor", processor)
    assert chosen(elsewhere, variables) == folder
    for environment in FILES:
        folder = {"reference": ".venv", "current": ".venv-current"}[environment]
        assert chosen(elsewhere, dict(variables, ENVIRONMENT=environment)) == folder


def test_one_line_says_what_was_chosen_and_how_to_choose_otherwise(elsewhere, on_x86, tmp_path):
    said = bootstrap(elsewhere, **on_x86).stderr.splitlines()[0]
    assert "current (Python 3.10 to 3.13" in said and "ENVIRONMENT=reference" in said
    fake_python(tmp_path / "good" / "python3.7", (3, 7))
    said = bootstrap(elsewhere, **first(on_x86, tmp_path / "good")).stderr.splitlines()[0]
    assert "reference (Python 3.7" in said and "ENVIRONMENT=current" in said


def test_an_environment_that_there_is_not_is_refused(elsewhere, bare):
    for arguments in ((), ("--find",), ("--folder",)):
        result = bootstrap(elsewhere, *arguments, **dict(bare, ENVIRONMENT="prod"))
        assert result.returncode == 2 and "it can be reference or current" in result.stderr


@pytest.mark.skipif(OWN == "reference", reason="builds the current environment")
@pytest.mark.parametrize("processor", ["aarch64", "arm64"])
def test_the_current_one_is_built_on_arm(ready, bare, tmp_path, processor):
    variables = machine(offline(bare), tmp_path / "processor", processor)
    del variables["ENVIRONMENT"]
    result = bootstrap(ready, **variables)
    assert result.returncode == 0 and "building .venv-current" in result.stderr, result.stderr


def test_the_reference_is_refused_where_tensorflow_has_no_wheel(elsewhere, bare, tmp_path):
    fake_python(tmp_path / "good" / "python3.7", (3, 7))
    variables = machine(first(bare, tmp_path / "good"), tmp_path / "processor", "aarch64")
    result = bootstrap(elsewhere, **dict(variables, ENVIRONMENT="reference"))
    assert result.returncode == 3
    assert "no wheel for aarch64" in result.stderr and "ENVIRONMENT=current" in result.stderr
    assert sorted(os.listdir(str(elsewhere))) == CONTENTS


# --- no Python that serves


@both
@pytest.mark.parametrize("arguments", [(), ("--find",)])
def test_without_any_python_the_ways_out_are_named(elsewhere, on_x86, arguments, environment):
    result = bootstrap(elsewhere, *arguments, **dict(on_x86, ENVIRONMENT=environment))
    assert result.returncode == 3
    ways = (VARIABLES[environment] + "=", "conda activate", "pyenv install 3.")
    for way in ways + ("ENVIRONMENT=" + OTHER[environment],):
        assert way in result.stderr
    assert f"no {'Python 3.7' if environment == 'reference' else 'Python 3.10 to 3.13'} found" in (
        result.stderr
    )
    assert sorted(os.listdir(str(elsewhere))) == CONTENTS


def test_a_lock_needs_a_python(elsewhere, on_x86):
    assert bootstrap(elsewhere, "--lock", **on_x86).returncode == 3
    result = bootstrap(elsewhere, "--lock", **dict(on_x86, ENVIRONMENT="current"))
    assert result.returncode == 1 and "python3 of 3.8 or later" in result.stderr


@both
@pytest.mark.parametrize("lacking", ["venv", "ensurepip"])
def test_a_python_that_makes_no_environments_is_named(
    elsewhere, on_x86, tmp_path, environment, lacking
):
    path = fake_python(tmp_path / "good" / NAMES[environment], VERSIONS[environment], lacking)
    variables = dict(first(on_x86, tmp_path / "good"), ENVIRONMENT=environment)
    result = bootstrap(elsewhere, **variables)
    assert result.returncode == 3
    assert f"{path} lacks venv or ensurepip" in result.stderr and "python3-venv" in result.stderr


@both
def test_a_python_that_does_not_run_is_named(elsewhere, on_x86, tmp_path, environment):
    path = script(tmp_path / "bad" / NAMES[environment], "exit 127")
    variables = dict(first(on_x86, tmp_path / "bad"), ENVIRONMENT=environment)
    result = bootstrap(elsewhere, **variables)
    assert result.returncode == 3 and f"{path} is there but does not run" in result.stderr


def test_without_a_network_one_sentence_says_that_none_could_be_fetched(
    elsewhere, on_x86, tmp_path
):
    """A python3 is there, too old for the environment, from which uv would have been installed."""
    fake = 'case $1 in -c) exec "{0}" -c "import sys; sys.version_info = (3, 9, 0); $2" ;; esac'
    fake += '\nexec "{0}" "$@"'
    script(tmp_path / "old" / "python3", fake.format(sys.executable))
    variables = dict(first(on_x86, tmp_path / "old"), PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    result = bootstrap(elsewhere, **dict(variables, ENVIRONMENT="current"))
    assert result.returncode == 3
    assert "none could be fetched (No matching distribution found for uv" in result.stderr
    assert "ERROR" not in result.stderr and "Traceback" not in result.stderr
    assert sorted(os.listdir(str(elsewhere))) == CONTENTS


def test_an_unknown_argument_is_refused(elsewhere, bare):
    result = bootstrap(elsewhere, "--fnid", **bare)
    assert result.returncode == 2 and "--ascend, --folder, --find or --lock" in result.stderr


# --- a real environment, of an empty lock and a package that needs nothing


@pytest.fixture
def built(ready, bare):  # noqa: F811
    result = bootstrap(ready, **offline(bare))
    assert result.returncode == 0, result.stderr
    return ready


def test_an_environment_in_step_is_left_alone_until_something_changes(built, bare):
    stamp, lock = built / FOLDER / "stamp", built / (FILES[OWN] + ".lock")
    before = stamp.stat().st_mtime_ns
    bare["ENVIRONMENT"] = OWN

    # `bare` has no Python to build with: a call that is not content with what is there ends with 3
    second = bootstrap(built, **bare)
    assert (second.returncode, second.stdout + second.stderr) == (0, "")
    assert stamp.stat().st_mtime_ns == before

    moved = built.with_name("moved")
    shutil.copytree(str(built), str(moved), symlinks=True)
    assert bootstrap(moved, **bare).returncode == 3

    lock.write_text("# changed\n")
    assert bootstrap(built, **bare).returncode == 3
    lock.write_text("")
    assert bootstrap(built, **bare).returncode == 0

    (built / FOLDER / "bin" / "python").unlink()
    assert bootstrap(built, **bare).returncode == 3


def test_the_other_environment_stays_beside_it(built, on_x86):
    other = built / {".venv": ".venv-current", ".venv-current": ".venv"}[FOLDER]
    (other / "bin").mkdir(parents=True)
    (built / (FILES[OWN] + ".lock")).write_text("# changed\n")
    result = bootstrap(built, **offline(on_x86))
    assert result.returncode == 0 and "building " + FOLDER in result.stderr
    assert (other / "bin").is_dir()
    assert sorted(path.name for path in built.glob(".venv*")) == [".venv", ".venv-current"]


def test_without_a_choice_the_one_that_is_built_needs_no_search(built, on_x86):
    result = bootstrap(built, **on_x86)
    assert (result.returncode, len(result.stderr.splitlines())) == (0, 1)
    assert chosen(built, on_x86) == FOLDER


def test_a_package_that_cannot_be_had_leaves_no_stamp(elsewhere, bare):
    lock = "wheel==0.42.0 --hash=sha256:" + 64 * "0" + "\n"
    (elsewhere / (FILES[OWN] + ".lock")).write_text(lock)
    result = bootstrap(elsewhere, **offline(bare))
    assert result.returncode == 1
    assert "tools.lock could not be installed" in result.stderr
    assert not (elsewhere / FOLDER / "stamp").exists()
