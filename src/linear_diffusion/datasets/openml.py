"""Step 0, from OpenML: a data set is fetched once, and kept as one compact file in the cache."""

import os
import socket
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np

from ..exceptions import DataError
from .common import AnyArray, reason

N_TRAIN = 60_000
"""OpenML's first rows are the training images, in the order of the IDX files; the test images follow."""

_IDS = {"mnist": 554, "fashion-mnist": 40996}
_SHAPE = (70_000, 28, 28)
_TIMEOUT = 15.0  # seconds without a byte


def load_openml(name: str) -> tuple[AnyArray, AnyArray]:
    """Load all 70,000 images of "mnist" or "fashion-mnist", from the cache or else from OpenML.

    Returns
    -------
    images : ndarray of shape (70000, 28, 28)
        uint8 in 0..255, the 60,000 training images first.
    labels : ndarray of shape (70000,)
        uint8 in 0..9.

    Raises
    ------
    DataError
        If the cached file is damaged, or there is none and OpenML cannot be reached.
    """
    path = cache_folder() / f"{name}.npz"
    if path.exists():
        if not path.is_file():
            raise DataError(f"{path} is not a regular file; delete it, and it is fetched again.")
        return _read_cache(path)
    images, labels = _fetch(name)
    try:
        _write_cache(path, images=images, labels=labels)
    except OSError as error:  # the data are here: not being able to keep them is no reason to fail
        warnings.warn(f"{name} was fetched but not cached in {path}: {error}", stacklevel=2)
    return images, labels


def cache_folder() -> Path:
    """Where fetched data sets are kept: LINEAR_DIFFUSION_CACHE, or `linear-diffusion` in the user's cache folder.

    Examples
    --------
    >>> cache_folder().is_absolute()
    True
    """
    own = os.environ.get("LINEAR_DIFFUSION_CACHE")
    where = own or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "linear-diffusion"))
    try:
        return Path(where).expanduser().absolute()
    except RuntimeError:
        raise DataError(f"there is no home folder for {where}; set LINEAR_DIFFUSION_CACHE to a folder.") from None


def _fetch(name: str) -> tuple[AnyArray, AnyArray]:
    from sklearn.datasets import fetch_openml  # a second, which only a download should pay

    try:
        with _socket_timeout(_TIMEOUT), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each retry; what comes of them is told below
            table = fetch_openml(
                data_id=_IDS[name], as_frame=False, parser="liac-arff", cache=False, n_retries=1, delay=0.1
            )
        images = np.asarray(table.data).astype(np.uint8).reshape(-1, 28, 28)
        labels = np.asarray(table.target).astype(np.uint8)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: OpenML's refusals, and a wrong checksum
        what = "gave no usable answer" if isinstance(error, ValueError) else "could not be reached"
        raise DataError(
            f"{name}: OpenML {what} ({reason(error)}); give a folder with its IDX files by --data-dir "
            "(data_dir=) or LINEAR_DIFFUSION_DATA, or use the embedded set 'mnist-5k'."
        ) from error
    return _checked(images, labels, f"{name} from OpenML", "try again later")


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Let no connection hang: scikit-learn opens them, and takes no timeout."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read_cache(path: Path) -> tuple[AnyArray, AnyArray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    except (OSError, ValueError, EOFError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({reason(error)}); delete it, and it is fetched again.") from error
    return _checked(images, labels, str(path), "delete it, and it is fetched again")


def _checked(images: AnyArray, labels: AnyArray, name: str, advice: str) -> tuple[AnyArray, AnyArray]:
    if (images.shape, labels.shape) != (_SHAPE, _SHAPE[:1]) or {images.dtype, labels.dtype} != {np.dtype(np.uint8)}:
        raise DataError(f"{name} holds {images.dtype} {images.shape}, expected uint8 {_SHAPE}, with labels; {advice}.")
    return images, labels


def _write_cache(path: Path, **arrays: Any) -> None:
    """Write beside the place and move there, so that the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".writing-") as beside:
        written = Path(beside, path.name)
        np.savez_compressed(written, **arrays)
        written.replace(path)
