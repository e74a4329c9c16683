"""Files that appear whole or not at all, and arrays in them that are checked before use.

Arrays travel as safetensors, which is data only: no pickle, no code.
"""

import errno
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..exceptions import LinearDiffusionError, ModelFileError, NotEnoughMemoryError
from .memory import available_memory, readable
from .types import AnyArray

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_STALE = 3600.0
"""Seconds after which nobody is thought to write any more, where no lock tells."""
_MOST_LABELS = 2**28
"""Bytes that labels may take as an array: as many as the longest one for each."""


def write_files(folder: Path, contents: Mapping[str, bytes], replaces: str = "") -> None:
    """Write files into an existing folder; none takes its place before all are written, in the given order.

    One process at a time writes to a folder, others wait; what a killed one left half-written is removed. Last, files
    that match the pattern ``replaces`` and are not among the contents are removed. An OSError names the file that
    cannot be written.
    """
    name = next(iter(contents))
    try:
        with _alone(folder) as held:
            _remove(folder.glob(".writing-*"), alone=held is not None)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as beside:
                for name, content in contents.items():
                    if (folder / name).is_dir():
                        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                    with (Path(beside) / name).open("wb") as file:
                        file.write(content)
                        file.flush()
                        os.fsync(file.fileno())
                for name in contents:
                    (Path(beside) / name).replace(folder / name)
            if held is not None:
                os.fsync(held)
            old = [path for path in folder.glob(replaces) if path.name not in contents] if replaces else []
            _remove(old, alone=held is not None)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder / name)) from error


def read_file(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file: no pipe that would be waited for, no device without an end, and nothing larger than
    ``most`` bytes or than what fits in memory twice."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ModelFileError(f"{path} is not a regular file.")
    available = available_memory()
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # of the file that was opened: another may have taken its place
        if most is not None and size > most:
            raise ModelFileError(f"{path} has {size:,} bytes; it should have at most {most:,}.")
        if available is not None and 2 * size > available:
            raise NotEnoughMemoryError(
                f"{path} takes {readable(2 * size)} to read, and {readable(available)} are available."
            )
        return file.read(size)


@contextmanager
def refusing(path: Path) -> Iterator[None]:
    """Whatever goes wrong with the content of a file (or folder) becomes an error that names it."""
    try:
        yield
    except LinearDiffusionError:
        raise
    except FileNotFoundError as error:
        raise ModelFileError(f"{error.filename or path} does not exist.") from error
    except OSError as error:
        raise ModelFileError(f"{error.filename or path} cannot be read: {error.strerror}.") from error
    except Exception as error:
        raise ModelFileError(f"{path} is not valid: {type(error).__name__}: {str(error)[:300]}.") from error


def pack(arrays: dict[str, AnyArray]) -> bytes:
    """Arrays as the bytes of a safetensors file; labels (strings or others) go to its metadata."""
    numbers = {name: np.asarray(a, order="C") for name, a in arrays.items() if a.dtype.kind in "fiub"}
    labels = {name: json.dumps(labels_to_json(a)) for name, a in arrays.items() if name not in numbers}
    return safetensors.numpy.save(numbers, labels or None)


def unpack(content: bytes) -> dict[str, AnyArray]:
    """Read what `pack` packed; numbers that are not finite are refused."""
    arrays: dict[str, AnyArray] = safetensors.numpy.load(content)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"array {name!r} holds NaN or infinity")
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return arrays | {name: labels_from_json(json.loads(text)) for name, text in header.get("__metadata__", {}).items()}


def labels_to_json(labels: AnyArray) -> dict[str, Any]:
    """Prompts as JSON, with their dtype; strings are as wide as the longest."""
    return {"dtype": {"O": "object", "U": "str"}.get(labels.dtype.kind, labels.dtype.str), "values": labels.tolist()}


def labels_from_json(value: Any) -> AnyArray:
    """Read what `labels_to_json` wrote. Raises `ValueError`: if the values are not plain labels of the dtype."""
    name, values = value["dtype"], value["values"]
    kinds: dict[str, Any] = {"object": str, "str": str, "b": bool, "i": int, "u": int, "f": (int, float)}
    expected = kinds.get(name) or kinds.get(name[1] if len(name) == 3 else "")
    if not expected or not isinstance(values, list) or not all(isinstance(v, expected) for v in values):
        raise ValueError(f"prompts must be a list of labels of dtype {name!r}")
    if name == "str" and 4 * len(values) * max(map(len, values), default=0) > _MOST_LABELS:
        raise ValueError(f"an array of the prompts takes more than {readable(_MOST_LABELS)}; the longest is too long")
    labels = np.array(values, dtype=name)
    if labels.tolist() != values or not all(isinstance(v, str) or isfinite(v) for v in values):
        raise ValueError(f"prompts do not fit dtype {name!r}")
    return labels


@contextmanager
def _alone(folder: Path) -> Iterator[int | None]:
    """Wait until no other process writes to the folder, and hold it; None where the system has no such lock."""
    handle, locked = None, False
    try:
        if fcntl is not None:
            with suppress(OSError):  # some network drives
                handle = os.open(folder, os.O_RDONLY)
                fcntl.flock(handle, fcntl.LOCK_EX)  # the system lets go of it when a process is killed
                locked = True
        yield handle if locked else None
    finally:
        if handle is not None:
            if locked:
                fcntl.flock(handle, fcntl.LOCK_UN)  # a process forked meanwhile has the handle too
            os.close(handle)


def _remove(paths: Iterable[Path], *, alone: bool) -> None:
    """Remove what nobody needs any more: where others may be writing, what is old."""
    for path in paths:
        with suppress(OSError):  # in use, or gone already
            if alone or time.time() - path.stat().st_mtime > _STALE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
