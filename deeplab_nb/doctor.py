"""What this machine has, lacks, or has wrong, each with its remedy: `deeplab-nb doctor`.

A function that looks at one thing answers `(state, text)`.
"""

import collections
import glob
import importlib
import os
import shutil
import sys

from deeplab_nb import doctor_ascend, files

# state: present, absent or wrong; only what is wrong keeps the workbook from running
Finding = collections.namedtuple("Finding", "state name text")


def examine(name="auto"):
    """The findings on this machine, each after those it depends on; name: an Ascend profile's."""
    here = doctor_ascend.look(name)
    found = {
        "Python": python(),
        "numpy": numpy(version("numpy")),
        "TensorFlow": tensorflow(version("deeplab_nb.tf1", "tf.version.VERSION")),
        **doctor_ascend.installed(here),
        **_by_tensorflow(here),
        "rank variables": doctor_ascend.ranks(here),
        "card addresses": doctor_ascend.addresses(here),
        "cores, memory": machine(),
        "disk": disk(),
    }
    return [Finding(state, name, text) for name, (state, text) in found.items()]


def _by_tensorflow(here):
    """{name: answer} of what can be asked only where TensorFlow loads."""
    try:
        from deeplab_nb.devices import ascend
    except Exception as error:
        why_not = f"not looked for: TensorFlow does not load ({type(error).__name__})"
        return {"npu_bridge, GPU": ("absent", why_not)}
    return {"npu_bridge": doctor_ascend.npu_bridge(here, ascend.problem()), "GPU": gpu(_gpus)}


def _gpus():
    """Descriptions of the GPUs that TensorFlow can use."""
    from tensorflow.python.client import device_lib

    return [
        device.physical_device_desc
        for device in device_lib.list_local_devices()
        if device.device_type == "GPU"
    ]


def version(module, attribute="__version__"):
    """A package's version, None where it does not load."""
    try:
        value = importlib.import_module(module)
        for name in attribute.split("."):
            value = getattr(value, name)
        return value
    except Exception:  # a package built for another numpy or machine can fail in any way
        return None


def _judged(good, text, remedy):
    return ("present", text) if good else ("wrong", f"{text}: {remedy}")


# --- Python and its packages

TESTED = ("1.15.5", "2.21.0")  # of TensorFlow: what the two requirements ask for


def python(found=sys.version_info):
    return _judged(
        tuple(found[:2]) == (3, 7) or tuple(found[:2]) >= (3, 10),
        "{}.{}.{}".format(*found[:3]),
        "TensorFlow 1.15 needs 3.7, a current one 3.10 or later; `make test` looks for one",
    )


def numpy(found, python=sys.version_info):
    reference = tuple(python[:2]) == (3, 7)
    return _judged(
        (1, 17) <= _numbers(found) < (1, 19) if reference else _numbers(found) >= (1, 26),
        found or "does not load",
        "TensorFlow 1.15 and matplotlib need 1.17 or 1.18"
        if reference
        else "a current TensorFlow needs 1.26 or later",
    )


def _numbers(version):
    """(1, 15) of 1.15.5; of None (0, 0)."""
    return tuple(int(part) for part in (version or "0.0").split(".")[:2])


def tensorflow(found):
    if found is None:
        return "wrong", "does not load: `make test` builds an environment with it"
    if _numbers(found) != (1, 15) and _numbers(found) < (2, 15):
        return "wrong", (
            f"{found}: the workbook is written for 1.15 and for 2.15 or later, `make test` builds "
            "an environment with one of them"
        )
    if found in TESTED:
        return "present", f"{found}, with which the workbook is tested"
    return "present", f"{found}; tested with {' and '.join(TESTED)}"


# --- the rest of the machine


def gpu(usable, dev="/dev"):
    """usable: a function that asks TensorFlow, which complains where there are no device files."""
    if not glob.glob(os.path.join(dev, "nvidia[0-9]*")):
        return "absent", "(a CPU does the same, only slower)"
    names = usable()
    if names:
        return "present", "; ".join(names)
    return "absent", (
        f"TensorFlow sees none of those in {dev}: that takes tensorflow-gpu 1.15 with CUDA 10.0 "
        "and cuDNN 7, or a current tensorflow[and-cuda]"
    )


def machine():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return "present", f"{os.cpu_count()}, {memory / 1e9:.1f} GB"


def disk(folder=files.ROOT, wanted=1.5e9):
    """wanted: bytes; four checkpoints of the largest network, momentum included."""
    free = shutil.disk_usage(folder).free
    return _judged(
        free >= wanted,
        f"{free / 1e9:.1f} GB left for {folder}",
        f"make {wanted / 1e9:.1f} GB free",
    )
