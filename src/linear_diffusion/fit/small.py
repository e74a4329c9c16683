"""Small: a fitted model of fewer components and styles, such as a page can carry.

    z' = the first k' of z        g = styles j whose means are near (Ward 1963)
    w_g = sum w_j,  m_g = sum w_j m_j / w_g,  C_g = sum w_j (C_j + (m_j - m_g)(m_j - m_g)') / w_g
    F_g = the widest directions of C_g,   D = sum w_g (C_g - F_g F_g')

So each prompt keeps the mean and the covariance of what latents are left: what lies between styles that become one is
variance within it. Gain, means, and curves are matched anew, as in a fit (`fit.matching`): to the moments of the law,
which a model keeps, and to the histograms of the large model's samples, in the place of those of training images, which
it does not.
"""

from dataclasses import fields, replace
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from scipy.spatial.distance import cdist

from ..denoiser.law import Law
from ..denoiser.moments import count_tones, members
from ..denoiser.prior import LEAST, ClassPrior, joined
from ..draw import Run, draw
from ..image.decoder import Decoder
from ..image.detail import DetailCurves, count_differences
from ..image.pca import PCAEncoder
from ..image.tone import ToneCurves
from ..noise import CLEAN
from ..plan import draw_components, plan
from ..utils.streams import SHRINKING, derived
from ..utils.threads import in_parallel, one_thread
from ..utils.types import AnyArray, Array, Index
from . import Parts
from .clusters import STYLES_A_CURVE
from .matching import WithinComponents, match_details, match_moments, n_draws, tone_curves

Curves = TypeVar("Curves", ToneCurves, DetailCurves)
Part = TypeVar("Part", PCAEncoder, ClassPrior, ToneCurves, DetailCurves)

_LEAST_DRAWN = 16
"""Samples of a prompt that is seldom drawn."""
_HALF = ("component_means", "matched_means", "table")
_SINGLE = ("mean", "std", "components", "variances", "basis", "gain")
"""What is rounded to half precision, and to single: components and bases, which stay orthonormal; variances, which
reach over more powers of ten; and few numbers."""
_PIXELS_A_COMPONENT = 200
"""With so many pixels for each component, components are orthonormal in half precision too: what rounding adds to their
products is spread over the pixels."""


def shrink(parts: Parts, latent_dim: int, styles: int) -> Parts:
    """A model of prompts of their own with so many components, and styles of a prompt, at most. Its numbers are
    rounded; where it has no more components and styles, nothing else changes."""
    large, old = parts.prior, parts.encoder
    if not isinstance(large, ClassPrior):
        raise TypeError(f"{type(large).__name__} has no styles to merge; give a model of prompts of their own.")
    if old.latent_dim <= latent_dim and np.bincount(large.owner).max() <= styles:
        encoder = _rounded(old)
        return Parts(encoder, _rounded(large), _in_tones(replace(parts.decoder, encoder=encoder)))
    encoder = _rounded(_leading(old, latent_dim))

    def one(prompt: int) -> _Merged:
        law, n_curves = large.law(prompt), len(np.unique(large.curves_of(prompt)))
        return _merged(law, encoder.latent_dim, encoder.scale / old.scale, styles, n_curves)

    laws, style_of, curves_of, dropped = zip(*in_parallel(one, range(len(large.weights))), strict=True)
    residual = large.residual + np.array(dropped) / old.scale**2
    first = np.cumsum([0, *(int(own.max()) + 1 for own in curves_of)])
    curves = np.concatenate([own + f for own, f in zip(curves_of, first, strict=False)])
    prior = _rounded(joined(large.text, large.weights, residual, laws, curves))
    if parts.decoder.curves is None:
        return Parts(encoder, prior, Decoder(encoder, parts.decoder.image))
    return _matched(parts, encoder, prior, np.concatenate(style_of))


def _matched(parts: Parts, encoder: PCAEncoder, prior: ClassPrior, style_of: Index) -> Parts:
    """A small model with its gain, means and curves, from a large one and the new style of each of its styles (m,)."""
    large, image, decoder = cast(ClassPrior, parts.prior), parts.decoder.image, Decoder(encoder, parts.decoder.image)
    rows, index, style = _samples(large, parts.decoder)
    new = style_of[np.searchsorted(large.owner, index) + style] + np.searchsorted(prior.owner, index)
    curve = prior.curves[new]
    of_curves = [count_tones(image.tones(rows[own]), image.n_channels) for own in members(curve, int(curve.max()) + 1)]
    histogram = np.stack(of_curves)
    if large.gain is not None:
        targets = [_within(prior.law(j)) for j in range(len(prior.weights))]
        prior = _rounded(match_moments(prior, decoder, targets, histogram, len(rows)))
    decoder = _in_tones(replace(decoder, curves=tone_curves(prior, decoder, histogram)))
    if parts.decoder.details is not None:
        each = [rows[own] for own in members(index, len(prior.weights))]
        of_prompts = np.stack([count_tones(image.tones(own), image.n_channels) for own in each])
        differences = np.stack([count_differences(image.tones(own), image) for own in each])
        details = match_details(prior, decoder, differences, of_prompts, n_draws(len(rows), image.n_pixels))
        decoder = _in_tones(replace(decoder, details=details))
    return Parts(encoder, prior, decoder)


class _Merged(NamedTuple):
    """What is left of a prompt: its law, the new style of each old one, the tone curve of each new one, and the mean
    squared length of the latents that were dropped."""

    law: Law
    style_of: Index
    curves: Index
    dropped: float


def _merged(law: Law, k: int, unit: float, styles: int, n_curves: int) -> _Merged:
    """A prompt's law of k latents in another unit, with so many styles and tone curves at most."""
    own = law.basis @ law.factors.astype(np.float64)  # (s, K, r), in latents
    squares = (own[:, k:] ** 2).sum(axis=(1, 2)) + (law.means[:, k:] ** 2).sum(axis=1)
    dropped = float((law.basis[k:] ** 2 @ law.variances).sum() + law.shares @ squares)
    own, means = unit * own[:, :k], unit * law.means[:, :k]
    shared = unit**2 * (law.basis[:k] * law.variances) @ law.basis[:k].T
    style_of = _ward(law.shares, means, styles)
    curve_of = _ward(law.shares, means, max(min((style_of.max() + 1) // STYLES_A_CURVE, n_curves), 1))
    first = np.unique(style_of, return_index=True)[1]
    order = np.argsort(curve_of[first], kind="stable")  # styles of a curve are neighbours in number as well
    style_of, curves = np.argsort(order)[style_of], np.unique(curve_of[first][order], return_inverse=True)[1]
    return _Merged(_law(law.shares, means, own, shared, style_of), style_of, curves, dropped)


def _law(shares: Array, means: Array, own: Array, shared: Array, style_of: Index) -> Law:
    """The law of new styles, from old ones: frequencies (s,), means (s, k), factors in latents (s, k, r) and the
    covariance (k, k) that all have beside their own."""
    k, r = own.shape[1:]
    of_style = np.where(style_of == np.arange(style_of.max() + 1)[:, None], shares, 0.0)
    weights = of_style.sum(axis=1)
    centers = of_style @ means / weights[:, None]
    if r == 0:
        return _in_basis(weights, centers, np.zeros((len(weights), k, 0)), shared)
    apart = means - centers[style_of]
    roots = np.sqrt(shares / weights[style_of])[:, None, None] * np.concatenate([own, apart[:, :, None]], axis=2)
    covariances = np.empty((len(weights), k, k))
    for g in range(len(weights)):
        root = np.concatenate(list(roots[style_of == g]), axis=1)
        covariances[g] = shared + root @ root.T
    with one_thread():
        values, vectors = np.linalg.eigh(covariances)
    factors = (vectors * np.sqrt(values.clip(0.0))[:, None])[:, :, ::-1][:, :, :r]
    factors = factors * np.where(factors.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
    rest = covariances - factors @ factors.swapaxes(1, 2)
    return _in_basis(weights, centers, factors, np.tensordot(weights, rest, 1))


def _in_basis(weights: Array, means: Array, factors: Array, rest: Array) -> Law:
    """A law of factors in latents, and of the covariance that is left."""
    with one_thread():
        variances, basis = np.linalg.eigh(rest)
    return Law(weights, means, (basis.T @ factors).astype(np.float32), basis, np.maximum(variances, LEAST))


def _ward(weights: Array, means: Array, n: int) -> Index:
    """Which of n groups each of s weighted points (s, k) is of, numbered by their first ones: the two groups whose
    union adds least to what lies within become one, until n are left."""
    group = np.arange(len(weights))
    weights, means = weights.copy(), means.copy()
    apart = cdist(means, means, "sqeuclidean")
    while len(weights) > n:
        cost = apart * np.outer(weights, weights) / np.add.outer(weights, weights)
        cost[np.diag_indices_from(cost)] = np.inf
        i, j = divmod(int(cost.argmin()), len(cost))  # i < j: the cost is symmetric, and the first least counts
        means[i] = np.average(means[[i, j]], axis=0, weights=weights[[i, j]])
        weights[i] += weights[j]
        group[group == j] = i
        group[group > j] -= 1
        weights, means, apart = np.delete(weights, j), np.delete(means, j, 0), np.delete(np.delete(apart, j, 0), j, 1)
        apart[i] = apart[:, i] = ((means - means[i]) ** 2).sum(axis=1)
    return np.unique(group, return_inverse=True)[1]


def _within(law: Law) -> WithinComponents:
    """The moments of a law's components, in its basis."""
    own = np.einsum("s,skr,skr->k", law.shares, law.factors, law.factors)
    return WithinComponents(law.means @ law.basis, law.variances + own, np.ones(len(law.shares)))


def _samples(prior: ClassPrior, decoder: Decoder) -> tuple[AnyArray, Index, Index]:
    """Finished images of a model as rows (n, d), the prompt of each, and its style among the prompt's."""
    n, entropy = n_draws(10**9, decoder.image.n_pixels), derived(0, SHRINKING)
    counts = np.maximum(np.rint(n * prior.weights), _LEAST_DRAWN).astype(int)
    index = np.repeat(np.arange(len(counts)), counts)
    style = draw_components(entropy, prior, index)
    mixes = [((j, 1.0),) for j in range(len(counts))]
    images = draw(plan(prior, decoder, mixes, index, style), Run(None, [CLEAN], 0.0, entropy))
    return decoder.image.rows(images), index, style


def component_bytes(k: int, d: int) -> int:
    """Bytes of a number of k components of d pixels."""
    return 2 if d >= _PIXELS_A_COMPONENT * k else 4


def _leading(encoder: PCAEncoder, k: int) -> PCAEncoder:
    """The first k components, with latents of a mean variance of 1 where they had it."""
    variances, scale = encoder.variances[:k], encoder.scale
    if variances.any() and np.isclose(scale**2 * encoder.variances.mean(), 1.0):
        scale = float(1 / np.sqrt(variances.mean()))
    return replace(encoder, components=encoder.components[:k], variances=variances, scale=scale)


def _in_tones(decoder: Decoder) -> Decoder:
    """A decoder with rounded curves; where pixels are whole numbers, to these, as what comes out is rounded anyway."""
    image = decoder.image
    whole = np.dtype(image.dtype).kind in "biu" and (image.origin, image.unit) == (0.0, 1.0)

    def rounded(curves: Curves) -> Curves:
        return _rounded(replace(curves, table=np.rint(curves.table) if whole else curves.table))

    curves, details = decoder.curves, decoder.details
    return replace(decoder, curves=curves and rounded(curves), details=details and rounded(details))


def _rounded(part: Part) -> Part:
    """A part of a model with numbers that take less room."""
    kept = {f.name: a for f in fields(part) if (a := getattr(part, f.name)) is not None}
    changes: dict[str, Any] = {name: _half(kept[name]) for name in _HALF if name in kept}
    changes |= {name: _single(kept[name]) for name in _SINGLE if name in kept}
    if "components" in kept and component_bytes(*kept["components"].shape) == 2:
        changes["components"] = _half(kept["components"])
    return replace(part, **changes)


def _half(a: Array) -> Array:
    """Rounded to half precision; to single precision where half would lose more than its last digit, or overflow."""
    with np.errstate(over="ignore"):
        rounded = a.astype(np.float16).astype(a.dtype)
    error, largest = np.abs(rounded - a).max(initial=0.0), np.abs(a).max(initial=0.0)
    return rounded if error <= 2.0**-11 * largest else _single(a)


def _single(a: Array) -> Array:
    return a.astype(np.float32).astype(a.dtype)
