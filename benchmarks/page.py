"""Does the page answer at once? The demo's model as `export-page` writes it, in headless Chromium at 1920 x 1080.

    python benchmarks/page.py

Chromium is Debian's; times are those of the browser's own clock.
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
FIRST_FRAME = """() => new Promise((resolve) => {
    const button = document.querySelector("button[type=submit]");
    button.addEventListener("click", (event) => {
        requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = () => resolve(performance.now() - event.timeStamp);
            channel.port2.postMessage(0);
        });
    }, { once: true, capture: true });
    window.linearDiffusion.set({ seed: Math.floor(1e6 * Math.random()) });
    button.click();
})"""
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
TEACH = """() => new Promise((resolve) => {
    const app = window.linearDiffusion;
    const add = [...document.querySelectorAll("button")].find((b) => b.textContent.includes("Draw 5"));
    const begun = performance.now();
    add.click();
    requestAnimationFrame(() => setTimeout(() => resolve((performance.now() - begun) / 5)));
})"""


def main(_):
    with TemporaryDirectory() as folder, sync_playwright() as driver:
        LinearDiffusion(random_state=0).fit(*load_images("mnist-5k")).save_pretrained(f"{folder}/model")
        file = Path(folder, "page.html")
        command = [sys.executable, "-m", "linear_diffusion", "export-page", f"{folder}/model", "-o", str(file)]
        subprocess.run(command, check=True, capture_output=True)
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        ready, first, teach = [], [], []
        for _ in range(REPEATS):
            page = browser.new_page(viewport={"width": 1920, "height": 1080})
            page.goto(f"{file.as_uri()}#lang=en")
            page.wait_for_selector("html[data-ready]")
            ready.append(page.evaluate("performance.now()"))
            page.wait_for_timeout(500)
            first.append(page.evaluate(FIRST_FRAME))
            page.wait_for_timeout(200)
            frames = np.array(page.evaluate(FRAMES))
            page.evaluate("window.linearDiffusion.set({ view: 'teach' })")
            page.wait_for_timeout(500)
            teach.append(page.evaluate(TEACH))
            page.close()
        browser.close()
        figures = {
            "bytes": file.stat().st_size,
            "ready_ms": float(np.median(ready)),
            "first_frame_ms": float(np.median(first)),
            "frames_per_second": float(1000 / frames.mean()),
            "frames_late": float((frames > 25).mean()),
            "teach_ms": float(np.median(teach)),
        }
    rows = [
        ["bytes of the page with its model", f"{figures['bytes']:,}"],
        ["ready after opening", f"{figures['ready_ms']:.0f} ms"],
        ["from the click on Draw to the first frame", f"{figures['first_frame_ms']:.0f} ms"],
        ["frames per second while a run plays", f"{figures['frames_per_second']:.0f}"],
        ["frames that took longer than 25 ms", f"{figures['frames_late']:.0%}"],
        ["teaching, for each of the first five drawings", f"{figures['teach_ms']:.0f} ms"],
    ]
    report("page", ["the exported page, 1920 x 1080", ""], rows, figures, f"Medians of {REPEATS} openings.")


if __name__ == "__main__":
    main(arguments(__doc__))
