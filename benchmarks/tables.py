"""Put the tables that benchmarks wrote into the pages that show them: ``python benchmarks/tables.py``.

A page marks the place by ``<!-- table: NAME -->`` and ``<!-- end of table -->``; what lies between is replaced by
``benchmarks/results/NAME.md``, so that no figure is typed by hand.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with each of its tables as last written; a table that no script has written yet stays as it is."""

    def table(place: re.Match[str]) -> str:
        source = ROOT / "benchmarks" / "results" / f"{place[2]}.md"
        return place[1] + source.read_text() + place[3] if source.exists() else place[0]

    return PLACE.sub(table, page)


def refresh() -> None:
    """Fill all pages."""
    for path in PAGES:
        if path.exists():
            path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    refresh()
