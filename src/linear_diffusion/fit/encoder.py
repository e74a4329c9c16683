"""Training both ways: images and prompts -> encoder and moments of latents.

    exact     second moments of the clean latents; the noise is known: E[z eps'] = 0, E[eps eps'] = I
    sampled   the same moments with noise drawn, n_draws times per image: the article's way, which converges to exact

Where d x d numbers per prompt fit, one pass over the images finds all (docs/mathematics.md, "Training"). Where they do
not, the encoder comes first and a second pass takes the moments of latents; above 4,096 pixels the
encoder's components are randomised.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from ..denoiser.moments import MOST_PIXELS, N_TONES, Moments, chunk_length, count_tones, precision
from ..exceptions import NotEnoughMemoryError
from ..image.format import ImageFormat
from ..image.pca import PCAEncoder, pca_from_covariance, pca_from_images, pca_from_products
from ..utils.groups import by_group, cut
from ..utils.memory import available_memory, readable
from ..utils.progress import tell
from ..utils.streams import DRAWS, blocks, stream
from ..utils.threads import blas_threads
from ..utils.types import AnyArray, Array, Index
from .clusters import LEAST_IMAGES
from .matching import MOST_COMPONENTS
from .source import PIXELS, REMEMBERED, Latents, Sample, Source, Sums, Together, batch_length
from .styles import LEADING, RANK, SIDE_BY_SIDE

SAMPLE = 200
"""Training images that are kept, to choose by how sure a model may be of a prompt (benchmarks/styles.py, "chosen by 50
images", "chosen by 800 images")."""
_MOST_BYTES = 2**30
"""Above this many bytes there is no d x d matrix per prompt."""
_SCRATCH = 24 * 2**20
"""Bytes that drawing and detail curves work on, a thread: 2**20 pixels, by the numbers that each has at a time."""
_SKETCHED = 2**23
"""Pixels whose products are taken at once."""
_TOLD = {
    "moments": "components: from the products of {} pixels, of each prompt",
    "covariance": "components: from the products of {} pixels, of all images",
    "images": "components: from the products of the images, which are fewer than their {} pixels",
    "sketch": "components: by a randomised sketch of {} pixels, in five passes",
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The parameters of an estimator that all ways to fit share; ``rescale`` gives latents a mean variance of 1."""

    latent_dim: int | float
    standardize: bool
    rescale: bool
    ridge: float = 0.0
    tone: bool = True
    svd_solver: str = "auto"

    @property
    def unit_is_free(self) -> bool:
        """Whether latents do not depend on the units of pixels."""
        return self.rescale or self.standardize


@dataclass(frozen=True)
class Learned:
    """What the passes over the data leave. `latents`: of the latents, a prompt at a time; `residual` (p,): mean squared
    length of what the encoder discards of a prompt's (standardised) pixels; `histogram` (p, channels, 256)."""

    encoder: PCAEncoder
    latents: Moments
    residual: Array
    histogram: Array


@dataclass(frozen=True)
class Work:
    """What a fit works on, as far as memory is concerned: p prompts and n images of d pixels of so many bytes,
    ``largest`` of them of one prompt; families, styles of all and of one family at most, and images of this; how many
    images a round of matching draws, how many families are worked on side by side, how long a code of words is (0 is
    one-hot), and how many matrices of pixels each prompt has."""

    p: int
    d: int
    n: int
    largest: int
    itemsize: int
    n_channels: int = 0
    n_styles: int = 1
    n_drawn: int = 0
    n_threads: int = 1
    sampled: bool = False
    code_length: int = 0
    n_sums: int = 1
    n_families: int = 0
    n_components: int = 0
    in_family: int = 0
    of_family: int = 0
    svd_solver: str = "auto"

    @classmethod
    def of(cls, source: Source, family: Index | None = None, n_styles: int = 1, **others: Any) -> Self:
        """What a source is, whose prompts may be families (p,), and how it is worked on."""
        family = np.arange(len(source.counts)) if family is None else family
        styles = np.clip(source.counts // LEAST_IMAGES, 1, n_styles)
        others |= {"n_styles": n_styles, "n_components": int(styles.sum()), "n_families": int(family.max()) + 1}
        most = (int(np.bincount(family, each).max()) for each in (styles, source.counts))
        others["in_family"], others["of_family"] = most
        image, dtype = source.image, np.dtype(source.rows_dtype)
        n_channels, largest = image.n_channels if image.pixel_range else 0, int(source.counts.max())
        sizes = len(source.classes), image.n_pixels, source.n, largest, dtype.itemsize, n_channels
        return cls(*sizes, n_threads=blas_threads(), **others)

    @property
    def way(self) -> str:
        """How components are found: from the whole matrix of pixels of each prompt ("moments") or of all images
        ("covariance"), from the products of few images ("images"), or by a randomised sketch ("sketch")."""
        if self.svd_solver == "randomized":
            return "sketch"
        if self.n < self.d and self.n <= MOST_PIXELS:
            return "images"
        if fits_dense(self.p, self.d) and self.n >= self.d and not self.code_length:
            return "moments"
        return "covariance" if self.d <= MOST_PIXELS or self.svd_solver == "full" else "sketch"

    @property
    def dense(self) -> bool:
        """Whether one pass over the images takes whole matrices of pixels."""
        return self.way == "moments"

    def n_bytes(self, k: int) -> int:
        """What k components take at the peak: the steps follow each other, and the largest counts."""
        p, d = self.p, self.d
        # Products of uint8 take a few images at a time; all else is in float64, beside pixels and their tones.
        per_pixel = 6 if self.dense and self.itemsize == 1 else self.itemsize + 11
        chunk = per_pixel * d * chunk_length(d, self._float, self.largest)
        square = d * d if self.dense else d
        sums = 8 * p * (self.n_sums * square + d + 2 * N_TONES * self.n_channels)
        side, matrices = min(self.n, d), (self.n_families or p) * k * k
        # LAPACK holds six matrices: the covariance, what it is made of, its vectors and room for work.
        components = 8 * (6 * side**2 + 2 * k * d) if self.way != "sketch" else 8 * 6 * d * (k + 10) + chunk
        if self.code_length:
            # The regression, what a block of prompts adds to it, and that block.
            matrices = (2 * self.code_length + min(p, 32) + 16) * k * k
            after = sums + 8 * (matrices + 2 * p * (k + self.code_length) + 2 * k * d) + chunk
        else:
            side_by_side = min(self.n_threads, self.n_families or p)  # whose curves are fitted: each has its own pixels
            after = 8 * ((13 if self.sampled else 4) * matrices + (2 + 2 * side_by_side) * k * d)
            if self.n_styles > 1:
                after = 8 * (2 + 2 * side_by_side) * k * d + self._style_bytes(k)
            elif self.n_families == 1 < p:  # means of pixels and latents, and what they are worked out from
                after += sums + 8 * p * (4 * k + 3 * d) + min(self._float * self.n * k, REMEMBERED)
        latents = 8 * 2 * matrices if self.dense else 8 * p * k + chunk
        return max(sums + max(chunk, 16 * square, components, latents), after)

    @property
    def _float(self) -> int:
        return 8 if self.itemsize == 8 else 4

    def _style_bytes(self, k: int) -> int:
        """Latents and a batch of images that they are of; own directions and their pixels, and drawn images, those of
        some families side by side."""
        d, m, g, side_by_side = self.d, self.n_components, self.n_families, min(self.n_threads, self.n_families)
        lead, r, several = min(LEADING, k), min(RANK, k), min(self.in_family, max(self.n_styles, SIDE_BY_SIDE))
        latents = min(self._float * self.n * k, REMEMBERED)
        batch = min(self.n, batch_length(np.uint8 if self.itemsize == 1 else float, d))
        # A batch and the one that is read meanwhile, and its tones, or its sums where it has few images of a prompt.
        reading = batch * d * (self.itemsize if self.itemsize == 1 else 2 * self.itemsize + 8)
        reading *= 2 if self.n > batch else 1
        kept = latents + reading + 16 * min(self.n * d, PIXELS) + 8 * (m * k + 3 * g * k * k)
        lent = 8 * m * k * (lead + r) + side_by_side * 8 * several * k * (lead + 2 * r)
        shared = 12 * m * k * r + side_by_side * 32 * k * k
        drawn = -(-self.n_drawn * self.of_family // self.n)
        some = min(self.in_family, MOST_COMPONENTS)
        own = some * (d * (4 * r + 32) + 24 * k * r)
        matched = 24 * k * d + own + drawn * (2 * self.itemsize * d + 16 * k) + _SCRATCH
        return kept + max(lent, shared, 10 * m * k * r + side_by_side * matched)


def learn(source: Source, settings: Settings, work: Work) -> Learned:
    """Find the encoder, and the moments of latents, of all images. Raises `NotEnoughMemoryError` before any work, with
    settings that would fit."""
    encoder, pixels = find_encoder(source, settings, work)
    if not pixels.diagonal:
        return learn_from(pixels, encoder)
    latents = Moments.empty(source.classes, encoder.latent_dim, diagonal=work.code_length > 0)
    latents = source.total(LatentSums(Latents.of(encoder, source), latents), "moments of latents").moments
    return Learned(encoder, latents, residual(pixels, encoder, mean_squares(latents)), pixels.histogram)


def find_encoder(source: Source, settings: Settings, work: Work) -> tuple[PCAEncoder, Moments]:
    """Principal components of all images, and the moments of each prompt's pixels: with whole scatter matrices where
    these fit. How components are found, `Work.way` says."""
    n, d, latent_dim, way = source.n, source.image.n_pixels, settings.latent_dim, work.way
    if way == "sketch" and latent_dim < 1:
        raise ValueError(
            f"latent_dim={latent_dim} asks for a share of the variance, which needs all components: with "
            f'svd_solver="randomized" or above {MOST_PIXELS} pixels give a whole number, such as latent_dim=144, or '
            'choose svd_solver="full".'
        )
    require_memory(work, most_components(latent_dim, n, d))
    tell(_TOLD[way].format(f"{d:,}"))
    sums = PixelSums.of(source, diagonal=not work.dense)
    source.sample = Sample(SAMPLE, source.image, d, source.rows_dtype)
    of_all = [PixelSums(Moments.empty(np.array([""]), d))] if way == "covariance" else []
    source.total(Together(sums, source.sample, *of_all), "moments of pixels")
    pixels = sums.moments
    if work.dense:
        return encoder_from(pixels, settings), pixels
    how = {"standardize": settings.standardize, "rescale": settings.rescale}
    mean, variances = pixels.pooled()
    if way == "images":
        rows = source.total(Sample(n, source.image, d, source.rows_dtype), "images").kept
        return pca_from_images(rows, mean, variances, latent_dim, **how), pixels
    if of_all:
        mean, covariance = of_all[0].moments.pooled()
        return pca_from_covariance(mean, covariance, latent_dim, n_images=n, **how), pixels

    def product(q: Array) -> Array:
        return source.total(Products(mean, q), "sketch of the components").product / n

    return pca_from_products(mean, variances, product, int(latent_dim), n_images=n, **how), pixels


def encoder_from(pixels: Moments, settings: Settings) -> PCAEncoder:
    """Principal components from moments of pixels with whole scatter matrices."""
    mean, covariance = pixels.pooled()
    how = {"standardize": settings.standardize, "rescale": settings.rescale}
    return pca_from_covariance(mean, covariance, settings.latent_dim, n_images=int(pixels.counts.sum()), **how)


def learn_from(pixels: Moments, encoder: PCAEncoder) -> Learned:
    """The moments of latents from those of pixels alone, with whole scatter matrices."""
    to_latent = (encoder.components * (encoder.scale / encoder.std)).T
    scatter = np.stack([to_latent.T @ s @ to_latent for s in pixels.scatter])
    means = encoder.encode(pixels.means)
    latents = Moments(pixels.prompts, pixels.counts, means, scatter, pixels.histogram)
    return Learned(encoder, latents, residual(pixels, encoder, mean_squares(latents)), pixels.histogram)


class PixelSums(Sums):
    """The moments of each prompt's pixels, or of all together where there is one prompt in ``moments``; and how many
    have each tone."""

    summed = ("counts", "means", "scatter", "histogram")

    def __init__(self, moments: Moments, image: ImageFormat | None = None) -> None:
        self.moments, self.image = moments, image

    @classmethod
    def of(cls, source: Source, *, diagonal: bool) -> Self:
        """Of the prompts of a source, before any image is seen."""
        image = source.image
        n_channels = image.n_channels if image.pixel_range else 0
        moments = Moments.empty(source.classes, image.n_pixels, n_channels, diagonal=diagonal)
        return cls(moments, image if n_channels else None)

    def add(self, rows: AnyArray, index: Index) -> None:
        if len(self.moments.prompts) == 1:
            index = np.zeros_like(index)
        for j, own in by_group(index):
            self._include(j, rows[own])

    def merge(self, other: Self) -> None:
        self.moments.absorb(other.moments)

    def arrays(self) -> dict[str, AnyArray]:
        return {name: getattr(self.moments, name) for name in self.summed}

    def take(self, arrays: dict[str, AnyArray]) -> None:
        sums: dict[str, Any] = {**arrays}
        self.moments = replace(self.moments, **sums)

    def _include(self, j: int, rows: AnyArray) -> None:
        for part in cut(len(rows), chunk_length(rows.shape[1], 8, len(rows))):
            if self.image is not None:
                self.moments.histogram[j] += count_tones(self.image.tones(rows[part]), self.image.n_channels)
            self.moments.include(j, rows[part])


class LatentSums(PixelSums):
    """The moments of each prompt's latents."""

    def __init__(self, latents: Latents, moments: Moments) -> None:
        super().__init__(moments)
        self.latents = latents

    def add(self, rows: AnyArray, index: Index) -> None:
        super().add(self.latents(rows), index)


class Products(Sums):
    """``scatter @ q`` of all images about their mean, shape (d, m): what a sketch sees of d x d numbers."""

    summed = ("product",)

    def __init__(self, mean: Array, q: Array) -> None:
        self.mean, self.q, self.product = mean, q, np.zeros(q.shape)

    def add(self, rows: AnyArray, index: Index) -> None:
        dtype = precision(rows)
        q = self.q.astype(dtype)
        for part in cut(len(rows), max(_SKETCHED // rows.shape[1], 1)):
            x = rows[part].astype(dtype)
            x -= self.mean.astype(dtype)
            self.product += x.T @ (x @ q)


def draw_noise(
    rows: AnyArray, index: Index, prompts: AnyArray, encoder: PCAEncoder, n_draws: int, entropy: int
) -> Moments:
    """Moments of ``(z, eps)`` with noise drawn: what the article's regression sees. They are of 2 k features, over
    n_draws copies of each image."""
    k = len(encoder.components)
    joint = Moments.empty(prompts, 2 * k)
    for block, part in blocks(len(rows)):
        z = encoder.encode(rows[part])
        for draw in range(n_draws):
            both = np.hstack([z, training_noise(entropy, draw, block, z)])
            for j, group in by_group(index[part]):
                joint.include(j, both[group])
    return joint


def training_noise(entropy: int, draw: int, block: int, z: Array) -> Array:
    """The noise that one draw adds to a block of latents, in their shape and dtype."""
    return stream(entropy, DRAWS, draw, block).standard_normal(z.shape, dtype=z.dtype)


def require_memory(work: Work, k: int) -> None:
    """Refuse a fit of k components that would not fit in memory, saying what would. With a code, what its regression
    takes, in memory and in time, is logged (`logging`, level INFO) first."""
    available, needed = available_memory(), work.n_bytes(k)
    if q := work.code_length:  # at ten billion operations a second
        seconds = 2e-10 * (2 * work.n * k * k + work.p * q * k * k + 50 * min(work.p, q) ** 3)
        cost = f"about {readable(needed)} beside the images, and {seconds:.2g} s beyond the passes over them"
        _log.info("regression on %d numbers per prompt: %s", q, cost)
    if available is None or needed <= available:
        return
    fitting = next((smaller for smaller in range(k - 1, 0, -1) if work.n_bytes(smaller) <= available), None)
    advice = f"latent_dim={fitting} would fit" if fitting else "use smaller images or fewer prompts"
    raise NotEnoughMemoryError(
        f"fitting {work.p} prompts, {work.d} pixels and latent_dim={k} needs about {readable(needed)} beside the "
        f"images, and {readable(available)} are available; {advice}."
    )


def fits_dense(p: int, d: int) -> bool:
    """Whether there is a d x d matrix for each of p prompts."""
    return d <= MOST_PIXELS and 8 * p * d * d <= _MOST_BYTES


def most_components(latent_dim: int | float, n: int, d: int) -> int:
    """Components of n images of d pixels, at most."""
    return max(min(int(latent_dim) if latent_dim >= 1 else d, d, n), 1)


def mean_squares(latents: Moments) -> Array:
    """Mean squared length of each prompt's latents, shape (p,)."""
    return np.asarray((latents.variances + latents.means**2).sum(axis=1))


def residual(pixels: Moments, encoder: PCAEncoder, squares: Array) -> Array:
    """Pythagoras: the mean squared length of a prompt's pixels, less that of its latents (p,)."""
    whole = ((pixels.variances + (pixels.means - encoder.mean) ** 2) / encoder.std**2).sum(axis=1)
    return np.maximum(whole - squares / encoder.scale**2, 0.0)
