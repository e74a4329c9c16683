"""PCA: image <-> latent, by principal components.

    z = scale V ((x - mean) / std)        x = mean + std (V' z / scale)

This is the place of the VAE. ``std`` is 1 unless pixels are standardised (as in the article), and ``scale`` is one
number that gives the latents a mean variance of 1, what diffusers calls ``scaling_factor``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ..utils.arrays import Kept, kept, not_negative, orthonormal, positive
from ..utils.groups import cut
from ..utils.lazy import lazy
from ..utils.threads import in_parallel
from ..utils.types import AnyArray, Array

_CHUNK = 2**21
"""Pixels that are worked on at once."""
_FLOOR = 1e-6
"""Variances below this share of the largest (of the mean, for the noise) are rounding, not data."""
_ROUNDING = 1e-12
"""Deviations below this share of the largest pixel are rounding, in double precision."""


@dataclass(frozen=True)
class PCAEncoder(Kept):
    """Principal components of d pixels, k kept, as orthonormal rows whose largest entry is positive. Variances are of
    pixels over ``std``, which is 1 without standardisation and where a pixel is constant."""

    mean: Array = kept("d")
    std: Array = kept("d", positive)
    components: Array = kept("k d", orthonormal)
    variances: Array = kept("k", not_negative)
    total_variance: float = kept("", not_negative)
    scale: float = kept("", positive)

    @property
    def latent_dim(self) -> int:
        """Components, k."""
        return len(self.components)

    @property
    def ratio(self) -> Array:
        """Share of the variance that each component explains, shape (k,)."""
        return self.variances / (self.total_variance or 1.0)

    def encode(self, rows: AnyArray) -> Array:
        """Pixels (n, d) to latents (n, k), in float64 for float64 and float32 for the rest."""
        dtype = np.float64 if rows.dtype == np.float64 else np.float32
        to_latent = (self.components * (self.scale / self.std)).T.astype(dtype)
        out = np.empty((len(rows), len(self.components)), dtype)

        def fill(part: slice) -> None:
            out[part] = (rows[part].astype(dtype, copy=False) - self.mean.astype(dtype)) @ to_latent

        in_parallel(fill, cut(len(rows), max(_CHUNK // rows.shape[1], 1)))
        return out

    def decode(self, z: Array) -> Array:
        """Latents (n, k) to pixels (n, d), before the tone curve."""
        return z @ self.to_pixels + self.mean

    @lazy
    def to_pixels(self) -> Array:
        """The linear part of the decoder, shape (k, d)."""
        return self.components * (self.std / self.scale)

    @lazy
    def to_pixels_float32(self) -> Array:
        """The same in single precision, for products over many images."""
        return self.to_pixels.astype(np.float32)


def pca_from_covariance(
    mean: Array, covariance: Array, latent_dim: int | float, *, n_images: int, standardize: bool, rescale: bool
) -> PCAEncoder:
    """Exact principal components, from the second moments of all images.

    ``latent_dim`` is how many there are at most, or the share of variance that they explain; of n images no more than n
    - 1 have any variance. ``standardize`` divides each pixel by its standard deviation first; ``rescale`` gives latents
    a mean variance of 1.
    """
    d = len(mean)
    variances = np.diag(covariance)
    std = safe_std(variances) if standardize else np.ones(d)
    if standardize:
        covariance = covariance / std / std[:, None]
    most = max(min(int(latent_dim) if latent_dim >= 1 else d, d, n_images - 1), 1)
    # numpy's eigh although scipy's could stop at the largest: scipy has a BLAS, and threads, of its own, and on two
    # cores the two sets of threads wait for each other.
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:most], vectors.T[::-1][:most]
    return _pca(mean, std, values, vectors, float(np.trace(covariance)), latent_dim, rescale)


def pca_from_images(
    rows: AnyArray, mean: Array, variances: Array, latent_dim: int | float, *, standardize: bool, rescale: bool
) -> PCAEncoder:
    """Exact principal components of fewer images than pixels, from the n x n products of images with each other: with
    ``X / sqrt(n) = U s V'``, ``X X' / n = U s^2 U'`` and ``V' = U' X / (s sqrt(n))`` (Sirovich 1987, "Turbulence and
    the dynamics of coherent structures", the method of snapshots)."""
    n, d = rows.shape
    std = safe_std(variances) if standardize else np.ones(d)
    most = max(min(int(latent_dim) if latent_dim >= 1 else n, n - 1), 1)

    def centred() -> Iterator[tuple[slice, Array]]:
        for part in cut(d, max(_CHUNK // n, 1)):
            yield part, (rows[:, part] - mean[part]) / std[part]

    products = np.zeros((n, n))
    for _, x in centred():
        products += x @ x.T
    values, vectors = np.linalg.eigh(products / n)
    values, vectors = values[::-1][:most], vectors.T[::-1][:most]
    seen = values > _FLOOR * values[0]
    if not seen.any():  # images that are all alike vary in no direction: any will do
        return _pca(mean, std, values[:1], np.eye(1, d), 0.0, latent_dim, rescale)
    values, components = values[seen], np.empty((seen.sum(), d))
    for part, x in centred():
        components[:, part] = (vectors[seen] / np.sqrt(n * values)[:, None]) @ x
    return _pca(mean, std, values, components, float((variances / std**2).sum()), latent_dim, rescale)


def pca_from_products(
    mean: Array,
    variances: Array,
    product: Callable[[Array], Array],
    latent_dim: int,
    *,
    n_images: int,
    standardize: bool,
    rescale: bool,
    n_iter: int = 4,
    seed: int = 0,
) -> PCAEncoder:
    """Principal components where a d x d matrix would not fit, by randomised subspace iteration (Halko, Martinsson and
    Tropp 2011, algorithm 4.4): ``product`` takes Q (d, m) to ``covariance @ Q``, in one pass over the images."""
    d = len(mean)
    std = safe_std(variances) if standardize else np.ones(d)
    most = max(min(latent_dim, d, n_images - 1), 1)
    basis = np.random.default_rng(seed).standard_normal((d, min(most + 10, d)))
    for _ in range(n_iter):
        basis = np.linalg.qr(product(basis / std[:, None]) / std[:, None])[0]
    small = basis.T @ (product(basis / std[:, None]) / std[:, None])
    values, rotation = np.linalg.eigh((small + small.T) / 2)
    values, vectors = values[::-1][:most], (basis @ rotation[:, ::-1]).T[:most]
    return _pca(mean, std, values, vectors, float((variances / std**2).sum()), latent_dim, rescale)


def safe_std(variances: Array) -> Array:
    """Standard deviations, with 1 for what does not vary (as in scikit-learn's StandardScaler)."""
    floor = 10 * np.finfo(np.float64).eps * variances.max(initial=0.0)
    return np.sqrt(np.where(variances > floor, variances, 1.0))


def noise_floor(encoder: PCAEncoder) -> float:
    """The least variance of a direction in a density: a share of the mean variance of a pixel. Where no pixel varies
    (one image, or all alike) there is none to take a share of; then it is that of rounding to 256 levels, up to the
    largest pixel."""
    variance = encoder.total_variance / len(encoder.mean)
    largest = float(np.abs(encoder.mean / encoder.std).max()) or 1.0
    return _FLOOR * variance if variance > (_ROUNDING * largest) ** 2 else (largest / 255) ** 2 / 12


def _pca(
    mean: Array, std: Array, values: Array, vectors: Array, total: float, latent_dim: int | float, rescale: bool
) -> PCAEncoder:
    """Keep the components that carry variance, fix their signs, set the scale."""
    k = max(int((values > _FLOOR * values[0]).sum()), 1)
    if latent_dim < 1:
        k = min(k, int(np.searchsorted(np.cumsum(values) / (total or 1.0), latent_dim)) + 1)
    values, vectors = np.clip(values[:k], 0.0, None), vectors[:k]
    signs = np.sign(np.take_along_axis(vectors, np.abs(vectors).argmax(axis=1, keepdims=True), axis=1))
    scale = 1 / np.sqrt(values.mean()) if rescale and values.mean() > 0 else 1.0
    return PCAEncoder(mean, std, np.ascontiguousarray(vectors * signs), values, total, float(scale))
