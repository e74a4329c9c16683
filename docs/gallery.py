"""How sphinx-gallery shows pictures: those that ``pictures.show`` returns, and one style for all plots."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from PIL.Image import Image
from sphinx_gallery.scrapers import figure_rst

STYLE = {
    "figure.figsize": (6.4, 3.4),
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.wspace": 0.06,
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "image.interpolation": "nearest",
    "lines.linewidth": 2,
    "legend.frameon": False,
}


def scrape_shown(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """The picture that a block ends with, as a notebook would show it."""
    names = block_vars["example_globals"]
    shown = names.get("___")  # sphinx-gallery's name for what the last block that ends with an expression ended with
    if not isinstance(shown, Image):
        return ""
    names["___"] = None
    path = Path(next(block_vars["image_path_iterator"]))
    shown.save(path)
    return str(figure_rst([str(path)], gallery_conf["src_dir"]))


def set_style(gallery_conf: dict[str, Any], fname: str) -> None:
    """One style for the plots of all scripts."""
    mpl.rcParams.update(STYLE)
