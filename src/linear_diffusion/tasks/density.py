"""Density: what a fitted model says of pixels, as one mixture of linear components per prompt.

    x = mean + std (U w + e),   w ~ sum_j shares_j N(means_j, F_j F_j'),   e ~ N(0, G)
    G = U diag(v) U' + tau^2 (I - U U')

U holds the principal components in the prompt's basis, and G is shared by the prompt's components: what the encoder
discards is spread evenly over the directions that it discards (probabilistic PCA, Tipping and Bishop 1999, eq. 5 to 8;
docs/mathematics.md, "Styles" and "Likelihood").
A prompt without styles is one component of rank 0. Where what the components share is whitened, each is
``N(m_j, I + A_j A_j')``: `WhiteComponents`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..denoiser.components import WhiteComponents
from ..denoiser.law import Law
from ..denoiser.prior import Prior
from ..image.pca import PCAEncoder, noise_floor
from ..utils.lazy import lazy
from ..utils.threads import in_parallel
from ..utils.types import AnyArray, Array

_KEPT_BYTES, _BLOCK_BYTES = 2**28, 2**28
"""Of densities that are kept from one call to the next, and of those that are asked together."""
_CHUNK, _MOST_PIXELS = 1024, 2**20
"""Images that are worked on together, and the pixels that they have at most."""
LOCAL_DIM = 216
"""Leading dimensions of latents in which what is near is told from what is far; see `tasks.local`."""


@dataclass(frozen=True)
class PromptDensity:
    """The density of one prompt's pixels; all but ``encoder`` in the units of its standardised pixels.

    `basis` (k, k): of the principal components, in columns, so that what the mixture's components share is diagonal;
    `variances` (k,): shared variances along the basis, above zero; `tau2`: variance of each direction that the encoder
    discards, above zero; `shares` (s,): frequency of each component; `means` (s, k): in the basis, about the encoder's
    mean; `factors` (s, k, r): in the basis; `leading` (s, r, q): the same along the first q principal components, in
    rows.
    """

    encoder: PCAEncoder
    basis: Array
    variances: Array
    tau2: float
    shares: Array
    means: Array
    factors: Array
    leading: Array

    @lazy
    def frame(self) -> Array:
        """U', the principal components in the prompt's basis: orthonormal rows, shape (k, d)."""
        return self.basis.T @ self.encoder.components

    def with_noise(self, noise_variance: float) -> "PromptDensity":
        """The same with white noise of a variance on standardised pixels, as part of the images."""
        if noise_variance == 0.0:
            return self
        return replace(self, variances=self.variances + noise_variance, tau2=self.tau2 + noise_variance)

    def widened(self, share: float) -> "PromptDensity":
        """The same with a share of the variances of all images beside, along the basis."""
        return replace(self, variances=self.variances + share * (self.encoder.variances @ self.basis**2))

    @property
    def n_bytes(self) -> int:
        """What it takes in memory, with its frame and the components that it makes."""
        return (
            8 * len(self.basis) * (len(self.basis) + len(self.encoder.mean))
            + 3 * self.factors.nbytes
            + self.leading.nbytes
        )

    @lazy
    def side_by_side(self) -> Array:
        """The factors of all components in columns, shape (k, s, r)."""
        return np.ascontiguousarray(self.factors.swapaxes(0, 1))

    def components(self, noise_variance: float = 0.0, bulk: type[np.floating] = np.float64) -> "WhiteComponents":
        """The components in the basis, where coordinates, with noise, are divided by their shared deviation.
        `noise_variance`: in the units of standardised pixels; `bulk`: precision of products over images."""
        if (found := self._last.get((noise_variance, bulk))) is None:
            std = np.sqrt(self.variances + noise_variance)
            scaled = self.side_by_side / std.astype(self.factors.dtype)[:, None, None]
            whole = lambda dtype: scaled.astype(dtype, copy=False)  # noqa: E731
            found = WhiteComponents.of(self.shares, self.means / std, whole, bulk)
            self._last.clear()
            self._last[noise_variance, bulk] = found
        return found

    @lazy
    def _last(self) -> dict[tuple[float, type[np.floating]], WhiteComponents]:
        """The components that were asked for last."""
        return {}


@dataclass(frozen=True)
class Densities:
    """The pixel densities of all prompts, worked out when they are asked for, and kept where there is room."""

    encoder: PCAEncoder
    prior: Prior

    def of(self, prompts: Sequence[int]) -> list[PromptDensity]:
        """The densities of some prompts."""
        missing = [j for j in prompts if j not in self._kept]
        found = dict(zip(missing, densities(self.encoder, self.prior, missing), strict=True))
        room = _KEPT_BYTES - sum(density.n_bytes for density in self._kept.values())
        for j, density in found.items():
            if (room := room - density.n_bytes) >= 0:
                self._kept[j] = density
        return [found.get(j) or self._kept[j] for j in prompts]

    def all(self) -> list[PromptDensity]:
        """The densities of all prompts at once."""
        return self.of(range(len(self.prior.weights)))

    def blocks(self) -> Iterator[list[PromptDensity]]:
        """The densities of all prompts in turn, as many at once as fit."""
        p, (k, d) = len(self.prior.weights), self.encoder.components.shape
        most = max(_BLOCK_BYTES // (8 * k * (k + d)), 1)
        return (self.of(range(first, min(first + most, p))) for first in range(0, p, most))

    @lazy
    def _kept(self) -> dict[int, PromptDensity]:
        return {}


def densities(encoder: PCAEncoder, prior: Prior, prompts: Sequence[int]) -> list[PromptDensity]:
    """The pixel densities of some prompts. `prompts`: their positions."""
    k, d = encoder.components.shape
    floor = noise_floor(encoder)
    tau2 = np.maximum(prior.residual / max(d - k, 1), floor)

    def one(own: tuple[int, Law]) -> PromptDensity:
        c, law = own
        # Single precision leaves a basis all but orthonormal. One step of Newton and Schulz mends that (Higham 2008,
        # "Functions of Matrices", eq. 8.20).
        basis = 1.5 * law.basis - 0.5 * law.basis @ (law.basis.T @ law.basis)
        factors = law.factors / np.float32(encoder.scale)
        leading = np.ascontiguousarray(factors.swapaxes(1, 2)) @ basis[:LOCAL_DIM].T.astype(np.float32)  # (s, r, q)
        return PromptDensity(
            encoder,
            basis,
            np.maximum(law.variances / encoder.scale**2, floor),
            float(tau2[c]),
            law.shares,
            law.means @ basis / encoder.scale,
            factors,
            leading,
        )

    return in_parallel(one, [(c, prior.law(c)) for c in prompts])  # laws of words are worked out several at once


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
    ``e = x' B^-1 x``, where ``B = S + noise_variance I``, leaving it out makes ``e / (1 - e / n)`` of e, and adds
    ``log(1 - e / n)`` to log det B (Sherman and Morrison 1950). The mean of e follows from the variances alone.

    In the units of standardised pixels.
    """
    v, tau2, n_rest = everything.variances, everything.tau2, len(everything.encoder.mean) - len(everything.variances)
    noise_variance = np.geomspace(noise_floor(everything.encoder), v.max(), 100)[:, None]
    e = np.minimum(
        (v / (v + noise_variance)).sum(axis=1) + n_rest * (tau2 / (tau2 + noise_variance[:, 0])), n_images - 0.5
    )
    log_det = np.log(v + noise_variance).sum(axis=1) + n_rest * np.log(tau2 + noise_variance[:, 0])
    left = 1 - e / n_images
    return float(noise_variance[(e / left + np.log(left) + log_det).argmin(), 0])


def chunks(n: int, d: int) -> Iterator[slice]:
    """Cut n images of d pixels into parts."""
    step = min(_CHUNK, max(_MOST_PIXELS // d, 1))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def coordinates(encoder: PCAEncoder, rows: AnyArray) -> tuple[Array, Array]:
    """Images as principal components (n, k), standardised and about the mean, and what is left of them (n, d)."""
    x = (rows.astype(np.float64) - encoder.mean) / encoder.std
    z = x @ encoder.components.T
    return z, x - z @ encoder.components
