"""Density: what a fitted model says of pixels, as one mixture of linear pieces per prompt.

    x = mean + std (U w + e),   w ~ sum_j shares_j N(means_j, F_j F_j'),   e ~ N(0, G)
    G = U diag(v) U' + tau^2 (I - U U')

U holds the principal components in the prompt's basis, and G is shared by the prompt's pieces: what the encoder
discards is spread evenly over the directions that it discards (probabilistic PCA, Tipping and Bishop 1999, eq. 5 to 8;
docs/mathematics.md, "Styles" and "Likelihood").
A prompt without styles is one piece of rank 0. Where what the pieces share is whitened, each is
``N(m_j, I + A_j A_j')``: `WhitePieces`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .._lazy import lazy
from .._threads import in_parallel
from .._types import AnyArray, Array
from ..denoiser import GaussianDenoiser
from ..image import PCAEncoder, noise_floor
from ..styles import LOCAL_DIM, Styles

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
    leading : array of shape (s, r, q)
        The same along the first q components, in rows.
    """

    encoder: PCAEncoder
    basis: Array
    variances: Array
    tau2: float
    shares: Array
    means: Array
    factors: Array
    leading: Array

    @property
    def frame(self) -> Array:
        """U', the components in the prompt's basis: orthonormal rows, shape (k, d)."""
        frame: Array = self.basis.T @ self.encoder.components
        return frame

    def with_noise(self, level2: float) -> "PromptDensity":
        """The same with white noise of a variance on standardised pixels, as part of the images."""
        return replace(self, variances=self.variances + level2, tau2=self.tau2 + level2) if level2 else self

    def widened(self, share: float) -> "PromptDensity":
        """The same with a share of the variances of all images beside, along the basis."""
        return replace(self, variances=self.variances + share * (self.encoder.variances @ self.basis**2))

    @lazy
    def side_by_side(self) -> Array:
        """The factors of all pieces in columns, shape (k, s, r)."""
        return np.ascontiguousarray(self.factors.swapaxes(0, 1))

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
        scaled = self.side_by_side / std.astype(self.factors.dtype)[:, None, None]
        return WhitePieces.of(self.shares, self.means / std, lambda dtype: scaled.astype(dtype, copy=False), bulk)


@dataclass(frozen=True)
class WhitePieces:
    """A mixture of s pieces ``N(m_j, I + A_j A_j')`` in q dimensions.

    Parameters
    ----------
    log_shares : array of shape (s,)
    means : array of shape (s, q)
    factors : array of shape (q, s, r)
        All ``A_j``, in columns.
    root : array of shape (s, r, r)
        ``T_j``, with ``T_j T_j' = (I + A_j' A_j)^-1``.
    log_det : array of shape (s,)
        Of ``I + A_j A_j'``.
    n_minus : int
        The last so many dimensions count as minus in all products.
    """

    log_shares: Array
    means: Array
    factors: Array
    root: Array
    log_det: Array
    n_minus: int = 0

    @classmethod
    def of(
        cls,
        shares: Array,
        means: Array,
        factors: Callable[[type[np.floating]], Array],
        bulk: type[np.floating],
        n_minus: int = 0,
    ) -> "WhitePieces":
        """From what gives the factors (q, s, r) in a precision; in ``bulk`` only where that is safe.

        Distances are differences of squares, of which factors that reach far leave little.
        """
        a = factors(bulk)
        if bulk is not np.float64 and np.einsum("qsr,qsr->s", a, a).max(initial=0.0) > _FAR:
            a = factors(np.float64)
        n_plus = len(a) - n_minus
        lower = np.linalg.cholesky(np.eye(a.shape[2]) + _gram(a[:n_plus]) - _gram(a[n_plus:]))
        root = np.linalg.inv(lower).swapaxes(1, 2)
        log_det = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
        return cls(np.log(shares), means, a, root, log_det, n_minus)

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
            ``T_j' A_j' (y - m_j)``, of which `tasks.restore` makes the posterior of w.
        """
        q, s, r = self.factors.shape
        sign = self._sign
        along = ((y * sign).astype(self.factors.dtype) @ self.factors.reshape(q, s * r)).reshape(len(y), s, r)
        along -= self._of_means
        g = (along.swapaxes(0, 1) @ self.root.astype(along.dtype)).swapaxes(0, 1)
        distance2 = (y * y) @ sign[:, None] - 2 * ((y * sign) @ self.means.T) + (self.means * self.means) @ sign
        distance2 -= np.einsum("nsr,nsr->ns", g, g)
        return self.log_shares - 0.5 * (distance2 + self.log_det), g

    @lazy
    def _sign(self) -> Array:
        return np.where(np.arange(len(self.factors)) < len(self.factors) - self.n_minus, 1.0, -1.0)

    @lazy
    def _of_means(self) -> Array:
        """``A_j' m_j``, shape (s, r)."""
        means = (self.means * self._sign).astype(self.factors.dtype)
        product: Array = (means[:, None] @ self.factors.swapaxes(0, 1))[:, 0]
        return product

    def trace(self, weights: Array) -> Array:
        """``tr(W (I + A_j A_j')^-1 W)`` of each piece with W = diag(weights), shape (s,); of no minus dimensions."""
        weighed = self.root.swapaxes(1, 2) @ _gram(self.factors * weights.astype(self.factors.dtype)[:, None, None])
        total: Array = (weights**2).sum() - np.einsum("sij,sji->s", weighed, self.root)
        return total


def _gram(a: Array) -> Array:
    """``A_j' A_j`` of factors in columns (q, s, r), shape (s, r, r)."""
    product: Array = a.transpose(1, 2, 0) @ a.swapaxes(0, 1)
    return product.astype(np.float64)


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
    bases = prior.basis if styles is None else styles.orthonormal_basis

    def one(c: int) -> PromptDensity:
        shares: Array
        means: Array
        factors: Array
        leading: Array
        if styles is None:
            v = prior.variances[c]
            shares, means, factors = np.ones(1), (prior.means[c] @ bases[c])[None], np.zeros((1, k, 0))
            leading = np.zeros((1, 0, min(k, LOCAL_DIM)))
        else:
            own = styles.of(c)
            v = styles.variances[c]
            here = slice(own[0], own[-1] + 1)
            shares, means, factors = styles.shares[here], styles.means[here], styles.factors[here]
            leading = styles.leading[here]
        v = np.maximum(v / encoder.scale**2, floor)
        scale = factors.dtype.type(encoder.scale)
        means, factors, leading = means / encoder.scale, factors / scale, leading / scale
        return PromptDensity(encoder, bases[c], v, float(tau2[c]), shares, means, factors, leading)

    return in_parallel(one, range(len(tau2)))


def population(prompts: Sequence[PromptDensity], weights: Array) -> PromptDensity:
    """All images of prompts of given frequencies (p,) as one Gaussian, by their principal components."""
    encoder = prompts[0].encoder
    k = len(encoder.components)
    return PromptDensity(
        encoder=encoder,
        basis=np.eye(k),
        variances=np.maximum(encoder.variances, noise_floor(encoder)),
        tau2=float(weights @ [prompt.tau2 for prompt in prompts]),
        shares=np.ones(1),
        means=np.zeros((1, k)),
        factors=np.zeros((1, k, 0)),
        leading=np.zeros((1, 0, min(k, LOCAL_DIM))),
    )


def unseen(everything: PromptDensity, n_images: int) -> float:
    """Variance of the white noise that new images seem to have beside a Gaussian that was fitted on n images.

    Under it those images, each left out of the covariance, are most likely. For a training image with
    ``e = x' B^-1 x``, where ``B = S + level2 I``, leaving it out makes ``e / (1 - e / n)`` of e, and adds
    ``log(1 - e / n)`` to log det B (Sherman and Morrison 1950). The mean of e follows from the variances alone.

    Returns
    -------
    float
        In the units of standardised pixels.
    """
    v, tau2, n_rest = everything.variances, everything.tau2, len(everything.encoder.mean) - len(everything.variances)
    level2 = np.geomspace(noise_floor(everything.encoder), v.max(), 100)[:, None]
    e = np.minimum((v / (v + level2)).sum(axis=1) + n_rest * (tau2 / (tau2 + level2[:, 0])), n_images - 0.5)
    log_det = np.log(v + level2).sum(axis=1) + n_rest * np.log(tau2 + level2[:, 0])
    left = 1 - e / n_images
    return float(level2[(e / left + np.log(left) + log_det).argmin(), 0])


def chunks(n: int, d: int) -> Iterator[slice]:
    """Cut n images of d pixels into parts."""
    step = min(_CHUNK, max(_MOST_PIXELS // d, 1))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def coordinates(encoder: PCAEncoder, rows: AnyArray) -> tuple[Array, Array]:
    """Images as components (n, k), standardised and about the mean, and what is left of them (n, d)."""
    x = (rows.astype(np.float64) - encoder.mean) / encoder.std
    z = x @ encoder.components.T
    return z, x - z @ encoder.components
