"""Noise -> images at speed: one matrix product per prompt, one table look-up per pixel.

    x = tone(eps @ gain + offset),   gain = root' W,   offset = mean W + pixel mean

The law of z_0 (`sampler.compile_law`) and the decoder are both affine, so they are folded into one map from noise to
pixels before any image is drawn; with a tone curve the map goes straight to positions in its table.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np

from ._lazy import lazy
from ._threads import blas_threads, in_parallel
from ._types import AnyArray, Array, Index
from .affine import AffineMap
from .detail import DetailCurves
from .image import ImageFormat, PCAEncoder
from .noise import BLOCK, PROMPTS, STYLES, blocks, even_draws, start_noise, step_noise
from .styles import Styles
from .text import by_prompt
from .tone import ToneCurves

Noise = Callable[[], Iterator[Array]]
"""The noise of each step (n, k), from the first on whenever it is called."""
Walk = Callable[[int, Array, Noise], Iterator[Array]]
"""``(prompt or style, start noise (n, k), noise of steps) -> z at each level``."""
Deviation = Callable[[Index], tuple[Callable[[int, Array], Array], Array]]
"""How the run of some of a prompt's styles ends; see `sampler.style_deviation`."""
_SUPERBLOCK = 16 * BLOCK
_PIXELS = 2**20
"""Pixels that a thread works on at once."""
_LAWS = 2**27
"""Bytes of the maps from noise to pixels that are held at once."""


@dataclass(frozen=True)
class Decoder:
    """From latents to images: principal components, then tone and detail curves.

    Parameters
    ----------
    encoder : PCAEncoder
    image : ImageFormat
    curves : ToneCurves or None
        One per prompt or group of styles.
    details : DetailCurves or None
        With tone curves.
    """

    encoder: PCAEncoder
    image: ImageFormat
    curves: ToneCurves | None
    details: DetailCurves | None = None

    def develop(self, numbers: Array, curve: Index) -> AnyArray:
        """Decoded images (n, d) through each one's curves, whose numbers must increase; in the data's dtype."""
        if self.curves is None:
            return self.image.cast(numbers)
        finish = self.image.cast if self.details is None else self.image.table  # once a table, not once a pixel
        toned = np.empty(numbers.shape, finish(np.empty(0, np.float32)).dtype)
        for g, rows in _runs(curve):
            own = self.curves[np.array([g])]
            own = replace(own, table=finish(own.table))
            toned[rows] = own.look_up(own.position(numbers[rows], 0), 0)
        if self.details is None:
            return toned
        out = np.empty(numbers.shape, self.image.dtype)
        for j, rows in _runs(self.details.owner[curve]):
            out[rows] = self._finished.apply(toned[rows], j, self.image)
        return out

    def draw(self, z: Array, curve: Index | None) -> AnyArray:
        """Latents (n, k) as pixels (n, d), through each one's curves, or through none."""
        if curve is None:
            return self.image.cast(self.encoder.decode(z))
        order = np.argsort(curve, kind="stable")
        out = np.empty((len(z), self.image.n_pixels), self.image.dtype)
        out[order] = self.develop(self.encoder.decode(z[order]), curve[order])
        return out

    def mixed(self, mixes: Sequence[tuple[dict[int, float], float]]) -> "Decoder":
        """With a curve for each mix of curves, and of none, which leaves pixels as they are; weights sum to 1."""
        if self.curves is None:
            return self
        curves = ToneCurves.joined([self.curves.mixed(weights, plain) for weights, plain in mixes])
        return replace(self, curves=curves, details=self.details and self.details.mixed(mixes, self.image))

    @lazy
    def _finished(self) -> DetailCurves:
        """The detail curves, which give pixels in the data's units and dtype."""
        details = cast(DetailCurves, self.details)
        return replace(details, table=self.image.cast(details.table))


def bytes_to_draw(
    n: int, n_pictures: int, encoder: PCAEncoder, image: ImageFormat, p: int, styles: Styles | None
) -> int:
    """Bytes that drawing n images takes at its peak, with so many pictures of each, beside the model.

    It holds the images, what numbers each (its prompt, style and place), noise, each thread's pixels, and what is made
    of the model for p different prompts.
    """
    k, d = map(int, encoder.components.shape)
    each = 70 + n_pictures * d * np.dtype(image.dtype).itemsize
    pixels = 16 * min(n * d, max(_PIXELS, d))
    if styles is None:
        law, rows = 16 * k * (2 * k + d), min(n, BLOCK)
        return n * each + rows * (4 * k + 12 * d // p) + min(p * law, max(_LAWS, law))
    threads, factors = blas_threads(), int(styles.factors.size)
    return n * each + 4 * min(n, _SUPERBLOCK) * k + threads * (pixels + 12 * k * d) + 12 * factors


def draw_prompts(entropy: int, weights: Array, n: int) -> Index:
    """Prompt positions of n images, drawn as often as in training."""
    return choose(weights, even_draws(entropy, PROMPTS, n))


def draw_styles(entropy: int, styles: Styles, index: Index) -> Index:
    """Styles of images whose prompts are given, drawn as often as in training.

    Each prompt has even numbers of its own, in the order of its images: a slice of numbers that are even together need
    not be even, such as every tenth where ten prompts take turns.
    """
    drawn = np.empty(len(index), np.intp)
    for j, rows in by_prompt(index):
        own = styles.of(j)
        drawn[rows] = own[choose(styles.shares[own], even_draws(entropy, STYLES, drawn[rows].size, j))]
    return drawn


def choose(shares: Array, draws: Array) -> Index:
    """Positions that uniform numbers pick from shares that sum to 1."""
    return np.minimum(np.searchsorted(np.cumsum(shares), draws, side="right"), len(shares) - 1)


def render(laws: Callable[[Index], AffineMap], index: Index, decoder: Decoder, entropy: int) -> AnyArray:
    """Draw images of prompts that are one Gaussian each.

    Parameters
    ----------
    laws : callable
        ``prompts -> AffineMap``, ``eps -> z_0`` of the prompts that are asked for, full matrices.
    index : array of int, shape (n,)
        Prompt of each image.
    decoder : Decoder
    entropy : int

    Returns
    -------
    images : array of shape (n, \\*image.shape), of the data's dtype
    """
    image, (k, d) = decoder.image, decoder.encoder.components.shape
    used, index = np.unique(index, return_inverse=True)
    out = np.empty((len(index), image.n_pixels), image.dtype)
    most = max(_LAWS // (8 * k * (4 * k + 2 * d)), 1)
    for first in range(0, len(used), most):
        group = used[first : first + most]
        gain, offset, curves = _to_pixels(laws(group), decoder, group)
        for block, part in blocks(len(index)):
            here = (index[part] >= first) & (index[part] < first + len(group))
            if not here.any():
                continue
            eps, target = start_noise(entropy, block, part.stop - part.start, k), out[part]
            for j, rows in by_prompt(np.where(here, index[part] - first, -1)):
                if j >= 0:
                    pixels = eps[rows] @ gain[j]
                    pixels += offset[j]
                    target[rows] = image.cast(pixels) if curves is None else curves.look_up(pixels, j)
    return image.images(out)


def _to_pixels(law: AffineMap, decoder: Decoder, used: Index) -> tuple[Array, Array, ToneCurves | None]:
    """The map from noise to pixels, or to positions in the tables of the curves, of some prompts; and these curves."""
    gain = law.matrix.swapaxes(-1, -2) @ decoder.encoder.to_pixels  # (p, k, d)
    offset, curves = decoder.encoder.decode(law.shift), None  # (p, d)
    if decoder.curves is not None:
        curves = decoder.curves[used]
        step, low = (np.tile(a, gain.shape[-1] // a.shape[1]) for a in (curves.step, curves.low))
        gain, offset = gain / step[:, None, :], (offset - low) / step
        curves = replace(curves, table=decoder.image.cast(curves.table))  # once a table, not once a pixel
    return gain.astype(np.float32), offset.astype(np.float32), curves


def render_styles(styles: Styles, deviation: Deviation, drawn: Index, decoder: Decoder, entropy: int) -> AnyArray:
    """Draw images of many styles: noise to latents style by style, latents to pixels prompt by prompt.

    Parameters
    ----------
    styles : Styles
        Of m styles.
    deviation : Deviation
    drawn : array of int, shape (n,)
        Style of each image.
    decoder : Decoder
    entropy : int

    Returns
    -------
    images : array of shape (n, \\*image.shape), of the data's dtype
    """
    image, k = decoder.image, styles.means.shape[1]
    out = np.empty((len(drawn), image.n_pixels), image.dtype)
    for start in range(0, len(drawn), _SUPERBLOCK):
        here = slice(start, min(start + _SUPERBLOCK, len(drawn)))
        order = np.argsort(drawn[here], kind="stable")
        z = _ordered_noise(entropy, here, order, k)
        draw = partial(_draw_run, styles, deviation, decoder, drawn[here][order], z, order, out[here])
        size = max(BLOCK, -(-len(z) // blas_threads()))  # a prompt alone is the work of all threads
        owner = styles.owner[drawn[here][order]]
        in_parallel(draw, [(c, part) for c, rows in _runs(owner) for part in _cut(rows, size)])
    return image.images(out)


def _ordered_noise(entropy: int, rows: slice, order: Index, k: int) -> Array:
    """Noise (n, k) of images in a row of blocks, put in order."""
    place, z = np.empty_like(order), np.empty((len(order), k), np.float32)
    place[order] = np.arange(len(order))

    def fill(block: int) -> None:
        first = block * BLOCK
        to = place[first - rows.start : min(first + BLOCK, rows.stop) - rows.start]
        z[to] = start_noise(entropy, block, len(to), k)

    in_parallel(fill, list(_blocks_of(rows)))
    return z


def _draw_run(
    styles: Styles,
    deviation: Deviation,
    decoder: Decoder,
    style: Index,
    z: Array,
    order: Index,
    out: AnyArray,
    run: tuple[int, slice],
) -> None:
    """Draw one prompt's images of those in order: rows of noise z become latents, and pixels in their place."""
    c, rows = run
    to_pixels = decoder.encoder.to_pixels.astype(np.float32)
    present = np.unique(style[rows])
    deviate, frame = deviation(present)
    gain = frame @ to_pixels
    means = (styles.means[present] @ styles.basis[c].T).astype(np.float32) @ to_pixels
    means += decoder.encoder.mean.astype(np.float32)
    for i, (_, own) in enumerate(_runs(style[rows])):
        part = slice(rows.start + own.start, rows.start + own.stop)
        z[part] = deviate(i, z[part])
    for part in _cut(rows, min(BLOCK, max(_PIXELS // decoder.image.n_pixels, 1))):
        numbers = z[part] @ gain
        for j, own in _runs(style[part]):
            numbers[own] += means[np.searchsorted(present, j)]
        out[order[part]] = decoder.develop(numbers, styles.group[style[part]])


def _blocks_of(rows: slice) -> range:
    return range(rows.start // BLOCK, -(-rows.stop // BLOCK))


def _runs(ordered: Index) -> Iterator[tuple[int, slice]]:
    """Runs of the same number in an increasing index: (number, rows)."""
    present, first = np.unique(ordered, return_index=True)
    for j, start, stop in zip(present, first, [*first[1:], len(ordered)], strict=True):
        yield int(j), slice(int(start), int(stop))


def _cut(rows: slice, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, rows.stop)) for start in range(rows.start, rows.stop, size))


def chosen_noise(entropy: int, block: int, n: int, k: int, rows: Index | slice) -> Iterator[Array]:
    """The noise of each step, of some rows of a block."""
    return (step[rows] for step in step_noise(entropy, block, n, k))


def render_path(
    walk: Walk,
    n_levels: int,
    index: Index,
    decoder: Decoder,
    curve: Callable[[Array, int], Index],
    entropy: int,
) -> AnyArray:
    """Draw images with all that the loop passes through.

    Parameters
    ----------
    walk : Walk
    n_levels : int
    index : array of int, shape (n,)
        The prompt (or style) of each image.
    decoder : Decoder
    curve : callable
        ``(z_0 (n, k), prompt or style) -> tone curve of each``. Tone is for the last level only: the others show noise.
    entropy : int

    Returns
    -------
    array of shape (n_levels, n, \\*image.shape)
    """
    image, k = decoder.image, len(decoder.encoder.components)
    out = np.empty((n_levels, len(index), image.n_pixels), image.dtype)
    for block, part in blocks(len(index)):
        n = part.stop - part.start
        eps = start_noise(entropy, block, n, k).astype(np.float64)
        for j, rows in by_prompt(index[part]):
            noise = partial(chosen_noise, entropy, block, n, k, rows)
            for level, z in enumerate(walk(j, eps[rows], noise)):
                target = out[level, part]
                target[rows] = decoder.draw(z, curve(z, j) if level == n_levels - 1 else None)
    return out.reshape(n_levels, len(index), *image.shape)
