"""Step 0, from IDX files, the format of MNIST: 4 bytes of magic, one big-endian uint32 a dimension, then the pixels."""

import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..exceptions import DataError, count
from .common import AnyArray, reason
from .memory import check_fits
from .stream import BATCH_BYTES, ImageStream, Pair, Tally, batch_length, tally

_PARTS = {"train": ("train",), "test": ("t10k",), "all": ("train", "t10k"), "train+test": ("train", "t10k")}
_KINDS = {"images": 3, "labels": 1}  # number of dimensions
_UBYTE = 0x08
_DIMENSIONS = range(1, 5)
_MAX_DEFLATE_RATIO = 1032  # no gzip file can hold more than this many times its size
_CHUNK = 1 << 16


def load_idx(folder: Path, split: str = "train") -> tuple[AnyArray, AnyArray]:
    """Load images and labels from a folder of IDX files, raw or .gz, under MNIST's names.

    Parameters
    ----------
    folder : Path
        Holds, say, `train-images-idx3-ubyte.gz` and `train-labels-idx1-ubyte.gz`; the test files begin with `t10k`.
    split : {"train", "test", "all"}, default="train"
        Which files; "all" gives the training images first.

    Returns
    -------
    images : ndarray of shape (n, h, w)
        uint8 in 0..255.
    labels : ndarray of shape (n,)
        uint8.

    Raises
    ------
    DataError
        If a file is missing or damaged, or there are not as many labels as images.
    """
    pairs = [(read_idx(part.images), read_idx(part.labels)) for part in _parts(folder, split)]
    if len(pairs) == 1:
        return pairs[0]
    images, labels = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return images, labels


def stream_idx(folder: Path, split: str = "train", prompts: Sequence[str] | None = None) -> ImageStream:
    """The stream of a folder of IDX files, in their order; as `load_idx`, with strings for labels.

    Headers and labels are held against each other here. That a compressed file of pixels is cut short, or a longer one
    than its header says, is told where it is met.

    Parameters
    ----------
    folder, split
        As in `load_idx`.
    prompts : sequence of str, optional
        What the labels 0, 1, ... mean. By default a label is its number.
    """
    parts = _parts(folder, split)
    known = np.array(range(256) if prompts is None else prompts, dtype=str)
    numbers = tally((labels for part in parts for labels in _read_pieces(part.labels, BATCH_BYTES)), str(folder))
    check_labels(numbers.classes, known, str(folder))
    order = np.argsort(known[numbers.classes])
    named = Tally(known[numbers.classes][order], numbers.counts[order])
    shape = parts[0].shape[1:]
    pieces = partial(_read_pairs, parts, known, batch_length(shape, np.uint8))
    return ImageStream(pieces, shape, np.uint8, named, str(folder))


def check_labels(labels: AnyArray, known: Sequence[str] | AnyArray, name: str) -> None:
    """Refuse labels that have no name."""
    if labels.size and labels.max() >= len(known):
        raise DataError(f"{name}: label {labels.max()} is not one of 0..{len(known) - 1}.")


def holds_idx(folder: Path) -> bool:
    """Whether a folder holds IDX files under MNIST's names.

    Examples
    --------
    >>> holds_idx(Path("/nowhere"))
    False
    """
    return any(_find(folder, part, "images") or _find(folder, part, "labels") for part in _PARTS["all"])


def read_idx(path: Path) -> AnyArray:
    """Read one IDX file of unsigned bytes, raw or .gz.

    Returns
    -------
    ndarray
        uint8, of the shape in the header.

    Raises
    ------
    DataError
        If the magic number is not that of unsigned bytes, or the file is longer or shorter than its header says.
    NotEnoughMemoryError
        If the array would not fit in memory.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + b"abc")
    ...     read_idx(path)
    array([97, 98, 99], dtype=uint8)
    """
    with _opened(path) as file:
        shape = _read_header(file, path)
        check_fits(math.prod(shape), name=str(path))
        body = _read(file, math.prod(shape), path, "body")
        _check_end(file, path, shape)
    return body.reshape(shape)


def _read_pairs(parts: Sequence["_Part"], known: AnyArray, length: int) -> Iterator[Pair]:
    for part in parts:
        both = zip(_read_pieces(part.images, length), _read_pieces(part.labels, length), strict=True)
        yield from ((images, known[labels]) for images, labels in both)


def _read_pieces(path: Path, length: int) -> Iterator[AnyArray]:
    """What `read_idx` reads, so many rows at a time."""
    with _opened(path) as file:
        shape = _read_header(file, path)
        for start in range(0, shape[0], length):
            rows = min(length, shape[0] - start), *shape[1:]
            yield _read(file, math.prod(rows), path, f"body from number {start:,} on").reshape(rows)
        _check_end(file, path, shape)


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedIOBase]:
    """Open a file, and name it in whatever goes wrong until it is closed."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({reason(error)}); fetch it again.") from error


def _read_header(file: io.BufferedIOBase, path: Path) -> tuple[int, ...]:
    magic = _read(file, 4, path, "magic number")
    if magic[:3].tolist() != [0, 0, _UBYTE] or magic[3] not in _DIMENSIONS:
        raise DataError(
            f"{path} is not IDX of unsigned bytes: expected magic 00000801 to 00000804, found {magic.tobytes().hex()}."
        )
    dimensions = _read(file, 4 * int(magic[3]), path, "header").view(">u4")
    shape = tuple(int(n) for n in dimensions)

    # The header is only a claim: it is held against the file before memory is taken for it.
    expected, stored, is_packed = math.prod(shape), path.stat().st_size, path.suffix == ".gz"
    room = stored * _MAX_DEFLATE_RATIO if is_packed else stored - 4 - dimensions.nbytes
    if expected > room:
        raise DataError(f"{path} is cut short: expected {expected} bytes for shape {shape}, found at most {room}.")
    if expected < room and not is_packed:
        raise _too_long(path, shape)
    return shape


def _check_end(file: io.BufferedIOBase, path: Path, shape: tuple[int, ...]) -> None:
    if file.read(1):
        raise _too_long(path, shape)


def _too_long(path: Path, shape: tuple[int, ...]) -> DataError:
    return DataError(f"{path} is too long: expected {math.prod(shape)} bytes for shape {shape}, found more.")


def _read(file: io.BufferedIOBase, expected: int, path: Path, what: str) -> AnyArray:
    """Read so many bytes, or say how many there were."""
    data, found = np.empty(expected, np.uint8), 0
    try:
        while found < expected and (piece := file.read1(min(_CHUNK, expected - found))):
            data[found : found + len(piece)] = np.frombuffer(piece, np.uint8)
            found += len(piece)
    except EOFError:  # gzip's word for a file that ends before its data do
        pass
    if found < expected:
        raise DataError(f"{path} is cut short: expected {expected} bytes of {what}, found {found}; fetch it again.")
    return data


class _Part(NamedTuple):
    """Two files that belong together."""

    images: Path
    labels: Path
    shape: tuple[int, ...]  # of the images


def _parts(folder: Path, split: str) -> list[_Part]:
    """The files of a split, their headers held against each other."""
    parts = [_find_part(folder, part) for part in _PARTS[split]]
    sizes = {part.shape[1:] for part in parts}
    if len(sizes) > 1:
        raise DataError(f"{folder}: training and test images differ in size ({sorted(sizes)}); load them one by one.")
    return parts


def _find_part(folder: Path, part: str) -> _Part:
    paths, shapes = [], []
    for kind, n_dimensions in _KINDS.items():
        path = _find(folder, part, kind)
        if path is None:
            raise DataError(f"{folder} lacks {_names(part, kind)[0]} (raw or .gz); put it beside the other IDX files.")
        with _opened(path) as file:
            shape = _read_header(file, path)
        if len(shape) != n_dimensions:
            raise DataError(f"{path} has {len(shape)} dimensions, expected {n_dimensions} for {kind}.")
        paths.append(path)
        shapes.append(shape)
    n_images, n_labels = shapes[0][0], shapes[1][0]
    if n_images != n_labels:
        found = f"{count(n_images, 'image')} and {count(n_labels, 'label')}"
        raise DataError(f"{folder}: {part} has {found}; they do not belong together.")
    return _Part(paths[0], paths[1], shapes[0])


def _find(folder: Path, part: str, kind: str) -> Path | None:
    return next((path for name in _names(part, kind) if (path := folder / name).is_file()), None)


def _names(part: str, kind: str) -> list[str]:
    """How such a file may be called, the usual name first."""
    n = _KINDS[kind]
    return [f"{part}-{kind}{mark}idx{n}-ubyte{end}" for end in ("", ".gz") for mark in "-."]
