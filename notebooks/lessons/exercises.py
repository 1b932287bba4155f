"""What all notebooks use: mistakes shown as lessons, exercises with a check, a photograph."""

import contextlib

import numpy as np

from deeplab_nb.data import voc
from deeplab_nb.data.sample import make_sample
from deeplab_nb.errors import WorkbookError
from deeplab_nb.settings import Settings, resolve


@contextlib.contextmanager
def refusal():
    """Shows the sentence with which the block is refused; it is a fault if nothing is refused."""
    try:
        yield
    except WorkbookError as error:
        print("refused:", error)
    else:
        raise AssertionError("this was meant to be refused")


def check(yours, reference):
    """Compares an answer with the reference; `...` stands for an answer not given yet."""
    if yours is Ellipsis:
        print("not answered yet: replace the ... above and run both cells again")
    elif np.shape(yours) == np.shape(reference) and np.allclose(yours, reference, rtol=1e-3):
        print(f"right: yours {yours}, reference {reference}")
    else:
        print(f"not yet: yours is {yours}; the reference differs")


def photograph(run):
    """The evaluation list's first photograph, uint8 [h, w, 3].

    Where the data set is not there, a drawn one and a sentence.
    """
    try:
        root, list_name = run.data_root, run.settings.val_list
    except WorkbookError as error:
        print(f"{error}\nuntil then, a drawn photograph serves")
        root, list_name = make_sample(resolve(Settings()).data_root), Settings().val_list
    return voc.read_image(voc.image_path(root, voc.read_list(root, list_name)[0]))
