"""The Russian catalogues have each text of the home page and the tutorial, and no other."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the site's extra, docs, is not installed")
pytest.importorskip("sphinx_gallery", reason="the site's extra, docs, is not installed")
pofile = pytest.importorskip("babel.messages.pofile")

DOCS = Path(__file__).parents[2] / "docs"
RUSSIAN = DOCS / "locale" / "ru" / "LC_MESSAGES"
TUTORIAL = sorted(path.stem for path in (DOCS / "tutorial").iterdir() if path.suffix in (".py", ".rst"))
PAGES = ["index", *(f"auto_tutorial/{name}" for name in TUTORIAL)]
KEPT = re.compile(r"``.+?``|:math:`.+?`|\|\w[^|]*\|")
"""Code, formulas and figures, which are the same in both languages."""


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts as Sphinx reads them now, from a copy of the pages, since sphinx-gallery writes beside them."""
    root = tmp_path_factory.mktemp("site")
    docs = root / "docs"
    shutil.copytree(DOCS / "tutorial", docs / "tutorial")
    shutil.copytree(DOCS.parent / "benchmarks" / "results", root / "benchmarks" / "results")
    for name in ("conf.py", "gallery.py", "index.md"):
        shutil.copy(DOCS / name, docs)
    for page in re.findall(r"^.+ <([\w/]+)>$", (docs / "index.md").read_text(encoding="utf-8"), re.MULTILINE):
        if not page.startswith("auto_tutorial"):  # the contents leave out pages that are not there
            (docs / page).parent.mkdir(exist_ok=True)
            (docs / f"{page}.md").write_text("# A page\n")
    gallery = {"examples_dirs": "tutorial", "gallery_dirs": "auto_tutorial"}
    settings = ["plot_gallery=0", *(f"sphinx_gallery_conf.{name}={value}" for name, value in gallery.items())]
    options = [word for setting in settings for word in ("-D", setting)]
    command = [sys.executable, "-m", "sphinx", "--quiet", "--builder", "gettext", *options, str(docs), str(root / "en")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root / "en"


def test_each_page_has_a_catalogue() -> None:
    found = [path.relative_to(RUSSIAN).with_suffix("").as_posix() for path in RUSSIAN.rglob("*.po")]
    assert sorted(found) == sorted(PAGES), "run `make translations`; remove the catalogues of pages that are gone"


@pytest.mark.parametrize("page", PAGES)
def test_each_text_is_in_russian(page: str, english: Path) -> None:
    with (english / f"{page}.pot").open("rb") as file:
        texts = {message.id for message in pofile.read_po(file) if message.id}
    with (RUSSIAN / f"{page}.po").open("rb") as file:
        catalogue = pofile.read_po(file)
    russian = {message.id: message for message in catalogue if message.id}
    assert not texts ^ russian.keys() and not catalogue.obsolete, "run `make translations`, then translate what is new"
    assert not [text for text in texts if not russian[text].string], "these are not translated"
    assert not [text for text in texts if russian[text].fuzzy], "English of these changed: mend them, take out `fuzzy`"
    kept = {text: sorted(KEPT.findall(text)) for text in texts}
    assert not [text for text in texts if sorted(KEPT.findall(russian[text].string)) != kept[text]], "code is lost here"
