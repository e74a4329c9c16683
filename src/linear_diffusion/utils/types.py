"""Names for the arrays that the annotations speak of, and what numbers the arguments of users are."""

from math import nan
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""Real numbers: float32 where a product runs over images, float64 where something is solved."""
Index = NDArray[np.intp]
"""Positions in a list of prompts."""
AnyArray = NDArray[Any]
"""Images (uint8 or floating) and prompts (whatever dtype the user's labels have)."""


MOST = 1e18
"""Numbers beyond this cannot be squared in single precision."""


def number(value: Any) -> float:
    """An argument as a float; NaN, which no bounds let through, where it is none or too large for one.

    >>> number(2), number("2"), number(True), number(10**400)
    (2.0, nan, nan, nan)
    """
    try:
        return float(value) if isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) else nan
    except OverflowError:
        return nan


def whole(value: Any) -> int:
    """An argument as a whole number; -1 where it is none.

    >>> whole(np.int64(3)), whole(3.0), whole(True)
    (3, -1, -1)
    """
    return int(value) if isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)) else -1
