"""MNIST and Fashion-MNIST: where they are looked for, in which order, and what is said when there is no way."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.datasets

from linear_diffusion.datasets import load_images, openml
from linear_diffusion.datasets.idx import load_idx

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
DEBIAN = Path("/usr/share/datasets")
CLOTHES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag"] + ["Ankle boot"]

needs_mnist = pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason=f"the full MNIST is not in {SHARED / 'mnist'}")
needs_fashion = pytest.mark.skipif(
    not (DEBIAN / "fashion-mnist").is_dir(), reason="Debian's dataset-fashion-mnist is not installed"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet."""
    monkeypatch.setenv("LINEAR_DIFFUSION_CACHE", str(tmp_path / "new" / "cache"))
    return tmp_path / "new" / "cache"


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """OpenML answers, with row i full of i % 251 and labelled i % 10; the calls are listed."""
    calls: list[dict[str, object]] = []
    rows = np.arange(70_000)

    def fetch_openml(**options: object) -> SimpleNamespace:
        calls.append(options | {"timeout": socket.getdefaulttimeout()})
        data = np.repeat((rows % 251).astype(np.uint8)[:, None], 784, axis=1)
        return SimpleNamespace(data=data, target=(rows % 10).astype(str).astype(object))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)
    return calls


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any fetch fails at once."""

    def fetch_openml(**options: object) -> None:
        raise OSError("no\nnetwork")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch_openml)


def two_images(folder: Path, write_idx: Callable, value: int = 7) -> Path:
    """Training files of two images full of `value`, labelled 0 and 9."""
    write_idx(folder / "train-images-idx3-ubyte", np.full((2, 4, 4), value, np.uint8))
    write_idx(folder / "train-labels-idx1-ubyte.gz", np.array([0, 9], np.uint8))
    return folder


@needs_mnist
def test_the_full_mnist() -> None:
    images, prompts = load_images("mnist", data_dir=SHARED)
    assert images.shape == (60_000, 28, 28)
    assert images.dtype == np.uint8
    # The counts and the mean of the training set, as published.
    labels, counts = np.unique(prompts, return_counts=True)
    assert labels.tolist() == list("0123456789")
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    # The pictures kept their labels: each class mean is what the files say.
    files, numbers = load_idx(SHARED / "mnist")
    for digit in range(10):
        np.testing.assert_array_equal(
            images[prompts == str(digit)].sum(axis=0, dtype=np.int64),
            files[numbers == digit].sum(axis=0, dtype=np.int64),
        )


@needs_mnist
def test_the_full_mnist_as_a_path_is_the_same() -> None:
    named, from_path = load_images("mnist", data_dir=SHARED, split="test"), load_images(SHARED / "mnist", split="test")
    np.testing.assert_array_equal(named[0], from_path[0])
    np.testing.assert_array_equal(named[1], from_path[1])
    assert len(named[0]) == 10_000


@needs_fashion
def test_debians_fashion_mnist() -> None:
    images, prompts = load_images("fashion-mnist", split="test", data_dir=DEBIAN)
    numbered = load_images(DEBIAN / "fashion-mnist", split="test")
    np.testing.assert_array_equal(images, numbered[0])
    assert prompts.tolist() == [CLOTHES[int(number)] for number in numbered[1]]
    assert np.unique(prompts, return_counts=True)[1].tolist() == [1000] * 10


@pytest.mark.parametrize(("name", "prompts"), [("mnist", {"0", "9"}), ("fashion-mnist", {"T-shirt/top", "Ankle boot"})])
def test_data_dir_directly_or_in_a_subfolder(
    name: str, prompts: set[str], tmp_path: Path, write_idx: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = two_images(tmp_path / "data", write_idx, value=1)
    images, found = load_images(name, data_dir=folder)
    assert images.tolist() == np.full((2, 4, 4), 1).tolist()
    assert set(found) == prompts
    two_images(folder / name, write_idx, value=2)  # the subfolder says which set it is, and goes first
    assert load_images(name, data_dir=folder)[0].max() == 2
    monkeypatch.setenv("LINEAR_DIFFUSION_DATA", str(folder))
    assert load_images(name)[0].max() == 2
    two_images(tmp_path / "other", write_idx, value=3)
    assert load_images(name, data_dir=tmp_path / "other")[0].max() == 3  # the argument before the variable


def test_a_folder_called_mnist_does_not_pass_for_fashion(
    tmp_path: Path, write_idx: Callable, fetched: list, cache: Path
) -> None:
    two_images(tmp_path / "mnist", write_idx)
    assert len(load_images("fashion-mnist", data_dir=tmp_path / "mnist")[0]) == 60_000
    assert len(fetched) == 1


def test_a_data_dir_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises_line: Callable) -> None:
    with raises_line("data_dir", tmp_path / "typo", "not a folder"):
        load_images("mnist", data_dir=tmp_path / "typo")
    monkeypatch.setenv("LINEAR_DIFFUSION_DATA", str(tmp_path / "typo"))
    with raises_line("LINEAR_DIFFUSION_DATA", tmp_path / "typo"):
        load_images("mnist")


def test_a_label_beyond_nine_is_refused(tmp_path: Path, write_idx: Callable, raises_line: Callable) -> None:
    two_images(tmp_path, write_idx)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.array([0, 10], np.uint8))
    with raises_line(tmp_path, "label 10"):
        load_images("mnist", data_dir=tmp_path)


def test_a_failed_fetch_leaves_nothing(cache: Path, unreachable: None) -> None:
    with pytest.raises(ValueError, match="could not be reached"):
        load_images("fashion-mnist")
    assert not cache.exists()


def test_openml_is_asked_once(fetched: list, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openml, "_TIMEOUT", 5.5)
    before = socket.getdefaulttimeout()
    first = load_images("fashion-mnist", split="all")
    assert [call["data_id"] for call in fetched] == [40996]
    assert fetched[0]["timeout"] == 5.5  # no connection may hang ...
    assert socket.getdefaulttimeout() == before  # ... and nobody else's is touched
    assert [path.name for path in cache.iterdir()] == ["fashion-mnist.npz"]
    second = load_images("fashion-mnist", split="all")
    assert len(fetched) == 1
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    assert set(first[1]) == set(CLOTHES)

    # The split is where OpenML's is: rows 0..59999 are training.
    train, test = (load_images("fashion-mnist", split=split) for split in ("train", "test"))
    np.testing.assert_array_equal(np.sort(train[0][:, 0, 0]), np.sort(np.arange(60_000) % 251))
    np.testing.assert_array_equal(np.sort(test[0][:, 0, 0]), np.sort(np.arange(60_000, 70_000) % 251))


def test_both_routes_give_one_order(fetched: list, cache: Path, tmp_path: Path, write_idx: Callable) -> None:
    rows = np.arange(60_000)
    write_idx(
        tmp_path / "train-images-idx3-ubyte",
        np.broadcast_to((rows % 251).astype(np.uint8)[:, None, None], (60_000, 28, 28)),
    )
    write_idx(tmp_path / "train-labels-idx1-ubyte", (rows % 10).astype(np.uint8))
    from_files, from_openml = load_images("mnist", data_dir=tmp_path), load_images("mnist")
    assert len(fetched) == 1
    np.testing.assert_array_equal(from_files[0], from_openml[0])
    np.testing.assert_array_equal(from_files[1], from_openml[1])


def test_a_cache_that_cannot_be_written_only_warns(
    fetched: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LINEAR_DIFFUSION_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="not cached"):
        images, _ = load_images("mnist")
    assert len(images) == 60_000


@pytest.mark.parametrize("content", [b"", b"not a zip", "short arrays", "no labels", "objects"])
def test_a_damaged_cache_is_named(content: bytes | str, cache: Path, raises_line: Callable) -> None:
    cache.mkdir(parents=True)
    path, images = cache / "mnist.npz", np.zeros((3, 28, 28), np.uint8)
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "short arrays":
        np.savez(path, images=images, labels=np.zeros(3, np.uint8))
    elif content == "no labels":
        np.savez(path, images=images)
    else:
        np.savez(path, images=images, labels=np.array([{}, 1, 2], dtype=object))
    with raises_line(path, "delete it"):
        load_images("mnist")


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINEAR_DIFFUSION_CACHE", "/a")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    monkeypatch.setenv("HOME", "/c")
    assert openml.cache_folder() == Path("/a")
    monkeypatch.delenv("LINEAR_DIFFUSION_CACHE")
    assert openml.cache_folder() == Path("/b/linear-diffusion")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert openml.cache_folder() == Path("/c/.cache/linear-diffusion")


def test_openml_that_changed_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch, raises_line: Callable) -> None:
    answer = SimpleNamespace(data=np.zeros((10, 784)), target=np.zeros(10, dtype=object))
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **options: answer)
    with raises_line("mnist from OpenML", "(10, 28, 28)"):
        load_images("mnist")
    assert not cache.exists()


def test_no_network_is_one_line_with_the_ways_out(unreachable: None, cache: Path, raises_line: Callable) -> None:
    with raises_line(
        "mnist", "could not be reached", "no network", "--data-dir", "LINEAR_DIFFUSION_DATA", "'mnist-5k'"
    ):
        load_images("mnist")


def test_a_real_call_without_network_fails_soon_and_quietly(tmp_path: Path) -> None:
    code = (
        "from linear_diffusion.datasets import load_images\n"
        "from linear_diffusion.exceptions import DataError\n"
        "try: load_images('mnist')\n"
        "except DataError as error: print(error)"
    )
    proxy = {f"{scheme}_proxy": "http://127.0.0.1:9" for scheme in ("http", "https")}  # nobody listens there
    settings = {"LINEAR_DIFFUSION_CACHE": str(tmp_path), "no_proxy": ""}
    environment = os.environ | proxy | settings
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=25, env=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("\n") == 1
    assert "OpenML could not be reached" in run.stdout
    assert "'mnist-5k'" in run.stdout


def test_a_pipe_in_the_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises_line: Callable) -> None:
    monkeypatch.setenv("LINEAR_DIFFUSION_CACHE", str(tmp_path))
    os.mkfifo(tmp_path / "mnist.npz")
    with raises_line(tmp_path / "mnist.npz", "not a regular file"):
        load_images("mnist")


def test_a_home_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, raises_line: Callable) -> None:
    monkeypatch.setenv("LINEAR_DIFFUSION_CACHE", "~nosuch/cache")
    with raises_line("no home folder for ~nosuch/cache", "LINEAR_DIFFUSION_CACHE"):
        load_images("mnist")
    with raises_line("data_dir is '~nosuch'", "not a folder"):
        load_images("mnist", data_dir="~nosuch")
