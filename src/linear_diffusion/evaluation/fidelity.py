"""Fidelity: do samples look like real images of their prompt?

    d^2 = |mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1^(1/2) S_2 S_1^(1/2))^(1/2))

The Fréchet distance of Dowson and Landau (1982) between two Gaussians, taken in the features of a classifier as Heusel
et al. (2017), eq. 6 do it; and how often a classifier reads the prompt off the sample.
"""

import numpy as np

from ..utils.types import AnyArray, Array


def frechet_distance(a: Array, b: Array) -> float:
    """Squared Fréchet distance between Gaussians with the moments of two sets, what is known as FID.

    Parameters
    ----------
    a, b : array of shape (n, k) and (m, k)
        Features; covariances are divided by n - 1, as in the field's code. At least two of each.

    Returns
    -------
    float
        0 for equal moments. It falls with the number of images: compare figures of equal numbers only.

    References
    ----------
    Heusel et al. (2017), "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", eq. 6.

    Examples
    --------
    >>> a = np.array([[0.0], [1.0], [2.0]])
    >>> frechet_distance(a, a + 3)
    9.0
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a Fréchet distance needs two images at least on either side, got {len(a)} and {len(b)}.")
    a, b = a.astype(np.float64), b.astype(np.float64)
    return frechet_from_moments(a.mean(axis=0), _covariance(a), b.mean(axis=0), _covariance(b))


def frechet_from_moments(mean_1: Array, cov_1: Array, mean_2: Array, cov_2: Array) -> float:
    """The same from means (k,) and covariances (k, k), which may be singular.

    With symmetric roots, ``tr (S_1^(1/2) S_2 S_1^(1/2))^(1/2)`` is the sum of the singular values of
    ``S_1^(1/2) S_2^(1/2)``: real and accurate where the root of ``S_1 S_2`` is complex or loses half the digits.

    References
    ----------
    Dowson and Landau (1982), "The Fréchet distance between multivariate normal distributions".

    Examples
    --------
    >>> frechet_from_moments(np.zeros(2), np.diag([4.0, 0.0]), np.array([1.0, 0.0]), np.diag([1.0, 0.0]))
    2.0
    """
    shift = mean_1.astype(np.float64) - mean_2
    overlap = np.linalg.svd(_root(cov_1) @ _root(cov_2), compute_uv=False).sum()
    distance = float(shift @ shift + np.trace(cov_1) + np.trace(cov_2) - 2 * overlap)
    return max(distance, 0.0)


def prompt_accuracy(read: AnyArray, asked: AnyArray) -> float:
    """How often the prompt that a classifier reads is the one that was asked for.

    The classifier must be none that the samples were chosen or scored by.

    Parameters
    ----------
    read, asked : array of shape (n,)
        Prompts.

    References
    ----------
    Shmelkov, Schmid and Alahari (2018), "How good is my GAN?", section 3: GAN-test.

    Examples
    --------
    >>> prompt_accuracy(np.array(["3", "8"]), np.array(["3", "3"]))
    0.5
    """
    return float(np.mean(read == asked))


def _covariance(a: Array) -> Array:
    return np.atleast_2d(np.cov(a.T))


def _root(covariance: Array) -> Array:
    """The symmetric root; eigenvalues that are 0 but for rounding are 0, for their roots would be 1e-8."""
    values, basis = np.linalg.eigh(np.asarray(covariance, np.float64))
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    return (basis * np.sqrt(np.where(values > rounding, values, 0))) @ basis.T
