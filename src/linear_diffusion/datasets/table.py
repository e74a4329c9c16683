"""Step 0, from one file that holds images and prompts: .npz and .parquet."""

import json
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import DataError, MissingExtraError, NotEnoughMemoryError
from .arrays import check_images, check_prompts
from .common import AnyArray, Mode, Progress, Size, reason
from .decode import Encoded, read_images
from .memory import check_fits

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
        with zipfile.ZipFile(path) as archive:
            stored = {name.removesuffix(".npy"): archive.getinfo(name).file_size for name in archive.namelist()}
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


def load_parquet(
    path: Path, size: Size | None = None, mode: Mode | None = None, progress: Progress | None = None
) -> tuple[AnyArray, AnyArray]:
    """Load a column of images and one of prompts from a .parquet file.

    Parameters
    ----------
    path : Path
        Column `images` or `image`: encoded files as bytes or as Hugging Face's {"bytes", "path"}, or nested lists of
        numbers. Column `prompts`, `text` or `label`, the first of them that is there; Hugging Face's class labels
        become their names.
    size, mode, progress
        As in `decode.read_images`; nested lists come as they are.

    Returns
    -------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
        uint8; from nested lists also floats.
    prompts : ndarray of shape (n,)
        Strings; "" where the file has none.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    DataError
        If the file is damaged, or its columns are not as above.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(f"{path} needs pyarrow: pip install 'linear-diffusion[parquet]'") from error
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            image_name = next((name for name in ("images", "image") if name in names), None)
            prompt_name = next((name for name in ("prompts", "text", "label") if name in names), None)
            if image_name is None:
                raise DataError(f"{path} must have a column 'images' or 'image', found {names}.")
            table = file.read([name for name in (image_name, prompt_name) if name])
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as .parquet ({reason(error)}); write it again.") from error
    prompts = np.full(len(table), "") if prompt_name is None else _prompts(table, prompt_name, path)
    column, name = table.column(image_name), f"{path}: {image_name}"
    if not len(column):
        raise DataError(f"{name} has no rows.")
    if _is_list(column.type):
        return check_images(_nested(column, name), name=name), prompts
    files = [_encoded(value, f"{name}, row {i}") for i, value in enumerate(column.to_pylist())]
    return read_images(files, size, mode, progress), prompts


def _encoded(value: Any, name: str) -> Encoded:
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(f"{name} must be the bytes of an image file, got {_brief(value)}; embed the images.")
    return Encoded(name, content)


def _nested(column: Any, name: str) -> AnyArray:
    """Lists of lists of numbers as one array, without a Python object a pixel."""
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


def _prompts(table: Any, name: str, path: Path) -> AnyArray:
    values = table.column(name).to_pylist()
    classes = _class_names(table.schema, name)
    for i, value in enumerate(values):
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise DataError(f"{path}: {name}, row {i} must be a string or an integer, got {_brief(value)}.")
        if classes and not (isinstance(value, int) and 0 <= value < len(classes)):
            raise DataError(f"{path}: {name}, row {i} must be a class 0..{len(classes) - 1}, got {_brief(value)}.")
    return np.array([classes[value] if classes else str(value) for value in values], dtype=str)


def _class_names(schema: Any, column: str) -> list[str]:
    """The names that Hugging Face's ClassLabel gives to 0, 1, 2, ...; empty where there are none."""
    with suppress(KeyError, TypeError, ValueError):
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"]
        return [str(name) for name in names]
    return []


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:60] + "..."
