"""Photographs larger than the network was trained on: tile by tile, blended where tiles overlap."""

import numpy as np

from deeplab_nb.settings import crop_for

OVERLAP = 0.25  # of the tile, at least; within it a tile's weight falls to its edge


def tiled_labels(predictor, image, tile):
    """Class ids uint8 [height, width] of a photograph uint8 [height, width, 3] of any size.

    tile: side, in pixels. A photograph that fits one is labelled whole. Of a larger one only a
    strip as high as a tile is held as probabilities; rows become labels as soon as no further tile
    reaches them.
    """
    height, width = image.shape[:2]
    if max(height, width) <= tile:
        return predictor.labels(image)
    rows, columns = starts(height, tile), starts(width, tile)
    labels = []
    strip = np.zeros((min(tile, height), width, predictor.settings.num_classes), np.float32)
    for row, following in zip(rows, rows[1:] + [height]):
        for column in columns:
            part = image[row : row + tile, column : column + tile]
            maps = predictor.probabilities(part, crop_for(tile))
            down, across = (weights(side, tile) for side in part.shape[:2])
            maps *= down[:, None, None] * across[:, None]
            strip[:, column : column + tile] += maps
        done = following - row
        labels.append(strip[:done].argmax(axis=2).astype(np.uint8))
        strip = np.concatenate([strip[done:], np.zeros_like(strip[:done])])
    return np.concatenate(labels)


def starts(length, tile):
    """Where tiles begin along a side, evenly spread, so that the last one ends with it."""
    last = max(length - tile, 0)
    count = 1 + -(-last // (tile - int(OVERLAP * tile)))
    return np.linspace(0, last, count).astype(int).tolist()


def weights(length, tile):
    """float32 [length]: 1 in the middle, falling over the overlap to both edges.

    The largest sum wins, so none is normalised.
    """
    places, overlap = np.arange(1, length + 1), int(OVERLAP * tile)
    edge = np.minimum(places, places[::-1]).clip(max=overlap)
    return (edge / overlap).astype(np.float32)
