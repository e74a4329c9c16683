"""Text on pictures, in a font that has its letters.

    text --in one line--> the first font that has all its letters --> ink;   a letter that no font has: its code, U+732B

Pillow's own font has ASCII alone. Source Sans comes as a dependency, with Latin, Greek and Cyrillic letters. The rest,
Chinese, Japanese and Korean among it, is looked for in the fonts of the system.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.types import AnyArray

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_INK, _SIZE = 64, 20
_LONGEST = 200
"""Letters of a text that are looked at; more are too wide for any place."""
_SYSTEM = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "arial.ttf"),
    *("NotoSansCJK-Regular.ttc", "wqy-microhei.ttc", "DroidSansFallbackFull.ttf", "msyh.ttc"),
    *("YuGothM.ttc", "malgun.ttf", "Arial Unicode.ttf", "Hiragino Sans GB.ttc"),
)
"""Fonts of Linux, Windows and macOS; Pillow knows in which folders they are."""
_NONE = "\U0010ffff"
"""Never a letter: what it looks like is what a font draws for letters that it lacks."""


def write(
    page: AnyArray, texts: Sequence[tuple[str, int, int]], size: int, anchor: str, width: int = 2**31
) -> AnyArray:
    """Texts at places (x, y) of a page (H, W) or (H, W, 3), uint8, cut where they are wider than so many pixels;
    ``anchor`` says which point of a text lies there, as in Pillow: "rm" is the right end, half-way up."""
    if not texts:
        return page
    from PIL import Image, ImageDraw

    image = Image.fromarray(page)
    draw = ImageDraw.Draw(image)
    for text, x, y in texts:
        text, font = _cut(text, size, width)
        draw.text((x, y), text, fill=_INK if page.ndim == 2 else (_INK,) * 3, font=font, anchor=anchor)
    return np.asarray(image)


def text_width(texts: Sequence[str], size: int) -> int:
    """Pixels that the longest of some texts takes."""
    return int(max((font.getlength(text) for text, font in (_set(text, size) for text in texts)), default=0)) + 1


def line_height(size: int) -> int:
    """Pixels from the top of a line of text to below its letters."""
    return int(_font(None, size).getbbox("Ag")[3])


@lru_cache(maxsize=10_000)
def _cut(text: str, size: int, width: int) -> tuple[str, Any]:
    """What is drawn of a text, no wider than a width, and its font."""
    text, font = _set(text, size)
    if font.getlength(text) > width:
        while text and font.getlength(text + "...") > width:
            text = text[:-1]
        text += "..."
    return text, font


@lru_cache(maxsize=10_000)
def _set(text: str, size: int) -> tuple[str, Any]:
    """Text as it can be drawn, and the font that has the most of its letters."""
    text = unicodedata.normalize("NFC", " ".join(text.split()))
    letters = [c for c in text if unicodedata.category(c) != "Cf" and not "\ufe00" <= c <= "\ufe0f"][:_LONGEST]
    best, most = None, -1
    for name in _fonts():
        found = sum(_has(name, letter) for letter in letters)
        if found > most:
            best, most = name, found
        if found == len(letters):
            break
    return "".join(c if _has(best, c) else f"U+{ord(c):04X}" for c in letters), _font(best, size)


def _fonts() -> Iterator[str | None]:
    """Names of fonts, the first of them Pillow's own."""
    from font_source_sans_pro import SourceSansPro

    yield None
    yield from (name for name in (SourceSansPro, *_SYSTEM) if _font(name, _SIZE))


@lru_cache
def _font(name: str | None, size: int, layout: Any = None) -> "FreeTypeFont | Any":
    """A font; None where there is none of that name."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size, layout_engine=layout) if name else ImageFont.load_default(size)
    except OSError:
        return None


@lru_cache(maxsize=10_000)
def _has(name: str | None, letter: str) -> bool:
    """Whether a font has a letter: whether it draws it otherwise than what it lacks."""
    from PIL.ImageFont import Layout

    if letter == " " or unicodedata.category(letter) in ("Cs", "Cn"):
        return letter == " "
    font = _font(name, _SIZE, Layout.BASIC)  # others put a circle under an accent that the font has not
    drawn, lacking = (font.getmask(text) for text in (letter, _NONE))
    return (drawn.size, bytes(drawn)) != (lacking.size, bytes(lacking))
