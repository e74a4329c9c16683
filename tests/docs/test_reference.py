"""The reference has every public name of the package."""

import re
from pathlib import Path

import linear_diffusion

PAGE = Path(__file__).parents[2] / "docs" / "api" / "linear_diffusion.md"


def test_every_public_name_is_in_the_reference() -> None:
    named = re.findall(r"^\.\. auto\w+:: (\w+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(linear_diffusion.__all__)
