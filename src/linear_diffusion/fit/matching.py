"""Moment matching: the law that samples are drawn from, such that finished images vary as real ones do.

    var[encode(x) | component] = var[z | component],   E[encode(x) | component] = E[z | component]
    x = tone(decode(z))

The tone curve pulls pixels to their bounds, which takes a fifth of the variance within styles away and moves their
means. So the law before the curve is widened, along the basis of a prompt, and its means are moved, until the images
that come out have the moments of the training images: by fixed point, on drawn images. On drawn images too,
`match_details` fits the detail curves, which come last.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..denoiser.law import Law
from ..denoiser.prior import ClassPrior
from ..draw import Run, draw
from ..image.decoder import Decoder
from ..image.detail import DetailCurves, fit_detail_curves
from ..image.tone import ToneCurves, fit_tone_curves
from ..noise import CLEAN
from ..plan import draw_components, plan
from ..utils.progress import counted
from ..utils.streams import DETAILS, MATCHING, derived
from ..utils.threads import in_parallel
from ..utils.types import AnyArray, Array, Index

_SPEEDS = (1.4, 1.2, 1.2, 1.0, 1.0, 1.0)
"""Powers of what standard deviations are multiplied by, a round each: fewer rounds match worse, and more change nothing
beyond chance (benchmarks/styles.py, "1 round of matching", "3 rounds of matching", "8 rounds of matching")."""
_MOST_DRAWS, _LEAST_DRAWS, _MOST_NUMBERS = 12_000, 2_000, 2**24
"""Images that a round draws at most (benchmarks/styles.py, "6,000 images drawn a round", "20,000 images drawn a
round"), and at least, of small data; and their pixels at most, 16 MB of bytes."""
_MOST_DETAILS, _LEAST_DETAILED = 2**20, 16
"""Pixels that a prompt's detail curves are fitted to at most, which bounds time and memory (benchmarks/styles.py,
"detail curves of a quarter of the pixels"); and images at least, of a prompt that is seldom drawn."""
_CHANGE, _RANGE = 1.7, 4.0
"""How much a round may change a standard deviation, and all rounds together: directions that hardly vary in training do
not run away (benchmarks/styles.py, "rounds of matching without bounds")."""
_LEAST_FREEDOM = 10
"""Images beyond their components' number that a prompt needs for its variance to be worth matching, or knowing: with
fewer, a standard deviation is off by more than ``1 / sqrt(2 * 10)``, a fifth."""

MOST_COMPONENTS = 1024
"""Components of a family that are drawn to match it, at most: a thousand tell how all differ from real images."""
_ROUNDING = 1e-10
"""Share of a direction's mean square below which variance within components is rounding."""


@dataclass(frozen=True)
class WithinComponents:
    """Means (s, k) of components and variances (k,) within them, in the prompt's basis, with images of each (s,)."""

    means: Array
    variances: Array
    counts: Array


def tone_curves(prior: ClassPrior, decoder: Decoder, histogram: AnyArray) -> ToneCurves:
    """The tone curves of all families, from what is drawn of them before any curve to histograms (curves, c, 256)."""
    encoder = decoder.encoder

    def one(family: int) -> ToneCurves:
        own = prior.only(family, some_of(prior, family))
        means, variances = own.law(0).mixture.pixel_moments(encoder.to_pixels)
        variances = np.broadcast_to(variances, means.shape)  # without own directions, components have the same
        groups = [own.curves == g for g in np.unique(own.curves)]
        mixtures = ((means[group] + encoder.mean, variances[group], own.shares[group]) for group in groups)
        numbers = np.unique(prior.curves[prior.components_of(family)])
        return fit_tone_curves(mixtures, histogram[numbers], decoder.image.tone_range)

    return ToneCurves.joined(in_parallel(one, range(len(prior.basis))))


def some_of(prior: ClassPrior, family: int) -> Index:
    """Positions of a family's components: all, or where they are very many some of each curve, as even as can be."""
    own = prior.components_of(family)
    if len(own) <= MOST_COMPONENTS:
        return own
    by_curve = own[np.argsort(prior.curves[own], kind="stable")]
    first = np.unique(prior.curves[by_curve], return_index=True)[1]
    even = np.linspace(0, len(own) - 1, MOST_COMPONENTS).astype(np.intp)
    return np.sort(by_curve[np.union1d(first, even)])


def match_moments(
    prior: ClassPrior, decoder: Decoder, targets: Sequence[WithinComponents], histogram: AnyArray, n: int
) -> ClassPrior:
    """The prior with what makes finished images have the moments of the training images, of each family, by n images a
    round, of all prompts together. The decoder has no curves yet; they aim at histograms (curves, channels, 256)."""
    weights = np.bincount(prior.family_of, prior.weights)
    drawn = np.maximum(np.rint(n * weights), 1).astype(int)

    def one(family: int) -> tuple[Array, Array]:
        every, some = prior.components_of(family), some_of(prior, family)
        own, target = prior.only(family, some), targets[family]
        among = np.searchsorted(every, some)
        target = replace(target, means=target.means[among], counts=target.counts[among])
        numbers = np.unique(prior.curves[every])
        gain, means = _match(own, decoder, target, histogram[numbers], int(drawn[family]))
        moved = prior.component_means[every].astype(np.float64)
        moved += own.shares @ (means - moved[among])  # the others move as those that were drawn, on average
        moved[among] = means
        return gain, moved

    found = in_parallel(counted(one, len(prior.basis), "moment matching: prompt"), range(len(prior.basis)))
    means = np.empty(prior.component_means.shape, np.float32)
    for family, (_, own) in enumerate(found):
        means[prior.components_of(family)] = own
    return replace(prior, gain=np.stack([gain for gain, _ in found]), matched_means=means)


def target_of(law: Law, counts: Array, within: Array, about_zero: Array) -> WithinComponents:
    """The moments that a family's images have, in the basis of its law: of components with so many images (s,), from
    their latents' scatter (k, k) about their means and about zero."""
    freedom, variances = counts.sum() - len(counts), np.zeros(len(within))
    if freedom >= _LEAST_FREEDOM:
        spread, whole = (np.einsum("ki,kl,li->i", law.basis, a, law.basis, optimize=True) for a in (within, about_zero))
        variances = np.where(spread > _ROUNDING * whole, spread, 0.0) / freedom
    return WithinComponents(law.means @ law.basis, variances, counts)


def _match(
    prior: ClassPrior, decoder: Decoder, target: WithinComponents, histogram: AnyArray, n: int
) -> tuple[Array, Array]:
    """Gain (k,) and means (s, k) of the only prompt of a prior, by n images a round."""
    law = prior.law(0)
    # Straight into the basis: one product for each image, not two.
    encoder = replace(decoder.encoder, components=law.basis.T @ decoder.encoder.components)
    gain, means = np.ones_like(law.variances), law.means
    if n <= _LEAST_FREEDOM and not target.variances.any():
        return gain, means  # too few images, in training and drawn, to tell what to change
    for i, speed in enumerate(_SPEEDS):
        now = replace(prior, gain=gain[None], matched_means=means)
        if i in (0, 1, 3):  # from one round to the next, and later on, curves hardly change
            decoder = replace(decoder, curves=tone_curves(now, decoder, histogram))
        images, drawn = _draw(now, decoder, n, derived(0, MATCHING, i))
        seen = moments_within(encoder.encode(decoder.image.rows(images)), drawn, len(law.shares))
        gain = np.clip(gain * _widening(target, seen) ** speed, 1 / _RANGE, _RANGE)
        means = means + _correction(target, seen) @ law.basis.T
    return gain, means


def match_details(prior: ClassPrior, decoder: Decoder, differences: Array, histogram: AnyArray, n: int) -> DetailCurves:
    """Find the detail curves of what is drawn through the tone curves, by n images of all prompts together, to
    histograms of each family's differences (g, channels, 3, 1021) and pixels (g, channels, 256)."""
    image, weights = decoder.image, np.bincount(prior.family_of, prior.weights)
    most = max(_MOST_DETAILS // image.n_pixels, 1)
    drawn = np.clip(np.rint(n * weights), min(_LEAST_DETAILED, most), most).astype(int)

    def one(family: int) -> tuple[AnyArray, Array]:
        numbers = np.unique(prior.curves[prior.components_of(family)])
        own = replace(decoder, curves=decoder.curves and decoder.curves[numbers])
        some = prior.only(family, some_of(prior, family))
        images, _ = _draw(some, own, int(drawn[family]), derived(0, DETAILS))
        return fit_detail_curves(image.rows(images), differences[family], histogram[family], image)

    g = len(prior.basis)
    shift, table = zip(*in_parallel(counted(one, g, "detail curves: prompt"), range(g)), strict=True)
    return DetailCurves(prior.curve_owner, np.stack(shift), np.stack(table))


def n_draws(n: int, d: int) -> int:
    """How many images a round draws, where training has n of d pixels."""
    return int(np.clip(min(_MOST_NUMBERS // d, 4 * n), _LEAST_DRAWS, _MOST_DRAWS))


def _draw(prior: ClassPrior, decoder: Decoder, n: int, entropy: int) -> tuple[AnyArray, Index]:
    """Images of the only prompt of a prior, and their components."""
    drawn = draw_components(entropy, prior, np.zeros(n, np.intp))
    return draw(
        plan(prior, decoder, [((0, 1.0),)], np.zeros(n, np.intp), drawn), Run(None, [CLEAN], 0.0, entropy)
    ), drawn


def moments_within(y: Array, labels: Index, n_components: int) -> WithinComponents:
    """Moments of rows (n, k) whose components are given; variances are about the components' own means."""
    counts = np.bincount(labels, minlength=n_components).astype(np.float64)
    means, variances = np.zeros((n_components, y.shape[1])), np.zeros(y.shape[1])
    order = np.argsort(labels, kind="stable")
    y = y[order]
    present, first, seen = np.unique(labels[order], return_index=True, return_counts=True)
    means[present] = np.add.reduceat(y, first, axis=0, dtype=np.float64) / seen[:, None]
    freedom = len(y) - len(present)
    if freedom >= _LEAST_FREEDOM:
        y -= np.repeat(means[present].astype(y.dtype), seen, axis=0)
        variances = np.einsum("nk,nk->k", y, y, dtype=np.float64) / freedom
    return WithinComponents(means, variances, counts)


def _widening(target: WithinComponents, seen: WithinComponents) -> Array:
    """What standard deviations are multiplied by in a round, shape (k,); 1 where nothing is known."""
    known = (target.variances > 0) & (seen.variances > 0)
    ratio = np.divide(target.variances, seen.variances, out=np.ones_like(target.variances), where=known)
    return np.clip(np.sqrt(ratio), 1 / _CHANGE, _CHANGE)


def _correction(target: WithinComponents, seen: WithinComponents) -> Array:
    """What means move by in a round, in the basis, shape (s, k).

    A mean over few drawn images is uncertain, so the difference is shrunk to the share of its mean square, over a
    prompt's components, that its uncertainty does not explain (James and Stein 1961, by direction). With too few drawn
    images the uncertainty itself is not known: means stay.
    """
    drawn = seen.counts > 0
    difference = np.where(drawn[:, None], target.means - seen.means, 0.0)
    if seen.counts.sum() - drawn.sum() < _LEAST_FREEDOM:
        return np.zeros_like(difference)
    square = (difference**2).sum(axis=0)
    explained = np.where(drawn, 1 / np.maximum(seen.counts, 1.0), 0.0).sum() * seen.variances
    return difference * np.clip(1 - np.divide(explained, square, out=np.ones_like(square), where=square > 0), 0, 1)
