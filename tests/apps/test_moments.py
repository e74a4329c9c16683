"""The commands moments fit, merge, remove, model, info: as processes on real files, and in-process for the errors."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from typer.testing import CliRunner

from linear_diffusion import LinearDiffusion, Moments, load_images
from linear_diffusion.apps.cli import app

SUBCOMMANDS = ("fit", "merge", "remove", "model", "info")


def call(line: str, cwd: Path) -> str:
    """Run the command as a process, and give what it prints."""
    words = [sys.executable, "-m", "linear_diffusion", "moments", *shlex.split(line)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def invoke(line: str) -> Any:
    """Run the command in this process."""
    return CliRunner().invoke(app, ["moments", *shlex.split(line)])


def require_refusal(line: str, *words: str) -> None:
    result = invoke(line)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [text for text in result.stderr.splitlines() if text.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray, np.ndarray]:
    """A folder with the images of two sites, as pictures and as an array; the images, prompts, and which are site b's.
    Site b alone has nines."""
    folder = tmp_path_factory.mktemp("sites")
    images, prompts = load_images("digits")
    images, prompts = images[:600], prompts[:600]
    theirs = (np.arange(600) % 3 == 0) | (prompts == "9")
    for i in np.flatnonzero(~theirs):
        path = folder / "a" / prompts[i] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(path)
    np.savez(folder / "b.npz", images=images[theirs], prompts=prompts[theirs])
    for line in ("fit a -o a.safetensors", "fit b.npz -o b.safetensors"):
        call(line, folder)
    return folder, images, prompts, theirs


@pytest.fixture
def here(sites: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the sites' moments."""
    for path in sites[0].glob("*.safetensors"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_two_sites_merge_and_one_takes_its_images_back(sites: Any, tmp_path: Path) -> None:
    """As processes: the models are those of the images together, and of those that stay, as if b had never been."""
    folder, images, prompts, theirs = sites
    a, b = folder / "a.safetensors", folder / "b.safetensors"
    said = call(f"merge {a} {b} -o both.safetensors", tmp_path)
    assert said == "both.safetensors: 600 images of 8 x 8, uint8, range 0 to 255, 10 prompts\n"
    said = json.loads(call(f"remove both.safetensors {b} -o left.safetensors --json", tmp_path))
    assert said["out"] == "left.safetensors"
    assert said["n_images"] == (~theirs).sum()
    assert "9" not in said["prompts"]
    for name, mask in (("both", np.ones(600, bool)), ("left", ~theirs)):
        record = json.loads(call(f"model {name}.safetensors -o {name} --latent-dim 20 --json", tmp_path))
        assert record["n_images"] == mask.sum()
        assert record["latent_dim"] == 20
        model = LinearDiffusion.from_pretrained(tmp_path / name)
        never = LinearDiffusion(styles=1, latent_dim=20).fit(images[mask], prompts[mask])
        assert_array_equal(model.classes_, never.classes_)
        for attribute in ("components_", "means_", "covariances_"):
            assert_allclose(getattr(model, attribute), getattr(never, attribute), rtol=1e-9, atol=1e-9)
        drawn, wanted = (m.sample(200, random_state=3)[0].astype(int) for m in (model, never))
        assert np.abs(drawn - wanted).max() <= 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["both", "both.safetensors", "left", "left.safetensors"]


def test_several_sources_are_summed_in_one_go(sites: Any, tmp_path: Path) -> None:
    folder, images, prompts, _ = sites
    call(f"fit {folder / 'a'} {folder / 'b.npz'} -o new/both.safetensors", tmp_path)
    found, whole = Moments.load(tmp_path / "new" / "both.safetensors"), Moments.fit(images, prompts)
    assert_array_equal(found.counts, whole.counts)
    assert_allclose(found.scatter, whole.scatter, rtol=1e-10, atol=1e-6)
    assert found.image == whole.image


def test_images_are_read_in_batches(here: Path, sites: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Floats, whose batches alone would have other ranges and spans than all of them have."""
    images = np.sort(sites[1].reshape(600, -1) / 100.0, axis=0).reshape(600, 8, 8)  # the darkest first
    np.savez(here / "f.npz", images=images, prompts=sites[2])
    monkeypatch.setattr("linear_diffusion.datasets.stream.BATCH_BYTES", 20_000)
    with pytest.warns(UserWarning, match="no range that is evident"):
        whole = Moments.fit(images, sites[2])
    result = invoke("fit f.npz -o f.safetensors")
    assert result.exit_code == 0
    assert "f.npz: 600 images of 8 x 8, float64, no range, 10 prompts.\n" in result.stderr
    found = Moments.load(here / "f.safetensors")
    assert found.image == whole.image
    assert_allclose(found.means, whole.means, rtol=1e-10)
    assert_allclose(found.scatter, whole.scatter, rtol=1e-10, atol=1e-9)


def test_info_says_what_they_are_of(here: Path, sites: Any) -> None:
    images = sites[1][~sites[3]]
    text = invoke("info a.safetensors").stdout
    for word in ("8 x 8, uint8, range 0 to 255, 9 prompts", "'0 ", "mean", "deviation", "bytes"):
        assert word in text
    record = json.loads(invoke("info a.safetensors --json").stdout)
    assert record["file_bytes"] == (here / "a.safetensors").stat().st_size
    assert sum(record["prompts"].values()) == record["n_images"] == len(images)
    assert_allclose([record["mean"], record["deviation"]], [images.mean(), images.std()])


def test_floats_have_the_range_that_is_said(here: Path, sites: Any) -> None:
    np.savez(here / "f.npz", images=sites[1] / 300.0, prompts=sites[2])
    assert invoke("fit f.npz -o f.safetensors --pixel-range 0 2").exit_code == 0
    assert invoke("fit f.npz -o g.safetensors").exit_code == 0
    assert Moments.load(here / "f.safetensors").image.pixel_range == (0.0, 2.0)
    words = "g.safetensors: ", "pixel_range=(0.0, 2.0) here and pixel_range=(0.0, 1.0) there"
    require_refusal("merge f.safetensors g.safetensors -o h.safetensors", *words)
    require_refusal("fit f.npz -o h.safetensors --pixel-range 0 0.5", "--pixel-range", "does not hold")
    assert not (here / "h.safetensors").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("merge a.safetensors b.safetensors -o a.safetensors", ["would overwrite a.safetensors"]),
        ("remove a.safetensors b.safetensors -o link.safetensors", ["would overwrite b.safetensors"]),
        ("merge a.safetensors link.safetensors b.safetensors -o c.safetensors", ["b.safetensors is link.safetensors"]),
        ("remove a.safetensors a.safetensors -o c.safetensors", ["is a.safetensors, which would count twice"]),
        ("remove a.safetensors b.safetensors -o c.safetensors", ["b.safetensors: cannot subtract", "prompt '9'"]),
        ("remove b.safetensors copy.safetensors -o c.safetensors", ["nothing is left of b.safetensors"]),
        ("merge a.safetensors cut.safetensors -o c.safetensors", ["cut.safetensors"]),
        ("merge a.safetensors none.safetensors -o c.safetensors", ["none.safetensors does not exist"]),
        ("merge a.safetensors b.safetensors -o c.npz", ["c.npz ends in none of .safetensors"]),
        ("fit digits -o c.safetensors --size 0", ["size"]),
        ("fit nothing -o c.safetensors", ["neither a path that exists nor a known name"]),
        ("model a.safetensors -o c --latent-dim many", ["--latent-dim many is no number"]),
        ("model a.safetensors -o c --latent-dim 0", ["--latent-dim", "0"]),
        ("model cut.safetensors -o c", ["cut.safetensors"]),
        ("model old.safetensors -o c", ["do not say what images look like"]),
        ("model a.safetensors -o full", ["full exists and is not a model"]),
        ("info cut.safetensors", ["cut.safetensors"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(here: Path, line: str, words: list[str]) -> None:
    content = (here / "b.safetensors").read_bytes()
    (here / "copy.safetensors").write_bytes(content)
    (here / "cut.safetensors").write_bytes(content[:-1])
    os.link(here / "b.safetensors", here / "link.safetensors")
    Moments.of(np.ones((3, 4)), np.zeros(3, int), np.array(["a"])).save(here / "old.safetensors")
    (here / "full").mkdir()
    (here / "full" / "file").touch()
    before = {path: path.is_file() and path.read_bytes() for path in here.rglob("*")}
    require_refusal(line, *words)
    assert {path: path.is_file() and path.read_bytes() for path in here.rglob("*")} == before


def test_an_input_is_overwritten_where_that_is_asked_for(here: Path) -> None:
    counts = Moments.load(here / "a.safetensors").counts
    assert invoke("merge a.safetensors b.safetensors -o a.safetensors --overwrite").exit_code == 0
    assert Moments.load(here / "a.safetensors").counts.sum() == 600
    assert invoke("remove a.safetensors b.safetensors -o a.safetensors --overwrite").exit_code == 0
    assert_array_equal(Moments.load(here / "a.safetensors").counts, counts)


def test_lost_digits_are_a_warning_in_one_line(here: Path) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("small", 1e-6), ("large", 1.0)):
        Moments.fit(size * rng.random((50, 4, 4)), pixel_range=(0, 1)).save(here / f"{name}.safetensors")
    assert invoke("merge small.safetensors large.safetensors -o both.safetensors").exit_code == 0
    result = invoke("remove both.safetensors large.safetensors -o left.safetensors")
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: about 4 of 16 digits are left of the moments of prompt ''")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("command", SUBCOMMANDS)
def test_each_help_is_narrow_and_has_an_example_that_is_real(command: str) -> None:
    result = invoke(f"{command} --help")
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    words = result.stdout.split("Example: linear-diffusion moments ")[1]
    assert words.startswith(command)
    assert "No such option" not in invoke(f"{words} --help").output


def test_alone_it_shows_its_help() -> None:
    result = invoke("")
    assert result.exit_code == 0
    assert all(f"  {command} " in result.stdout for command in SUBCOMMANDS)
