"""Step 0, for MNIST and Fashion-MNIST: the user's IDX files if there are any, else the cache, else OpenML."""

import os
from os import PathLike
from pathlib import Path

import numpy as np

from ..exceptions import DataError
from .common import AnyArray
from .idx import check_labels, holds_idx, load_idx, stream_idx
from .openml import N_TRAIN, load_openml
from .stream import ImageStream

_DIGITS = tuple("0123456789")
_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PROMPTS = {"mnist": _DIGITS, "fashion-mnist": _CLOTHES}
_ROWS = {"train": slice(N_TRAIN), "test": slice(N_TRAIN, None), "all": slice(None), "train+test": slice(None)}


def load_mnist(split: str = "train", data_dir: str | PathLike[str] | None = None) -> tuple[AnyArray, AnyArray]:
    """Load the handwritten digits of MNIST.

    Parameters
    ----------
    split : {"train", "test", "all"}, default="train"
        60,000 images, 10,000, or both.
    data_dir : path, optional
        Folder with the IDX files, directly or in a subfolder `mnist`; by default what LINEAR_DIFFUSION_DATA says.

    Returns
    -------
    images : ndarray of shape (n, 28, 28)
        uint8 in 0..255.
    prompts : ndarray of shape (n,)
        "0" to "9".

    Raises
    ------
    DataError
        If a file is damaged, or there is none and OpenML cannot be reached.
    """
    return _load("mnist", split, data_dir)


def load_fashion_mnist(split: str = "train", data_dir: str | PathLike[str] | None = None) -> tuple[AnyArray, AnyArray]:
    """Load Fashion-MNIST; as `load_mnist`, with prompts from "T-shirt/top" to "Ankle boot"."""
    return _load("fashion-mnist", split, data_dir)


def _load(name: str, split: str, data_dir: str | PathLike[str] | None) -> tuple[AnyArray, AnyArray]:
    folder = _find_idx(name, data_dir)
    if folder is not None:
        images, labels = load_idx(folder, split)
    else:
        images, labels = (array[_ROWS[split]] for array in load_openml(name))
    known = _PROMPTS[name]
    check_labels(labels, known, str(folder or name))
    return images, np.array(known)[labels]


def stream_mnist(name: str, split: str = "train", data_dir: str | PathLike[str] | None = None) -> ImageStream | None:
    """The stream of the user's IDX files of "mnist" or "fashion-mnist"; None if there are none."""
    folder = _find_idx(name, data_dir)
    return None if folder is None else stream_idx(folder, split, _PROMPTS[name])


def _find_idx(name: str, data_dir: str | PathLike[str] | None) -> Path | None:
    """The folder with the IDX files of a data set, if the user named one that has them."""
    argument, place = "data_dir", data_dir
    if place is None:
        argument, place = "LINEAR_DIFFUSION_DATA", os.environ.get("LINEAR_DIFFUSION_DATA") or None
    if place is None:
        return None
    folder = Path(os.path.expanduser(place))  # noqa: PTH111, it leaves a user who is not there as he is
    if not folder.is_dir():
        raise DataError(f"{argument} is {str(place)!r}, which is not a folder; give one that holds the IDX files.")
    if holds_idx(folder / name):
        return folder / name
    # The two data sets use the same file names: a folder called "mnist" is not searched for clothes.
    other = folder.resolve().name in _PROMPTS.keys() - {name}
    return folder if holds_idx(folder) and not other else None
