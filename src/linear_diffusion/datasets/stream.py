"""Step 0 for data of any size: images and prompts that are read anew for each pass, a batch at a time.

    source --pieces--> as stored, in its own units --size, mode--> one shape --regrouped--> batches of about 32 MB

A stream knows how many images of which prompts it has before it reads a pixel, and forgets a batch when it gives the
next. Each loader has a function that gives a stream of its source; `ArrayStream` is that of arrays.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import accumulate
from math import prod
from mmap import ALLOCATIONGRANULARITY
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..exceptions import DataError, count
from ..utils.memory import readable
from .arrays import check_prompts, describe_resizing, fit_images, fitted_shape
from .common import AnyArray, Mode, Report, Resize, Size

BATCH_BYTES = 32_000_000
"""What the pixels of a batch take: enough for fast products, and little beside what a model needs."""

Pair: TypeAlias = tuple[AnyArray, AnyArray]
"""Images and their prompts."""
Between: TypeAlias = Callable[[int, int], Callable[[], Iterator[Pair]]]
"""From the positions of the first image and of the one after the last to what reads them, also in another process."""


class Tally(NamedTuple):
    """Distinct prompts, sorted, and how many images there are of each."""

    classes: AnyArray
    counts: NDArray[np.int64]


class ImageStream:
    """Images and prompts that are read anew each time it is iterated; `load_images(..., stream=True)` gives one.

    Each time, the same pairs come in the same order: `images`, shape (m, h, w) or (m, h, w, 3), and `prompts`, shape
    (m,). m is the same for all pairs but the last, such that the pixels take about 32 MB, and 1 at least. So memory
    does not grow with the number of images. Do not write into them: they may be views of what is read.

    Attributes
    ----------
    image_shape : tuple of int
        (height, width) or (height, width, 3).
    dtype : numpy dtype
        Of the images.
    nbytes : int
        What all pixels would take as one array.
    classes : ndarray of shape (n_classes,)
        The distinct prompts, sorted.
    counts : ndarray of shape (n_classes,)
        How many images there are of each.

    Examples
    --------
    >>> from linear_diffusion.datasets import load_images
    >>> stream = load_images("digits", stream=True)
    >>> stream
    ImageStream of digits: 1,797 images of 8 x 8, uint8 (115 kB), 10 prompts
    >>> [images.shape for images, prompts in stream]
    [(1797, 8, 8)]
    """

    def __init__(
        self,
        pieces: Callable[[], Iterator[Pair]],
        image_shape: tuple[int, ...],
        dtype: Any,
        tally: Tally,
        name: str,
        between: Between | None = None,
    ) -> None:
        self.image_shape = tuple(int(n) for n in image_shape)
        self.dtype = np.dtype(dtype)
        self.classes, self.counts = tally
        self.name = name
        self._pieces, self.between, self.chunk = pieces, between, 1

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __iter__(self) -> Iterator[Pair]:
        n = 0
        for images, prompts in regrouped(self._pieces(), batch_length(self.image_shape, self.dtype)):
            n += len(images)
            yield images, prompts.astype(self.classes.dtype, copy=False)
            del images, prompts  # before the next are read
        if n != len(self):
            raise DataError(
                f"{self.name} gave {count(n, 'image')}, and promised {len(self):,} when it was opened; "
                "open it again, and let it not change while it is read."
            )

    def parts(self) -> list[tuple[int, Iterable[Pair]]]:
        """What can be read apart: a batch each, as an iterable that other processes can read, and the number of images
        before it. Files are opened there.

        Raises
        ------
        TypeError
            If the stream can only be read from its beginning.
        """
        if self.between is None:
            raise TypeError(
                f"{self.name} can only be read from its beginning, so that workers cannot share it; give a folder of "
                "images, a Zarr array, or a .npy file that np.load(path, mmap_mode='r') opens."
            )
        length, dtype = batch_length(self.image_shape, self.dtype), self.classes.dtype
        length = max(length - length % self.chunk, self.chunk)
        ends = ((start, min(start + length, len(self))) for start in range(0, len(self), length))
        return [(start, _Read(self.between(start, stop), dtype)) for start, stop in ends]

    @property
    def nbytes(self) -> int:
        """What all pixels would take as one array."""
        return len(self) * prod(self.image_shape) * self.dtype.itemsize

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.image_shape))
        return (
            f"{type(self).__name__} of {self.name}: {count(len(self), 'image')} of {shape}, {self.dtype} "
            f"({readable(self.nbytes)}), {count(len(self.classes), 'prompt')}"
        )

    def fitted(self, size: Size | None, mode: Mode | None, resize: Resize, report: Report | None) -> "ImageStream":
        """The same images brought to one size and mode, as `arrays.fit_images` does."""
        shape = fitted_shape(self.image_shape, size, mode)
        if shape == self.image_shape:
            return self
        if report is not None:
            before, after = ((height, width) for height, width, *_ in (self.image_shape, shape))
            describe_resizing(Counter({before: len(self)}), after, resize, report)
        pieces = partial(_fitted, self._pieces, size, mode, resize, self.name)
        between = self.between and partial(_fitted_between, self.between, size, mode, resize, self.name)
        return ImageStream(pieces, shape, self.dtype, Tally(self.classes, self.counts), self.name, between)


class _Read:
    """What `pieces` give, anew each time that it is iterated."""

    def __init__(self, pieces: Callable[[], Iterator[Pair]], dtype: Any) -> None:
        self.pieces, self.dtype = pieces, dtype

    def __iter__(self) -> Iterator[Pair]:
        return ((images, prompts.astype(self.dtype, copy=False)) for images, prompts in self.pieces())


class ArrayStream(ImageStream):
    """The stream of what is an array already: of NumPy, memory-mapped, of Zarr, h5py or Dask.

    Parameters
    ----------
    X : array of shape (n, ...)
        Whatever has `shape` and `dtype` and gives an array for `X[start:stop]`. Where it is stored or computed in
        chunks (`X.chunks`), each chunk is asked for once, whole, in their order, so that a chunk must fit in memory.
    y : array or list of shape (n,), optional
        Prompts: strings or numbers. None is one prompt, "".

    Raises
    ------
    TypeError
        If `X` is not such an array.
    ValueError
        If it has no axis but the first, its length is not known, or `y` are not as many labels.

    Examples
    --------
    >>> stream = ArrayStream(np.zeros((50_000, 40, 40), np.uint8), np.arange(50_000) % 3)
    >>> [len(images) for images, prompts in stream], stream.classes.tolist(), stream.counts.tolist()
    ([20000, 20000, 10000], [0, 1, 2], [16667, 16667, 16666])
    """

    def __init__(self, X: Any, y: Any = None) -> None:
        if not all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__")):
            raise TypeError(f"X must be an array with shape and dtype, got {type(X).__name__}; use np.asarray(X).")
        shape, y = check_lengths(X, y)
        n = shape[0]
        length = batch_length(shape[1:], X.dtype)
        labels = (_labels(y, start, min(start + length, n)) for start in range(0, n, length))
        between = partial(_rows_between, X, y) if _travels(X) else None
        super().__init__(partial(_slices, X, y, length), shape[1:], X.dtype, tally(labels, "y"), "X", between)
        if _is_zarr(X):
            self.chunk = int(X.chunks[0])


def check_lengths(X: Any, y: Any) -> tuple[tuple[int, ...], Any]:
    """The shape of images, and their prompts as an array or None. Raises `ValueError`: if there is no image, or not one
    prompt for each."""
    shape = tuple(X.shape)
    if len(shape) < 2 or any(n != n or int(n) < 1 for n in shape):  # Dask says NaN for what it does not know
        raise ValueError(
            f"X must have shape (n, height, width[, channels]) or (n, d), with one image or more, got {shape}; for a "
            "Dask array whose length is not known, call X.compute_chunk_sizes() first."
        )
    n = int(shape[0])
    if isinstance(y, list | tuple):
        y = np.array(y, dtype=object)  # through numpy, "a" and 1 would both be strings
    if y is not None and tuple(getattr(y, "shape", ())) != (n,):
        raise ValueError(f"y must have shape ({n},), one prompt for each image, got {getattr(y, 'shape', y)}.")
    return tuple(map(int, shape)), y


def stream_arrays(images: AnyArray, prompts: AnyArray, name: str) -> ImageStream:
    """The stream of checked images and prompts that are in memory."""
    pieces = partial(_slices, images, prompts, batch_length(images.shape[1:], images.dtype))
    between = partial(_rows_between, images, prompts)
    return ImageStream(pieces, images.shape[1:], images.dtype, tally([prompts], name), name, between)


def batch_length(shape: tuple[int, ...], dtype: Any, beside: int = 0) -> int:
    """How many images of a shape and dtype, and bytes beside each, go into a batch.

    Examples
    --------
    >>> batch_length((100, 100), np.uint8), batch_length((6000, 6000), np.uint8)
    (3200, 1)
    """
    return int(max(BATCH_BYTES // max(prod(shape) * np.dtype(dtype).itemsize, beside, 1), 1))


def tally(pieces: Iterable[AnyArray], name: str) -> Tally:
    """Count prompts that come in pieces, in the memory of the distinct ones.

    Raises
    ------
    DataError
        If strings and numbers are mixed.

    Examples
    --------
    >>> found = tally([np.array(["b"]), np.array(["a", "b"])], "prompts")
    >>> found.classes.tolist(), found.counts.tolist()
    (['a', 'b'], [1, 2])
    """
    counts: Counter[Any] = Counter()
    dtype: Any = None
    for piece in pieces:
        dtype = piece.dtype if dtype is None else np.promote_types(dtype, piece.dtype)
        counts.update(dict(zip(*(each.tolist() for each in np.unique(piece, return_counts=True)), strict=True)))
    if len({isinstance(prompt, str) for prompt in counts}) > 1:
        raise DataError(f"{name} mixes strings and numbers, which look alike and are not; make all of them strings.")
    classes = sorted(counts)
    return Tally(np.array(classes, dtype), np.array([counts[prompt] for prompt in classes], np.int64))


def regrouped(pieces: Iterable[Pair], length: int) -> Iterator[Pair]:
    """The same images in the same order, `length` at a time; what is left over comes last.

    Examples
    --------
    >>> [images.tolist() for images, _ in regrouped([(np.arange(3), np.arange(3)), (np.arange(2), np.arange(2))], 2)]
    [[0, 1], [2, 0], [1]]
    """
    held: list[Pair] = []
    n = 0
    rest: Pair | None
    for rest in pieces:
        while rest is not None:  # nothing is kept longer than it must be, be it by a name
            head, rest = _cut(rest, length - n)
            n += len(head[0])
            held.append(head)
            del head
            if n == length:
                batch, held, n = _joined(held), [], 0
                yield batch
                del batch
    if held:
        yield _joined(held)


def _cut(pair: Pair, k: int) -> tuple[Pair, Pair | None]:
    """The first k images, and those that are left, if any."""
    images, prompts = pair
    return (pair, None) if len(images) <= k else ((images[:k], prompts[:k]), (images[k:], prompts[k:]))


def _joined(pairs: list[Pair]) -> Pair:
    if len(pairs) == 1:
        return pairs[0]
    images, prompts = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return images, prompts


def _fitted(
    pieces: Callable[[], Iterator[Pair]], size: Size | None, mode: Mode | None, resize: Resize, name: str
) -> Iterator[Pair]:
    for images, prompts in pieces():
        length = batch_length(fitted_shape(images.shape[1:], size, mode), images.dtype)
        for start in range(0, len(images), length):  # they may grow
            some = slice(start, start + length)
            yield fit_images(images[some], size, mode, None, resize, name=name), prompts[some]
        del images, prompts


def _fitted_between(
    between: Between, size: Size | None, mode: Mode | None, resize: Resize, name: str, start: int, stop: int
) -> Callable[[], Iterator[Pair]]:
    return partial(_fitted, between(start, stop), size, mode, resize, name)


def _rows_between(X: Any, y: Any, start: int, stop: int) -> Callable[[], Iterator[Pair]]:
    prompts = _labels(y, start, stop)
    if _is_mapped(X):
        return partial(_mapped, str(X.filename), X.dtype, _offset(X[start:stop]), (stop - start, *X.shape[1:]), prompts)
    return partial(_some, X[start:stop], prompts) if isinstance(X, np.ndarray) else partial(_some, X, prompts, start)


def _some(X: Any, prompts: AnyArray, start: int = 0) -> Iterator[Pair]:
    yield np.asarray(X[start : start + len(prompts)]), prompts


def _mapped(path: str, dtype: Any, offset: int, shape: tuple[int, ...], prompts: AnyArray) -> Iterator[Pair]:
    yield np.array(np.memmap(path, dtype, "r", offset, shape)), prompts


def _is_mapped(X: Any) -> bool:
    """Whether pixels are in a file, not only of the kind of those that are."""
    return isinstance(X, np.memmap) and X._mmap is not None  # type: ignore[attr-defined]


def _travels(X: Any) -> bool:
    """Whether rows of an array can be read by other processes: of NumPy, in one piece where it is mapped, or of Zarr,
    which opens its files there."""
    if _is_mapped(X):
        return bool(X.filename and X.flags.c_contiguous)
    return isinstance(X, np.ndarray) or _is_zarr(X)


def _is_zarr(X: Any) -> bool:
    return hasattr(X, "store") and hasattr(X, "read_only")


def _offset(X: Any) -> int:
    """Where in its file a mapped array begins, which may be a slice of another."""
    first_page = X.offset - X.offset % ALLOCATIONGRANULARITY
    return int(first_page + X.ctypes.data - np.frombuffer(X._mmap, np.uint8).ctypes.data)


def _slices(X: Any, y: Any, length: int) -> Iterator[Pair]:
    # A memory-mapped array is read here, not when somebody looks at it.
    read = np.array if isinstance(X, np.memmap) else np.asarray
    start = 0
    for stop in _stops(int(X.shape[0]), length, getattr(X, "chunks", None)):
        yield read(X[start:stop]), _labels(y, start, stop)
        start = stop


def _stops(n: int, length: int, chunks: Any) -> Iterator[int]:
    """Where the slices of n images end: `length` at a time, or as many whole chunks as that is, one at least."""
    if not chunks:
        yield from range(length, n, length)
    else:
        along = chunks[0]  # Dask says the length of each chunk, Zarr and h5py that of all
        ends = list(accumulate(along)) if isinstance(along, tuple) else range(along, n + along, along)
        start = before = 0
        for end in ends:
            if end - start > length and before > start:
                yield before
                start = before
            before = end
    yield n


def _labels(y: Any, start: int, stop: int) -> AnyArray:
    """Some of the prompts of an array, as numbers or strings of NumPy."""
    if y is None:
        return np.full(stop - start, "")
    found: AnyArray = np.asarray(y[start:stop])
    if found.dtype.kind in "OST":  # h5py and Zarr give strings as objects, bytes, or of variable length
        listed = [prompt.decode() if isinstance(prompt, bytes) else prompt for prompt in found.tolist()]
        strings = [isinstance(prompt, str) for prompt in listed]
        if any(strings) and not all(strings):
            odd = listed[strings.index(False)]
            raise DataError(f"y mixes strings with {odd!r}; make all of them strings, or leave out what has no prompt.")
        found = np.array(listed)
    return check_prompts(found, stop - start, name="y", first=start)
