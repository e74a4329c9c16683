"""Components: a mixture of Gaussians that are one white Gaussian and a few directions each.

    N(m_j, I + A_j A_j'),    (I + A A')^-1 = I - A T T' A',    T T' = (I + A' A)^-1,    log det = -2 log det T

This is the one home of the matrix ``D + F F'``, where coordinates are divided by the deviations of D: its inverse and
its determinant take r x r matrices alone (Woodbury's identity; Harville 1997, theorem 18.2.8).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..utils.lazy import lazy
from ..utils.types import Array

_FAR = 3e4
"""Whitened variance of a component beyond which float32 loses what is left of a distance: 1e7 / 3e4 of it."""


@dataclass(frozen=True)
class WhiteComponents:
    """A mixture of s components ``N(m_j, I + A_j A_j')`` in q dimensions: means (s, q), all ``A_j`` in columns (q, s,
    r), ``T_j`` (s, r, r) and log-determinants (s,)."""

    log_shares: Array
    means: Array
    factors: Array
    root: Array
    log_det: Array

    @classmethod
    def of(
        cls, shares: Array, means: Array, factors: Callable[[type[np.floating]], Array], bulk: type[np.floating]
    ) -> "WhiteComponents":
        """From what gives the factors (q, s, r) in a precision; in ``bulk`` only where that is safe: distances are
        differences of squares, of which factors that reach far leave little."""
        a = factors(bulk)
        if bulk is not np.float64 and np.einsum("qsr,qsr->s", a, a).max(initial=0.0) > _FAR:
            a = factors(np.float64)
        lower = np.linalg.cholesky(np.eye(a.shape[2]) + _gram(a))
        root = np.linalg.inv(lower).swapaxes(1, 2)
        log_det = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        return cls(np.log(shares), means, a, root, log_det)

    def evidence(self, y: Array) -> tuple[Array, Array]:
        """Log-densities (n, s) of whitened images (n, q) under each component, weighed by its share, less the constant
        ``-(q / 2) log(2 pi)``; and ``g = T_j' A_j' (y - m_j)`` (n, s, r), of which posteriors are made."""
        q, s, r = self.factors.shape
        along = (y.astype(self.factors.dtype) @ self.factors.reshape(q, s * r)).reshape(len(y), s, r)
        along -= self._of_means
        g = (along.swapaxes(0, 1) @ self.root.astype(along.dtype)).swapaxes(0, 1)  # (n, s, r)
        distance2 = (y * y).sum(axis=1)[:, None] - 2 * (y @ self.means.T) + (self.means * self.means).sum(axis=1)
        distance2 -= np.einsum("nsr,nsr->ns", g, g)
        return self.log_shares - 0.5 * (distance2 + self.log_det), g

    def precise(self, y: Array, weights: Array) -> Array:
        """``sum_j weights_j (I + A_j A_j')^-1 (y - m_j)`` of images (n, q) and weights (n, s) that sum to 1."""
        _, g = self.evidence(y)
        q, s, r = self.factors.shape
        moved = ((weights[:, :, None] * g).swapaxes(0, 1) @ self.root.swapaxes(1, 2)).swapaxes(0, 1)  # (n, s, r)
        return y - weights @ self.means - moved.reshape(len(y), s * r) @ self.factors.reshape(q, s * r).T

    @lazy
    def _of_means(self) -> Array:
        """``A_j' m_j``, shape (s, r)."""
        means = self.means.astype(self.factors.dtype)
        return (means[:, None] @ self.factors.swapaxes(0, 1))[:, 0]

    def trace(self, weights: Array) -> Array:
        """``tr(W (I + A_j A_j')^-1 W)`` of each component with W = diag(weights), shape (s,)."""
        weighed = self.root.swapaxes(1, 2) @ _gram(self.factors * weights.astype(self.factors.dtype)[:, None, None])
        return (weights**2).sum() - np.einsum("sij,sji->s", weighed, self.root)


def _gram(a: Array) -> Array:
    """``A_j' A_j`` of factors in columns (q, s, r), shape (s, r, r)."""
    product: Array = a.transpose(1, 2, 0) @ a.swapaxes(0, 1)
    return product.astype(np.float64)
