"""Charts that grow while training runs, for notebook 03.

Where outputs are shown as they come, as in JupyterLab, one picture is drawn anew; an executed
notebook keeps the last one.
"""

import contextlib
import os
import threading

from IPython.display import display
from matplotlib.figure import Figure

from deeplab_nb.show.plots import loss_curve
from deeplab_nb.training.log import read_log

COLOURS = ("#3d6fa3", "#c81e1e", "#d9822b")


class Chart:
    """One picture that is drawn anew. draw: returns a Figure."""

    def __init__(self, draw):
        self.draw = draw
        self._shown = display(draw(), display_id=True)

    def update(self):
        if self._shown:  # there is none outside of a notebook
            self._shown.update(self.draw())


def curves(trainings, steps):
    """Loss and mIoU over the steps. trainings: {name: [(step, loss, mIoU or None)]}."""
    figure = Figure(figsize=(9, 3.4), constrained_layout=True)
    loss, miou = (figure.add_subplot(1, 2, place) for place in (1, 2))
    for (name, points), colour in zip(trainings.items(), COLOURS):
        loss.plot(*_columns(points, 1), color=colour, label=name)
        miou.plot(*_columns(points, 2), "o-", color=colour, label=name, markersize=4)
    loss.set(xlim=(0, steps), xlabel="step", ylabel="cross-entropy of the batch")
    miou.set(xlim=(0, steps), ylim=(0, 1), xlabel="step", ylabel="mIoU of validation crops")
    loss.legend(loc="upper right", fontsize=10, frameon=False)
    return figure


def _columns(points, column):
    there = [point for point in points if point[column] is not None]
    return [[point[place] for point in there] for place in (0, column)]


@contextlib.contextmanager
def log_chart(folder, seconds=3):
    """Shows the loss curve of a training folder's log and draws it anew while the block runs."""
    path, ended = os.path.join(folder, "log.jsonl"), threading.Event()

    def draw():
        return loss_curve(read_log(path) if os.path.exists(path) else [])

    chart = Chart(draw)

    def follow():
        while not ended.wait(seconds):
            chart.update()

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        chart.update()
