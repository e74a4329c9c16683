"""Step 0, from one file that holds images and prompts: .npz and .parquet."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import DataError, NotEnoughMemoryError
from .arrays import as_prompts, check_images, check_prompts
from .common import LONGEST, TEXTS, AnyArray, Mode, Progress, Report, Resize, Size, check_text, choose_column, reason
from .decode import Encoded, read_images
from .memory import check_fits
from .parquet import brief, opened, rows_of

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
    try:
        if not path.is_file():
            raise DataError(f"{path} is not a regular file; give a .npz file.")
        with zipfile.ZipFile(path) as archive:
            stored = {name.removesuffix(".npy"): archive.getinfo(name).file_size for name in archive.namelist()}
            _check_width(archive, path)
        if "images" not in stored:
            raise DataError(f"{path} must hold an array named 'images', found {sorted(stored)}.")
        check_fits(stored["images"], name=str(path))
        with np.load(path, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in ("images", "prompts") if key in stored}
    except (DataError, NotEnoughMemoryError):
        raise
    except _DAMAGE as error:
        advice = "save prompts as np.array(prompts, dtype=str)" if "allow_pickle" in str(error) else "write it again"
        raise DataError(f"{path} cannot be read as .npz ({reason(error)}); {advice}.") from error
    for key, array in found.items():
        if not isinstance(array, np.ndarray):  # numpy gives the bytes of what does not begin like an array
            raise DataError(f"{path}: {key} is not an array; write it again with np.savez.")
    images = check_images(found["images"], name=f"{path}: images")
    prompts = found.get("prompts", np.full(len(images), ""))
    return images, check_prompts(prompts, len(images), name=f"{path}: prompts")


def _check_width(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse prompts of a width that would fill the memory, before they are read."""
    if "prompts.npy" not in archive.namelist():
        return
    with archive.open("prompts.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        dtype = read(file)[2]
    if dtype.itemsize > 4 * LONGEST:
        raise DataError(f"{path}: prompts of dtype {dtype} are longer than {LONGEST:,} characters; shorten them.")


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
        names = file.schema_arrow.names
        image = choose_column(names, image_column or None, _IMAGES, "image_column", str(path))
        others = [name for name in names if name != image]
        text = choose_column(others, text_column, TEXTS, "text_column", str(path)) if others else ""
        if not file.metadata.num_rows:
            raise DataError(f"{path}: {image} has no rows.")
        if _is_list(file.schema_arrow.field(image).type):
            _check_nested(file, path)
            pixels = _nested(file.read([image]).column(0), f"{path}: {image}")
            rows = rows_of(file, [text] if text else [], str(path))
            prompts = [_text(row[text], f"{path}: {text}, row {i}") for i, row in rows] if text else [""] * len(pixels)
            return check_images(pixels, name=f"{path}: {image}"), as_prompts(prompts, name=str(path))
        files, prompts = [], []
        seen: dict[Path | bytes, Path | bytes] = {}
        for i, row in rows_of(file, [image, text] if text else [image], str(path)):
            found = _encoded(row[image], f"{path}: {image}, row {i}")
            # A file of a few bytes can say one image a million times: then one copy is kept.
            files.append(found._replace(content=seen.setdefault(found.content, found.content)))
            prompts.append(_text(row[text], f"{path}: {text}, row {i}") if text else "")
    return read_images(files, size, mode, progress, resize, report), as_prompts(prompts, name=str(path))


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
