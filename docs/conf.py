"""Sphinx's settings of the site: ``make docs`` builds it, English first, then Russian (-D language=ru)."""

import json
import sys
from operator import attrgetter
from pathlib import Path
from typing import Any

import linear_diffusion
from linear_diffusion.apps.web.page import one_file, page_files, static_files
from linear_diffusion.apps.web.small import demo_model, small_model
from linear_diffusion.model.fitted import FittedModel

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # gallery.py

project = "Linear Diffusion"
version = release = linear_diffusion.__version__
html_title = project
language = "en"
locale_dirs = ["locale"]
gettext_compact = False  # a catalogue for each page
gettext_location = False
gettext_uuid = False
exclude_patterns = ["_build", "tutorial", "examples", "locale"]
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_typehints = "none"  # numpydoc's sections say more
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
for attribute in vars(FittedModel).values():
    if isinstance(attribute, property) and isinstance(attribute.fget, attrgetter):
        attribute.__doc__ = None  # that of attrgetter; the section "Attributes" says what it is


def measured(name: str) -> Any:
    """Figures that a benchmark wrote."""
    return json.loads((HERE.parent / "benchmarks" / "results" / f"{name}.json").read_text())


def distance(table: str, row: str, digits: int = 0) -> str:
    """The Fréchet distance of a row."""
    return f"{measured(table)[row]['frechet']:.{digits}f}"


steps = measured("sampler-bias")["steps"]["cosine ddim"]
words = {name.rpartition(" ")[2]: row["all"] for name, row in measured("words").items() if name.startswith("`words`")}
figures = {  # what the tutorial calls |name|
    "one shot": distance("quality", "MNIST: the article's one-shot model"),
    "exact limit": distance("quality", "MNIST: one Gaussian per prompt, k = 144, `tone=False`"),
    "tone curve": distance("quality", "MNIST: one Gaussian per prompt, k = 144"),
    "144 components": distance("styles", "MNIST: k = 144", 2),
    "500 components": distance("styles", "MNIST: 165 styles, k = 500", 2),
    "Gaussian": distance("comparison", "mnist/gaussian", 1),
    "U-Net": distance("comparison", "mnist/unet", 1),
    "U-Net minutes": f"{measured('comparison')['mnist/unet']['fit_cpu_seconds'] / 60:.0f}",
    "styles": distance("comparison", "mnist/styles", 1),
    "1 step": f"{steps['1']:.0%}",
    "50 steps": f"{steps['50']:.0%}",
    "1000 steps": f"{steps['1000']:.1%}",
    "unseen words": f"{words['unseen']:.0%}",
    "real words": f"{measured('words')['real images: unseen']['all']:.0%}",
}
rst_epilog = "\n".join(f".. |{name}| replace:: {figure}" for name, figure in figures.items())

sphinx_gallery_conf = {
    "examples_dirs": ["tutorial", "examples"],
    "gallery_dirs": ["auto_tutorial", "auto_examples"],
    "copyfile_regex": r"index\.rst",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery.scrape_shown", "matplotlib"),
    "reset_modules": ("gallery.set_style",),
    "capture_repr": (),
    "remove_config_comments": True,
    "write_computation_times": False,
    "min_reported_time": 1e9,  # times differ from run to run, and would be messages to translate
    "show_signature": False,
    "download_all_examples": False,
    "default_thumb_file": None,
    "parallel": True,  # as many at a time as sphinx-build -j says
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_persistent": ["language.html", "search-button-field"],
    "navbar_end": ["theme-switcher"],
    "navbar_align": "left",
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": [],
    "footer_end": [],
    "navigation_with_keys": False,
    "pygments_light_style": "tango",
}


def keep_formulas(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """A module's docstring opens with its formula, in indented lines, which stays as it is."""
    if what == "module":
        for i in reversed(range(1, len(lines))):
            if lines[i].startswith("    ") and not lines[i - 1]:
                lines[i:i] = ["::", ""]


def write_live_page(app: Any, exception: Exception | None) -> None:
    """The page that the tutorial links to, beside the site's others."""
    if exception is None and app.builder.name == "html":
        Path(app.outdir, "page.html").write_bytes(one_file(static_files(), page_files(*small_model(demo_model()))))


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", keep_formulas)
    app.connect("build-finished", write_live_page)
