"""Tone curve: the decoder's last step, which puts pixels back at their bounds.

    T = F_target^-1 o F_source,   F_source(v) = mean_j Phi((v - m_j) / s_j)

Pixels are bounded and mostly at their bounds; a linear decoder is neither. One monotone curve per prompt (and channel)
maps the model's own distribution of pixels, a mixture of normals N(m_j, s_j^2) over the pixels j, to the histogram
of the training pixels (docs/mathematics.md, "Curves"). Sampling looks it up in a table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.fft import irfft, rfft, rfftfreq

from ..utils.arrays import Kept, kept, positive
from ..utils.types import AnyArray, Array, Index

N_TONES = 256
N_ENTRIES = 4096
"""Entries of a table: several a grey level, since a curve is steep where the model is sparse (benchmarks/styles.py,
"tone curves of 1,024 entries")."""
N_WIDTHS = 16
"""Widths that the normals of a mixture are sorted into (benchmarks/styles.py, "tone curves of 4 widths", "tone curves
of 64 widths")."""
_REACH = 5.0
"""The table spans this many standard deviations beyond the means. Beyond it, where one pixel in three million lies, the
curve is at its end."""


@dataclass(frozen=True)
class ToneCurves(Kept):
    """Monotone curves as tables over an even grid of decoded pixels: entry i is what ``low + i step`` becomes."""

    low: Array = kept("curves c")
    step: Array = kept("curves c", positive)
    table: Array = kept("curves c entries", dtype="float32")

    def at(self, prior: Any, encoder: Any) -> "ToneCurves":
        """These curves do not depend on it."""
        return self

    def __getitem__(self, prompts: Index) -> "ToneCurves":
        """The curves of a list of prompts."""
        return ToneCurves(self.low[prompts], self.step[prompts], self.table[prompts])

    def mixed(self, weights: dict[int, float], plain: float = 0.0) -> "ToneCurves":
        """The weighted mean of several curves, and of none, which leaves pixels as they are; weights sum to 1."""
        if len(weights) == 1 and not plain:
            return self[np.fromiter(weights, np.intp)]
        used = self[np.fromiter(weights, np.intp)]
        last = np.arange(N_ENTRIES)
        low, high = used.low.min(axis=0), (used.low + used.step * (N_ENTRIES - 1)).max(axis=0)
        step = (high - low) / (N_ENTRIES - 1)
        table = np.empty((1, len(low), N_ENTRIES))
        for c in range(len(low)):
            grid = low[c] + step[c] * last
            table[0, c] = plain * grid
            for j, weight in enumerate(weights.values()):
                table[0, c] += weight * np.interp(grid, used.low[j, c] + used.step[j, c] * last, used.table[j, c])
        return ToneCurves(low[None], step[None], table.astype(np.float32))

    @classmethod
    def joined(cls, curves: Sequence["ToneCurves"]) -> "ToneCurves":
        """Curves one after the other."""
        low, step, table = (np.concatenate([getattr(c, name) for c in curves]) for name in ("low", "step", "table"))
        return cls(low, step, table)

    def position(self, pixels: Array, prompt: int) -> Array:
        """Where decoded pixels (n, d) lie on a prompt's grid."""
        repeat = pixels.shape[1] // self.low.shape[1]
        low, step = (np.tile(a[prompt], repeat).astype(pixels.dtype) for a in (self.low, self.step))
        return (pixels - low) / step

    def look_up(self, position: Array, prompt: int) -> AnyArray:
        """Read a prompt's table at positions (n, d) on its grid, rounded to the nearest entry; channels interleave.
        Beyond the grid a curve stays at its end."""
        table = self.table[prompt]
        entry = np.clip(position + np.float32(0.5), 0.5, N_ENTRIES - 0.5).astype(np.uint16)
        if len(table) == 1:
            return np.asarray(table[0].take(entry))
        channel = np.arange(position.shape[1], dtype=np.uint32) % len(table)
        return np.asarray(table.ravel().take(entry + N_ENTRIES * channel))


def fit_tone_curves(
    mixtures: Iterable[tuple[Array, Array, Array]], histogram: Array, tone_range: tuple[float, float]
) -> ToneCurves:
    """The curves of p prompts (or groups of styles), from mixtures of decoded pixels, each of means (m, d), variances
    (m, d) and weights (m,), to histograms (p, channels, 256) over a range of tones. Channels interleave."""
    p, n_channels, _ = histogram.shape
    low, step = np.empty((p, n_channels)), np.empty((p, n_channels))
    table = np.empty((p, n_channels, N_ENTRIES), np.float32)
    for j, (means, variances, weights) in enumerate(mixtures):
        for c in range(n_channels):
            m, v = means[:, c::n_channels], variances[:, c::n_channels]
            weight = np.repeat(weights, m.shape[1])
            low[j, c], step[j, c], table[j, c] = fit_tone_curve(
                m.ravel(), v.ravel(), histogram[j, c], tone_range, weight
            )
    return ToneCurves(low, step, table)


def fit_tone_curve(
    means: Array, variances: Array, histogram: Array, tone_range: tuple[float, float], weights: Array | None = None
) -> tuple[float, float, Array]:
    """One curve (low, step, table), from a mixture of m normals to a histogram (256,) over a range of tones.

    >>> low, step, table = fit_tone_curve(np.zeros(1), np.ones(1), np.r_[1.0, np.zeros(254), 1.0], (0.0, 1.0))
    >>> float(table[0]), float(table[-1])     # half of a normal's mass goes to each bound
    (0.0, 1.0)
    """
    std = np.sqrt(variances)
    low, high = float((means - _REACH * std).min()), float((means + _REACH * std).max())
    step = max((high - low) / (N_ENTRIES - 1), 1e-12 * max(abs(low), abs(high), 1.0))
    u = _distribution((means - low) / step, std / step, np.ones(len(means)) if weights is None else weights)
    return low, step, quantile(u, histogram, tone_range).astype(np.float32)


def _distribution(means: Array, std: Array, weights: Array) -> Array:
    """Share of a mixture of normals below each entry of a table, shape (4096,); all in steps of the table.

    The normals are sorted into 16 widths (between two of them each, so that its variance stays), the means of each
    width are counted on the grid, and the normals' densities multiply these counts in the Fourier domain. They are
    discrete normals (Lindeberg 1990), of the same variance: narrow ones do not ring, as sampled ones would.
    """
    variance = np.maximum(std, 0.25) ** 2
    widths = np.geomspace(variance.min(), max(variance.max(), 1.001 * variance.min()), N_WIDTHS)
    wide = np.clip(np.searchsorted(widths, variance), 1, N_WIDTHS - 1)
    to_wide = np.clip((variance - widths[wide - 1]) / (widths[wide] - widths[wide - 1]), 0.0, 1.0)
    right = np.clip(means.astype(np.intp), 0, N_ENTRIES - 2)
    to_right = np.clip(means - right, 0.0, 1.0)
    place = (wide - 1) * N_ENTRIES + right
    places = np.concatenate([place, place + 1, place + N_ENTRIES, place + N_ENTRIES + 1])
    narrow, wider = weights * (1 - to_wide), weights * to_wide
    parts = np.concatenate([narrow * (1 - to_right), narrow * to_right, wider * (1 - to_right), wider * to_right])
    counts = np.bincount(places, parts, N_WIDTHS * N_ENTRIES)
    normals = np.exp(widths[:, None] * (np.cos(2 * np.pi * rfftfreq(N_ENTRIES)) - 1))
    spectrum = rfft(counts.reshape(N_WIDTHS, N_ENTRIES).astype(np.float32)) * normals
    density = np.maximum(irfft(spectrum.sum(axis=0), N_ENTRIES), 0.0)
    return (np.cumsum(density) - density / 2) / density.sum()


def quantile(u: Array, histogram: Array, tone_range: tuple[float, float]) -> Array:
    """Pixels at the shares u (of any shape, 0 to 1) of a histogram (256,): atoms at both bounds, even within a tone."""
    below = np.cumsum(histogram) / histogram.sum()
    edges = np.arange(N_TONES - 1) + 0.5  # upper edges of tones 0..254
    tone = np.interp(u, below[:-1], edges)
    tone = np.where(u <= below[0], 0.0, np.where(u > below[-2], N_TONES - 1.0, tone))
    present = np.flatnonzero(histogram)
    tone = np.clip(tone, present[0], present[-1])
    low, high = tone_range
    return low + (high - low) * tone / (N_TONES - 1)
