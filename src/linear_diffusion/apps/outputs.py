"""Before any work: can the outputs be written, and is none of them a file that is read?"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

_BEGUN = re.compile(r"\.writing-\w+|model-[0-9a-f]{16}\.safetensors")


def check_file(path: Path, suffixes: Sequence[str]) -> None:
    """Whether a picture or an array can be written to a path.

    Raises
    ------
    ValueError
        If its ending is none of the suffixes, it is a folder, or its folder cannot be written to.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path} ends in none of {', '.join(suffixes)}, which this command writes.")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give the name of a file.")
    _check_parent(path)


def check_folder(folder: Path) -> None:
    """Whether a folder can be made, or written to where it exists."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; give the name of a folder.")
    _check_parent(folder / "file")


def check_model_folder(folder: Path) -> None:
    """Whether a model can be written to a folder: a new one, an empty one, or a model to replace."""
    check_folder(folder)
    # What a killed writer left before its configuration is no reason to stop.
    others = [p for p in folder.iterdir() if not _BEGUN.fullmatch(p.name)] if folder.exists() else []
    if others and not _is_model(folder):
        raise ValueError(f"{folder} exists and is not a model; it is left as it is, choose another name.")


def check_apart(outputs: Sequence[Path | None], *sources: str | Path | None) -> None:
    """No output may be a file that is read, nor another output, by whatever name: links count too.

    Raises
    ------
    ValueError
        Naming both files.
    """
    from ..datasets.decode import SUFFIXES

    def files(source: Path) -> Iterator[Path]:
        if not source.is_dir():
            yield source
            return
        for path in source.rglob("*"):
            if path.suffix.lower() in SUFFIXES or path.stem == "metadata" or "ubyte" in path.name:
                yield path

    read = {_identity(path): path for source in sources if source is not None for path in files(Path(source))}
    seen: dict[object, Path] = {}
    for out in outputs:
        if out is None:
            continue
        key = _identity(out)
        if key in read:
            raise ValueError(f"{out} would overwrite {read[key]}, which this command reads; choose another name.")
        if key in seen:
            raise ValueError(f"two results would be written to {out}; choose another name for one of them.")
        seen[key] = out


def check_distinct(sources: Sequence[Path]) -> None:
    """No file may be given twice, by whatever name."""
    seen: dict[object, Path] = {}
    for path in sources:
        if (other := seen.setdefault(_identity(path), path)) is not path:
            raise ValueError(f"{path} is {other}, which would count twice; give each file once.")


def _identity(path: Path) -> object:
    """What two names of one file have in common: the file, or where it will be."""
    try:
        stat = path.stat()
    except (OSError, ValueError):
        return os.path.realpath(path)
    return stat.st_dev, stat.st_ino


def _is_model(folder: Path) -> bool:
    config = folder / "config.json"
    try:
        content = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "linear_diffusion" in content


def _check_parent(path: Path) -> None:
    """The nearest folder above a path that exists must be one that can be written to."""
    parent = next(p for p in path.absolute().parents if p.exists())
    if not parent.is_dir():
        raise ValueError(f"{path} cannot be written: {parent} is a file.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: no permission to write to {parent}.")
