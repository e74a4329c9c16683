"""Denoiser: moments -> the best guess of image and noise at any level.

    eps_hat = sigma (alpha^2 S_c + sigma^2 I)^-1 (z_t - alpha mu_c)        the prompt's Wiener filter
    z0_hat  = mu_c + alpha S_c (alpha^2 S_c + sigma^2 I)^-1 (z_t - alpha mu_c)

This is the place of the U-Net: a linear regression from [1, z_t, c, c (x) z_t] to the noise. Since the noise is
independent of everything, its normal equations are known at every level from the second moments of the clean
latents, and for a one-hot code they fall apart into one Wiener filter per prompt (docs/mathematics.md, "Training" and
"The denoiser").
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from ._threads import one_thread
from ._types import Array
from .affine import AffineMap
from .noise import Level


class Denoiser(Protocol):
    """What a sampler's loop asks of a denoiser."""

    @property
    def basis(self) -> Array | None:
        """Orthogonal columns, shape (..., k, k), that z is written in; None is the latent's own."""

    def z0_map(self, level: Level) -> Callable[[Any], Any]:
        """The function from z_t to z0_hat = E[z | z_t]."""


class LinearDenoiser(Denoiser, Protocol):
    """A denoiser that is an affine map at each level, so that a run can be compiled; of one prompt or many."""

    def z0_map(self, level: Level) -> AffineMap:
        """The map from z_t to z0_hat = E[z | z_t]."""

    def __getitem__(self, prompt: Any) -> "LinearDenoiser":
        """The denoiser of one prompt, or of a list of them."""


def to_basis(basis: Array | None, z: Array) -> Array:
    """Latents (n, k) in the coordinates of a basis."""
    return z if basis is None else z @ basis


def from_basis(basis: Array | None, z: Array) -> Array:
    """The inverse of `to_basis`."""
    return z if basis is None else z @ basis.swapaxes(-1, -2)


def eps_hat(denoiser: Denoiser, z_t: Array, level: Level) -> Array:
    """Predicted noise of one prompt's noisy latents, ``(z_t - alpha z0_hat) / sigma``.

    Parameters
    ----------
    denoiser : Denoiser
        Of one prompt: ``denoiser[j]``.
    z_t : array of shape (n, k)
    level : Level
        With sigma above 0.

    Examples
    --------
    >>> prior = GaussianDenoiser(np.zeros(1), np.array([3.0]), np.eye(1))
    >>> eps_hat(prior, np.array([[4.0]]), Level(alpha=1.0, sigma=1.0))
    array([[1.]])
    """
    y = to_basis(denoiser.basis, z_t)
    return from_basis(denoiser.basis, (y - level.alpha * denoiser.z0_map(level)(y)) / level.sigma)


@dataclass(frozen=True)
class GaussianDenoiser:
    """The exact denoiser of Gaussian prompts; one eigendecomposition serves all levels.

    Parameters
    ----------
    means : array of shape (..., k)
    variances : array of shape (..., k)
        Eigenvalues of the covariances, all >= 0.
    basis : array of shape (..., k, k)
        Eigenvectors in columns.
    """

    means: Array
    variances: Array
    basis: Array

    @classmethod
    def from_covariances(cls, means: Array, covariances: Array) -> Self:
        """Decompose covariances of shape (..., k, k); what rounding left below zero is zero."""
        with one_thread():
            variances, basis = np.linalg.eigh(covariances)
        return cls(means, np.clip(variances, 0.0, None), basis)

    def __getitem__(self, prompt: Any) -> "GaussianDenoiser":
        return GaussianDenoiser(self.means[prompt], self.variances[prompt], self.basis[prompt])

    @property
    def covariances(self) -> Array:
        """Shape (..., k, k)."""
        covariances: Array = (self.basis * self.variances[..., None, :]) @ self.basis.swapaxes(-1, -2)
        return covariances

    def z0_map(self, level: Level) -> AffineMap:
        """z0_hat in the eigenbasis; finite at alpha = 0, where it is the mean."""
        alpha, sigma = level
        if sigma == 0.0:
            return AffineMap(np.full_like(self.variances, 1 / alpha), np.zeros_like(self._center))
        gain = alpha * self.variances / (alpha**2 * self.variances + sigma**2)
        return AffineMap(gain, (1 - alpha * gain) * self._center)

    def marginal(self, level: Level) -> AffineMap:
        """The law of z_t, ``N(alpha mu, alpha^2 S + sigma^2 I)``, as a map from standard normal noise."""
        alpha, sigma = level
        return AffineMap(np.sqrt(alpha**2 * self.variances + sigma**2), alpha * self._center)

    def flow_map(self, t: Level, s: Level) -> AffineMap:
        """The exact solution of the probability-flow ODE from level t to level s.

        See docs/mathematics.md, "The exact sampler".

        It carries the marginal at t to the marginal at s, coordinate by coordinate. A dimension without variance
        has no flow from a level without noise; there it is the mean.
        """
        source, target = self.marginal(t), self.marginal(s)
        scale = np.divide(target.matrix, source.matrix, out=np.zeros_like(source.matrix), where=source.matrix > 0)
        return AffineMap(scale, target.shift - scale * source.shift)

    @property
    def _center(self) -> Array:
        return (self.means[..., None, :] @ self.basis)[..., 0, :]


@dataclass(frozen=True)
class RegressionDenoiser:
    """The denoiser that ordinary least squares finds from drawn noise: the article's way.

    Parameters
    ----------
    means : array of shape (..., 2 k)
        Means of (z, eps) over the training draws.
    covariances : array of shape (..., 2 k, 2 k)
        Their covariances. With those of the exact noise (0 and I beside S_c) this is the Gaussian denoiser.
    """

    means: Array
    covariances: Array
    basis: None = None

    @classmethod
    def from_covariances(cls, means: Array, covariances: Array) -> Self:
        """As `GaussianDenoiser.from_covariances`, of (z, eps)."""
        return cls(means, covariances)

    def __getitem__(self, prompt: Any) -> "RegressionDenoiser":
        return RegressionDenoiser(self.means[prompt], self.covariances[prompt])

    def z0_map(self, level: Level) -> AffineMap:
        """Regression of z on z_t = alpha z + sigma eps, the minimum-norm solution as in LinearRegression."""
        k = self.means.shape[-1] // 2
        mix = np.hstack([level.alpha * np.eye(k), level.sigma * np.eye(k)])  # (z, eps) -> z_t
        cross = self.covariances[..., :k, :] @ mix.T
        gain = cross @ np.linalg.pinv(mix @ self.covariances @ mix.T, hermitian=True)
        shift = self.means[..., :k] - (gain @ (mix @ self.means[..., None]))[..., 0]
        return AffineMap(gain, shift)


class Moments(Protocol):
    """A linear denoiser by the moments that it is made of, of one prompt or many."""

    @property
    def means(self) -> Array:
        """Shape (..., k)."""

    @property
    def covariances(self) -> Array:
        """Shape (..., k, k)."""

    @classmethod
    def from_covariances(cls, means: Array, covariances: Array) -> Self:
        """The denoiser of such moments."""


Prior = TypeVar("Prior", bound=Moments)


def mixed(prompts: Prior, weights: Array) -> Prior:
    """The denoiser of a weighted mix of prompts: means and covariances are linear in the code.

    See docs/mathematics.md, "The denoiser".

    Parameters
    ----------
    prompts : GaussianDenoiser or RegressionDenoiser
        Of p prompts.
    weights : array of shape (..., p)
        Summing to 1 over p; leading axes are mixes.

    Examples
    --------
    >>> two = GaussianDenoiser(np.array([[0.0], [4.0]]), np.array([[1.0], [3.0]]), np.ones((2, 1, 1)))
    >>> half = mixed(two, np.array([0.5, 0.5]))
    >>> half.means, half.variances
    (array([2.]), array([2.]))
    """
    return type(prompts).from_covariances(weights @ prompts.means, np.tensordot(weights, prompts.covariances, 1))


def pooled(prompts: Prior, weights: Array) -> Prior:
    """The denoiser of all prompts together, as one Gaussian: the variance between prompts is added to that within.

    Parameters
    ----------
    prompts : GaussianDenoiser or RegressionDenoiser
        Of p prompts.
    weights : array of shape (p,)
        Their frequencies, summing to 1.

    Examples
    --------
    >>> two = GaussianDenoiser(np.array([[0.0], [4.0]]), np.array([[1.0], [3.0]]), np.ones((2, 1, 1)))
    >>> both = pooled(two, np.array([0.5, 0.5]))
    >>> both.means, both.variances
    (array([2.]), array([6.]))
    """
    within = np.tensordot(weights, prompts.covariances, 1)
    mean = weights @ prompts.means
    apart = prompts.means - mean
    return type(prompts).from_covariances(mean, within + (weights * apart.T) @ apart)
