"""Parts: what each worker reads of the images, by itself.

a Dask array                its blocks, where they lie
a list of batches           each is sent to a worker, in each pass
a stream of files           the worker opens them: all machines must have them under the same path
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np

from ..datasets.stream import ImageStream, check_lengths
from ..text.labels import check_prompts
from ..utils.types import AnyArray, Index

Block = tuple[int, Any]
"""The number of images before it, and an iterable of batches."""


@dataclass
class Parts:
    """Blocks of images with prompts, and what is known of them without reading: format and prompts, or None."""

    blocks: list[Block]
    image_shape: tuple[int, ...] | None = None
    dtype: Any = None
    classes: AnyArray | None = None
    counts: Index | None = None

    def __iter__(self) -> Iterator[Block]:
        return iter(self.blocks)

    def tasks(self) -> Iterable[tuple[int, int, Any]]:
        """Position, images before it, and batches of each block."""
        return ((position, *block) for position, block in enumerate(self.blocks))


def is_dask(X: Any) -> bool:
    """Whether this is an array of Dask."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def parts_of(given: Any) -> Parts:
    """The parts of what is given to a fit.

    Parameters
    ----------
    given : (Dask array, prompts), ImageStream, or list of (images, prompts)
        Prompts of a Dask array are one of Dask, of NumPy, a list, or None.

    Raises
    ------
    TypeError, ValueError
        If workers could not read it by parts.
    """
    if isinstance(given, tuple) and len(given) == 2 and is_dask(given[0]):
        return _of_dask(*given)
    if isinstance(given, ImageStream):
        return Parts(given.parts(), given.image_shape, given.dtype, given.classes, given.counts)
    if isinstance(given, list | tuple):
        lengths = [len(batch[0]) if isinstance(batch, tuple) and len(batch) == 2 else len(batch) for batch in given]
        starts = [0, *accumulate(lengths)][:-1]
        return Parts([(start, [batch]) for start, batch in zip(starts, given, strict=True)])
    raise TypeError(
        f"batches is a {type(given).__name__}, of which workers cannot read parts by themselves; give a Dask array to "
        "fit, a list of batches, or a stream of a Zarr array, a memory-mapped one or a folder of images."
    )


def _of_dask(X: Any, y: Any) -> Parts:
    """The blocks of images along the first axis, as they are."""
    shape, y = check_lengths(X, y)
    lengths = X.chunks[0]
    starts = [0, *accumulate(lengths)][:-1]
    blocks = X.rechunk((lengths, *shape[1:])).to_delayed().ravel()
    if is_dask(y):
        pairs = zip(blocks, y.rechunk((lengths,)).to_delayed(), strict=True)
        return Parts([(start, [pair]) for start, pair in zip(starts, pairs, strict=True)])
    classes, index = check_prompts(y, shape[0])
    counts = np.bincount(index, minlength=len(classes))
    prompts = [classes[index[start : start + length]] for start, length in zip(starts, lengths, strict=True)]
    pairs = zip(blocks, prompts, strict=True)
    parts = [(start, [pair]) for start, pair in zip(starts, pairs, strict=True)]
    return Parts(parts, shape[1:], np.dtype(X.dtype), classes, counts)
