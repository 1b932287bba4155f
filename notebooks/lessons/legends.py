"""Legends below the pictures of masks, for all notebooks."""

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.show import plots


def with_legend(figure, names, *masks, ignore_label=voc.VOID, palette=None):
    """The figure, with the names of the masks' classes in their colours at its lower edge.

    masks: class ids [h, w] that the figure shows. Their classes and shares join its alt
    text. palette: as for `plots.coloured`.
    """
    ids = np.concatenate([np.ravel(mask) for mask in masks])
    plots.add_legend(figure, ids, None, names, ignore_label, palette=palette)
    return figure
