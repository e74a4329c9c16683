"""Put the tables that benchmarks wrote into their page: ``python benchmarks/tables.py``.

The page, README.md beside this file, marks the place by ``<!-- table: NAME -->`` and ``<!-- end of
table -->``; what lies between is replaced by ``results/NAME.md``, so that no figure is typed by hand. Pages of the site
include these files themselves.
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def filled(page: str) -> str:
    """A page with each of its tables as last written; a table that no script has written yet stays as it is."""

    def table(place: re.Match[str]) -> str:
        source = HERE / "results" / f"{place[2]}.md"
        return place[1] + source.read_text() + place[3] if source.exists() else place[0]

    return PLACE.sub(table, page)


def refresh() -> None:
    """Fill the page."""
    page = HERE / "README.md"
    page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    refresh()
