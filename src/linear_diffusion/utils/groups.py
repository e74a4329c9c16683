"""Rows of arrays by the group that they belong to."""

from collections.abc import Iterator

import numpy as np

from .types import Index


def by_group(index: Index) -> Iterator[tuple[int, Index | slice]]:
    """Rows of each number in an index: (number, rows); slices where the index increases, which spares copies.

    >>> list(by_group(np.array([3, 5, 3])))
    [(3, array([0, 2])), (5, array([1]))]
    """
    if (index[1:] >= index[:-1]).all():
        yield from runs(index)
        return
    order = np.argsort(index, kind="stable")
    present, first = np.unique(index[order], return_index=True)
    yield from zip(present.tolist(), np.split(order, first[1:]), strict=True)


def runs(ordered: Index) -> Iterator[tuple[int, slice]]:
    """Runs of the same number in an increasing index: (number, rows).

    >>> list(runs(np.array([3, 3, 5])))
    [(3, slice(0, 2, None)), (5, slice(2, 3, None))]
    """
    present, first = np.unique(ordered, return_index=True)
    for j, start, stop in zip(present, first, [*first[1:], len(ordered)], strict=True):
        yield int(j), slice(int(start), int(stop))


def cut(n: int, size: int) -> Iterator[slice]:
    """Parts of n rows, of a size at most."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
