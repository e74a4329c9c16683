"""Squared distances between two sets, a block at a time: ``|a - b|^2 = |a|^2 - 2 a.b + |b|^2``.

One matrix product a block, so that brute force over 60,000 images stays a matter of seconds. Near 0 the three terms
cancel: what must be exact there is computed again by difference, as `nearest` does.
"""

from collections.abc import Iterator

import numpy as np

from ..utils.types import Array, Index

_BLOCK = 16_000_000
"""Distances that are held in memory at once."""


def blocks(a: Array, b: Array) -> Iterator[tuple[slice, Array]]:
    """Squared distances from some rows of a to all rows of b.

    Parameters
    ----------
    a : array of shape (n, d)
    b : array of shape (m, d)
        Of the dtype of a.

    Yields
    ------
    rows : slice
        Which rows of a.
    squared : array of shape (rows, m)
        Never negative. It may be overwritten.

    Examples
    --------
    >>> for rows, squared in blocks(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 1.0]])):
    ...     squared.tolist()
    [[25.0, 1.0]]
    """
    b_squared = np.einsum("md,md->m", b, b)
    step = max(_BLOCK // max(len(b), 1), 1)
    for start in range(0, len(a), step):
        rows = slice(start, start + step)
        part = a[rows]
        squared = part @ b.T  # (rows, m)
        squared *= -2
        squared += np.einsum("nd,nd->n", part, part)[:, None]
        squared += b_squared
        yield rows, np.maximum(squared, 0, out=squared)


def nearest(a: Array, b: Array) -> tuple[Array, Index]:
    """The distance from each row of a to its nearest row of b, and which one that is.

    Parameters
    ----------
    a : array of shape (n, d), float32 or float64
    b : array of shape (m, d)

    Returns
    -------
    distances : array of shape (n,), float64
        Computed by difference, so that a copy is at distance 0 to the last bit.
    index : array of shape (n,)

    Examples
    --------
    >>> nearest(np.array([[1.0, 1.0]]), np.array([[9.0, 9.0], [1.0, 1.0]]))
    (array([0.]), array([1]))
    """
    centre = b.mean(axis=0)  # shorter vectors cancel less
    index = np.empty(len(a), np.intp)
    for rows, squared in blocks(a - centre, b - centre):
        index[rows] = squared.argmin(axis=1)
    distances = np.empty(len(a))
    for start in range(0, len(a), 1000):
        rows = slice(start, start + 1000)
        gap = a[rows].astype(np.float64) - b[index[rows]]
        distances[rows] = np.sqrt(np.einsum("nd,nd->n", gap, gap))
    return distances, index


def neighbour_radii(a: Array, *ks: int) -> tuple[Array, ...]:
    """The squared distance from each row of a to the k-th nearest of the others, for each k.

    Parameters
    ----------
    a : array of shape (n, d)
    *ks : int
        From 1 to n - 1.

    Returns
    -------
    tuple of arrays of shape (n,), one a k

    Raises
    ------
    ValueError
        If there are fewer than k others.

    Examples
    --------
    >>> neighbour_radii(np.array([[0.0], [1.0], [3.0]]), 1, 2)
    (array([1., 1., 4.]), array([9., 4., 9.]))
    """
    for k in ks:
        if not 1 <= k < len(a):
            raise ValueError(f"k={k} neighbours must be from 1 to {len(a) - 1}, one less than there are images.")
    positions = np.array(ks) - 1
    radii = np.empty((len(a), len(ks)), a.dtype)
    for rows, squared in blocks(a, a):
        own = np.arange(len(squared))
        squared[own, own + rows.start] = np.inf
        squared.partition(np.unique(positions), axis=1)
        radii[rows] = squared[:, positions]
    return tuple(radii.T)
