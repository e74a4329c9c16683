"""Conditional Gaussian: a code of the prompt -> the mean and covariance of its latents, each a linear regression.

    z | c ~ N(B 1c, S(c)),     B 1c = E[z u'] u,     S(c) = E[r r' (x) u] u,     u = W' 1c,  r = z - B 1c

The bilinear regression of the article (`benchmarks/bilinear.py`) is the denoiser of no Gaussian where the code is not
saturated. Here the mean is a linear regression of latents on ``1c = (1, c)`` and the covariance one of the products of
residuals (docs/mathematics.md, "Words"); u is 1c whitened by ``W = (E[1c 1c'] + ridge)^(+1/2)``, so that coefficients
are plain means over images. For a one-hot code it is each prompt's own mean and covariance.

The mean needs first moments alone; the residual products need the mean, hence a second pass over the images (keeping
third moments, ``E[1c (x) 1c (x) z]``, would save it). Memory is ``q k^2`` numbers for a code of length q.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..text.products import ProductCode
from ..utils.arrays import Kept, kept, not_negative
from ..utils.threads import in_parallel, one_thread
from ..utils.types import AnyArray, Array

_TOLERANCE = 1e-10
"""Share of the largest eigenvalue of E[1c 1c'] below which a direction of codes was not seen, but is rounding."""
_LEAST = 0.01
"""Share of the pooled variance that a direction has where the regression says less than none (benchmarks/styles.py, "at
least 0.1 % of the pooled variance", "at least 10 % of the pooled variance")."""
TOGETHER = 8
"""Codes that a regression is evaluated at together; results are the same for any number, speed is not."""
_BLOCK = 32
"""Prompts whose residual products are held at once."""


@dataclass(frozen=True)
class Regression(Kept):
    """A linear regression on a code: weights (r, ...) are ``E[u y]``, ``products`` are made of a bag of words first.
    What it says at a code is the same to the last bit whichever others are asked for beside: products are of so many
    codes always, filled up with zeros, since BLAS rounds products of other shapes in other ways."""

    products: ProductCode | None
    whitening: Array = kept("1+q r")
    weights: Array = kept("r ...")

    def whitened(self, codes: Array) -> Array:
        """u of codes (n, v), shape (n, r)."""
        features = codes if self.products is None else self.products(codes)
        with one_thread():
            moved = [row @ self.whitening[1:] for row in features]
        return self.whitening[0] + np.reshape(moved, (len(codes), -1))

    def __call__(self, codes: Array) -> Array:
        """What the regression says at codes (n, v), shape (n, ...)."""
        u, weights = self.whitened(codes), self.weights.reshape(len(self.weights), -1)
        predicted = np.empty((len(u), weights.shape[1]))
        with one_thread():
            for part in (slice(first, first + TOGETHER) for first in range(0, len(u), TOGETHER)):
                filled = np.zeros((TOGETHER, len(weights)))
                filled[: len(u[part])] = u[part]
                predicted[part] = (filled @ weights)[: len(u[part])]
        return predicted.reshape(len(u), *self.weights.shape[1:])


def whiten(features: Array, shares: Array, ridge: Array | float = 0.0) -> Array:
    """W (1 + q, r) from codes (p, q) of prompts with shares (p,): the pseudo-inverse square root of ``E[1c 1c'] +
    ridge``, with no ridge on the intercept. Its rank r is below 1 + q for one-hot codes, which sum to the intercept."""
    one_c = np.hstack([np.ones((len(features), 1)), features])
    second = (one_c * shares[:, None]).T @ one_c
    second[np.arange(1, len(second)), np.arange(1, len(second))] += ridge
    with one_thread():
        values, vectors = np.linalg.eigh(second)
    seen = values > _TOLERANCE * values[-1]
    return vectors[:, seen] / np.sqrt(values[seen])


def regress(codes: Array, shares: Array, targets: Array, products: ProductCode | None = None) -> Regression:
    """Least squares on the codes (p, v) of prompts with shares (p,), of targets (p, ...) that are means over each
    prompt's images."""
    whitening = whiten(codes, shares) if products is None else products.whiten(shares, whiten)
    empty = Regression(products, whitening, np.empty(0))
    u = empty.whitened(codes) * shares[:, None]
    return Regression(products, whitening, np.tensordot(u.T, targets, axes=1))


def regress_products(
    codes: Array, counts: Array, scatter: Iterable[tuple[int, Array]], k: int, products: ProductCode | None = None
) -> tuple[Regression, Array]:
    """The regression of residual products on codes (p, v), and their mean (k, k), without a matrix for each prompt:
    ``scatter`` yields one prompt's sum of ``r r'`` after the other, over its ``counts`` images."""
    shares = counts / counts.sum()
    whitening = whiten(codes, shares) if products is None else products.whiten(shares, whiten)
    u = Regression(products, whitening, np.empty(0)).whitened(codes) / counts.sum()
    weights, held, owners = np.zeros((u.shape[1], k, k)), np.empty((_BLOCK, k, k)), list[int]()
    pooled = np.zeros((k, k))
    for prompt, total in scatter:
        pooled += total / counts.sum()
        held[len(owners)] = total
        owners.append(prompt)
        if len(owners) == _BLOCK:
            weights += np.tensordot(u[owners].T, held, axes=1)
            owners.clear()
    weights += np.tensordot(u[owners].T, held[: len(owners)], axes=1)
    return Regression(products, whitening, weights), pooled


@dataclass(frozen=True)
class ConditionalGaussian(Kept):
    """``z | c ~ N(B 1c, S(c))`` for any code c; ``pooled`` is the mean of all residual products, and the ridge is added
    to every variance."""

    mean: Regression
    covariance: Regression
    pooled: Array = kept("k k")
    ridge: float = kept("", not_negative)

    def at(self, codes: Array) -> tuple[Array, Array, Array]:
        """Means (n, k), eigenvalues (n, k) and eigenvectors (n, k, k) of the covariances at codes (n, v).

        A regression of products may have eigenvalues below zero. Then no direction gets less than a hundredth of the
        pooled variance along it (with none, a density would rule out images for an error of estimation), and all are
        scaled so that the total variance is the regression's own. docs/words.md says how often.
        """
        found = in_parallel(np.linalg.eigh, self.covariance(codes))
        values, basis = (np.stack(parts) for parts in zip(*found, strict=True))
        least = _LEAST * np.clip(((self.pooled @ basis) * basis).sum(axis=-2), 0.0, None)
        indefinite = self._is_negative(values[:, :1], values)
        lifted = np.where(indefinite, np.maximum(values, least), np.clip(values, 0.0, None))
        total = values.sum(axis=-1)
        total = np.where(total > 0, total, np.where(indefinite[:, 0], least.sum(axis=-1), 0.0))
        sums = lifted.sum(axis=-1)
        lifted *= np.divide(total, sums, out=np.zeros_like(total), where=sums > 0)[:, None]
        return self.mean(codes), lifted + self.ridge, basis

    def share_below_zero(self, codes: Array) -> float:
        """The share of eigenvalues of S(c) at codes (n, v) that are below zero."""
        values = np.linalg.eigvalsh(self.covariance(codes))
        return float(self._is_negative(values, values).mean())

    def _is_negative(self, some: Array, values: Array) -> AnyArray:
        """Below zero by more than rounding, of this S(c) or of the matrices that it is a sum of."""
        scale = np.abs(values[:, -1:]) + np.trace(self.pooled) / len(self.pooled)
        return some < -_TOLERANCE * scale
