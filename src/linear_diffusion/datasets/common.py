"""Step 0, names that the loaders share."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray

AnyArray: TypeAlias = NDArray[Any]
"""Images (uint8 or floats) and prompts (mostly strings)."""
Mode: TypeAlias = Literal["L", "RGB"]
"""Grey or colour, in Pillow's words."""
Size: TypeAlias = tuple[int, int]
"""Height and width."""
Progress: TypeAlias = Callable[[int, int], object]
"""Called as `progress(done, total)`."""


def reason(error: BaseException) -> str:
    """What an exception says, in one line, to end a message of ours.

    Examples
    --------
    >>> reason(ValueError("not\\n  good."))
    'not good'
    """
    words = getattr(error, "strerror", None) or str(error)
    return " ".join(str(words).split()).rstrip(".") or type(error).__name__
