"""Step 0, from arrays: images that are numbers already, checked and brought to one size and mode."""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageOps

from ..exceptions import DataError, count
from .common import AnyArray, Mode, Progress, Report, Resize, Size, check_text
from .memory import check_fits

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R 601-2, as Pillow's


def check_images(images: AnyArray, *, name: str) -> AnyArray:
    """Check a user's array of images.

    Parameters
    ----------
    images : ndarray of shape (n, h, w), (n, h, w, 1) or (n, h, w, 3)
        uint8, other integers within 0..255, or finite floats.
    name : str
        What messages call it.

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
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3) or 0 in images.shape[1:]:
        raise DataError(f"{name} must have shape (n, height, width) or (n, height, width, 3), got {images.shape}.")
    if images.dtype.kind in "iu":
        if images.size and not (images.min() >= 0 and images.max() <= 255):
            raise DataError(
                f"{name} of dtype {images.dtype} must lie in 0..255, got {images.min()}..{images.max()}; "
                "scale them to 8 bits or to floats in 0..1."
            )
        return images.astype(np.uint8, copy=False)
    if images.dtype.kind != "f":
        raise DataError(f"{name} must be integers in 0..255 or floats, got dtype {images.dtype}; convert them first.")
    if not np.isfinite(images).all():
        first = int(np.flatnonzero(~np.isfinite(images).reshape(len(images), -1).all(axis=1))[0])
        raise DataError(f"{name} must be finite, but image {first} holds NaN or infinity; repair or drop it.")
    return images


def check_prompts(prompts: AnyArray, n: int, *, name: str) -> AnyArray:
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
    if prompts.dtype.kind != "U":
        return prompts
    return np.array([check_text(text, f"{name}, row {i}") for i, text in enumerate(prompts.tolist())], dtype=str)


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
    height, width = size or images.shape[1:3]
    colour = images.ndim == 4 if mode is None else mode == "RGB"
    shape = (height, width, 3) if colour else (height, width)
    if images.shape[1:] == shape:
        return images
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
