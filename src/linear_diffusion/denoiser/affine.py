"""Affine maps with Gaussian noise: what a whole sampler run is for a linear model.

    z -> matrix z + shift + factor eta,   eta ~ N(0, I)

They are combined like numbers (``0.5 * f + g``, all functions of the same z and eta), composed by calling
(``f(g)``), and applied to latents by the same call (``f(z)``), so that a sampler's step is written once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import overload

import numpy as np

from ..utils.types import Array


@dataclass(frozen=True)
class AffineMap:
    """``z -> matrix z + shift + factor eta`` on latents of k dimensions.

    Parameters
    ----------
    matrix : array of shape (k,) or (k, k)
        Diagonal (one number a dimension, the eigenbasis of a Gaussian) or full.
    shift : array of shape (k,)
    factor : array of the shape of ``matrix``, or None
        Square root of the noise covariance: ``factor factor'``. None is no noise.

    Examples
    --------
    >>> halve = AffineMap(np.array([0.5, 0.5]), np.array([0.0, 1.0]))
    >>> halve(halve)(np.array([[4.0, 4.0]]))
    array([[1. , 2.5]])
    """

    matrix: Array
    shift: Array
    factor: Array | None = None

    # numpy must leave ``np.float64 * map`` to __rmul__, instead of looking for elements in the map.
    __array_ufunc__ = None

    @classmethod
    def identity(cls, like: "AffineMap") -> "AffineMap":
        """The map that changes nothing, in the shape of another."""
        return cls(np.ones(like.k) if like.diagonal else np.eye(like.k), np.zeros(like.k))

    @property
    def k(self) -> int:
        """Number of latent dimensions."""
        return len(self.shift)

    @property
    def diagonal(self) -> bool:
        """Whether every dimension goes its own way."""
        return self.matrix.ndim == 1

    @overload
    def __call__(self, z: "AffineMap") -> "AffineMap": ...
    @overload
    def __call__(self, z: Array) -> Array: ...
    def __call__(self, z: "AffineMap | Array") -> "AffineMap | Array":
        """Apply the (noise-free) map to latents (n, k), or compose it with a map."""
        if isinstance(z, np.ndarray):
            return (z * self.matrix if self.diagonal else z @ self.matrix.T) + self.shift
        apply: Callable[[Array], Array] = partial(np.multiply if self.diagonal else np.matmul, self.matrix)
        return AffineMap(apply(z.matrix), apply(z.shift) + self.shift, None if z.factor is None else apply(z.factor))

    def __mul__(self, scalar: float) -> "AffineMap":
        return AffineMap(
            scalar * self.matrix, scalar * self.shift, None if self.factor is None else scalar * self.factor
        )

    __rmul__ = __mul__

    def __add__(self, other: "AffineMap") -> "AffineMap":
        # Both are functions of the same eta, so the factors add like the matrices do.
        factor = self.factor if other.factor is None else other.factor
        if self.factor is not None and other.factor is not None:
            factor = self.factor + other.factor
        return AffineMap(self.matrix + other.matrix, self.shift + other.shift, factor)

    def diffuse(self, std: float) -> "AffineMap":
        """Add fresh noise N(0, std^2 I); all noise so far and this become one Gaussian eta."""
        if std == 0.0:
            return self
        if self.diagonal:
            old = 0.0 if self.factor is None else self.factor
            return AffineMap(self.matrix, self.shift, np.hypot(old, np.full_like(self.matrix, std)))
        covariance = std**2 * np.eye(self.k)
        if self.factor is not None:
            covariance += self.factor @ self.factor.T
        return AffineMap(self.matrix, self.shift, np.linalg.cholesky(covariance))

    def from_noise(self, std: float) -> "AffineMap":
        """The law of the map's result when z itself is noise N(0, std^2 I), as a map from one standard normal eps. A
        deterministic map is kept as it is, so that the same start gives the same picture; a noisy one takes the
        symmetric root of ``std^2 matrix matrix' + factor factor'``."""
        if self.factor is None:
            return AffineMap(std * self.matrix, self.shift)
        if self.diagonal:
            return AffineMap(np.hypot(std * self.matrix, self.factor), self.shift)
        values, vectors = np.linalg.eigh(std**2 * self.matrix @ self.matrix.T + self.factor @ self.factor.T)
        return AffineMap((vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T, self.shift)
