"""Step 0, from arrays: images that are numbers already, checked and brought to one size and mode."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from ..exceptions import DataError, count
from .common import LONGEST, AnyArray, Mode, Progress, Report, Resize, Size, check_text
from .memory import check_fits

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow's


def check_images(images: AnyArray, *, name: str, first: int = 0) -> AnyArray:
    """Check a user's array of images.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3)
        uint8, other integers within 0..255, or finite floats.
    name : str
        What messages call it.
    first : int, default=0
        The number of its first image, where it is a piece of a whole.

    Returns
    -------
    ndarray of shape (n, h, w) or (n, h, w, 3)
        uint8, or floats of the dtype that came in.

    Raises
    ------
    DataError
        If shape, dtype or values are none of the above.

    Examples
    --------
    >>> check_images(np.full((2, 3, 3, 1), 255), name="images").dtype.name
    'uint8'
    """
    shape = checked_shape(images.shape, images.dtype, name=name)
    images = images.reshape(len(images), *shape)
    if images.dtype.kind in "iu":
        if images.size and not (images.min() >= 0 and images.max() <= 255):
            raise DataError(
                f"{name} of dtype {images.dtype} must lie in 0..255, got {images.min()}..{images.max()}; "
                "scale them to 8 bits or to floats in 0..1."
            )
        return images.astype(np.uint8, copy=False)
    if not np.isfinite(images).all():
        first += int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))[0])
        raise DataError(f"{name} must be finite, but image {first} holds NaN or infinity; repair or drop it.")
    return images


def checked_shape(shape: tuple[int, ...], dtype: np.dtype[Any], *, name: str) -> tuple[int, ...]:
    """The shape (h, w) or (h, w, 3) of an image in an array of this shape and dtype.

    Raises
    ------
    DataError
        If they are not those of images.

    Examples
    --------
    >>> checked_shape((10, 28, 28, 1), np.dtype(np.uint8), name="images")
    (28, 28)
    """
    if len(shape) == 4 and shape[3] == 1:
        shape = shape[:3]
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or 0 in shape[1:]:
        raise DataError(f"{name} must have shape (n, height, width) or (n, height, width, 3), got {shape}.")
    if dtype.kind not in "iuf":
        raise DataError(f"{name} must be integers in 0..255 or floats, got dtype {dtype}; convert them first.")
    return shape[1:]


def check_prompts(prompts: AnyArray, n: int, *, name: str, first: int = 0) -> AnyArray:
    """Check a user's array of prompts: one for each image, strings or numbers.

    Raises
    ------
    DataError
        If there are not `n` of them, or their dtype is not that of a label.

    Examples
    --------
    >>> check_prompts(np.array(["cat", "dog"]), 2, name="prompts").tolist()
    ['cat', 'dog']
    """
    if prompts.shape != (n,):
        raise DataError(f"{name} must have shape ({n},), one prompt for each image, got {prompts.shape}.")
    if prompts.dtype.kind not in "Uiubf":
        raise DataError(f"{name} must be strings or numbers, got dtype {prompts.dtype}; save them as dtype=str.")
    if prompts.dtype.kind == "f" and not np.isfinite(prompts).all():
        raise DataError(f"{name} must be finite, but hold NaN or infinity; give every image a prompt.")
    if prompts.dtype.kind != "U" or _is_short_ascii(prompts):
        return prompts
    return np.array([check_text(text, f"{name}, row {i}") for i, text in enumerate(prompts.tolist(), first)], dtype=str)


def _is_short_ascii(texts: AnyArray) -> bool:
    """Whether texts (n,) are such that there is nothing to check; it takes no time, where the check of each does."""
    letters = np.ascontiguousarray(texts).view(f"{texts.dtype.byteorder}u4")
    return letters.size <= LONGEST * len(texts) and bool((letters < 128).all())


def as_prompts(texts: Sequence[str], *, name: str) -> AnyArray:
    """Checked texts as one array."""
    check_fits(4 * len(texts) * max(map(len, texts), default=1), name=name, what="prompts")
    return np.array(texts, dtype=str)


def fit_images(
    images: AnyArray,
    size: Size | None,
    mode: Mode | None,
    progress: Progress | None = None,
    resize: Resize = "squash",
    report: Report | None = None,
    *,
    name: str,
) -> AnyArray:
    """Bring images of shape (n, h, w) or (n, h, w, 3) to one size and mode; they come back as they are if they fit.

    Raises
    ------
    NotEnoughMemoryError
        If the result would not fit in memory.

    Examples
    --------
    >>> fit_images(np.array([[[0, 100], [100, 200]]], np.uint8), size=(1, 1), mode=None, name="example")
    array([[[100]]], dtype=uint8)
    """
    shape = fitted_shape(images.shape[1:], size, mode)
    if images.shape[1:] == shape:
        return images
    (height, width), colour = shape[:2], len(shape) == 3
    if report is not None:
        describe_resizing(Counter({images.shape[1:3]: len(images)}), (height, width), resize, report)
    n, fit = len(images), _fit_uint8 if images.dtype == np.uint8 else _fit_floats
    check_fits(n * math.prod(shape) * images.dtype.itemsize, name=name, size=(height, width))
    fitted = np.empty((n, *shape), images.dtype)
    for i, pixels in enumerate(images):
        fitted[i] = fit(pixels, (height, width), colour, resize)
        if progress is not None:
            progress(i + 1, n)
    return fitted


def fitted_shape(shape: tuple[int, ...], size: Size | None, mode: Mode | None) -> tuple[int, ...]:
    """The shape of an image of some shape, (h, w) or (h, w, 3), that is brought to a size and mode.

    Examples
    --------
    >>> fitted_shape((28, 28), None, "RGB"), fitted_shape((28, 28, 3), (8, 9), None)
    ((28, 28, 3), (8, 9, 3))
    """
    height, width = size or shape[:2]
    colour = len(shape) == 3 if mode is None else mode == "RGB"
    return (height, width, 3) if colour else (height, width)


def fit_image(image: Image.Image, size: Size, how: Resize = "squash") -> Image.Image:
    """Bring one image in mode "L", "RGB" or "F" to (height, width).

    Examples
    --------
    >>> fit_image(Image.new("L", (4, 4), 9), (2, 8)).size
    (8, 2)
    """
    height, width = size
    if image.size == (width, height):
        return image
    scales = height / image.height, width / image.width
    # Neither filter overshoots, so what lies in 0..1 stays there; both average over all that they shrink.
    shrinks = (min(scales) if how == "pad" else max(scales)) <= 1
    method = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    if how == "squash":
        return image.resize((width, height), method)
    return (ImageOps.fit if how == "crop" else ImageOps.pad)(image, (width, height), method)


def describe_resizing(sizes: Counter[Size], size: Size, how: Resize, report: Report) -> None:
    """Say how many images are resized, from which sizes, and whether that distorts them."""
    others = sorted((other for other in sizes if other != size), key=math.prod)
    if not others:
        return
    height, width = size
    # By more than rounding to whole pixels does.
    distorts = any(abs(h / height * width - w) * min(height / h, width / w) > 0.5 for h, w in others)
    first, last = (f"{h} x {w}" for h, w in (others[0], others[-1]))
    found = first if len(others) == 1 else f"{len(others)} sizes from {first} to {last}"
    words = {"squash": "squashed", "crop": "cropped", "pad": "padded"}[how] if distorts else "resized"
    text = f"{count(sum(sizes[other] for other in others), 'image')} of {found} (height x width) will be {words} to "
    hint = '; resize="crop" or resize="pad" keeps their shape' if words == "squashed" else ""
    report(f"{text}{height} x {width}{hint}.")


def _fit_uint8(pixels: AnyArray, size: Size, colour: bool, how: Resize) -> AnyArray:
    return np.asarray(fit_image(Image.fromarray(pixels).convert("RGB" if colour else "L"), size, how))


def _fit_floats(pixels: AnyArray, size: Size, colour: bool, how: Resize) -> AnyArray:
    if colour and pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=-1)
    elif not colour and pixels.ndim == 3:
        pixels = pixels @ _LUMA
    if pixels.shape[:2] == size:
        return pixels
    planes = np.atleast_3d(pixels).astype(np.float32)  # (h, w, 1 or 3); Pillow resizes one float plane at a time
    resized = [np.asarray(fit_image(Image.fromarray(plane), size, how)) for plane in np.moveaxis(planes, -1, 0)]
    return np.stack(resized, axis=-1) if colour else resized[0]
