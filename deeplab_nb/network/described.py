"""Of what network a checkpoint is: by its variables, and by the settings that lie beside it."""

import os

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import read_shapes
from deeplab_nb.network.head import LOGITS_SCOPE
from deeplab_nb.network.mobilenet_v2 import depth


def trained_with(prefix):
    """The settings of a checkpoint's training, which lie beside it; None where there are none."""
    folder = os.path.dirname(os.path.abspath(prefix))
    if os.path.basename(folder) == "best":  # of the training that is its parent
        folder = os.path.dirname(folder)
    try:
        return settings_module.resolve(settings_module.load(folder))
    except WorkbookError:  # none, or of another version
        return None


def describe(prefix):
    """The network settings of a checkpoint: a dict for `settings.read`.

    So no one has to retype width, classes or head of a checkpoint: variables imply them. Atrous
    rates they do not imply: multi_grid is there where the training's settings lie beside.
    Raises WorkbookError for a foreign one.
    """
    implied, trained = outline(prefix), trained_with(prefix)
    if implied["backbone"] is None or implied["num_classes"] is None:
        raise WorkbookError(
            f"checkpoint {prefix} is not of a DeepLab network with a class layer: "
            "give a trained one"
        )
    if trained and all(getattr(trained, k) == implied[k] for k in ("backbone", "num_classes")):
        implied["multi_grid"] = trained.multi_grid
        if depth(320, trained.depth_multiplier) == depth(320, implied["depth_multiplier"]):
            implied["depth_multiplier"] = trained.depth_multiplier
    return implied


def outline(prefix):
    """As `describe`, of part of a network too: backbone and num_classes may be None."""
    shapes = read_shapes(prefix)
    scopes = {name.split("/")[0] for name in shapes}
    backbone = next((b for scope, b in _BACKBONES.items() if scope in scopes), None)
    last = shapes.get("MobilenetV2/expanded_conv_16/project/weights", [320])[-1]
    width = round(last / 320, 2)  # people give two decimals
    full = {"aspp1/weights", "decoder/decoder_conv0/decoder_conv0_1/weights"}
    return {
        "backbone": backbone,
        "depth_multiplier": width if depth(320, width) == last else last / 320,
        "num_classes": shapes.get(LOGITS_SCOPE + "/weights", [None])[-1],
        "aspp": any(scope.startswith("aspp1") for scope in scopes),
        "separable_head": not full & shapes.keys(),
        "decoder": "decoder" in scopes,
    }


# the scope of a backbone's variables: the backbone
_BACKBONES = {
    "MobilenetV2": "mobilenet_v2",
    "xception_41": "xception_41",
    "xception_65": "xception_65",
    "xception_71": "xception_71",
    "resnet_v1_50": "resnet_v1_50_beta",
    "resnet_v1_101": "resnet_v1_101_beta",
}
