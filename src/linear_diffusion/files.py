"""Files that appear whole or not at all, and arrays in them that are checked before use.

Arrays travel as safetensors, which is data only: no pickle, no code.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from ._types import AnyArray
from .exceptions import ModelFileError


def write_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files into an existing folder; none takes its place before all are written, in the given order."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as beside:
        for name, content in contents.items():
            with (Path(beside) / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        for name in contents:
            (Path(beside) / name).replace(folder / name)


def pack(arrays: dict[str, AnyArray]) -> bytes:
    """Arrays as the bytes of a safetensors file; labels (strings or others) go to its metadata."""
    numbers = {name: np.ascontiguousarray(a) for name, a in arrays.items() if a.dtype.kind in "fiub"}
    labels = {name: json.dumps(labels_to_json(a)) for name, a in arrays.items() if name not in numbers}
    packed: bytes = safetensors.numpy.save(numbers, labels or None)
    return packed


def unpack(path: Path) -> dict[str, AnyArray]:
    """Read what `pack` packed.

    Raises
    ------
    ModelFileError
        If the file is missing, cut short, or holds numbers that are not finite.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is not a dict
            labels = {name: labels_from_json(json.loads(text)) for name, text in (file.metadata() or {}).items()}
    except FileNotFoundError:
        raise ModelFileError(f"{path} does not exist.") from None
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{path} is not a whole safetensors file: {error}.") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelFileError(f"{path}: array {name!r} holds NaN or infinity.")
    return arrays | labels


def labels_to_json(labels: AnyArray) -> dict[str, Any]:
    """Prompts as JSON, with their dtype."""
    return {"dtype": "object" if labels.dtype == object else labels.dtype.str, "values": labels.tolist()}


def labels_from_json(value: Any) -> AnyArray:
    """Read what `labels_to_json` wrote.

    Raises
    ------
    ValueError
        If the values are not plain labels of the dtype.
    """
    dtype, values = np.dtype(value["dtype"]), value["values"]
    kinds: dict[str, Any] = {"b": bool, "i": int, "u": int, "f": (int, float), "U": str, "O": str}
    expected = kinds.get(dtype.kind)
    if (
        not isinstance(value["dtype"], str)
        or expected is None
        or not isinstance(values, list)
        or not all(isinstance(v, expected) for v in values)
    ):
        raise ValueError(f"prompts must be a list of labels of dtype {dtype}")
    labels = np.array(values, dtype=dtype)
    if labels.tolist() != values:
        raise ValueError(f"prompts do not fit dtype {dtype}")
    return labels
