"""What docstrings say of how a constant was chosen: the rows that they name are there, and change that constant."""

import ast
import importlib
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import linear_diffusion

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PACKAGE = Path(linear_diffusion.__file__).parent
pytest.importorskip("torch")
pytest.importorskip("threadpoolctl")


def named_rows() -> Iterator[tuple[str, set[str], str]]:
    """Module, constants and row of each row that the docstring of a constant names."""
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for node, after in pairwise(ast.parse(path.read_text()).body):
            if isinstance(node, ast.Assign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                found = re.search(r"\(benchmarks/styles\.py, ([^)]*)\)", " ".join(str(after.value.value).split()))
                names = {part.id for part in ast.walk(node.targets[0]) if isinstance(part, ast.Name)}
                yield from ((module, names, row) for row in re.findall('"(.*?)"', found[1] if found else ""))


def test_each_row_that_a_constant_names_changes_it() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        styles = importlib.import_module("styles")
    rows = {row: settings for _, tried, *_ in styles.TABLES.values() for row, settings in tried.items()}
    named = list(named_rows())
    for module, names, row in named:
        assert {f"{module}.{name}" for name in names} & set(rows[row]), (module, names, row)
    changed = {name for settings in rows.values() for name in settings if "." in name}
    assert changed == {f"{m}.{n}" for m, names, row in named for n in names if f"{m}.{n}" in rows[row]}
    for settings in rows.values():
        with styles.changed(settings):  # raises where there is no such constant
            pass
