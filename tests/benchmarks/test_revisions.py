"""A worker of the script that compares revisions: which files run, and what it finds on small images."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import linear_diffusion
from linear_diffusion import load_images, pictures

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PACKAGE = Path(linear_diffusion.__file__).parent
pytest.importorskip("threadpoolctl")


@pytest.fixture(scope="module")
def revisions() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("revisions")


def test_a_file_runs_if_a_function_of_it_does(revisions: ModuleType) -> None:
    found = revisions.files_that_run(lambda: pictures.grid(np.zeros((1, 8, 8), np.uint8)))
    assert PACKAGE / "pictures.py" in found and PACKAGE / "model.py" not in found


def test_a_worker_says_how_much_runs(tmp_path: Path) -> None:
    X, y = load_images("digits")
    np.savez(tmp_path / "MNIST.npz", X[:200], y[:200], X[:20], y[:20])
    command = [sys.executable, "-W", "ignore", BENCHMARKS / "revisions.py", "before", "--worker", "size", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    found = json.loads(out)
    assert found.pop("package") == str(PACKAGE)
    whole = found["lines without datasets, evaluation, apps"]
    ran = [n for figure, n in found.items() if "that run" in figure]
    assert len(ran) == 3 and found["lines of the longest module"] < min(ran) and max(ran) < whole
