"""Format: what pixels mean, so that the same kind of image comes out as went in.

    images (n, h, w[, channels]) of any dtype <-> rows (n, d) of the numbers that a model works with

A range that is evident from pixels is taken; it bounds samples, and tones are counted in it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import nan, prod
from typing import Any

import numpy as np

from ..exceptions import warn
from ..utils.groups import cut
from ..utils.types import AnyArray, Array, number
from .tone import N_TONES

FARTHEST = 1e10
"""How far from training images others may lie, by what these span: beyond it squares leave single precision."""
_NEAR, _USUAL = 16.0, 1e6
"""How far pixels may be from zero, by what they span, and how much they may span, before either is taken away."""
_MOST = 1e307
"""Bounds beyond this are further apart than a float can say."""
_SPARE = 1e8
"""What is left between the numbers of pixels and the least and the largest of their dtype."""
_KEYS = {name: name for name in ("shape", "dtype", "span", "origin", "unit")} | {"range": "pixel_range"}
_DTYPES = ("bool", *(np.dtype(code).name for code in np.typecodes["AllInteger"]), "float32", "float64")
"""What files say of images, and dtypes that these may have."""


@dataclass(frozen=True)
class ImageFormat:
    """What an image of the training data looks like, so that the same kind comes out.

    A model works with the pixels' own numbers, or with ``(x - origin) / unit`` where products and tables in single
    precision would lose them: where they are far from zero for how little they differ, or of extreme size. The unit is
    a power of two, so that dividing by it does not round. Tones are counted within ``span``, from the least to the
    largest pixel of the training data; by default within the range.

    >>> ImageFormat.of(np.zeros((5, 28, 28), np.uint8)).pixel_range
    (0.0, 255.0)
    """

    shape: tuple[int, ...]
    dtype: str
    pixel_range: tuple[float, float] | None
    span: tuple[float, float] | None = None
    origin: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(cls, X: AnyArray, pixel_range: Any = "auto", *, rescale: bool = True) -> "ImageFormat":
        """The format of images (n, h, w[, channels]) or rows (n, d). Without ``rescale`` the unit is 1, for latents
        that keep their own scale. Pixels outside an explicit range, or that differ by too much or too little for their
        dtype, are refused; a range that is not evident is warned of."""
        low, high = float(X.min()), float(X.max())
        return cls.found(X.shape[1:], X.dtype, low, high, lambda: _is_whole(X), pixel_range, rescale=rescale)

    @classmethod
    def found(
        cls,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        low: float,
        high: float,
        is_whole: Callable[[], bool],
        pixel_range: Any,
        *,
        rescale: bool = True,
    ) -> "ImageFormat":
        """The same of images of which shape and dtype are known, the least and the largest pixel, and whether pixels
        are whole numbers."""
        if pixel_range == "auto":
            pixel_range = evident_range(dtype, low, high, is_whole, is_image=len(shape) > 1)
        elif pixel_range is not None:
            pixel_range = float(pixel_range[0]), float(pixel_range[1])
            if low < pixel_range[0] or high > pixel_range[1]:
                raise ValueError(
                    f"pixel_range={pixel_range} does not hold X, whose pixels span [{low:g}, {high:g}]; "
                    "widen it, or pass pixel_range=None for no bounds."
                )
        if pixel_range is not None and dtype.kind in "biu":  # what is wider than the dtype bounds nothing
            least, most = limits(dtype)
            pixel_range = max(pixel_range[0], float(least)), min(pixel_range[1], float(most))
        return cls.spanning(tuple(shape), dtype, pixel_range, low, high, rescale=rescale)

    @classmethod
    def spanning(
        cls,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        pixel_range: tuple[float, float] | None,
        low: float,
        high: float,
        *,
        rescale: bool = True,
    ) -> "ImageFormat":
        """The format of images of which the least and the largest pixel are known."""
        if dtype == np.bool_:
            return cls(shape, dtype.name, pixel_range, (0.0, 1.0))
        if dtype.kind in "iu" and low >= 0 and high <= 255:
            return cls(shape, dtype.name, pixel_range, (0.0, 255.0))
        width = _width(low, high)
        floats = np.finfo(dtype if dtype.kind == "f" else np.float64)
        fine, wide = (float(floats.tiny) * _SPARE, float(floats.max) / _SPARE) if rescale else (1 / _SPARE, _SPARE)
        if not fine <= width <= wide:
            raise ValueError(
                f"X has pixels from {low:g} to {high:g}; they may span from {fine:.0e} to {wide:.0e}. Scale it, for "
                "example to [0, 1]."
            )
        nearest = min(max(low, 0.0), high)  # to zero: subtracting it loses no digits
        origin = nearest if abs(nearest) > _NEAR * width else 0.0
        unit = 1.0 if 1 / _USUAL <= width <= _USUAL or not rescale else float(2.0 ** np.ceil(np.log2(width)))
        return cls(shape, dtype.name, pixel_range, (low, high), origin, unit)

    def joined(self, other: "ImageFormat") -> "ImageFormat":
        """The format of these images and of others, of the same shape, dtype and range."""
        (low, high), (least, most) = self.reach, other.reach
        return self.spanned(min(low, least), max(high, most))

    def spanned(self, low: float, high: float, *, rescale: bool = True) -> "ImageFormat":
        """The format of such images with other pixels, from the least to the largest; or in units of its own."""
        return self.spanning(self.shape, np.dtype(self.dtype), self.pixel_range, low, high, rescale=rescale)

    @property
    def n_pixels(self) -> int:
        """Numbers in an image, channels included."""
        return int(np.prod(self.shape))

    @property
    def n_channels(self) -> int:
        """Channels of an image; 1 for grey ones and plain rows."""
        return self.shape[2] if len(self.shape) == 3 else 1

    @property
    def reach(self) -> tuple[float, float]:
        """The least and the largest pixel that tones are counted for."""
        return self.span or self.pixel_range or (0.0, 1.0)

    @property
    def farthest(self) -> float:
        """How far from the training data's pixels others may lie."""
        return FARTHEST * _width(*self.reach)

    @property
    def tone_range(self) -> tuple[float, float]:
        """The first and the last tone, in the model's numbers."""
        low, high = self.reach
        return (low - self.origin) / self.unit, (high - self.origin) / self.unit

    def rows(self, X: AnyArray) -> AnyArray:
        """Images (n, ...) as rows (n, d) of the model's numbers: uint8, float32 or float64. Raises `ValueError`: if
        pixels are so far from those of the training data that their squares say nothing."""
        return self.inner(X.reshape(len(X), -1))

    def inner(self, pixels: AnyArray, origin: AnyArray | float | None = None) -> AnyArray:
        """Pixels (n, d), or what an operator leaves of them and of the origin, in the model's numbers."""
        if pixels.dtype.kind in "biu" and pixels.dtype != np.uint8:
            is_bytes = pixels.dtype == np.bool_ or (pixels.min(initial=0) >= 0 and pixels.max(initial=0) <= 255)
            pixels = pixels.astype(np.uint8 if is_bytes else np.result_type(pixels.dtype, np.float32))
        if pixels.dtype != np.uint8:
            low, high = float(pixels.min(initial=np.inf)), float(pixels.max(initial=-np.inf))
            if max(high, -low) > self.farthest + abs(self.origin):
                raise ValueError(
                    f"X holds pixels from {low:g} to {high:g}, too far from those that the model was fitted on; scale "
                    "it as they were."
                )
        if self.origin == 0.0 and self.unit == 1.0:
            return pixels
        inner = pixels.astype(np.float64)
        inner -= self.origin if origin is None else origin
        inner /= self.unit
        return inner if pixels.dtype == np.float64 else inner.astype(np.float32)

    def outer(self, numbers: Array) -> Array:
        """The model's numbers in the units of pixels."""
        if self.origin == 0.0 and self.unit == 1.0:
            return numbers
        return numbers.astype(np.float64) * self.unit + self.origin

    def tones(self, rows: AnyArray, parts: int = 1) -> AnyArray:
        """The model's numbers (n, d) as one of 256 tones, uint8; or in so many parts of a tone, int16."""
        low, high = self.tone_range
        if rows.dtype == np.uint8 and (low, high) == (0.0, 255.0):
            return rows if parts == 1 else rows.astype(np.int16) * np.int16(parts)
        most = (N_TONES - 1) * parts
        # A hair above halves, so that these go one way however they were rounded.
        tones = np.floor((rows.astype(np.float64) - low) * (most / ((high - low) or 1.0)) + (0.5 + 1e-6))
        return np.clip(tones, 0, most, out=tones).astype(np.uint8 if parts == 1 else np.int16)

    def table(self, numbers: Array) -> AnyArray:
        """The model's numbers of a table as the model has them of images: bytes rounded and within their range."""
        low, high = self.tone_range
        if (self.origin, self.unit) != (0.0, 1.0) or np.dtype(self.dtype).kind not in "biu" or low < 0 or high > 255:
            return numbers
        low, high = self.pixel_range or (0.0, 255.0)
        return np.rint(np.clip(numbers, max(low, 0.0), min(high, 255.0))).astype(np.uint8)

    def cast(self, numbers: Array) -> AnyArray:
        """The model's numbers of any shape as pixels: in their units, within their range and of the data's dtype."""
        dtype = np.dtype(self.dtype)
        if numbers.dtype == np.uint8:
            return numbers.astype(dtype, copy=False)
        pixels = self.outer(numbers)
        if dtype.kind in "biu":
            pixels = np.rint(pixels).clip(*limits(dtype))
        if self.pixel_range is not None:
            most = np.finfo(pixels.dtype).max
            pixels = pixels.clip(*np.clip(self.pixel_range, -most, most).astype(pixels.dtype))
        return pixels.astype(dtype, copy=False)

    def images(self, rows: AnyArray) -> AnyArray:
        """Rows (n, d) in the shape of images."""
        return rows.reshape(len(rows), *self.shape)

    def to_json(self) -> dict[str, Any]:
        """What is said of images, for a file."""
        return {key: getattr(self, name) for key, name in _KEYS.items()}

    @classmethod
    def from_json(cls, value: Any) -> "ImageFormat":
        """Read what `to_json` gave. Raises `ValueError`: if no images of a fit are like that."""
        shape, dtype, span, origin, unit, pixel_range = (value[key] for key in _KEYS)
        shape = tuple(whole_in_file(n) for n in shape)
        if dtype not in _DTYPES or not 1 <= len(shape) <= 3 or prod(shape) > 2**31:
            raise ValueError(f"images of dtype {dtype} and shape {shape} are none that a model makes")
        most = limits(np.dtype(dtype)) if np.dtype(dtype).kind in "biu" else (-_MOST, _MOST)
        if pixel_range is not None:
            low, high = (_number_in_file(v, *most) for v in pixel_range)
            if not low < high:
                raise ValueError(f"range={pixel_range} is none of pixels of dtype {dtype}")
            pixel_range = low, high
        first, last = (_number_in_file(v, *most) for v in span)
        origin, unit = _number_in_file(origin, -_MOST, _MOST), _number_in_file(unit, 1 / _MOST, _MOST)
        if first > last or (origin and not first <= origin <= last):
            raise ValueError(f"span={span} and origin={origin} are none of pixels")
        return cls(shape, dtype, pixel_range, (first, last), origin, unit)


def evident_range(
    dtype: np.dtype[Any], low: float, high: float, is_whole: Callable[[], bool], *, is_image: bool
) -> tuple[float, float] | None:
    """The bounds that pixels evidently have, by their dtype and by the least and the largest of them; or None, with a
    warning for images. Plain rows of floats may be anything, so they have bounds only where they are whole and reach
    from 0 to 255."""
    if dtype == np.bool_:
        return 0.0, 1.0
    if dtype.kind in "iu" and low >= 0 and high <= 65535:
        return 0.0, 255.0 if high <= 255 else 65535.0
    if is_image and low >= 0 and high <= 1:
        return 0.0, 1.0
    if is_image and low >= -1 and high <= 1 and (low == -1 or high == 1):
        return -1.0, 1.0
    reaches = low == 0 and high == 255
    if low >= 0 and high <= 255 and ((is_image and reaches) or ((is_image or reaches) and is_whole())):
        return 0.0, 255.0
    if is_image:
        warn(
            f"X has pixels from {low:g} to {high:g}, and no range that is evident from them, so that samples have no "
            "bounds, and no tone curves. Give their range with pixel_range=(low, high), or say pixel_range=None if "
            "they have none."
        )
    return None


def _is_whole(X: AnyArray) -> bool:
    return all(bool((X[part] == np.rint(X[part])).all()) for part in cut(len(X), 256))


def _width(low: float, high: float) -> float:
    return (high - low) or abs(high) or 1.0


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """What an integer dtype holds, as far as floats can say it."""
    if dtype == np.bool_:
        return 0, 1
    whole = np.iinfo(dtype)
    return max(int(whole.min), -(2**62)), min(int(whole.max), 2**62)


def check_range(pixel_range: Any) -> Any:
    """The parameter ``pixel_range``; if it is a pair, one that floats can say."""
    if pixel_range is None or (isinstance(pixel_range, str) and pixel_range == "auto"):
        return pixel_range
    is_pair = isinstance(pixel_range, (tuple, list)) and len(pixel_range) == 2
    low, high = map(number, pixel_range) if is_pair else (nan, nan)
    if not -_MOST <= low < high <= _MOST:
        raise ValueError(
            f'pixel_range={pixel_range!r} must be "auto", None, or two numbers (low, high) within {_MOST:g}.'
        )
    return pixel_range


def whole_in_file(value: Any) -> int:
    """A count as a file has it."""
    if type(value) is not int or not 1 <= value < 2**53:
        raise ValueError(f"{value!r} must be a whole number >= 1")
    return value


def _number_in_file(value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{value!r} must be a number from {low:g} to {high:g}")
    return float(value)
