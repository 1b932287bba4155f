"""The doctor before machines laid out in folders.

A laptop, whole Ascend servers of CANN 5, 8 and 9, and ones with something wrong.
"""

import os
import re
import shutil
from collections import namedtuple

import pytest
from click.testing import CliRunner

from deeplab_nb import ascend_profiles, doctor, doctor_ascend
from deeplab_nb.cli import main
from deeplab_nb.devices import ascend, ranks
from tests.support.ascend_library import environment, library, stand_in  # noqa: F401
from tests.support.ascend_machines import LAYOUTS, npu_smi, put

Server = namedtuple("Server", "dev root hccn variables tool")
CHIP = {"910": "910A", "a2": "910B3", "a3": "910_9391"}
SERVERS = [
    (layout, hardware)
    for layout in sorted(LAYOUTS)
    for hardware in sorted(CHIP)
    if hardware == "910" or not layout.startswith("cann5")
]  # CANN 5 knows no other


def server_of(folder, layout, hardware="910"):
    """Eight cards, driver, CANN and addresses, and the environment of rank 2 of 8."""
    dev, root, hccn = folder / "dev", folder / "Ascend", folder / "hccn.conf"
    for name in [f"davinci{card}" for card in range(8)] + list(doctor_ascend.MANAGERS):
        put(dev / name)
    put(root / "driver" / "version.info", "Version=21.0.2\nascendhal_version=4.0.0\n")
    (root / "driver" / "lib64" / "common").mkdir(parents=True)
    LAYOUTS[layout](root)
    put(
        hccn,
        "".join(
            f"address_{card}=192.168.100.10{card}\nnetmask_{card}=255.255.255.0\n"
            for card in range(8)
        ),
    )
    home, variables = ascend_profiles.homes({}, str(root), "gone")[0][0], environment(2, 8, folder)
    for name, parts in ascend_profiles.get(layout.split()[0]).folders.items():
        variables[name] = os.pathsep.join(os.path.join(home, part) for part in parts)
    variables["LD_LIBRARY_PATH"] += os.pathsep + str(root / "driver" / "lib64" / "common")
    variables.update(ASCEND_OPP_PATH=os.path.join(home, "opp"))
    return Server(str(dev), str(root), str(hccn), variables, npu_smi(folder, CHIP[hardware]))


@pytest.fixture
def server(tmp_path):
    return server_of(tmp_path, "cann5-910 by hand")


def look(server, name="auto"):
    """Every finding about Ascend."""
    here = doctor_ascend.look(name, **server._asdict())
    found = {
        **doctor_ascend.installed(here),
        "npu_bridge": doctor_ascend.npu_bridge(here, ascend.problem()),
        "rank variables": doctor_ascend.ranks(here),
        "card addresses": doctor_ascend.addresses(here),
    }
    return [doctor.Finding(state, name, text) for name, (state, text) in found.items()]


def others(server, name="auto"):
    """[(state, name, text)] of what is not present."""
    return [tuple(finding) for finding in look(server, name) if finding.state != "present"]


def test_on_this_machine_nothing_is_wrong(library):
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0 and "wrong " not in done.output
    assert (
        "present  Python           3." in done.output
        and " GPU              " in done.output
        and re.search("TensorFlow       (1.15.|2.2)", done.output)
        and "cores, memory" in done.output
        and "GB left for" in done.output
    )


@pytest.mark.parametrize("profile", ("auto",) + ascend_profiles.NAMES)
def test_a_laptop_lacks_all_of_ascend_and_that_is_right(library, tmp_path, profile):
    nothing = str(tmp_path / "nothing")
    findings = look(Server(nothing, nothing, nothing, {}, nothing), profile)
    if ascend.problem() and "not installed" not in ascend.problem():
        pytest.skip("this machine has an npu_bridge")
    assert {finding.state for finding in findings} == {"absent"}
    assert {finding.text for finding in findings} == {"(needed only to train on an NPU)"}


@pytest.mark.parametrize("layout, hardware", SERVERS)
def test_a_whole_server_is_present(stand_in, tmp_path, layout, hardware):
    findings = {finding.name: finding for finding in look(server_of(tmp_path, layout, hardware))}
    assert {finding.state for finding in findings.values()} == {"present"}
    assert findings["Ascend profile"].text.startswith(layout.split("-")[0] + "-" + hardware + ": ")
    assert findings["NPU cards"].text == "cards 0, 1, 2, 3, 4, 5, 6, 7"
    assert findings["NPU driver"].text.startswith("21.0.2 in ")
    assert findings["CANN operations"].text.startswith("2 in ")
    assert ("CANN kernels" in findings) == (not layout.startswith("cann5"))
    assert "RANK_ID=2, RANK_SIZE=8" in findings["rank variables"].text


def rank(**changes):
    def spoil(server):
        for name, value in changes.items():
            if value is None:
                server.variables.pop(name, None)
            else:
                server.variables[name] = value

    return spoil


def without(*parts):
    def spoil(server):
        path = os.path.join(*(server._asdict().get(part, part) for part in parts))
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    return spoil


def containing(text, *parts):
    return lambda server: put(
        os.path.join(*(server._asdict().get(part, part) for part in parts)), text
    )


OPERATIONS = ("root", "opp", "framework", "built-in", "tensorflow", "npu_supported_ops.json")


@pytest.mark.parametrize(
    "spoil, state, name, words",
    [
        (without("dev", "davinci_manager"), "wrong", "NPU cards", "davinci_manager of cards 0, 1"),
        (
            without("root", "driver", "version.info"),
            "wrong",
            "NPU driver",
            "version.info is missing: install the Ascend driver",
        ),
        (
            containing("?", "root", "driver", "version.info"),
            "wrong",
            "NPU driver",
            "version.info cannot be read",
        ),
        (
            without(*OPERATIONS),
            "wrong",
            "CANN operations",
            "npu_supported_ops.json is missing: install CANN's",
        ),
        (
            containing("{", *OPERATIONS),
            "wrong",
            "CANN operations",
            "npu_supported_ops.json cannot be read",
        ),
        (rank(ASCEND_OPP_PATH="elsewhere"), "wrong", "CANN operations", "elsewhere"),
        (
            without("root", "fwkacllib", "python", "site-packages"),
            "wrong",
            "PYTHONPATH",
            "site-packages, which does not exist",
        ),
        (
            rank(PYTHONPATH=""),
            "absent",
            "PYTHONPATH",
            "fwkacllib/python/site-packages: source /usr/local/Ascend/nnae/set_env.sh",
        ),
        (rank(LD_LIBRARY_PATH=os.sep), "absent", "LD_LIBRARY_PATH", "driver/lib64: source"),
        (rank(RANK_SIZE="3"), "wrong", "rank variables", "RANK_SIZE is 3, but"),
        (rank(RANK_SIZE="all"), "wrong", "rank variables", "RANK_SIZE is all: it is the number of"),
        (rank(RANK_ID="9"), "wrong", "rank variables", "RANK_ID is 9"),
        (rank(JOB_ID=None), "wrong", "rank variables", "JOB_ID is not set"),
        (rank(RANK_TABLE_FILE="gone.json"), "wrong", "rank variables", "gone.json does not exist"),
        (rank(RANK_TABLE_FILE=__file__), "wrong", "rank variables", "test_doctor.py is no JSON"),
        (
            rank(ASCEND_DEVICE_ID="8"),
            "wrong",
            "rank variables",
            "ASCEND_DEVICE_ID is 8: it counts the 8 cards here from 0",
        ),
        (
            rank(CM_CHIEF_IP="10.0.0.1"),
            "wrong",
            "rank variables",
            "CM_* variables start no ranks of CANN 5 on 910: unset them",
        ),
        (without("hccn"), "absent", "card addresses", "has none for cards 0, 1"),
        (
            containing("address_0=10.0.0.1\n", "hccn"),
            "absent",
            "card addresses",
            "has none for cards 1, 2, 3, 4, 5, 6, 7",
        ),
        (
            containing("address_0=10.0.0\n", "hccn"),
            "wrong",
            "card addresses",
            "address_0=10.0.0 in",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(stand_in, server, spoil, state, name, words):
    spoil(server)
    found = others(server)
    assert [finding[:2] for finding in found] == [(state, name)] and words in found[0][2]


KERNELS = ("root", "cann", "opp", "built-in", "op_impl", "ai_core", "tbe", "config")
BY_CHIEF = dict(
    dict.fromkeys(ranks.TABLE),
    CM_CHIEF_IP="10.0.0.1",
    CM_CHIEF_PORT="6000",
    CM_CHIEF_DEVICE="0",
    CM_WORKER_IP="10.0.0.1",
    CM_WORKER_SIZE="8",
    DEEPLAB_NB_RANK="0",
)


@pytest.mark.parametrize(
    "hardware, spoil, state, name, words",
    [
        (
            "a2",
            without(*KERNELS, "ascend910b"),
            "wrong",
            "CANN kernels",
            "install the kernels of Atlas A2 in CANN's own version",
        ),
        ("a3", without(*KERNELS, "ascend910_93"), "wrong", "CANN kernels", "Ascend-cann-A3-ops"),
        ("910", without(*KERNELS, "ascend910"), "wrong", "CANN kernels", "Ascend-cann-910-ops"),
        (
            "a2",
            without("root", "cann", "opp", "built-in", "framework"),
            "wrong",
            "CANN operations",
            "cann/set_env.sh, which sets ASCEND_OPP_PATH",
        ),
        (
            "a2",
            rank(PYTHONPATH=""),
            "absent",
            "PYTHONPATH",
            "cann/opp/built-in/op_impl/ai_core/tbe: source ",
        ),
        (
            "a2",
            without("root", "cann", "lib64", "plugin", "nnengine"),
            "wrong",
            "LD_LIBRARY_PATH",
            "nnengine, which does not exist",
        ),
        (
            "a2",
            rank(LD_LIBRARY_PATH="/usr/local/fwkacllib/lib64"),
            "absent",
            "LD_LIBRARY_PATH",
            "cann/lib64/plugin/nnengine and no ",
        ),
        ("a2", without("hccn"), "absent", "card addresses", "(needed only for several servers)"),
        (
            "a2",
            rank(CM_CHIEF_IP="10.0.0.1"),
            "wrong",
            "rank variables",
            "CM_CHIEF_IP are set and RANK_ID, RANK_SIZE, RANK_TABLE_FILE too: unset the former",
        ),
        (
            "910",
            rank(**dict(BY_CHIEF, RANK_SIZE="8")),
            "wrong",
            "rank variables",
            "are set and RANK_SIZE too: unset the former",
        ),
        (
            "910",
            rank(**dict(BY_CHIEF, CM_WORKER_IP=None)),
            "wrong",
            "rank variables",
            "CM_WORKER_IP is not set but 8 cards train together",
        ),
        (
            "a3",
            rank(**BY_CHIEF),
            "wrong",
            "rank variables",
            "start no ranks of CANN 9 on Atlas A3: unset them",
        ),
    ],
)
def test_what_is_wrong_with_a_newer_server(stand_in, tmp_path, hardware, spoil, state, name, words):
    server = server_of(tmp_path, "cann9-910 cann", hardware)
    spoil(server)
    found = others(server)
    assert [finding[:2] for finding in found] == [(state, name)] and words in found[0][2]


@pytest.mark.parametrize("hardware", ["910", "a2"])
def test_ranks_that_meet_at_a_chief_need_no_table(stand_in, tmp_path, hardware):
    server = server_of(tmp_path, "cann8-910 toolkit", hardware)
    rank(**BY_CHIEF)(server)
    assert others(server) == []


def test_what_is_installed_but_not_sourced_is_told_with_the_script(stand_in, tmp_path):
    server = server_of(tmp_path, "cann8-910 toolkit", "a2")
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "ASCEND_OPP_PATH"):
        del server.variables[name]
    script = os.path.join(server.root, "ascend-toolkit", "set_env.sh")
    found = others(server)
    assert [name for _, name, _ in found] == ["LD_LIBRARY_PATH", "PYTHONPATH"]
    assert all(text.endswith("source " + script) for _, _, text in found)


def test_cards_without_cann_are_wrong(stand_in, tmp_path):
    server = server_of(tmp_path, "cann9-910 cann", "a2")
    for name in ("cann", "cann-9.0.0"):
        path = os.path.join(server.root, name)
        os.remove(path) if os.path.islink(path) else shutil.rmtree(path)
    wrong = {name: text for state, name, text in others(server) if state == "wrong"}
    assert set(wrong) >= {"Ascend profile", "CANN operations", "CANN kernels", "PYTHONPATH"}
    assert wrong["Ascend profile"].startswith("cann8-a2, but no CANN is found: install its toolkit")


@pytest.mark.parametrize("name", [name for name in ascend_profiles.NAMES if name != "cann8-a2"])
def test_a_profile_of_another_machine_is_wrong(stand_in, tmp_path, name):
    found = others(server_of(tmp_path, "cann8-910 toolkit", "a2"), name)
    assert (
        "wrong",
        "Ascend profile",
        f"{name} is named, but here is CANN 8 on Atlas A2: name cann8-a2, or leave it out",
    ) in found


def test_where_npu_smi_is_missing_the_named_card_counts(stand_in, tmp_path):
    server = server_of(tmp_path, "cann8-910 toolkit", "a2")._replace(tool=str(tmp_path / "gone"))
    assert others(server, "cann8-a2") == []
    assert look(server, "cann8-a2")[0].text.endswith("though npu-smi does not name the card")
    assert ("wrong", "Ascend profile") in [finding[:2] for finding in others(server, "cann9-a2")]


@pytest.mark.parametrize(
    "place", ["tfplugin", "tfplugin/python/site-packages", "tfplugin/latest/python/site-packages"]
)
def test_an_adapter_that_python_does_not_see_is_told(library, server, place):
    put(os.path.join(server.root, place, "npu_bridge", "__init__.py"))
    here, sentence = doctor_ascend.look(**server._asdict()), "npu_bridge is not installed: ..."
    state, text = doctor_ascend.npu_bridge(here, sentence)
    assert state == "wrong" and text.endswith(
        f"export PYTHONPATH={server.root}/{place}:$PYTHONPATH"
    )


@pytest.mark.parametrize(
    "layout, words",
    [
        ("cann5-910 nnae", "install the run package tfplugin"),
        ("cann9-910 cann", "install the wheel npu_bridge-1.15.0"),
    ],
)
def test_how_the_adapter_comes_goes_by_the_machine(library, monkeypatch, tmp_path, layout, words):
    LAYOUTS[layout](tmp_path / "root")
    library(tmp_path)
    (home, _), *_ = ascend_profiles.homes({}, str(tmp_path / "root"), "gone")
    monkeypatch.setenv("ASCEND_TOOLKIT_HOME", home)
    if ascend.problem() is None:
        pytest.skip("this machine has an npu_bridge")
    assert words in ascend.problem()


def test_cards_without_npu_bridge_are_wrong(library, tmp_path):
    (tmp_path / "dev").mkdir()
    put(tmp_path / "dev" / "davinci0")
    here = doctor_ascend.look(dev=str(tmp_path / "dev"), root=str(tmp_path), variables={})
    assert doctor_ascend.npu_bridge(here, "npu_bridge is not installed: ...")[0] == "wrong"
    (tmp_path / "npu_bridge").mkdir()
    (tmp_path / "npu_bridge" / "__init__.py").write_text(
        "raise OSError('libge_runner.so: cannot open')"
    )
    library(tmp_path)
    done = CliRunner().invoke(main, ["doctor"])
    assert (
        done.exit_code == 1
        and "npu_bridge does not load (OSError: libge_runner.so: cannot open)" in done.output
    )


@pytest.mark.parametrize(
    "found, state, words",
    [
        ("1.15.5", "present", "tested"),
        ("1.15.0", "present", "tested with 1.15.5"),
        ("1.14.0", "wrong", "written for 1.15"),
        ("2.4.0", "wrong", "written for 1.15"),
        ("2.21.0", "present", "tested"),
        ("2.22.0", "present", "tested with 1.15.5 and 2.21.0"),
        (None, "wrong", "does not load"),
    ],
)
def test_any_tensorflow_115_will_do_and_a_current_one(found, state, words):
    answer = doctor.tensorflow(found)
    assert answer[0] == state and words in answer[1]


@pytest.mark.parametrize(
    "found, state, current",
    [
        ("1.17.2", "present", "wrong"),
        ("1.18.5", "present", "wrong"),
        ("1.16.4", "wrong", "wrong"),
        ("1.19.0", "wrong", "wrong"),
        ("2.0.0rc1", "wrong", "present"),
        (None, "wrong", "wrong"),
    ],
)
def test_numpy_must_suit_tensorflow(found, state, current):
    assert doctor.numpy(found, (3, 7, 16))[0] == state
    assert doctor.numpy(found, (3, 12, 1))[0] == current


def test_another_python_is_wrong():
    assert doctor.python((3, 7, 5))[0] == "present"
    assert doctor.python((3, 8, 0)) == (
        "wrong",
        "3.8.0: TensorFlow 1.15 needs 3.7, a current one 3.10 or later; `make test` looks for one",
    )
    assert doctor.python((3, 10, 0))[0] == doctor.python((3, 12, 1))[0] == "present"


def test_a_package_that_does_not_load_has_no_version(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert doctor.version("broken_package") is None and doctor.version("no_such_package") is None


def test_a_gpu_that_tensorflow_cannot_use_is_told_from_none(tmp_path):
    assert "only slower" in doctor.gpu(None, str(tmp_path))[1]
    put(tmp_path / "nvidia0")
    assert doctor.gpu(lambda: ["name: V100"], str(tmp_path)) == ("present", "name: V100")
    assert "CUDA 10.0" in doctor.gpu(list, str(tmp_path))[1]


def test_a_full_disk_is_wrong(tmp_path):
    assert doctor.disk(str(tmp_path), wanted=1)[0] == "present"
    state, text = doctor.disk(str(tmp_path), wanted=1e18)
    assert state == "wrong" and "free" in text
