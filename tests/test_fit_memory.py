"""The memory that fit says it needs is what it takes: the peak of a process of its own, with two threads as on CI."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SERVER = """
import ctypes
import os
import re
import sys
import warnings
from pathlib import Path

import numpy as np

from linear_diffusion import LinearDiffusion
from linear_diffusion.fit import encoder
from linear_diffusion.exceptions import NotEnoughMemoryError

warnings.simplefilter("ignore")


def megabytes(name):
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def images(n, *shape, dtype=np.uint8):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 128, (n, *shape), np.uint8)
    X += rng.integers(0, 128, (n, *[1] * len(shape)), np.uint8)
    return X if dtype == np.uint8 else X / dtype(255)


def words(n, several):
    return [" ".join("abcdef"[i] for i in range(several) if j >> i & 1) or "none" for j in range(n)]


def peak(model, X, y):
    encoder.available_memory = lambda: 1
    try:
        model.fit(X, y)
    except NotEnoughMemoryError as error:
        number, unit = re.search(r"needs about ([0-9.,]+) (.B)", str(error)).groups()
        needed = float(number.replace(",", "")) * {"kB": 1e-3, "MB": 1, "GB": 1e3}[unit]
    encoder.available_memory = lambda: None
    getattr(ctypes.CDLL(None), "malloc_trim", int)(0)  # what is free is given back
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmRSS")
    model.fit(X, y)
    return needed, megabytes("VmHWM") - before


LinearDiffusion(latent_dim=5).fit(images(60, 6, 6))  # what is imported late
for case in sys.stdin:
    if os.fork():
        if os.wait()[1]:
            print("failed", flush=True)
    else:
        print(*peak(*eval(case)), flush=True)
        os._exit(0)
"""

CASES = {
    "one Gaussian": "LinearDiffusion(styles=1), images(20_000, 28, 28), None",
    "doubles": "LinearDiffusion(styles=1, latent_dim=100), images(1500, 28, 28, dtype=float), None",
    "many prompts": "LinearDiffusion(styles=1, latent_dim=100), images(2000, 16, 16), np.arange(2000) % 100",
    "fewer images than pixels": "LinearDiffusion(styles=1), images(500, 28, 28), np.arange(500) % 20",
    "few large images": "LinearDiffusion(styles=1), images(300, 64, 64, 3), np.arange(300) % 3",
    "many large images": "LinearDiffusion(styles=1, latent_dim=20), images(4100, 38, 38, 3), None",
    "styles": "LinearDiffusion(latent_dim=144), images(600, 28, 28), np.arange(600) % 3",
    "styles of large images": "LinearDiffusion(), images(150, 48, 48, 3), np.arange(150) % 2",
    "many prompts with styles": "LinearDiffusion(latent_dim=60), images(2000, 16, 16), np.arange(2000) % 400",
    "very many prompts with styles": "LinearDiffusion(latent_dim=60), images(6000, 12, 12), np.arange(6000) % 3000",
    "very many prompts of one Gaussian": "LinearDiffusion(styles=1, latent_dim=120), images(20_000, 12, 12), "
    "np.arange(20_000) % 10_000",
    "styles of doubles": "LinearDiffusion(latent_dim=200), images(3000, 20, 20, dtype=float), np.arange(3000) % 3",
    "styles of many images": "LinearDiffusion(latent_dim=100), images(30_000, 14, 14), np.arange(30_000) % 10",
    "words": "LinearDiffusion(text_encoder='words', latent_dim=300), images(1000, 20, 20), words(1000, 4)",
    "noise drawn": "LinearDiffusion(training='sampled', styles=1, latent_dim=150), images(1000, 20, 20), "
    "np.arange(1000) % 20",
}


@pytest.fixture(scope="module")
def peak_of() -> Iterator[Callable[[str], tuple[float, float]]]:
    """``case -> megabytes said, megabytes taken``, of a fork of one process that has imported all."""
    command, environment = [sys.executable, "-c", SERVER], {"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=os.environ | environment) as server:

        def ask(case: str) -> tuple[float, float]:
            print(case, file=server.stdin, flush=True)
            said, taken = map(float, server.stdout.readline().split())
            return said, taken

        yield ask
        server.stdin.close()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
@pytest.mark.parametrize("case", CASES)
def test_fit_takes_the_memory_that_it_says(case: str, peak_of: Callable[[str], tuple[float, float]]) -> None:
    said, taken = peak_of(CASES[case])
    assert taken / 1.5 < said < 1.5 * taken, f"{said} MB were said, {taken} MB taken"
