"""What a launch on Ascend cards needs of this machine, told before anything is written.

For notebook 04. Not run on hardware.
"""

import glob
import importlib.util
import os
import tempfile

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.data.records import existing_shards
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import rank_table
from deeplab_nb.network.checkpoints import find_checkpoint

CARDS = "/dev/davinci[0-9]*"  # the driver's files, one a card


def places(overrides, settings, recipe):
    """What of a notebook's overrides a published recipe is given: where data and weights lie.

    settings: of the notebook's run. Steps, rate or width of the sample are none of its business,
    nor are the weights of another backbone.
    """
    names = ["data_root"]
    if settings.backbone == recipe.settings.backbone:
        names.append("initial_checkpoint")
    return {name: overrides[name] for name in names if name in overrides}


def preflight(recipe, values, cards):
    """{what is needed: None or the sentence that says what is missing}, in the order of need.

    values: settings that differ from the recipe's; cards: of this server.
    """
    settings = settings_module.resolve(settings_module.override(recipe.settings, values))
    needs = {
        "data": lambda: _data(settings),
        "weights": lambda: find_checkpoint(settings.initial_checkpoint),
        "adapter": _adapter,
        "cards": lambda: _cards(cards),
    }
    return {name: _refused(look) for name, look in needs.items()}


def told(found):
    """The same as lines of text."""
    return [f"{name}: {why or 'there'}" for name, why in found.items()]


def _refused(look):
    try:
        look()
    except WorkbookError as error:
        return str(error)
    return None


def _data(settings):
    if not existing_shards(settings.data_root, settings.train_list):
        voc.read_list(voc.check_root(settings.data_root), settings.train_list)


def _adapter():
    if importlib.util.find_spec("npu_bridge") is None:
        raise WorkbookError("npu_bridge is not installed: `deeplab-nb doctor` says what is missing")


def _cards(count):
    found = len(glob.glob(CARDS))
    if found < count:
        raise WorkbookError(
            f"this machine shows {found} of {count} cards ({CARDS}): set table_cards lower, or go "
            "to the server that has them"
        )
    with tempfile.TemporaryDirectory() as folder:  # its addresses and the choice of cards
        rank_table.make(os.path.join(folder, "table.json"), count)
