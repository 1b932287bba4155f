"""Ascend's cards by version of CANN: what a program may ask of each. Nothing here was run on hardware.

910 is the first generation of training cards, A2 the Ascend910B, A3 the Ascend910_93 of two dies in super pods.
"""
import collections
import difflib

from deeplab_nb.errors import WorkbookError

# name: as `--ascend-profile` takes it; cann: 5, 8 or 9; hardware: '910', 'a2' or 'a3'
Profile = collections.namedtuple("Profile", "name cann hardware")

PROFILES = tuple(Profile(f"cann{cann}-{hardware}", cann, hardware) for cann, hardware in (
    (5, "910"), (8, "910"), (8, "a2"), (8, "a3"), (9, "910"), (9, "a2"), (9, "a3")))
NAMES = tuple(profile.name for profile in PROFILES)
PUBLISHED = PROFILES[0]  # CANN 5.0.2 on a 910, with which both ports were published


def get(name):
    """The `Profile` of a name. Raises WorkbookError with the nearest name for an unknown one."""
    if name not in NAMES:
        close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.4)
        raise WorkbookError(f"unknown Ascend profile '{name}'" + (f", did you mean '{close[0]}'?" if close else "")
                            + f"; there are {', '.join(NAMES)}")
    return PROFILES[NAMES.index(name)]


def chosen(name="auto"):
    """The `Profile` of a name; 'auto' is the one of this machine, and of the published ports where it has none."""
    return PUBLISHED if name == "auto" else get(name)
