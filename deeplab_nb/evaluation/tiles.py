"""Photographs larger than the network was trained on: at the size that it knows, or by tiles.

Tiles are blended where they overlap.
"""

import numpy as np
from PIL import Image

from deeplab_nb.settings import crop_for

OVERLAP = 0.25  # of the tile, at least; within it a tile's weight falls to its edge


def shrunk(image, side):
    """A photograph uint8 [height, width, 3] with no side above `side`; a smaller one as it is."""
    picture = Image.fromarray(image)
    picture.thumbnail((side, side), Image.BICUBIC)
    return np.asarray(picture)


def known_labels(predictor, image, side, tile):
    """Class ids uint8 [height, width] of a photograph, seen with no side above `side` pixels.

    side: None takes its own size. Probabilities are enlarged to the photograph, of the classes
    that were seen, as the evaluation does; a photograph still larger than a tile is labelled by
    tiles.
    """
    small = shrunk(image, side) if side else image
    size = image.shape[1::-1]
    if small.shape == image.shape or max(small.shape) > tile:
        labels = Image.fromarray(tiled_labels(predictor, small, tile))
        return np.asarray(labels.resize(size, Image.NEAREST))
    maps = predictor.probabilities(small)
    best = np.full(image.shape[:2], -1, np.float32)
    labels = np.zeros(image.shape[:2], np.uint8)
    for i in np.unique(maps.argmax(axis=2)):
        large = np.asarray(Image.fromarray(maps[..., i]).resize(size, Image.BILINEAR))
        labels[large > best] = i
        np.maximum(best, large, out=best)
    return labels


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
