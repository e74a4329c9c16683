"""The page as files and as one file: the same model, and nothing that is asked of anybody."""

import base64
import gzip
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import load

from linear_diffusion import LinearDiffusion
from linear_diffusion.apps.web.page import CONFIG, WEIGHTS, Files, joined, one_file, page_files, static_files
from linear_diffusion.apps.web.small import small_model

HTML = b"""<!doctype html>
<html><head><meta charset="utf-8">
<link rel="stylesheet" href="look.css">
<script type="module" src="start.js"></script></head><body></body></html>
"""
START = """// Says "import" and export in a comment.
import { last } from "./b/last.js";
import {
  first,
  Kind,
} from "./first.js";

/** @type {import("./first.js").Kind} */
export const kind = new Kind(first(last));
document.title = kind.name + "</script><!-- </SCRIPT >";
"""
SITE: Files = {
    "index.html": HTML,
    "look.css": b"body { color: red } /* </style> */",
    "start.js": START.encode(),
    "first.js": b"import { last } from './b/last.js';\n".replace(b"'", b'"')
    + b"export function first(x) { return x + last; }\nexport class Kind { constructor(name) { this.name = name; } }\n"
    b"export async function later() { return 1; }\nfunction hidden() { return later(); }\nvoid hidden;\n",
    "b/last.js": b'export const last = "last ";\n',
    "other.js": b"const hidden = 1;\n",
}


class Parsed(HTMLParser):
    """Tags, and what scripts and styles hold."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.handle_starttag("", [])  # what follows is of no tag

    def handle_data(self, data: str) -> None:
        if self.texts:
            self.texts[-1] += data

    def inside(self, tag: str, **attrs: str) -> str:
        found = [x for (t, a), x in zip(self.tags, self.texts, strict=True) if t == tag and attrs.items() <= a.items()]
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def small(styled_model: LinearDiffusion) -> Files:
    return page_files(*small_model(styled_model))


def read(folder: Path, files: Files) -> LinearDiffusion:
    """A model of the page's files, as a folder has them."""
    folder.mkdir()
    (folder / CONFIG).write_bytes(files[CONFIG])
    digest = json.loads(files[CONFIG])["sha256"]
    (folder / f"model-{digest[:16]}.safetensors").write_bytes(files[WEIGHTS])
    return LinearDiffusion.from_pretrained(folder)


def contents(page: bytes) -> Files:
    """The model within a page."""
    html = Parsed(page.decode())
    weights = html.inside("script", id="model-weights", type="application/octet-stream")
    config = html.inside("script", id="model-config", type="application/json")
    return {CONFIG: config.encode(), WEIGHTS: gzip.decompress(base64.b64decode(weights))}


def test_the_files_are_those_of_a_saved_model(styled_model: LinearDiffusion, tmp_path: Path) -> None:
    files = page_files(styled_model)
    found = read(tmp_path / "page", files)
    styled_model.save_pretrained(tmp_path / "saved")
    (saved,) = (tmp_path / "saved").glob("*.safetensors")
    ours, theirs = load(files[WEIGHTS]), load(saved.read_bytes())
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert_array_equal(ours[name], array)
        assert ours[name].dtype.itemsize <= array.dtype.itemsize
    assert ours["prior.component_means"].dtype == np.float32
    for how in ({}, {"sampler": "ddim", "n_steps": 3}):
        ours, theirs = (m.sample(20, random_state=1, **how)[0] for m in (found, styled_model))
        assert_array_equal(ours, theirs)
    X = styled_model.sample(5, random_state=0)[0]
    assert_array_equal(found.score_samples(X), styled_model.score_samples(X))
    assert_array_equal(found.predict(X), styled_model.predict(X))


def test_what_is_in_the_page_is_what_python_reads(small: Files, tmp_path: Path) -> None:
    within = contents(one_file(SITE, small))
    assert within[WEIGHTS] == small[WEIGHTS]
    assert json.loads(within[CONFIG]) == json.loads(small[CONFIG])
    model = read(tmp_path / "page", small)
    arrays = load(within[WEIGHTS])
    assert_array_equal(arrays["encoder.components"].astype(np.float64), model.components_)
    assert_array_equal(arrays["prior.component_means"], np.concatenate(model.style_means_))


def test_the_page_asks_nobody_for_anything(small: Files) -> None:
    for static in (SITE, static_files()):
        page = one_file(static, small)
        html = Parsed(page.decode())
        fetching = [(tag, a) for tag, a in html.tags if tag != "a" and {"src", "href", "srcset", "data"} & a.keys()]
        assert all((a.get("href") or "").startswith("data:") for _, a in fetching)
        assert not re.search(rb"https?://(?!www\.w3\.org/)", page.split(b"<script")[0])
        policy = next(a["content"] for tag, a in html.tags if a.get("http-equiv") == "Content-Security-Policy") or ""
        assert policy.startswith("default-src 'none'; ")
        assert "connect-src 'none'" in policy
        assert "unsafe" not in policy
        for tag, attrs in (("style", {}), ("script", {"type": "module"})):
            digest = base64.b64encode(hashlib.sha256(html.inside(tag, **attrs).encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy


def test_modules_follow_each_other_in_the_order_in_which_they_run() -> None:
    code = joined(SITE, "start.js")
    assert re.findall(r"^// ([\w/]+\.js)$", code, re.M) == ["b/last.js", "first.js", "start.js"]
    assert not re.search(r"^(import|export)\b", code, re.M)
    assert code.index("const last") < code.index("function first") < code.index("document.title")
    assert "async function later" in code
    assert "other.js" not in code


def test_no_text_ends_a_script_or_a_style(small: Files) -> None:
    config = json.loads(small[CONFIG]) | {"shrunk_from": {"note": "</script><script>alert(1)</script><!--"}}
    page = one_file(SITE, small | {CONFIG: json.dumps(config).encode()})
    html = Parsed(page.decode())
    assert [tag for tag, _ in html.tags].count("script") == 3
    assert html.inside("script", type="module").endswith("\n")
    assert json.loads(html.inside("script", id="model-config")) == config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"first.js": b'import * as all from "./b/last.js";'}, ["first.js", "import * as all"]),
        ({"first.js": b'import { last as x } from "./b/last.js";'}, ["first.js", "last as x"]),
        ({"first.js": b'import { last } from "https://elsewhere/last.js";'}, ["first.js", "elsewhere"]),
        ({"first.js": b'import "./b/last.js";'}, ["first.js", "import"]),
        ({"first.js": b"export default 3;"}, ["first.js", "export default 3;"]),
        ({"first.js": b"export let x = 3;"}, ["first.js", "export let"]),
        ({"first.js": b"export { x };"}, ["first.js", "export { x }"]),
        ({"first.js": b'const x = await import("./b/last.js");'}, ["first.js", "await import"]),
        ({"first.js": b"const where = import.meta.url;"}, ["first.js", "import.meta"]),
        ({"first.js": b"const { a, b } = window;"}, ["first.js", "one name"]),
        ({"first.js": b"export const last = 3;"}, ["first.js", "b/last.js", "'last'", "rename"]),
        ({"first.js": b"export const first = 3;"}, ["start.js", "'Kind'", "first.js does not export"]),
        ({"first.js": b'import { x } from "./none.js";'}, ["first.js", "none.js", "not there"]),
        ({"first.js": b'import { x } from "../../none.js";'}, ["first.js", "none.js", "not there"]),
        ({"index.html": HTML.replace(b"<body>", b'<body><img src="a.png">')}, ["index.html", "img"]),
        (
            {"index.html": HTML.replace(b"<body>", b"<body><script src='https://x/y.js'></script>")},
            ["index.html", "x/y"],
        ),
        ({"index.html": HTML.replace(b"start.js", b"")}, ["index.html", "0 tags"]),
        ({"index.html": HTML.replace(b"<body>", b'<body><link rel="stylesheet" href="b.css">')}, ["2 tags"]),
        ({"look.css": b'@import "other.css";'}, ["look.css", "@import"]),
        ({"look.css": b"body { background: url(a.png) }"}, ["look.css", "url("]),
    ],
)
def test_what_one_file_cannot_hold_is_refused_by_name(small: Files, change: Files, words: list[str]) -> None:
    with pytest.raises(ValueError) as refused:
        one_file(SITE | change, small)
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize("name", ["tiny", "whole"])
def test_the_page_opens_from_disk_and_asks_for_nothing(small: Files, tmp_path: Path, page: Any, name: str) -> None:
    path, asked = tmp_path / "page.html", []
    path.write_bytes(one_file(SITE if name == "tiny" else static_files(), small))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    if name == "tiny":
        assert page.title() == "last last </script><!-- </SCRIPT >"
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(255, 0, 0)"
    else:
        page.wait_for_selector("html[data-ready]")
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
