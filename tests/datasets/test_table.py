"""One file with images and prompts: .npz and .parquet."""

import io
import json
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from linear_diffusion.datasets import load_images
from linear_diffusion.datasets.table import load_npz, load_parquet
from linear_diffusion.exceptions import MissingExtraError, NotEnoughMemoryError

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 6, 5), np.uint8)
PROMPTS = ["a", "b", "a", "c"]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def npz(tmp_path: Path) -> Callable[..., Path]:
    """``npz(images=..., prompts=...)``: such a file."""

    def write(**arrays: object) -> Path:
        np.savez(tmp_path / "data.npz", **arrays)
        return tmp_path / "data.npz"

    return write


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """``parquet(images=..., prompts=...)``: such a file."""

    def write(schema: pa.Schema | None = None, **columns: object) -> Path:
        pq.write_table(pa.table(columns, schema=schema), tmp_path / "data.parquet")
        return tmp_path / "data.parquet"

    return write


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(4, 6, 5), (4, 6, 5, 3)])
@pytest.mark.parametrize("prompts", [np.array(PROMPTS), np.array([3, 1, 4, 1]), np.array([True, False, True, True])])
def test_npz_keeps_values_and_dtypes(dtype: type, shape: tuple[int, ...], prompts: np.ndarray, npz: Callable) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    path = npz(images=images, prompts=prompts)
    found = load_npz(path)
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], prompts)
    assert (found[0].dtype, found[1].dtype) == (images.dtype, prompts.dtype)
    order = np.random.default_rng(0).permutation(4)
    shuffled = load_images(path)
    np.testing.assert_array_equal(shuffled[0], images[order])
    np.testing.assert_array_equal(shuffled[1], prompts[order])


def test_npz_integers_within_a_byte_and_a_single_channel_are_taken(npz: Callable) -> None:
    images, prompts = load_npz(npz(images=IMAGES[..., None].astype(np.int64)))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    assert prompts.tolist() == [""] * 4


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pictures": IMAGES}, ["'images'", "['pictures']"]),
        ({"images": IMAGES[0]}, ["images", "(n, height, width)", "(6, 5)"]),
        ({"images": np.zeros((2, 3, 3, 4))}, ["(2, 3, 3, 4)"]),
        ({"images": np.zeros((2, 0, 3))}, ["(2, 0, 3)"]),
        ({"images": np.zeros((0, 3, 3))}, ["no images"]),
        ({"images": 3}, ["()"]),
        ({"images": IMAGES.astype(int) * 2}, ["0..255", str(2 * int(IMAGES.max()))]),
        ({"images": IMAGES.astype(int) - 1}, ["0..255", "-1"]),
        ({"images": IMAGES > 3}, ["bool"]),
        ({"images": IMAGES.astype(complex)}, ["complex"]),
        ({"images": np.array([[["a"]]])}, ["dtype <U1"]),
        ({"images": np.where(np.arange(4)[:, None, None] == 2, np.nan, IMAGES)}, ["image 2", "NaN"]),
        ({"images": np.full((1, 2, 2), -np.inf)}, ["image 0", "infinity"]),
        ({"images": IMAGES, "prompts": PROMPTS[:3]}, ["prompts", "(4,)", "(3,)"]),
        ({"images": IMAGES, "prompts": [PROMPTS]}, ["prompts", "(1, 4)"]),
        ({"images": IMAGES, "prompts": [1.0, 2.0, np.nan, 3.0]}, ["prompts", "NaN"]),
        ({"images": IMAGES, "prompts": np.array(PROMPTS, dtype=bytes)}, ["prompts", "|S1", "dtype=str"]),
        ({"images": IMAGES, "prompts": np.array(PROMPTS, dtype=object)}, ["dtype=str"]),
        ({"images": IMAGES, "prompts": np.array(PROMPTS).astype("<U1001")}, ["prompts", "<U1001", "1,000 characters"]),
        ({"images": IMAGES, "prompts": ["a", "b", "\ud800", "c"]}, ["prompts, row 2", r"'\ud800'", "not Unicode"]),
        ({"images": np.array([IMAGES[0], IMAGES[1, :2]], dtype=object)}, ["allow_pickle"]),
    ],
)
def test_npz_at_fault(arrays: dict, words: list[str], npz: Callable, raises_line: Callable) -> None:
    path = npz(**arrays)
    with raises_line(path, *words):
        load_images(path)


def test_npz_damaged_anywhere_is_named(npz: Callable, raises_line: Callable) -> None:
    path = npz(images=IMAGES, prompts=PROMPTS)
    content = path.read_bytes()
    for cut in range(0, len(content), 37):
        path.write_bytes(content[:cut])
        with raises_line(path):
            load_images(path)
    path.write_bytes(content.replace(IMAGES.tobytes(), bytes(IMAGES.size)))
    with raises_line(path, "CRC"):
        load_images(path)


@pytest.mark.parametrize("header", [b"x" * 50, None])
def test_npz_members_that_are_not_arrays(header: bytes | None, tmp_path: Path, raises_line: Callable) -> None:
    path = tmp_path / "data.npz"
    if header is None:  # an array that claims terabytes, and has none
        file = io.BytesIO()
        shape = {"descr": "|u1", "fortran_order": False, "shape": (10**5, 10**5, 10**5)}
        np.lib.format.write_array_header_1_0(file, shape)
        header = file.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", header)
    with raises_line(path, "write it again"):
        load_images(path)


def test_npz_that_does_not_fit_is_refused(npz: Callable, memory_of: Callable, raises_line: Callable) -> None:
    path = npz(images=IMAGES)
    memory_of(100)
    with raises_line(path, "take fewer", error=NotEnoughMemoryError):
        load_images(path)


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"bytes": b, "path": "somewhere.png"}])
@pytest.mark.parametrize(("image", "prompt"), [("images", "prompts"), ("image", "text"), ("img", "labels")])
def test_parquet_of_encoded_files(wrap: Callable, image: str, prompt: str, parquet: Callable) -> None:
    path = parquet(**{image: [wrap(png(pixels)) for pixels in IMAGES], prompt: PROMPTS, "other": range(4)})
    images, prompts = load_parquet(path)
    np.testing.assert_array_equal(images, IMAGES)
    assert prompts.tolist() == PROMPTS
    order = np.random.default_rng(0).permutation(4)
    np.testing.assert_array_equal(load_images(path)[0], IMAGES[order])
    assert load_images(path, size=3, mode="RGB")[0].shape == (4, 3, 3, 3)


def test_parquet_columns_can_be_chosen(parquet: Callable) -> None:
    files = [png(pixels) for pixels in IMAGES]
    path = parquet(picture=files, title=PROMPTS, text=["x"] * 4)
    images, prompts = load_images(path, image_column="picture", text_column="title", random_state=0)
    order = np.random.default_rng(0).permutation(4)
    np.testing.assert_array_equal(images, IMAGES[order])
    assert prompts.tolist() == np.array(PROMPTS)[order].tolist()
    assert load_parquet(path, image_column="picture", text_column="")[1].tolist() == [""] * 4


def test_parquet_that_says_one_row_many_times_takes_the_memory_of_one(parquet: Callable, memory_of: Callable) -> None:
    """A file of 100 kB can say a picture of 100 kB five hundred times."""
    noise = np.random.default_rng(0).integers(0, 256, (400, 250), np.uint8)
    column = pa.array([png(noise)]).take(pa.array(np.zeros(500, int)))
    path = parquet(image=column)
    assert path.stat().st_size < 2 * noise.nbytes
    tracemalloc.start()
    images, _ = load_images(path, size=4)
    assert tracemalloc.get_traced_memory()[1] < 200 * noise.nbytes
    tracemalloc.stop()
    assert len(images) == 500
    memory_of(10_000)
    for options in ({}, {"text_column": ""}):
        with pytest.raises(NotEnoughMemoryError, match=re.escape(str(path))):
            load_parquet(path, **options)


def test_parquet_lists_that_do_not_fit_are_refused_unread(parquet: Callable, memory_of: Callable) -> None:
    path = parquet(images=np.zeros((50, 20, 20), np.uint8).tolist())
    memory_of(150_000)
    with pytest.raises(NotEnoughMemoryError, match="220 kB"):
        load_images(path)


@pytest.mark.parametrize("kind", ["list", "large", "fixed"])
@pytest.mark.parametrize("colour", [False, True])
def test_parquet_of_nested_lists(kind: str, colour: bool, parquet: Callable) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 5, 3) if colour else (4, 6, 5), np.uint8)
    leaf = pa.uint8()
    for n in pixels.shape[:0:-1]:
        leaf = {"list": pa.list_(leaf), "large": pa.large_list(leaf), "fixed": pa.list_(leaf, n)}[kind]
    images, prompts = load_parquet(parquet(images=pa.array(pixels.tolist(), leaf)))
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, pixels)
    assert prompts.tolist() == [""] * 4


def test_parquet_of_nested_floats(parquet: Callable) -> None:
    images, _ = load_parquet(parquet(images=(IMAGES / 255).tolist()))
    np.testing.assert_array_equal(images, IMAGES / 255)


def test_hugging_faces_classes_become_their_names(parquet: Callable) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}
    schema = pa.schema([("image", pa.binary()), ("label", pa.int64())], {"huggingface": json.dumps(features)})
    encoded = [png(pixels) for pixels in IMAGES[:3]]
    assert load_parquet(parquet(schema, image=encoded, label=[1, 0, 1]))[1].tolist() == ["dog", "cat", "dog"]
    assert load_parquet(parquet(image=encoded, label=[1, 0, 1]))[1].tolist() == ["1", "0", "1"]


def test_hugging_faces_classes_are_held_to_their_range(parquet: Callable, raises_line: Callable) -> None:
    features = {"info": {"features": {"label": {"names": ["cat", "dog"]}}}}
    schema = pa.schema([("image", pa.binary()), ("label", pa.int64())], {"huggingface": json.dumps(features)})
    path = parquet(schema, image=[png(IMAGES[0])] * 2, label=[0, -1])
    with raises_line(path, "label, row 1", "0..1", "-1"):
        load_parquet(path)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"picture": [b""]}, ["'images' or 'image'", "['picture']"]),
        ({"image": pa.array([], pa.binary())}, ["no rows"]),
        ({"image": [png(IMAGES[0]), b"junk"]}, ["image, row 1", "not an image"]),
        ({"image": [png(IMAGES[0]), png(IMAGES[0])[:60]]}, ["image, row 1"]),
        ({"image": [png(IMAGES[0]), None]}, ["image, row 1", "None"]),
        ({"image": [{"bytes": None, "path": "a.png"}]}, ["image, row 0", "a.png", "embed"]),
        ({"image": ["a.png"]}, ["image, row 0", "'a.png'"]),
        ({"image": [png(IMAGES[0]), png(IMAGES[0, :3])]}, ["row 0 is (6, 5)", "row 1 is (3, 5)", "pass size="]),
        ({"image": [[[1, 2], [3, 4]], [[1, 2]]]}, ["one size", "'1', '2'"]),
        ({"image": [[[1, 2], [3, 4]], None]}, ["one size", "None"]),
        ({"image": [[[1, 2], [3, None]]]}, ["none missing"]),
        ({"image": [[["a"]]]}, ["numbers", "string"]),
        ({"image": [[1, 2]]}, ["image must have shape", "(1, 2)"]),
        ({"image": [[[1, 300]]]}, ["0..255", "300"]),
        ({"image": [[[1.0, float("nan")]]]}, ["image 0", "NaN"]),
        ({"image": [b""], "title": ["a"]}, ["no column 'prompts' or", "['title']", "text_column=NAME"]),
        ({"image": [png(IMAGES[0])], "text": ["x" * 1001]}, ["text, row 0", "1,001 characters", "1,000 at most"]),
        ({"image": [png(IMAGES[0])] * 2, "text": ["a", None]}, ["text, row 1", "None"]),
        ({"image": [png(IMAGES[0])], "label": [1.5]}, ["label, row 0", "1.5"]),
    ],
)
def test_parquet_at_fault(columns: dict, words: list[str], parquet: Callable, raises_line: Callable) -> None:
    path = parquet(**columns)
    with raises_line(path, *words):
        load_images(path)


def test_parquet_cut_anywhere_is_named(parquet: Callable, raises_line: Callable) -> None:
    path = parquet(image=[png(pixels) for pixels in IMAGES])
    content = path.read_bytes()
    for cut in range(0, len(content), 101):
        path.write_bytes(content[:cut])
        with raises_line(path, "parquet"):
            load_images(path)


def test_without_pyarrow_the_extra_is_named(
    parquet: Callable, monkeypatch: pytest.MonkeyPatch, raises_line: Callable
) -> None:
    path = parquet(image=[b""])
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with raises_line(path, "pip install 'linear-diffusion[parquet]'", error=MissingExtraError):
        load_images(path)
