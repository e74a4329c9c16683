"""The command fits what is too large, and goes on after it was killed: real processes on real files."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.testing import assert_array_equal

from linear_diffusion import LinearDiffusion, load_images

RUN = [sys.executable, "-m", "linear_diffusion"]


def same(one: Path, other: Path) -> None:
    a, b = (LinearDiffusion.from_pretrained(folder) for folder in (one, other))
    assert_array_equal(a.means_, b.means_)
    assert_array_equal(a.sample(50, random_state=0)[0], b.sample(50, random_state=0)[0])


def test_a_killed_fit_goes_on_and_gives_the_same_model(tmp_path: Path) -> None:
    X, y = load_images("digits")
    data, sums = tmp_path / "digits.npz", tmp_path / "sums"
    np.savez(data, images=np.concatenate([X] * 12), prompts=np.concatenate([y] * 12))
    command = [*RUN, "fit", str(data), "--latent-dim", "40", "--styles", "30"]
    whole, again = tmp_path / "whole", tmp_path / "again"
    subprocess.run([*command, "--stream", "-o", str(whole)], check=True, capture_output=True)
    resumed = [*command, "--checkpoint", str(sums), "-o", str(again), "--json"]
    with subprocess.Popen(resumed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list(sums.glob("*-done.sums")) and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.005)
        process.kill()
    assert list(sums.glob("*-done.sums")) and not again.exists()
    found = subprocess.run(resumed, check=True, capture_output=True, text=True)
    assert json.loads(found.stdout)["streamed"] is True
    same(whole, again)
    assert not list(sums.iterdir())


def test_checkpoints_and_workers_exclude_each_other(tmp_path: Path) -> None:
    command = [
        *RUN,
        "fit",
        "digits",
        "-o",
        str(tmp_path / "m"),
        "--checkpoint",
        str(tmp_path),
        "--scheduler",
        "threads",
    ]
    found = subprocess.run(command, capture_output=True, text=True)
    assert found.returncode == 2 and "--checkpoint goes with one process" in found.stderr
