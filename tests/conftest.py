"""What every test stands on: the repository, the real photographs, a quiet and private Jupyter."""

import gc
import os
import shutil
import signal
import tempfile

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def pytest_configure(config):
    """Sets the environment before any test module imports TensorFlow, matplotlib or Jupyter.

    Variables rather than fixtures, because kernels and commands that tests start inherit them.
    """
    # graphs are built of millions of objects that stay: to look for garbage among them as often as
    # Python would takes a tenth of the time
    gc.set_threshold(100000, 20, 100)
    config.jupyter_home = tempfile.mkdtemp(prefix="deeplab_nb_tests_")
    names = (
        "JUPYTER_CONFIG_DIR",
        "JUPYTER_DATA_DIR",
        "JUPYTER_RUNTIME_DIR",
        "IPYTHONDIR",
        "MPLCONFIGDIR",
    )
    os.environ.update({name: os.path.join(config.jupyter_home, name.lower()) for name in names})
    os.environ.update(
        JUPYTER_PREFER_ENV_PATH="1",  # the environment's own kernel, whatever the user has
        TF_CPP_MIN_LOG_LEVEL="2",
        MPLBACKEND="Agg",
    )
    if (
        signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ):  # as in a shell's background job; the processes of tests would ignore it too
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Marks as slow what slow.txt names."""
    with open(os.path.join(REPO, "tests", "slow.txt"), encoding="utf-8") as file:
        names = set(file.read().splitlines())
    for item in items:
        path = os.path.relpath(str(item.fspath), os.path.join(REPO, "tests")).replace(os.sep, "/")
        if names & {path, path + "::" + item.originalname}:
            item.add_marker(pytest.mark.slow)


def pytest_unconfigure(config):
    shutil.rmtree(config.jupyter_home, ignore_errors=True)


@pytest.fixture(scope="session")
def repo():
    """Path of the repository's root."""
    return REPO


@pytest.fixture(scope="session")
def shared(repo):
    """Path of the folder beside the repository: real photographs, weights and golden figures."""
    path = os.path.join(os.path.dirname(repo), "shared")
    if not os.path.isdir(path):
        pytest.skip(
            "the folder 'shared' beside the repository is absent: it holds real VOC photographs"
        )
    return path
