"""Page: a model and the files of ``static/``, for a server or as one HTML file that asks nobody for anything.

    model --page_files--> config.json, model.safetensors          static/, these two --one_file--> page.html

The two files are those of `save_pretrained`, so that a folder of somebody's own and the model of the page are read one
way; but floats are as small as they can be without losing a digit. In the one file, the modules follow each other in
the order of their imports as one script, the model is data beside it, and a policy lets nothing else in.
"""

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from posixpath import dirname, normpath
from typing import TYPE_CHECKING, Any

import numpy as np

from ...saving import contents, files_of

if TYPE_CHECKING:
    from ...model import LinearDiffusion
    from ...utils.types import AnyArray

Files = dict[str, bytes]
"""What files hold, by their name relative to a folder, with forward slashes."""
STATIC = Path(__file__).parent / "static"
_SUFFIXES = (".html", ".css", ".js", ".svg", ".png")
"""What of it goes to a browser."""
CONFIG, WEIGHTS = "config.json", "model.safetensors"
_STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)"\s*/?>')
_SCRIPT = re.compile(r'<script type="module" src="([^"]+)"></script>')
_FETCHES = re.compile(
    r"""<(?!a\b)[^>]*\s(?:src|srcset|href|data|poster)=(?!["']data:)[^\s>]*|@import[^;]*|url\((?!["']?(?:data:|#))[^)]*"""
)
"""What a browser would ask somebody for."""
_IMPORT = re.compile(r'^import \{([\s\w$,]+)\} from "(\.\.?/[^"]+\.js)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const)\b)", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*|^.*(?:\bawait import\b|\bimport\.meta\b).*", re.MULTILINE)
"""Ways to import and export that `joined` does not know."""
_DECLARED = re.compile(
    r"^(export )?(?:async )?(?:function\b\*?|class\b|const\b|let\b|var\b)\s*([\w$]+|.*)", re.MULTILINE
)


def page_files(model: "LinearDiffusion", shrunk_from: dict[str, Any] | None = None) -> Files:
    """The configuration and the weights of a fitted model.

    Parameters
    ----------
    model : LinearDiffusion
    shrunk_from : dict, optional
        What the model was before it was made small for the page: its components, styles and bytes. The page says it.

    Returns
    -------
    dict of bytes
        By "config.json" and "model.safetensors". `LinearDiffusion.from_pretrained` reads them too, where the weights
        are named as the configuration says.
    """
    config, arrays = contents(model, model._reading() if model.prior_.has_density else None)
    if shrunk_from is not None:
        config["shrunk_from"] = shrunk_from
    text, weights = files_of(config, {name: narrowest(array) for name, array in arrays.items()})
    return {CONFIG: text, WEIGHTS: weights}


def narrowest(array: "AnyArray") -> "AnyArray":
    """Floats in the smallest dtype that holds them exactly; all else as it is.

    >>> [str(narrowest(np.array([x])).dtype) for x in (0.5, 1 + 2**-20, 0.1)]
    ['float16', 'float32', 'float64']
    """
    for dtype in (np.float16, np.float32) if array.dtype.kind == "f" else ():
        with np.errstate(over="ignore"):
            small = array.astype(dtype)
        if array.dtype.itemsize > small.dtype.itemsize and np.array_equal(small, array):
            return small
    return array


def static_files(folder: Path = STATIC) -> Files:
    """All files of the page but the model's."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def one_file(static: Files, model: Files) -> bytes:
    """The page as one HTML file.

    Parameters
    ----------
    static, model : dict of bytes
        What `static_files` and `page_files` give.

    Raises
    ------
    ValueError
        Naming the file that is not written as one page can take it in.
    """
    html = static["index.html"].decode()
    link, style = _only(_STYLE, html)
    tag, start = _only(_SCRIPT, html)
    css = static[style].decode()
    for name, text in (("index.html", html.replace(link, "").replace(tag, "")), (style, css)):
        if found := _FETCHES.search(text):
            raise ValueError(f"{name} asks for what is outside a single page: {found[0]!r:.100}.")
    css = css.replace("</style", r"<\/style")
    code = re.sub("</(?=script)", r"<\\/", joined(static, start), flags=re.IGNORECASE).replace("<!--", r"<\!--")
    policy = (
        f"default-src 'none'; script-src {_digest(code)}; style-src {_digest(css)}; img-src data: blob:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    config = json.dumps(json.loads(model[CONFIG])).replace("<", r"\u003c")
    weights = base64.b64encode(gzip.compress(model[WEIGHTS], mtime=0)).decode()
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{css}</style>'
    data = (
        f'<script type="application/json" id="model-config">{config}</script>\n'
        f'<script type="application/octet-stream" id="model-weights">{weights}</script>\n'
    )
    return html.replace(link, head).replace(tag, f'{data}<script type="module">{code}</script>').encode()


def joined(static: Files, start: str) -> str:
    """A module and all that it imports as one script, in the order in which a browser runs them.

    Raises
    ------
    ValueError
        Naming the module: where it imports or exports in another way than ``import { a, b } from "./x.js";`` and
        ``export function|class|const``, imports what is not there, or has a name that another module has too.
    """
    owner: dict[str, str] = {}
    exported: dict[str, set[str]] = {}
    parts: list[str] = []

    def include(name: str) -> None:
        source = static[name].decode().replace("\r\n", "\n")
        if other := _OTHER.search(_EXPORT.sub("", _IMPORT.sub("", source))):
            raise ValueError(f"{name} has {other[0].strip()!r:.100}, which a page of one file does not know.")
        exported[name] = set()
        for export, own in _DECLARED.findall(source):
            if not re.fullmatch(r"[\w$]+", own):
                raise ValueError(f"{name} declares {own!r:.100}; declare one name in a statement.")
            if own in owner:
                raise ValueError(f"{name} and {owner[own]} both have {own!r} at their top level; rename one.")
            owner[own] = name
            if export:
                exported[name].add(own)
        for names, path in _IMPORT.findall(source):
            other_name = normpath(f"{dirname(name)}/{path}").lstrip("/")
            if other_name not in static:
                raise ValueError(f"{name} imports {path!r}, which is not there.")
            if other_name not in exported:
                include(other_name)
            missing = {n.strip() for n in names.split(",")} - exported[other_name] - {""}
            if missing:
                raise ValueError(f"{name} imports {sorted(missing)}, which {other_name} does not export.")
        parts.append(f"// {name}\n" + _EXPORT.sub("", _IMPORT.sub("", source)).strip())

    include(start)
    return "\n\n" + "\n\n".join(parts) + "\n"


def _only(tag: re.Pattern[str], html: str) -> tuple[str, str]:
    """The one tag of its kind, and the file that it names."""
    found = list(tag.finditer(html))
    if len(found) != 1:
        raise ValueError(f"index.html has {len(found)} tags like {tag.pattern}; it needs one.")
    return found[0][0], found[0][1]


def _digest(text: str) -> str:
    """What a policy calls an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
