"""Machines with CANN and cards, laid out in folders as the vendor's packages lay them."""

import os

# (chip without 'Ascend', what card it is; None of one that does not train)
CHIPS = [
    ("910", "910"),
    ("910A", "910"),
    ("910ProA", "910"),
    ("910B", "910"),
    ("910ProB", "910"),
    ("910PremiumA", "910"),
    ("910B1", "a2"),
    ("910B2", "a2"),
    ("910B2C", "a2"),
    ("910B3", "a2"),
    ("910B4", "a2"),
    ("910B4-1", "a2"),
    ("910_9391", "a3"),
    ("910_9362", "a3"),
    ("310", None),
    ("310P3", None),
    ("310B1", None),
    ("710", None),
]


def put(path, text="", mode=None):
    os.makedirs(os.path.dirname(str(path)), exist_ok=True)
    with open(str(path), "w") as file:
        file.write(text)
    if mode:
        os.chmod(str(path), mode)
    return str(path)


def npu_smi(folder, chip, board="-"):
    """The path of an npu-smi that shows one card of this name."""
    table = f"| 0     {chip:20s}| OK            | 93.1        45                0    / 0     |"
    return put(
        folder / f"npu-smi-{chip}-{board}",
        f'#!/bin/sh\n[ "$2" = -t ] && echo "NPU Name : {board}" || echo "{table}"\n',
        0o755,
    )


def _home(home, generation):
    """CANN's folder: the list of operations, kernels and what the search paths name."""
    kernels = home / "opp" / "built-in" / "op_impl" / "ai_core" / "tbe"
    layout = ("framework", "built-in") if generation == 5 else ("built-in", "framework")
    put(
        home.joinpath("opp", *layout, "tensorflow", "npu_supported_ops.json"),
        '{"Conv2D": {}, "BiasAdd": {}}',
    )
    if generation == 5:
        for part in ("lib64", "python/site-packages"):
            (home / "fwkacllib" / part).mkdir(parents=True)
        return
    for part in ("lib64/plugin/opskernel", "lib64/plugin/nnengine", "python/site-packages"):
        (home / part).mkdir(parents=True)
    for name in ("ascend910", "ascend910b", "ascend910_93"):
        put(kernels / "config" / name / f"aic-{name}-ops-info.json", '{"Conv2D": {}}')


def _by_hand(root):
    """CANN 5 as the zoo's scripts export it: fwkacllib and opp at the top, no set_env.sh."""
    _home(root, 5)


def _versioned(package, version, generation):
    """A package whose folder `latest` leads to that of its version; set_env.sh lies above."""

    def lay(root):
        _home(root / package / version, generation)
        os.symlink(version, str(root / package / "latest"))
        put(root / package / "set_env.sh")

    return lay


def _cann(version):
    """From 8.5 on: `cann` leads to cann-VERSION, set_env.sh lies in it."""

    def lay(root):
        _home(root / f"cann-{version}", 9)
        os.symlink(f"cann-{version}", str(root / "cann"))
        put(root / "cann" / "set_env.sh")

    return lay


def _unversioned(root):
    _home(root / "cann", 9)


LAYOUTS = {  # the profile that is found, on a machine without npu-smi, and what kind of layout
    "cann5-910 by hand": _by_hand,
    "cann5-910 nnae": _versioned("nnae", "5.0.2", 5),
    "cann5-910 toolkit": _versioned("ascend-toolkit", "5.0.2.1", 5),
    "cann8-910 toolkit": _versioned("ascend-toolkit", "8.0.RC3", 8),
    "cann8-910 nnae": _versioned("nnae", "8.3.RC1", 8),
    "cann8-910 cann": _cann("8.5.0"),
    "cann9-910 cann": _cann("9.0.0"),
    "cann9-910 unversioned": _unversioned,
}
