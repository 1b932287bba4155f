"""Labels of a photograph from its network's coarse logits, without enlarging what is plain to see.

Between four logits that all prefer one class, so does every bilinear mean of them. Only the cells where a border
runs, one in four on a photograph tried at stride 16, are enlarged class by class.
"""
import numpy as np

CELLS = 1024  # enlarged at a time: 22 MB of logits at stride 16 and 21 classes


def factors(frame, grid):
    """Whole pixels from one logit to the next, (rows, columns); None where a frame is not of that kind."""
    steps = [divmod(side - 1, max(cells - 1, 1)) for side, cells in zip(frame, grid)]
    return None if any(rest for _, rest in steps) or 0 in (whole for whole, _ in steps) else tuple(whole for whole, _ in steps)


def largest(logits, size, step):
    """Class ids uint8 [batch, height, width]: the largest of float32 logits [batch, h, w, classes] at every pixel.

    As the argmax of a bilinear resize whose corners stay corners. size: (height, width) of what is looked at, from
    the top left; step: what `factors` gave.
    """
    rows, columns = [-(-side // whole) for side, whole in zip(size, step)]  # cells that show it; the last logit begins one too
    corners = np.pad(logits, [(0, 0), (0, 1), (0, 1), (0, 0)], "edge")[:, :rows + 1, :columns + 1]
    winner = corners.argmax(axis=3).astype(np.uint8)
    first = winner[:, :-1, :-1]
    alike = (first == winner[:, 1:, :-1]) & (first == winner[:, :-1, 1:]) & (first == winner[:, 1:, 1:])
    labels = np.empty((len(logits), rows, step[0], columns, step[1]), np.uint8)
    labels[...] = first[:, :, None, :, None]
    borders = np.nonzero(~alike)
    for begin in range(0, len(borders[0]), CELLS):
        image, y, x = (places[begin:begin + CELLS] for places in borders)
        top, bottom = (_between(corners[image, row, x], corners[image, row, x + 1], step[1]) for row in (y, y + 1))
        labels[image, y, :, x] = _between(top, bottom, step[0]).argmax(axis=3)
    whole = labels.reshape(len(logits), rows * step[0], columns * step[1])
    return whole[:, :size[0], :size[1]]


def _between(one, other, count):
    """[n, count, ...]: from one to just before the other."""
    weights = (np.arange(count, dtype=np.float32) / count).reshape((1, count) + (1,) * (one.ndim - 1))
    return one[:, None] + (other - one)[:, None] * weights
