"""What a checkpoint's number must be read with, beside how it was evaluated: its network and how it was trained."""
import os

from deeplab_nb import settings as settings_module
from deeplab_nb.data import voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.network import zoo
from deeplab_nb.network.checkpoints import step_of


def origin(settings, prefix):
    """{"network", "weights", "trained"}: the network in words, the published checkpoint that this is, how it was trained.

    weights is None for any other checkpoint, trained where the settings of its training do not lie beside it.
    """
    return {"network": network_name(settings), "weights": zoo.name_of(prefix), "trained": _training_beside(prefix)}


def network_name(settings):
    """Such as 'mobilenet_v2 0.5' or 'xception_65 aspp decoder'; equal for equal networks."""
    words = [settings.backbone] + ["{:g}".format(settings.depth_multiplier)] * (settings.depth_multiplier != 1)
    words += [part for part in ("aspp", "decoder") if getattr(settings, part)]
    words += ["with full convolutions"] * ((settings.aspp or settings.decoder) and not settings.separable_head)
    words += ["multi-grid {},{},{}".format(*settings.multi_grid)] * (settings.multi_grid != (1, 1, 1))
    return " ".join(words)


def training(settings, steps, images):
    """How a checkpoint of so many steps was trained, as a ledger compares it. images: of the training list; None is unknown."""
    return {"data": "{}, {:,} images".format(settings.train_list, images) if images else settings.train_list,
            "init": os.path.basename(os.path.normpath(settings.initial_checkpoint)) if settings.initial_checkpoint else "random",
            "batch": settings.global_batch_size, "batch_norm": "trained" if settings.fine_tune_batch_norm else "frozen",
            "steps": steps, "crop": settings.train_crop_size}


def _training_beside(prefix):
    try:
        settings = settings_module.load(os.path.dirname(os.path.abspath(prefix)))
    except WorkbookError:  # none, or of another version
        return None
    try:
        images = len(voc.read_list(voc.check_root(settings.data_root), settings.train_list))
    except WorkbookError:  # the data are elsewhere
        images = None
    return training(settings, step_of(prefix), images)
