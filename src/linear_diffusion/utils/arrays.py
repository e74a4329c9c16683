"""Arrays that a part of a model keeps: each says its axes, its dtype and what its numbers must be.

    class Part(Kept):  mean: Array = kept("p k")        Part.read(arrays, "part", sizes)  <->  part.arrays("part")

A part that is read from a file is checked by what its own class says, so that no table elsewhere repeats the classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, field, fields
from typing import Any, Self

import numpy as np

from .types import AnyArray

Check = Callable[[AnyArray], bool]
_AXES, _DTYPE, _HOLDS = "axes", "dtype", "holds"


def positive(a: AnyArray) -> bool:
    return bool((a > 0).all())


def not_negative(a: AnyArray) -> bool:
    return bool((a >= 0).all())


def share(a: AnyArray) -> bool:
    """Each from 0 to 1."""
    return bool(((a >= 0) & (a <= 1)).all())


def sums_to_one(a: AnyArray) -> bool:
    return positive(a) and abs(float(a.sum()) - 1) < 1e-6


def orthonormal(a: AnyArray) -> bool:
    """Rows, or the columns of square matrices, by what they make of one random vector; there is at least one."""
    rows = a if a.ndim == 2 else a.swapaxes(-1, -2)
    probe = np.random.default_rng(0).standard_normal((rows.shape[-2], 1))
    with np.errstate(all="ignore"):
        return bool(rows.size) and bool(np.allclose(rows @ (rows.swapaxes(-1, -2) @ probe), probe, rtol=0, atol=1e-4))


def kept(axes: str = "", holds: Check | None = None, dtype: str = "float64", *, optional: bool = False) -> Any:
    """A field whose array is saved. An axis of a name, as in "p k", has one size in all arrays of a model; "..." at the
    end is any more, and none at all is one number. dtype "float" is float32 or float64, "any" is any; ``holds`` says
    whether numbers are such as a model has. A file may hold floats in a smaller dtype, since no digit is lost on the
    way back."""
    metadata = {_AXES: tuple(axes.split()), _DTYPE: dtype, _HOLDS: holds}
    return field(metadata=metadata, default=None) if optional else field(metadata=metadata)


class Kept:
    """A dataclass with fields that are `kept`; what it works out from them is not pickled."""

    def arrays(self, name: str) -> dict[str, AnyArray]:
        """All that is kept, by "name.field"."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if _AXES in f.metadata}  # type: ignore[arg-type]
        return {_key(name, field): np.asarray(value) for field, value in values.items() if value is not None}

    @classmethod
    def read(cls, arrays: dict[str, AnyArray], name: str, sizes: dict[str, int], **others: Any) -> Self:
        """Take what is kept out of the arrays of a file, and check it; sizes of axes that were not known are added, and
        fields that are not kept come as ``others``."""
        found: dict[str, Any] = {}
        for f in fields(cls):  # type: ignore[arg-type]
            key = _key(name, f.name)
            if _AXES not in f.metadata or (key not in arrays and f.default is not MISSING):
                continue
            if key not in arrays:
                raise ValueError(f"array {key!r} is missing")
            array = _widened(arrays.pop(key), f.metadata[_DTYPE])
            _check(key, array, f.metadata, sizes)
            found[f.name] = array if f.metadata[_AXES] else array.item()
        return cls(**found, **others)

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


def require_none_left(arrays: Mapping[str, AnyArray]) -> None:
    """Refuse a file with arrays that no part has taken."""
    if arrays:
        raise ValueError(f"its arrays are not those that are needed: {sorted(arrays)} are too many")


def _key(part: str, field: str) -> str:
    return f"{part}.{field}" if part else field


def _widened(array: AnyArray, dtype: str) -> AnyArray:
    """Floats of a smaller dtype in the one that is needed; all else as it is."""
    wanted = np.dtype(np.float32 if dtype == "float" else "V" if dtype == "any" else dtype)
    smaller = array.dtype.kind == wanted.kind == "f" and array.dtype.itemsize < wanted.itemsize
    return array.astype(wanted) if smaller else array


def _check(key: str, array: AnyArray, wanted: Mapping[str, Any], sizes: dict[str, int]) -> None:
    axes, dtype, holds = wanted[_AXES], wanted[_DTYPE], wanted[_HOLDS]
    if axes[-1:] == ("...",):
        axes = axes[:-1] + tuple(f"{key} {i}" for i in range(len(axes) - 1, array.ndim))
    if array.ndim == len(axes):
        sizes |= {axis: n for axis, n in zip(axes, array.shape, strict=True) if axis not in sizes}
    shape = tuple(sizes.get(axis, axis) for axis in axes)
    is_dtype = dtype == "any" or array.dtype in ((np.float32, np.float64) if dtype == "float" else (dtype,))
    if array.shape != shape or not is_dtype:
        raise ValueError(f"array {key!r} is {array.dtype} of shape {array.shape}; it must be {dtype} of shape {shape}")
    if holds is not None and not holds(array):
        raise ValueError(f"the numbers of array {key!r} are none that a model has")
