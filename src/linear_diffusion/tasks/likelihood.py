"""Likelihood: log p(x | prompt), exactly.

    x | c ~ N(mean + std V' mu_c,  std (V' S_c V + tau_c^2 (I - V' V)) std)

The variance that the encoder discards is spread evenly over the directions that it discards (probabilistic PCA, Tipping
and Bishop 1999, eq. 5 to 8), so that images have a density, before the tone curve (DESIGN 3.7).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from .._types import AnyArray, Array
from ..denoiser import GaussianDenoiser
from ..image import PCAEncoder, noise_floor


@dataclass(frozen=True)
class PixelDensity:
    """The Gaussian density of one prompt's pixels, with or without noise added to them.

    Parameters
    ----------
    encoder : PCAEncoder
    mean : array of shape (d,)
        In standardised pixels, about the encoder's mean.
    covariance : array of shape (k, k)
        Of the components.
    tau2 : float
        Variance of each discarded direction.
    """

    encoder: PCAEncoder
    mean: Array
    covariance: Array
    tau2: float

    def evidence(self, rows: AnyArray, noise_std: float = 0.0) -> tuple[Array, Array]:
        """Log-density of pixels with noise N(0, noise_std^2 I), and its gradient.

        Parameters
        ----------
        rows : array of shape (n, d)
        noise_std : float
            In the units of pixels.

        Returns
        -------
        log_density : array of shape (n,)
            In nats.
        score : array of shape (n, d)
            Gradient of the log-density in pixels.
        """
        V, std, k = self.encoder.components, self.encoder.std, len(self.covariance)
        b = (rows.astype(np.float64) - self.encoder.mean) / std - self.mean
        # Covariance A + V' B V with diagonal A, by the matrix inversion lemma (Woodbury), which never inverts B.
        A = self.tau2 + (noise_std / std) ** 2
        B = self.covariance - self.tau2 * np.eye(k)
        inner = np.eye(k) + B @ (V / A) @ V.T
        Ab = b / A
        precise = Ab - (Ab @ V.T) @ np.linalg.solve(inner, B).T @ V / A  # inverse covariance times b
        log_det = np.log(A).sum() + np.linalg.slogdet(inner)[1] + 2 * np.log(std).sum()
        log_density = -0.5 * (np.einsum("nd,nd->n", b, precise) + log_det + len(std) * np.log(2 * np.pi))
        return log_density, -precise / std


def densities(encoder: PCAEncoder, prior: GaussianDenoiser, residual: Array) -> list[PixelDensity]:
    """The pixel densities of all prompts.

    Parameters
    ----------
    encoder : PCAEncoder
    prior : GaussianDenoiser
        Of p prompts.
    residual : array of shape (p,)
        Mean squared length of what the encoder discards, by prompt.
    """
    k, d = encoder.components.shape
    floor = noise_floor(encoder)
    tau2 = np.maximum(residual / max(d - k, 1), floor)
    variances = np.maximum(prior.variances / encoder.scale**2, floor)
    covariances = (prior.basis * variances[:, None, :]) @ prior.basis.swapaxes(-1, -2)
    means = prior.means @ encoder.components / encoder.scale
    return [PixelDensity(encoder, m, c, float(t)) for m, c, t in zip(means, covariances, tau2, strict=True)]


def log_densities(prompts: Sequence[PixelDensity], rows: AnyArray, noise_std: float = 0.0) -> Array:
    """Log-density of each image under each prompt, shape (n, p), in nats."""
    out = np.empty((len(rows), len(prompts)))
    for start in range(0, len(rows), 4096):
        part = slice(start, start + 4096)
        for j, density in enumerate(prompts):
            out[part, j] = density.evidence(rows[part], noise_std)[0]
    return out


def marginal_log_density(log_density: Array, weights: Array) -> Array:
    """``log sum_c w_c p(x | c)`` from log-densities (n, p), shape (n,)."""
    total: Array = logsumexp(log_density + np.log(weights), axis=1)
    return total
