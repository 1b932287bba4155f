"""Two ways to weigh rare classes in the loss, from an audit's counts; the setting is `class_weights`.

Weights help where a class is so rare that the network gives it up. They cost precision on the others,
so train without first and look at the per-class table.
"""
import numpy as np

from deeplab_nb.errors import WorkbookError


def median_frequency(one, num_classes):
    """Median of the class frequencies / a class's frequency (Eigen and Fergus 2015, section 4.3.2).

    one: a `ListAudit`. A class's frequency is its share of the pixels of the images in which it occurs. An absent class gets 0.
    """
    pixels, images = _counts(one, num_classes)
    size = pixels.sum() / one.count  # pixels of an image, on average: the audit keeps no count for each image
    frequency = np.divide(pixels, images * size, out=np.zeros(num_classes), where=images > 0)
    return _weights(np.median(frequency[images > 0]), frequency)


def inverse_log(one, num_classes, constant=1.02):
    """1 / ln(constant + share of all pixels): milder, between 1.4 and 50.5 with 1.02 (ENet, 1606.02147, section 5.2)."""
    pixels, images = _counts(one, num_classes)
    return _weights(1.0, np.where(images > 0, np.log(constant + pixels / pixels.sum()), 0))


def _counts(one, num_classes):
    pixels, images = (np.array(counts[:num_classes], float) for counts in (one.pixels, one.images))
    if not pixels.any():
        raise WorkbookError("list {} has no labelled pixel: audit its masks before weighing classes".format(one.name))
    return pixels, images


def _weights(numerator, denominators):
    weights = np.divide(numerator, denominators, out=np.zeros(len(denominators)), where=denominators > 0)
    return tuple(round(float(weight), 3) for weight in weights)
