"""Step 0, from a folder of images, by the conventions of Hugging Face's ImageFolder.

    folder/dog/1.png          prompt "dog"; in folder/a/b/1.png it is "b", the folder directly around the file
    folder/1.png              prompt ""
    folder/metadata.csv       file_name,text
    folder/metadata.jsonl     {"file_name": "1.png", "text": "a dog"}

With a metadata file, the images are those it names, with their texts as prompts.
"""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import DataError
from .common import AnyArray, reason
from .decode import SUFFIXES


def list_folder(folder: Path) -> tuple[list[Path], AnyArray]:
    """List the images of a folder with their prompts, without reading them.

    Hidden files and folders, links to folders, and files that do not end like an image are passed over.

    Parameters
    ----------
    folder : Path
        The root; subfolders are searched.

    Returns
    -------
    paths : list of Path
        In the order of the metadata, or sorted.
    prompts : ndarray of shape (n,)
        Strings.

    Raises
    ------
    DataError
        If there are no images, or the metadata cannot be used: a row lacks a field, or names a file that is missing or
        outside the folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as root:
    ...     Path(root, "dog").mkdir()
    ...     Path(root, "dog", "1.png").touch()
    ...     paths, prompts = list_folder(Path(root))
    >>> paths[0].name, prompts.tolist()
    ('1.png', ['dog'])
    """
    tables = [path for name in ("metadata.csv", "metadata.jsonl") if (path := folder / name).is_file()]
    if len(tables) > 1:
        raise DataError(f"{folder} holds both metadata.csv and metadata.jsonl; keep one.")
    pairs = list(_from_metadata(tables[0]) if tables else _from_names(folder))
    if not pairs:
        raise DataError(f"{tables[0] if tables else folder} holds no images ({', '.join(SUFFIXES)}).")
    paths, prompts = zip(*pairs, strict=True)
    return list(paths), np.array(prompts, dtype=str)


def _from_names(folder: Path) -> Iterator[tuple[Path, str]]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.relative_to(folder).parts)
        if not hidden and path.suffix.lower() in SUFFIXES and path.is_file():
            yield path, "" if path.parent == folder else path.parent.name


def _from_metadata(table: Path) -> Iterator[tuple[Path, str]]:
    rows = _csv_rows(table) if table.suffix == ".csv" else _jsonl_rows(table)
    try:
        for line, row in rows:
            yield _row_path(table, line, row), _row_text(table, line, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read ({reason(error)}); save it as UTF-8.") from error


def _csv_rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with table.open(encoding="utf-8-sig", newline="") as file:  # spreadsheets begin a file with a mark
        reader = csv.DictReader(file)
        missing = {"file_name", "text"} - set(reader.fieldnames or ())
        if missing:
            raise DataError(f"{table} lacks the column {' and '.join(sorted(missing))}; its first line must name both.")
        for row in reader:
            yield reader.line_num, row


def _jsonl_rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    with table.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                raise DataError(f"{table}, line {line} is not JSON: {reason(error)}.") from error
            if not isinstance(row, dict):
                raise DataError(
                    f"{table}, line {line} must be an object with file_name and text, got {text.strip()[:40]!r}."
                )
            yield line, row


def _row_path(table: Path, line: int, row: dict[str, Any]) -> Path:
    name = row.get("file_name")
    if not isinstance(name, str) or not name:
        raise DataError(f"{table}, line {line} has no file_name; name an image relative to {table.parent}.")
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise DataError(f"{table}, line {line} names {name!r}, outside the folder; name a file within {table.parent}.")
    try:
        found = (table.parent / name).is_file()
    except OSError:  # a name too long for the file system
        found = False
    if not found:
        raise DataError(f"{table}, line {line} names {name!r}, which does not exist; correct or remove the row.")
    return table.parent / name


def _row_text(table: Path, line: int, row: dict[str, Any]) -> str:
    text = row.get("text")
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if not isinstance(text, str) or not text.strip():
        raise DataError(f"{table}, line {line} ({row['file_name']}) has no text; give it a prompt or remove the row.")
    return text
