"""Names for the arrays that the annotations speak of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""Real numbers: float32 where a product runs over images, float64 where something is solved."""
Index = NDArray[np.intp]
"""Positions in a list of prompts."""
AnyArray = NDArray[Any]
"""Images (uint8 or floating) and prompts (whatever dtype the user's labels have)."""
