"""What an evaluation found: for people as a table or a page, for machines as JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from textwrap import wrap
from typing import Any

from ..utils.files import write_files
from ..utils.types import AnyArray
from .html import page, show_number

_WIDTH = 80


@dataclass(frozen=True)
class Figure:
    """One figure, beside what real images score."""

    measure: str
    """The group it belongs to."""
    name: str
    value: float
    real: float
    better: str
    """"lower", "higher", or "as real" for what should be neither lower nor higher than real images' figure."""
    n: int
    """Samples that it was taken from."""
    about: str
    """What it says, in a sentence."""
    error: float | None = None
    """Standard error, where it is known."""


@dataclass(frozen=True)
class Evaluation:
    """Every figure of a model beside that of real images, and what must be known to read them."""

    figures: dict[str, Figure]
    warnings: list[str]
    """What makes figures doubtful, or the model."""
    notes: list[str]
    """What else must be known."""
    settings: dict[str, Any]
    seconds: dict[str, float]
    """What each part of the evaluation took."""
    nearest_pairs: list[dict[str, float]]
    """The samples nearest to a training image: positions ``sample`` and ``train``, and their ``distance``."""
    pictures: dict[str, AnyArray] = field(default_factory=dict, repr=False)
    """Title to picture (H, W) or (H, W, 3), uint8."""

    def __getitem__(self, key: str) -> Figure:
        return self.figures[key]

    def __str__(self) -> str:
        return self.to_table()

    def to_dict(self) -> dict[str, Any]:
        """All but the pictures, as JSON holds it; what is not finite becomes None."""
        found = {key: asdict(figure) for key, figure in self.figures.items()}
        return {
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "figures": {key: {k: _plain(v) for k, v in figure.items()} for key, figure in found.items()},
            "nearest_pairs": self.nearest_pairs,
            "settings": self.settings,
            "seconds": self.seconds,
        }

    def to_table(self) -> str:
        """A table of text, 80 characters wide, with the warnings before it and the notes after."""
        lines = [line for text in self.warnings for line in (*_paragraph("WARNING: " + text), "")]
        lines.append(f"{'':<46}{'samples':>12}{'real':>10}  better")
        group = None
        for figure in self.figures.values():
            if figure.measure != group:
                group = figure.measure
                lines.append(group)
            lines.append(
                f"  {figure.name:<44}{show_number(figure.value):>12}{show_number(figure.real):>10}  {figure.better}"
            )
        return "\n".join([*lines, "", *(line for text in self.notes for line in _paragraph(text))])

    def to_html(self) -> str:
        """One page that needs nothing else: figures, warnings and pictures."""
        return page(self)

    def save_html(self, path: str | Path) -> None:
        """Write the page; the file appears whole or not at all, and its folder is made where it is missing."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_files(path.parent, {path.name: self.to_html().encode()})


def listed(texts: Sequence[str], most: int = 5) -> str:
    """Texts in a row, the first few of them.

    Examples
    --------
    >>> listed(["'a'", "'b'", "'c'"], most=2)
    "'a', 'b' and 1 more"
    """
    more = f" and {len(texts) - most:,} more" if len(texts) > most else ""
    return ", ".join(texts[:most]) + more


def _paragraph(text: str) -> list[str]:
    return wrap(text, _WIDTH, break_long_words=False)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not isfinite(value) else value
