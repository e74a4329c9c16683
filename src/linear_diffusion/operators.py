"""Operators: known linear ways in which images lose something, for `LinearDiffusion.restore`.

    y = H x          H, of shape (m, d), is a sparse matrix on the pixels of one image, channels included

>>> from linear_diffusion import operators
>>> operators.downsample(2)(np.arange(16.0).reshape(1, 4, 4))
array([[[ 2.5,  4.5],
        [10.5, 12.5]]])
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from math import prod
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy import sparse

from .exceptions import NotEnoughMemoryError
from .utils.memory import available_memory, readable
from .utils.types import AnyArray, Array, Index

Shape = tuple[int, ...]
ROUNDING = 12**-0.5
"""Standard deviation of what rounding to whole numbers does."""
_MOST = 1e18
"""Largest number of an operator: squares of more overflow. One over it is an operator's least."""


@dataclass(frozen=True)
class Operator:
    """A linear operator that knows what it makes of images of any shape; call it on images to apply it.

    Parameters
    ----------
    name : str
        How messages call it.
    build : callable
        From the shape of an image to H, of shape (m, d), and to the shape of what it leaves. Raises ValueError where
        it does not go with the shape.
    disjoint : bool or None
        Whether no pixel is part of two numbers, as with block means; None where a user's matrix may be anything.
    """

    name: str
    build: Callable[[Shape], tuple[Any, Shape]]
    disjoint: bool | None = False

    def __call__(self, X: Any) -> AnyArray:
        """Images (n, h, w[, channels]) as the operator leaves them; uint8 stays uint8."""
        X = np.asarray(X)
        matrix, shape = self.build(X.shape[1:])
        y = (matrix @ X.reshape(len(X), -1).T.astype(np.float64)).T
        if X.dtype == np.uint8:
            y = np.rint(np.clip(y, 0, 255))
        return y.astype(X.dtype if X.dtype.kind in "fu" else np.float64).reshape(len(X), *shape)


@dataclass(frozen=True)
class Mask:
    """Missing pixels: a row of the identity for each that is left; see `inpaint`.

    Parameters
    ----------
    missing : array of bool
    """

    missing: AnyArray
    name: str = "inpaint"

    def __call__(self, X: Any) -> AnyArray:
        """Images with zeros where pixels are missing."""
        X = np.asarray(X)
        return np.where(self.on(X.shape[1:], len(X)).reshape(X.shape), X.dtype.type(0), X)

    def on(self, shape: Shape, n: int) -> AnyArray:
        """The mask of each of n images of a shape, (n, d)."""
        d, mask, grey = prod(shape), self.missing, shape[:2]
        for pixels in (shape, (d,), grey):
            if mask.shape in (pixels, (n, *pixels)):
                whole = np.repeat(mask[..., None], shape[2], axis=-1) if pixels == grey != shape else mask
                return np.broadcast_to(whole.reshape(-1, d), (n, d))
        raise ValueError(
            f"the mask has shape {mask.shape}; {n} images of shape {shape} take a mask of shape {grey}"
            f"{f', {shape}' if grey != shape else ''}, or one mask an image, {(n, *grey)}."
        )


def inpaint(mask: Any) -> Mask:
    """Missing pixels.

    Parameters
    ----------
    mask : array of bool, shape (h, w), (h, w, channels), (n, h, w) or (n, h, w, channels)
        True where pixels are missing, as in scikit-image: one mask for all images, or one per image. What the image
        holds there is not looked at, and may be NaN.

    Examples
    --------
    >>> inpaint(np.array([[True, False]]))(np.array([[[5, 7]]]))
    array([[[0, 7]]])
    """
    mask = np.asarray(mask)
    if mask.dtype != bool:
        if not np.isin(mask, (0, 1)).all():
            raise ValueError(f"the mask has dtype {mask.dtype} and values other than 0 and 1; True is missing.")
        mask = mask.astype(bool)
    return Mask(mask)


def blur(kernel: Any) -> Operator:
    """A blur; the border is reflected, as scipy.ndimage does by default.

    Parameters
    ----------
    kernel : float or array of shape (a, b)
        Standard deviation of a Gaussian, in pixels; or the kernel itself, which is convolved with each channel.

    Examples
    --------
    >>> blur(0.5)(np.eye(3)[None]).round(2)
    array([[[0.81, 0.18, 0.01],
            [0.18, 0.64, 0.18],
            [0.01, 0.18, 0.81]]])
    """
    from scipy.ndimage import convolve1d, gaussian_filter1d

    if isinstance(kernel, Real) and not isinstance(kernel, bool):
        if not 0 < float(kernel) < np.inf:
            raise ValueError(f"kernel={kernel!r} must be above 0: a standard deviation in pixels, or a kernel (a, b).")
        return _separable("blur", lambda n: gaussian_filter1d(np.eye(n), float(kernel), axis=0))
    weights = np.asarray(kernel, dtype=np.float64)
    if weights.ndim != 2 or weights.size == 0 or not np.isfinite(weights).all():
        raise ValueError(f"kernel has shape {weights.shape}; give a standard deviation, or finite numbers (a, b).")

    def shift(n: int, size: int, i: int) -> Any:
        return sparse.csr_array(convolve1d(np.eye(n), np.eye(size)[i], axis=0))

    def build(shape: Shape) -> tuple[Any, Shape]:
        h, w, channels = _picture("blur", shape)
        a, b = weights.shape
        rows, columns = [shift(h, a, i) for i in range(a)], [shift(w, b, j) for j in range(b)]
        terms = [weights[i, j] * sparse.kron(rows[i], columns[j]) for i in range(a) for j in range(b)]
        return _by_channel(reduce(lambda x, y: x + y, terms), channels), shape

    return Operator("blur", build)


def downsample(factor: int) -> Operator:
    """Means of blocks of ``factor`` x ``factor`` pixels."""
    if not isinstance(factor, Integral) or isinstance(factor, bool) or factor < 1:
        raise ValueError(f"factor={factor!r} must be a whole number >= 1.")

    def block_means(n: int) -> Array:
        if n % factor:
            raise ValueError(f"downsample({factor}) does not go with {n} pixels: {n} is no multiple of {factor}.")
        return np.kron(np.eye(n // int(factor)), np.full(int(factor), 1 / int(factor)))

    return _separable("downsample", block_means, disjoint=True)


def grayscale(weights: Any = (0.299, 0.587, 0.114)) -> Operator:
    """A weighted sum over channels; by default the luma of ITU-R 601, which is Pillow's.

    Parameters
    ----------
    weights : sequence of float, one per channel
    """
    w = np.asarray(weights, dtype=np.float64)
    if w.ndim != 1 or not np.isfinite(w).all():
        raise ValueError(f"weights={weights!r} must be finite numbers, one per channel.")

    def build(shape: Shape) -> tuple[Any, Shape]:
        if len(shape) != 3 or shape[2] != len(w):
            raise ValueError(f"grayscale of {len(w)} weights takes images of {len(w)} channels, not of shape {shape}.")
        return sparse.csr_array(sparse.kron(sparse.eye(shape[0] * shape[1]), w[None])), shape[:2]

    return Operator("grayscale", build, disjoint=True)


def from_matrix(operator: Any) -> Operator:
    """Any matrix (m, d), dense or sparse, or scipy.sparse.linalg.LinearOperator, on the flat pixels of an image."""
    if not hasattr(operator, "shape"):
        operator = np.asarray(operator)
    if len(operator.shape) != 2:
        raise ValueError(f"an operator of shape {operator.shape} is no matrix (m, d).")
    if operator.dtype is not None and operator.dtype.kind not in "fiub":
        raise ValueError(f"an operator of dtype {operator.dtype} is no matrix of real numbers.")

    def build(shape: Shape) -> tuple[Any, Shape]:
        m, d = operator.shape
        if d != prod(shape):
            raise ValueError(
                f"the operator has shape {operator.shape}; on images of shape {shape} it takes {prod(shape)} columns."
            )
        if sparse.issparse(operator):
            return sparse.csr_array(operator).astype(np.float64), (m,)
        available = available_memory()
        if available is not None and 16 * m * d > available:
            raise NotEnoughMemoryError(
                f"an operator of shape {(m, d)} takes {readable(16 * m * d)} as a matrix, and {readable(available)} "
                "are available; give a sparse matrix, or use smaller images."
            )
        dense = operator.matmat(np.eye(d)) if hasattr(operator, "matmat") else operator
        _check_numbers("operator", dense)
        return np.asarray(dense, dtype=np.float64), (m,)

    return Operator("operator", build, disjoint=None)


@dataclass(frozen=True)
class Observation:
    """What was seen of some images through one operator, and of what kind it is.

    ==================  ========  ======  ========
    kind                matrix    kept    disjoint
    ==================  ========  ======  ========
    whole images        None      None    True
    selected pixels     sparse    set     True
    blocks, channels    sparse    None    True
    any other           any       None    False
    ==================  ========  ======  ========

    Y is (n, m) and the matrix H (m, d). ``kept`` (m,) are pixels that y holds as they are, ``disjoint`` says whether no
    pixel is part of two numbers, and ``rounding`` is the deviation of the noise that rounding left in mixed ones.
    """

    members: Index
    matrix: Any
    y: AnyArray
    kept: Index | None = None
    disjoint: bool = True
    rounding: float = 0.0


def observe(operator: Any, Y: Any, shape: Shape) -> list[Observation]:
    """What was seen of images of a shape, (n, ...) or flat, by the operator: those that one matrix leaves together. An
    operator or Y that do not go with the shape or with each other, or that are not finite, are refused."""
    Y = np.asarray(Y)
    if Y.ndim < 2 or len(Y) == 0 or Y.dtype.kind not in "fiub":
        raise ValueError(f"Y is {Y.dtype} of shape {Y.shape}; give at least one image, as numbers (n, ...).")
    everything = np.arange(len(Y))
    if operator is None:
        return [Observation(everything, None, _rows(Y, shape, "no operator"))]
    if isinstance(operator, Mask):
        masks = operator.on(shape, len(Y))
        rows = _rows(Y, shape, operator.name, masks)
        if masks.strides[0] == 0:  # one for all
            patterns, which = masks[:1], np.zeros(len(Y), np.intp)
        else:
            patterns, which = np.unique(masks, axis=0, return_inverse=True)
        identity, groups = sparse.eye(prod(shape), format="csr"), []
        for i, pattern in enumerate(patterns):
            left, members = np.flatnonzero(~pattern), np.flatnonzero(which.ravel() == i)
            groups.append(Observation(members, sparse.csr_array(identity[left]), rows[np.ix_(members, left)], left))
        return groups
    if not isinstance(operator, Operator):
        operator = from_matrix(operator)
    matrix, out = operator.build(shape)
    _check_numbers(operator.name, matrix)
    rows = _rows(Y, out, operator.name)
    if operator.disjoint is None and (kept := _selected(matrix)) is not None:
        return [Observation(everything, sparse.csr_array(matrix), rows, kept)]
    rounding = 0.0 if Y.dtype.kind == "f" else ROUNDING
    return [Observation(everything, matrix, rows, None, bool(operator.disjoint), rounding)]


def _selected(matrix: Any) -> Index | None:
    """The pixels that a user's matrix selects, shape (m,); None where it does anything else."""
    rows, columns = sparse.csr_array(matrix).nonzero()  # row by row
    one_each = np.array_equal(rows, np.arange(matrix.shape[0])) and len(np.unique(columns)) == len(columns)
    return columns.astype(np.intp) if one_each and np.all(matrix.sum(axis=1) == 1) else None


def _rows(Y: AnyArray, shape: Shape, name: str, missing: AnyArray | bool = False) -> AnyArray:
    """What an operator left of images, flat; finite but where it is missing."""
    if Y.shape[1:] not in (shape, (prod(shape),)):
        raise ValueError(f"Y has images of shape {Y.shape[1:]}; {name} leaves {shape} of one.")
    rows = Y.reshape(len(Y), -1)
    if not np.isfinite(np.where(missing, 0, rows)).all():
        raise ValueError("Y contains NaN or infinity; only inpaint allows them, where its mask is True.")
    return rows


def _check_numbers(name: str, matrix: Any) -> None:
    largest = np.abs(matrix.data if sparse.issparse(matrix) else matrix).max(initial=0.0)
    if not np.isfinite(largest):
        raise ValueError(f"the {name} holds NaN or infinity.")
    if largest and not 1 / _MOST < largest < _MOST:
        raise ValueError(
            f"the {name}'s largest number is {largest:g}, and must be from {1 / _MOST:g} to {_MOST:g}; divide it and Y "
            "by the same number."
        )


def _picture(name: str, shape: Shape) -> tuple[int, int, int]:
    if len(shape) not in (2, 3):
        raise ValueError(f"{name} takes images (h, w) or (h, w, channels), not rows of shape {shape}.")
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1


def _separable(name: str, along: Callable[[int], Array], *, disjoint: bool = False) -> Operator:
    """The same matrix along rows and columns, for each channel."""

    def build(shape: Shape) -> tuple[Any, Shape]:
        h, w, channels = _picture(name, shape)
        rows, columns = along(h), along(w)
        matrix = sparse.kron(sparse.csr_array(rows), sparse.csr_array(columns))
        return _by_channel(matrix, channels), (len(rows), len(columns), *shape[2:])

    return Operator(name, build, disjoint)


def _by_channel(matrix: Any, channels: int) -> Any:
    return sparse.csr_array(sparse.kron(matrix, sparse.eye(channels)))
