"""Step 0, from a Zarr folder that holds arrays `images` and, if there are any, `prompts`: chunks, each a file.

It is what samples of any number are written to, and what workers on several machines read their own parts of.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import DataError, MissingExtraError
from .arrays import check_images, check_prompts, checked_shape
from .common import AnyArray, reason
from .memory import check_fits
from .stream import ArrayStream, ImageStream, Pair, Tally


def load_zarr(path: Path) -> tuple[AnyArray, AnyArray]:
    """Load `images` and, if there are any, `prompts` from a Zarr folder.

    Parameters
    ----------
    path : Path
        A group with these arrays, such as `cluster.sampling.sample_to` writes.

    Returns
    -------
    images : ndarray of shape (n, h, w) or (n, h, w, 3)
        uint8, or floats as they are.
    prompts : ndarray of shape (n,)
        Of the dtype they were saved with; "" where there are none.

    Raises
    ------
    MissingExtraError
        If zarr is not installed.
    DataError
        If the folder lacks `images`, or holds what are not images and prompts.
    NotEnoughMemoryError
        If the images would not fit in memory.
    """
    images, prompts = _open(path)
    check_fits(images.nbytes, name=str(path))
    return check_images(np.asarray(images[:]), name=f"{path}: images"), prompts


def stream_zarr(path: Path) -> ImageStream:
    """The stream of a Zarr folder, in its order; as `load_zarr`. What is wrong with pixels is told where it is met."""
    images, prompts = _open(path)
    shape = checked_shape(images.shape, images.dtype, name=f"{path}: images")
    found = ArrayStream(images, prompts)
    dtype = np.uint8 if images.dtype.kind in "iu" else images.dtype
    counts, name = Tally(found.classes, found.counts), f"{path}: images"
    between = partial(_between, found.between, name)
    stream = ImageStream(partial(_checked, found, 0, name), shape, dtype, counts, str(path), between)
    stream.chunk = found.chunk
    return stream


def _open(path: Path) -> tuple[Any, AnyArray]:
    """The array of images, not read yet, and the prompts."""
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError(f"{path} needs zarr: pip install 'linear-diffusion[dask]'") from error
    try:
        group = zarr.open_group(str(path.resolve()), mode="r")
        names = sorted(group.array_keys())
    except Exception as error:  # of many kinds, by version
        raise DataError(f"{path} cannot be read as Zarr ({reason(error)}); write it again.") from error
    if "images" not in names:
        raise DataError(f"{path} must hold an array named 'images', found {names}.")
    images: Any = group["images"]
    n = images.shape[0] if images.shape else 0
    if not n:
        raise DataError(f"{path}: images of shape {images.shape} are none.")
    prompts = np.asarray(group["prompts"][:]) if "prompts" in names else np.full(n, "")
    if prompts.dtype.kind in "OT":  # strings of any length
        prompts = prompts.astype(str)
    return images, check_prompts(prompts, n, name=f"{path}: prompts")


def _between(between: Any, name: str, start: int, stop: int) -> Callable[[], Iterator[Pair]]:
    return partial(_checked, between(start, stop), start, name)


def _checked(pieces: Any, first: int, name: str) -> Iterator[Pair]:
    for images, prompts in pieces() if callable(pieces) else pieces:
        yield check_images(images, name=name, first=first), prompts
        first += len(images)
