"""npu_bridge for the tests: none, the stand-in, or any folder that holds one."""

import os
import sys

import pytest

from deeplab_nb import settings as settings_module
from deeplab_nb.devices import ascend, ranks
from deeplab_nb.launch import job, rank_table

STAND_IN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "stand_in")
VARIABLES = (
    ranks.TABLE
    + ranks.CHIEF
    + (ranks.RANK, "JOB_ID", "ASCEND_DEVICE_ID", "DEVICE_ID", "HCCL_CONNECT_TIMEOUT")
)


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


def by_chief(rank, ranks):
    """What the launcher gives a rank of a server of A2s that starts without a rank table."""
    settings = settings_module.read({"cards": ranks, "ascend_profile": "cann9-a2"})
    return job.chief_environments(settings, "10.0.0.1:6000")[rank]


def environment(rank, ranks, folder):
    """What the launcher gives a rank, by a real table of so many cards."""
    (folder / "cards.conf").write_text("".join(f"address_{i}=192.168.100.{i}\n" for i in range(8)))
    table = str(folder / "table.json")
    rank_table.make(table, ranks, server="10.0.0.10", conf=str(folder / "cards.conf"))
    return {name: value for name, value in job.environment(rank, ranks, table).items() if value}
