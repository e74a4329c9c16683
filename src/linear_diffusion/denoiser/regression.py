"""Regression on drawn noise: the article's way to train, which converges to the exact denoiser.

    z0_hat = E[z] + A_t (z_t - E[z_t]),     A_t = Cov[z, z_t] Cov[z_t]^+,     z_t = alpha z + sigma eps

Second moments of (z, eps) over drawn noise give the regression at any level. With those of exact noise, 0 and I beside
S_c, it is the Gaussian denoiser. Drawn noise tells no density and no exact flow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..noise import Level
from ..text.mixes import Mix
from ..text.prompts import OneHotEncoder
from ..utils.arrays import Kept, kept, sums_to_one
from ..utils.types import Array
from .affine import AffineMap
from .law import Law
from .prior import Part, Prior


@dataclass(frozen=True)
class RegressionDenoiser:
    """The denoiser of one prompt that least squares finds from means (2 k,) and covariances (2 k, 2 k) of drawn (z,
    eps)."""

    means: Array
    covariances: Array
    basis: None = None
    beside: float = 0.0

    def z0_map(self, level: Level) -> AffineMap:
        """Regression of z on z_t = alpha z + sigma eps, the minimum-norm solution as in LinearRegression."""
        k = len(self.means) // 2
        mix = np.hstack([level.alpha * np.eye(k), level.sigma * np.eye(k)])  # (z, eps) -> z_t
        cross = self.covariances[:k] @ mix.T
        gain = cross @ np.linalg.pinv(mix @ self.covariances @ mix.T, hermitian=True)
        return AffineMap(gain, self.means[:k] - gain @ (mix @ self.means))

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to z0_hat."""
        return self.z0_map(level)


@dataclass(frozen=True)
class RegressionPrior(Kept, Prior):
    """What sampled training finds of p prompts: means and covariances of drawn (z, eps); no density."""

    text: OneHotEncoder
    weights: Array = kept("p", sums_to_one)
    joint_means: Array = kept("p 2k")
    joint_covariances: Array = kept("p 2k 2k")
    has_density = False

    @property
    def means(self) -> Array:
        """Mean latent of each prompt, shape (p, k)."""
        return self.joint_means[:, : self._k]

    @property
    def covariances(self) -> Array:
        """Covariance of each prompt's latents, shape (p, k, k)."""
        return self.joint_covariances[:, : self._k, : self._k]

    def variance_of(self, prompt: int) -> float:
        return float(np.trace(self.covariances[prompt]))

    def law(self, prompt: int) -> Law:
        """Not known: drawn noise tells no density."""
        raise AttributeError("sampled training knows no law of a prompt.")

    def reach(self, deviations: float) -> float:
        return float(np.abs(self.joint_means).max() + deviations * np.sqrt(np.abs(self.joint_covariances).max()))

    def style_means_of(self, prompt: int) -> Array:
        return self.means[[prompt]]

    def components(self, prompt: int) -> Any:
        return RegressionComponents(self.means[[prompt]])

    def component(self, parts: Sequence[Part]) -> RegressionDenoiser:
        return self.gaussian(tuple((part.prompt, part.weight) for part in parts))

    def gaussian(self, mix: Mix) -> RegressionDenoiser:
        # moments are linear in the code
        means = sum(weight * self.joint_means[j] for j, weight in mix)
        return RegressionDenoiser(np.asarray(means), sum(weight * self.joint_covariances[j] for j, weight in mix))

    def pooled(self) -> RegressionDenoiser:
        # the variance between prompts is added to that within
        within, mean = np.tensordot(self.weights, self.joint_covariances, 1), self.weights @ self.joint_means
        apart = self.joint_means - mean
        return RegressionDenoiser(mean, within + (self.weights * apart.T) @ apart)

    @property
    def _k(self) -> int:
        return int(self.joint_means.shape[1]) // 2


@dataclass(frozen=True)
class RegressionComponents:
    """The one component of a prompt; see `law.Mixture`."""

    means: Array

    def nearest(self, mean: Array) -> int:
        """The only one."""
        return 0

    def responsibilities(self, z: Array, level: Level) -> Array:
        """Certain."""
        return np.ones((len(z), 1))
