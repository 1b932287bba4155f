"""The doctor before machines laid out in folders: a laptop, a whole Ascend server, and ones with something wrong."""
import os
from collections import namedtuple

import pytest
from click.testing import CliRunner

from deeplab_nb import doctor
from deeplab_nb.cli import main
from deeplab_nb.training import ascend
from tests.ascend_library import library, stand_in  # noqa: F401

Server = namedtuple("Server", "dev root hccn variables cards")


def put(path, text=""):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    with open(str(path), "w") as file:
        file.write(text)


@pytest.fixture
def server(tmp_path):
    """Eight cards, driver, CANN and addresses, and the environment of rank 2 of 8."""
    dev, root, hccn = tmp_path / "dev", tmp_path / "Ascend", tmp_path / "hccn.conf"
    for name in ["davinci{}".format(card) for card in range(8)] + list(doctor.MANAGERS):
        put(dev / name)
    put(root / "driver" / "version.info", "Version=21.0.2\nascendhal_version=4.0.0\n")
    put(root / "opp" / "framework" / "built-in" / "tensorflow" / "npu_supported_ops.json", '{"Conv2D": {}, "BiasAdd": {}}')
    put(hccn, "".join("address_{0}=192.168.100.10{0}\nnetmask_{0}=255.255.255.0\n".format(card) for card in range(8)))
    put(tmp_path / "table.json", "{}")
    variables = ascend.environment(2, 8, str(tmp_path / "table.json"))
    for name, parts in doctor.FOLDERS.items():
        for part in parts:
            (root / part).mkdir(parents=True)
        variables[name] = os.pathsep.join(str(root / part) for part in parts)
    return Server(str(dev), str(root), str(hccn), variables, doctor.cards(str(dev)))


def look(server):
    """Every finding about Ascend."""
    return [doctor.devices(server.cards, server.dev), doctor.driver(server.cards, server.root),
            doctor.operations(server.cards, server.variables, server.root)] + [
        doctor.folders(name, server.cards, server.variables) for name in doctor.FOLDERS] + [
        doctor.npu_bridge(server.cards, ascend.problem()), doctor.ranks(server.cards, server.variables, ascend.rank_problem),
        doctor.addresses(server.cards, server.hccn)]


def test_on_this_machine_nothing_is_wrong(library):
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 0 and "wrong " not in done.output
    assert "TensorFlow       1.15." in done.output and "cores, memory" in done.output and "GB left for" in done.output


def test_a_laptop_lacks_all_of_ascend_and_that_is_right(library, tmp_path):
    nothing = str(tmp_path / "nothing")
    findings = look(Server(nothing, nothing, nothing, {}, doctor.cards(nothing)))
    if ascend.problem() and "not installed" not in ascend.problem():
        pytest.skip("this machine has an npu_bridge")
    assert {finding.state for finding in findings} == {"absent"}
    assert {finding.text for finding in findings} == {"(needed only to train on an NPU)"}


def test_a_whole_server_is_present(stand_in, server):
    findings = {finding.name: finding for finding in look(server)}
    assert {finding.state for finding in findings.values()} == {"present"}
    assert findings["NPU cards"].text == "cards 0, 1, 2, 3, 4, 5, 6, 7"
    assert findings["NPU driver"].text.startswith("21.0.2 in ") and findings["CANN operations"].text.startswith("2 in ")
    assert "RANK_ID=2, RANK_SIZE=8" in findings["rank variables"].text


def rank(**changes):
    def spoil(server):
        for name, value in changes.items():
            server.variables.pop(name) if value is None else server.variables.update({name: value})
    return spoil


def without(*parts):
    def spoil(server):
        path = os.path.join(*(server._asdict().get(part, part) for part in parts))
        os.rmdir(path) if os.path.isdir(path) else os.remove(path)
    return spoil


def containing(text, *parts):
    return lambda server: put(os.path.join(*(server._asdict().get(part, part) for part in parts)), text)


OPERATIONS = ("root", "opp", "framework", "built-in", "tensorflow", "npu_supported_ops.json")


@pytest.mark.parametrize("spoil, state, name, words", [
    (without("dev", "davinci_manager"), "wrong", "NPU cards", "davinci_manager of cards 0, 1"),
    (without("root", "driver", "version.info"), "wrong", "NPU driver", "version.info is missing: install the Ascend driver"),
    (containing("?", "root", "driver", "version.info"), "wrong", "NPU driver", "version.info cannot be read"),
    (without(*OPERATIONS), "wrong", "CANN operations", "npu_supported_ops.json is missing: install CANN's"),
    (containing("{", *OPERATIONS), "wrong", "CANN operations", "npu_supported_ops.json cannot be read"),
    (rank(ASCEND_OPP_PATH="elsewhere"), "wrong", "CANN operations", "elsewhere"),
    (without("root", "tfplugin", "python", "site-packages"), "wrong", "PYTHONPATH", "site-packages, which does not exist"),
    (rank(PYTHONPATH=""), "absent", "PYTHONPATH", "names no fwkacllib/python/site-packages and no tfplugin"),
    (rank(LD_LIBRARY_PATH=os.sep), "absent", "LD_LIBRARY_PATH", "names no driver/lib64 and no fwkacllib/lib64: source"),
    (rank(RANK_SIZE="3"), "wrong", "rank variables", "RANK_SIZE is 3: it can be 1, 2, 4 or 8"),
    (rank(RANK_ID="9"), "wrong", "rank variables", "RANK_ID is 9"),
    (rank(JOB_ID=None), "wrong", "rank variables", "JOB_ID is not set"),
    (rank(RANK_TABLE_FILE="gone.json"), "wrong", "rank variables", "gone.json does not exist"),
    (rank(ASCEND_DEVICE_ID="8"), "wrong", "rank variables", "ASCEND_DEVICE_ID is 8: it counts the 8 cards here from 0"),
    (without("hccn"), "absent", "card addresses", "has none for cards 0, 1"),
    (containing("address_0=10.0.0.1\n", "hccn"), "absent", "card addresses", "has none for cards 1, 2, 3, 4, 5, 6, 7"),
    (containing("address_0=10.0.0\n", "hccn"), "wrong", "card addresses", "address_0=10.0.0 in"),
])
def test_what_is_wrong_is_named_with_its_remedy(stand_in, server, spoil, state, name, words):
    spoil(server)
    others = [finding for finding in look(server) if finding.state != "present"]
    assert [(finding.state, finding.name) for finding in others] == [(state, name)] and words in others[0].text


def test_cards_without_npu_bridge_are_wrong(library, tmp_path):
    assert doctor.npu_bridge([0], "npu_bridge is not installed: ...").state == "wrong"
    (tmp_path / "npu_bridge").mkdir()
    (tmp_path / "npu_bridge" / "__init__.py").write_text("raise OSError('libge_runner.so: cannot open')")
    library(tmp_path)
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1 and "npu_bridge does not load (OSError: libge_runner.so: cannot open)" in done.output


@pytest.mark.parametrize("found, state, words", [
    ("1.15.5", "present", "tested"), ("1.15.0", "present", "tested with 1.15.5"), ("1.14.0", "wrong", "written for 1.15"),
    ("2.4.0", "wrong", "written for 1.15"), (None, "wrong", "does not load")])
def test_any_tensorflow_115_will_do(found, state, words):
    finding = doctor.tensorflow(found)
    assert finding.state == state and words in finding.text


@pytest.mark.parametrize("found, state", [("1.17.2", "present"), ("1.18.5", "present"), ("1.16.4", "wrong"), ("1.19.0", "wrong"),
                                          ("2.0.0rc1", "wrong"), (None, "wrong")])
def test_numpy_must_suit_tensorflow(found, state):
    assert doctor.numpy(found).state == state


def test_another_python_is_wrong():
    assert doctor.python((3, 7, 5)).state == "present"
    assert doctor.python((3, 8, 0)) == ("wrong", "Python", "3.8.0: TensorFlow 1.15 needs 3.7, `make test` looks for one")


def test_a_package_that_does_not_load_has_no_version(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("raise RuntimeError")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert doctor.version("broken_package") is None and doctor.version("no_such_package") is None


def test_a_gpu_that_tensorflow_cannot_use_is_told_from_none(tmp_path):
    assert "only slower" in doctor.gpu(None, str(tmp_path)).text
    put(tmp_path / "nvidia0")
    assert doctor.gpu(lambda: ["name: V100"], str(tmp_path)) == ("present", "GPU", "name: V100")
    assert "CUDA 10.0" in doctor.gpu(list, str(tmp_path)).text


def test_a_full_disk_is_wrong(tmp_path):
    assert doctor.disk(str(tmp_path), wanted=1).state == "present"
    finding = doctor.disk(str(tmp_path), wanted=1e18)
    assert finding.state == "wrong" and "free" in finding.text
