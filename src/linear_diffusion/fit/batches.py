"""Batches: a stream of (images, prompts) that can be read again and again, as a source of a fit.

    scan       shape, dtype, the least and the largest pixel, images of each prompt        the first pass
    batches    rows and positions of prompts, in pieces of one size                        each pass after it

A scan is spared where the stream says itself what it holds. Small batches are put together and large ones cut, so
that neither time nor memory depend on how a stream comes.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

import numpy as np

from ..exceptions import BatchError, count, warn
from ..image.checks import as_array, check_images
from ..image.format import ImageFormat
from ..text.labels import check_prompts
from ..utils.progress import so_far
from ..utils.types import AnyArray, Index
from .checkpoint import Checkpoint
from .source import Source, Sums, batch_length

OnError = Literal["raise", "skip"]
S = TypeVar("S", bound=Sums)
_TOLD = 5
"""Batches that were left out, and are told by name."""


@dataclass
class Seen:
    """What a scan has seen so far; ``shape`` is () before the first batch."""

    shape: tuple[int, ...] = ()
    dtype: Any = None
    low: float = np.inf
    high: float = -np.inf
    is_whole: bool = True
    classes: AnyArray | None = None
    counts: Index = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(cls, X: AnyArray, classes: AnyArray, index: Index) -> Self:
        """What a batch holds."""
        is_whole = X.dtype.kind != "f" or bool((np.rint(X) == X).all())
        counts = np.bincount(index, minlength=len(classes))
        return cls(X.shape[1:], X.dtype, float(X.min()), float(X.max()), is_whole, classes, counts)

    def merge(self, other: Self) -> None:
        """Take in what other batches hold."""
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.is_whole = self.is_whole and other.is_whole
        if other.classes is None:
            return
        if self.classes is None:
            self.shape, self.dtype = other.shape, other.dtype
            self.classes, self.counts = other.classes, other.counts
            return
        known = np.union1d(self.classes, other.classes)
        both = np.zeros(len(known), np.int64)
        both[np.searchsorted(known, self.classes)] += self.counts
        both[np.searchsorted(known, other.classes)] += other.counts
        self.classes, self.counts = known, both


class BatchSource(Source):
    """A stream of (images, prompts), read batch by batch.

    Parameters
    ----------
    given : iterable of (images, prompts)
        It must start anew whenever it is iterated.
    pixel_range, rescale
        As in `ImageFormat.of`.
    on_error : {"raise", "skip"}
        Whether a batch that is no batch of such images is an error, or is left out.
    """

    def __init__(self, given: Any, pixel_range: Any, *, rescale: bool, on_error: OnError = "raise") -> None:
        self.given, self.on_error = given, on_error
        self.checkpoint: Checkpoint | None = None
        self.left_out: dict[int, str] = {}
        if isinstance(given, Iterator) or not hasattr(given, "__iter__"):
            raise TypeError(
                f"batches is a {type(given).__name__}, which cannot be read more than once; give a list, or an object "
                "whose __iter__ starts anew (partial_fit takes batches that come once)."
            )
        self._seen, self._start = Seen(), (0, 0)
        known = self._known(pixel_range)
        if known is not None:
            self.image, self.classes, self.counts = known
            self._seen = Seen(self.image.shape, np.dtype(self.image.dtype), classes=self.classes)
            return
        seen = self._seen = self.scan()
        if seen.classes is None:
            why = f": {next(iter(self.left_out.values()))}" if self.left_out else ""
            raise ValueError(f"batches holds no images{why}")
        self.classes, self.counts = seen.classes, seen.counts
        self.image = ImageFormat.found(
            seen.shape, seen.dtype, seen.low, seen.high, lambda: seen.is_whole, pixel_range, rescale=rescale
        )

    def scan(self) -> Seen:
        """What all batches hold: the first pass."""
        done, told = 0, so_far("scan")
        for X, classes, index in self._checked():
            self._seen.merge(Seen.of(X, classes, index))
            done += len(X)
            told(done)
        return self._seen

    def part(self, given: Any, position: int, first: int) -> Self:
        """Some of the batches, from a position on, to be read by themselves."""
        own = copy(self)
        own.given, own.left_out, own._seen, own._start = given, {}, copy(self._seen), (position, first)
        return own

    def _known(self, pixel_range: Any) -> tuple[ImageFormat, AnyArray, Index] | None:
        """Format, prompts and counts, where the stream tells them and its pixels are bytes."""
        names = ("image_shape", "dtype", "classes", "counts")
        shape, dtype, classes, counts = (getattr(self.given, name, None) for name in names)
        if classes is None or counts is None or shape is None or dtype != np.uint8 or pixel_range not in ("auto", None):
            return None
        classes, order = check_prompts(classes, len(classes))
        size = tuple(map(int, shape))
        image = ImageFormat.found(size, np.dtype(np.uint8), 0.0, 255.0, lambda: True, pixel_range)
        return image, classes, np.bincount(order, np.asarray(counts), len(classes)).astype(np.int64)

    def total(self, sums: S, doing: str) -> S:
        if self.checkpoint is None:
            return super().total(sums, doing)
        return self.checkpoint.total(self.batches, sums, doing, self.n)

    def batches(self) -> Iterator[tuple[AnyArray, Index]]:
        n = 0
        for rows, index in self.pieces():
            n += len(rows)
            yield rows, index
        self.check_count(n)

    def check_count(self, n: int) -> None:
        """Whether as many images were read as in the first pass."""
        if n != self.n:
            raise ValueError(
                f"batches gave {count(n, 'image')} when it was read again, and {self.n:,} before; give an object that "
                "gives the same images each time."
            )

    def pieces(self) -> Iterator[tuple[AnyArray, Index]]:
        """Rows and positions of prompts of whatever batches there are, in pieces of one size."""
        size, dtype = batch_length(self.rows_dtype, self.image.n_pixels), self.rows_dtype
        waiting: list[tuple[AnyArray, Index]] = []
        n_waiting = 0
        for X, classes, index in self._checked():
            rows, index = self.image.rows(X).astype(dtype, copy=False), self._positions(classes)[index]
            start = 0
            while n_waiting + len(rows) - start >= size:
                stop = start + size - n_waiting
                waiting.append((rows[start:stop], index[start:stop]))
                yield _joined(waiting)
                waiting, n_waiting, start = [], 0, stop
            if start < len(rows):
                waiting.append((rows[start:], index[start:]))
                n_waiting += len(rows) - start
        if waiting:
            yield _joined(waiting)

    def tell_of_errors(self) -> None:
        """Warn of the batches that were left out."""
        if self.left_out:
            named = [f"batch {position} ({why})" for position, why in sorted(self.left_out.items())]
            more = ", ..." if len(named) > _TOLD else ""
            n = "1 batch" if len(named) == 1 else f"{len(named):,} batches"
            warn(f"{n} left out: {', '.join(named[:_TOLD])}{more}.")

    def _checked(self) -> Iterator[tuple[AnyArray, AnyArray, Index]]:
        """Images, their distinct prompts and which each has, of every batch that is one."""
        (position, first), batches = self._start, iter(self.given)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except Exception as error:
                error.add_note(f"This was met when batch {position} was read (from image {first:,} on).")
                raise
            try:
                found = self._check(batch)
            except (ValueError, TypeError) as error:
                if self.on_error == "raise":
                    raise BatchError(position, first, str(error)) from error
                self.left_out[position] = str(error)
            else:
                if found is not None:
                    first += len(found[0])
                    yield found
            position += 1

    def _check(self, batch: Any) -> tuple[AnyArray, AnyArray, Index] | None:
        """A batch, checked as `fit` checks arrays, and against those before it; None if it has no images."""
        X, y = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
        X = as_array(X)
        if len(X) == 0:
            return None
        X = check_images(X)
        classes, index = check_prompts(y, len(X))
        if (known := self._seen.classes) is not None:
            if X.shape[1:] != self._seen.shape or X.dtype != self._seen.dtype:
                raise ValueError(
                    f"it has images of shape {X.shape[1:]} and dtype {X.dtype}, those before it are of shape "
                    f"{self._seen.shape} and dtype {self._seen.dtype}"
                )
            if (known.dtype.kind in "UO") != (classes.dtype.kind in "UO"):
                raise ValueError(f"its prompts are {classes.dtype}, those before it {known.dtype}; give all alike")
        return X, classes, index

    def _positions(self, classes: AnyArray) -> Index:
        """Where prompts are among all."""
        at = np.minimum(np.searchsorted(self.classes, classes), len(self.classes) - 1)
        if (new := self.classes[at] != classes).any():
            raise ValueError(
                f"batches gave the prompt {classes[new].tolist()[0]!r} when it was read again, and not before; give an "
                "object that gives the same images each time."
            )
        return at


def _joined(parts: list[tuple[AnyArray, Index]]) -> tuple[AnyArray, Index]:
    """Rows and positions as one piece, sorted by position, so that products are large."""
    rows, index = (np.concatenate(arrays) if len(arrays) > 1 else arrays[0] for arrays in zip(*parts, strict=True))
    order = np.argsort(index, kind="stable")
    return rows[order], index[order]
