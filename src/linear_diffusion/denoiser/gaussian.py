"""Gaussian: the linear denoiser of one Gaussian, exact at any level.

    z0_hat  = mu + alpha S (alpha^2 S + sigma^2 I)^-1 (z_t - alpha mu)         S = U diag(v) U'
    eps_hat = sigma (alpha^2 S + sigma^2 I)^-1 (z_t - alpha mu)                the Wiener filter

This is the place of the U-Net: a linear regression from [1, z_t, c, c (x) z_t] to the noise. Since the noise is
independent of everything, its normal equations are known at every level from the second moments of the clean
latents, and for a one-hot code they fall apart into one Wiener filter per prompt (docs/mathematics.md, "Training" and
"The denoiser"). One eigendecomposition serves all levels; where S has no variance, z0_hat is the mean.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..noise import Level
from ..utils.lazy import lazy
from ..utils.threads import one_thread
from ..utils.types import Array
from .affine import AffineMap

_ROUNDING = 1e-10
"""Eigenvalues below this share of the largest are none: of a product of factors, in double precision."""


class Denoiser(Protocol):
    """What a sampler's loop asks of a denoiser."""

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to z0_hat = E[z | z_t], on latents."""


class LinearDenoiser(Denoiser, Protocol):
    """A denoiser that is an affine map at each level, so that a run can be compiled, in r coordinates of its own."""

    @property
    def basis(self) -> Array | None:
        """Orthonormal columns (k, r) that the coordinates belong to; None is the latents themselves."""

    @property
    def beside(self) -> Any:
        """What z_0 is beside the basis, shape (k,)."""

    def z0_map(self, level: Level) -> AffineMap:
        """The map from z_t to z0_hat, in coordinates."""


@dataclass(frozen=True)
class GaussianDenoiser:
    """The exact denoiser of ``N(mean, U diag(variances) U')``.

    Parameters
    ----------
    mean : array of shape (k,)
    variances : array of shape (r,)
        Eigenvalues of the covariance, all >= 0; k of them, or only those above zero.
    basis : array of shape (k, r)
        Their eigenvectors U in columns.
    """

    mean: Array
    variances: Array
    basis: Array

    @classmethod
    def from_covariance(cls, mean: Array, covariance: Array) -> "GaussianDenoiser":
        """Decompose a covariance (k, k); what rounding left below zero is zero."""
        with one_thread():
            variances, basis = np.linalg.eigh(covariance)
        return cls(mean, np.clip(variances, 0.0, None), basis)

    @classmethod
    def from_factor(cls, mean: Array, factor: Array) -> "GaussianDenoiser":
        """Of covariance ``F F'`` with F of shape (k, r)."""
        variances, basis = eigen_of_factors(factor[None])
        return cls(mean, variances[0], basis[0])

    @property
    def covariance(self) -> Array:
        """Shape (k, k)."""
        return (self.basis * self.variances) @ self.basis.T

    @lazy
    def center(self) -> Array:
        """Coordinates of the mean, shape (r,)."""
        return self.mean @ self.basis

    @lazy
    def beside(self) -> Array:
        """What of the mean lies beside the basis, shape (k,)."""
        return self.mean - self.basis @ self.center

    def z0_map(self, level: Level) -> AffineMap:
        """z0_hat in coordinates; finite at alpha = 0, where it is the mean."""
        gain = self._gain(level)
        return AffineMap(gain, (1 - level.alpha * gain) * self.center)

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to z0_hat, on latents."""
        if level.sigma == 0.0:
            return lambda z: z / level.alpha
        gain = self._gain(level)
        return lambda z: self.mean + ((z - level.alpha * self.mean) @ self.basis * gain) @ self.basis.T

    def marginal(self, level: Level) -> AffineMap:
        """The law of z_t, ``N(alpha mu, alpha^2 S + sigma^2 I)``, as a map from noise, in coordinates."""
        return AffineMap(np.sqrt(level.alpha**2 * self.variances + level.sigma**2), level.alpha * self.center)

    def flow_map(self, t: Level, s: Level) -> AffineMap:
        """The exact solution of the probability-flow ODE from level t to level s, in coordinates: it carries the
        marginal at t to that at s (docs/mathematics.md, "The exact sampler"). Where there is neither variance nor noise
        at t, it is the mean."""
        source, target = self.marginal(t), self.marginal(s)
        scale = np.divide(target.matrix, source.matrix, out=np.zeros_like(source.matrix), where=source.matrix > 0)
        return AffineMap(scale, target.shift - scale * source.shift)

    def flow(self, t: Level, s: Level) -> Callable[[Array], Array]:
        """The same on latents (n, k), with what lies beside the basis, which is noise alone."""
        scale, outside = self.flow_map(t, s).matrix, s.sigma / t.sigma if t.sigma > 0 else 0.0

        def carry(z: Array) -> Array:
            x = z - t.alpha * self.mean
            return s.alpha * self.mean + outside * x + (x @ self.basis * (scale - outside)) @ self.basis.T

        return carry

    def _gain(self, level: Level) -> Array:
        alpha, sigma = level
        if sigma == 0.0:
            return np.full_like(self.variances, 1 / alpha)
        return alpha * self.variances / (alpha**2 * self.variances + sigma**2)


class _Coordinates(GaussianDenoiser):
    """A Gaussian whose latents are its coordinates already."""

    @lazy
    def center(self) -> Array:
        """The mean as it is."""
        return self.mean


def side_by_side(denoisers: Sequence[GaussianDenoiser]) -> GaussianDenoiser:
    """The denoiser of several Gaussians' coordinates one after the other, for what maps coordinates alone: a run of
    many steps is compiled for all at once."""
    center, variances = (np.concatenate([getattr(d, name) for d in denoisers]) for name in ("center", "variances"))
    return _Coordinates(center, variances, np.empty((0, 0)))


def eigen_of_factors(factors: Array) -> tuple[Array, Array]:
    """Eigenvalues (s, r) of ``F_j F_j'`` for factors (s, k, r), increasing, and eigenvectors (s, k, r) in columns. ``F'
    F = V s^2 V'`` and ``U = F V / s``. Where s is zero, so is the column."""
    exact = factors.astype(np.float64)
    with one_thread():
        values, rotation = np.linalg.eigh(exact.swapaxes(1, 2) @ exact)
    values = np.where(values > _ROUNDING * values[:, -1:], values, 0.0)
    scale = np.divide(1.0, np.sqrt(values), out=np.zeros_like(values), where=values > 0)
    basis: Array = (exact @ (rotation * scale[:, None, :])).astype(factors.dtype)
    return values, basis


def mixed(gaussians: Sequence[GaussianDenoiser], weights: Array) -> GaussianDenoiser:
    """The denoiser of a mix of prompts, of weights (p,) that sum to 1: means and covariances are linear in the code.

    >>> two = [GaussianDenoiser(np.array([m]), np.array([v]), np.eye(1)) for m, v in ((0.0, 1.0), (4.0, 3.0))]
    >>> half = mixed(two, np.array([0.5, 0.5]))
    >>> half.mean, half.variances
    (array([2.]), array([2.]))
    """
    if len(gaussians) == 1:
        return gaussians[0]
    mean = sum(w * g.mean for g, w in zip(gaussians, weights, strict=True))
    if sum(len(g.variances) for g in gaussians) < len(mean):
        roots = [np.sqrt(w * g.variances) * g.basis for g, w in zip(gaussians, weights, strict=True)]
        return GaussianDenoiser.from_factor(mean, np.hstack(roots).astype(np.float64))
    return GaussianDenoiser.from_covariance(
        mean, sum(w * g.covariance for g, w in zip(gaussians, weights, strict=True))
    )


def to_basis(denoiser: LinearDenoiser, z: Array) -> Array:
    """Latents (n, k) in a denoiser's coordinates (n, r)."""
    return z if denoiser.basis is None else z @ denoiser.basis


def from_basis(denoiser: LinearDenoiser, y: Array) -> Array:
    """Coordinates (n, r) as latents (n, k), with what z_0 is beside the basis."""
    return y if denoiser.basis is None else y @ denoiser.basis.T + denoiser.beside


def in_latent(law: AffineMap, denoiser: LinearDenoiser) -> AffineMap:
    """A noise-free diagonal map in a denoiser's coordinates as a full map on latents."""
    basis = denoiser.basis
    if basis is None:
        return law
    return AffineMap((basis * law.matrix) @ basis.T, basis @ law.shift + denoiser.beside)


def eps_hat(denoiser: Denoiser, z_t: Array, level: Level) -> Array:
    """Predicted noise of noisy latents (n, k), ``(z_t - alpha z0_hat) / sigma``.

    >>> prior = GaussianDenoiser(np.zeros(1), np.array([3.0]), np.eye(1))
    >>> eps_hat(prior, np.array([[4.0]]), Level(alpha=1.0, sigma=1.0))
    array([[1.]])
    """
    return (z_t - level.alpha * denoiser.z0(level)(z_t)) / level.sigma
