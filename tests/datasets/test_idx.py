"""IDX files: what is written comes back, and what is damaged is named."""

import gzip
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from linear_diffusion.datasets import load_images
from linear_diffusion.datasets.idx import holds_idx, load_idx, read_idx
from linear_diffusion.exceptions import NotEnoughMemoryError

IMAGES = np.arange(5 * 3 * 2, dtype=np.uint8).reshape(5, 3, 2)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)


@pytest.fixture
def folder(tmp_path: Path, write_idx: Callable) -> Path:
    """Five training images (3, 2) with labels."""
    write_idx(tmp_path / "train-images-idx3-ubyte", IMAGES)
    write_idx(tmp_path / "train-labels-idx1-ubyte", LABELS)
    return tmp_path


@given(array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6)), gz=st.booleans())
def test_round_trip(array: np.ndarray, gz: bool, write_idx: Callable) -> None:
    with TemporaryDirectory() as folder:
        found = read_idx(write_idx(Path(folder, "file.gz" if gz else "file"), array))
    assert found.dtype == np.uint8
    assert found.shape == array.shape
    np.testing.assert_array_equal(found, array)


def test_a_file_longer_than_one_chunk_comes_back(tmp_path: Path, write_idx: Callable) -> None:
    array = np.random.default_rng(0).integers(0, 256, (300, 30, 30), np.uint8)
    np.testing.assert_array_equal(read_idx(write_idx(tmp_path / "a.gz", array)), array)
    np.testing.assert_array_equal(read_idx(write_idx(tmp_path / "a", array)), array)


@given(cut=st.integers(0, 4 + 12 + IMAGES.size - 1))
def test_cut_anywhere_tells_expected_and_found(cut: int, raises_line: Callable, write_idx: Callable) -> None:
    with TemporaryDirectory() as folder:
        path = write_idx(Path(folder, "file"), IMAGES)
        path.write_bytes(path.read_bytes()[:cut])
        if cut < 4:
            numbers = 4, cut
        elif cut < 16:
            numbers = 12, cut - 4
        else:
            numbers = 30, cut - 16
        with raises_line(path, f"expected {numbers[0]} bytes", f"found {'at most ' * (cut >= 16)}{numbers[1]}"):
            read_idx(path)


@given(cut=st.integers(0, 40))
def test_gzip_cut_anywhere_is_named(cut: int, raises_line: Callable, write_idx: Callable) -> None:
    with TemporaryDirectory() as folder:
        path = write_idx(Path(folder, "file.gz"), IMAGES)
        path.write_bytes(path.read_bytes()[:cut])
        with raises_line(path):
            read_idx(path)


@given(place=st.integers(10, 60), flip=st.integers(1, 255))
def test_a_flipped_byte_in_gzip_is_named(place: int, flip: int, raises_line: Callable, write_idx: Callable) -> None:
    with TemporaryDirectory() as folder:
        path = write_idx(Path(folder, "file.gz"), IMAGES)
        content = bytearray(path.read_bytes())
        content[place % (len(content) - 10) + 10] ^= flip
        path.write_bytes(content)
        with raises_line(path):
            read_idx(path)


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_gzip_whose_body_is_short_tells_expected_and_found(name: str, tmp_path: Path, raises_line: Callable) -> None:
    content = bytes([0, 0, 8, 1, 0, 0, 0, 200]) + bytes(150)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with raises_line(path, "expected 200 bytes", "150"):
        read_idx(path)


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_trailing_bytes_are_refused(name: str, tmp_path: Path, raises_line: Callable) -> None:
    content = bytes([0, 0, 8, 1, 0, 0, 0, 2]) + bytes(3)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with raises_line(path, "expected 2 bytes", "more"):
        read_idx(path)


@pytest.mark.parametrize("magic", [[0, 0, 13, 3], [1, 0, 8, 3], [0, 0, 8, 0], [0, 0, 8, 255], list(b"\x89PNG")])
def test_another_magic_is_refused(magic: list[int], tmp_path: Path, raises_line: Callable) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(magic) + bytes(2000))
    with raises_line(path, "expected magic", f"found {bytes(magic).hex()}"):
        read_idx(path)


@pytest.mark.parametrize("name", ["file", "file.gz"])
def test_a_header_that_claims_terabytes_takes_no_memory(name: str, tmp_path: Path, raises_line: Callable) -> None:
    path = tmp_path / name
    content = bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(100)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    with raises_line(path, "expected 79228162458924105385300197375 bytes", "found at most"):
        read_idx(path)


def test_what_does_not_fit_is_refused(folder: Path, memory_of: Callable, raises_line: Callable) -> None:
    memory_of(29)
    with raises_line(folder / "train-images-idx3-ubyte", "take fewer images", error=NotEnoughMemoryError):
        load_images(folder)


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_every_usual_name_is_found(mark: str, end: str, tmp_path: Path, write_idx: Callable) -> None:
    assert not holds_idx(tmp_path)
    write_idx(tmp_path / f"train-images{mark}idx3-ubyte{end}", IMAGES)
    assert holds_idx(tmp_path)
    write_idx(tmp_path / f"train-labels{mark}idx1-ubyte{end}", LABELS)
    images, labels = load_idx(tmp_path)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_splits(folder: Path, write_idx: Callable, raises_line: Callable) -> None:
    with raises_line(folder, "t10k-images-idx3-ubyte"):
        load_images(folder, split="test")
    write_idx(folder / "t10k-images.idx3-ubyte.gz", IMAGES[:2] + 100)
    write_idx(folder / "t10k-labels.idx1-ubyte", LABELS[:2] + 4)
    images, labels = load_idx(folder, "test")
    np.testing.assert_array_equal(images, IMAGES[:2] + 100)
    assert labels.tolist() == [7, 5]
    images, labels = load_idx(folder, "all")
    np.testing.assert_array_equal(images, np.concatenate([IMAGES, IMAGES[:2] + 100]))
    assert labels.tolist() == [3, 1, 4, 1, 5, 7, 5]
    np.testing.assert_array_equal(load_idx(folder, "train+test")[0], images)


def test_a_folder_of_idx_gives_labels_as_prompts(folder: Path) -> None:
    images, prompts = load_images(folder)
    assert sorted(prompts) == ["1", "1", "3", "4", "5"]
    for image, prompt in zip(images, prompts, strict=True):
        row = int(image[0, 0]) // 6
        np.testing.assert_array_equal(image, IMAGES[row])
        assert prompt == str(LABELS[row])


def test_files_that_do_not_match_are_named(folder: Path, write_idx: Callable, raises_line: Callable) -> None:
    write_idx(folder / "train-labels-idx1-ubyte", LABELS[:4])
    with raises_line(folder, "5 images", "4 labels"):
        load_images(folder)
    write_idx(folder / "train-labels-idx1-ubyte", IMAGES)
    with raises_line(folder / "train-labels-idx1-ubyte", "3 dimensions, expected 1"):
        load_images(folder)
    (folder / "train-labels-idx1-ubyte").unlink()
    with raises_line(folder, "lacks train-labels-idx1-ubyte"):
        load_images(folder)


def test_splits_of_two_sizes_are_not_joined(folder: Path, write_idx: Callable, raises_line: Callable) -> None:
    write_idx(folder / "t10k-images-idx3-ubyte", IMAGES.reshape(5, 2, 3))
    write_idx(folder / "t10k-labels-idx1-ubyte", LABELS)
    with raises_line(folder, "(2, 3)", "(3, 2)"):
        load_images(folder, split="all")


@pytest.mark.parametrize("shape", [(0, 3, 2), (5, 0, 2)])
def test_no_pixels_are_refused(
    shape: tuple[int, ...], tmp_path: Path, write_idx: Callable, raises_line: Callable
) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros(shape, np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(shape[0], np.uint8))
    with raises_line(tmp_path, "no images"):
        load_images(tmp_path)
