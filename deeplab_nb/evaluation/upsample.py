"""Labels of a photograph from its network's coarse logits, upsampled only where borders run.

Between four logits that all prefer one class, so does every bilinear mean of them. Only the other
cells, one in four on a photograph tried at stride 16, are upsampled class by class.
"""

import numpy as np

CELLS = 1024  # upsampled at a time: 22 MB of logits at stride 16 and 21 classes


def factors(frame, grid):
    """Whole pixels from one logit to the next, (rows, columns); None for any other frame."""
    steps = [divmod(side - 1, max(cells - 1, 1)) for side, cells in zip(frame, grid)]
    whole, rests = zip(*steps)
    return None if 0 in whole or any(rests) else whole


def largest(logits, size, step):
    """Class ids uint8 [batch, height, width]: the largest logit at every pixel.

    As the argmax of a bilinear resize whose corners stay corners.
    logits: float32 [batch, h, w, classes]; size: (height, width) of what is looked at, from the
    top left; step: what `factors` gave.
    """
    # cells that show it; the last logit begins one too
    rows, columns = (-(-side // pixels) for side, pixels in zip(size, step))
    logits = np.pad(logits, [(0, 0), (0, 1), (0, 1), (0, 0)], "edge")
    winner = logits.argmax(axis=3).astype(np.uint8)
    corners = [winner[:, y : y + rows, x : x + columns] for y in (0, 1) for x in (0, 1)]
    labels = corners[0].repeat(step[0], axis=1).repeat(step[1], axis=2)
    cells = labels.reshape(len(labels), rows, step[0], columns, step[1])
    borders = np.nonzero(np.ptp(corners, axis=0))
    for begin in range(0, len(borders[0]), CELLS):
        image, y, x = (places[begin : begin + CELLS] for places in borders)
        top, bottom = (
            _between(logits[image, row, x], logits[image, row, x + 1], step[1])
            for row in (y, y + 1)
        )
        cells[image, y, :, x] = _between(top, bottom, step[0]).argmax(axis=3)
    return labels[:, : size[0], : size[1]]


def _between(one, other, count):
    """[n, count, ...]: from one to just before the other."""
    shares = (np.arange(count, dtype=np.float32) / count).reshape((count,) + (1,) * (one.ndim - 1))
    return one[:, None] + (other - one)[:, None] * shares
