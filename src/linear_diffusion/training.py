"""Training both ways: images and prompts -> encoder and moments of latents.

    exact     second moments of the clean latents; the noise is known: E[z eps'] = 0, E[eps eps'] = I
    sampled   the same moments with noise drawn, n_draws times per image: the article's way, which converges to exact

Where d x d numbers per prompt fit, one pass over the images finds all (docs/mathematics.md, "Training"). Where they do
not, the encoder comes first and a second pass takes the moments of latents; above 4,096 pixels the
encoder's components are randomised.
"""

import logging
from dataclasses import dataclass

import numpy as np

from ._threads import blas_threads
from ._types import AnyArray, Array, Index
from .clusters import LEADING, LEAST_IMAGES, RANK
from .exceptions import NotEnoughMemoryError
from .image import ImageFormat, PCAEncoder, pca_from_covariance, pca_from_images, pca_from_products
from .memory import available_memory, readable
from .moments import Moments, chunks_by_prompt, precision
from .noise import DRAWS, blocks, stream
from .text import by_prompt

MOST_PIXELS = 4096
"""Above this many pixels no d x d matrix is made."""
_MOST_BYTES = 2**30
"""Above this many bytes there is no d x d matrix per prompt."""
_OVERHEAD = 200 * 2**20
"""Chunks and passing copies."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Learned:
    """What a pass over the data leaves.

    Parameters
    ----------
    encoder : PCAEncoder
    latents : Moments
        Of the latents, a prompt at a time.
    residual : array of shape (p,)
        Mean squared length of what the encoder discards of a prompt's (standardised) pixels.
    histogram : array of shape (p, channels, 256)
    """

    encoder: PCAEncoder
    latents: Moments
    residual: Array
    histogram: Array


@dataclass(frozen=True)
class StyleWork:
    """What a fit of styles works on, as far as memory is concerned.

    Parameters
    ----------
    n, largest : int
        Images, and those of the largest prompt.
    n_styles : int
        Of a prompt, at most.
    n_drawn : int
        Images that calibration draws at a time.
    itemsize : int
        Bytes of a number of latents.
    n_threads : int
        Prompts that are worked on side by side, at most.
    """

    n: int
    largest: int
    n_styles: int
    n_drawn: int
    itemsize: int
    n_threads: int = 1

    def n_bytes(self, p: int, d: int, k: int) -> int:
        """Latents and their residuals, thin covariances, what a style keeps, its pixels, and drawn images."""
        s, m, r = max(min(self.n_styles, self.largest // LEAST_IMAGES), 1), min(LEADING, k), min(RANK, k)
        side_by_side = min(self.n_threads, p)
        latents = self.n * k + side_by_side * self.largest * (4 * k + 2 * m)
        thin = side_by_side * (2 * s * k * m + 2 * s * m * m)
        kept = min(p * s, self.n) * (3 * k * r + 4 * k) + s * r * d + 4 * s * d + 5 * (p + 1) * k * k
        drawn = self.n_drawn * (d + 4 * k)
        return self.itemsize * (latents + thin + drawn) + 8 * kept


def learn(
    rows: AnyArray,
    index: Index,
    prompts: AnyArray,
    image: ImageFormat,
    latent_dim: int | float,
    *,
    standardize: bool,
    rescale: bool,
    n_styles: int = 1,
    code_length: int = 0,
    n_drawn: int = 0,
) -> Learned:
    """Find the encoder and the moments of latents.

    Parameters
    ----------
    rows : array of shape (n, d)
    index : array of int, shape (n,)
        Position of each image's prompt.
    prompts : array of shape (p,)
    image : ImageFormat
        Histograms are taken where it has a pixel range.
    latent_dim, standardize, rescale
        See `pca_from_covariance`.
    n_styles : int
        Styles of a prompt that will be looked for, which take memory too.
    n_drawn : int
        Images that will be drawn to calibrate them.
    code_length : int
        Of a code that covariances will be regressed on: there will be so many, and none is kept for a prompt. 0 is one
        for each prompt.

    Raises
    ------
    NotEnoughMemoryError
        Before any work, with settings that would fit.
    """
    p, d = len(prompts), rows.shape[1]
    dense = fits_dense(p, d) and len(rows) >= d and not code_length
    itemsize = precision(rows).itemsize
    work, largest = None, int(np.bincount(index).max())
    if n_styles > 1:
        work = StyleWork(len(rows), largest, n_styles, n_drawn, itemsize, blas_threads())
    require_memory(p, d, most_components(latent_dim, *rows.shape), work, len(rows), code_length)
    n_channels = image.n_channels if image.pixel_range else 0
    tones = image.tones if image.pixel_range else None
    pixels = Moments.of(rows, index, prompts, tones=tones, n_channels=n_channels, diagonal=not dense)
    if dense:
        return learn_from(pixels, latent_dim, standardize=standardize, rescale=rescale)
    if len(rows) < d and len(rows) <= MOST_PIXELS:
        encoder = pca_from_images(rows, *pixels.pooled(), latent_dim, standardize=standardize, rescale=rescale)
    elif d <= MOST_PIXELS:
        mean, covariance = Moments.of(rows, np.zeros(len(rows), np.intp), np.array([""])).pooled()
        encoder = pca_from_covariance(
            mean, covariance, latent_dim, n_images=len(rows), standardize=standardize, rescale=rescale
        )
    else:
        mean, variances = pixels.pooled()
        encoder = pca_from_products(
            mean,
            variances,
            lambda q: _covariance_product(rows, mean, q),
            _integer(latent_dim),
            n_images=len(rows),
            standardize=standardize,
            rescale=rescale,
        )
    latents = _encode_moments(rows, index, prompts, encoder, diagonal=code_length > 0)
    return Learned(encoder, latents, _residual(pixels, latents, encoder), pixels.histogram)


def learn_from(pixels: Moments, latent_dim: int | float, *, standardize: bool, rescale: bool) -> Learned:
    """The same from moments of pixels alone, with whole scatter matrices; parameters as in `learn`."""
    mean, covariance = pixels.pooled()
    n_images = int(pixels.counts.sum())
    encoder = pca_from_covariance(
        mean, covariance, latent_dim, n_images=n_images, standardize=standardize, rescale=rescale
    )
    latents = _project(pixels, encoder)
    return Learned(encoder, latents, _residual(pixels, latents, encoder), pixels.histogram)


def draw_noise(
    rows: AnyArray, index: Index, prompts: AnyArray, encoder: PCAEncoder, n_draws: int, entropy: int
) -> Moments:
    """Moments of ``(z, eps)`` with noise drawn: what the article's regression sees.

    Returns
    -------
    Moments
        Of 2 k features, over n_draws copies of each image.
    """
    k = len(encoder.components)
    joint = Moments.empty(prompts, 2 * k)
    for block, part in blocks(len(rows)):
        z = encoder.encode(rows[part])
        for draw in range(n_draws):
            both = np.hstack([z, training_noise(entropy, draw, block, z)])
            for j, group in by_prompt(index[part]):
                joint.include(j, both[group])
    return joint


def training_noise(entropy: int, draw: int, block: int, z: Array) -> Array:
    """The noise that one draw adds to a block of latents, in their shape and dtype."""
    eps: Array = stream(entropy, DRAWS, draw, block).standard_normal(z.shape, dtype=z.dtype)
    return eps


def require_memory(p: int, d: int, k: int, work: StyleWork | None = None, n: int = 0, code_length: int = 0) -> None:
    """Refuse a fit of p prompts, d pixels and k components that would not fit in memory, saying what would.

    With a code, there is a k x k matrix for each of its dimensions instead of one for each prompt, and what that takes,
    in memory and in time (for n images), is logged (`logging`, level INFO) before the work starts.
    """
    available = available_memory()
    needed = _bytes_needed(p, d, k, work, code_length)
    if code_length:
        _log.info("regression on %d numbers per prompt: %s", code_length, _cost(needed, p, k, n, code_length))
    if available is None or needed <= available:
        return
    fitting = [
        smaller for smaller in range(k - 1, 0, -1) if _bytes_needed(p, d, smaller, work, code_length) <= available
    ]
    advice = f"latent_dim={fitting[0]} would fit" if fitting else "use smaller images or fewer prompts"
    raise NotEnoughMemoryError(
        f"fitting {p} prompts, {d} pixels and latent_dim={k} needs about {readable(needed)} beside the images, and "
        f"{readable(available)} are available; {advice}."
    )


def _cost(needed: float, p: int, k: int, n: int, code_length: int) -> str:
    """Memory, and time at ten billion operations a second."""
    seconds = 2e-10 * (2 * n * k * k + p * code_length * k * k + 50 * min(p, code_length) ** 3)
    return f"about {readable(needed)} beside the images, and {seconds:.2g} s beyond the passes over them"


def _bytes_needed(p: int, d: int, k: int, work: StyleWork | None = None, code_length: int = 0) -> int:
    if code_length:
        matrices = 2 * code_length + 128
        return 8 * (p * 4 * (d + k + 256) + 4 * d * min(d, k + 10) + matrices * k * k + 4 * p * code_length) + _OVERHEAD
    per_prompt = 2 * d * d if fits_dense(p, d) else 4 * d
    pooled = 4 * d * min(d, k + 10) if d > MOST_PIXELS else 4 * d * d
    styles = work.n_bytes(p, d, k) if work else 0
    return 8 * (p * per_prompt + pooled + p * 4 * k * k + p * k * d) + styles + _OVERHEAD


def fits_dense(p: int, d: int) -> bool:
    """Whether there is a d x d matrix for each of p prompts."""
    return d <= MOST_PIXELS and 8 * p * d * d <= _MOST_BYTES


def most_components(latent_dim: int | float, n: int, d: int) -> int:
    """Components of n images of d pixels, at most."""
    return max(min(int(latent_dim) if latent_dim >= 1 else d, d, n), 1)


def _integer(latent_dim: int | float) -> int:
    if latent_dim < 1:
        raise ValueError(
            f"latent_dim={latent_dim} asks for a share of the variance, which needs all components; above "
            f"{MOST_PIXELS} pixels give a whole number, such as latent_dim=144."
        )
    return int(latent_dim)


def _covariance_product(rows: AnyArray, mean: Array, q: Array) -> Array:
    """``covariance @ q`` in one pass over the images, shape (d, m)."""
    dtype = precision(rows)
    out = np.zeros(q.shape)
    for _, chunk in chunks_by_prompt(rows, np.zeros(len(rows), np.intp), 1):
        x = chunk.astype(dtype, copy=False) - mean.astype(dtype)
        out += x.T @ (x @ q.astype(dtype))
    return out / len(rows)


def _project(pixels: Moments, encoder: PCAEncoder) -> Moments:
    """Moments of latents from moments of pixels."""
    to_latent = (encoder.components * (encoder.scale / encoder.std)).T
    scatter = np.stack([to_latent.T @ s @ to_latent for s in pixels.scatter])
    return Moments(pixels.prompts, pixels.counts, encoder.encode(pixels.means), scatter, pixels.histogram)


def _encode_moments(rows: AnyArray, index: Index, prompts: AnyArray, encoder: PCAEncoder, *, diagonal: bool) -> Moments:
    """Moments of latents from a second pass over the images."""
    latents = Moments.empty(prompts, len(encoder.components), diagonal=diagonal)
    for j, chunk in chunks_by_prompt(rows, index, len(prompts)):
        latents.include(j, encoder.encode(chunk))
    return latents


def _residual(pixels: Moments, latents: Moments, encoder: PCAEncoder) -> Array:
    """Pythagoras: the mean squared length of a prompt's pixels, less that of its latents."""
    whole = ((pixels.variances + (pixels.means - encoder.mean) ** 2) / encoder.std**2).sum(axis=1)
    kept = (latents.variances + latents.means**2).sum(axis=1) / encoder.scale**2
    residual: Array = np.maximum(whole - kept, 0.0)
    return residual
