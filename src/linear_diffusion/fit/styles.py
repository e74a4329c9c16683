"""Styles: what is learned of images that look alike, once their centres are fixed (docs/mathematics.md, "Styles").

    C_j = (n_j S_j + b T_j) / (n_j + b),   F_j = C_j U (U' C_j U)^(-1/2),   rest = mean of C_j - F_j F_j'

A style has few images, so its covariance leans on its neighbours' mean T_j, as far as the data ask for it. Its own
directions are among few leading ones of the prompt, so that detail follows from what is coarse: drawn by itself, detail
is noise. What a law of styles is and does is in `denoiser.law`.

All is a sum over images, in one pass each: what styles are, what they vary along, and what they share.

Prompts with fewer images than latents have directions are a *family*: they share leading directions U, basis and rest,
and where a prompt has one style alone, T_j is the mean covariance of the whole family.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial.distance import cdist

from ..denoiser.law import Law
from ..denoiser.moments import N_TONES, count_tones
from ..denoiser.prior import LEAST
from ..image.detail import N_DIFFERENCES, N_FILTERS, count_differences, has_details
from ..image.format import ImageFormat
from ..utils.groups import by_group, cut
from ..utils.threads import in_parallel, one_thread
from ..utils.types import AnyArray, Array, Index
from .clusters import Nearest, find_centres
from .source import Latents, Source, Sums

RANK = 16
"""Directions of a style's own (benchmarks/styles.py, "12 directions per style", "24 directions per style")."""
LEADING = 25
"""Leading directions of a prompt, in whose span its styles' own directions begin (benchmarks/styles.py, "own directions
begin in 16 of the prompt's", "own directions begin in 80 of the prompt's")."""
_ROWS = 4096
"""Rows of a product that are turned to float64 at once, which fit in a cache."""
SIDE_BY_SIDE = 256
"""Styles whose covariances are worked on at once."""
_NEIGHBOURS = 8
"""Styles whose scatter counts in that of one, since it has few images itself (benchmarks/styles.py, "3 neighbours
lend", "30 neighbours lend")."""
_MOST_LENT = 1000.0
"""Images that others' covariance counts as at most: a thousand are as good as any number."""


class Styles(NamedTuple):
    """What is learned of the m styles of p prompts in g families, a prompt after the other.

    ``laws``: of each family, as if it were one prompt; ``owner`` (m,): prompt of each style; ``curves`` (m,): styles
    that look most alike share tone curves, numbered a family after the other; ``counts`` (m,): images of each style;
    ``leaning`` (m,): share of the family's law in a style's covariance; ``within`` and ``about_zero`` (g, k, k):
    scatter of latents about their styles' means, and about zero; ``squares`` (p,): mean squared length of a prompt's
    latents; ``histogram`` (m, channels, 256): of each style's pixels; ``differences`` (g, channels, 3, 1021): of
    neighbouring pixels.
    """

    laws: list[Law]
    owner: Index
    curves: Index
    counts: Array
    leaning: Array
    within: Array
    about_zero: Array
    squares: Array
    histogram: Array
    differences: Array


def families(counts: Index, k: int) -> Index:
    """The family of each prompt (p,), from its images (p,) and the dimension of latents: prompts with fewer images than
    latents have directions are one, each other is one by itself; in the order of their first prompts.

    >>> families(np.array([3, 900, 5, 700]), 500)
    array([0, 1, 0, 2])
    """
    own = np.arange(len(counts))
    few = np.flatnonzero(counts < k)
    own[few] = few[0] if len(few) else 0
    return np.unique(own, return_inverse=True)[1]


def fit_styles(
    source: Source,
    latents: Latents,
    family: Index,
    n_styles: int,
    floor: float,
    ridge: float = 0.0,
    seed: int = 0,
    *,
    toned: bool = False,
) -> Styles:
    """Find the styles of each prompt, whose families (p,) are given. A prompt has ``n_styles`` at most, and never more
    than one for ten images; shared variances have a floor, and the ridge is added to them. Where samples are ``toned``,
    pixels are counted."""
    labels, curves = find_centres(source, latents, family, n_styles, seed)
    return describe(source, latents, family, labels, curves, floor, ridge, toned=toned)


def describe(
    source: Source,
    latents: Latents,
    family: Index,
    labels: Nearest,
    curves: Index,
    floor: float,
    ridge: float = 0.0,
    *,
    toned: bool = False,
) -> Styles:
    """Learn styles whose images ``labels`` tell: means, own directions, and what they share."""
    of_family = [rows_of(family[labels.owner], g) for g in range(int(family.max()) + 1)]
    sums = source.total(StyleSums(latents, labels, family, source.image if toned else None), "what styles are")
    counts, means = sums.counts, sums.totals / sums.counts[:, None]
    within = sums.scatter.copy()
    for g, own in enumerate(of_family):
        within[g] -= (means[own] * counts[own, None]).T @ means[own]
    leading = np.stack([_leading(scatter) for scatter in within])
    thin = source.total(ThinScatter(latents, labels, family, means, leading), "what styles vary along")

    def lend(g: int) -> Lent:
        own = of_family[g]
        return _lent(counts[own], means[own], labels.owner[own], thin.scatter[own], leading[g], thin.fourth)

    lent = in_parallel(lend, range(len(of_family)))
    thin.scatter = np.empty(0)  # the largest of all arrays
    weight, leaning = np.ones(len(means)), np.zeros(len(means))
    for own, found in zip(of_family, lent, strict=True):
        weight[own], leaning[own] = found.weight, found.leaning
    rest = source.total(SharedScatter(latents, labels, family, means, weight), "what styles share").scatter

    def law(g: int) -> Law:
        shares = counts[of_family[g]] / counts[of_family[g]].sum()
        return _law(shares, means[of_family[g]], lent[g].factors, rest[g], floor, ridge)

    return Styles(
        laws=in_parallel(law, range(len(of_family))),
        owner=labels.owner,
        curves=curves,
        counts=counts,
        leaning=leaning,
        within=within,
        about_zero=sums.scatter,
        squares=sums.squares / source.counts,
        histogram=sums.histogram,
        differences=sums.differences,
    )


def means_and_scatter(source: Source, latents: Latents) -> "StyleSums":
    """The sums of prompts that are one style each, and one family."""
    p = len(source.classes)
    labels, together = Nearest(np.zeros((p, 0)), np.arange(p)), np.zeros(p, np.intp)
    return source.total(StyleSums(latents, labels, together, None), "means of prompts")


def one_gaussian(means: Array, shares: Array, covariance: Array, ridge: float) -> Law:
    """The law of prompts with means (p, k) that share a covariance (k, k), as if they were one prompt."""
    variances, basis = np.linalg.eigh(covariance)
    return Law(shares, means, np.zeros((*means.shape, 0), np.float32), basis, variances.clip(0.0) + ridge)


def rows_of(index: Index, g: int) -> Index | slice:
    """Where an index is g; a slice where these follow each other, which spares copies."""
    rows = np.flatnonzero(index == g)
    follow = rows[-1] - rows[0] == len(rows) - 1
    return slice(int(rows[0]), int(rows[-1]) + 1) if follow else rows


class _OfStyles(Sums):
    """Sums over latents whose styles are given by the nearest centre."""

    def __init__(self, latents: Latents, labels: Nearest, family: Index) -> None:
        self.latents, self.labels, self.family = latents, labels, family

    def encoded(self, rows: AnyArray, index: Index) -> Iterator[tuple[slice, Array, Index]]:
        """Parts of a batch: which rows, their latents in float64, and their styles."""
        z = self.latents(rows)
        for part in cut(len(z), _ROWS):
            yield part, z[part].astype(np.float64), self.labels(z[part], index[part])


class StyleSums(_OfStyles):
    """How many images each style has, the sum of their latents, and the histogram of their pixels; the scatter about
    zero of each family, and the differences of its pixels; and the squared lengths of each prompt's latents."""

    summed = ("counts", "totals", "squares", "scatter", "histogram", "differences")

    def __init__(self, latents: Latents, labels: Nearest, family: Index, image: ImageFormat | None) -> None:
        super().__init__(latents, labels, family)
        m, g, k = len(labels.owner), int(family.max()) + 1, latents.latent_dim
        self.image = image
        self.counts, self.totals, self.squares = np.zeros(m), np.zeros((m, k)), np.zeros(len(family))
        self.scatter = np.zeros((g, k, k))
        c = 0 if image is None else image.n_channels
        self.histogram = np.zeros((m, c, N_TONES))
        self.differences = np.zeros((g, c if image and has_details(image) else 0, N_FILTERS, N_DIFFERENCES))

    def add(self, rows: AnyArray, index: Index) -> None:
        m, p = len(self.counts), len(self.squares)
        for part, z, style in self.encoded(rows, index):
            self.counts += np.bincount(style, minlength=m)
            self.squares += np.bincount(index[part], np.einsum("nk,nk->n", z, z), minlength=p)
            present, own = np.unique(style, return_inverse=True)
            one_hot = csr_array((np.ones(len(z)), (own, np.arange(len(z)))), shape=(len(present), len(z)))
            self.totals[present] += one_hot @ z
            for g, few in by_group(self.family[index[part]]):
                self.scatter[g] += z[few].T @ z[few]
            if self.image is not None:
                self._count(self.image, rows[part], index[part], style)

    def _count(self, image: ImageFormat, rows: AnyArray, index: Index, style: Index) -> None:
        """Count tones and differences."""
        tones = image.tones(rows)
        for j, own in by_group(style):
            self.histogram[j] += count_tones(tones[own], image.n_channels)
        if self.differences.size:
            for g, own in by_group(self.family[index]):
                self.differences[g] += count_differences(tones[own], image)


class ThinScatter(_OfStyles):
    """Scatter of each style times the leading directions of its family, shape (m, k, leading); and the sum of fourth
    powers of what latents are along these, for each prompt."""

    summed = ("scatter", "fourth")

    def __init__(self, latents: Latents, labels: Nearest, family: Index, means: Array, leading: Array) -> None:
        super().__init__(latents, labels, family)
        self.means, self.leading = means, leading
        self.scatter, self.fourth = np.zeros((*means.shape, leading.shape[2])), np.zeros(len(family))

    def add(self, rows: AnyArray, index: Index) -> None:
        for part, z, style in self.encoded(rows, index):
            x = z - self.means[style]
            for g, own in by_group(self.family[index[part]]):
                few, labels = x[own], style[own]
                along = few @ self.leading[g]
                square = (along**2).sum(axis=1)
                self.fourth += np.bincount(index[part][own], square**2, len(self.fourth))
                with one_thread():
                    for j, these in by_group(labels):
                        self.scatter[j] += few[these].T @ along[these]


class SharedScatter(_OfStyles):
    """Scatter of each family's latents about their styles' means, each style with its weight, shape (g, k, k)."""

    summed = ("scatter",)

    def __init__(self, latents: Latents, labels: Nearest, family: Index, means: Array, weight: Array) -> None:
        super().__init__(latents, labels, family)
        self.means, self.root = means, np.sqrt(weight)
        self.scatter = np.zeros((int(family.max()) + 1, latents.latent_dim, latents.latent_dim))

    def add(self, rows: AnyArray, index: Index) -> None:
        for part, z, style in self.encoded(rows, index):
            x = (z - self.means[style]) * self.root[style, None]
            for g, own in by_group(self.family[index[part]]):
                self.scatter[g] += x[own].T @ x[own]


class Lent(NamedTuple):
    """Of s styles of a family: factors (s, k, r) from the covariances that they are lent; how much an image of each
    counts in the mean of these (s,); and the share of the family's law in each (s,)."""

    factors: Array
    weight: Array
    leaning: Array


def _lent(counts: Array, means: Array, owner: Index, scatter: Array, leading: Array, fourth: Array) -> Lent:
    """Own directions of the styles of a family (s,), from their scatter times the leading directions (s, k, m): lent by
    the styles of their own prompt or, where it has no other, by the family. ``fourth`` is a sum for each prompt."""
    s, k, m = scatter.shape
    factors, weight, leaning = np.empty((s, k, min(RANK, m))), np.zeros(s), np.zeros(s)
    shares, seen = counts / counts.sum(), leading.T @ scatter
    prompts, first, n_own = np.unique(owner, return_index=True, return_counts=True)
    alone = first[n_own == 1] if len(prompts) > 1 else np.empty(0, np.intp)
    for j, at, n in zip(prompts, first, n_own, strict=True):
        if n > 1 or len(prompts) == 1:
            own = slice(at, at + n)
            smoothing = _smoothing(counts[own], means[own], seen[own], float(fourth[j]))
            covariance = (smoothing @ scatter[own].reshape(n, -1)).reshape(n, k, m)
            factors[own], weight[own] = _own_directions(covariance, leading), shares[own] @ smoothing
    if len(alone):
        freedom = max(float((counts - 1).sum()), 1.0)
        pooled, theirs = scatter.sum(axis=0) / freedom, seen.sum(axis=0) / freedom
        b = _images_of_the_family(counts[alone], seen[alone], theirs, fourth[owner[alone]])
        leaning[alone] = b / (counts[alone] - 1 + b)
        for few in (alone[part] for part in cut(len(alone), SIDE_BY_SIDE)):
            own = scatter[few] / (counts[few] - 1 + b)[:, None, None] + leaning[few, None, None] * pooled
            factors[few] = _own_directions(own, leading)
        weight[alone] += shares[alone] / (counts[alone] - 1 + b)
        weight += shares @ leaning / freedom
    return Lent(factors, weight, leaning)


def _images_of_the_family(counts: Array, scatter: Array, pooled: Array, fourth: Array) -> float:
    """As how many images the family's covariance counts in that of a prompt with one style: b, as in `_smoothing`, of
    prompts with few images: their covariances have n - 1 degrees of freedom, and a prompt with one image has none.

    ``d = apart + v h`` is how far they lie from the pooled one in mean square, and ``f = apart + v`` how far the
    product of one image does, where h is one over the degrees of freedom; two equations, from which b = v / apart.
    """
    some = counts > 1
    freedom = counts[some] - 1
    if freedom.sum() <= len(freedom):  # none has more than two images: nothing tells prompts from each other
        return _MOST_LENT
    flat = scatter[some] / freedom[:, None, None] - pooled
    d = float((flat**2).sum(axis=(1, 2)) @ freedom / freedom.sum())
    stretched = fourth[some] * (counts[some] / freedom) ** 2
    f = float(stretched.sum() / counts[some].sum() - (pooled**2).sum())
    h = len(freedom) / freedom.sum()
    v = max(f - d, 0.0) / (1 - h)
    return min(v / max(d - v * h, LEAST), _MOST_LENT) if v > 0 else _MOST_LENT


def _smoothing(counts: Array, means: Array, scatter: Array, fourth: float) -> Array:
    """How much the scatter of one style counts in the covariance of another, shape (s, s).

    A style alone has few images, so its covariance leans on its neighbours': ``(n S + b T) / (n + b)``, where T is
    their mean covariance. How many images b they count as follows from the data in closed form, as in Ledoit and Wolf
    (2004, "A well-conditioned estimator for large-dimensional covariance matrices", eq. 14): the variance v of one
    image's product ``x x'``, over how far S and T lie apart in mean square beyond the v / n that chance explains. All
    is in the leading directions: scatter (s, m, m), and ``fourth``, the sum of ``|x|^4`` over all images.
    """
    n_styles = len(counts)
    if n_styles == 1:
        return 1 / counts[None]
    near = np.argsort(cdist(means, means), axis=1)[:, 1 : _NEIGHBOURS + 1]
    theirs = np.zeros((n_styles, n_styles))
    np.put_along_axis(theirs, near, 1.0, axis=1)
    theirs /= (theirs @ counts)[:, None]
    flat = scatter.reshape(n_styles, -1)
    own, near_by = flat / counts[:, None].astype(flat.dtype), theirs.astype(flat.dtype) @ flat
    v = max(fourth - float(counts @ (own**2).sum(axis=1, dtype=np.float64)), 0.0) / counts.sum()
    apart = float(((own - near_by) ** 2).sum(axis=1, dtype=np.float64).mean()) - v * float((1 / counts).mean())
    b = v / max(apart, v / _MOST_LENT, LEAST)
    return (np.eye(n_styles) + b * theirs) / (counts + b)[:, None]


def _law(shares: Array, means: Array, own: Array, scatter: Array, floor: float, ridge: float) -> Law:
    """The law of styles (s,) with own directions (s, k, r), from the mean of their covariances (k, k)."""
    rest = scatter.copy()
    for few in cut(len(own), SIDE_BY_SIDE):
        flat = (np.sqrt(shares[few, None, None]) * own[few]).swapaxes(0, 1).reshape(len(rest), -1)
        rest -= flat @ flat.T
    # Directions in which nothing varies all have the floor, and could be any; so that they are not what rounding makes
    # of them, which each processor does in its own way, a tenth of the floor tells them apart.
    rest[np.diag_indices_from(rest)] += 0.1 * floor * np.linspace(1.0, 0.0, len(rest))
    variances, basis = np.linalg.eigh(rest)
    factors = np.empty(own.shape, np.float32)
    for few in cut(len(own), SIDE_BY_SIDE):
        factors[few] = basis.T.astype(np.float32) @ own[few].astype(np.float32)
    return Law(shares, means, factors, basis, np.maximum(variances + ridge, max(floor, LEAST)))


def _leading(within: Array) -> Array:
    """The leading directions of a prompt, shape (k, m), among which its styles have their own."""
    vectors: Array = np.linalg.eigh(within)[1]
    return vectors[:, ::-1][:, :LEADING]


def _own_directions(covariance: Array, leading: Array) -> Array:
    """Factors of the styles (s, k, r), from their covariances times the leading directions (s, k, m). The widest
    directions of a style within the leading ones, each with what follows from it, by regression, in all others
    (Nystrom's extension): ``C U (U' C U)^(-1/2)``, which equals C's leading part where m is k."""
    with one_thread():
        values, rotation = np.linalg.eigh(leading.T @ covariance)
    values, rotation = values[:, ::-1][:, :RANK], rotation[:, :, ::-1][:, :, :RANK]
    safe = np.where(values > 1e-6 * values[:, :1].clip(LEAST), values, np.inf)
    factors: Array = covariance @ (rotation / np.sqrt(safe)[:, None, :])
    return factors * np.where(factors.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
