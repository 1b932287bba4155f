"""What this machine has, lacks, or has wrong, each with its remedy: `deeplab-nb doctor`.

Where something is looked for is an argument of each function; the defaults are where the vendor installs it.
"""
import collections
import glob
import importlib
import ipaddress
import json
import os
import re
import shutil
import sys

from deeplab_nb import paths

# state: present, absent or wrong; only what is wrong keeps the workbook from running as installed
Finding = collections.namedtuple("Finding", "state name text")

ASCEND = "/usr/local/Ascend"
FOR_NPU = "(needed only to train on an NPU)"
MANAGERS = ("davinci_manager", "devmm_svm", "hisi_hdc")  # device files that every card is reached through
FOLDERS = {  # what the variables must name, wherever CANN was installed
    "LD_LIBRARY_PATH": ("driver/lib64", "fwkacllib/lib64"),
    "PYTHONPATH": ("fwkacllib/python/site-packages", "tfplugin/python/site-packages"),
}


def examine():
    """The findings on this machine, in the order in which one depends on another."""
    found = cards()
    return [python(), numpy(version("numpy")), tensorflow(version("deeplab_nb.tf1", "tf.version.VERSION")),
            devices(found), driver(found), operations(found)] + [
            folders(name, found) for name in FOLDERS] + _by_tensorflow(found) + [addresses(found), machine(), disk()]


def _by_tensorflow(found):
    """What can be asked only where TensorFlow loads."""
    try:
        from deeplab_nb.training import ascend
    except Exception as error:
        return [Finding("absent", "npu_bridge, GPU", "not looked for: TensorFlow does not load ({})".format(type(error).__name__))]
    return [npu_bridge(found, ascend.problem()), ranks(found, os.environ, ascend.rank_problem), gpu(_gpus)]


def _gpus():
    """Descriptions of the GPUs that TensorFlow can use."""
    from tensorflow.python.client import device_lib
    return [device.physical_device_desc for device in device_lib.list_local_devices() if device.device_type == "GPU"]


def version(module, attribute="__version__"):
    """A package's version, None where it does not load."""
    try:
        value = importlib.import_module(module)
        for name in attribute.split("."):
            value = getattr(value, name)
        return value
    except Exception:  # a package built for another numpy or machine can fail in any way
        return None


# --- Python and its packages

def python(found=sys.version_info):
    text = "{}.{}.{}".format(*found[:3])
    if tuple(found[:2]) == (3, 7):
        return Finding("present", "Python", text)
    return Finding("wrong", "Python", "{}: TensorFlow 1.15 needs 3.7, `make test` looks for one".format(text))


def tensorflow(found):
    if found is None:
        return Finding("wrong", "TensorFlow", "does not load: `make test` builds an environment with 1.15.5")
    if not found.startswith("1.15."):
        return Finding("wrong", "TensorFlow", "{}: the workbook is written for 1.15, `make test` builds an environment with it".format(found))
    if found == "1.15.5":
        return Finding("present", "TensorFlow", "1.15.5, with which the workbook is tested")
    return Finding("present", "TensorFlow", "{}; tested with 1.15.5, the same but for bug and security fixes".format(found))


def numpy(found):
    if found and (1, 17) <= tuple(int(part) for part in found.split(".")[:2]) < (1, 19):
        return Finding("present", "numpy", found)
    return Finding("wrong", "numpy", "{}: TensorFlow 1.15 and matplotlib need 1.17 or 1.18".format(found or "does not load"))


# --- Ascend

def cards(dev="/dev"):
    """Numbers of the cards that have a device file."""
    names = (re.match(r"davinci(\d+)$", os.path.basename(path)) for path in glob.glob(os.path.join(dev, "davinci*")))
    return sorted(int(match.group(1)) for match in names if match)


def devices(found, dev="/dev"):
    if not found:
        return Finding("absent", "NPU cards", FOR_NPU)
    missing = [name for name in MANAGERS if not os.path.exists(os.path.join(dev, name))]
    if missing:
        return Finding("wrong", "NPU cards", "{} of {} missing in {}: start the container with --device for each".format(
            ", ".join(missing), _numbers(found), dev))
    return Finding("present", "NPU cards", _numbers(found))


def driver(found, root=ASCEND):
    folder = os.path.join(root, "driver")
    return _of_file("NPU driver", os.path.join(folder, "version.info"), _driver_version, found,
                    "install the Ascend driver, or mount {} into the container".format(folder))


def operations(found, variables=os.environ, root=ASCEND):
    """The list of operations that the adapter gives to the card; without it every one stays on the host."""
    opp = variables.get("ASCEND_OPP_PATH") or os.path.join(root, "opp")
    return _of_file("CANN operations", os.path.join(opp, "framework", "built-in", "tensorflow", "npu_supported_ops.json"),
                    _operation_count, found, "install CANN's toolkit or nnae, and let ASCEND_OPP_PATH name its opp folder")


def _of_file(name, path, understand, found, remedy):
    """Present where `understand` makes something of the file's text; missing, it is wrong only where there are cards."""
    try:
        with open(path, errors="replace") as file:
            text = understand(file.read())
    except OSError:
        return Finding("wrong", name, "{} is missing: {}".format(path, remedy)) if found else Finding("absent", name, FOR_NPU)
    if not text:
        return Finding("wrong", name, "{} cannot be read: {}".format(path, remedy))
    return Finding("present", name, "{} in {}".format(text, path))


def _driver_version(text):
    match = re.search(r"^Version=(\S+)", text, re.MULTILINE)
    return match and match.group(1)


def _operation_count(text):
    try:
        return str(len(json.loads(text)))
    except (ValueError, TypeError):
        return None


def folders(name, found, variables=os.environ):
    """Whether a search path names CANN's folders; `npu_bridge` tells whether they are enough."""
    entries = [entry for entry in variables.get(name, "").split(os.pathsep) if entry]
    gone = [entry for entry in entries if any(part in entry for part in FOLDERS[name]) and not os.path.isdir(entry)]
    lacking = [part for part in FOLDERS[name] if not any(part in entry for entry in entries)]
    if gone:
        return Finding("wrong", name, "names {}, which does not exist: source CANN's set_env.sh".format(", ".join(gone)))
    if lacking == list(FOLDERS[name]) and not found:
        return Finding("absent", name, FOR_NPU)
    if lacking:
        return Finding("absent", name, "names no {}: source CANN's set_env.sh".format(" and no ".join(lacking)))
    return Finding("present", name, "names {}".format(" and ".join(FOLDERS[name])))


def npu_bridge(found, why_not):
    """why_not: what `ascend.problem` says."""
    if why_not is None:
        return Finding("present", "npu_bridge", "loads")
    if "not installed" in why_not and not found:
        return Finding("absent", "npu_bridge", FOR_NPU)
    return Finding("wrong", "npu_bridge", why_not)


def ranks(found, variables, problem):
    """Whether the variables of a rank fit together; problem: `ascend.rank_problem`."""
    names = [name for name in ("JOB_ID", "RANK_ID", "RANK_SIZE", "RANK_TABLE_FILE", "ASCEND_DEVICE_ID", "DEVICE_ID") if variables.get(name)]
    if not names:
        return Finding("absent", "rank variables", FOR_NPU)
    size, device = variables.get("RANK_SIZE") or "1", variables.get("ASCEND_DEVICE_ID") or "0"
    why_not = None
    if size not in ("1", "2", "4", "8"):
        why_not = "RANK_SIZE is {}: it can be 1, 2, 4 or 8".format(size)
    elif found and device not in map(str, range(len(found))):
        why_not = "ASCEND_DEVICE_ID is {}: it counts the {} cards here from 0".format(device, len(found))
    why_not = why_not or problem(int(size), variables)
    if why_not:
        return Finding("wrong", "rank variables", why_not)
    return Finding("present", "rank variables", ", ".join("{}={}".format(name, variables[name]) for name in names))


def addresses(found, path="/etc/hccn.conf"):
    """The network address of each card, which a rank table is made from."""
    try:
        with open(path) as file:
            lines = dict(re.findall(r"^\s*address_(\d+)\s*=\s*(\S+)", file.read(), re.MULTILINE))
    except OSError:
        lines = {}
    for number, address in lines.items():
        if not _is_address(address):
            return Finding("wrong", "card addresses", "address_{}={} in {} is no address: set it with hccn_tool".format(number, address, path))
    missing = [number for number in found if str(number) not in lines]
    if missing:
        return Finding("absent", "card addresses", "{} has none for {} (needed only for several cards): set them with hccn_tool".format(
            path, _numbers(missing)))
    if not lines:
        return Finding("absent", "card addresses", FOR_NPU)
    return Finding("present", "card addresses", "{} for {}".format(path, _numbers(sorted(map(int, lines)))))


def _is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def _numbers(cards):
    return ("card " if len(cards) == 1 else "cards ") + ", ".join(map(str, cards))


# --- the rest of the machine

def gpu(usable, dev="/dev"):
    """usable: a function that asks TensorFlow; asked only where there are device files, because without a GPU it complains."""
    if not glob.glob(os.path.join(dev, "nvidia[0-9]*")):
        return Finding("absent", "GPU", "(a CPU does the same, only slower)")
    names = usable()
    if names:
        return Finding("present", "GPU", "; ".join(names))
    return Finding("absent", "GPU", "TensorFlow sees none of those in {}: that takes tensorflow-gpu 1.15 with CUDA 10.0 and cuDNN 7".format(dev))


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Finding("present", "cores, memory", "{}, {:.1f} GB".format(os.cpu_count(), memory / 1e9))


def disk(folder=paths.ROOT, wanted=1.5e9):
    """wanted: bytes; four checkpoints of the largest network, momentum included, while the oldest is not deleted yet."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        return Finding("wrong", "disk", "{:.1f} GB left for {}: make {:.1f} GB free".format(free / 1e9, folder, wanted / 1e9))
    return Finding("present", "disk", "{:.1f} GB left for {}".format(free / 1e9, folder))
