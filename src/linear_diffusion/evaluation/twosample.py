"""The two-sample test by classifier: can samples be told from real images?

    t = accuracy on held-out images of a classifier of samples against real images;   t ~ N(1/2, 1 / (4 n)) if it cannot

0.5 is what cannot be told apart, 1 what always can.
"""

from dataclasses import dataclass
from math import sqrt

import numpy as np

from ..utils.types import AnyArray, Array
from .features import Judge


@dataclass(frozen=True)
class TwoSample:
    """What a classifier made of two sets."""

    accuracy: float
    """On images that it was not trained on, n_test of them."""
    standard_error: float
    """Of the accuracy."""
    p_value: float
    """How likely so good a guess is where both sets have one law; exact, one-sided."""
    n_test: int


def two_sample_test(a: Array, b: Array, *, seed: int = 0) -> TwoSample:
    """Train a classifier to tell two sets apart on half of each, and try it on the other half.

    Parameters
    ----------
    a, b : array of shape (n, ...)
        Two sets; of the larger one, as many as of the smaller are used.
    seed : int, default=0
        Of the halves and of the classifier.

    Raises
    ------
    ValueError
        If there are fewer than four images of either kind.

    References
    ----------
    Lopez-Paz and Oquab (2017), "Revisiting classifier two-sample tests", eq. 2; their normal approximation of the null
    law is a binomial here, which it is exactly.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> found = two_sample_test(rng.random((100, 3)), 1 + rng.random((100, 3)))
    >>> found.accuracy, found.n_test, found.p_value < 1e-20
    (1.0, 100, True)
    """
    from scipy.stats import binom

    n = min(len(a), len(b))
    if n < 4:
        raise ValueError(f"a two-sample test needs four images at least of either kind, got {len(a)} and {len(b)}.")
    rng = np.random.default_rng(seed)
    a, b = a[rng.permutation(len(a))[:n]], b[rng.permutation(len(b))[:n]]
    half = n // 2
    judge = Judge((128,), seed).fit(np.concatenate([a[:half], b[:half]]), _kinds(half))
    right = judge.predict(np.concatenate([a[half:], b[half:]])) == _kinds(n - half)
    n_test, accuracy = len(right), float(right.mean())
    return TwoSample(
        accuracy=accuracy,
        standard_error=sqrt(accuracy * (1 - accuracy) / n_test),
        p_value=float(binom.sf(int(right.sum()) - 1, n_test, 0.5)),
        n_test=n_test,
    )


def _kinds(n: int) -> AnyArray:
    return np.repeat(["a", "b"], n)
