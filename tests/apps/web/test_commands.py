"""The commands app and export-page, as processes and within this one; and what the page's model is made of."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from linear_diffusion import LinearDiffusion
from linear_diffusion.apps.cli import app
from linear_diffusion.apps.web.page import STATIC, one_file, page_files, static_files
from linear_diffusion.apps.web.small import page_sizes, require_showable, small_model
from linear_diffusion.image.format import ImageFormat

Digits = tuple[np.ndarray, np.ndarray]


def invoke(*args: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def saved(styled_model: LinearDiffusion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    styled_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def large() -> LinearDiffusion:
    """More components and styles than the page takes."""
    rng, y = np.random.default_rng(0), np.arange(1200) % 3
    waves = np.sin(np.linspace(0, 7, 40 * 40) * rng.uniform(1, 3, (1200, 1)) + y[:, None])
    images = np.clip(128 + 90 * waves + rng.normal(0, 9, waves.shape), 0, 255).astype(np.uint8).reshape(-1, 40, 40)
    return LinearDiffusion(latent_dim=130, styles=30, random_state=0).fit(images, y)


def test_a_page_is_written(saved: Path, styled_model: LinearDiffusion, tmp_path: Path) -> None:
    out = tmp_path / "new" / "page.html"
    done = invoke("export-page", saved, "-o", out, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["bytes"] == out.stat().st_size
    assert out.read_bytes() == one_file(static_files(), page_files(styled_model))
    assert [path.name for path in out.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize("out", ["page.png", "page", "linked.html"])
def test_nothing_that_is_read_is_overwritten(saved: Path, tmp_path: Path, out: str) -> None:
    os.link(saved / "config.json", tmp_path / "linked.html")
    before = (saved / "config.json").read_bytes()
    done = invoke("export-page", saved, "-o", tmp_path / out)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert (saved / "config.json").read_bytes() == before
    assert invoke("export-page", saved, "-o", STATIC / "index.html").exit_code == 2


def test_the_page_is_served_until_ctrl_c(saved: Path) -> None:
    command = [sys.executable, "-m", "linear_diffusion", "app", saved, "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            line = run.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert address, line + run.communicate(timeout=20)[1]
            for name, expected in (("", b"<!doctype html>"), ("main.js", b""), ("model/config.json", b"{")):
                with urllib.request.urlopen(address[0] + name, timeout=20) as answer:
                    assert answer.read().startswith(expected)
            run.send_signal(signal.SIGINT)
            output, errors = run.communicate(timeout=20)
        finally:
            run.kill()
    assert (output, errors) == ("", "")
    assert run.returncode in (0, 130)


def test_what_cannot_be_served_is_one_line(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for args, word in (((tmp_path,), "config.json"), ((saved, "--host", "nowhere.example"), "--host nowhere.example")):
        done = invoke("app", *args, "--no-browser")
        assert (done.exit_code, done.stdout) == (2, "")
        assert word in done.stderr
        assert len(done.stderr.splitlines()) == 1
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "linear-diffusion[web]" in invoke("app", saved).stderr


def test_models_that_the_page_cannot_show_are_refused_by_name(
    grey: Digits, sampled_model: LinearDiffusion, tmp_path: Path
) -> None:
    images, y = grey
    words = np.array([f"{'dark' if x.mean() < 80 else 'light'} {t}" for x, t in zip(images, y, strict=True)])
    four = np.random.default_rng(0).random((40, 5, 5, 4))
    for model, word in (
        (LinearDiffusion(text_encoder="words", latent_dim=5).fit(images, words), "text_encoder='words'"),
        (sampled_model, "training='sampled'"),
        (LinearDiffusion(styles=1, latent_dim=5).fit(images.reshape(-1, 64), y), r"shape \(64,\)"),
        (LinearDiffusion(styles=1, latent_dim=5).fit(four), r"shape \(5, 5, 4\)"),
    ):
        with pytest.raises(ValueError, match=word):
            require_showable(model)
        with pytest.raises(ValueError, match=word):
            small_model(model)
    sampled_model.save_pretrained(tmp_path / "model")
    done = invoke("export-page", tmp_path / "model", "-o", tmp_path / "page.html")
    assert (done.exit_code, done.stdout) == (2, "")
    assert not (tmp_path / "page.html").exists()


def test_a_small_model_goes_as_it_is(styled_model: LinearDiffusion) -> None:
    assert small_model(styled_model) == (styled_model, None)


def test_a_large_model_is_made_small_and_says_so(large: LinearDiffusion) -> None:
    small, was = small_model(large)
    assert was is not None
    assert (was["components"], was["styles"]) == (130, sum(map(len, large.style_weights_)))
    assert was["bytes"] > 10 * 130 * 1600
    sizes = small.latent_dim_, max(map(len, small.style_weights_))
    assert sizes == page_sizes(3, large.decoder_.image, 130, 30)
    assert sizes == (small.latent_dim, small.styles)
    assert sizes[0] == 100
    files = page_files(small, was)
    assert json.loads(files["config.json"])["shrunk_from"] == was
    assert len(one_file(static_files(), files)) < 2_000_000
    assert large.latent_dim_ == large.latent_dim == 130  # the large one stays as it was
    assert small_model(small) == (small, None)


@pytest.mark.parametrize("shape", [(8, 8), (28, 28), (64, 64, 3), (128, 128), (256, 256, 3)])
@pytest.mark.parametrize("p", [1, 10, 100, 1000])
def test_sizes_are_never_more_than_a_model_has_and_at_least_some(shape: tuple[int, ...], p: int) -> None:
    image = ImageFormat(shape, "uint8", (0.0, 255.0))
    for k, styles in ((500, 165), (20, 165), (500, 1), (1, 1)):
        found = page_sizes(p, image, k, styles)
        assert min(k, 16) <= found[0] <= min(k, 100)
        assert 1 <= found[1] <= styles


def test_usual_data_leave_room_for_what_shows_them() -> None:
    for p, shape, k, styles in ((10, (28, 28), 100, 10), (100, (28, 28), 24, 2), (10, (64, 64, 3), 24, 10)):
        found = page_sizes(p, ImageFormat(shape, "uint8", (0.0, 255.0)))
        assert found[0] >= k
        assert found[1] >= styles
