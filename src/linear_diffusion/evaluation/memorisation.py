"""Memorisation: are samples nearer to training images than new real images are?

    d(x) = min over training images t of |x - t|        median d(samples) / median d(held-out images)

A generator that draws from the law of the data has a ratio of 1; one that repeats its training images has 0. The lower
tail tells of a few copies that a median hides.
"""

from dataclasses import dataclass

import numpy as np

from ..utils.types import Array, Index
from .distances import nearest

COPY_QUANTILE = 0.01
"""A sample is a near copy where it is nearer to a training image than this share of held-out images is."""
_SUSPICIOUS = 0.05
"""Share of near copies above which a model is said to have memorised: five times what real images have."""


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training image, in units of the pixels, of samples against held-out images."""

    distances: Array
    """Of each sample, (n,)."""
    index: Index
    """Its nearest training image, (n,)."""
    held_out: Array
    """Distances of held-out images, (m,)."""

    @property
    def median_ratio(self) -> float:
        """Median of the samples over that of held-out images: 1 is as new as real images are."""
        return _ratio(float(np.median(self.distances)), float(np.median(self.held_out)))

    @property
    def tail_ratio(self) -> float:
        """The same for the 5th percentiles."""
        return _ratio(float(np.quantile(self.distances, 0.05)), float(np.quantile(self.held_out, 0.05)))

    @property
    def near_copies(self) -> float:
        """Share of samples nearer to a training image than the nearest 1 % of held-out images are, or a copy of one."""
        limit = np.quantile(self.held_out, COPY_QUANTILE)
        return float(np.mean((self.distances < limit) | (self.distances == 0)))

    @property
    def exact_copies(self) -> float:
        """Share of samples that are a training image, pixel by pixel."""
        return float(np.mean(self.distances == 0))

    @property
    def memorised(self) -> bool:
        """Whether near copies are well above what real images have, by more than chance allows."""
        n = len(self.distances)
        chance = COPY_QUANTILE + 3 * np.sqrt(COPY_QUANTILE * (1 - COPY_QUANTILE) * (1 / n + 1 / len(self.held_out)))
        return bool(self.near_copies > max(_SUSPICIOUS, chance))

    def nearest_pairs(self, n: int) -> tuple[Index, Index]:
        """The n samples that are nearest to a training image, and those images; no training image twice."""
        order = np.argsort(self.distances, kind="stable")
        _, first = np.unique(self.index[order], return_index=True)
        samples = order[np.sort(first)[:n]]
        return samples, self.index[samples]


def memorisation(train: Array, samples: Array, held_out: Array) -> Memorisation:
    """Distances of samples and of held-out images to their nearest training image.

    Parameters
    ----------
    train : array of shape (n, d), float32 or float64
        Pixels of all images that the model was fitted on.
    samples : array of shape (m, d)
    held_out : array of shape (r, d)
        Real images that the model was not fitted on.

    Notes
    -----
    Blurred samples lie nearer to everything and so look copied by this measure; a look at the nearest pairs tells one
    from the other.

    References
    ----------
    Meehan, Chaudhuri and Dasgupta (2020), "A non-parametric test to detect data-copying in generative models":
    samples and held-out images compared by their distance to the training set.

    Examples
    --------
    >>> train = np.array([[0.0], [10.0]])
    >>> found = memorisation(train, samples=train, held_out=train + 1)
    >>> found.median_ratio, found.exact_copies, found.memorised
    (0.0, 1.0, True)
    """
    distances, index = nearest(samples, train)
    return Memorisation(distances, index, nearest(held_out, train)[0])


def _ratio(a: float, b: float) -> float:
    """a / b; held-out images that are copies of training images make it 1 or infinite."""
    if b == 0:
        return 1.0 if a == 0 else float("inf")
    return a / b
