"""Noise -> images at speed: one matrix product a prompt, one table look-up a pixel.

    x = tone(eps @ gain + offset),   gain = root' W,   offset = mean W + pixel mean

The law of z_0 (`sampler.compile_law`) and the decoder are both affine, so they are folded into one map from noise to
pixels before any image is drawn; with a tone curve the map goes straight to positions in its table.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from ._types import AnyArray, Array, Index
from .affine import AffineMap
from .image import ImageFormat, PCAEncoder
from .noise import BLOCK, PROMPTS, blocks, start_noise, step_noise, stream
from .text import by_prompt
from .tone import ToneCurves

Walk = Callable[[int, Array, Iterator[Array]], Iterator[Array]]


def draw_prompts(entropy: int, weights: Array, n: int) -> Index:
    """Prompt positions of n images, drawn as often as in training."""
    edges = np.cumsum(weights)
    drawn = [stream(entropy, PROMPTS, block).random(BLOCK)[: part.stop - part.start] for block, part in blocks(n)]
    return np.minimum(np.searchsorted(edges, np.concatenate([np.zeros(0), *drawn]), side="right"), len(weights) - 1)


def render(
    law: AffineMap,
    index: Index,
    encoder: PCAEncoder,
    image: ImageFormat,
    curves: ToneCurves | None,
    entropy: int,
) -> AnyArray:
    """Draw images.

    Parameters
    ----------
    law : AffineMap
        ``eps -> z_0`` of p prompts, full matrices.
    index : array of int, shape (n,)
        Which of the p prompts each image has.
    encoder, image, curves
        The decoder; curves of the same p prompts, or None.
    entropy : int

    Returns
    -------
    images : array of shape (n, \\*image.shape), of the data's dtype
    """
    gain = law.matrix.swapaxes(-1, -2) @ encoder.to_pixels  # (p, k, d)
    offset = encoder.decode(law.shift)  # (p, d)
    if curves is not None:
        step, low = (np.tile(a, gain.shape[-1] // a.shape[1]) for a in (curves.step, curves.low))
        gain, offset = gain / step[:, None, :], (offset - low) / step
        curves = replace(curves, table=image.cast(curves.table))  # once a table, not once a pixel
    gain, offset = gain.astype(np.float32), offset.astype(np.float32)
    out = np.empty((len(index), image.n_pixels), image.dtype)
    for block, part in blocks(len(index)):
        eps = start_noise(entropy, block, part.stop - part.start, law.k)
        target = out[part]
        for j, rows in by_prompt(index[part]):
            pixels = eps[rows] @ gain[j]
            pixels += offset[j]
            target[rows] = image.cast(pixels) if curves is None else curves.look_up(pixels, j)
    return image.images(out)


def render_path(
    walk: Walk,
    n_levels: int,
    index: Index,
    encoder: PCAEncoder,
    image: ImageFormat,
    curves: ToneCurves | None,
    entropy: int,
) -> AnyArray:
    """Draw images with all that the loop passes through.

    Parameters
    ----------
    walk : callable
        ``(prompt, start noise (n, k), noise of each step (n, k)) -> z at each level``.
    n_levels : int
    index : array of int, shape (n,)
        The prompt of each image.
    encoder, image, curves
        The decoder; the curve is for the last level only, the others show noise.
    entropy : int

    Returns
    -------
    array of shape (n_levels, n, \\*image.shape)
    """
    out = np.empty((n_levels, len(index), image.n_pixels), image.dtype)
    k = len(encoder.components)
    for block, part in blocks(len(index)):
        n = part.stop - part.start
        eps = start_noise(entropy, block, n, k).astype(np.float64)
        for j, rows in by_prompt(index[part]):
            noise = (step[rows] for step in step_noise(entropy, block, n, k))
            for level, z in enumerate(walk(j, eps[rows], noise)):
                at_end = level == n_levels - 1
                out[level, part][rows] = finish(z, j, encoder, image, curves if at_end else None)
    return out.reshape(n_levels, len(index), *image.shape)


def finish(z: Array, prompt: int, encoder: PCAEncoder, image: ImageFormat, curves: ToneCurves | None) -> AnyArray:
    """Decode latents (n, k) of one prompt to pixels (n, d) of the data's dtype, tone curve included."""
    pixels = encoder.decode(z)
    if curves is not None:
        step, low = (np.tile(a[prompt], pixels.shape[1] // a.shape[1]) for a in (curves.step, curves.low))
        pixels = curves.look_up((pixels - low) / step, prompt)
    return image.cast(pixels)
