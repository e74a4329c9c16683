"""The command works on the workers of a scheduler's address: all of them are processes of their own."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from typer.testing import CliRunner

from linear_diffusion import LinearDiffusion, load_images
from linear_diffusion.apps.cli import app
from linear_diffusion.cluster.workers import workers

pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a scheduler process with a worker process."""
    folder = tmp_path_factory.mktemp("dask")
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    dask = [sys.executable, "-m", "dask"]
    file = folder / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    started = [subprocess.Popen([*dask, "scheduler", *options], **quiet)]
    started.append(
        subprocess.Popen([*dask, "worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-dashboard"], **quiet)
    )
    while not file.exists() or not (found := re.search(r"tcp://[\d.:]+", file.read_text())):
        assert started[0].poll() is None
        time.sleep(0.05)
    yield found[0]
    for process in reversed(started):
        process.terminate()
        process.wait()


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "linear_diffusion", *arguments], capture_output=True, text=True, env=os.environ
    )


def test_fit_and_sample_on_a_scheduler(address: str, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    model, out = str(tmp_path / "model"), str(tmp_path / "out.zarr")
    done = command("fit", "digits", "-o", model, "--styles", "3", "--latent-dim", "20", "--scheduler", address)
    assert done.returncode == 0, done.stderr
    assert "read on 1 worker." in done.stderr
    expected = LinearDiffusion(styles=3, latent_dim=20, random_state=0).fit(*load_images("digits"))
    found = LinearDiffusion.from_pretrained(model)
    assert_array_equal(found.sample(100, random_state=1)[0], expected.sample(100, random_state=1)[0])
    done = command("sample", model, "3", "8", "-n", "50", "-o", out, "--seed", "1", "--scheduler", address)
    assert done.returncode == 0, done.stderr
    images, prompts = next(iter(load_images(out, stream=True)))
    assert prompts.tolist() == ["3"] * 50 + ["8"] * 50
    assert_array_equal(images, expected.sample(prompts=prompts, random_state=1)[0])


def test_an_address_where_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("linear_diffusion.cluster.workers._WAIT", 1)
    for arguments in (["fit", "digits"], ["sample", saved(tmp_path)]):
        out = str(tmp_path / "new.zarr") if arguments[0] == "sample" else str(tmp_path / "new")
        done = CliRunner().invoke(app, [*arguments, "-o", out, "--scheduler", "tcp://127.0.0.1:1"])
        assert done.exit_code == 2
        assert "no Dask scheduler answers at 'tcp://127.0.0.1:1' (tried for 1 s); start one with" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def saved(folder: Path) -> str:
    """A small model in a folder."""
    LinearDiffusion(styles=1, latent_dim=2).fit(np.eye(4).reshape(4, 2, 2)).save_pretrained(folder / "model")
    return str(folder / "model")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit digits -o x --scheduler moon", "--scheduler moon must be a distributed.Client, the address of"),
        ("fit digits -o x --scheduler threads --one-shot", "--scheduler does not go with --one-shot"),
        ("sample MODEL -o x.png --scheduler threads", "--scheduler is for many samples: choose an --out of .npz"),
        ("sample MODEL -o x.jpg", "x.jpg ends in none of .png, .npz, .parquet, .zarr"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: str, message: str
) -> None:
    model = saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, [model if word == "MODEL" else word for word in arguments.split()])
    assert done.exit_code == 2
    assert message in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("theirs", "message"), [("0.0.1", "has linear-diffusion 0.0.1, and"), (None, "does not have")])
def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, theirs: str | None, message: str) -> None:
    """Workers are threads here, which ask the same functions after this process has."""
    from distributed import Client

    with Client(processes=False, n_workers=1, dashboard_address=":0", set_as_default=False) as client:
        versions = iter(["9", theirs, theirs])
        asked: list[str | None] = []

        def find_spec(name: str) -> object:
            asked.append(next(versions))
            return asked[-1]

        monkeypatch.setattr("importlib.util.find_spec", find_spec)
        monkeypatch.setattr("importlib.metadata.version", lambda name: asked[-1])
        expected = f"the Dask scheduler at .* {message}.* 9; install the same version"
        with pytest.raises(ValueError, match=expected), workers(client):
            pass
    assert np.size(asked) == 3
