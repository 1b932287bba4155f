"""Ascend's cards by version of CANN: what a program may ask of each. Not run on hardware.

910 is the first generation of training cards, A2 the Ascend910B1 to B4, A3 the Ascend910_93 of two
dies in super pods. From the guides of CANN 5, 8 and 9 and the published sources of TensorFlow's
adapter. Of the versions between, 6 goes by CANN 5's profile and 7 by CANN 8's, whose session keys
they have. A machine's profile is found by what its files, environment and npu-smi say.
"""

import collections
import functools
import glob
import os
import re
import subprocess

from deeplab_nb.errors import one_of

ROOT = "/usr/local/Ascend"
INSTALLED = "/etc/Ascend/ascend_cann_install.info"

_GENERATIONS = {"5": 5, "6": 5, "7": 8, "8": 8, "9": 9}  # by the first number of CANN's version
_SCRIPTS = {5: ("nnae", "ascend-toolkit"), 8: ("ascend-toolkit", "cann"), 9: ("cann",)}
_ADAPTERS = {
    5: "the run package tfplugin, with a set_env.sh of its own",
    8: "the wheel npu_bridge-1.15.0, or before 8.0.0 the run package tfplugin",
    9: "the wheel npu_bridge-1.15.0",
}
# what the environment script puts on a search path, below CANN's folder
_FOLDERS = {
    5: {"LD_LIBRARY_PATH": ("fwkacllib/lib64",), "PYTHONPATH": ("fwkacllib/python/site-packages",)},
    8: {
        "LD_LIBRARY_PATH": ("lib64", "lib64/plugin/opskernel", "lib64/plugin/nnengine"),
        "PYTHONPATH": ("python/site-packages", "opp/built-in/op_impl/ai_core/tbe"),
    },
}
_FOLDERS[9] = _FOLDERS[8]

# names: of its chips; soc: one of them, for atc; operators, package: its operators' folder, package
Hardware = collections.namedtuple("Hardware", "title names soc operators package")
HARDWARE = {
    "910": Hardware("910", r"910((Pro|Premium)?[AB])?", "Ascend910A", "ascend910", "910"),
    "a2": Hardware("Atlas A2", r"910B\d\w*(-\d)?", "Ascend910B3", "ascend910b", "910b"),
    "a3": Hardware("Atlas A3", r"910_93\d\d", "Ascend910_9391", "ascend910_93", "A3"),
}
CHIPS = "|".join(row.names for row in HARDWARE.values())  # of a 910's kin, without 'Ascend'


class Profile(collections.namedtuple("Profile", "name cann hardware")):
    """A CANN version and a card.

    name: as `--ascend-profile` takes it; cann: 5, 8 or 9; hardware: '910', 'a2' or 'a3'.
    """

    # one of them sets the environment
    scripts = property(lambda self: [f"{ROOT}/{part}/set_env.sh" for part in _SCRIPTS[self.cann]])
    adapter = property(lambda self: _ADAPTERS[self.cann])  # how npu_bridge comes
    folders = property(lambda self: _FOLDERS[self.cann])
    title = property(lambda self: f"CANN {self.cann} on {HARDWARE[self.hardware].title}")
    soc_version = property(lambda self: HARDWARE[self.hardware].soc)
    # what a float16 that is too large becomes, untold; before CANN 8.0.RC3 an A2 clamped too
    overflow = property(lambda self: "saturation" if self.hardware == "910" else "inf/nan")
    rank_table_versions = property(lambda self: ("1.0", "1.2")[: 1 + (self.hardware == "a3")])
    # by the variables CM_CHIEF_IP and its kin
    starts_without_table = property(lambda self: self.cann > 5 and self.hardware != "a3")

    @property
    def precision(self):
        """{float type, '' without mixed precision: (session key, word)}.

        Without mixed precision it is what the card does untold. A 910's matrix unit knows float16
        only, so there float32 stays wherever it has a float32 kernel. The adapter of CANN 8 and 9
        ends a session with an unknown word, or with both keys; that of CANN 5 passes over either.
        """
        words = {
            "": ("precision_mode", "allow_fp32_to_fp16"),
            "float16": ("precision_mode", "allow_mix_precision"),
        }
        if self.cann > 5:
            words["float16"] = "precision_mode_v2", "mixed_float16"
        if self.hardware != "910":
            words[""] = "precision_mode_v2", "origin"
            words["bfloat16"] = "precision_mode_v2", "mixed_bfloat16"
        return words


PROFILES = tuple(
    Profile(f"cann{cann}-{hardware}", cann, hardware)
    for cann in _ADAPTERS
    for hardware in HARDWARE
    if cann > 5 or hardware == "910"
)
NAMES = tuple(profile.name for profile in PROFILES)
PUBLISHED = PROFILES[0]  # CANN 5.0.2 on a 910, with which both ports were published


def get(name):
    """The `Profile` of a name. Raises WorkbookError with the nearest name for an unknown one."""
    return PROFILES[one_of(NAMES, name, "Ascend profile")]


def chosen(name="auto"):
    """The `Profile` of a name; 'auto' is this machine's, else the published ports'."""
    return (found() or PUBLISHED) if name == "auto" else get(name)


# --- which cards a server's ranks can be


def choice(devices, hardware):
    """Yields (whether HCCL refuses it, words that go on after 'uses') for one server's cards.

    A 910's cards 0-3 and 4-7 are linked directly, the two halves only through the PCIe switch.
    """
    listed, most = ", ".join(map(str, devices)), 7 if hardware == "910" else 15
    as_known = " as far as is known" if hardware == "a3" else ""
    for device in devices:
        if not 0 <= device <= most:
            yield hardware != "a3", f"card {device}: a server's cards are 0 to {most}{as_known}"
    count, halves = len(devices), {device // 4 for device in devices}
    if hardware == "910" and count not in (1, 2, 4, 8):
        yield True, f"{count} cards: a server's ranks can be 1, 2, 4 or 8 on a 910"
    if hardware == "910" and count in (2, 4) and len(halves) > 1:
        # HCCL's source takes four as well if they are two and the two opposite; pairs it lets pass
        low, high = sorted(devices)[:2], sorted(devices)[2:]
        refused = count == 4 and [device + 4 for device in low] != high
        yield refused, f"cards {listed}: {count} cards must lie within 0-3 or within 4-7"
    modules = [{device % 8 for device in devices if device // 8 == module} for module in (0, 1)]
    if hardware == "a2" and all(modules) and modules[0] != modules[1]:
        yield (
            False,
            (
                f"cards {listed}: of two modules, 0-7 and 8-15, take the same numbers, 0 with 8, "
                "unless they meet over RoCE"
            ),
        )


# --- what a machine has


def found(variables=os.environ, root=ROOT, installed=INSTALLED, tool="npu-smi"):
    """The `Profile` of a machine, None where neither CANN nor a card is found. Never raises.

    Of cards that no CANN found here knows it is the oldest that does.
    """
    versions, cards = [cann for _, cann in homes(variables, root, installed)], hardware(tool)
    if not versions and not cards:
        return None
    return next(
        profile
        for profile in PROFILES
        if profile.hardware == (cards or "910") and profile.cann >= (versions or [5])[0]
    )


def homes(variables=os.environ, root=ROOT, installed=INSTALLED):
    """[(folder, 5, 8 or 9)] of each CANN here, that of the environment first."""
    recorded = re.findall(r"(?im)^\w*install_?path\w*=(.+?)\s*$", _text(installed))
    parts = ("cann", "ascend-toolkit/latest", "ascend-toolkit", "nnae/latest", "nnae", "")
    places = [
        variables.get("ASCEND_TOOLKIT_HOME", ""),
        os.path.dirname(variables.get("ASCEND_OPP_PATH", "").rstrip(os.sep)),
        *_below(_roots(variables, root) + recorded, parts),
    ]
    known = ((place.rstrip(os.sep), _generation(place)) for place in places if os.path.isdir(place))
    return [(place, cann) for place, cann in known if cann]


def _roots(variables, root):
    """The folders that Ascend's packages are put into: of all users, of this one."""
    return [root, os.path.join(variables.get("HOME", os.sep), "Ascend")]


def _below(folders, parts):
    return [os.path.join(folder, part) for folder in folders for part in parts]


def _generation(home):
    """5, 8 or 9 of a folder of CANN, None where it is none."""
    parts = ("", "fwkacllib", "compiler", "runtime", "toolkit", "opp", "*-linux")
    texts = "\n".join(
        _text(path)
        for part in parts
        for name in ("*install.info", "version.info")
        for path in sorted(glob.glob(os.path.join(glob.escape(home), part, name)))
    )
    # a component counts its own versions, so it is asked last
    said = (
        re.findall(r"(?m)^version(?:_dir)?=(\d+)\.", texts)
        + re.findall(r"(?:^|-)(\d+)\.\d", os.path.basename(os.path.realpath(home)))
        + re.findall(r"(?m)^Version=(\d+)\.", texts)
    )
    by_version = [_GENERATIONS[number] for number in said if number in _GENERATIONS]
    by_layout = [
        cann
        for part, cann in (
            ("fwkacllib", 5),
            ("opp/framework/built-in", 5),
            ("opp/built-in", 9 if os.path.basename(home).startswith("cann") else 8),
        )
        if os.path.isdir(os.path.join(home, part))
    ]
    return next(iter(by_version + by_layout), None)


def adapters(variables=os.environ, root=ROOT):
    """Folders in which npu_bridge lies, where the run package or `pip install -t` puts it."""
    parts = ("latest/python/site-packages", "python/site-packages", "")
    places = _below(_roots(variables, root), [os.path.join("tfplugin", part) for part in parts])
    return [
        place.rstrip(os.sep) for place in places if os.path.isdir(os.path.join(place, "npu_bridge"))
    ]


@functools.lru_cache(maxsize=None)
def hardware(tool="npu-smi"):
    """'910', 'a2' or 'a3' as the first card is named, None without a card; asked once a process."""
    row = re.search(r"(?m)^\|\s*(\d+)\s+(?:Ascend)?(910[\w-]*)\s*\|", answer(tool, "info"))
    if row is None:
        return None
    # an A3's row may say no more than 910; its board says the rest
    number, name = row.groups()
    board = answer(tool, "info", "-t", "board", "-i", number, "-c", "0") if name == "910" else ""
    rest = re.search(r"NPU Name\s*:\s*(93\d\d)\b", board)
    return hardware_of(f"910_{rest.group(1)}" if rest else name)


def hardware_of(chip):
    """'910', 'a2' or 'a3' of a chip such as Ascend910B3 or 910B3, None of any other."""
    name = re.sub("^Ascend", "", chip)
    return next((kind for kind, row in HARDWARE.items() if re.fullmatch(row.names, name)), None)


def answer(*words):
    """What a command prints, '' where it is missing, or says nothing within 20 seconds."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            timeout=20,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError):
        return ""


def _text(path):
    try:
        with open(path, errors="replace") as file:
            return file.read(1 << 16)
    except OSError:
        return ""
