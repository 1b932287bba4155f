"""Charts that grow while training runs, for notebook 03.

Where outputs are shown as they come, as in JupyterLab, one picture is drawn anew; an executed
notebook keeps the last one.
"""

import contextlib
import os
import threading
import time

from IPython.display import display
from matplotlib.figure import Figure

from deeplab_nb.progress import HEADLESS
from deeplab_nb.show.plots import loss_curve
from deeplab_nb.training.log import read_log

COLOURS = ("#7a7a7a", "#c81e1e", "#3d6fa3")
SECONDS = 1.5  # between two pictures; each takes a few tenths of one


class Chart:
    """One picture that is drawn anew. draw: returns a Figure."""

    def __init__(self, draw):
        self._draw, self._last = draw, time.time()
        self._shown = display(draw(), display_id=True)

    def update(self, last=False):
        """Draws it anew, if that is due. Nobody looks on while papermill executes a notebook."""
        due = time.time() - self._last > SECONDS and not os.environ.get(HEADLESS)
        if self._shown and (due or last):  # there is none outside of a notebook
            self._shown.update(self._draw())
            self._last = time.time()


def curves(trainings, steps):
    """Loss and mIoU over the steps. trainings: {name: [(step, loss, mIoU or None)]}."""
    figure = Figure(figsize=(9, 3.4), constrained_layout=True)
    loss, miou = (figure.add_subplot(1, 2, place) for place in (1, 2))
    for (name, points), colour in zip(trainings.items(), COLOURS):
        loss.plot(*_columns(points, 1), color=colour, label=name)
        miou.plot(*_columns(points, 2), "o-", color=colour, label=name, markersize=4)
    loss.set(xlim=(0, steps), xlabel="step", ylabel="cross-entropy of the batch")
    miou.set(xlim=(0, steps), xlabel="step", ylabel="mIoU of validation crops")
    miou.set_ylim(0, max(0.3, miou.get_ylim()[1]))
    loss.legend(loc="upper right", fontsize=10, frameon=False)
    figure.set_label(f"curves of loss and mIoU over {steps} steps: {', '.join(trainings)}")
    return figure


def _columns(points, column):
    there = [point for point in points if point[column] is not None]
    return [[point[place] for point in there] for place in (0, column)]


@contextlib.contextmanager
def log_chart(folder):
    """Shows the loss curve of a training folder's log and draws it anew while the block runs."""
    path, ended = os.path.join(folder, "log.jsonl"), threading.Event()

    def draw():
        return loss_curve(read_log(path) if os.path.exists(path) else [])

    chart = Chart(draw)

    def follow():
        while not ended.wait(SECONDS):
            chart.update()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        chart.update(last=True)
