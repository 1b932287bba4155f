"""Two small helpers of the teaching notebooks: mistakes shown as lessons, exercises with a check."""
import contextlib

import numpy as np

from deeplab_nb.errors import WorkbookError


@contextlib.contextmanager
def refusal():
    """Shows the sentence with which the workbook refuses what the block does; it is a fault if nothing is refused."""
    try:
        yield
    except WorkbookError as error:
        print("refused:", error)
    else:
        raise AssertionError("this was meant to be refused")


def check(yours, reference):
    """Compares an exercise's answer with the reference; `...` stands for an answer not given yet."""
    if yours is Ellipsis:
        print("not answered yet: replace the ... above and run both cells again")
    elif np.shape(yours) == np.shape(reference) and np.allclose(yours, reference, rtol=1e-3):
        print("right: yours {}, reference {}".format(yours, reference))
    else:
        print("not yet: yours is {}; the reference differs".format(yours))
