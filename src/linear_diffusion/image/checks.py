"""Images as they are given, checked before anything is done with them."""

from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from ..utils.types import AnyArray

KINDS = [np.float64, np.float32, np.bool_, *(np.dtype(code) for code in np.typecodes["AllInteger"])]
"""Dtypes of images that are kept; whatever else comes in is read as the first."""


def as_array(X: Any) -> AnyArray:
    """What was given as an array, or as the table that it is. Raises `ValueError`: if images have unlike shapes."""
    X = X if hasattr(X, "ndim") else _listed(X)
    if isinstance(X, np.ndarray) and X.dtype.kind in "iuf":  # the order of bytes is no kind of number
        X = X.astype(np.float32 if X.dtype == np.float16 else X.dtype.newbyteorder("="), copy=False)
    return X


def check_images(X: AnyArray, estimator: Any = None) -> AnyArray:
    """Images (n, h, w[, channels]) or rows (n, d) of finite numbers of a known kind; `estimator` is named in
    messages."""
    if X.ndim > 4:
        raise ValueError(f"X has {X.ndim} axes; give images (n, h, w) or (n, h, w, channels), or rows (n, d).")
    if X.ndim == 4 and X.shape[1] in (1, 3, 4) and X.shape[3] > 4:
        raise ValueError(
            f"X has shape {X.shape}, which has its channels before its rows; here they come last, "
            "(n, h, w, channels): give X.transpose(0, 2, 3, 1)."
        )
    X = check_array(X, dtype=KINDS, allow_nd=X.ndim > 2, estimator=estimator)
    if X.size == 0:
        raise ValueError(f"X has shape {X.shape}: there is no pixel in it.")
    return X


def _listed(X: Any) -> AnyArray:
    """A list of images, or of rows, as one array."""
    try:
        return np.asarray(X)
    except ValueError:
        shapes = sorted({np.shape(image) for image in X})
        raise ValueError(
            f"X has images of shapes {', '.join(map(str, shapes[:3]))}; bring all to one shape first."
        ) from None
