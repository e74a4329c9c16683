"""Styles: a prompt as many linear pieces (DESIGN 3.5).

    z | c ~ sum_j w_j N(mu_j, Q_c diag(v_c) Q_c' + F_j F_j')

A style is a hidden second token: images of a prompt that look alike, found by k-means. Its covariance is of low rank
(F_j, how images vary within the style and its neighbours) plus what all styles of the prompt share. Means and factors
are kept in the prompt's shared basis Q_c, where every style is diagonal plus low rank.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
from scipy.special import logsumexp, softmax

from ._threads import one_thread
from ._types import Array, Index
from .denoiser import GaussianDenoiser
from .noise import CLEAN, Level

CANDIDATES = (1, 10, 30, 100, 200)
"""Numbers of styles that the search of "auto" tries."""
CLUSTER_DIM = 50
"""Leading latent dimensions that k-means sees; what lies beyond is detail, not style."""
LEAST_IMAGES = 10
"""Images that a style has at least, on average."""
RANK = 20
"""Directions of a style's own."""
_NEIGHBOURS, _BORROWED, _COMMON = 8, 30.0, 10.0
"""A style's scatter is joined by that of its neighbours, which counts as 30 images, 10 of them the whole prompt's."""
_WIDEST = 2.0
"""What the own directions' variance is multiplied by at most, where most variance lies off them."""
_LEAST = float(np.finfo(np.float32).tiny)
"""Least shared variance, where all images are one: what float32 can still divide by the root of."""
SHARPNESS = 0.35
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
        return np.flatnonzero(self.owner == prompt)

    def sharpened(self) -> "Styles":
        """The mixture that samples are drawn from: variance off the styles' own directions moves into them.

        What is left outside a style's own directions is not noise in real images but follows from the rest in ways
        that no linear model sees. Drawn as noise it frays strokes. As low temperatures and the truncation trick of
        generative networks do (Brock et al. 2019), samples keep a share of it, `SHARPNESS`; the total variance of a
        style stays.
        """
        off = self.variances.sum(axis=1)[self.owner]
        own = (self.factors.astype(np.float64) ** 2).sum(axis=(1, 2))
        wider = 1 + (1 - SHARPNESS) * np.divide(off, own, out=np.zeros_like(off), where=own > 0)
        factors = self.factors * np.sqrt(np.minimum(wider, _WIDEST)).astype(np.float32)[:, None, None]
        return replace(self, variances=SHARPNESS * self.variances, factors=factors)

    def deviate(self, style: int, eps: Array) -> Array:
        """From standard normal noise (n, k) to a style's deviation from its mean, in the prompt's basis.

        The covariance ``D + F F'`` has the root ``D^(1/2) (I + A M A')`` with ``A = D^(-1/2) F``, which takes k numbers
        of noise and two thin products.
        """
        d = np.sqrt(self.variances[self.owner[style]]).astype(eps.dtype)
        a = (self.factors[style] / d[:, None]).astype(eps.dtype)
        result: Array = d * (eps + (eps @ a) @ self._mixing[style].astype(eps.dtype) @ a.T)
        return result

    @cached_property
    def _mixing(self) -> Array:
        """M of `deviate`: ``V (sqrt(1 + s^2) - 1) / s^2 V'`` from ``A' A = V s^2 V'``, shape (m, r, r)."""
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
        variances, vectors = np.linalg.eigh(np.diag(self.variances[c]) + factor @ factor.T)
        return GaussianDenoiser(self.basis[c] @ self.means[style], variances, self.basis[c] @ vectors)

    def start(self, style: int, eps: Array, prior: GaussianDenoiser) -> Array:
        """Noise turned (by an orthogonal matrix) so that samplers come from it to what `deviate` makes of it.

        Parameters
        ----------
        eps : array of shape (n, k)
        prior : GaussianDenoiser
            What `gaussian` gives for the style.
        """
        deviation = self.deviate(style, eps) @ self.basis[self.owner[style]].T
        turned: Array = (deviation @ prior.basis / np.sqrt(prior.variances)) @ prior.basis.T
        return turned

    def pixel_moments(self, prompt: int, to_pixels: Array) -> tuple[Array, Array]:
        """Mean (s, d), less the encoder's, and variance (s, d) of decoded pixels, of each of a prompt's styles."""
        own, gain = self.of(prompt), self.basis[prompt].T @ to_pixels
        shared = self.variances[prompt] @ gain**2
        variances = np.stack([shared + ((f.T @ gain) ** 2).sum(axis=0) for f in self.factors[own]])
        return self.means[own] @ gain, variances

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


def fit_styles(
    z: Array, index: Index, n_prompts: int, n_styles: int | None, floor: float, ridge: float = 0.0, seed: int = 0
) -> tuple[Styles, Index]:
    """Find the styles of each prompt.

    Parameters
    ----------
    z : array of shape (n, k)
        Latents of the training images.
    index : array of int, shape (n,)
        Prompt of each.
    n_prompts : int
    n_styles : int or None
        A prompt's styles at most; never more than one for ten images. None chooses for each prompt, by the likelihood
        of held-out images.
    floor : float
        The least shared variance.
    ridge : float
        Variance added to every dimension.
    seed : int
        Of k-means.

    Returns
    -------
    styles : Styles
    labels : array of int, shape (n,)
        Style of each image.
    """
    parts, labels, n_found, n_groups = [], np.empty(len(z), np.intp), 0, 0
    for j in range(n_prompts):
        members = np.flatnonzero(index == j)
        most = choose_styles(z[members], floor, ridge, seed) if n_styles is None else n_styles
        part, own = fit_prompt(z[members], most, floor, ridge, seed)
        labels[members] = own + n_found
        parts.append(replace(part, owner=part.owner + j, group=part.group + n_groups))
        n_found, n_groups = n_found + len(part.owner), n_groups + int(part.group[-1]) + 1
    joined = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Styles)}
    return Styles(**joined), labels


def fit_prompt(z: Array, n_styles: int, floor: float, ridge: float = 0.0, seed: int = 0) -> tuple[Styles, Index]:
    """The styles of one prompt's latents (n, k), and the style of each image."""
    labels, group = _cluster(z, min(n_styles, max(len(z) // LEAST_IMAGES, 1)), seed)
    with one_thread():
        return _describe(z, labels, group, floor, ridge), labels


def choose_styles(z: Array, floor: float, ridge: float = 0.0, seed: int = 0) -> int:
    """The number of styles, of `CANDIDATES`, under which a held-out sixth of a prompt's latents is most likely."""
    held_out = np.random.default_rng(seed).permutation(len(z)) % 6 == 0
    rest, unseen = z[~held_out], z[held_out].astype(np.float64)
    likely = {1: -np.inf}
    for n_styles in CANDIDATES:
        if n_styles * LEAST_IMAGES <= len(rest):
            styles, _ = fit_prompt(rest, n_styles, floor, ridge, seed)
            log_density, _ = styles.evidence(0, unseen @ styles.basis[0], CLEAN)
            likely[n_styles] = float(logsumexp(log_density + np.log(styles.shares), axis=1).mean())
    return max(likely, key=lambda n: likely[n])


def _describe(z: Array, labels: Index, group: Index, floor: float, ridge: float) -> Styles:
    """Styles of given images: means, own directions, and what they share."""
    counts = np.bincount(labels).astype(np.float64)
    means, scatter = _scatter(z, labels, counts)
    covariances = _borrow(scatter, counts, means)
    directions, values = _leading(covariances, min(RANK, z.shape[1]))
    own = directions * np.sqrt(values)[:, None, :]
    shares = counts / counts.sum()
    rest = np.einsum("s,skl->kl", shares, covariances) - np.einsum("s,skr,slr->kl", shares, own, own, optimize=True)
    variances, basis = np.linalg.eigh(rest.astype(np.float64))
    return Styles(
        owner=np.zeros(len(counts), np.intp),
        group=group,
        shares=shares,
        means=means @ basis,
        factors=(basis.T @ own).astype(np.float32),
        basis=basis[None],
        variances=np.maximum(variances + ridge, max(floor, _LEAST))[None],
    )


def _cluster(z: Array, n_styles: int, seed: int) -> tuple[Index, Index]:
    """Style of each image, and group of each style."""
    from sklearn.cluster import KMeans  # late: it takes as long to import as all else
    from sklearn.exceptions import ConvergenceWarning

    if n_styles == 1:
        return np.zeros(len(z), np.intp), np.zeros(1, np.intp)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different images than styles: less is found
        chosen = KMeans(n_styles, n_init=1, max_iter=25, random_state=seed).fit(
            np.ascontiguousarray(z[:, :CLUSTER_DIM])
        )
    present, labels = np.unique(chosen.labels_, return_inverse=True)
    centers = chosen.cluster_centers_[present]
    n_groups = max(min(len(present) // 3, len(z) // 150), 1)
    group = KMeans(n_groups, n_init=1, random_state=seed).fit_predict(centers)
    order = np.argsort(group, kind="stable")  # styles of a group are neighbours in number as well
    return np.argsort(order)[labels], np.unique(group[order], return_inverse=True)[1]


def _scatter(z: Array, labels: Index, counts: Array) -> tuple[Array, Array]:
    """Mean (s, k) and scatter (s, k, k) of each style."""
    order = np.argsort(labels, kind="stable")
    means, scatter = np.empty((len(counts), z.shape[1])), np.empty((len(counts), *z.shape[1:] * 2), z.dtype)
    for s, members in enumerate(np.split(order, np.cumsum(counts[:-1]).astype(int))):
        x = z[members]
        means[s] = x.mean(axis=0)
        x = x - means[s].astype(z.dtype)
        scatter[s] = x.T @ x
    return means, scatter


def _borrow(scatter: Array, counts: Array, means: Array) -> Array:
    """Covariances that lean on those of neighbouring styles, since a style alone has few images."""
    within = scatter.sum(axis=0) / counts.sum()
    distance = ((means[:, None] - means) ** 2).sum(axis=-1)
    near = np.argsort(distance, axis=1)[:, 1 : _NEIGHBOURS + 1]
    adjacency = np.zeros_like(distance, dtype=scatter.dtype)
    np.put_along_axis(adjacency, near, 1.0, axis=1)
    local = (adjacency @ scatter.reshape(len(scatter), -1)).reshape(scatter.shape) + _COMMON * within
    weight = (_BORROWED / (adjacency @ counts + _COMMON)).astype(scatter.dtype)
    total = (counts + _BORROWED).astype(scatter.dtype)
    result: Array = (scatter + weight[:, None, None] * local) / total[:, None, None]
    return result


def _leading(covariances: Array, rank: int) -> tuple[Array, Array]:
    """Leading eigenvectors (s, k, r) and eigenvalues (s, r), by subspace iteration (Halko et al. 2011)."""
    k = covariances.shape[-1]
    guess = np.linalg.eigh(covariances.mean(axis=0))[1][:, ::-1][:, : min(rank + 10, k)]
    basis = np.broadcast_to(guess, (len(covariances), *guess.shape))
    for _ in range(3):
        basis = np.linalg.qr(covariances @ basis)[0]
    values, rotation = np.linalg.eigh(basis.swapaxes(1, 2) @ covariances @ basis)
    return (basis @ rotation)[..., ::-1][..., :rank], np.clip(values[:, ::-1][:, :rank], 0.0, None)
