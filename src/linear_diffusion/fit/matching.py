"""Calibration: the law that samples are drawn from, such that what leaves the tone curve varies as real images do.

    var[encode(x) | style] = var[z | style],   E[encode(x) | style] = E[z | style],   x = tone(decode(z))

The tone curve pulls pixels to their bounds, which takes a fifth of the variance within styles away and moves their
means. So the law before the curve is widened, along each shared direction of a prompt, and its means are moved, until
the images that come out have the moments of the training images: moment matching by fixed point, on drawn images.
On drawn images too, `match_details` fits the detail curves, which come last.
"""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from ._threads import in_parallel
from ._types import AnyArray, Array, Index
from .detail import DetailCurves, count_differences, fit_detail_curves
from .generate import Generator, Run
from .moments import members
from .noise import CLEAN, DETAILS, MATCHING, derived
from .progress import counted
from .render import draw_styles
from .styles import Calibration, Styles
from .tone import fit_tone_curves

_N_ROUNDS, _SPEED = 8, 1.2
_MOST_DRAWS, _LEAST_DRAWS, _MOST_NUMBERS = 12_000, 2_000, 2**24
"""Images that a round draws, and the pixels that they have at most."""
_MOST_DETAILS, _LEAST_DETAILED = 2**20, 16
"""Pixels that a prompt's detail curves are fitted to at most, and images at least."""
_CHANGE, _RANGE = 1.7, 4.0
"""How much a round may change a standard deviation, and all rounds together."""
_LEAST_FREEDOM = 10
"""Images beyond their styles' number that a prompt needs for its variance to be worth matching, or knowing."""


@dataclass(frozen=True)
class WithinStyles:
    """Means (m, k) of styles and variances (p, k) within them, in the prompts' bases, with images per style (m,)."""

    means: Array
    variances: Array
    counts: Array


def calibrate(generator: Generator, z: Array, labels: Index, weights: Array, histogram: AnyArray) -> Calibration:
    """Find what makes toned images have the moments of the training images.

    Parameters
    ----------
    generator : Generator
        With sharpened styles; images have a pixel range.
    z : array of shape (n, k)
        Latents of the training images.
    labels : array of int, shape (n,)
        Style of each.
    weights : array of shape (p,)
        Frequencies of the prompts.
    histogram : array of shape (groups, channels, 256)
        What the tone curves aim at.

    Returns
    -------
    Calibration
        Of the generator's styles.
    """
    styles, decoder = generator.styles, generator.decoder
    if styles is None or decoder.image.pixel_range is None:
        raise ValueError("calibration needs styles, and images with a pixel range.")
    drawn = np.maximum(np.rint(n_draws(len(z), decoder.image.n_pixels) * weights), 1).astype(int)

    images = members(styles.owner[labels], len(weights))

    def one(prompt: int) -> Calibration:
        own, rows = styles.of(prompt), images[prompt]
        curves = histogram[styles.group[own[0]] : styles.group[own[-1]] + 1]
        return _calibrate(generator.only(prompt), z[rows], labels[rows] - own[0], curves, int(drawn[prompt]))

    found = in_parallel(counted(one, len(weights), "moment matching: prompt"), range(len(weights)))
    means = np.concatenate([part.means for part in found]).astype(np.float32).astype(np.float64)  # what a file keeps
    return Calibration(np.concatenate([part.gain for part in found]), means)


def _calibrate(generator: Generator, z: Array, labels: Index, histogram: AnyArray, n: int) -> Calibration:
    """The calibration of one prompt, by n images a round."""
    styles, decoder = cast(Styles, generator.styles), generator.decoder
    target = moments_within(styles, z, labels)
    found = Calibration(np.ones_like(styles.variances), styles.means)
    if n <= _LEAST_FREEDOM and not target.variances.any():
        return found  # too few images, in training and drawn, to tell what to change
    for n_rounds in range(_N_ROUNDS):
        entropy = derived(0, MATCHING, n_rounds)
        now = replace(generator, styles=styles.widened(found))
        if n_rounds % 2 or n_rounds == 0:  # from one round to the next curves hardly change
            curves = fit_tone_curves(now.pixel_mixtures(), histogram, decoder.image.tone_range)
        now = replace(now, decoder=replace(decoder, curves=curves))
        drawn = draw_styles(entropy, styles, np.zeros(n, np.intp))
        images = now.images(Run("exact", [CLEAN], 0.0, entropy), drawn)
        seen = moments_within(styles, decoder.encoder.encode(decoder.image.rows(images)), drawn)
        gain = np.clip(found.gain * _widening(target, seen), 1 / _RANGE, _RANGE)
        found = Calibration(gain, found.means + _correction(target, seen, styles.owner))
    return found


def match_details(
    generator: Generator, rows: AnyArray, index: Index, weights: Array, histogram: AnyArray
) -> DetailCurves:
    """Find the detail curves of what is drawn through the tone curves.

    Parameters
    ----------
    generator : Generator
        With styles and tone curves, without details.
    rows : array of shape (n, d)
        The training images.
    index : array of int, shape (n,)
        Prompt of each.
    weights : array of shape (p,)
        Frequencies of the prompts.
    histogram : array of shape (p, channels, 256)
        Of their pixels.
    """
    image = generator.decoder.image
    most = max(_MOST_DETAILS // image.n_pixels, 1)
    drawn = np.clip(np.rint(n_draws(*rows.shape) * weights), min(_LEAST_DETAILED, most), most).astype(int)

    known = members(index, len(weights))

    def one(prompt: int) -> tuple[AnyArray, Array]:
        own = generator.only(prompt)
        parts = (rows[known[prompt][start : start + most]] for start in range(0, len(known[prompt]), most))
        target = np.sum([count_differences(image.tones(part), image) for part in parts], axis=0)
        entropy = derived(0, DETAILS)
        style = draw_styles(entropy, cast(Styles, own.styles), np.zeros(drawn[prompt], np.intp))
        images = own.images(Run("exact", [CLEAN], 0.0, entropy), style)
        return fit_detail_curves(image.rows(images), target, histogram[prompt], image)

    work = counted(one, len(weights), "detail curves: prompt")
    shift, table = zip(*in_parallel(work, range(len(weights))), strict=True)
    return DetailCurves(cast(Styles, generator.styles).group_owner, np.stack(shift), np.stack(table))


def n_draws(n: int, d: int) -> int:
    """How many images a round draws, where training has n of d pixels."""
    return int(np.clip(min(_MOST_NUMBERS // d, 4 * n), _LEAST_DRAWS, _MOST_DRAWS))


def moments_within(styles: Styles, z: Array, labels: Index) -> WithinStyles:
    """Moments of latents (n, k) whose styles are given; variances are about the styles' own means."""
    counts = np.bincount(labels, minlength=len(styles.owner)).astype(np.float64)
    means, variances = np.zeros(styles.means.shape), np.zeros(styles.variances.shape)
    prompt = styles.owner[labels]
    for c in range(len(styles.variances)):
        own = np.flatnonzero(prompt == c)
        own = own[np.argsort(labels[own], kind="stable")]
        y = z[own] @ styles.basis[c].astype(z.dtype)
        present, first, seen = np.unique(labels[own], return_index=True, return_counts=True)
        if len(own) > 0:
            means[present] = np.add.reduceat(y, first, axis=0, dtype=np.float64) / seen[:, None]
        freedom = len(own) - len(present)
        if freedom >= _LEAST_FREEDOM:
            y -= np.repeat(means[present].astype(z.dtype), seen, axis=0)
            variances[c] = np.einsum("nk,nk->k", y, y, dtype=np.float64) / freedom
    return WithinStyles(means, variances, counts)


def _widening(target: WithinStyles, seen: WithinStyles) -> Array:
    """What standard deviations are multiplied by in a round, shape (p, k); 1 where nothing is known."""
    known = (target.variances > 0) & (seen.variances > 0)
    ratio = np.divide(target.variances, seen.variances, out=np.ones_like(target.variances), where=known)
    widening: Array = np.clip(np.sqrt(ratio), 1 / _CHANGE, _CHANGE) ** _SPEED
    return widening


def _correction(target: WithinStyles, seen: WithinStyles, owner: Index) -> Array:
    """What means move by in a round, shape (m, k).

    A mean over few drawn images is uncertain, so the difference is shrunk to the share of its mean square, over a
    prompt's styles, that its uncertainty does not explain (James and Stein 1961, by direction). Of a prompt with too
    few drawn images the uncertainty itself is not known: its means stay.
    """
    drawn = seen.counts > 0
    difference = np.where(drawn[:, None], target.means - seen.means, 0.0)
    noise = np.where(drawn, 1 / np.maximum(seen.counts, 1.0), 0.0)
    for c in range(len(seen.variances)):
        own = owner == c
        if seen.counts[own].sum() - drawn[own].sum() < _LEAST_FREEDOM:
            difference[own] = 0.0
        square = (difference[own] ** 2).sum(axis=0)
        explained = noise[own].sum() * seen.variances[c]
        difference[own] *= np.clip(1 - np.divide(explained, square, out=np.ones_like(square), where=square > 0), 0, 1)
    return difference
