"""Step 0, from a metadata file: which images of its folder, with which texts.

metadata.csv, .jsonl, .parquet  --rows-->  (file_name, text)  --held against the folder-->  (path, prompt)
"""

import csv
import json
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..exceptions import DataError
from .common import TEXTS, check_text, choose_column, reason
from .parquet import opened, rows_of

TABLES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""The names of the files that are read."""
_Row = tuple[int, dict[str, Any]]


def read_metadata(
    table: Path, images: Sequence[Path], text_column: str | None, image_column: str | None
) -> Iterator[tuple[Path, str]]:
    """The images that a metadata file names, and their prompts.

    Parameters
    ----------
    table : Path
        One of `TABLES`.
    images : sequence of Path
        The images that there are: names whose accents are written another way are found among them.
    text_column, image_column : str, optional
        Which columns; `file_name` and the first known of `TEXTS` by default. "" for no prompts.

    Raises
    ------
    DataError
        If the file or a row cannot be used; the message names the line.
    """
    rows = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[table.suffix](table)
    unit = "row" if table.suffix == ".parquet" else "line"
    known = {unicodedata.normalize("NFC", str(path)): path for path in images}
    image = text = None
    try:
        for number, row in rows:
            where = f"{table}, {unit} {number}"
            if image is None or text is None:
                names = [name for name in row if name]
                image = choose_column(names, image_column or None, ("file_name",), "image_column", str(table))
                text = choose_column(names, text_column, TEXTS, "text_column", str(table))
            if not isinstance(row.get(image), str) or not row[image]:
                raise DataError(f"{where} has no {image}; name an image relative to {table.parent}.")
            path = _find(table.parent, row[image], where, known)
            yield path, _text(row.get(text), f"{where} ({row[image]})") if text else ""
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({reason(error)}); save it as UTF-8.") from error


def _csv_rows(table: Path) -> Iterator[_Row]:
    with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin a file with a mark
        reader = csv.DictReader(file)
        if not reader.fieldnames:
            raise DataError(f"{table} is empty; its first line must name the columns, such as file_name,text.")
        for row in reader:
            yield reader.line_num, row


def _jsonl_rows(table: Path) -> Iterator[_Row]:
    with table.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{table}, line {line} is not JSON: {reason(error)}.") from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{table}, line {line} must be an object with file_name and text, got {text.strip()[:40]!r}."
                )
            yield line, row


def _parquet_rows(table: Path) -> Iterator[_Row]:
    with opened(table) as file:
        yield from rows_of(file, file.schema_arrow.names, str(table))


def _find(folder: Path, name: str, where: str, known: dict[str, Path]) -> Path:
    """The file that a row names, inside the folder even where there are links."""
    path = folder / name
    try:
        if not path.is_file():
            path = known.get(unicodedata.normalize("NFC", str(path)), path)
        found = path.is_file()
        outside = Path(name).is_absolute() or ".." in Path(name).parts
        outside = outside or not path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a name too long for the file system, a circle of links
        found = outside = False
    if outside:
        raise DataError(f"{where} names {name!r}, outside the folder; name a file within {folder}, copy it there.")
    if not found:
        raise DataError(f"{where} names {name!r}, which does not exist; correct or remove the row.")
    return path


def _text(text: Any, where: str) -> str:
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{where} has no text; give it a prompt or remove the row.")
    return check_text(text, where)
