"""Does the page answer at once? The demo's model as `export-page` writes it, in headless Chromium at 1920 x 1080.

    python benchmarks/page.py

Chromium is Debian's; times are those of the browser's own clock. A frame counts from the click until it is painted.
"""

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import sync_playwright

from common import arguments, report
from linear_diffusion import LinearDiffusion, load_images

REPEATS = 7
DRAWINGS = 5
PAINTED = """(text) => new Promise((resolve) => {
    const button = [...document.querySelectorAll("button")].find((b) => b.textContent === text);
    button.addEventListener("click", (event) => {
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => resolve(performance.now() - event.timeStamp);
            channel.port2.postMessage(0);
        });
    }, { once: true, capture: true });
    button.click();
})"""
"""Milliseconds from a click on a button to the frame that follows it."""
FRAMES = """() => new Promise((resolve) => {
    const { player } = window.linearDiffusion;
    const times = [];
    player.seek(0);
    player.play();
    requestAnimationFrame(function frame(time) {
        times.push(time);
        if (player.playing) requestAnimationFrame(frame);
        else resolve(times.slice(1).map((t, i) => t - times[i]));
    });
})"""


def taught(page):
    """How long each of some drawings takes until what it draws is seen; drawn with the mouse, added with the button."""
    page.evaluate("window.linearDiffusion.set({ view: 'teach' })")
    page.wait_for_timeout(500)
    box = page.locator(".view.teach canvas").first.bounding_box()
    times = []
    for i in range(DRAWINGS):
        page.mouse.move(box["x"] + (0.2 + 0.02 * i) * box["width"], box["y"] + 0.2 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + (0.7 + 0.02 * i) * box["height"], steps=8)
        page.mouse.up()
        times.append(page.evaluate(PAINTED, "Add this drawing"))
        page.wait_for_timeout(500)
    if len(page.locator(".view.teach .gallery li").all()) != DRAWINGS:
        raise RuntimeError("the drawings were not added")
    return times


def main(_):
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        LinearDiffusion(random_state=0).fit(*load_images("mnist-5k")).save_pretrained(f"{folder}/model")
        file = Path(folder, "page.html")
        command = [sys.executable, "-m", "linear_diffusion", "export-page", f"{folder}/model", "-o", str(file)]
        subprocess.run(command, check=True, capture_output=True)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ready, first, frames, teach = [], [], [], []
        for i in range(REPEATS):
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            page.goto(f"{file.as_uri()}#lang=en")
            page.wait_for_selector("html[data-ready]")
            ready.append(page.evaluate("performance.now()"))
            page.wait_for_timeout(500)
            page.evaluate(f"window.linearDiffusion.set({{ seed: {i} }})")
            first.append(page.evaluate(PAINTED, "Draw"))
            page.wait_for_timeout(200)
            frames += page.evaluate(FRAMES)
            teach.append(taught(page))
            page.close()
        browser.close()
        figures = {
            "bytes": file.stat().st_size,
            "ready_ms": float(np.median(ready)),
            "first_frame_ms": float(np.median(first)),
            "frames_per_second": float(1000 / np.mean(frames)),
            "frames_late": float((np.array(frames) > 25).mean()),
            "first_drawing_ms": float(np.median([times[0] for times in teach])),
            "next_drawings_ms": float(np.median([times[1:] for times in teach])),
        }
    rows = [
        ["bytes of the page with its model", f"{figures['bytes']:,}"],
        ["ready after opening", f"{figures['ready_ms']:.0f} ms"],
        ["from the click on Draw to the first frame", f"{figures['first_frame_ms']:.0f} ms"],
        ["frames per second while a run plays", f"{figures['frames_per_second']:.0f}"],
        ["frames that took longer than 25 ms", f"{figures['frames_late']:.0%}"],
        ["teaching: the first drawing, until what it draws is seen", f"{figures['first_drawing_ms']:.0f} ms"],
        [f"teaching: each of the next {DRAWINGS - 1}", f"{figures['next_drawings_ms']:.0f} ms"],
    ]
    report("page", ["the exported page, 1920 x 1080", ""], rows, figures, f"Medians of {REPEATS} openings.")


if __name__ == "__main__":
    main(arguments(__doc__))
