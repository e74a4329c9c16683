"""The article's bilinear regression on any code of the prompt, which `words.py` compares with.

    eps_hat = W_t' (1c (x) (1, z_t)),    W_z(t) = Q sigma / (alpha^2 lambda + sigma^2) Q' (E[u] (x) I)

With codes whitened, ``E[u u'] = I``, the normal equations ``A_t W_t = B_t`` fall apart: eliminate the part
``u (x) 1``, and one eigendecomposition ``Q lambda Q'`` of what is left of the moments of ``u (x) z`` serves all levels
(docs/mathematics.md, "Words"). For a one-hot code it is each prompt's Wiener filter. For words that are not saturated
its matrix is not symmetric, so that it is the denoiser of no Gaussian: it has no density, no exact map and no
posterior, and what a run ends at depends on its steps. How well it draws is measured in docs/words.md.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from linear_diffusion.denoiser.affine import AffineMap
from linear_diffusion.denoiser.conditional import whiten
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.noise import Level
from linear_diffusion.utils.lazy import lazy
from linear_diffusion.utils.threads import one_thread
from linear_diffusion.utils.types import Array


@dataclass(frozen=True, eq=False)
class BilinearRegression:
    """What is learned for all codes.

    Parameters
    ----------
    whitening : array of shape (1 + q, r)
        From ``(1, c)`` to u.
    mean_u : array of shape (r,)
        ``E[u]``.
    cross : array of shape (r, r, k)
        ``E[u (x) u (x) z]``.
    values : array of shape (r k,)
        lambda.
    vectors : array of shape (r k, r k)
        Q.
    """

    whitening: Array
    mean_u: Array
    cross: Array
    values: Array
    vectors: Array

    @classmethod
    def of(cls, latents: Moments, codes: Array) -> "BilinearRegression":
        """Fit to the moments of latents of p prompts, with codes (p, q); memory is ``(r k)^2`` numbers."""
        whitening = whiten(codes, latents.weights)
        u = whitening[0] + codes @ whitening[1:]
        weighted, (r, k) = u * latents.weights[:, None], (u.shape[1], latents.means.shape[1])
        cross = np.einsum("pa,pb,pk->abk", weighted, u, latents.means, optimize=True)
        second = latents.covariances + latents.means[:, :, None] * latents.means[:, None, :]
        outer = (weighted[:, :, None] * u[:, None, :]).reshape(len(u), -1)
        moment = (outer.T @ second.reshape(len(u), -1)).reshape(r, r, k, k).transpose(0, 2, 1, 3)
        flat = cross.reshape(r, r * k)  # E[u (u (x) z)']
        with one_thread():
            values, vectors = np.linalg.eigh(moment.reshape(r * k, r * k) - flat.T @ flat)
        return cls(whitening, weighted.sum(axis=0), cross, np.clip(values, 0.0, None), vectors)

    def denoiser(self, code: Array) -> "BilinearDenoiser":
        """The denoiser of a code (q,), known or not."""
        return BilinearDenoiser(self, self.whitening[0] + code @ self.whitening[1:])

    def blocks(self, level: Level) -> tuple[Array, Array]:
        """``(E[u] (x) I)' Q W Q'`` for the weights of z_t and of the mean at a level, each of shape (r, k, k)."""
        if level not in self._found:
            (r, _, k), (alpha, sigma) = self.cross.shape, level
            spread = alpha**2 * self.values + sigma**2
            vectors = self.vectors.reshape(r, k, -1)
            right = np.einsum("a,akm->km", self.mean_u, vectors)  # (E[u] (x) I)' Q

            def block(weight: Array) -> Array:
                weight = np.divide(weight, spread, out=np.zeros_like(spread), where=spread > 0)
                product: Array = np.einsum("km,alm->akl", right * weight, vectors, optimize=True)
                return product

            self._found[level] = block(alpha * self.values), block(np.full_like(spread, sigma**2))
        return self._found[level]

    @lazy
    def _found(self) -> dict[Level, tuple[Array, Array]]:
        return {}


@dataclass(frozen=True)
class BilinearDenoiser:
    """The regression's denoiser of one prompt, of whitened code u (r,)."""

    regression: BilinearRegression
    u: Array
    basis: None = None
    beside: float = 0.0

    def z0_map(self, level: Level) -> AffineMap:
        """z0_hat = (z_t - sigma eps_hat) / alpha, written without the division; ``E[u]' u = 1`` for every code."""
        of_z, of_mean = self.regression.blocks(level)
        mean = np.tensordot(self.u, self.regression.cross, axes=1)  # E[u (x) z] u, shape (r, k)
        return AffineMap(np.tensordot(self.u, of_z, axes=1), np.einsum("akl,al->k", of_mean, mean))

    def z0(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to z0_hat."""
        return self.z0_map(level)
