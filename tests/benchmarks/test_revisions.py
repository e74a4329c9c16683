"""A worker of the script that compares revisions: which files run, and what it finds on small images."""

import importlib
import json
from argparse import ArgumentParser
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import linear_diffusion
from linear_diffusion import load_images, pictures

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PACKAGE = Path(linear_diffusion.__file__).parent
pytest.importorskip("threadpoolctl")
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def revisions() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("revisions")


def test_a_file_runs_if_a_function_of_it_does(revisions: ModuleType) -> None:
    found = revisions.files_that_run(lambda: pictures.grid(np.zeros((1, 8, 8), np.uint8)))
    assert PACKAGE / "pictures" / "__init__.py" in found and PACKAGE / "model" / "__init__.py" not in found


def test_a_worker_says_how_much_runs(revisions: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    X, y = load_images("digits")
    np.savez(tmp_path / "MNIST.npz", X[:200], y[:200], X[:20], y[:20])
    revisions.extend(parser := ArgumentParser())
    revisions.work(parser.parse_args(["before", "--worker", "size", str(tmp_path)]))
    found = json.loads(capsys.readouterr().out)
    assert found.pop("package") == str(PACKAGE)
    whole = found["lines without datasets, evaluation, apps"]
    ran = [n for figure, n in found.items() if "that run" in figure]
    assert len(ran) == 3 and found["lines of the longest module"] < min(ran) and max(ran) < whole
