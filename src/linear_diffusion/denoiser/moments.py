"""Moments: all that is learned from data, as a sum over images.

    n_c,   mu_c = E[x | c],   scatter_c = sum (x - mu_c)(x - mu_c)'

They add over batches, files, machines and days, and they subtract (docs/mathematics.md, "Moments"). Sums of squares are
kept about the mean and merged as in Chan, Golub and LeVeque (1983, eq. 2.1), since raw ones lose their digits when data
is far from zero. Products of uint8 images are exact in float32, those of all others run in float64.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ..utils.arrays import Kept, kept, require_none_left
from ..utils.files import pack, read_file, refusing, unpack, write_files
from ..utils.types import AnyArray, Array, Index

N_TONES = 256
"""Bins of a histogram of pixels: the levels of 8 bits."""
_CHUNK_BYTES = 32 * 2**20
"""Of floats that are worked on at once, few enough to stay near a cache."""
_MIDDLE, _EXACT_ROWS = 128, 1024
"""See `_exact_moments`."""


@dataclass(frozen=True)
class Moments(Kept):
    """Counts, means and scatter of d features for each of p prompts.

    Parameters
    ----------
    prompts : array of shape (p,)
        Distinct prompts, in increasing order.
    counts : array of shape (p,), float64
    means : array of shape (p, d), float64
    scatter : array of shape (p, d, d), or (p, d) if only the diagonal is kept; float64
        Sums of products about the prompt's own mean.
    histogram : array of shape (p, channels, 256), float64
        How many pixels have each tone; of no channels where there is no range of tones.

    Examples
    --------
    >>> x, y = np.array([[0.0], [2.0], [5.0]]), np.array([0, 0, 1])
    >>> whole = Moments.of(x, y, np.array(["a", "b"]))
    >>> parts = Moments.of(x[:1], y[:1], np.array(["a"])) + Moments.of(x[1:], y[1:], np.array(["a", "b"]))
    >>> bool(np.all(whole.scatter == parts.scatter)), whole.means.ravel()
    (True, array([1., 5.]))
    """

    prompts: AnyArray = kept("p", dtype="any")
    counts: Array = kept("p")
    means: Array = kept("p d")
    scatter: Array = kept("p d ...", lambda a: a.shape[2:] in ((), a.shape[1:2]))
    histogram: Array = kept("p channels tones")

    @classmethod
    def empty(cls, prompts: AnyArray, d: int, n_channels: int = 0, *, diagonal: bool = False) -> Self:
        """The moments of no images."""
        p = len(prompts)
        scatter = np.zeros((p, d) if diagonal else (p, d, d))
        return cls(prompts, np.zeros(p), np.zeros((p, d)), scatter, np.zeros((p, n_channels, N_TONES)))

    @classmethod
    def of(
        cls,
        rows: AnyArray,
        index: Index,
        prompts: AnyArray,
        *,
        tones: Callable[[AnyArray], AnyArray] | None = None,
        n_channels: int = 0,
        diagonal: bool = False,
    ) -> Self:
        """Moments of images, read in chunks so that they are never copied whole.

        Parameters
        ----------
        rows : array of shape (n, d), uint8 or floating
        index : array of int, shape (n,)
            Position of each image's prompt in ``prompts``.
        prompts : array of shape (p,)
        tones : callable, optional
            Rows to their tones 0..255, uint8, for the histogram.
        n_channels : int
            Channels of the histogram; pixels interleave them.
        diagonal : bool
            Keep only each feature's own scatter, where d x d numbers per prompt would not fit.
        """
        out = cls.empty(prompts, rows.shape[1], n_channels, diagonal=diagonal)
        for j, chunk in chunks_by_prompt(rows, index, len(prompts)):
            if tones is not None:
                out.histogram[j] += count_tones(tones(chunk), n_channels)
            out.include(j, chunk)
        return out

    def include(self, prompt: int, rows: AnyArray) -> None:
        """Take in images (m, d) of the prompt at a position, in place; ``rows`` must fit in memory as floats."""
        if rows.dtype == np.uint8 and not self.diagonal:
            return _merge(self, prompt, float(len(rows)), *_exact_moments(rows))
        # In float64: what float32 rounds, in its own way on each processor, turns eigenvectors whose values are close.
        x = rows.astype(np.float64)
        mean = x.mean(axis=0)
        x -= mean
        # x' x is one symmetric product in BLAS: numpy sees that both sides are the same array.
        scatter = np.einsum("nd,nd->d", x, x) if self.diagonal else x.T @ x
        return _merge(self, prompt, float(len(x)), mean, scatter)

    def absorb(self, other: "Moments") -> None:
        """Add the moments of other images of the same prompts, in place."""
        for j in range(len(self.prompts)):
            _merge(self, j, float(other.counts[j]), other.means[j], other.scatter[j])
        self.histogram[...] += other.histogram

    def __add__(self, other: "Moments") -> "Moments":
        return self._combine(other, 1.0)

    def __sub__(self, other: "Moments") -> "Moments":
        """The moments without the images of ``other``, which must be among those of ``self``."""
        return self._combine(other, -1.0)

    @property
    def diagonal(self) -> bool:
        """Whether only each feature's own scatter is kept."""
        return self.scatter.ndim == 2

    @property
    def variances(self) -> Array:
        """Maximum-likelihood variances of each feature, shape (p, d)."""
        own = self.scatter if self.diagonal else self.scatter.diagonal(axis1=1, axis2=2)
        return own / np.maximum(self.counts, 1.0)[:, None]

    @property
    def covariances(self) -> Array:
        """Maximum-likelihood covariances (divided by n), shape (p, d, d)."""
        return self.scatter / np.maximum(self.counts, 1.0)[:, None, None]

    @property
    def weights(self) -> Array:
        """Frequencies of the prompts, shape (p,)."""
        return self.counts / max(self.counts.sum(), 1.0)

    def pooled(self) -> tuple[Array, Array]:
        """Mean (d,) and covariance (d, d), or variances (d,), of all images, whatever their prompt."""
        mean = self.weights @ self.means
        offsets = np.sqrt(self.weights)[:, None] * (self.means - mean)
        between = (offsets**2).sum(axis=0) if self.diagonal else offsets.T @ offsets
        return mean, self.scatter.sum(axis=0) / max(self.counts.sum(), 1.0) + between

    def save(self, path: str | Path) -> None:
        """Write to a safetensors file, whole or not at all."""
        path = Path(path)
        write_files(path.parent, {path.name: pack(self.arrays(""))})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        ModelFileError
            If the file is not one that `save` wrote, or is damaged.
        """
        with refusing(Path(path)):
            arrays = unpack(read_file(Path(path)))
            moments = cls.read(arrays, "", {"tones": N_TONES})
            require_none_left(arrays)
            return moments

    def _combine(self, other: "Moments", sign: float) -> "Moments":
        mine, theirs = ((m.scatter.shape[1:], m.histogram.shape[1:]) for m in (self, other))
        if mine != theirs:
            raise ValueError(
                f"moments of unlike images do not combine: scatter and histogram of a prompt have shapes {mine} and "
                f"{theirs}; take both from images of one shape, with the same tones and diagonal."
            )
        if (self.prompts.dtype.kind in "UO") != (other.prompts.dtype.kind in "UO"):
            raise ValueError(f"prompts are {self.prompts.dtype} here and {other.prompts.dtype} there; give all alike.")
        prompts = np.union1d(self.prompts, other.prompts)
        out = Moments.empty(prompts, self.means.shape[1], self.histogram.shape[1], diagonal=self.diagonal)
        for part, weight in ((self, 1.0), (other, sign)):
            for i, j in enumerate(np.searchsorted(prompts, part.prompts)):
                _merge(out, int(j), weight * part.counts[i], part.means[i], weight * part.scatter[i])
                out.histogram[j] += weight * part.histogram[i]
        if (out.counts < 0).any():
            raise ValueError(
                f"cannot subtract moments of {int(other.counts.sum())} images from those of "
                f"{int(self.counts.sum())}: prompt {prompts[np.argmin(out.counts)]!r} would have fewer than none."
            )
        return out


def precision(rows: AnyArray) -> np.dtype[np.floating]:
    """The precision of products over images: float64 for float64, float32 for the rest."""
    return np.dtype(np.float64 if rows.dtype == np.float64 else np.float32)


def chunks_by_prompt(rows: AnyArray, index: Index, n_prompts: int) -> Iterator[tuple[int, AnyArray]]:
    """Cut images into chunks of one prompt each: (prompt position, rows (m, d))."""
    size = chunk_length(rows.shape[1], precision(rows).itemsize, len(rows))
    for j, own in enumerate(members(index, n_prompts)):
        for start in range(0, len(own), size):
            yield j, rows[own[start : start + size]]


def chunk_length(d: int, itemsize: int, n: int) -> int:
    """How many of n images (of one prompt) a chunk has, where a pixel takes so many bytes."""
    return max(min(max(256, _CHUNK_BYTES // (d * itemsize)), n), 1)


def members(index: Index, n_prompts: int) -> list[Index]:
    """The rows of each prompt, by one sort: to look for each prompt among all rows takes as long as both multiplied."""
    ends = np.cumsum(np.bincount(index, minlength=n_prompts))
    return np.split(np.argsort(index, kind="stable"), ends[:-1])


def _exact_moments(rows: AnyArray) -> tuple[Array, Array]:
    """Mean (d,) and scatter (d, d) of uint8 images, the same to the last bit on every processor. About the middle of
    their range pixels are whole numbers of at most 7 bits, and a sum of 1,024 of their products has at most 24, which
    float32 holds exactly, whatever the order that a processor or its threads add them up in."""
    d = rows.shape[1]
    total, square = np.zeros(d), np.zeros((d, d))
    for start in range(0, len(rows), _EXACT_ROWS):
        x = rows[start : start + _EXACT_ROWS].astype(np.float32) - np.float32(_MIDDLE)
        total += x.sum(axis=0)
        square += x.T @ x
    mean = total / len(rows)
    return mean + _MIDDLE, square - np.outer(total, mean)


def _merge(out: Moments, j: int, n: float, mean: Array, scatter: Array) -> None:
    """Add n images to prompt j in place; a negative n takes them away."""
    total = out.counts[j] + n
    out.scatter[j] += scatter
    if total <= 0:
        # Nothing is left (or less than nothing, which the caller reports): no mean, and no rounding either.
        out.counts[j], out.means[j], out.scatter[j] = total, 0.0, 0.0
        return
    step = mean - out.means[j]
    if out.counts[j]:
        between = step**2 if out.diagonal else np.outer(step, step)
        out.scatter[j] += (out.counts[j] * n / total) * between
    out.means[j] += step * (n / total)
    out.counts[j] = total


def count_tones(tones: AnyArray, n_channels: int) -> Array:
    """Histogram (channels, 256) of uint8 pixels (m, d) whose channels interleave."""
    if n_channels == 1 and tones.shape[1] % 2 == 0:
        # Pairs of pixels as one number: half as many to count, and bincount is what takes the time.
        pairs = np.bincount(np.ascontiguousarray(tones).view(np.uint16).ravel(), minlength=N_TONES**2)
        table = pairs.reshape(N_TONES, N_TONES)
        counts: Array = (table.sum(axis=0) + table.sum(axis=1)).astype(np.float64)
        return counts[None]
    return np.stack(
        [np.bincount(tones[:, c::n_channels].ravel(), minlength=N_TONES) for c in range(n_channels)]
    ).astype(np.float64)
