"""The article's bilinear regression on any code of the prompt, which `words.py` compares with.

    eps_hat = W_t' (1c (x) (1, z_t)),    W_z(t) = Q sigma / (alpha^2 lambda + sigma^2) Q' (E[u] (x) I)

With codes whitened, ``E[u u'] = I``, the normal equations ``A_t W_t = B_t`` fall apart: eliminate the part
``u (x) 1``, and one eigendecomposition ``Q lambda Q'`` of what is left of the moments of ``u (x) z`` serves all levels
(docs/mathematics.md, "Words"). For a one-hot code it is each prompt's Wiener filter. For words that are not saturated
its matrix is not symmetric, so that it is the denoiser of no Gaussian: it has no density, no exact map and no
posterior, and what a run ends at depends on its steps. How well it draws is measured in docs/words.md.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from linear_diffusion.affine import AffineMap
from linear_diffusion.denoiser.conditional import whiten
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.noise import Level
from linear_diffusion.utils.threads import one_thread
from linear_diffusion.utils.types import Array


@dataclass(frozen=True)
class BilinearDenoiser:
    """The bilinear regression's denoiser of one prompt, or of a list of them.

    Parameters
    ----------
    u : array of shape (..., r)
        Whitened codes of the prompts.
    mean_u : array of shape (r,)
        ``E[u]``.
    cross : array of shape (r, r, k)
        ``E[u (x) u (x) z]``.
    values : array of shape (r k,)
        lambda.
    vectors : array of shape (r k, r k)
        Q.
    """

    u: Array
    mean_u: Array
    cross: Array
    values: Array
    vectors: Array
    basis: None = None

    @classmethod
    def of(cls, latents: Moments, codes: Array, asked: Array) -> "BilinearDenoiser":
        """Fit to the moments of latents of p prompts; memory is ``(r k)^2`` numbers.

        Parameters
        ----------
        latents : Moments
        codes : array of shape (p, q)
        asked : array of shape (m, q)
            Codes of the prompts that the denoiser is for, which need not be among them.
        """
        whitening = whiten(codes, latents.weights)
        u, own = ((whitening[0] + c @ whitening[1:]) for c in (codes, asked))
        weighted, (r, k) = u * latents.weights[:, None], (u.shape[1], latents.means.shape[1])
        cross = np.einsum("pa,pb,pk->abk", weighted, u, latents.means, optimize=True)
        second = latents.covariances + latents.means[:, :, None] * latents.means[:, None, :]
        outer = (weighted[:, :, None] * u[:, None, :]).reshape(len(u), -1)
        moment = (outer.T @ second.reshape(len(u), -1)).reshape(r, r, k, k).transpose(0, 2, 1, 3)
        flat = cross.reshape(r, r * k)  # E[u (u (x) z)']
        with one_thread():
            values, vectors = np.linalg.eigh(moment.reshape(r * k, r * k) - flat.T @ flat)
        return cls(own, weighted.sum(axis=0), cross, np.clip(values, 0.0, None), vectors)

    def __getitem__(self, prompt: Any) -> "BilinearDenoiser":
        return BilinearDenoiser(self.u[prompt], self.mean_u, self.cross, self.values, self.vectors)

    def z0_map(self, level: Level) -> AffineMap:
        """z0_hat = (z_t - sigma eps_hat) / alpha, written without the division; ``E[u]' u = 1`` for every code."""
        (r, _, k), (alpha, sigma) = self.cross.shape, level
        spread = alpha**2 * self.values + sigma**2
        seen = spread > 0
        vectors = self.vectors.reshape(r, k, -1)
        right = np.einsum("a,akm->km", self.mean_u, vectors)  # (E[u] (x) I)' Q

        def blocks(weight: Array) -> Array:
            """``(E[u] (x) I)' Q weight Q'``, shape (r, k, k)."""
            weight = np.divide(weight, spread, out=np.zeros_like(spread), where=seen)
            product: Array = np.einsum("km,alm->akl", right * weight, vectors, optimize=True)
            return product

        gain = np.tensordot(self.u, blocks(alpha * self.values), axes=1)
        mean = np.tensordot(self.u, self.cross, axes=1)  # E[u (x) z] u, shape (..., r, k)
        return AffineMap(gain, np.einsum("akl,...al->...k", blocks(np.full_like(spread, sigma**2)), mean))
