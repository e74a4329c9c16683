"""Source: images and prompts that are read as often as a fit asks, batch after batch.

    sums.add(rows of a batch, positions of their prompts)      for each batch
    sums.merge(sums of other batches)                          where batches are read apart

All that is learned of images is a sum over them, so a pass over the data is `Source.total`: what it leaves does not
depend on how images are cut into batches, nor on their order, but for rounding.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from ..image.format import ImageFormat
from ..image.pca import PCAEncoder
from ..utils.ahead import read_ahead
from ..utils.groups import cut
from ..utils.progress import so_far
from ..utils.types import AnyArray, Array, Index

_BATCH_BYTES = 32 * 2**20
"""Of images that are worked on at once, as floats where they are no bytes."""
REMEMBERED = 2**28
"""Bytes of latents that are remembered, which spares encoding them again."""
PIXELS = 2**21
"""Pixels that are encoded at once."""


class Sums(ABC):
    """What a pass over the data adds up: arrays, by the names in ``summed``."""

    summed: ClassVar[tuple[str, ...]]

    @abstractmethod
    def add(self, rows: AnyArray, index: Index) -> None:
        """Take in images (n, d) with the positions (n,) of their prompts."""

    def merge(self, other: Self) -> None:
        """Take in what other batches have added up to."""
        for name in self.summed:
            mine: AnyArray = getattr(self, name)
            mine += getattr(other, name)

    def arrays(self) -> dict[str, AnyArray]:
        """All that was added up so far."""
        return {name: getattr(self, name) for name in self.summed}

    def take(self, arrays: dict[str, AnyArray]) -> None:
        """Go on from what `arrays` gave."""
        for name in self.summed:
            setattr(self, name, arrays[name])


S = TypeVar("S", bound=Sums)


class Together(Sums):
    """Several sums in one pass."""

    summed = ()

    def __init__(self, *parts: Sums) -> None:
        self.parts = parts

    def add(self, rows: AnyArray, index: Index) -> None:
        for part in self.parts:
            part.add(rows, index)

    def merge(self, other: Self) -> None:
        for mine, theirs in zip(self.parts, other.parts, strict=True):
            mine.merge(theirs)

    def arrays(self) -> dict[str, AnyArray]:
        return {f"{i}.{name}": a for i, part in enumerate(self.parts) for name, a in part.arrays().items()}

    def take(self, arrays: dict[str, AnyArray]) -> None:
        for i, part in enumerate(self.parts):
            part.take({name.partition(".")[2]: a for name, a in arrays.items() if name.startswith(f"{i}.")})


class Source(ABC):
    """Images with their prompts.

    ``image`` is their format, ``classes`` (p,) are the distinct prompts and ``counts`` (p,) how many images each has.
    The first pass leaves some images in ``sample``, by which a model learns later how sure it may be.
    """

    image: ImageFormat
    classes: AnyArray
    counts: Index
    sample: "Sample"

    @property
    def n(self) -> int:
        """Images."""
        return int(self.counts.sum())

    @property
    def rows_dtype(self) -> Any:
        """Of the rows: of the numbers that a model works with."""
        ends = np.array([self.image.span or (0.0, 1.0)])
        return self.image.inner(ends.astype(self.image.dtype)).dtype

    @abstractmethod
    def batches(self) -> Iterator[tuple[AnyArray, Index]]:
        """All rows (m, d) and the positions (m,) of their prompts, the same images each time, in any order."""

    def total(self, sums: S, doing: str) -> S:
        """What sums come to over all images: one pass. ``doing`` is told to whoever follows the progress."""
        done, told = 0, so_far(doing, self.n)
        for rows, index in read_ahead(self.batches()):
            sums.add(rows, index)
            done += len(rows)
            told(done)
        return sums


@dataclass
class ArraySource(Source):
    """Rows (n, d) that are in memory, with the positions (n,) of their prompts. They are read prompt by prompt, which
    makes products large."""

    rows: AnyArray
    index: Index
    classes: AnyArray
    image: ImageFormat

    def __post_init__(self) -> None:
        self.counts = np.bincount(self.index, minlength=len(self.classes))

    def batches(self) -> Iterator[tuple[AnyArray, Index]]:
        order = np.argsort(self.index, kind="stable")
        for part in cut(len(order), batch_length(self.rows.dtype, self.rows.shape[1])):
            yield self.rows[order[part]], self.index[order[part]]


def batch_length(dtype: Any, d: int) -> int:
    """Images of d pixels that are worked on at once."""
    itemsize = 1 if np.dtype(dtype) == np.uint8 else 8
    return max(_BATCH_BYTES // (itemsize * d), 1)


class Sample(Sums):
    """A uniform sample of at most ``most`` images, the same whatever their order: those whose digests are least.

    A digest is a number that depends on the tones of an image alone and looks random; images of the same tones are told
    apart by the sum of their pixels. Of each image an array is kept, and its prompt.
    """

    summed = ("digest", "total", "index", "kept")

    def __init__(self, most: int, image: ImageFormat, width: int, dtype: Any) -> None:
        self.most, self.image = most, image
        self.digest, self.total, self.index = np.empty(0, np.uint64), np.empty(0), np.empty(0, np.int64)
        self.kept: AnyArray = np.empty((0, width), dtype)

    def keep(self, rows: AnyArray) -> AnyArray:
        """What is kept of images, shape (n, width)."""
        return rows

    def add(self, rows: AnyArray, index: Index) -> None:
        tones = np.ascontiguousarray(self.image.tones(rows))
        digest = np.frombuffer(b"".join(blake2b(row, digest_size=8).digest() for row in tones), np.uint64)
        full = len(self.digest) >= self.most
        wanted = digest <= self.digest[-1] if full else np.ones(len(digest), bool)
        if wanted.any():
            rows = rows if wanted.all() else rows[wanted]
            total = rows.sum(axis=1, dtype=np.float64)
            self._take_in(digest[wanted], total, index[wanted], self.keep(rows))

    def merge(self, other: Self) -> None:
        self._take_in(other.digest, other.total, other.index, other.kept)

    def _take_in(self, *new: AnyArray) -> None:
        old = [getattr(self, name) for name in self.summed]
        both = [np.concatenate([a, b.astype(a.dtype, copy=False)]) for a, b in zip(old, new, strict=True)]
        order = np.lexsort((both[2], both[1], both[0]))[: self.most]
        for name, array in zip(self.summed, both, strict=True):
            setattr(self, name, array[order])


class Latents:
    """The latents (n, k) of images, of which those of the first batches are remembered.

    A fit reads them several times. They are worked out in double precision and then rounded, float64 for float64 and
    float32 for the rest, so that they do not depend on which images are in a batch with them.
    """

    def __init__(self, to_latent: Array, mean: Array, dtype: Any) -> None:
        self.to_latent, self.mean, self.dtype = to_latent, mean, np.dtype(dtype)
        self._seen: dict[bytes, Array] = {}
        self._left = REMEMBERED

    @classmethod
    def of(cls, encoder: PCAEncoder, source: Source) -> Self:
        """Those that an encoder gives of a source's images."""
        to_latent = (encoder.components * (encoder.scale / encoder.std)).T
        return cls(to_latent, encoder.mean, np.float64 if source.rows_dtype == np.float64 else np.float32)

    @property
    def latent_dim(self) -> int:
        """Components, k."""
        return self.to_latent.shape[1]

    def __call__(self, rows: AnyArray) -> Array:
        """Of images (n, d)."""
        own = np.ascontiguousarray(rows)
        key = blake2b(own.data).digest() if own.size else b""
        found = self._seen.get(key)
        if found is None:
            found = self._encoded(own)
            if found.nbytes <= self._left:
                self._left -= found.nbytes
                self._seen[key] = found
        return found

    def _encoded(self, rows: AnyArray) -> Array:
        out = np.empty((len(rows), self.latent_dim), self.dtype)
        for part in cut(len(rows), max(PIXELS // rows.shape[1], 1)):
            x = rows[part].astype(np.float64)
            x -= self.mean
            out[part] = x @ self.to_latent
        return out

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # copies of sums share what they are worked out with

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_seen": {}, "_left": REMEMBERED}
