"""No command writes over what it reads, by whatever name."""

import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from linear_diffusion import LinearDiffusion
from linear_diffusion.apps.cli import app


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of 4 x 4 images of two prompts."""
    folder = tmp_path_factory.mktemp("outputs") / "model"
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4), np.uint8)
    LinearDiffusion(styles=1).fit(images, ["a", "b"] * 10).save_pretrained(folder)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with pictures, a mask, data and links to them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for name in ("in/a.png", "in/sub/a.png", "in/b.PNG", "twins/a.png", "twins/a.jpg", "mask.png", "one.png"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(path)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "metadata.csv").write_text("file_name,text\na.png,a\n")
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "table" / "a.png")
    np.savez(tmp_path / "data.npz", images=rng.integers(0, 256, (20, 4, 4), np.uint8), prompts=["a", "b"] * 10)
    (tmp_path / "link").symlink_to("in", target_is_directory=True)
    (tmp_path / "soft.png").symlink_to("one.png")
    for source, name in (("one.png", "hard.png"), ("data.npz", "hard.html"), ("data.npz", "hard.csv")):
        os.link(tmp_path / source, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize(
    "args",
    [
        "restore MODEL in in",
        "restore MODEL in link",
        "restore MODEL in in/../in",
        "restore MODEL in in/sub",
        "restore MODEL one.png one.png",
        "restore MODEL one.png ./one.png",
        "restore MODEL one.png hard.png",
        "restore MODEL soft.png one.png",
        "restore MODEL one.png soft.png",
        "restore MODEL in/a.png mask.png --task inpaint --mask mask.png",
        "restore MODEL one.png out.png --sheet one.png",
        "restore MODEL one.png out.png --sheet out.png",
        "restore MODEL in new --sheet new/a.png",
        "restore MODEL in new --sheet in/a.png",
        "restore MODEL twins new",
        "sample MODEL a --init one.png -o one.png",
        "sample MODEL a --init one.png -o hard.png",
        "score MODEL table -o table/metadata.csv",
        "classify MODEL table -o table/metadata.csv",
        "classify MODEL data.npz -o hard.csv",
        "evaluate MODEL data.npz -o hard.html -n 8",
        "evaluate MODEL in --test data.npz -o hard.html -n 8",
    ],
)
def test_what_is_read_is_not_written_over(model, here, args):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    result = CliRunner().invoke(app, [str(model) if a == "MODEL" else a for a in args.split()])
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert "choose another name" in result.stderr
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_new_folder_within_the_one_that_is_read_is_fine(model, here):
    result = CliRunner().invoke(app, ["restore", str(model), "in", "in/new"])
    assert result.exit_code == 0, result.output
    written = sorted(path.relative_to(here).as_posix() for path in (here / "in" / "new").rglob("*.png"))
    assert written == ["in/new/a.png", "in/new/b.png", "in/new/sub/a.png"]


def test_a_fifo_is_no_model_to_replace(here):
    (here / "full").mkdir()
    os.mkfifo(here / "full" / "config.json")
    result = CliRunner().invoke(app, ["fit", "data.npz", "-o", "full"])
    assert result.exit_code == 2
    assert "full exists and is not a model" in result.stderr


def test_what_a_killed_fit_left_is_no_reason_to_stop(model, here):
    (here / "new" / ".writing-abc").mkdir(parents=True)
    (here / "new" / f"model-{'0a' * 8}.safetensors").write_bytes(b"half")
    result = CliRunner().invoke(app, ["fit", "data.npz", "-o", "new"])
    assert result.exit_code == 0, result.output
    assert sorted(path.suffix for path in (here / "new").iterdir()) == [".json", ".md", ".safetensors"]
