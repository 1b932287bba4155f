"""What of Ascend a machine has, lacks, or has wrong, for `deeplab-nb doctor`.

Each answer is `(state, text)`, see `doctor.Finding`.
"""

import collections
import glob
import os
import re

from deeplab_nb import ascend_profiles
from deeplab_nb.devices import ranks as rank_variables
from deeplab_nb.errors import WorkbookError
from deeplab_nb.files import parse_json
from deeplab_nb.launch import rank_table, this_machine
from deeplab_nb.launch.rank_table_form import are_addresses

FOR_NPU = "(needed only to train on an NPU)"
MANAGERS = ("davinci_manager", "devmm_svm", "hisi_hdc")  # device files that reach every card
RANK_VARIABLES = (
    "JOB_ID",
    *rank_variables.TABLE,
    *rank_variables.CHIEF,
    rank_variables.RANK,
    "ASCEND_DEVICE_ID",
    "DEVICE_ID",
)

# dev, root, hccn: where device files, CANN and the cards' addresses are; cards: numbers of those
# with a device file; found, profile: the `Profile` found, None without CANN, and the one examined
# for; card: its kind as npu-smi says, None without; home: CANN's folder; script: what sets its
# environment
Ascend = collections.namedtuple(
    "Ascend", "dev root hccn variables cards found profile card home script"
)


def look(
    name="auto",
    *,
    dev="/dev",
    root=ascend_profiles.ROOT,
    hccn=this_machine.HCCN_CONF,
    variables=os.environ,
    tool="npu-smi",
):
    """The `Ascend` of a machine, for the profile of this name; 'auto' is that found here."""
    files = os.listdir(dev) if os.path.isdir(dev) else ()
    numbers = [int(file[7:]) for file in files if re.fullmatch(r"davinci\d+", file)]
    found = ascend_profiles.found(variables, root, tool=tool)
    profile = ascend_profiles.get(name) if name != "auto" else found or ascend_profiles.PUBLISHED
    homes = [folder for folder, _ in ascend_profiles.homes(variables, root)]
    home = (homes or [root])[0]
    scripts = [os.path.join(folder, "set_env.sh") for folder in (home, os.path.dirname(home))]
    script = next(filter(os.path.isfile, scripts), profile.scripts[0])
    return Ascend(
        dev,
        root,
        hccn,
        variables,
        sorted(numbers),
        found if homes else None,
        profile,
        ascend_profiles.hardware(tool),
        home,
        script,
    )


def installed(here):
    """{name: answer} on the profile, cards, driver and CANN."""
    return {
        "Ascend profile": _profile(here),
        "NPU cards": _devices(here),
        **{name: _of_file(here, *row) for name, row in _files(here).items()},
        **{name: _folders(here, name) for name in here.profile.folders},
    }


def _lacking(here, text, state="wrong"):
    """On a part of Ascend that is not there; without a card that is as it should be."""
    return (state, text) if here.cards else ("absent", FOR_NPU)


def _profile(here):
    profile, found = here.profile, here.found
    if found is None:
        return _lacking(
            here,
            f"{profile.name}, but no CANN is found: install its toolkit, or source {here.script}",
        )
    if (found.cann, here.card or profile.hardware) != profile[1:]:
        return "wrong", (
            f"{profile.name} is named, but here is {found.title}: name {found.name}, or leave it "
            "out"
        )
    unsure = "" if here.card else ", though npu-smi does not name the card"
    return "present", f"{profile.name}: {profile.title}{unsure}"


def _devices(here):
    missing = [name for name in MANAGERS if not os.path.exists(os.path.join(here.dev, name))]
    if missing:
        return _lacking(
            here,
            f"{', '.join(missing)} of {_numbers(here.cards)} missing in {here.dev}: start the "
            "container with --device for each",
        )
    return _lacking(here, _numbers(here.cards), "present")


# --- what is read from a file


def _files(here):
    """{name: (file, what its text says, remedy)}."""
    driver = os.path.join(here.root, "driver")
    opp = here.variables.get("ASCEND_OPP_PATH") or os.path.join(here.home, "opp")
    newer = os.path.isdir(os.path.join(opp, "built-in"))
    layout = "built-in/framework" if newer else "framework/built-in"
    card = ascend_profiles.HARDWARE[here.profile.hardware]
    kernels = os.path.join(
        opp,
        "built-in/op_impl/ai_core/tbe/config",
        card.operators,
        f"aic-{card.operators}-ops-info*.json",
    )
    found = {
        "NPU driver": (
            os.path.join(driver, "version.info"),
            _driver_version,
            f"install the Ascend driver, or mount {driver} into the container",
        ),
        # what the adapter gives to the card; without this list every operation stays on the host
        "CANN operations": (
            os.path.join(opp, layout, "tensorflow/npu_supported_ops.json"),
            _count,
            f"install CANN's toolkit or nnae, and source {here.script}, which sets ASCEND_OPP_PATH",
        ),
    }
    if here.profile.cann > 5:  # those of CANN 5 are no package of their own
        found["CANN kernels"] = (
            min(glob.glob(kernels), default=kernels),
            _count,
            f"install the kernels of {card.title} in CANN's own version and place, from 8.5 on "
            f"Ascend-cann-{card.package}-ops",
        )
    return found


def _of_file(here, path, understand, remedy):
    """Present where `understand` makes something of the file's text."""
    try:
        with open(path, errors="replace") as file:
            return "present", f"{understand(file.read())} in {path}"
    except OSError:
        return _lacking(here, f"{path} is missing: {remedy}")
    except (ValueError, TypeError, AttributeError):
        return "wrong", f"{path} cannot be read: {remedy}"


def _driver_version(text):
    return re.search(r"^Version=(\S+)", text, re.MULTILINE).group(1)


def _count(text):
    return len(parse_json(text))


# --- search paths and the adapter


def _folders(here, name):
    """Whether a search path names CANN's folders; `npu_bridge` tells whether they are enough."""
    entries = list(filter(None, here.variables.get(name, "").split(os.pathsep)))
    wanted = [os.path.join(here.home, part) for part in here.profile.folders[name]]
    if name == "LD_LIBRARY_PATH":
        wanted.append(os.path.join(here.root, "driver/lib64"))
    gone = [entry for entry in entries if "Ascend" in entry and not os.path.isdir(entry)]
    lacking = [folder for folder in wanted if not any(_is_in(path, folder) for path in entries)]
    if gone:
        return "wrong", f"names {', '.join(gone)}, which does not exist: source {here.script}"
    if lacking:
        text = f"names no {' and no '.join(lacking)}: source {here.script}"
        return _lacking(here, text, "absent")
    return "present", f"names {' and '.join(wanted)}"


def _is_in(path, folder):
    """Whether a path is this folder or in it; links count as what they lead to."""
    path, folder = (os.path.realpath(each) + os.sep for each in (path, folder))
    return path.startswith(folder)


def npu_bridge(here, why_not):
    """why_not: what `ascend.problem` says."""
    if why_not is None:
        return "present", "loads"
    if "not installed" not in why_not:
        return "wrong", why_not
    for folder in ascend_profiles.adapters(here.variables, here.root):
        why_not = (
            f"lies in {folder}, where Python does not look: export PYTHONPATH={folder}:$PYTHONPATH"
        )
    return _lacking(here, why_not)


# --- ranks


def ranks(here):
    """Whether the variables of a rank fit together, and to its table."""
    variables = {name: here.variables[name] for name in RANK_VARIABLES if here.variables.get(name)}
    if not variables:
        return "absent", FOR_NPU
    why_not = _rank_problem(here, variables)
    if why_not:
        return "wrong", why_not
    return "present", ", ".join(map("=".join, variables.items()))


def _rank_problem(here, variables):
    """None, or one sentence."""
    device, path = variables.get("ASCEND_DEVICE_ID", "0"), variables.get("RANK_TABLE_FILE")
    size, count = rank_variables.size_of(variables), len(here.cards)
    if here.cards and device not in map(str, range(count)):
        return f"ASCEND_DEVICE_ID is {device}: it counts the {count} cards here from 0"
    if set(rank_variables.CHIEF) & set(variables) and not here.profile.starts_without_table:
        return (
            f"CM_* variables start no ranks of {here.profile.title}: unset them and name a "
            "rank table"
        )
    if not size.isdigit() or size == "0":
        return f"RANK_SIZE is {size}: it is the number of ranks"
    why_not = rank_variables.problem(int(size), variables)
    if why_not or not path:
        return why_not
    try:
        listed = len(rank_table.read(path).cards)
    except WorkbookError as error:
        return str(error)
    if listed != int(size):
        return f"RANK_SIZE is {size}, but {path} has {listed} cards: make them agree"
    return None


def addresses(here):
    """The network address of each card, which a rank table is made from."""
    try:
        found = this_machine.read_conf(here.hccn)
    except OSError:
        found = {}
    for number, address in found.items():
        if not are_addresses(address):
            return "wrong", (
                f"address_{number}={address} in {here.hccn} is no address: set it with hccn_tool"
            )
    missing = [number for number in here.cards if number not in found]
    if missing or not found:
        several = "cards" if here.profile.hardware == "910" else "servers"
        text = (
            f"{here.hccn} has none for {_numbers(missing)} (needed only for several {several}): "
            "set them with hccn_tool"
        )
        return _lacking(here, text, "absent")
    return "present", f"{here.hccn} for {_numbers(sorted(found))}"


def _numbers(cards):
    return ("card " if len(cards) == 1 else "cards ") + ", ".join(map(str, cards))
