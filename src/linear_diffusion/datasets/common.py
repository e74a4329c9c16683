"""Step 0, names that the loaders share."""

import unicodedata
from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias, TypedDict

from numpy.random import Generator
from numpy.typing import NDArray

from ..exceptions import DataError

AnyArray: TypeAlias = NDArray[Any]
"""Images (uint8 or floats) and prompts (mostly strings)."""
Mode: TypeAlias = Literal["L", "RGB"]
"""Grey or colour, in Pillow's words."""
Size: TypeAlias = tuple[int, int]
"""Height and width."""
Resize: TypeAlias = Literal["squash", "crop", "pad"]
"""What becomes of an image of another shape: distorted, cut at two sides, or given two black bands."""
Progress: TypeAlias = Callable[[int, int], object]
"""Called as `progress(done, total)`."""
Report: TypeAlias = Callable[[str], object]
"""Called with a sentence on what was found."""


class Options(TypedDict, total=False):
    """The options of `load_images`, as a stream takes them too."""

    size: int | tuple[int, int] | None
    mode: Mode | None
    resize: Resize
    split: str | None
    text_column: str | None
    image_column: str | None
    data_dir: str | PathLike[str] | None
    random_state: int | Generator | None
    progress: Progress | None
    report: Report | None


LONGEST = 1_000
"""Characters of a prompt at most: arrays of text give every row the room of the longest."""
TEXTS = ("prompts", "prompt", "text", "texts", "caption", "captions", "label", "labels")
"""Columns that are known to hold prompts, the first of them that is there."""


def reason(error: BaseException) -> str:
    """What an exception says, in one line, to end a message of ours.

    Examples
    --------
    >>> reason(ValueError("not\\n  good."))
    'not good'
    """
    words = getattr(error, "strerror", None) or str(error)
    return " ".join(str(words).split()).rstrip(".") or type(error).__name__


def check_text(text: str, where: str) -> str:
    """A prompt in its usual form: letters with accents as one character (NFC).

    Raises
    ------
    DataError
        If it is too long, or holds what is no text (half of a surrogate pair, bytes that are not UTF-8).

    Examples
    --------
    >>> len("cafe\u0301"), len(check_text("cafe\u0301", "menu.csv, line 2"))
    (5, 4)
    """
    if len(text) > LONGEST:
        raise DataError(f"{where} has a prompt of {len(text):,} characters; shorten it to {LONGEST:,} at most.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise DataError(f"{where} has the prompt {text!r}, which is not Unicode text; correct it.") from None
    return unicodedata.normalize("NFC", text)


def choose_column(names: Sequence[str], asked: str | None, known: Sequence[str], argument: str, where: str) -> str:
    """The column that was asked for, or the first known one that is there; "" where the answer is "none".

    Raises
    ------
    DataError
        If there is no such column; the message lists those that there are.
    """
    if asked == "":
        return ""
    column = next((name for name in ([asked] if asked else known) if name in names), None)
    if column is None:
        missing = repr(asked) if asked else " or ".join(map(repr, known))
        raise DataError(f"{where} has no column {missing}, it has {list(names)}; choose one with {argument}=NAME.")
    return column
