"""The report as one page: no scripts, no fonts, no files beside it; light or dark as the reader's system is."""

from base64 import b64encode
from html import escape
from io import BytesIO
from math import isfinite
from typing import TYPE_CHECKING

from ..utils.types import AnyArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .report import Evaluation, Figure

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1d1f23; --faint: #5d636d; --line: #d9dce1; --bad: #a8261c;
  --bad-page: #fdf1ef; }
@media (prefers-color-scheme: dark) { :root { --page: #16181c; --ink: #e6e8eb; --faint: #a0a6b0; --line: #363a42;
  --bad: #ff9b8f; --bad-page: #33201e; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
p { margin: .5rem 0; } .faint, caption, .about { color: var(--faint); }
.warning { border-left: 4px solid var(--bad); background: var(--bad-page); padding: .6rem 1rem; margin: .75rem 0; }
.warning strong { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .45rem .75rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-weight: 600; } tbody th { font-weight: 400; } tr.group th { font-weight: 600; padding-top: 1.1rem; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.about { display: block; font-size: .875rem; }
figure { margin: 1rem 0 0; } figcaption { color: var(--faint); margin-bottom: .4rem; }
img { max-width: 100%; height: auto; border: 1px solid var(--line); border-radius: 4px; background: #fff; }
figure:last-child { grid-column: 1 / -1; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
@media (max-width: 40rem) { body { padding: 1rem; font-size: 15px; } th, td { padding-right: .4rem; }
  th.number { white-space: normal; } }
@media print { :root { --page: #fff; --ink: #000; --faint: #444; --line: #bbb; --bad: #a8261c; --bad-page: #fff; }
  body { max-width: none; padding: 0; font-size: 11pt; } figure, tr { break-inside: avoid; }
  h2 { break-after: avoid; } }
"""


def page(evaluation: "Evaluation") -> str:
    """The page of an evaluation, as HTML."""
    settings = evaluation.settings
    counts = {"samples": "n_samples", "training images": "n_train", "held-out images": "n_test"}
    told = ", ".join(f"{settings[key]:,} {what}" for what, key in counts.items())
    parts = [
        "<h1>How good are the samples?</h1>",
        f'<p class="faint">{escape(told)}, seed {settings["random_state"]}, linear-diffusion '
        f"{escape(str(settings['version']))}</p>",
        *(
            f'<p class="warning"><strong>Warning.</strong> {escape(text[:1].upper() + text[1:])}</p>'
            for text in evaluation.warnings
        ),
        "<h2>Figures</h2>",
        _table(evaluation.figures.values()),
        *(f'<p class="faint">{escape(text)}</p>' for text in evaluation.notes),
        "<h2>Pictures</h2>" if evaluation.pictures else "",
        '<div class="pictures">',
        *(_picture(title, picture) for title, picture in evaluation.pictures.items()),
        "</div>",
        "<h2>How it was made</h2>",
        _pairs({**settings, **{f"seconds, {name}": f"{s:.1f}" for name, s in evaluation.seconds.items()}}.items()),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Evaluation of a linear diffusion model</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body>\n</html>\n"
    )


def show_number(value: float) -> str:
    """Three digits behind the point, or three that count.

    Examples
    --------
    >>> [show_number(v) for v in (0.98765, 12.345, 1234.5, 0.0, 0.00012)]
    ['0.988', '12.3', '1,234', '0.000', '0.000']
    """
    if not isfinite(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"


def _table(figures: "Iterable[Figure]") -> str:
    rows, group = [], None
    for figure in figures:
        if figure.measure != group:
            group = figure.measure
            rows.append(f'<tr class="group"><th colspan="4" scope="rowgroup">{escape(group)}</th></tr>')
        error = "" if figure.error is None else f'<span class="about">± {show_number(figure.error)}</span>'
        rows.append(
            f'<tr><th scope="row">{escape(figure.name)}<span class="about">{escape(figure.about)} '
            f"({figure.n:,} samples)</span></th>"
            f'<td class="number">{show_number(figure.value)}{error}</td>'
            f'<td class="number">{show_number(figure.real)}</td><td>{escape(figure.better)}</td></tr>'
        )
    head = '<th scope="col">measure</th><th scope="col" class="number">samples</th>'
    head += '<th scope="col" class="number">real images</th><th scope="col">better</th>'
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>"
    )


def _pairs(rows: "Iterable[tuple[str, object]]") -> str:
    lines = (f'<tr><th scope="row">{escape(k.replace("_", " "))}</th><td>{escape(str(v))}</td></tr>' for k, v in rows)
    return '<div class="wide"><table><tbody>\n' + "\n".join(lines) + "\n</tbody></table></div>"


def _picture(title: str, picture: AnyArray) -> str:
    from PIL import Image

    content = BytesIO()
    Image.fromarray(picture).save(content, "PNG", optimize=True)
    data = b64encode(content.getvalue()).decode()
    height, width = picture.shape[:2]
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><img alt="{escape(title)}" width="{width}" '
        f'height="{height}" src="data:image/png;base64,{data}"></figure>'
    )
