"""The command evaluate: which images are held out, what it says, and what it refuses."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from linear_diffusion import LinearDiffusion, load_images
from linear_diffusion.apps.cli import app
from linear_diffusion.evaluation.splits import split


@pytest.fixture(scope="module", autouse=True)
def quick():
    """Judges that are trained for a tenth of the time, where the command runs in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linear_diffusion.evaluation.features._STEPS", 150)
        yield


def invoke(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of the first 300 digits, these digits, and 100 others."""
    folder = tmp_path_factory.mktemp("evaluate")
    images, prompts = load_images("digits")
    np.savez(folder / "train.npz", images=images[:300], prompts=prompts[:300])
    np.savez(folder / "test.npz", images=images[300:400], prompts=prompts[300:400])
    LinearDiffusion(styles=1, latent_dim=10).fit(images[:300], prompts[:300]).save_pretrained(folder / "model")
    return folder


def run_json(*args):
    result = invoke("evaluate", *args, "--json")
    assert result.exit_code == 0, result.output
    assert [line for line in result.stderr.splitlines() if "will be resized" not in line] == []
    return json.loads(result.stdout)


def test_help_is_narrow_light_and_has_an_example():
    result = invoke("evaluate", "--help")
    assert result.exit_code == 0
    assert "Example: linear-diffusion evaluate" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    code = (
        "import sys; from linear_diffusion.apps.cli import app\n"
        "try: app(['evaluate', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'scipy', 'sklearn', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_train_and_test_of_the_user(folder, tmp_path):
    out = tmp_path / "new" / "report.html"
    args = ("evaluate", folder / "model", folder / "train.npz", "--test", folder / "test.npz", "-n", 60, "-o", out)
    done = invoke(*args)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert "WARNING" not in done.stdout
    assert "--refit" not in done.stdout
    for words in ("Fréchet distance", "told from real images", "10 images per prompt", str(out), "Held out: "):
        assert words in done.stdout
    assert out.read_text(encoding="utf-8").count("<img") == 3
    assert [p.name for p in out.parent.iterdir()] == ["report.html"]


def test_a_share_by_seed_is_held_out_and_seen_images_are_spoken_of(folder, tmp_path):
    out = tmp_path / "report.html"
    record = run_json(folder / "model", folder / "train.npz", "-n", 60, "-o", out)
    assert record["held_out"] == f"0.2 of {folder / 'train.npz'}, by seed 0"
    assert (record["settings"]["n_train"], record["settings"]["n_test"]) == (240, 60)
    assert "fitted on all 300 images, the held-out ones among them" in record["warnings"][0]
    assert {"load", "judges", "memorisation", "write"} < set(record["seconds"])
    text = invoke("evaluate", folder / "model", folder / "train.npz", "-n", 8, "--test-share", 0.3, "-o", out).stdout
    assert "WARNING: the model was fitted on all 300 images" in text
    assert "With --refit, a model of the same settings" in text


def test_refit_scores_a_model_that_has_not_seen_the_held_out_images(folder, tmp_path):
    out = tmp_path / "report.html"
    record = run_json(folder / "model", folder / "train.npz", "-n", 60, "-o", out, "--refit", "--seed", 3)
    assert record["warnings"] == []
    assert record["refitted"] is True
    assert record["settings"]["random_state"] == 3
    from linear_diffusion.evaluation.run import evaluate

    images, prompts = load_images(folder / "train.npz", random_state=3)
    rest, part = split(prompts, 0.2, 3)
    model = LinearDiffusion(styles=1, latent_dim=10).fit(images[rest], prompts[rest])
    expected = evaluate(
        model, (images[rest], prompts[rest]), (images[part], prompts[part]), n_samples=60, random_state=3
    )
    assert record["figures"]["frechet_distance"] == expected.to_dict()["figures"]["frechet_distance"]


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.write_bytes(gzip.compress(head + array.tobytes()))


def test_a_data_set_of_two_parts_holds_out_its_own(folder, tmp_path):
    images, prompts = load_images("digits")
    (tmp_path / "mnist").mkdir()
    for name, part in (("train", slice(0, 300)), ("t10k", slice(300, 400))):
        write_idx(tmp_path / "mnist" / f"{name}-images-idx3-ubyte.gz", np.ascontiguousarray(images[part]))
        write_idx(tmp_path / "mnist" / f"{name}-labels-idx1-ubyte.gz", prompts[part].astype(np.uint8))
    LinearDiffusion(styles=1, latent_dim=10).fit(images[:300], prompts[:300]).save_pretrained(tmp_path / "model")
    args = (tmp_path / "model", tmp_path / "mnist", "-n", 30, "-o", tmp_path / "a.html")
    record = run_json(*args)
    assert record["held_out"] == f"the test split of {tmp_path / 'mnist'}"
    assert (record["settings"]["n_train"], record["settings"]["n_test"], record["warnings"]) == (300, 100, [])
    assert run_json(*args, "--test-share", "0.1")["settings"]["n_test"] == 30


def test_a_folder_of_parts_holds_out_its_own(folder, tmp_path):
    images, prompts = load_images("digits")
    for i in range(400):
        path = tmp_path / "data" / ("train" if i < 300 else "val") / prompts[i] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(path)
    args = (folder / "model", tmp_path / "data", "-n", 30, "-o", tmp_path / "a.html")
    record = run_json(*args)
    assert record["held_out"] == f"the validation split of {tmp_path / 'data'}"
    assert (record["settings"]["n_train"], record["settings"]["n_test"], record["warnings"]) == (300, 100, [])


def test_images_are_read_as_the_model_was_fitted_on_them(tmp_path):
    rng = np.random.default_rng(0)
    for prompt in ("cat", "dog"):
        (tmp_path / "data" / prompt).mkdir(parents=True)
        for i in range(20):
            pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / prompt / f"{i}.png")
    fitted = invoke("fit", tmp_path / "data", "-o", tmp_path / "model", "--size", "6x5", "--gray")
    assert fitted.exit_code == 0, fitted.output
    args = (tmp_path / "model", tmp_path / "data", "-n", 20, "-o", tmp_path / "a.html")
    record = run_json(*args)
    assert record["settings"]["image_shape"] == [6, 5]
    assert record["figures"] == run_json(*args, "--size", "6x5", "--gray")["figures"]
    result = invoke("evaluate", *args, "--rgb")
    assert result.exit_code == 2
    assert "train has images of shape (6, 5, 3); the model makes (6, 5)" in result.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("MODEL TRAIN -o report.png", ["report.png", ".html"]),
        ("MODEL TRAIN -o folder.html", ["folder.html is a folder"]),
        ("MODEL TRAIN -o file/a.html", ["file is a file"]),
        ("MODEL TRAIN --gray --rgb", ["--gray and --rgb"]),
        ("MODEL TRAIN --test TEST --test-share 0.2", ["--test and --test-share"]),
        ("MODEL TRAIN --test-share 1.5", ["--test-share 1.5"]),
        ("MODEL TRAIN --size ten", ["--size ten"]),
        ("MODEL TRAIN --inception nothing.pt", ["nothing.pt", "no such file", "inception-2015-12-05.pt"]),
        ("MODEL TRAIN -n 0", ["-n", "evaluate --help"]),
        ("MODEL", ["DATA", "evaluate --help"]),
        ("nothing TRAIN", ["nothing holds no model"]),
        ("MODEL nothing", ["nothing", "mnist-5k"]),
        ("MODEL TRAIN --test nothing", ["nothing", "mnist-5k"]),
        ("MODEL TRAIN --size 4", ["train has images of shape (4, 4)", "(8, 8)"]),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(folder, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    Path("folder.html").mkdir()
    before = sorted(tmp_path.rglob("*"))
    names = {"MODEL": folder / "model", "TRAIN": folder / "train.npz", "TEST": folder / "test.npz"}
    result = invoke("evaluate", *(names.get(a, a) for a in args.split()))
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *notes, error = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert all("will be resized" in line for line in notes)
    for word in words:
        assert word in result.stderr
    assert sorted(tmp_path.rglob("*")) == before
