"""Density: what a fitted model says of pixels, as one mixture of linear pieces a prompt (DESIGN 3.5, 3.7).

    x = mean + std (U w + e),   w ~ sum_j shares_j N(means_j, F_j F_j'),   e ~ N(0, G)
    G = U diag(v) U' + tau^2 (I - U U')

U holds the principal components in the prompt's basis, and G is shared by the prompt's pieces: what the encoder
discards is spread evenly over the directions that it discards (probabilistic PCA, Tipping and Bishop 1999, eq. 5 to 8).
A prompt without styles is one piece of rank 0. Where what the pieces share is whitened, each is
``N(m_j, I + A_j A_j')``: `WhitePieces`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from .._lazy import lazy
from .._threads import in_parallel, one_thread
from .._types import AnyArray, Array
from ..denoiser import GaussianDenoiser
from ..image import PCAEncoder, noise_floor
from ..styles import Styles

_CHUNK, _MOST_PIXELS = 1024, 2**20
"""Images that are worked on together, and the pixels that they have at most."""
_FAR = 3e4
"""Whitened variance of a piece beyond which float32 loses what is left of a distance."""


@dataclass(frozen=True)
class PromptDensity:
    """The density of one prompt's pixels; all but ``encoder`` in the units of its standardised pixels.

    Parameters
    ----------
    encoder : PCAEncoder
    basis : array of shape (k, k)
        Of the components, in columns, so that what the pieces share is diagonal.
    variances : array of shape (k,)
        Shared variances along the basis, above zero.
    tau2 : float
        Variance of each direction that the encoder discards, above zero.
    shares : array of shape (s,)
        Frequency of each piece.
    means : array of shape (s, k)
        In the basis, about the encoder's mean.
    factors : array of shape (s, k, r)
        In the basis.
    """

    encoder: PCAEncoder
    basis: Array
    variances: Array
    tau2: float
    shares: Array
    means: Array
    factors: Array

    @property
    def frame(self) -> Array:
        """U', the components in the prompt's basis: orthonormal rows, shape (k, d)."""
        frame: Array = self.basis.T @ self.encoder.components
        return frame

    def with_noise(self, level2: float) -> "PromptDensity":
        """The same with white noise of a variance on standardised pixels, as part of the images."""
        return replace(self, variances=self.variances + level2, tau2=self.tau2 + level2) if level2 else self

    def pieces(self, level2: float = 0.0, bulk: type[np.floating] = np.float64) -> "WhitePieces":
        """The pieces where coordinates in the basis, with noise of variance ``level2``, are divided by their deviation.

        Parameters
        ----------
        level2 : float
            In the units of standardised pixels.
        bulk : dtype
            Precision of products over images.
        """
        std = np.sqrt(self.variances + level2)
        scaled = self.factors / std[:, None]
        return WhitePieces.of(self.shares, self.means / std, lambda dtype: scaled.astype(dtype, copy=False), bulk)


@dataclass(frozen=True)
class WhitePieces:
    """A mixture of s pieces ``N(m_j, I + A_j A_j')`` in q dimensions.

    Parameters
    ----------
    log_shares : array of shape (s,)
    means : array of shape (s, q)
    shrunk : array of shape (s, q, r)
        ``B_j = A_j T_j``, so that ``(I + A_j A_j')^-1 = I - B_j B_j'`` (the matrix inversion lemma).
    root : array of shape (s, r, r)
        ``T_j``, with ``T_j T_j' = (I + A_j' A_j)^-1``.
    log_det : array of shape (s,)
        Of ``I + A_j A_j'``.
    """

    log_shares: Array
    means: Array
    shrunk: Array
    root: Array
    log_det: Array

    @classmethod
    def of(
        cls, shares: Array, means: Array, factors: Callable[[type[np.floating]], Array], bulk: type[np.floating]
    ) -> "WhitePieces":
        """From what gives the factors A_j (s, q, r) in a precision; in ``bulk`` only where that is safe.

        Distances are differences of squares, of which factors that reach far leave little.
        """
        a = factors(bulk)
        if bulk is not np.float64 and np.einsum("sqr,sqr->s", a, a).max(initial=0.0) > _FAR:
            a = factors(np.float64)
        with one_thread():
            inner = np.eye(a.shape[2]) + (a.swapaxes(1, 2) @ a).astype(np.float64)
            lower = np.linalg.cholesky(inner)
            root = np.linalg.inv(lower).swapaxes(1, 2)
        log_det = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        return cls(np.log(shares), means, a @ root.astype(a.dtype), root, log_det)

    def evidence(self, y: Array) -> tuple[Array, Array]:
        """Of whitened images, less the constant ``-(q / 2) log(2 pi)``.

        Parameters
        ----------
        y : array of shape (n, q)

        Returns
        -------
        log_density : array of shape (n, s)
            Of each piece, weighed by its share.
        g : array of shape (n, s, r)
            ``B_j' (y - m_j)``, of which `tasks.restore` makes the posterior of w.
        """
        s, _, r = self.shrunk.shape
        g = (y.astype(self.shrunk.dtype, copy=False) @ self._side_by_side).reshape(len(y), s, r)
        g -= np.einsum("sq,sqr->sr", self.means, self.shrunk).astype(g.dtype)
        distance2 = (y**2).sum(axis=1)[:, None] - 2 * (y @ self.means.T) + (self.means**2).sum(axis=1)
        distance2 -= np.einsum("nsr,nsr->ns", g, g)
        return self.log_shares - 0.5 * (distance2 + self.log_det), g

    @lazy
    def _side_by_side(self) -> Array:
        """All B_j in columns, shape (q, s r), for one product over images."""
        s, q, r = self.shrunk.shape
        return self.shrunk.transpose(1, 0, 2).reshape(q, s * r)

    def trace(self, weights: Array) -> Array:
        """``tr(W (I + A_j A_j')^-1 W)`` of each piece with W = diag(weights), shape (s,)."""
        total: Array = (weights**2).sum() - ((self.shrunk * weights[:, None]) ** 2).sum(axis=(1, 2))
        return total


def densities(
    encoder: PCAEncoder, prior: GaussianDenoiser, residual: Array, styles: Styles | None = None
) -> list[PromptDensity]:
    """The pixel densities of all prompts.

    Parameters
    ----------
    encoder : PCAEncoder
    prior : GaussianDenoiser
        Of p prompts: what a prompt is without styles.
    residual : array of shape (p,)
        Mean squared length of what the encoder discards, by prompt.
    styles : Styles, optional
        As learned, not as sharpened for samples.
    """
    k, d = encoder.components.shape
    floor = noise_floor(encoder)
    tau2 = np.maximum(residual / max(d - k, 1), floor)

    def one(c: int) -> PromptDensity:
        shares: Array
        means: Array
        factors: Array
        if styles is None:
            basis, v = prior.basis[c], prior.variances[c]
            shares, means, factors = np.ones(1), (prior.means[c] @ basis)[None], np.zeros((1, k, 0))
        else:
            own = styles.of(c)
            basis, v = styles.basis[c], styles.variances[c]
            shares, means, factors = styles.shares[own], styles.means[own], styles.factors[own]
        v = np.maximum(v / encoder.scale**2, floor)
        scale = factors.dtype.type(encoder.scale)
        return PromptDensity(encoder, basis, v, float(tau2[c]), shares, means / encoder.scale, factors / scale)

    return in_parallel(one, range(len(tau2)))


def chunks(n: int, d: int) -> Iterator[slice]:
    """Cut n images of d pixels into parts."""
    step = min(_CHUNK, max(_MOST_PIXELS // d, 1))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def coordinates(encoder: PCAEncoder, rows: AnyArray) -> tuple[Array, Array]:
    """Images as components (n, k), standardised and about the mean, and what is left of them (n, d)."""
    x = (rows.astype(np.float64) - encoder.mean) / encoder.std
    z = x @ encoder.components.T
    return z, x - z @ encoder.components
