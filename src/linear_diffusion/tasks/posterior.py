"""Posterior: one prompt's pixels, given what was seen of them; exact for any linear operator.

    y = H x + noise_std n,   B = H~ G H~' + noise_std^2 I = L L',   H~ = H diag(std)
    R = L^-1 H~ U,   Z = L^-1 H~ G,   E = U - Z' R
    x | w, y ~ mean + std N(E w + Z' L^-1 (y - H mean),  G - Z' Z)

G is what the prompt's pieces share, so that one Cholesky factor serves all of them: whitened by it, piece j is
``N(R m_j, I + (R F_j) (R F_j)')``, and ``w | y, j ~ N(m_j + F_j T_j g_j, F_j T_j T_j' F_j')`` (see `WhitePieces`).
Source: Rasmussen and Williams (2006), eq. A.6; docs/mathematics.md, "Restoration". Where H is the identity and the
noise is alike in all directions, all of it is diagonal: `Noised`.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from scipy import sparse
from scipy.linalg import solve_triangular

from ..utils.lazy import lazy
from ..utils.types import AnyArray, Array
from .density import PromptDensity, WhitePieces


class Conditional(Protocol):
    """What restoration asks of one prompt; images are standardised and about the mean."""

    @property
    def prompt(self) -> PromptDensity:
        """Whose pixels they are."""

    @property
    def pieces(self) -> WhitePieces:
        """The prompt's pieces, as they were seen, whitened."""

    @property
    def variance(self) -> Array:
        """Of each pixel, given y and w; shape (d,)."""

    def evidence(self, y: AnyArray) -> tuple[Array, Array]:
        """Log-density of y (n, m) under each piece, weighed by its share, and g; see `WhitePieces.evidence`."""

    def expand(self, w: Array) -> Array:
        """``E w``: how the mean moves with w; (n, k) -> (n, d)."""

    def follow(self, y: AnyArray) -> Array:
        """``Z' L^-1 (y - H mean)``: how the mean moves with y; (n, m) -> (n, d)."""

    def complete(self, w: Array, y: AnyArray) -> Array:
        """What `expand` and `follow` say together: the means given w and y."""

    def deviate(self, rng: np.random.Generator, n: int) -> Array:
        """n draws from ``N(0, G - Z' Z)``."""


@dataclass(frozen=True)
class Noised:
    """Whole images, with noise that is alike in all directions of standardised pixels.

    Images come as `coordinates` leaves them, side by side (n, k + d), which is the same for all prompts.

    Parameters
    ----------
    prompt : PromptDensity
    level2 : float
        Variance of the noise, in the units of standardised pixels.
    bulk : dtype
        Precision of products over images.
    """

    prompt: PromptDensity
    level2: float
    bulk: type[np.floating] = np.float64

    @lazy
    def pieces(self) -> WhitePieces:
        """The prompt's pieces in components, divided by the shared deviations."""
        return self.prompt.pieces(self.level2, self.bulk)

    @lazy
    def variance(self) -> Array:
        """What is known along each component and across, as variances of pixels."""
        along, across = self._left
        frame2 = self._frame**2
        variance: Array = along @ frame2 + across * (1 - frame2.sum(axis=0))
        return variance

    def evidence(self, y: AnyArray) -> tuple[Array, Array]:
        """See `Conditional`."""
        z, rest = self._parts(y)
        return self.evidence_of(z, np.einsum("nd,nd->n", rest, rest))

    def evidence_of(self, z: Array, energy: Array, *, expected: bool = False) -> tuple[Array, Array]:
        """The evidence of components (n, k) and of the squared length (n,) of what is left of the image.

        With ``expected`` the noise is not yet in the image: its mean over draws of the noise, piece by piece.
        """
        std, n_rest = self.prompt.encoder.std, self.prompt.encoder.components.shape[1] - z.shape[1]
        deviations, tau2 = np.sqrt(self.prompt.variances + self.level2), self.prompt.tau2 + self.level2
        log_density, g = self.pieces.evidence(z @ self.prompt.basis / deviations)
        beside = len(std) * np.log(2 * np.pi) + 2 * np.log(std).sum()
        beside += 2 * np.log(deviations).sum() + n_rest * np.log(tau2)
        if expected:
            log_density -= 0.5 * self.level2 * (self.pieces.trace(1 / deviations) + n_rest / tau2)
        return log_density - 0.5 * (energy / tau2 + beside)[:, None], g

    def expand(self, w: Array) -> Array:
        """See `Conditional`."""
        moved: Array = (w * (self.level2 / (self.prompt.variances + self.level2))) @ self._frame
        return moved

    def follow(self, y: AnyArray) -> Array:
        """See `Conditional`."""
        z, rest = self._parts(y)
        v, tau2 = self.prompt.variances, self.prompt.tau2
        moved: Array = (z @ self.prompt.basis * (v / (v + self.level2))) @ self._frame
        return moved + rest * (tau2 / (tau2 + self.level2))

    def complete(self, w: Array, y: AnyArray) -> Array:
        """See `Conditional`."""
        return self.expand(w) + self.follow(y)

    def deviate(self, rng: np.random.Generator, n: int) -> Array:
        """See `Conditional`."""
        along, across = self._left
        return spread(self._frame, along, across, rng, n)

    def _parts(self, y: AnyArray) -> tuple[Array, Array]:
        k = len(self.prompt.variances)
        return y[:, :k], y[:, k:]

    @lazy
    def _frame(self) -> Array:
        return self.prompt.frame

    @property
    def _left(self) -> tuple[Array, float]:
        v, tau2 = self.prompt.variances, self.prompt.tau2
        return v * self.level2 / (v + self.level2), tau2 * self.level2 / (tau2 + self.level2)


@dataclass(frozen=True)
class Observed:
    """Any linear operator of full row rank where there is no noise.

    Parameters
    ----------
    prompt : PromptDensity
    matrix : array or sparse array of shape (m, d)
        H.
    noise_std : float
        In the units of y.
    bulk : dtype
        Precision of products over images.
    """

    prompt: PromptDensity
    matrix: Any
    noise_std: float
    bulk: type[np.floating] = np.float64

    @lazy
    def pieces(self) -> WhitePieces:
        """The prompt's pieces as they were seen, divided by the Cholesky factor of B."""
        seen, factors = self._seen, self.prompt.side_by_side
        k, s, r = factors.shape

        def as_seen(dtype: type[np.floating]) -> Array:
            product = seen.astype(dtype) @ factors.astype(dtype, copy=False).reshape(k, s * r)
            return product.reshape(len(seen), s, r)

        return WhitePieces.of(self.prompt.shares, self.prompt.means @ seen.T, as_seen, self.bulk)

    @lazy
    def variance(self) -> Array:
        """``diag(G - Z' Z)``."""
        frame2, v, tau2 = self._frame**2, self.prompt.variances, self.prompt.tau2
        shared = v @ frame2 + tau2 * (1 - frame2.sum(axis=0))
        variance: Array = np.maximum(shared - np.einsum("md,md->d", self._gain, self._gain), 0.0)
        return variance

    def evidence(self, y: AnyArray) -> tuple[Array, Array]:
        """See `Conditional`."""
        log_density, g = self.pieces.evidence(self._whiten(y))
        beside = y.shape[1] * np.log(2 * np.pi) + 2 * np.log(np.diag(self._lower)).sum()
        return log_density - 0.5 * beside, g

    def expand(self, w: Array) -> Array:
        """See `Conditional`."""
        return self._decode(w) - self._correct(w @ self._of_frame.T)

    def follow(self, y: AnyArray) -> Array:
        """See `Conditional`."""
        return self._correct(y - self.matrix @ self.prompt.encoder.mean)

    def complete(self, w: Array, y: AnyArray) -> Array:
        """See `Conditional`."""
        return self._decode(w) + self._correct(y - self.matrix @ self.prompt.encoder.mean - w @ self._of_frame.T)

    def deviate(self, rng: np.random.Generator, n: int) -> Array:
        """Draws from the prior, less what they show of themselves (Matheron's rule, Doucet 2010)."""
        x = spread(self._frame, self.prompt.variances, self.prompt.tau2, rng, n)
        return x - self._correct(self._show(x, rng))

    def _show(self, x: Array, rng: np.random.Generator) -> Array:
        """What is seen of standardised images (n, d), with noise."""
        noise = rng.standard_normal((len(x), self.matrix.shape[0]))
        shown: Array = (self._scaled @ x.T).T + self.noise_std * noise
        return shown

    def _correct(self, residual: Array) -> Array:
        """``Z' L^-1 residual``, that is ``G H~' B^-1 residual``, (n, m) -> (n, d); Z itself takes longer to make."""
        solved = solve_lower(self._lower, solve_lower(self._lower, residual.T), transposed=True).T
        v, tau2 = self.prompt.variances, self.prompt.tau2
        along = solved @ self._of_frame * (v - tau2)
        corrected: Array = self._decode(along) + tau2 * (self._scaled.T @ solved.T).T
        return corrected

    def _decode(self, w: Array) -> Array:
        decoded: Array = w @ self.prompt.basis.T @ self.prompt.encoder.components
        return decoded

    def _whiten(self, y: AnyArray) -> Array:
        return solve_lower(self._lower, (y - self.matrix @ self.prompt.encoder.mean).T).T

    @lazy
    def _frame(self) -> Array:
        return self.prompt.frame

    @lazy
    def _scaled(self) -> Any:
        """H~ = H diag(std)."""
        std = self.prompt.encoder.std
        return self.matrix @ sparse.diags(std) if sparse.issparse(self.matrix) else self.matrix * std

    @lazy
    def _of_frame(self) -> Array:
        """H~ U, shape (m, k)."""
        return np.asarray(self._scaled @ self._frame.T)

    @property
    def _square(self) -> Array:
        """H~ H~', shape (m, m)."""
        square = self._scaled @ self._scaled.T
        return np.asarray(square.toarray() if sparse.issparse(square) else square)

    @lazy
    def _lower(self) -> Array:
        """L, shape (m, m)."""
        v, tau2 = self.prompt.variances, self.prompt.tau2
        b = tau2 * self._square + (self._of_frame * (v - tau2)) @ self._of_frame.T
        b[np.diag_indices_from(b)] += self.noise_std**2
        lower: Array = np.linalg.cholesky(b)
        return lower

    @lazy
    def _seen(self) -> Array:
        """R, shape (m, k)."""
        return solve_lower(self._lower, self._of_frame)

    @lazy
    def _gain(self) -> Array:
        """Z, shape (m, d)."""
        v, tau2 = self.prompt.variances, self.prompt.tau2
        shown = (self._of_frame * (v - tau2)) @ self._frame
        scaled = self._scaled
        shown += tau2 * (scaled.toarray() if sparse.issparse(scaled) else scaled)
        return solve_lower(self._lower, shown)


def condition(
    prompt: PromptDensity, matrix: Any, noise_std: float, bulk: type[np.floating] = np.float64
) -> Conditional:
    """What is known of a prompt's pixels x from ``H x + noise``.

    Parameters
    ----------
    prompt : PromptDensity
    matrix : array or sparse array of shape (m, d), or None
        H; None is the identity.
    noise_std : float
        In the units of what was seen.
    bulk : dtype
        Precision of products over whole images.
    """
    std = prompt.encoder.std
    if matrix is None and (noise_std == 0.0 or np.ptp(std) == 0.0):
        return Noised(prompt, (noise_std / float(std[0])) ** 2, bulk)
    if matrix is None:
        matrix = sparse.csr_array(sparse.identity(len(std), format="csr"))
    return Observed(prompt, matrix, noise_std, bulk)


def solve_lower(lower: Array, b: Array, *, transposed: bool = False) -> Array:
    """``L^-1 b``, or ``L^-T b``, of a lower triangle L."""
    solved: Array = solve_triangular(lower, b, lower=True, trans=int(transposed), check_finite=False)
    return solved


def spread(frame: Array, along: Array, across: float, rng: np.random.Generator, n: int) -> Array:
    """n draws from ``N(0, U diag(along) U' + across (I - U U'))``."""
    eps = rng.standard_normal((n, frame.shape[1]))
    drawn: Array = np.sqrt(across) * eps + (eps @ frame.T * (np.sqrt(along) - np.sqrt(across))) @ frame
    return drawn
