"""Fidelity and diversity apart: are samples among the real images, and are real images among the samples?

Each image has a ball that reaches to its k-th nearest neighbour of its own kind. Precision and recall ask who lies in
the other kind's balls; density and coverage count balls, and hold out better against single outliers.
"""

from dataclasses import dataclass

import numpy as np

from ..utils.types import Array
from .distances import blocks, neighbour_radii


@dataclass(frozen=True)
class Neighbourhoods:
    """Shares from 0 to 1; density is 1 on average where both sets have one law, and may exceed it."""

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhoods(real: Array, fake: Array, *, k: int = 3, k_density: int = 5) -> Neighbourhoods:
    """Precision, recall, density and coverage.

    Parameters
    ----------
    real : array of shape (n, d)
        Features of real images.
    fake : array of shape (m, d)
        Features of samples. The recall depends on m / n: give as many of each.
    k : int, default=3
        Neighbours for precision and recall.
    k_density : int, default=5
        Neighbours for density and coverage.

    Returns
    -------
    Neighbourhoods
        ``precision``: the share of samples in the ball of some real image (ends included).
        ``recall``: the share of real images in the ball of some sample.
        ``density``: how many real balls hold a sample, over k, averaged over samples (ends excluded).
        ``coverage``: the share of real images whose ball holds a sample.

    Raises
    ------
    ValueError
        If a set has no more images than neighbours are asked for.

    References
    ----------
    Kynkäänniemi et al. (2019), "Improved precision and recall metric for assessing generative models", eq. 1 and 2.
    Naeem et al. (2020), "Reliable fidelity and diversity metrics for generative models", section 3.

    Examples
    --------
    >>> real = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> neighbourhoods(real, real + 100, k=1, k_density=1)
    Neighbourhoods(precision=0.0, recall=0.0, density=0.0, coverage=0.0)
    """
    real, fake = real.astype(np.float64), fake.astype(np.float64)
    real_radii, wide_radii = neighbour_radii(real, k, k_density)
    (fake_radii,) = neighbour_radii(fake, k)
    inside = np.zeros(len(fake), bool)
    reached, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    held = 0
    for rows, squared in blocks(real, fake):  # (rows of real, m)
        inside |= (squared <= real_radii[rows, None]).any(axis=0)
        reached[rows] = (squared <= fake_radii).any(axis=1)
        in_wide = squared < wide_radii[rows, None]
        covered[rows] = in_wide.any(axis=1)
        held += int(in_wide.sum())
    return Neighbourhoods(
        precision=float(inside.mean()),
        recall=float(reached.mean()),
        density=held / (k_density * len(fake)),
        coverage=float(covered.mean()),
    )
