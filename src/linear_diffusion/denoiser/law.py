"""Law: what one prompt's latents are, whatever the prompt is (docs/mathematics.md, "Styles").

    z | c ~ sum_j w_j N(m_j, Q (D + F_j F_j') Q')                     learned: `Law`
    z | c ~ sum_j w_j N(m'_j, U_j diag(v_j) U_j')                     what samples are drawn from: `Mixture`

A component is a style, a hidden second token: images of a prompt that look alike. F_j is how images vary within it and
its neighbours, D what all of the prompt's styles share, diagonal in the basis Q. One Gaussian is one component without
directions of its own (r = 0). Samples are drawn from a law that is sharpened, and matched to the moments of training
images (`fit.matching`); likelihood and restoration answer from the law that was learned.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from ..noise import Level
from ..utils.lazy import lazy
from ..utils.types import Array
from .components import WhiteComponents
from .gaussian import GaussianDenoiser, eigen_of_factors

WIDEST = 6.0
"""What the own directions' variance is multiplied by at most, where most variance lies off them (benchmarks/styles.py,
"own directions at most 3 x as wide", "own directions as wide as it takes")."""


@dataclass(frozen=True)
class Law:
    """The learned law of one prompt's latents: s components of frequencies (s,), means (s, k) and factors F_j in the
    basis Q, which share variances D. Moment matching multiplies deviations by the gain (k,), along the basis, and moves
    means."""

    shares: Array
    means: Array
    factors: Array
    basis: Array
    variances: Array
    gain: Array | None = None
    matched_means: Array | None = None

    @property
    def mean(self) -> Array:
        """Of all components together, shape (k,)."""
        return self.shares @ self.means

    @lazy
    def gaussian(self) -> GaussianDenoiser:
        """One Gaussian that has the mean and covariance of all components together."""
        s, k, r = self.factors.shape
        if s == 1 and r == 0:
            return GaussianDenoiser(self.means[0], self.variances, self.basis)
        own = (self.factors * np.sqrt(self.shares).astype(np.float32)[:, None, None]).swapaxes(0, 1).reshape(k, s * r)
        within = (own @ own.T).astype(np.float64)
        within[np.diag_indices(k)] += self.variances
        apart = (self.means - self.mean) * np.sqrt(self.shares)[:, None]
        return GaussianDenoiser.from_covariance(self.mean, self.basis @ within @ self.basis.T + apart.T @ apart)

    @lazy
    def mixture(self) -> "Mixture":
        """What samples are drawn from: each component's variance is moved into its own directions, then matched.

        What is left outside a style's own directions is not noise in real images but follows from the rest in ways
        that no linear model sees. Drawn as noise it frays strokes. As low temperatures and the truncation trick of
        generative networks do (Brock et al. 2019), samples keep none of it, and the total variance of a style stays.
        """
        means = self.means if self.matched_means is None else self.matched_means
        if self.factors.shape[2] == 0:
            std = np.sqrt(self.variances) * (1.0 if self.gain is None else self.gain)
            return Mixture(self.shares, means, self.basis[None], (std**2)[None])
        own = np.einsum("skr,skr->s", self.factors, self.factors).astype(np.float64)
        off = self.variances.sum()
        wider = 1 + np.divide(off, own, out=np.zeros_like(own), where=own > 0)
        scale = np.sqrt(np.minimum(wider, WIDEST)).astype(np.float32)[:, None, None]
        factors = self.factors * scale * (1.0 if self.gain is None else self.gain.astype(np.float32)[:, None])
        # One product for each: how a component is rounded must not depend on which others are worked out with it.
        variances, directions = eigen_of_factors(self.basis.astype(np.float32) @ factors)
        return Mixture(self.shares, means, directions, variances)


@dataclass(frozen=True)
class Mixture:
    """A mixture of s Gaussians, each by its variances (s, r) along orthonormal columns U_j (s, k, r)."""

    shares: Array
    means: Array
    directions: Array
    variances: Array

    def component(self, j: int) -> GaussianDenoiser:
        """The exact denoiser of one component."""
        return GaussianDenoiser(self.means[j], self.variances[j], self.directions[j])

    def nearest(self, mean: Array) -> int:
        """The component whose mean is nearest to a latent (k,)."""
        return int(((self.means - mean) ** 2).sum(axis=1).argmin())

    def responsibilities(self, z: Array, level: Level) -> Array:
        """How likely each component is, given noisy latents (n, k) of a level with noise; shape (n, s)."""
        return softmax(self._white(level).evidence(z / level.sigma)[0], axis=1)

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The optimal denoiser where the component is not known: exact, and no longer linear. Each component's denoiser
        counts as much as the component makes the noisy latent likely."""
        alpha, sigma = level
        if sigma == 0.0:
            return lambda z: z / alpha
        if alpha == 0.0:
            return lambda z: np.broadcast_to(self.shares @ self.means, z.shape)
        white = self._white(level)

        def z0(z: Array) -> Array:
            likely = softmax(white.evidence(z / sigma)[0], axis=1)
            return (z - sigma * white.precise(z / sigma, likely)) / alpha  # Tweedie's formula

        return z0

    def pixel_moments(self, to_pixels: Array) -> tuple[Array, Array]:
        """Mean and variance (s, d) of what a linear map (k, d) makes of each component."""
        s, k, r = self.directions.shape
        scaled = (self.directions * np.sqrt(self.variances).astype(self.directions.dtype)[:, None]).swapaxes(1, 2)
        along = scaled.reshape(s * r, k) @ to_pixels.astype(scaled.dtype, copy=False)
        along *= along
        return self.means @ to_pixels, along.reshape(s, r, -1).sum(axis=1, dtype=np.float64)

    def _white(self, level: Level) -> WhiteComponents:
        """The components of z_t divided by the deviation of its noise."""
        scale = level.alpha / level.sigma
        factors = (scale * np.sqrt(self.variances)[:, None] * self.directions).swapaxes(0, 1)
        return WhiteComponents.of(self.shares, scale * self.means, lambda dtype: factors.astype(dtype), np.float64)
