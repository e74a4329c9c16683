"""Labels: prompts as they come with the images of a fit -> distinct prompts, and which each image has."""

import re
from numbers import Real
from typing import Any

import numpy as np

from ..utils.types import AnyArray, Index
from .prompts import compose

_LONG = 1000
"""Characters beyond which strings stay Python objects, since in an array all are as wide as the longest."""


def check_prompts(y: Any, n: int) -> tuple[AnyArray, Index]:
    """Distinct prompts, and the position of each image's. Numbers stay numbers and strings strings, also where Python
    objects hold them; spellings of one string in Unicode (NFC, NFD) are one prompt."""
    y = np.full(n, "") if y is None else _as_labels(y)
    if y.shape not in ((n,), (n, 1)):
        raise ValueError(f"y has shape {y.shape}; give one prompt for each of the {n} images, shape ({n},).")
    classes, index = np.unique(y.ravel(), return_inverse=True)
    if classes.dtype.kind in "UO":
        for prompt in classes.tolist():
            if re.search("[\ud800-\udfff]", prompt):  # which saving the model would meet after all the work
                raise ValueError(f"y has the prompt {prompt!r}, which is no Unicode text, so that no file can hold it.")
        composed = [compose(p) for p in classes.tolist()]
        objects = classes.dtype == object
        if objects or composed != classes.tolist():
            classes, place = np.unique(np.array(composed, object if objects else str), return_inverse=True)
            index = place[index]
    return classes, index


def _as_labels(given: Any) -> AnyArray:
    """Labels as an array of numbers or strings."""
    listed = isinstance(given, (list, tuple))
    # Through numpy, a list of "a" and 1, or of "a" and NaN, would become strings.
    y: AnyArray = np.array(given, dtype=object) if listed else np.asarray(given)
    if y.dtype.kind in "OT":
        kinds = {type(p) for p in y.ravel().tolist()}
        numbers = all(issubclass(kind, (Real, np.number, np.bool_)) for kind in kinds)
        strange = sorted(k.__name__ for k in kinds if not issubclass(k, (str, Real, np.number, np.bool_)))
        if strange:
            raise ValueError(f"y has prompts of type {strange[0]}; prompts are strings or numbers.")
        if any(p != p for p in y.ravel()):
            raise ValueError("y contains NaN or infinity; prompts are strings or numbers.")
        if not numbers and not all(issubclass(kind, str) for kind in kinds):
            raise ValueError(
                "y mixes strings and numbers, which would be different prompts though they look alike; make all of "
                "them one, for example with [str(label) for label in y]."
            )
        if numbers:
            try:
                exact, y = y.tolist(), np.array(y.tolist())
            except OverflowError:
                exact = None
            if y.tolist() != exact or y.dtype == object:
                raise ValueError("y has numbers that no dtype of numpy holds exactly; make them strings.")
        elif listed and max(map(len, y.ravel().tolist()), default=0) <= _LONG:
            y = np.array(y.tolist(), dtype=str)
    if y.dtype.kind not in "biufUO":
        raise ValueError(f"y has prompts of type {y.dtype.name}; prompts are strings or numbers.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError("y contains NaN or infinity; prompts are strings or numbers.")
    return y
