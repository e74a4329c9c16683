"""The film of README: the page at work, as a GIF, in docs/images/page.gif.

python docs/film.py        needs the extras `demo` and `browser`, and Debian's chromium
"""

import io
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from linear_diffusion.apps.web.page import one_file, page_files, static_files
from linear_diffusion.apps.web.small import demo_model, small_model

OUT = Path(__file__).parent / "images" / "page.gif"
SIZE = {"width": 1280, "height": 1010}
WIDTH = 680
"""Of the film, in pixels."""
COLOURS = 64


def scenes(page: Any) -> Iterator[int]:
    """Changes the page, and says how long what is seen then stays, in milliseconds."""

    def show(**state: Any) -> None:
        page.evaluate("(patch) => window.linearDiffusion.set(patch)", state)
        if "view" in state:
            start = "body" if state["view"] == "sampler" else "#view"
            page.evaluate(f"document.querySelector('{start}').scrollIntoView()")

    for prompt, seed in (("7", 3), ("3:0.5 8:0.5", 5)):
        show(view="sampler", prompt=prompt, seed=seed, step=0)
        yield 700
        for step in range(3, 51, 3):
            show(step=step)
            yield 90
        show(step=51)
        yield 1100
    show(prompt="5", seed=1, view="noise")
    for level in range(0, 100, 8):
        show(level=level / 100)
        yield 120
    show(view="denoiser")
    for level in range(96, 20, -8):
        show(level=level / 100)
        yield 120
    yield 900
    show(view="encoder")
    yield 1200
    for part in ("sum", "modes"):
        show(view="apart", parts=part, step=25)
        yield 1500
    show(view="teach", step=0)
    page.get_by_role("button", name="Draw 5").click()
    page.wait_for_timeout(2000)
    yield 2500


def main() -> None:
    frames, durations = [], []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        file = Path(folder, "page.html")
        file.write_bytes(one_file(static_files(), page_files(*small_model(demo_model()))))
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{file.as_uri()}#theme=light&lang=en")
        page.wait_for_selector("html[data-ready]")
        for duration in scenes(page):
            page.wait_for_timeout(60)
            frames.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
            durations.append(duration)
        browser.close()
    height = round(WIDTH * SIZE["height"] / SIZE["width"])
    small = [frame.resize((WIDTH, height), Image.Resampling.LANCZOS) for frame in frames]
    together = Image.fromarray(np.concatenate([np.asarray(frame) for frame in small[::8]]))
    palette = together.quantize(COLOURS)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    drawn[0].save(OUT, save_all=True, append_images=drawn[1:], duration=durations, loop=0, optimize=True)


if __name__ == "__main__":
    main()
