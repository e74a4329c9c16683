"""Detail curves: what neighbouring pixels differ by, put back to how real images differ.

    x' = tone(x + 1/16 sum_f f' C_f(f x)),   C_f(u) = F_target^-1(F_source(u)) - u

The filters f are the differences within two by two pixels (across, down, diagonal: Haar's), at every place of an image.
What a linear decoder makes of normal latents has middling differences everywhere, where real images have next to none
within an area and large ones at its edge. So one curve per prompt, channel and filter maps the histogram of differences
that samples have to that of the training images, as textures are matched (Heeger and Bergen 1995, here on undecimated
Haar wavelets: Coifman and Donoho 1995). A last tone curve puts back the histogram of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..utils.arrays import Kept, kept
from ..utils.types import AnyArray, Array, Index
from .format import ImageFormat
from .tone import N_TONES, quantile

N_FILTERS = 3
REACH = 2 * (N_TONES - 1)
"""The largest difference, in tones: of two pixels from two."""
N_DIFFERENCES = 2 * REACH + 1
PARTS = 16
"""Corrections count in sixteenths of a tone: four squares hold a pixel, and four pixels make each one's difference."""
N_LEVELS = PARTS * (N_TONES - 1) + 1
N_PASSES = 8
"""How often curves are fitted to what they left (benchmarks/styles.py, "detail curves of 4 passes")."""
_CHUNK = 2**18
"""Pixels that are corrected at once, few enough to stay in a processor's cache."""


def _within_reach(a: AnyArray) -> bool:
    return bool((np.abs(a.astype(np.int32)) <= REACH).all())


@dataclass(frozen=True)
class DetailCurves(Kept):
    """What differences are corrected by, and the tone curve after it.

    ``shift`` (g, channels, 3, 1021) has at entry 510 + u the correction of a difference of u tones, for the filters
    across, down and diagonal; ``table`` (g, channels, 4081) is what comes out, by sixteenths of a tone. ``owner`` says
    which curve goes with each tone curve of the decoder.
    """

    owner: Index
    shift: AnyArray = kept("g c filters differences", _within_reach, "int16")
    table: AnyArray = kept("g c levels", dtype="float32")

    def apply(self, rows: AnyArray, j: int, image: ImageFormat) -> AnyArray:
        """Pixels (n, d) after the tone curve, with the details of curve j; of the table's dtype."""
        out, size = np.empty(rows.shape, self.table.dtype), max(_CHUNK // rows.shape[1], 1)
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            out[part] = look_up(self.table[j], corrected(self.shift[j], rows[part], image))
        return out

    def mixed(self, mixes: Sequence[tuple[dict[int, float], float]], image: ImageFormat) -> "DetailCurves":
        """Weighted means of the curves of some tone curves, and of none, which leaves pixels as they are."""
        plain = np.linspace(*image.tone_range, N_LEVELS)
        shift, table = [], []
        for weights, none in mixes:
            own, share = self.owner[list(weights)], np.array(list(weights.values()))
            shift.append(np.rint(np.einsum("j,jcfu->cfu", share, self.shift[own])).astype(np.int16))
            table.append((np.einsum("j,jcv->cv", share, self.table[own]) + none * plain).astype(np.float32))
        return DetailCurves(np.arange(len(mixes)), np.stack(shift), np.stack(table))


def has_details(image: ImageFormat) -> bool:
    """Whether images have neighbours to differ from, and tones to count by."""
    return image.pixel_range is not None and len(image.shape) > 1 and min(image.shape[:2]) > 1


def fit_detail_curves(rows: AnyArray, target: Array, histogram: Array, image: ImageFormat) -> tuple[AnyArray, Array]:
    """The shift (channels, 3, 1021) and the table (channels, 4081) of one prompt: from samples (n, d) after their tone
    curves to histograms of the training images' differences (channels, 3, 1021) and pixels (channels, 256)."""
    shift = np.zeros(target.shape, np.int16)
    for _ in range(N_PASSES):
        levels = corrected(shift, rows, image)
        found = _matched(shift, count_differences(_tones(levels), image), target)
        shift = np.rint(found).clip(-REACH, REACH).astype(np.int16)
    c = image.n_channels
    levels = corrected(shift, rows, image)
    counts = [np.bincount(levels[:, i::c].ravel(), minlength=N_LEVELS) for i in range(c)]
    share = [(np.cumsum(n) - n / 2) / n.sum() for n in counts]
    table = [quantile(u, h, image.tone_range) for u, h in zip(share, histogram, strict=True)]
    return shift, np.stack(table).astype(np.float32)


def corrected(shift: AnyArray, rows: AnyArray, image: ImageFormat) -> AnyArray:
    """Pixels (n, d) with their details corrected by shifts (channels, 3, 1021), in sixteenths of a tone, int16."""
    c, width = image.n_channels, image.shape[1] * image.n_channels
    seen = differences(image.tones(rows), image)
    entry = np.int16 if shift.size < 2**15 else np.int32  # half the memory to move, where positions fit
    first = REACH + N_FILTERS * N_DIFFERENCES * (np.arange(seen.shape[2]) % c)
    corrections = [shift.ravel().take(u + (first + f * N_DIFFERENCES).astype(entry)) for f, u in enumerate(seen)]
    for correction in corrections:
        correction.reshape(len(rows), -1, width)[:, :, -c:] = 0  # no square there
    across, down, diagonal = corrections
    total, change = across.copy(), down + diagonal
    total[:, c:] -= across[:, :-c]
    down -= diagonal
    change[:, c:] += down[:, :-c]
    out = image.tones(rows, PARTS)
    out[:, :-width] += total
    out[:, :-width] += change
    out[:, width:] += total
    out[:, width:] -= change
    return np.clip(out, 0, N_LEVELS - 1, out=out)


def look_up(table: AnyArray, levels: AnyArray) -> AnyArray:
    """Read the tables (channels, 4081) of interleaved channels at sixteenths of tones (n, d)."""
    if len(table) == 1:
        return np.asarray(table[0].take(levels))
    return np.asarray(table.ravel().take(levels + N_LEVELS * (np.arange(levels.shape[1]) % len(table))))


def differences(tones: AnyArray, image: ImageFormat) -> AnyArray:
    """What pixels (n, d) in tones differ by, across, down and diagonally, int16, shape (3, n, (h - 1) w channels). Rows
    of pixels follow each other, as long passes are fast; what stands at a row's last pixel means nothing."""
    c, width = image.n_channels, image.shape[1] * image.n_channels
    tones = tones.astype(np.int16)
    total, change = tones[:, :-width] + tones[:, width:], tones[:, :-width] - tones[:, width:]
    out = np.zeros((N_FILTERS, *total.shape), np.int16)
    np.subtract(total[:, :-c], total[:, c:], out=out[0, :, :-c])
    np.add(change[:, :-c], change[:, c:], out=out[1, :, :-c])
    np.subtract(change[:, :-c], change[:, c:], out=out[2, :, :-c])
    return out


def count_differences(tones: AnyArray, image: ImageFormat) -> Array:
    """Histograms (channels, 3, 1021) of the differences of pixels (n, d) in tones."""
    c = image.n_channels
    seen = differences(tones, image).reshape(N_FILTERS, -1, image.shape[1], c)[:, :, :-1] + np.int16(REACH)
    counts = [[np.bincount(u[..., i].ravel(), minlength=N_DIFFERENCES) for u in seen] for i in range(c)]
    return np.array(counts, dtype=np.float64)


def _tones(levels: AnyArray) -> AnyArray:
    return (levels + PARTS // 2) // PARTS


def _matched(shift: AnyArray, seen: Array, target: Array) -> Array:
    """Corrections of differences, where those before them left the histogram `seen`."""
    out = np.empty(shift.shape)
    size = np.arange(REACH + 1.0)
    for at in np.ndindex(shift.shape[:-1]):
        for sign in (1, -1):  # each apart: no difference remains none
            side = slice(REACH, None, sign)
            now = np.clip(size + sign * shift[at][side], 0, REACH)
            mapped = _rearranged(seen[at][side], target[at][side])
            out[at][side] = sign * (np.interp(now, size, mapped) - size)
    return out


def _rearranged(seen: Array, target: Array) -> Array:
    """Where 0, 1, ... go, in order, so that a histogram becomes another; 0 to 0, of which a sign has one half."""
    size = np.arange(len(seen), dtype=np.float64)
    half = np.where(size == 0, 0.5, 1.0)
    seen, target = half * seen, half * target
    if not seen[1:].any() or not target.any():
        return size
    present = np.flatnonzero(seen[1:]) + 1
    share = (np.cumsum(seen) - seen / 2)[present] / seen.sum()
    below = np.r_[0.0, np.cumsum(target) / target.sum()]
    i = np.minimum(np.searchsorted(below, share), len(size)) - 1
    place = i - 0.5 + (share - below[i]) / (below[i + 1] - below[i])
    moved = np.r_[0.0, np.maximum(place, 0.0) - present]
    return size + np.interp(size, np.r_[0, present], moved)
