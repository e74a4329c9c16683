"""Compressed: an operator with orthonormal rows, seen through the principal components.

    y = H x + noise,   H H' = I,   H V' = Q T
    B = (tau^2 + noise_std^2) I + Q T Q_c diag(v - tau^2) Q_c' T' Q'

A mask leaves more pixels than there are components. What y holds outside the range of Q follows the remainder alone,
alike for all prompts, and k numbers, ``Q' y``, take the place of m; exactly. `posterior` is the general case.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ..image.pca import PCAEncoder
from ..utils.lazy import lazy
from ..utils.types import AnyArray, Array
from .posterior import Observed, spread

_ROUNDING = 1e-12
"""How far rows may be from orthonormal."""


@dataclass(frozen=True)
class Compression:
    """An operator with orthonormal rows, such as a mask, in two parts: ``H V' = Q T``, and what is orthogonal to it.

    Parameters
    ----------
    whole : array or sparse array of shape (m, d)
        H.
    q : array of shape (m, k)
    t : array of shape (k, k)
        What is seen of the components.
    """

    whole: Any
    q: Array
    t: Array

    @classmethod
    def of(cls, matrix: Any, encoder: PCAEncoder) -> "Compression | None":
        """None where it does not apply, or does not pay."""
        m, k = matrix.shape[0], len(encoder.components)
        if m <= k or np.any(encoder.std != 1.0):
            return None
        square = matrix @ matrix.T
        beside = square - (sparse.identity(m, format="csr") if sparse.issparse(square) else np.eye(m))
        return None if abs(beside).max() > _ROUNDING else cls(matrix, *np.linalg.qr(matrix @ encoder.components.T))

    @lazy
    def matrix(self) -> Array:
        """``Q' H``, shape (k, d): it takes the place of H."""
        return np.asarray((self.whole.T @ self.q).T)

    def split(self, y: Array) -> Array:
        """What was seen (n, m) as ``Q' y`` and what is orthogonal to it, side by side, (n, k + m)."""
        inside = y @ self.q
        return np.hstack([inside, y - inside @ self.q.T])


@dataclass(frozen=True)
class Compressed(Observed):
    """An operator with orthonormal rows, seen through the components; images come as `Compression.split` leaves them.

    Where pixels are not standardised, ``B = (tau^2 + noise_std^2) I + H U diag(v - tau^2) U' H'``, and what y holds
    outside the range of H U, which all prompts share, follows the remainder alone.

    Parameters
    ----------
    prompt, matrix, noise_std, bulk
        See `Observed`; the matrix is ``Q' H``.
    compression : Compression
    """

    compression: Any = None

    @lazy
    def variance(self) -> Array:
        """``diag(G - Z' Z)``, less what is seen of the remainder."""
        whole = self.compression.whole
        seen = np.asarray((whole * whole).sum(axis=0)).ravel() - np.einsum("kd,kd->d", self.matrix, self.matrix)
        variance: Array = np.maximum(super().variance - self.prompt.tau2 * self._share * seen, 0.0)
        return variance

    def evidence(self, y: AnyArray) -> tuple[Array, Array]:
        """See `Conditional`."""
        inside, outside = self._parts(y)
        log_density, g = super().evidence(inside)
        variance = self.prompt.tau2 + self.noise_std**2
        n_outside = outside.shape[1] - inside.shape[1]
        energy = np.einsum("nm,nm->n", outside, outside)
        return log_density - 0.5 * (energy / variance + n_outside * np.log(2 * np.pi * variance))[:, None], g

    def follow(self, y: AnyArray) -> Array:
        """See `Conditional`."""
        inside, outside = self._parts(y)
        return super().follow(inside) + self._remainder(outside)

    def complete(self, w: Array, y: AnyArray) -> Array:
        """See `Conditional`."""
        inside, outside = self._parts(y)
        return super().complete(w, inside) + self._remainder(outside)

    def deviate(self, rng: np.random.Generator, n: int) -> Array:
        """See `Observed`."""
        x = spread(self._frame, self.prompt.variances, self.prompt.tau2, rng, n)
        noise = rng.standard_normal((n, self.compression.whole.shape[0]))
        seen = self.compression.split((self.compression.whole @ x.T).T + self.noise_std * noise)
        k = len(self.matrix)
        return x - self._correct(seen[:, :k]) - self._remainder(seen[:, k:])

    def _parts(self, y: AnyArray) -> tuple[Array, Array]:
        """What lies in the range of H U, and outside it about the mean."""
        k, mean = len(self.matrix), self.prompt.encoder.mean
        return y[:, :k], y[:, k:] - self.compression.split((self.compression.whole @ mean)[None])[:, k:]

    def _remainder(self, outside: Array) -> Array:
        moved: Array = self._share * (self.compression.whole.T @ outside.T).T
        return moved

    @property
    def _share(self) -> float:
        return self.prompt.tau2 / (self.prompt.tau2 + self.noise_std**2)

    @property
    def _square(self) -> Array:
        return np.eye(len(self.matrix))

    @lazy
    def _of_frame(self) -> Array:
        seen: Array = self.compression.t @ self.prompt.basis
        return seen
