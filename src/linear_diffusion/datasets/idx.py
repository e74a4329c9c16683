"""Step 0, from IDX files, the format of MNIST: 4 bytes of magic, one big-endian uint32 a dimension, then the pixels."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from ..exceptions import DataError, count
from .common import AnyArray, reason
from .memory import check_fits

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
    pairs = [_load_part(folder, part) for part in _PARTS[split]]
    sizes = {images.shape[1:] for images, _ in pairs}
    if len(sizes) > 1:
        raise DataError(f"{folder}: training and test images differ in size ({sorted(sizes)}); load them one by one.")
    if len(pairs) == 1:
        return pairs[0]
    images, labels = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    return images, labels


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
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_array(file, path)
    except (OSError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({reason(error)}); fetch it again.") from error


def _read_array(file: io.BufferedIOBase, path: Path) -> AnyArray:
    magic = _read(file, 4, path, "magic number")
    if magic[:3].tolist() != [0, 0, _UBYTE] or magic[3] not in _DIMENSIONS:
        raise DataError(
            f"{path} is not IDX of unsigned bytes: expected magic 00000801 to 00000804, found {magic.tobytes().hex()}."
        )
    dimensions = _read(file, 4 * int(magic[3]), path, "header").view(">u4")
    shape = tuple(int(n) for n in dimensions)

    # The header is only a claim: it is held against the file before memory is taken for it.
    expected, stored = math.prod(shape), path.stat().st_size
    room = stored * _MAX_DEFLATE_RATIO if path.suffix == ".gz" else stored - 4 - dimensions.nbytes
    if expected > room:
        raise DataError(f"{path} is cut short: expected {expected} bytes for shape {shape}, found at most {room}.")
    check_fits(expected, name=str(path))
    body = _read(file, expected, path, "body")
    if file.read(1):
        raise DataError(f"{path} is too long: expected {expected} bytes for shape {shape}, found more.")
    return body.reshape(shape)


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


def _load_part(folder: Path, part: str) -> tuple[AnyArray, AnyArray]:
    arrays = []
    for kind, n_dimensions in _KINDS.items():
        path = _find(folder, part, kind)
        if path is None:
            raise DataError(f"{folder} lacks {_names(part, kind)[0]} (raw or .gz); put it beside the other IDX files.")
        array = read_idx(path)
        if array.ndim != n_dimensions:
            raise DataError(f"{path} has {array.ndim} dimensions, expected {n_dimensions} for {kind}.")
        arrays.append(array)
    images, labels = arrays
    if len(images) != len(labels):
        found = f"{count(len(images), 'image')} and {count(len(labels), 'label')}"
        raise DataError(f"{folder}: {part} has {found}; they do not belong together.")
    return images, labels


def _find(folder: Path, part: str, kind: str) -> Path | None:
    return next((path for name in _names(part, kind) if (path := folder / name).is_file()), None)


def _names(part: str, kind: str) -> list[str]:
    """How such a file may be called, the usual name first."""
    n = _KINDS[kind]
    return [f"{part}-{kind}{mark}idx{n}-ubyte{end}" for end in ("", ".gz") for mark in "-."]
