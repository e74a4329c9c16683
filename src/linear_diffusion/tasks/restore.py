"""Restoration: the posterior mean of an image, given a noisy one.

    E[x | y] = y + noise_std^2 grad log p(y)         Tweedie's formula (Efron 2011, eq. 1.4)

Exact for the density of `likelihood`; without a prompt it is the mean over prompts, each weighed by how likely it makes
the noisy image.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import softmax

from .._types import AnyArray, Array
from .likelihood import PixelDensity


def denoise(prompts: Sequence[PixelDensity], weights: Array, rows: AnyArray, noise_std: float) -> Array:
    """Posterior mean of pixels with noise N(0, noise_std^2 I), under a mixture of prompts.

    Parameters
    ----------
    prompts : sequence of p PixelDensity
    weights : array of shape (p,)
        Prior frequencies of the prompts.
    rows : array of shape (n, d)
    noise_std : float
        In the units of pixels.

    Returns
    -------
    array of shape (n, d), float64
    """
    evidence, scores = zip(*(density.evidence(rows, noise_std) for density in prompts), strict=True)
    posterior = softmax(np.stack(evidence, axis=1) + np.log(weights), axis=1)
    score = sum(p[:, None] * s for p, s in zip(posterior.T, scores, strict=True))
    return rows + noise_std**2 * np.asarray(score)
