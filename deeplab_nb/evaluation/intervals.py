"""How sure a score is: 95 % intervals by bootstrap over the images of a list.

A draw takes as many images as the list has, with replacement, and adds their confusion matrices up.
What 2,000 draws give is read as BCa does (Efron 1987, 'Better Bootstrap Confidence Intervals'): it
corrects for scores that are skewed, or off on average, as the mIoU of few images is. Few images
make wider intervals, by Student's t in place of the normal distribution; those of a list with
fewer than some 300 images are still a little narrow (93 in place of 95 % in a simulation of 150).
"""

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

DRAWS, SEED = 2000, 0


def totals(confusions):
    """float64 [images, 3, classes] of confusion matrices: pixels in mask, prediction and both."""
    each = np.array(confusions, float)
    return np.stack([each.sum(2), each.sum(1), np.einsum("nii->ni", each)], axis=1)


def scores(sums):
    """float64 [..., 2 + classes] of sums of `totals`: mIoU, pixel accuracy, IoU by class.

    NaN for a class that no mask shows.
    """
    truth, predicted, hit = np.moveaxis(sums, -2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        iou = np.where(truth > 0, hit / (truth + predicted - hit), np.nan)
        shown = np.maximum((truth > 0).sum(-1), 1)
        accuracy = hit.sum(-1) / truth.sum(-1)
    return np.concatenate([np.stack([np.nansum(iou, -1) / shown, accuracy], -1), iou], -1)


def intervals(images):
    """float64 [2, 2 + classes]: low and high end of the 95 % interval of each of `scores`.

    images: of `totals`. NaN where no draw, or one image alone, says anything.
    """
    count = len(images)
    drawn = np.random.RandomState(SEED).multinomial(count, np.full(count, 1 / count), DRAWS)
    flat, shape = images.reshape(count, -1), images.shape[1:]
    found = scores((drawn @ flat).reshape(-1, *shape))
    whole = flat.sum(0)
    without = scores((whole - flat).reshape(-1, *shape))  # each image left out once
    ends = [_ends(*one) for one in zip(found.T, scores(whole.reshape(shape)), without.T)]
    return np.array(ends).T


def _ends(found, estimate, without):
    """(low, high) of one score by BCa."""
    found, without = found[np.isfinite(found)], without[np.isfinite(without)]
    if len(found) < DRAWS / 2 or len(without) < 2:
        return np.nan, np.nan
    below = np.mean(found < estimate) + np.mean(found == estimate) / 2
    bias = ndtri(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS))
    apart = without.mean() - without
    skew = (apart**3).sum() / max(6 * (apart**2).sum() ** 1.5, 1e-300)
    count = len(without)
    normal = bias + np.sqrt(count / (count - 1)) * stdtrit(count - 1, [0.025, 0.975])
    return tuple(np.quantile(found, ndtr(bias + normal / (1 - skew * normal))))
