"""A Zarr folder is a source of images, as arrays and as a stream."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linear_diffusion import DataError, load_images

zarr = pytest.importorskip("zarr")


def write(path: Path, **arrays: np.ndarray) -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    for name, array in arrays.items():
        chunks = (min(7, len(array)), *array.shape[1:])
        group.create_array(name, shape=array.shape, chunks=chunks, dtype=array.dtype)[:] = array
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_arrays_and_stream_hold_the_same(tmp_path: Path, dtype: str) -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 4, 5, 3)).astype(dtype)
    prompts = np.array(["cat", "a small dog"] * 10)
    path = write(tmp_path / "data.zarr", images=images, prompts=prompts)
    stream = load_images(path, stream=True)
    assert stream.counts.tolist() == [10, 10]
    found, named = (np.concatenate(arrays) for arrays in zip(*stream, strict=True))
    assert_array_equal(found, images)
    assert_array_equal(named, prompts)
    assert found.dtype == stream.dtype == ("float32" if dtype == "float32" else "uint8")
    order = np.random.default_rng(0).permutation(20)
    for mine, theirs in zip(load_images(path), (images, prompts), strict=True):
        assert_array_equal(mine, theirs[order])
    assert load_images(path, size=2, mode="L", stream=True).image_shape == (2, 2)


def test_without_prompts_there_is_one(tmp_path: Path) -> None:
    assert load_images(write(tmp_path / "data.zarr", images=np.zeros((3, 2, 2))))[1].tolist() == [""] * 3


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.zarr").mkdir()
    bad = np.zeros((9, 2, 2))
    bad[8, 0, 0] = np.nan
    wrong = {
        "empty.zarr": "empty.zarr cannot be read as Zarr",
        "none.zarr": r"must hold an array named 'images', found \['pixels'\]",
        "rows.zarr": r"must have shape \(n, height, width\)",
        "few.zarr": r"prompts must have shape \(9,\)",
        "nan.zarr": "image 8 holds NaN",
    }
    write(tmp_path / "none.zarr", pixels=bad)
    write(tmp_path / "rows.zarr", images=bad[:, 0])
    write(tmp_path / "few.zarr", images=bad, prompts=np.arange(3))
    write(tmp_path / "nan.zarr", images=bad)
    for name, message in wrong.items():
        with pytest.raises(DataError, match=message):
            load_images(tmp_path / name)
        with pytest.raises(DataError, match=message):
            list(load_images(tmp_path / name, stream=True))
    with pytest.raises(DataError, match="which has no parts"):
        load_images(tmp_path / "nan.zarr", split="test")
