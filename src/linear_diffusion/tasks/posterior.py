"""Posterior: one prompt's pixels, given what was seen of them; exact for any linear operator.

    y = H x + s n,   B = H G H' + s^2 I = L L'        x: standardised images about the mean
    R = L^-1 H U,   Z = L^-1 H G,   E = U - Z' R
    x | w, y ~ N(E w + Z' L^-1 y,  G - Z' Z)

G is what the prompt's components share, so that one Cholesky factor serves all of them: whitened by it, component j is
``N(R m_j, I + (R F_j) (R F_j)')``, and ``w | y, j ~ N(m_j + F_j T_j g_j, F_j T_j T_j' F_j')`` (see `WhiteComponents`).
Source: Rasmussen and Williams (2006), eq. A.6; docs/mathematics.md, "Restoration".

Two cases are quicker. Where H is the identity, all of it is diagonal: `Noised`. Where the rows of H are orthonormal and
more than there are components, ``H V' = Q T``: what y holds outside the range of Q follows the remainder alone, alike
for all prompts, and k numbers, ``Q' y``, take the place of m: `View.q`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from ..denoiser.components import WhiteComponents
from ..image.pca import PCAEncoder
from ..operators import Observation
from ..utils.lazy import lazy
from ..utils.types import AnyArray, Array
from .density import PromptDensity, coordinates

_SINGULAR, _SINGULAR_FLOAT32 = 1e-10, 1e-5
"""Singular values below this share of the largest are rounding, by the precision of what was seen (float32: 1e-7)."""


@dataclass(frozen=True)
class Noised:
    """Whole images, with noise that is alike in all directions of standardised pixels. They come as `coordinates`
    leaves them, side by side (n, k + d), which is the same for all prompts; ``bulk`` is the precision of products over
    images."""

    prompt: PromptDensity
    noise_variance: float
    bulk: type[np.floating] = np.float64

    @lazy
    def components(self) -> WhiteComponents:
        """The prompt's components in components, divided by the shared deviations."""
        return self.prompt.components(self.noise_variance, self.bulk)

    @lazy
    def variance(self) -> Array:
        """Of each pixel, from what is left along the components and across them; shape (d,)."""
        frame2, kept, across = (
            self.prompt.frame**2,
            self._kept * self.noise_variance,
            self._kept_across * self.noise_variance,
        )
        return kept @ frame2 + across * (1 - frame2.sum(axis=0))

    @lazy
    def moves(self) -> Array:
        """E', how the mean moves with w; shape (k, d)."""
        return (1 - self._kept)[:, None] * self.prompt.frame

    def evidence(self, y: Array) -> tuple[Array, Array]:
        """Log-density of y (n, m) under each component, weighed by its share, and g; see `WhiteComponents.evidence`."""
        z, rest = np.hsplit(y, [len(self.prompt.variances)])
        return self.evidence_of(z, np.einsum("nd,nd->n", rest, rest))  # (n, d) -> (n,)

    def evidence_of(self, z: Array, energy: Array, *, expected: bool = False) -> tuple[Array, Array]:
        """The evidence of components (n, k) and of the squared length (n,) of what is left of the image. With
        ``expected`` the noise is not yet in the image: its mean over draws of the noise, component by component."""
        std, n_rest = self.prompt.encoder.std, self.prompt.encoder.components.shape[1] - z.shape[1]
        deviations, tau2 = np.sqrt(self.prompt.variances + self.noise_variance), self.prompt.tau2 + self.noise_variance
        log_density, g = self.components.evidence(z @ self.prompt.basis / deviations)
        beside = len(std) * np.log(2 * np.pi) + 2 * np.log(std).sum()
        beside += 2 * np.log(deviations).sum() + n_rest * np.log(tau2)
        if expected:
            log_density -= 0.5 * self.noise_variance * (self.components.trace(1 / deviations) + n_rest / tau2)
        return log_density - 0.5 * (energy / tau2 + beside)[:, None], g

    def complete(self, w: Array, y: Array) -> Array:
        """``E w + Z' L^-1 y``: standardised images (n, d) about the mean, from w (n, k) and y (n, m)."""
        z, rest = np.hsplit(y, [len(self.prompt.variances)])
        along = w * (1 - self._kept) + z @ self.prompt.basis * self._kept  # (n, k)
        return along @ self.prompt.frame + rest * self._kept_across

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """n draws from ``N(0, G - Z' Z)``, shape (n, d)."""
        return spread(
            self.prompt.frame, self._kept * self.noise_variance, self._kept_across * self.noise_variance, rng, n
        )

    @property
    def _kept(self) -> Array:
        """How much of what was seen is image and not noise, along each direction of the basis; shape (k,)."""
        return self.prompt.variances / (self.prompt.variances + self.noise_variance)

    @property
    def _kept_across(self) -> float:
        return self.prompt.tau2 / (self.prompt.tau2 + self.noise_variance)


@dataclass(frozen=True)
class View:
    """How images were seen, for all prompts: ``y = H x + noise_std n`` of standardised images about the mean. H (m, d)
    is the identity where there is no matrix; ``combine`` (o, m) makes its rows of those of the operator, which sees
    ``mean`` (o,) of the mean image."""

    encoder: PCAEncoder
    matrix: Any
    noise_std: float
    orthonormal: bool = False
    mean: Any = None
    combine: Any = None

    @classmethod
    def of(cls, seen: Observation, encoder: PCAEncoder, noise_std: float) -> "View":
        """The view of an observation, with noise in its units. Rows that share no pixel are divided by their lengths,
        but where there is noise and their lengths differ. Other rows become orthonormal where there is no noise, so
        that what is said twice counts once."""
        std = encoder.std
        if seen.matrix is None and (noise_std == 0.0 or np.ptp(std) == 0.0):
            return cls(encoder, None, noise_std / float(std[0]))
        if seen.matrix is None:
            return cls(encoder, sparse.csr_array(sparse.diags_array(std)), noise_std, mean=encoder.mean)
        h, mean = seen.matrix, seen.matrix @ encoder.mean
        matrix = sparse.csr_array(h @ sparse.diags_array(std)) if sparse.issparse(h) else h * std
        if seen.disjoint:
            length = np.sqrt(np.asarray(matrix.power(2).sum(axis=1)).ravel())
            least = _SINGULAR * length.max(initial=0.0)
            if noise_std == 0.0 or np.ptp(length) <= least:
                rows = np.flatnonzero(length > least)
                combine = sparse.csr_array((1 / length[rows], (rows, np.arange(len(rows)))), (len(length), len(rows)))
                level = noise_std / length[rows[0]] if noise_std else 0.0
                return cls(encoder, sparse.csr_array(combine.T @ matrix), level, True, mean, combine)
        elif noise_std == 0.0:
            u, s, v = np.linalg.svd(matrix.toarray() if sparse.issparse(matrix) else matrix, full_matrices=False)
            least = _SINGULAR_FLOAT32 if seen.y.dtype == np.float32 else _SINGULAR
            rank = int((s > least * s.max(initial=0.0)).sum())
            return cls(encoder, v[:rank], 0.0, True, mean, u[:, :rank] / s[:rank])
        return cls(encoder, matrix, noise_std, mean=mean)

    def take(self, y: AnyArray) -> Array:
        """What was seen, as the operator leaves it (n, o), in the form that `Conditional`s take."""
        if self.matrix is None:
            return np.hstack(coordinates(self.encoder, y))
        y = y.astype(np.float64) - self.mean
        return self._split(y if self.combine is None else y @ self.combine)

    def show(self, x: Array, rng: np.random.Generator | None = None) -> Array:
        """What would be seen of images (n, d), with noise from ``rng``, in the same form."""
        shown: Array = (self.matrix @ x.T).T
        return self._split(shown if rng is None else shown + self.noise_std * rng.standard_normal(shown.shape))

    def lift(self, y: Array) -> Array:
        """``H' y`` of what is in that form, shape (n, d)."""
        p = len(self.of_components)
        lifted: Array = (self.rows.T @ y[:, :p].T).T
        return lifted if self.q is None else lifted + (self.matrix.T @ y[:, p:].T).T

    @lazy
    def q(self) -> Array | None:
        """The range of what is seen of the components, shape (m, k); None where m numbers are taken as they are."""
        m, k = self.matrix.shape[0], len(self.encoder.components)
        return np.linalg.qr(self.matrix @ self.encoder.components.T)[0] if self.orthonormal and m > k else None

    @lazy
    def rows(self) -> Any:
        """H, or ``Q' H`` in its place; shape (p, d)."""
        return self.matrix if self.q is None else np.asarray((self.matrix.T @ self.q).T)

    @lazy
    def of_components(self) -> Array:
        """What they show of the components, shape (p, k)."""
        return np.asarray(self.rows @ self.encoder.components.T)

    @lazy
    def square(self) -> Array:
        """Their products with each other, shape (p, p)."""
        square: Any = np.eye(self.rows.shape[0]) if self.orthonormal else self.matrix @ self.matrix.T
        return np.asarray(square.toarray() if sparse.issparse(square) else square)

    def _split(self, y: Array) -> Array:
        """What was seen (n, m) as ``Q' y`` and what is orthogonal to it, side by side, (n, k + m)."""
        if self.q is None:
            return y
        inside = y @ self.q
        return np.hstack([inside, y - inside @ self.q.T])


@dataclass(frozen=True)
class Observed:
    """Any linear operator, of full row rank where there is no noise; what was seen comes as `View.take` leaves it."""

    prompt: PromptDensity
    view: View
    bulk: type[np.floating] = np.float64

    @lazy
    def components(self) -> WhiteComponents:
        """The prompt's components as they were seen, divided by the Cholesky factor of B."""
        seen, factors = self._seen, self.prompt.side_by_side
        k, s, r = factors.shape

        def as_seen(dtype: type[np.floating]) -> Array:
            product = seen.astype(dtype) @ factors.astype(dtype, copy=False).reshape(k, s * r)
            return product.reshape(len(seen), s, r)

        return WhiteComponents.of(self.prompt.shares, self.prompt.means @ seen.T, as_seen, self.bulk)

    @lazy
    def variance(self) -> Array:
        """``diag(G - Z' Z)``, less what is seen of the remainder alone; shape (d,)."""
        frame2, v, tau2 = self.prompt.frame**2, self.prompt.variances, self.prompt.tau2
        variance = v @ frame2 + tau2 * (1 - frame2.sum(axis=0)) - (self._gain**2).sum(axis=0)
        if self.view.q is not None:
            whole = self.view.matrix
            beside = np.asarray((whole * whole).sum(axis=0)).ravel() - (self.view.rows**2).sum(axis=0)
            variance -= tau2 * self._kept_outside * beside
        return np.maximum(variance, 0.0)

    @lazy
    def moves(self) -> Array:
        """E', shape (k, d)."""
        return self.prompt.frame - self._seen.T @ self._gain

    def evidence(self, y: Array) -> tuple[Array, Array]:
        inside, outside = self._parts(y)
        log_density, g = self.components.evidence(solve_lower(self._lower, inside.T).T)
        beside = inside.shape[1] * np.log(2 * np.pi) + 2 * np.log(np.diag(self._lower)).sum()
        if outside is None:
            return log_density - 0.5 * beside, g
        variance = self.prompt.tau2 + self.view.noise_std**2
        beside += (outside.shape[1] - inside.shape[1]) * np.log(2 * np.pi * variance)
        return log_density - 0.5 * ((outside**2).sum(axis=1) / variance + beside)[:, None], g

    def complete(self, w: Array, y: Array) -> Array:
        inside, outside = self._parts(y)
        completed: Array = w @ self.prompt.frame + self._correct(inside - w @ self._of_frame.T)
        if outside is not None:
            completed += self._kept_outside * (self.view.matrix.T @ outside.T).T
        return completed

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draws from the prior, less what they show of themselves (Matheron's rule, Doucet 2010)."""
        x = spread(self.prompt.frame, self.prompt.variances, self.prompt.tau2, rng, n)
        return x - self.complete(np.zeros((1, len(self.prompt.variances))), self.view.show(x, rng))

    def _parts(self, y: Array) -> tuple[Array, Array | None]:
        """What was seen in the range of the components (n, p), and outside it (n, m) where they are apart."""
        p = len(self.view.of_components)
        return (y, None) if self.view.q is None else (y[:, :p], y[:, p:])

    def _correct(self, residual: Array) -> Array:
        """``Z' L^-1 residual``, that is ``G H' B^-1 residual``, (n, p) -> (n, d); Z itself takes longer to make."""
        solved = solve_lower(self._lower, solve_lower(self._lower, residual.T), transposed=True)
        v, tau2 = self.prompt.variances, self.prompt.tau2
        along = (solved.T @ self._of_frame * (v - tau2)) @ self.prompt.frame
        return along + tau2 * (self.view.rows.T @ solved).T

    @property
    def _kept_outside(self) -> float:
        """How much of what was seen of the remainder is image and not noise."""
        return self.prompt.tau2 / (self.prompt.tau2 + self.view.noise_std**2)

    @lazy
    def _of_frame(self) -> Array:
        """H U, shape (p, k)."""
        return self.view.of_components @ self.prompt.basis

    @lazy
    def _lower(self) -> Array:
        """L, shape (p, p)."""
        v, tau2 = self.prompt.variances, self.prompt.tau2
        b = tau2 * self.view.square + (self._of_frame * (v - tau2)) @ self._of_frame.T
        b[np.diag_indices_from(b)] += self.view.noise_std**2
        return np.linalg.cholesky(b)

    @lazy
    def _seen(self) -> Array:
        """R, shape (p, k)."""
        return solve_lower(self._lower, self._of_frame)

    @lazy
    def _gain(self) -> Array:
        """Z, shape (p, d)."""
        v, tau2 = self.prompt.variances, self.prompt.tau2
        rows = self.view.rows.toarray() if sparse.issparse(self.view.rows) else self.view.rows
        return solve_lower(self._lower, (self._of_frame * (v - tau2)) @ self.prompt.frame + tau2 * rows)


Conditional = Noised | Observed
"""One prompt's pixels, from what was seen: they are asked alike."""


def condition(prompt: PromptDensity, view: View, bulk: type[np.floating] = np.float64) -> Conditional:
    """What is known of a prompt's pixels from what was seen; ``bulk`` is the precision of products over images."""
    return Noised(prompt, view.noise_std**2, bulk) if view.matrix is None else Observed(prompt, view, bulk)


def solve_lower(lower: Array, b: Array, *, transposed: bool = False) -> Array:
    """``L^-1 b``, or ``L^-T b``, of a lower triangle L."""
    return solve_triangular(lower, b, lower=True, trans=int(transposed), check_finite=False)


def spread(frame: Array, along: Array, across: float, rng: np.random.Generator, n: int) -> Array:
    """n draws from ``N(0, U diag(along) U' + across (I - U U'))``, shape (n, d)."""
    eps = rng.standard_normal((n, frame.shape[1]))
    return np.sqrt(across) * eps + (eps @ frame.T * (np.sqrt(along) - np.sqrt(across))) @ frame
