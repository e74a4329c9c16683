"""Masked: some pixels are seen as they are, and few enough are missing that these are what to work out.

    L = G^-1,   S = L_uu,   u | o ~ N(-S^-1 L_u. x, S^-1)            x: seen pixels in their place, 0 where missing
    B^-1 = L - L_.u S^-1 L_u.,   log det B = log det G + log det S

G is what a prompt's pieces share (see `density`), o the seen pixels, u the missing ones. Source: Rue and Held (2005,
"Gaussian Markov Random Fields", theorem 2.5). All of it takes k numbers per image, and systems of as many equations as
pixels are missing. `posterior` is the general case.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ..image.pca import PCAEncoder
from ..utils.lazy import lazy
from ..utils.types import AnyArray, Array, Index
from .density import PromptDensity, WhitePieces
from .posterior import solve_lower


def is_mask(matrix: Any) -> bool:
    """Whether an operator of orthogonal rows picks pixels as they are."""
    return bool(sparse.issparse(matrix) and matrix.nnz == matrix.shape[0] and np.all(matrix.data == 1.0))


@dataclass(frozen=True)
class Selection:
    """Which of d pixels are seen.

    Parameters
    ----------
    seen : array of int, shape (m,)
    missing : array of int, shape (h,)
    """

    seen: Index
    missing: Index

    @classmethod
    def of(cls, matrix: Any, encoder: PCAEncoder) -> "Selection | None":
        """Of an operator with disjoint rows of length 1; None where it is no mask, or takes nothing or too much."""
        if not is_mask(matrix):
            return None
        seen = matrix.indices.astype(np.intp)
        missing = np.setdiff1d(np.arange(matrix.shape[1]), seen)
        return cls(seen, missing) if 0 < len(missing) < min(len(seen), len(encoder.components)) else None

    def split(self, y: AnyArray, encoder: PCAEncoder) -> Array:
        """Components (n, k) of what was seen (n, m), with 0 where pixels are missing, and beside them what was seen.

        Both are standardised and about the mean.
        """
        x = (y - encoder.mean[self.seen]) / encoder.std[self.seen]
        return np.hstack([x @ encoder.components[:, self.seen].T, x])


@dataclass(frozen=True)
class Masked:
    """One prompt's pixels, given those that a mask leaves, without noise; images come as `Selection.split` leaves them.

    See `posterior.Conditional`, which it is one of.

    Parameters
    ----------
    prompt : PromptDensity
    selection : Selection
    bulk : dtype
        Precision of products over images.
    """

    prompt: PromptDensity
    selection: Selection
    bulk: type[np.floating] = np.float64

    @lazy
    def pieces(self) -> WhitePieces:
        """The prompt's pieces, divided by the shared deviations; what the missing pixels would tell counts as minus."""
        std, missed, factors = np.sqrt(self.prompt.variances), self._missed, self.prompt.side_by_side
        k, s, r = factors.shape

        def both(dtype: type[np.floating]) -> Array:
            a = np.empty((k + len(missed), s, r), dtype)
            np.divide(factors, std.astype(dtype)[:, None, None], out=a[:k])
            np.matmul(missed.astype(dtype), a[:k].reshape(k, s * r), out=a[k:].reshape(len(missed), s * r))
            return a

        means = self.prompt.means / std
        means = np.hstack([means, means @ missed.T])
        return WhitePieces.of(self.prompt.shares, means, both, self.bulk, len(missed))

    @lazy
    def variance(self) -> Array:
        """``diag(S^-1)`` where pixels are missing."""
        variance = np.zeros(self.prompt.encoder.components.shape[1])
        variance[self.selection.missing] = (solve_lower(self._lower, np.eye(len(self._lower))) ** 2).sum(axis=0)
        return variance

    def evidence(self, y: AnyArray) -> tuple[Array, Array]:
        """See `posterior.Conditional`."""
        z, x = self._parts(y)
        v, tau2, std = self.prompt.variances, self.prompt.tau2, self.prompt.encoder.std[self.selection.seen]
        log_density, g = self.pieces.evidence(np.hstack([z / np.sqrt(v), self._told(z)]))
        rest = (np.einsum("nm,nm->n", x, x) - np.einsum("nk,nk->n", z, z)) / tau2
        log_det = np.log(v).sum() + (self.prompt.encoder.components.shape[1] - len(v)) * np.log(tau2)
        log_det += 2 * np.log(np.diag(self._lower)).sum() + 2 * np.log(std).sum()
        return log_density - 0.5 * (rest + len(std) * np.log(2 * np.pi) + log_det)[:, None], g

    def expand(self, w: Array) -> Array:
        """See `posterior.Conditional`: seen pixels do not move."""
        return self._place(w / np.sqrt(self.prompt.variances) @ self._missed.T)

    def follow(self, y: AnyArray) -> Array:
        """See `posterior.Conditional`."""
        return self.complete(np.zeros((1, len(self.prompt.variances))), y)

    def complete(self, w: Array, y: AnyArray) -> Array:
        """See `posterior.Conditional`."""
        z, x = self._parts(y)
        moved = self._place(w / np.sqrt(self.prompt.variances) @ self._missed.T - self._told(z))
        moved[:, self.selection.seen] = x
        return moved

    def deviate(self, rng: np.random.Generator, n: int) -> Array:
        """See `posterior.Conditional`."""
        return self._place(rng.standard_normal((n, len(self._lower))))

    def _parts(self, y: AnyArray) -> tuple[Array, Array]:
        """Seen pixels along the prompt's basis (n, k), and as they are (n, m)."""
        k = len(self.prompt.variances)
        return y[:, :k] @ self.prompt.basis, y[:, k:]

    def _told(self, z: Array) -> Array:
        """``C^-1 L_u. x`` with ``S = C C'``: what missing pixels would tell of what was seen, shape (n, h)."""
        weights = 1 / self.prompt.variances - 1 / self.prompt.tau2
        return solve_lower(self._lower, self._frame.T @ (z * weights).T).T

    def _place(self, u: Array) -> Array:
        """``C^-T u`` (n, h) as images (n, d)."""
        out = np.zeros((len(u), self.prompt.encoder.components.shape[1]))
        out[:, self.selection.missing] = solve_lower(self._lower, u.T, transposed=True).T
        return out

    @lazy
    def _frame(self) -> Array:
        """Missing pixels of the components in the prompt's basis, shape (k, h)."""
        frame: Array = self.prompt.basis.T @ self.prompt.encoder.components[:, self.selection.missing]
        return frame

    @lazy
    def _lower(self) -> Array:
        """C, shape (h, h)."""
        weights = 1 / self.prompt.variances - 1 / self.prompt.tau2
        s = (self._frame.T * weights) @ self._frame
        s[np.diag_indices_from(s)] += 1 / self.prompt.tau2
        lower: Array = np.linalg.cholesky(s)
        return lower

    @lazy
    def _missed(self) -> Array:
        """``C^-1 L_u. U diag(v)^(1/2)``, shape (h, k)."""
        return solve_lower(self._lower, self._frame.T / np.sqrt(self.prompt.variances))
