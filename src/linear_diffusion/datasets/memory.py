"""Before step 0: will the images fit in memory?"""

import math

from ..exceptions import NotEnoughMemoryError
from ..utils.memory import available_memory, readable
from .common import Size


def check_fits(n_bytes: int, *, name: str, size: Size | None = None, what: str = "images") -> None:
    """Refuse images that would not fit, before any memory is taken for them.

    Parameters
    ----------
    n_bytes : int
        What the images would take.
    name : str
        What the message calls them.
    size : (height, width), optional
        Their size, where another choice of it would help.
    what : str
        What takes the memory.

    Raises
    ------
    NotEnoughMemoryError
        If they need more than is available; the message names a size that would fit, where one would.

    Examples
    --------
    >>> check_fits(60_000 * 28 * 28, name="mnist")
    """
    available = available_memory()
    if available is None or n_bytes <= available:
        return
    advice = "take fewer images"
    if size is not None:
        shrink = math.sqrt(available / n_bytes)
        smaller = int(size[0] * shrink), int(size[1] * shrink)
        advice = f"pass size={smaller} or smaller" if min(smaller) else advice
    raise NotEnoughMemoryError(
        f"{name}: the {what} would take {readable(n_bytes)}, and {readable(available)} of memory are available; "
        f"{advice}."
    )
