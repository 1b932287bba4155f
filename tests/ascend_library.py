"""npu_bridge for the tests: none, the stand-in, or any folder that holds one."""
import os
import sys

import pytest

from deeplab_nb.training import ascend

STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stand_in")
VARIABLES = ("JOB_ID", "RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE", "ASCEND_DEVICE_ID", "DEVICE_ID", "HCCL_CONNECT_TIMEOUT")


def forget():
    ascend._load.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "npu_bridge"]:
        del sys.modules[name]


@pytest.fixture
def library(monkeypatch):
    """A function that puts a folder with an npu_bridge on the path; no rank variable is set."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that what a test sets is taken back too
        del os.environ[name]

    def use(folder):
        monkeypatch.syspath_prepend(str(folder))
        forget()
    yield use
    forget()


@pytest.fixture
def stand_in(library):
    """npu_bridge is the stand-in."""
    library(STAND_IN)
