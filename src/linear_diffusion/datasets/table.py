"""Step 0, from one file that holds images and prompts: .npz and .parquet."""

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice, repeat
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from ..exceptions import DataError, NotEnoughMemoryError
from .arrays import as_prompts, check_images, check_prompts, checked_shape
from .common import LONGEST, TEXTS, AnyArray, Mode, Progress, Report, Resize, Size, check_text, choose_column, reason
from .decode import Encoded, Plan, decode_pieces, read_headers, read_images
from .memory import check_fits
from .parquet import brief, opened, rows_at_a_time, rows_of
from .stream import ImageStream, Pair, batch_length, stream_arrays, tally

_ROWS = 1 << 16
"""Rows of numbers or prompts that are read at a time, at most."""
_IMAGES = ("images", "image", "img")
"""Columns that are known to hold images."""

# RuntimeError is zipfile's for an encrypted member; MemoryError comes of a header that claims more than the file holds.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
)


def load_npz(path: Path) -> tuple[AnyArray, AnyArray]:
    """Load `images` and, if there are any, `prompts` from a .npz file.

    Parameters
    ----------
    path : Path
        As `np.savez(path, images=images, prompts=prompts)` writes it.

    Returns
    -------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
        uint8, or floats as they are.
    prompts : ndarray of shape (n,)
        Of the dtype they were saved with; "" where the file has none.

    Raises
    ------
    DataError
        If the file is damaged, lacks `images`, holds Python objects, or holds what are not images and prompts.
    NotEnoughMemoryError
        If the images would not fit in memory.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     np.savez(Path(folder, "two.npz"), images=np.zeros((2, 4, 4), np.uint8), prompts=["cat", "dog"])
    ...     images, prompts = load_npz(Path(folder, "two.npz"))
    >>> images.shape, prompts.tolist()
    ((2, 4, 4), ['cat', 'dog'])
    """
    with _archive(path) as archive:
        _check_width(archive, path)
        stored = {name.removesuffix(".npy"): archive.getinfo(name).file_size for name in archive.namelist()}
        check_fits(stored["images"], name=str(path))
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in ("images", "prompts") if key in stored}
    for key, array in found.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of what does not begin like an array
            raise DataError(f"{path}: {key} is not an array; write it again with np.savez.")
    images = check_images(found["images"], name=f"{path}: images")
    prompts = found.get("prompts", np.full(len(images), ""))
    return images, check_prompts(prompts, len(images), name=f"{path}: prompts")


def stream_npz(path: Path) -> ImageStream:
    """The stream of a .npz file, in its order; as `load_npz`.

    Prompts are counted here. What is wrong with pixels is told where it is met. Images in Fortran's order cannot be
    read in pieces: they are read whole, if they fit.
    """
    with _archive(path) as archive:
        _check_width(archive, path)
        shape, is_fortran, dtype = _read_header(archive, "images")
        prompts = _read_header(archive, "prompts") if "prompts.npy" in archive.namelist() else None
    if is_fortran:
        return stream_arrays(*load_npz(path), str(path))
    image_shape = checked_shape(shape, dtype, name=f"{path}: images")
    if prompts is not None and prompts.shape != shape[:1]:
        check_prompts(np.broadcast_to(0, prompts.shape), shape[0], name=f"{path}: prompts")
    length = batch_length(shape[1:], dtype, prompts.dtype.itemsize if prompts else 0)
    counts = tally(_npz_prompts(path, shape[0], length, named=prompts is not None), f"{path}: prompts")
    pieces = partial(_npz_pairs, path, shape[0], length, named=prompts is not None)
    return ImageStream(pieces, image_shape, np.uint8 if dtype.kind in "iu" else dtype, counts, str(path))


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a .npz file that has images, and name it in whatever goes wrong until it is closed."""
    try:
        if not path.is_file():
            raise DataError(f"{path} is not a regular file; give a .npz file.")
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if "images" not in names:
                raise DataError(f"{path} must hold an array named 'images', found {sorted(names)}.")
            yield archive
    except (DataError, NotEnoughMemoryError):
        raise
    except _DAMAGE as error:
        advice = "save prompts as np.array(prompts, dtype=str)" if "allow_pickle" in str(error) else "write it again"
        raise DataError(f"{path} cannot be read as .npz ({reason(error)}); {advice}.") from error


class _Header(NamedTuple):
    """What an array in a .npz file says of itself."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]


def _read_header(archive: zipfile.ZipFile, key: str) -> _Header:
    with archive.open(f"{key}.npy") as file:
        header = _next_header(file)
        n_bytes = file.tell() + math.prod(header.shape) * header.dtype.itemsize
    stored = archive.getinfo(f"{key}.npy").file_size
    if header.dtype.hasobject:
        raise ValueError("object arrays cannot be loaded when allow_pickle=False")
    if n_bytes > stored:
        raise ValueError(f"{key} of shape {header.shape} needs {n_bytes:,} bytes, found {stored:,}")
    return header


def _next_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return _Header(*read(file))


def _check_width(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse prompts of a width that would fill the memory, before they are read."""
    if "prompts.npy" not in archive.namelist():
        return
    with archive.open("prompts.npy") as file:
        dtype = _next_header(file).dtype
    if dtype.itemsize > 4 * LONGEST:
        raise DataError(f"{path}: prompts of dtype {dtype} are longer than {LONGEST:,} characters; shorten them.")


def _npz_pairs(path: Path, n: int, length: int, *, named: bool) -> Iterator[Pair]:
    prompts = _npz_prompts(path, n, length, named=named)
    for i, images in enumerate(_npz_pieces(path, "images", length)):
        yield check_images(images, name=f"{path}: images", first=i * length), next(prompts)
        del images


def _npz_prompts(path: Path, n: int, length: int, *, named: bool) -> Iterator[AnyArray]:
    if named:
        for i, found in enumerate(_npz_pieces(path, "prompts", length)):
            yield check_prompts(found, len(found), name=f"{path}: prompts", first=i * length)
    else:
        yield from (np.full(min(length, n - start), "") for start in range(0, n, length))


def _npz_pieces(path: Path, key: str, length: int) -> Iterator[AnyArray]:
    """An array of a .npz file, so many rows at a time, packed or not."""
    with _archive(path) as archive, archive.open(f"{key}.npy") as file:
        shape, _, dtype = _next_header(file)
        for start in range(0, shape[0], length):
            piece = np.empty((min(length, shape[0] - start), *shape[1:]), dtype)
            if file.readinto(piece.reshape(-1).view(np.uint8)) < piece.nbytes:  # type: ignore[attr-defined]
                raise EOFError(f"{key} is cut short")
            yield piece
            del piece


def load_parquet(
    path: Path,
    size: Size | None = None,
    mode: Mode | None = None,
    progress: Progress | None = None,
    resize: Resize = "squash",
    report: Report | None = None,
    *,
    text_column: str | None = None,
    image_column: str | None = None,
) -> tuple[AnyArray, AnyArray]:
    """Load a column of images and one of prompts from a .parquet file.

    Parameters
    ----------
    path : Path
        A column of images: encoded files as bytes or as Hugging Face's {"bytes", "path"}, or nested lists of numbers.
        A column of prompts: strings or integers; Hugging Face's class labels become their names.
    size, mode, progress, resize, report
        As in `decode.read_images`; nested lists come as they are.
    text_column, image_column : str, optional
        Their names; by default `images`, `image` or `img`, and the first that is there of `common.TEXTS`. "" as
        `text_column` for no prompts.

    Returns
    -------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
        uint8; from nested lists also floats.
    prompts : ndarray of shape (n,)
        Strings; "" where the file has no other column.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    DataError
        If the file is damaged, or its columns are not as above.
    """
    with opened(path) as file:
        image, text = _columns(file, path, text_column, image_column)
        if _is_list(file.schema_arrow.field(image).type):
            _check_nested(file, path)
            pixels = _nested(file.read([image]).column(0), f"{path}: {image}")
            prompts = list(_prompts(file, path, text, kept=True))
            return check_images(pixels, name=f"{path}: {image}"), as_prompts(prompts, name=str(path))
        files, prompts = [], []
        seen: dict[Path | bytes, Path | bytes] = {}
        for found, prompt in _rows(file, path, image, text, kept=True):
            # A file of a few bytes can say one image a million times: then one copy is kept.
            files.append(found._replace(content=seen.setdefault(found.content, found.content)))
            prompts.append(prompt)
    return read_images(files, size, mode, progress, resize, report), as_prompts(prompts, name=str(path))


def stream_parquet(
    path: Path,
    size: Size | None = None,
    mode: Mode | None = None,
    progress: Progress | None = None,
    resize: Resize = "squash",
    report: Report | None = None,
    *,
    text_column: str | None = None,
    image_column: str | None = None,
) -> ImageStream:
    """The stream of a .parquet file, in its order; as `load_parquet`.

    The prompts are read here, and then the headers of encoded images. What is wrong with the numbers in nested lists is
    told where it is met.
    """
    with opened(path) as file:
        image, text = _columns(file, path, text_column, image_column)
        prompts, n = _prompts(file, path, text), file.metadata.num_rows
        counts = tally((np.array(some) for some in iter(lambda: list(islice(prompts, _ROWS)), [])), str(path))
        if _is_list(file.schema_arrow.field(image).type):
            first = next(_nested_pieces(file, path, image))
            pieces = partial(_nested_pairs, path, image, text)
            return ImageStream(pieces, first.shape[1:], first.dtype, counts, str(path))
        files = (found for found, _ in _rows(file, path, image, ""))
        plan = read_headers(files, size, mode, resize, report, progress and (lambda i: progress(i, n)))
    return ImageStream(partial(_decoded, path, image, text, plan), plan.shape, np.uint8, counts, str(path))


def _columns(file: Any, path: Path, text_column: str | None, image_column: str | None) -> tuple[str, str]:
    """The columns of the images and of the prompts; "" where there are none."""
    names = file.schema_arrow.names
    image = choose_column(names, image_column or None, _IMAGES, "image_column", str(path))
    others = [name for name in names if name != image]
    text = choose_column(others, text_column, TEXTS, "text_column", str(path)) if others else ""
    if not file.metadata.num_rows:
        raise DataError(f"{path}: {image} has no rows.")
    return image, text


def _rows(file: Any, path: Path, image: str, text: str, *, kept: bool = False) -> Iterator[tuple[Encoded, str]]:
    """The encoded image of each row, and its prompt."""
    for i, row in rows_of(file, [image, text] if text else [image], str(path), kept=kept):
        prompt = _text(row[text], f"{path}: {text}, row {i}") if text else ""
        yield _encoded(row[image], f"{path}: {image}, row {i}"), prompt


def _prompts(file: Any, path: Path, text: str, *, kept: bool = False) -> Iterator[str]:
    """The prompt of each row."""
    if not text:
        yield from repeat("", file.metadata.num_rows)
        return
    for i, row in rows_of(file, [text], str(path), kept=kept):
        yield _text(row[text], f"{path}: {text}, row {i}")


def _decoded(path: Path, image: str, text: str, plan: Plan) -> Iterator[Pair]:
    with opened(path) as file:
        yield from decode_pieces(_rows(file, path, image, text), plan)


def _nested_pairs(path: Path, image: str, text: str) -> Iterator[Pair]:
    with opened(path) as file, opened(path) as beside:
        prompts = _prompts(beside, path, text)
        for pixels in _nested_pieces(file, path, image):
            yield pixels, np.array(list(islice(prompts, len(pixels))))
            del pixels


def _nested_pieces(file: Any, path: Path, image: str) -> Iterator[AnyArray]:
    """Nested lists as arrays, some rows at a time."""
    start, shape = 0, None
    for batch in file.iter_batches(batch_size=rows_at_a_time(file, [image], _ROWS), columns=[image]):
        name = f"{path}: {image}, from row {start:,} on,"
        pixels = check_images(_nested(batch.column(0), name), name=name, first=start)
        shape = shape or pixels.shape[1:]
        if pixels.shape[1:] != shape:
            raise DataError(f"{name} must all have one size, found {pixels.shape[1:]}, and before {shape}.")
        start += len(pixels)
        yield pixels
        del pixels


def _encoded(value: Any, name: str) -> Encoded:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(f"{name} must be the bytes of an image file, got {brief(value)}; embed the images.")
    return Encoded(name, content)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise DataError(f"{name} must be a string or an integer, got {brief(value)}.")
    return check_text(str(value), name)


def _check_nested(file: Any, path: Path) -> None:
    """Refuse lists that would not fit, by how many numbers the file says that they hold."""
    groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
    n_values = sum(group.column(j).num_values for group in groups for j in range(group.num_columns))
    check_fits(11 * n_values, name=str(path))  # with the levels by which Parquet codes lists


def _nested(column: Any, name: str) -> AnyArray:
    """Lists of lists of numbers as one array, without a Python object per pixel."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shape = [len(column)]
    while _is_list(column.type):
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        if len(lengths) != 1 or not lengths[0]:
            raise DataError(f"{name} must all have one size, found lists of lengths {sorted(map(str, lengths))[:5]}.")
        shape.append(lengths[0])
        column = pc.list_flatten(column)
    if column.null_count or not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise DataError(f"{name} must be lists of numbers with none missing, found {column.type}.")
    pixels: AnyArray = column.to_numpy()
    return pixels.reshape(shape)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
