"""The commands score, classify and restore: what they write, print and refuse."""

import csv
import json
import os

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from typer.testing import CliRunner

from linear_diffusion import LinearDiffusion, operators
from linear_diffusion.apps.cli import app


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, grey):
    """A model of grey digits, a folder of four of them by prompt, a mask, and small and noisy copies."""
    root = tmp_path_factory.mktemp("answers")
    images, y = grey
    LinearDiffusion(styles=5, latent_dim=30, random_state=0).fit(images[100:], y[100:]).save_pretrained(root / "model")
    small = operators.downsample(2)(images[:4])
    for i in range(4):
        (root / "in" / str(y[i])).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(root / "in" / str(y[i]) / f"{i}.png")
        (root / "small").mkdir(exist_ok=True)
        Image.fromarray(small[i]).save(root / "small" / f"{i}.png")
    mask = np.zeros((8, 8), np.uint8)
    mask[3:6, 3:6] = 255
    Image.fromarray(mask).save(root / "mask.png")
    return root


def test_score_says_how_likely_each_file_is(folder, tmp_path, grey):
    out = tmp_path / "new" / "scores.csv"
    out.parent.mkdir()
    done = invoke("score", folder / "model", folder / "in", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    rows = list(csv.DictReader(out.open()))
    model = LinearDiffusion.from_pretrained(folder / "model")
    expected = model.score_samples(grey[0][:4])
    assert [row["image"] for row in rows] == ["0/0.png", "1/1.png", "2/2.png", "3/3.png"]
    assert np.allclose([float(row["log_density"]) for row in rows], expected, atol=1e-3)
    assert np.isclose(record["log_density"], expected.mean())
    assert np.isclose(record["bits_per_dim"], model.bits_per_dim(grey[0][:4], random_state=0).mean())
    assert "bits per pixel" in invoke("score", folder / "model", folder / "in").stdout


def test_classify_reads_prompts(folder, tmp_path, grey):
    out = tmp_path / "found.csv"
    done = invoke("classify", folder / "model", folder / "in", "-o", out, "--json")
    assert done.exit_code == 0, done.output
    rows, record = list(csv.DictReader(out.open())), json.loads(done.stdout)
    found = LinearDiffusion.from_pretrained(folder / "model").predict(grey[0][:4])
    assert [int(row["prompt"]) for row in rows] == found.tolist()
    assert record["accuracy"] == (found == grey[1][:4]).mean()
    alone = invoke("classify", folder / "model", folder / "in" / "0" / "0.png")
    assert alone.stdout.startswith(f"{found[0]} (")


def test_restore_fills_a_hole_in_a_folder_and_draws_a_sheet(folder, tmp_path, grey):
    args = ("--task", "inpaint", "--mask", folder / "mask.png", "--sheet", tmp_path / "sheet.png", "--json")
    done = invoke("restore", folder / "model", folder / "in", tmp_path / "out", *args)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["n_images"] == 4
    mask = np.asarray(Image.open(folder / "mask.png")) > 0
    model = LinearDiffusion.from_pretrained(folder / "model")
    expected = model.restore(grey[0][:4].astype(float), operators.inpaint(mask))
    for i in range(4):
        image = np.asarray(Image.open(tmp_path / "out" / str(grey[1][i]) / f"{i}.png"))
        assert_array_equal(image[~mask], grey[0][i][~mask])
        assert_array_equal(image, np.rint(np.clip(expected[i], 0, 255)))
    assert Image.open(tmp_path / "sheet.png").size[0] > 4 * 80


@pytest.mark.parametrize(
    ("task", "source", "options"),
    [
        ("denoise", "in/0/0.png", ()),
        ("denoise", "in/0/0.png", ("--noise", "20", "--prompt", "0")),
        ("deblur", "in/0/0.png", ("--blur", "0.7")),
        ("super-resolve", "small/0.png", ("--factor", "2")),
    ],
)
def test_every_task_restores_a_file(folder, tmp_path, task, source, options):
    out, sheet = tmp_path / "out.png", tmp_path / "sheet.png"
    done = invoke("restore", folder / "model", folder / source, out, "--task", task, "--sheet", sheet, *options)
    assert done.exit_code == 0, done.output
    assert Image.open(out).size == (8, 8)
    assert sheet.exists()


def test_colour_is_given_to_grey_files(tmp_path, digits):
    images = np.rint(255 * digits[0][..., None] * [1.0, 0.5, 0.2]).astype(np.uint8)
    LinearDiffusion(latent_dim=20).fit(images).save_pretrained(tmp_path / "model")
    Image.fromarray(images[0]).convert("L").save(tmp_path / "grey.png")
    args = ("--task", "colorize", "--sheet", tmp_path / "sheet.png")
    done = invoke("restore", tmp_path / "model", tmp_path / "grey.png", tmp_path / "out.png", *args)
    assert done.exit_code == 0, done.output
    found = np.asarray(Image.open(tmp_path / "out.png")).astype(float)
    assert np.abs(found - images[0]).mean() < 6
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    left = np.flatnonzero((sheet[12] < 255).any(axis=1))[0] + 1
    unsure = sheet[12 + 2 * 90 : 12 + 2 * 90 + 80 : 10, left : left + 80 : 10].astype(int)
    assert np.ptp(unsure, axis=2).max() == 0  # grey
    assert unsure.max() == 255


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--task", "inpaint"), "--task inpaint needs --mask"),
        (("--task", "deblur"), "--task deblur needs --blur"),
        (("--task", "paint"), "must be one of inpaint, denoise"),
        (("--task", "denoise", "--factor", "2"), "--factor belongs to --task super-resolve"),
        (("--task", "super-resolve", "--factor", "3"), "--factor 3 does not divide"),
        (("--task", "inpaint", "--mask", "in/0/0.jpg"), "in/0/0.jpg"),
        (("--task", "denoise", "--crop", "--pad"), "--crop and --pad"),
        (("--task", "denoise", "--sheet", "sheet.txt"), "ends in none of .png"),
    ],
)
def test_what_a_task_lacks_is_said_before_any_work(folder, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(folder)
    result = invoke("restore", "model", "in/0/0.png", tmp_path / "out.png", *args)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("command", ["score", "classify", "restore"])
def test_a_one_shot_model_has_no_density(tmp_path, digits, command):
    images = np.rint(255 * digits[0]).astype(np.uint8)
    LinearDiffusion.one_shot(latent_dim=5).fit(images).save_pretrained(tmp_path / "model")
    Image.fromarray(images[0]).save(tmp_path / "a.png")
    out = (tmp_path / "out.png",) if command == "restore" else ()
    result = invoke(command, tmp_path / "model", tmp_path / "a.png", *out)
    assert result.exit_code == 2
    assert "no density to score, classify or restore by; fit without --one-shot." in result.stderr


def test_files_of_another_size_are_spoken_of(folder, tmp_path):
    Image.new("L", (24, 12)).save(tmp_path / "wide.png")
    for command in ("score", "classify"):
        done = invoke(command, folder / "model", tmp_path / "wide.png")
        assert done.exit_code == 0, done.output
        assert done.stderr == (
            "1 image of 12 x 24 (height x width) will be squashed to 8 x 8; --crop or --pad keeps their shape.\n"
        )
    args = ("restore", folder / "model", tmp_path / "wide.png", tmp_path / "out.png")
    refused = invoke(*args)
    assert refused.exit_code == 2
    assert "12 x 24 (height x width) will be squashed to 8 x 8, as the model's images are" in refused.stderr
    assert "--resize, --crop or --pad" in refused.stderr
    assert not (tmp_path / "out.png").exists()
    for option in ("--resize", "--crop", "--pad"):
        done = invoke(*args, option)
        assert done.exit_code == 0, done.output
        assert done.stderr.startswith("1 image of 12 x 24 (height x width) will be ")
        assert Image.open(tmp_path / "out.png").size == (8, 8)


def test_names_that_are_no_text_are_written_as_they_are(folder, tmp_path):
    name = b"caf\xe9.png"
    try:
        (folder / "small" / "0.png").rename(tmp_path / os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    done = invoke("classify", folder / "model", tmp_path, "-o", tmp_path / "out.csv", "--json")
    (tmp_path / os.fsdecode(name)).rename(folder / "small" / "0.png")
    assert done.exit_code == 0, done.output
    assert name in (tmp_path / "out.csv").read_bytes()
