"""The one way in: names, order, size and mode for every source, and what is refused."""

import ast
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import linear_diffusion.datasets as datasets
from linear_diffusion.datasets import NAMES, load_images
from linear_diffusion.datasets.arrays import fit_images
from linear_diffusion.datasets.embedded import load_digits
from linear_diffusion.datasets.memory import check_fits
from linear_diffusion.exceptions import NotEnoughMemoryError


def test_the_order_is_shuffled_and_fixed() -> None:
    stored, labels = load_digits()
    order = np.random.default_rng(0).permutation(len(stored))
    images, prompts = load_images("digits")
    np.testing.assert_array_equal(images, stored[order])
    np.testing.assert_array_equal(prompts, labels[order])
    np.testing.assert_array_equal(load_images("digits", random_state=np.random.default_rng(0))[0], images)
    other = load_images("digits", random_state=1)
    assert not np.array_equal(other[0], images)
    np.testing.assert_array_equal(np.sort(other[1]), np.sort(prompts))


def test_mnist_5k_is_not_sorted_any_more() -> None:
    _, prompts = load_images("mnist-5k")
    assert all(len(set(fold)) == 10 for fold in prompts.reshape(25, 200))


def test_size_and_mode_apply_to_every_source() -> None:
    images, prompts = load_images("digits")
    small, same = load_images("digits", size=4)
    np.testing.assert_allclose(small, images.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)), atol=1)
    np.testing.assert_array_equal(same, prompts)
    np.testing.assert_array_equal(load_images("digits", mode="RGB")[0], np.repeat(images[..., None], 3, axis=3))
    assert load_images("digits", size=(9, 16), mode="RGB")[0].shape == (1797, 9, 16, 3)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_are_resized_as_bytes_are(dtype: type) -> None:
    rng = np.random.default_rng(0)
    colour = rng.random((5, 8, 6, 3)).astype(dtype)
    small = fit_images(colour, (4, 2), None, name="x")
    assert small.dtype == dtype
    np.testing.assert_allclose(small, colour.reshape(5, 4, 2, 2, 3, 3).mean(axis=(2, 4), dtype=np.float64), atol=1e-3)
    grey = fit_images(colour, None, "L", name="x")
    np.testing.assert_allclose(grey, colour.astype(np.float64) @ [0.299, 0.587, 0.114], atol=1e-3)
    back = fit_images(grey, (16, 12), "RGB", name="x")
    assert back.shape == (5, 16, 12, 3)
    np.testing.assert_array_equal(back[..., 0], back[..., 2])
    # 8 bits and floats agree, growing too, to rounding.
    as_bytes = fit_images(np.rint(grey * 255).astype(np.uint8), (16, 12), "RGB", name="x")
    np.testing.assert_allclose(as_bytes / 255, back, atol=1.5 / 255)


def test_nothing_is_copied_where_nothing_changes() -> None:
    images = np.zeros((3, 4, 5), np.uint8)
    assert fit_images(images, (4, 5), "L", name="x") is images


def test_progress_while_resizing() -> None:
    calls: list[tuple[int, int]] = []
    load_images("digits", size=4, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 1797) for i in range(1, 1798)]


@pytest.mark.parametrize(
    ("source", "near"),
    [("mnits", "'mnist'"), ("MNIST", "'mnist'"), ("fashion_mnist", "'fashion-mnist'"), ("mnist5k", "'mnist-5k'")],
)
def test_an_unknown_name_lists_the_known_and_the_nearest(source: str, near: str, raises_line: Callable) -> None:
    with raises_line(repr(source), ", ".join(NAMES), f"did you mean {near}?"):
        load_images(source)


@pytest.mark.parametrize("source", ["", "/no/such/folder", "x" * 5000, "a\0b", "~nosuch/x"])
def test_a_path_that_does_not_exist(source: str, raises_line: Callable) -> None:
    with raises_line(repr(source), *NAMES):
        load_images(source)


def test_a_path_is_never_taken_for_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, save: Callable) -> None:
    save(tmp_path / "digits" / "cat" / "a.png", np.zeros((3, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert load_images(Path("digits"))[1].tolist() == ["cat"]
    assert load_images("./digits")[1].tolist() == ["cat"]
    assert len(load_images("digits")[1]) == 1797


def test_a_file_of_another_kind(tmp_path: Path, raises_line: Callable) -> None:
    path = tmp_path / "data.xlsx"
    path.touch()
    with raises_line(path, ".npz", ".parquet", "folder"):
        load_images(path)


def test_test_is_refused_where_there_are_no_splits(tmp_path: Path, save: Callable, raises_line: Callable) -> None:
    path = save(tmp_path / "a" / "a.png", np.zeros((3, 3), np.uint8))
    np.savez(tmp_path / "a.npz", images=np.zeros((1, 3, 3)))
    for source in ("digits", "mnist-5k", "mnist-5k-words", path.parent, tmp_path / "a.npz"):
        with raises_line(source, "split='validation'", "no parts"):
            load_images(source, split="valid")
        with raises_line(source, "split='test'", "no parts"):
            load_images(source, split="test")
    assert len(load_images("digits", split="all")[0]) == 1797


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"size": 0}, ValueError, ["size", "got 0"]),
        ({"size": (3, -1)}, ValueError, ["size", "(3, -1)"]),
        ({"size": (3, 3, 3)}, ValueError, ["size", "(3, 3, 3)"]),
        ({"size": 65_536}, ValueError, ["size", "65,535", "got 65536"]),
        ({"size": (3, 10**5000)}, ValueError, ["size", "65,535", "a very large number"]),
        ({"size": 2.5}, TypeError, ["size", "2.5"]),
        ({"size": "28"}, TypeError, ["size", "'28'"]),
        ({"mode": "CMYK"}, ValueError, ["mode", "'L'", "'RGB'", "'CMYK'"]),
        ({"split": "nope"}, ValueError, ["split", "'train', 'validation', 'test' or 'all'", "'nope'"]),
        ({"resize": "stretch"}, ValueError, ["resize", "'squash', 'crop' or 'pad'", "'stretch'"]),
        ({"resize": "crop"}, ValueError, ["resize='crop'", "size=32"]),
        ({"text_column": "text"}, ValueError, ["text_column", "digits", "no columns"]),
        ({"source": 3}, TypeError, ["source", "int"]),
        ({"source": None}, TypeError, ["source", "NoneType"]),
    ],
)
def test_wrong_arguments(options: dict, error: type[Exception], words: list[str], raises_line: Callable) -> None:
    with raises_line(*words, error=error):
        load_images(**{"source": "digits"} | options)


def test_resizing_that_does_not_fit_is_refused(memory_of: Callable, raises_line: Callable) -> None:
    memory_of(1797 * 32 * 32)
    with raises_line("digits", "pass size=(32, 32)", error=NotEnoughMemoryError):
        load_images("digits", size=100)


def test_the_shuffled_copy_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises_line: Callable) -> None:
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((100, 10, 10)))
    answers = iter([10**6, 10**3])
    monkeypatch.setattr(datasets.memory, "available_memory", lambda: next(answers))
    with raises_line(tmp_path / "a.npz", "take fewer", error=NotEnoughMemoryError):
        load_images(tmp_path / "a.npz")


def test_advice_where_no_size_fits(memory_of: Callable, raises_line: Callable) -> None:
    memory_of(10)
    with raises_line("many", "take fewer images", error=NotEnoughMemoryError):
        check_fits(10_000, size=(10, 10), name="many")


def test_nothing_else_of_the_package_is_imported() -> None:
    folder = Path(datasets.__file__).parent
    own = {path.stem for path in folder.glob("*.py")}
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module in ("exceptions", "utils.memory"), path
            elif isinstance(node, ast.ImportFrom) and node.level == 1:
                assert node.module in own, path
            else:
                names = (
                    [a.name for a in node.names]
                    if isinstance(node, ast.Import)
                    else [getattr(node, "module", "") or ""]
                )
                assert not any(name.startswith("linear_diffusion") for name in names), path
