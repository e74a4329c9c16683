"""Styles: a prompt as many linear pieces (docs/mathematics.md, "Styles").

    z | c ~ sum_j w_j N(mu_j, Q_c diag(v_c) Q_c' + F_j F_j')

A style is a hidden second token: images of a prompt that look alike. Its covariance is of low rank (F_j, how images
vary within the style and its neighbours) plus what all styles of the prompt share. Means and factors are kept in the
prompt's shared basis Q_c, where every style is diagonal plus low rank. How styles are found is in `clusters`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from ._lazy import lazy
from ._threads import in_parallel, one_thread
from ._types import Array, Index
from .denoiser import GaussianDenoiser
from .noise import CLEAN, Level

_WIDEST = 6.0
"""What the own directions' variance is multiplied by at most, where most variance lies off them."""
LEAST = float(np.finfo(np.float32).tiny)
"""Least shared variance, where all images are one: what float32 can still divide by the root of."""
LOCAL_DIM = 216
"""Leading dimensions of latents in which what is near is told from what is far; see `tasks.local`."""
REMAINDER = 0.02
"""Share of the variance off a style's own directions that samples keep; see `Styles.sharpened`."""


@dataclass(frozen=True)
class Styles:
    """A mixture of m linear pieces for p prompts.

    Parameters
    ----------
    owner : array of int, shape (m,)
        Prompt of each style, increasing.
    group : array of int, shape (m,)
        Styles that look most alike, and share a tone curve; increasing.
    shares : array of shape (m,)
        Frequency of a style within its prompt.
    means : array of shape (m, k)
        In the prompt's basis.
    factors : array of shape (m, k, r), float32
        In the prompt's basis.
    basis : array of shape (p, k, k)
        Shared basis of each prompt, in columns.
    variances : array of shape (p, k)
        Shared variances along it, above zero.
    """

    owner: Index
    group: Index
    shares: Array
    means: Array
    factors: Array
    basis: Array
    variances: Array

    def of(self, prompt: int) -> Index:
        """Positions of a prompt's styles."""
        return np.arange(*np.searchsorted(self.owner, [prompt, prompt + 1]))

    @property
    def group_owner(self) -> Index:
        """Prompt of each group."""
        owner: Index = self.owner[np.unique(self.group, return_index=True)[1]]
        return owner

    def only(self, prompt: int) -> "Styles":
        """The styles of one prompt, as of the only one."""
        own = self.of(prompt)
        return Styles(
            owner=np.zeros(len(own), np.intp),
            group=self.group[own] - self.group[own[0]],
            shares=self.shares[own],
            means=self.means[own],
            factors=self.factors[own],
            basis=self.basis[prompt : prompt + 1],
            variances=self.variances[prompt : prompt + 1],
        )

    def sharpened(self) -> "Styles":
        """The mixture that samples are drawn from: variance off the styles' own directions moves into them.

        What is left outside a style's own directions is not noise in real images but follows from the rest in ways
        that no linear model sees. Drawn as noise it frays strokes. As low temperatures and the truncation trick of
        generative networks do (Brock et al. 2019), samples keep next to nothing of it, `REMAINDER`; the total variance
        of a style stays.
        """
        off = self.variances.sum(axis=1)[self.owner]
        own = (self.factors.astype(np.float64) ** 2).sum(axis=(1, 2))
        wider = 1 + (1 - REMAINDER) * np.divide(off, own, out=np.zeros_like(off), where=own > 0)
        factors = self.factors * np.sqrt(np.minimum(wider, _WIDEST)).astype(np.float32)[:, None, None]
        return replace(self, variances=REMAINDER * self.variances, factors=factors)

    def widened(self, calibration: "Calibration") -> "Styles":
        """The same with other means, and deviations from them scaled along the prompt's basis."""
        gain = calibration.gain
        factors = self.factors * gain[self.owner].astype(np.float32)[:, :, None]
        variances = np.maximum(self.variances * gain**2, LEAST)
        return replace(self, variances=variances, factors=factors, means=calibration.means)

    def shared_root(self, prompt: int, dtype: type[np.floating] = np.float64) -> Array:
        """``(Q D Q')^(1/2)``, the symmetric root of what a prompt's styles share, on latents; shape (k, k)."""
        q, std = self.basis[prompt].astype(dtype), np.sqrt(self.variances[prompt]).astype(dtype)
        root: Array = (q * std) @ q.T
        return root

    def correlating(self, own: Index, dtype: type[np.floating] = np.float64) -> Callable[[int, Array], Array]:
        """For some of a prompt's styles: ``(i, eps (n, k)) ->`` what `shared_root` makes style own[i]'s deviation of.

        The covariance ``Q (D + F F') Q'`` has the root ``shared_root (I + A M A')`` with ``A = Q D^(-1/2) F``, which
        takes k numbers of noise and two thin products. Noise is drawn for latents, not for the columns of Q: rounding,
        which differs from one processor to another, turns columns whose variances are close, and this root not.
        """
        c, (s, k, r) = self.owner[own[0]], (len(own), *self.factors.shape[1:])
        scaled = self.factors[own].astype(dtype) / np.sqrt(self.variances[c]).astype(dtype)[:, None]
        side_by_side = self.basis[c].astype(dtype) @ scaled.swapaxes(0, 1).reshape(k, s * r)
        a = np.ascontiguousarray(side_by_side.reshape(k, s, r).swapaxes(0, 1))  # (s, k, r)
        mixing = self._mixing[own].astype(dtype)

        def correlate(i: int, eps: Array) -> Array:
            result: Array = eps + (eps @ a[i]) @ mixing[i] @ a[i].T
            return result

        return correlate

    def deviate(self, style: int, eps: Array) -> Array:
        """From standard normal noise (n, k) to a style's deviation from its mean, on latents."""
        dtype = eps.dtype.type
        correlated = self.correlating(np.array([style]), dtype)(0, eps)
        deviation: Array = correlated @ self.shared_root(int(self.owner[style]), dtype)
        return deviation

    @lazy
    def _mixing(self) -> Array:
        """M of `correlating`: ``V (sqrt(1 + s^2) - 1) / s^2 V'`` from ``A' A = V s^2 V'``, shape (m, r, r)."""
        a = self.factors / np.sqrt(self.variances)[self.owner][..., None]
        with one_thread():
            s2, v = np.linalg.eigh(a.swapaxes(1, 2) @ a)
        gain = 1 / (np.sqrt(1 + np.clip(s2, 0.0, None)) + 1)  # (sqrt(1 + s2) - 1) / s2, also where s2 is 0
        mixing: Array = (v * gain[:, None, :]) @ v.swapaxes(1, 2)
        return mixing

    def gaussian(self, style: int) -> GaussianDenoiser:
        """The exact denoiser of one style, on latents."""
        c = self.owner[style]
        factor = self.factors[style].astype(np.float64)
        with one_thread():
            variances, vectors = np.linalg.eigh(np.diag(self.variances[c]) + factor @ factor.T)
        variances = np.maximum(variances, self.variances[c].min())  # rounding takes small ones below zero
        return GaussianDenoiser(self.basis[c] @ self.means[style], variances, self.basis[c] @ vectors)

    def start(self, style: int, eps: Array, prior: GaussianDenoiser) -> Array:
        """Noise turned (by an orthogonal matrix) so that samplers come from it to what `deviate` makes of it.

        Parameters
        ----------
        eps : array of shape (n, k)
        prior : GaussianDenoiser
            What `gaussian` gives for the style.
        """
        turned: Array = (self.deviate(style, eps) @ prior.basis / np.sqrt(prior.variances)) @ prior.basis.T
        return turned

    @lazy
    def orthonormal_basis(self) -> Array:
        """The basis, put right where single precision left it all but orthonormal.

        One step of Newton and Schulz (Higham 2008, "Functions of Matrices", eq. 8.20) squares how far off it is.
        """
        return np.stack(in_parallel(lambda q: 1.5 * q - 0.5 * q @ (q.T @ q), self.basis))

    @lazy
    def leading(self) -> Array:
        """Factors along the first `LOCAL_DIM` dimensions of latents, in rows, shape (m, r, q)."""
        k, bases = self.factors.shape[1], self.orthonormal_basis.astype(np.float32)

        def one(prompt: int) -> Array:
            rows = np.ascontiguousarray(self.factors[self.of(prompt)].swapaxes(1, 2))
            return (rows.reshape(-1, k) @ bases[prompt, :LOCAL_DIM].T).reshape(*rows.shape[:2], -1)

        return np.concatenate(in_parallel(one, range(len(self.basis))))

    def pixel_moments(self, prompt: int, to_pixels: Array) -> tuple[Array, Array]:
        """Mean (s, d), less the encoder's, and variance (s, d) of decoded pixels, of each of a prompt's styles."""
        own, gain = self.of(prompt), self.basis[prompt].T @ to_pixels
        shared, (n_own, k, r) = self.variances[prompt] @ gain**2, self.factors[own].shape
        along = self.factors[own].swapaxes(1, 2).reshape(-1, k) @ gain.astype(np.float32)  # (s r, d)
        along *= along
        return self.means[own] @ gain, shared + along.reshape(n_own, r, -1).sum(axis=1)

    def evidence(self, prompt: int, y: Array, level: Level) -> tuple[Array, list[Array]]:
        """Log-density of noisy latents under each of a prompt's styles, and what its gradient is made of.

        Parameters
        ----------
        y : array of shape (n, k)
            Latents in the prompt's basis.
        level : Level
            With ``z_t ~ N(alpha mu_j, alpha^2 (D + F F') + sigma^2 I)``.

        Returns
        -------
        log_density : array of shape (n, s)
        precise : list of s arrays of shape (n, k)
            Inverse covariance times what ``z_t`` differs from the mean, by the matrix inversion lemma.
        """
        spread = level.alpha**2 * self.variances[prompt] + level.sigma**2
        logs, precise = [], []
        for j in self.of(prompt):
            b = y - level.alpha * self.means[j]
            f = level.alpha * self.factors[j].astype(np.float64)
            scaled = f / spread[:, None]
            inner = np.eye(f.shape[1]) + f.T @ scaled
            p = b / spread - (b @ scaled) @ np.linalg.solve(inner, scaled.T)
            log_det = np.log(spread).sum() + np.linalg.slogdet(inner)[1]
            logs.append(-0.5 * (np.einsum("nk,nk->n", b, p) + log_det + len(spread) * np.log(2 * np.pi)))
            precise.append(p)
        return np.stack(logs, axis=1), precise


@dataclass(frozen=True)
class Calibration:
    """How the law that samples are drawn from differs from that of the latents; see `calibration`.

    Parameters
    ----------
    gain : array of shape (p, k)
        Of standard deviations along each prompt's basis.
    means : array of shape (m, k)
        Of the styles, in the prompts' bases.
    """

    gain: Array
    means: Array


@dataclass(frozen=True)
class MixtureDenoiser:
    """The optimal denoiser of a prompt whose style is not known: exact, and no longer linear.

    Each style's linear denoiser counts as much as the style makes the noisy latent likely (a softmax), in the prompt's
    basis.
    """

    styles: Styles
    prompt: int

    @property
    def basis(self) -> Array:
        """The prompt's basis, shape (k, k)."""
        basis: Array = self.styles.basis[self.prompt]
        return basis

    def z0_map(self, level: Level) -> Callable[[Array], Array]:
        """The function from z_t (n, k) to z0_hat = E[z | z_t], in the prompt's basis."""
        return lambda y: self._z0(y, level)

    def responsibilities(self, y: Array, level: Level) -> Array:
        """How likely each style is, given noisy latents; shape (n, s)."""
        own = self.styles.of(self.prompt)
        log_density, _ = self.styles.evidence(self.prompt, y, level)
        likely: Array = softmax(log_density + np.log(self.styles.shares[own]), axis=1)
        return likely

    def group(self, z: Array) -> Index:
        """The group of the style that latents (n, k) most likely have."""
        likely = self.responsibilities(z @ self.basis, CLEAN)
        group: Index = self.styles.group[self.styles.of(self.prompt)][likely.argmax(axis=1)]
        return group

    def _z0(self, y: Array, level: Level) -> Array:
        own = self.styles.of(self.prompt)
        if level.alpha == 0.0:
            return np.broadcast_to(self.styles.shares[own] @ self.styles.means[own], y.shape)
        log_density, precise = self.styles.evidence(self.prompt, y, level)
        likely = softmax(log_density + np.log(self.styles.shares[own]), axis=1)
        mean = np.zeros_like(y)
        for w, p in zip(likely.T, precise, strict=True):
            mean += w[:, None] * p
        return (y - level.sigma**2 * mean) / level.alpha  # Tweedie's formula


def pack_factors(factors: Array) -> tuple[Array, Array]:
    """Factors (m, k, r) in half precision, and each style's unit (powers of two: packing twice changes nothing)."""
    unit = np.exp2(np.ceil(np.log2(np.maximum(np.abs(factors).max(axis=(1, 2)).astype(np.float64), LEAST))))
    return (factors / unit.astype(np.float32)[:, None, None]).astype(np.float16), unit


def unpack_factors(packed: Array, unit: Array) -> Array:
    """The inverse of `pack_factors`, float32."""
    factors: Array = packed.astype(np.float32) * unit.astype(np.float32)[:, None, None]
    return factors
