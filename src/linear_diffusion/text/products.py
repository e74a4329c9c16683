"""Products of words: a code under which prompts are alike by the words that they share.

    k(c, d) = prod_w rho_w^[c_w != d_w]          u: coordinates with u(c)' u(d) = k(c, d)

A regression on a bag of words adds what each word does, and so cannot say that "inverted" turns a digit's bright pixels
dark. A regression on the words and all their products can; there are 2^v of them, but their inner product is the kernel
above (with words coded as -1 and 1, a product of ``1 + theta_w c_w d_w``: an analysis of variance), and p prompts span
at most p dimensions of them.

``rho_w`` says how alike two prompts are that differ in the word w alone: 1 where the word does not matter, 0 where
nothing carries over, below 0 where it turns things round. It is chosen by predicting each fifth of the known prompts
from the rest, that is, by how well unseen combinations are met. (Leaving out one prompt at a time would not do: its
twin, which differs in a word that hardly matters, would give it away.) The closed form makes this a matter of seconds.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri

from ..utils.arrays import Kept, kept, not_negative
from ..utils.threads import one_thread
from ..utils.types import Array, Index

_VALUES = (-0.98, -0.9, -0.7, -0.4, 0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
"""Correlations to choose from (benchmarks/styles.py, "5 correlations to choose from")."""
_RIDGES = (1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3)
"""Shrinkages to choose from (benchmarks/styles.py, "one ridge")."""
_SWEEPS, _FOLDS = 3, 5
"""How often each word's correlation is chosen anew at most, and parts of the prompts that are left out in turn
(benchmarks/styles.py, "1 sweep over the words", "10 sweeps over the words", "2 folds", "20 folds")."""
MOST_PROMPTS = 256
"""Prompts, the most frequent ones, that words' correlations are chosen on, as time grows with their cube
(benchmarks/styles.py, "chosen on 64 prompts")."""
MOST_WORDS = 32
"""Words whose correlations are chosen one by one, those that tell most prompts apart; all others have one in common
(benchmarks/styles.py, "chosen for 4 words")."""
MOST_DIMENSIONS = 512
"""Dimensions of the code at most, each with a k x k matrix (benchmarks/styles.py, "64 dimensions")."""


@dataclass(frozen=True)
class ProductCode(Kept):
    """Similarities of a prompt to the known ones, bags of words (p, v); the ridge is of a prompt with an average number
    of images."""

    known: Array
    correlations: Array = kept("v", lambda rho: bool((np.abs(rho) <= 1).all()))
    ridge: float = kept("", not_negative)

    def __call__(self, codes: Array) -> Array:
        """``k(c, d)`` of codes (n, v) with the known ones, shape (n, p)."""
        return kernel(codes, self.known, self.correlations)

    def whiten(self, shares: Array, whitening: Callable[[Array, Array, float], Array]) -> Array:
        """From ``(1, k(c, known))`` to whitened coordinates, shape (1 + p, r). `shares` (p,); `whitening`:
        `conditional.whiten`."""
        with one_thread():
            values, vectors = np.linalg.eigh(self(self.known))
        values, vectors = values[::-1][:MOST_DIMENSIONS], vectors[:, ::-1][:, :MOST_DIMENSIONS]
        seen = values > 1e-10 * values[0]
        values, vectors = values[seen], vectors[:, seen]
        inner = whitening(vectors * np.sqrt(values), shares, self.ridge / len(self.known))
        return np.vstack([inner[:1], (vectors / np.sqrt(values)) @ inner[1:]])


def kernel(a: Array, b: Array, correlations: Array) -> Array:
    """``prod_w rho_w^[a_w != b_w]`` of bags (n, v) and (m, v), shape (n, m).

    >>> kernel(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]]), np.array([0.5, -0.5]))
    array([[ 1.  ,  0.5 , -0.25]])
    """
    out = np.ones((len(a), len(b)))
    for rho, left, right in zip(correlations, a.T, b.T, strict=True):
        out *= _factor(left, right, rho)
    return out


def choose_products(known: Array, counts: Array, targets: Array, seed: int = 0) -> ProductCode:
    """The correlations, and the ridge, under which targets (p, m) of left-out prompts are predicted best from their
    bags of words (p, v), one word after the other."""
    first = np.sort(np.argsort(-counts, kind="stable")[:MOST_PROMPTS])
    bags, shares = known[first], counts[first] / counts[first].sum()
    centred = targets[first] - shares @ targets[first]
    gram, noise = centred @ centred.T, 1 / (shares * len(first))
    order = np.random.default_rng(seed).permutation(len(first))
    folds = [np.sort(part) for part in np.array_split(order, _FOLDS) if len(part)]
    rho, ridge = np.full(known.shape[1], 0.6), 1e-2

    def error(similar: Array, ridge: float) -> float:
        return left_out_error(similar + 1.0, gram, ridge * noise, folds)

    with one_thread():
        starts = {r: error(kernel(bags, bags, np.full_like(rho, r)), ridge) for r in _VALUES if r > 0}
        rho[:] = min(starts, key=lambda r: starts[r])
        informative = np.minimum(bags.sum(axis=0), (1 - bags).sum(axis=0))  # prompts that a word sets apart
        words = np.sort(np.argsort(-informative, kind="stable")[:MOST_WORDS])
        rest = np.setdiff1d(np.arange(len(rho)), words)
        fixed = kernel(bags[:, rest], bags[:, rest], rho[rest])
        for _ in range(_SWEEPS):
            before = rho.copy()
            for w in words:
                beside = words[words != w]
                others = fixed * kernel(bags[:, beside], bags[:, beside], rho[beside])
                tried = {r: error(others * _factor(bags[:, w], bags[:, w], r), ridge) for r in (rho[w], *_VALUES)}
                rho[w] = min(tried, key=lambda r: tried[r])
            if (rho == before).all():
                break
        similar = kernel(bags, bags, rho)
        ridge = min(_RIDGES, key=lambda r: error(similar, r))
    return ProductCode(known, rho, ridge)


def left_out_error(similar: Array, gram: Array, noise: Array, folds: Sequence[Index]) -> float:
    """Mean squared error of predicting each fold of prompts from the others, with K (p, p), ``y y'`` (p, p) and noise
    (p,). ``e_B = (R_BB)^-1 (R y)_B`` with ``R = (K + diag(noise))^-1``, the inverse of a block (for folds of one prompt
    it is Rasmussen and Williams 2006, eq. 5.12)."""
    lower, _ = dpotrf(similar + np.diag(noise), lower=1)
    inverse, _ = dpotri(lower, lower=1)  # its lower triangle
    inverse = np.tril(inverse) + np.tril(inverse, -1).T
    half, total = inverse @ gram, 0.0
    for fold in folds:
        block = np.linalg.inv(inverse[np.ix_(fold, fold)])
        total += float(((block @ (half[fold] @ inverse[:, fold])) * block).sum())
    return total / len(similar)


def _factor(left: Array, right: Array, rho: float) -> Array:
    return np.where(left[:, None] != right, rho, 1.0)
