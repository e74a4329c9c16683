"""Conditional Gaussian: a code of the prompt -> the mean and covariance of its latents, each a linear regression.

    z | c ~ N(B 1c, S(c)),     B 1c = E[z u'] u,     S(c) = E[r r' (x) u] u,     u = W' 1c,  r = z - B 1c

The bilinear regression of the article (`bilinear`) is the denoiser of no Gaussian where the code is not saturated. Here
the mean is a linear regression of latents on ``1c = (1, c)`` and the covariance one of the products of residuals
(DESIGN 3.2); u is 1c whitened by ``W = (E[1c 1c'] + ridge)^(+1/2)``, so that coefficients are plain means over images.
For a one-hot code it is each prompt's own mean and covariance.

The mean needs first moments alone; the residual products need the mean, hence a second pass over the images (keeping
third moments, ``E[1c (x) 1c (x) z]``, would save it). Memory is ``q k^2`` numbers for a code of length q.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ._threads import one_thread
from ._types import Array
from .denoiser import GaussianDenoiser
from .products import ProductCode

_TOLERANCE = 1e-10
"""Share of the largest eigenvalue of E[1c 1c'] below which a direction of codes was not seen."""
_BLOCK = 32
"""Prompts whose residual products are held at once."""


@dataclass(frozen=True)
class Regression:
    """A linear regression on a code, in whitened coordinates.

    Parameters
    ----------
    products : ProductCode or None
        What is made of a bag of words before the regression; None is the code itself.
    whitening : array of shape (1 + q, r)
        W, from 1c to u.
    weights : array of shape (r, ...)
        ``E[u y]``.
    """

    products: ProductCode | None
    whitening: Array
    weights: Array

    def whitened(self, codes: Array) -> Array:
        """u of codes (n, v), shape (n, r)."""
        features = codes if self.products is None else self.products(codes)
        u: Array = self.whitening[0] + features @ self.whitening[1:]
        return u

    def __call__(self, codes: Array) -> Array:
        """What the regression says at codes (n, v), shape (n, ...)."""
        predicted: Array = np.tensordot(self.whitened(codes), self.weights, axes=1)
        return predicted


def whiten(features: Array, shares: Array, ridge: Array | float = 0.0) -> Array:
    """W, the pseudo-inverse square root of ``E[1c 1c'] + ridge``, but for the intercept, which is not shrunk.

    Parameters
    ----------
    features : array of shape (p, q)
        Codes of the distinct prompts.
    shares : array of shape (p,)
        Their frequencies.
    ridge : float or array of shape (q,)

    Returns
    -------
    array of shape (1 + q, r)
        With r the rank of the codes: an intercept beside a one-hot code is singular.
    """
    one_c = np.hstack([np.ones((len(features), 1)), features])
    second = (one_c * shares[:, None]).T @ one_c
    second[np.arange(1, len(second)), np.arange(1, len(second))] += ridge
    with one_thread():
        values, vectors = np.linalg.eigh(second)
    seen = values > _TOLERANCE * values[-1]
    whitening: Array = vectors[:, seen] / np.sqrt(values[seen])
    return whitening


def regress(codes: Array, shares: Array, targets: Array, products: ProductCode | None = None) -> Regression:
    """Least squares of a target on the codes of distinct prompts, weighed by their frequencies.

    Parameters
    ----------
    codes : array of shape (p, v)
    shares : array of shape (p,)
    targets : array of shape (p, ...)
        Means over each prompt's images, which is all that least squares reads.
    products : ProductCode, optional
        With its ridge.
    """
    whitening = whiten(codes, shares) if products is None else products.whiten(shares, whiten)
    empty = Regression(products, whitening, np.empty(0))
    u = empty.whitened(codes) * shares[:, None]
    return Regression(products, whitening, np.tensordot(u.T, targets, axes=1))


def regress_products(
    codes: Array, counts: Array, scatter: Iterable[tuple[int, Array]], k: int, products: ProductCode | None = None
) -> Regression:
    """The regression of residual products on codes, without holding a matrix a prompt.

    Parameters
    ----------
    codes : array of shape (p, v)
    counts : array of shape (p,)
        Images of each prompt.
    scatter : iterable of (prompt, array of shape (k, k))
        Sum of a prompt's residual products ``r r'``.
    k : int
        Latent dimensions.
    products : ProductCode, optional
    """
    shares = counts / counts.sum()
    whitening = whiten(codes, shares) if products is None else products.whiten(shares, whiten)
    u = Regression(products, whitening, np.empty(0)).whitened(codes) / counts.sum()
    weights, held, owners = np.zeros((u.shape[1], k, k)), np.empty((_BLOCK, k, k)), list[int]()
    for prompt, products_sum in scatter:
        held[len(owners)] = products_sum
        owners.append(prompt)
        if len(owners) == _BLOCK:
            weights += np.tensordot(u[owners].T, held, axes=1)
            owners.clear()
    weights += np.tensordot(u[owners].T, held[: len(owners)], axes=1)
    return Regression(products, whitening, weights)


@dataclass(frozen=True)
class ConditionalGaussian:
    """``z | c ~ N(B 1c, S(c))`` for any code c.

    Parameters
    ----------
    mean : Regression
        With weights (r, k).
    covariance : Regression
        With weights (r, k, k).
    ridge : float
        Variance added to every dimension.
    """

    mean: Regression
    covariance: Regression
    ridge: float = 0.0

    def at(self, codes: Array) -> GaussianDenoiser:
        """The Gaussians at codes (n, v).

        A regression of products is not positive by itself. Eigenvalues below zero are set to zero, and the others are
        scaled so that the total variance is the regression's own. How many there are is measured in docs/words.md: a
        few in a hundred for `ProductCode`, about a quarter for words alone on data that is not additive in them.
        """
        with one_thread():
            values, basis = np.linalg.eigh(self.covariance(codes))
        total, kept = values.sum(axis=-1), np.clip(values, 0.0, None)
        positive = kept.sum(axis=-1)
        scale = np.divide(np.clip(total, 0.0, None), positive, out=np.zeros_like(total), where=positive > 0)
        return GaussianDenoiser(self.mean(codes), kept * scale[:, None] + self.ridge, basis)
