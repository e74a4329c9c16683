"""Step 0, from Parquet: rows of some columns, in little memory whatever the file claims."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..exceptions import DataError, MissingExtraError
from .common import reason
from .memory import check_fits
from .stream import BATCH_BYTES

_ROWS = 64
"""Rows that are held at a time: a row may be a large image."""
_BUFFER = 1 << 20
"""Bytes of each column that are read at a time."""
_ROW_BYTES = 300
"""What Python's objects for a row take at least."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a Parquet file, and name it in whatever goes wrong until it is closed."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError(f"{path} needs pyarrow: pip install 'linear-diffusion[parquet]'") from error
    if not path.is_file():
        raise DataError(f"{path} is not a regular file; give a .parquet file.")
    try:
        # Not a whole row group is read at once, which may be the whole file; but for its dictionary, if it has one.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
            yield file
    except DataError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as .parquet ({reason(error)}); write it again.") from error


def rows_of(file: Any, columns: Sequence[str], name: str, *, kept: bool = True) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number each row, with class numbers of Hugging Face's as their names. Where all rows will be kept, those that
    would not fit in memory are refused."""
    if kept:
        meta = file.metadata
        largest = max((meta.row_group(i).total_byte_size for i in range(meta.num_row_groups)), default=0)
        check_fits(3 * largest + meta.num_rows * _ROW_BYTES, name=name)  # as stored, decoded, and as Python's objects
    classes = {column: class_names(file.schema_arrow, column) for column in columns}
    number = -1
    for batch in file.iter_batches(batch_size=rows_at_a_time(file, columns, _ROWS), columns=list(columns)):
        for row in batch.to_pylist():
            number += 1
            for column in columns:
                if classes[column]:
                    row[column] = _class_name(row[column], classes[column], f"{name}: {column}, row {number}")
            yield number, row


def rows_at_a_time(file: Any, columns: Sequence[str], most: int) -> int:
    """How many rows of some columns take about as much memory as a batch of images, as far as the file says."""
    groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
    chunks = (group.column(j) for group in groups for j in range(group.num_columns))
    asked = (chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)
    n_bytes = sum(max(chunk.total_uncompressed_size, 8 * chunk.num_values) for chunk in asked)
    return max(min(most, BATCH_BYTES * file.metadata.num_rows // max(n_bytes, 1)), 1)


def class_names(schema: Any, column: str) -> list[str]:
    """The names that Hugging Face's ClassLabel gives to 0, 1, 2, ...; empty where there are none."""
    with suppress(KeyError, TypeError, ValueError, RecursionError):
        names = json.loads(schema.metadata[b"huggingface"])["info"]["features"][column]["names"]
        return [str(name) for name in names]
    return []


def _class_name(value: Any, names: Sequence[str], where: str) -> str:
    if not (isinstance(value, int) and 0 <= value < len(names)):
        raise DataError(f"{where} must be a class 0..{len(names) - 1}, got {brief(value)}.")
    return names[value]


def brief(value: Any) -> str:
    """A value, cut short where it is long."""
    text = repr(value)
    return text if len(text) < 60 else text[:60] + "..."
