"""Encoded images: modes, transparency, depth, orientation, sizes, damage and memory."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from linear_diffusion.datasets import load_images
from linear_diffusion.datasets.decode import Encoded, read_images
from linear_diffusion.exceptions import DataError, NotEnoughMemoryError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 4), np.uint8)
COLOUR = RNG.integers(0, 256, (6, 4, 3), np.uint8)


def read(image: Image.Image | np.ndarray, form: str = "PNG", size=None, mode=None, **options: object) -> np.ndarray:
    """One image through a file in memory."""
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, form, **options)
    return read_images([Encoded("it", file.getvalue())], size, mode)[0]


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_grey_stays_grey(form: str) -> None:
    np.testing.assert_array_equal(read(GREY, form), GREY)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
def test_colour_stays_colour(form: str) -> None:
    np.testing.assert_array_equal(read(COLOUR, form), COLOUR)


def test_mode_converts_both_ways() -> None:
    np.testing.assert_array_equal(read(GREY, mode="RGB"), np.repeat(GREY[..., None], 3, axis=2))
    np.testing.assert_allclose(read(COLOUR, mode="L"), COLOUR @ [0.299, 0.587, 0.114], atol=1)


def test_a_folder_is_colour_as_soon_as_one_file_is(tmp_path: Path, save: Callable) -> None:
    save(tmp_path / "a.png", GREY)
    assert load_images(tmp_path)[0].shape == (1, 6, 4)
    save(tmp_path / "b.png", COLOUR)
    images, _ = load_images(tmp_path)
    assert images.shape == (2, 6, 4, 3)
    both = {image.tobytes() for image in images}
    assert both == {COLOUR.tobytes(), np.repeat(GREY[..., None], 3, axis=2).tobytes()}
    assert load_images(tmp_path, mode="L")[0].shape == (2, 6, 4)


def test_one_bit() -> None:
    bits = Image.fromarray((GREY > 127).astype(np.uint8) * 255).convert("1")
    np.testing.assert_array_equal(read(bits), (GREY > 127) * 255)


@pytest.mark.parametrize("form", ["PNG", "BMP", "GIF"])
def test_a_palette_of_greys_is_grey(form: str) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([70, 70, 70, 9, 9, 9])
    image.putpixel((1, 0), 1)
    assert read(image, form).tolist() == [[70, 9]]


def test_palettes_with_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert read(image).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    # A transparent entry turns white.
    assert read(image, transparency=0).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_transparent_pixels_turn_white() -> None:
    rgba = np.array([[[9, 9, 9, 0], [200, 100, 0, 255], [0, 0, 0, 128]]], np.uint8)
    assert read(rgba).tolist() == [[[255] * 3, [200, 100, 0], [127] * 3]]
    grey_alpha = Image.fromarray(rgba).convert("LA")
    assert read(grey_alpha).tolist() == [[255, 118, 127]]
    assert read(Image.fromarray(np.array([[5, 6]], np.uint8)), transparency=5).tolist() == [[255, 6]]


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_to_8(form: str) -> None:
    wide = np.array([[0, 128, 129, 257, 32896, 65535]], np.uint16)
    assert read(wide, form).tolist() == [[0, 0, 1, 1, 128, 255]]
    assert read(wide, form, mode="RGB")[0, 4].tolist() == [128] * 3


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_32_bits_are_refused(dtype: type, tmp_path: Path, save: Callable, raises_line: Callable) -> None:
    path = save(tmp_path / "deep.tif", GREY.astype(dtype))
    with raises_line(path, "32-bit"):
        load_images(tmp_path)


def test_cmyk() -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    np.testing.assert_allclose(read(image, "JPEG", quality=95)[4, 4], [255, 0, 0], atol=4)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [
        (1, lambda a: a),
        (2, np.fliplr),
        (3, lambda a: a[::-1, ::-1]),
        (4, np.flipud),
        (5, np.transpose),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: a[::-1, ::-1].T),
        (8, np.rot90),
        (77, lambda a: a),
    ],
)
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_exif_orientation(orientation: int, upright: Callable, form: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.kron(GREY, np.ones((8, 8), np.uint8)) if form == "JPEG" else GREY
    options = {"quality": 100} if form == "JPEG" else {}
    found = read(stored, form, exif=exif, **options)
    np.testing.assert_allclose(found, upright(stored), atol=2 if form == "JPEG" else 0)


def test_broken_exif_is_no_exif() -> None:
    assert read(GREY, "JPEG", exif=b"Exif\0\0garbage").shape == GREY.shape


def test_shrinking_is_the_mean_of_blocks() -> None:
    blocks = COLOUR.reshape(3, 2, 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(read(COLOUR, size=(3, 2)), blocks, atol=1)


def test_growing_does_not_overshoot() -> None:
    step = np.repeat(np.array([[100, 100, 200, 200]], np.uint8), 4, axis=0)
    grown = read(step, size=(9, 16))
    assert grown.shape == (9, 16)
    assert (grown.min(), grown.max()) == (100, 200)


def test_large_jpegs_shrink_to_the_same_mean_of_blocks() -> None:
    y, x = np.mgrid[:512, :384]
    picture = (127 + 60 * np.sin(y / 40) + 60 * np.cos(x / 30)).astype(np.uint8)
    found = read(picture, "JPEG", size=(32, 24), quality=95)
    np.testing.assert_allclose(found, picture.reshape(32, 16, 24, 16).mean(axis=(1, 3)), atol=3)


def test_mixed_sizes_name_both_with_an_example(tmp_path: Path, save: Callable, raises_line: Callable) -> None:
    for i in range(5):
        save(tmp_path / f"{i}.png", np.zeros((28, 28), np.uint8))
    odd = save(tmp_path / "odd.png", np.zeros((30, 20), np.uint8))
    with raises_line(tmp_path, "(28, 28)", f"{odd} is (30, 20)", "pass size=28 "):
        load_images(tmp_path)
    assert load_images(tmp_path, size=14)[0].shape == (6, 14, 14)
    assert load_images(tmp_path, size=(14, 10), mode="RGB")[0].shape == (6, 14, 10, 3)
    odd.unlink()
    assert load_images(tmp_path)[0].shape == (5, 28, 28)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@given(cut=st.integers(0, 10_000), form=st.sampled_from(["PNG", "JPEG", "BMP", "TIFF", "PPM"]))
def test_cut_anywhere_is_named(cut: int, form: str) -> None:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (16, 16), np.uint8)).save(file, form)
    content = file.getvalue()
    try:
        images = read_images([Encoded("broken.png", content[: cut % len(content)])], None, None)
    except DataError as error:
        assert str(error).startswith("broken.png ")
        assert "\n" not in str(error)
    else:  # what was cut off was no pixel
        np.testing.assert_array_equal(images, read_images([Encoded("whole", content)], None, None))


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(place=st.integers(0, 10_000), value=st.integers(0, 255), form=st.sampled_from(["PNG", "JPEG", "TIFF", "GIF"]))
def test_damage_anywhere_raises_our_error_or_none(place: int, value: int, form: str) -> None:
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, form)
    content = bytearray(file.getvalue())
    content[place % len(content)] = value
    try:
        read_images([Encoded("it", bytes(content))], (4, 4), None)
    except (DataError, NotEnoughMemoryError) as error:
        assert "it" in str(error)


def test_a_truncated_file_is_named(tmp_path: Path, save: Callable, raises_line: Callable) -> None:
    save(tmp_path / "a.jpg", np.zeros((64, 64), np.uint8))
    path = save(tmp_path / "b.jpg", RNG.integers(0, 256, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:-800])
    with raises_line(path, "truncated"):
        load_images(tmp_path)


def test_an_unreadable_file_is_named(raises_line: Callable, tmp_path: Path) -> None:
    with raises_line(tmp_path / "gone.png", "No such file"):
        read_images([Encoded(str(tmp_path / "gone.png"), tmp_path / "gone.png")], None, None)


def test_postscript_in_disguise_is_not_opened(tmp_path: Path, raises_line: Callable) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    with raises_line(path, "not an image of a known format"):
        load_images(tmp_path)


def test_a_decompression_bomb_is_refused(tmp_path: Path, raises_line: Callable) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))
    with raises_line(path, "decompression bomb"):
        load_images(tmp_path)


def test_what_does_not_fit_names_a_size_that_does(
    tmp_path: Path, save: Callable, memory_of: Callable, raises_line: Callable
) -> None:
    for i in range(10):
        save(tmp_path / f"{i}.png", np.zeros((40, 20, 3), np.uint8))
    memory_of(10 * 40 * 20 * 3)
    assert len(load_images(tmp_path)[0]) == 10
    memory_of(10 * 20 * 10 * 3)
    with raises_line(tmp_path, "and 9 more", "pass size=(20, 10)", error=NotEnoughMemoryError):
        load_images(tmp_path)
    assert load_images(tmp_path, size=(20, 10))[0].shape == (10, 20, 10, 3)


def test_progress_counts_headers_and_pixels(tmp_path: Path, save: Callable) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", GREY)
    calls: list[tuple[int, int]] = []
    load_images(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]


# Other shapes

STRIPES = np.repeat(np.arange(8, dtype=np.uint8)[None] * 30, 4, axis=0)  # 4 x 8


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("squash", STRIPES.reshape(4, 4, 2).mean(axis=2)),
        ("crop", STRIPES[:, 2:6]),
        ("pad", np.pad(STRIPES.reshape(2, 2, 4, 2).mean(axis=(1, 3)), ((1, 1), (0, 0)))),
    ],
)
@pytest.mark.parametrize("kind", ["files", "bytes", "floats", "parquet"])
def test_three_ways_to_another_shape(
    resize: str, expected: np.ndarray, kind: str, tmp_path: Path, save: Callable
) -> None:
    source = tmp_path / "data.npz"
    if kind == "files":
        source = save(tmp_path / "it" / "a.png", STRIPES).parent
    elif kind == "parquet":
        source = tmp_path / "data.parquet"
        pq.write_table(pa.table({"image": [save(tmp_path / "a.png", STRIPES).read_bytes()]}), source)
    else:
        np.savez(source, images=STRIPES[None].astype(float if kind == "floats" else np.uint8))
    told: list[str] = []
    images, _ = load_images(source, size=4, resize=resize, report=told.append)
    np.testing.assert_allclose(images[0], expected, atol=0 if kind == "floats" else 0.5)
    words = {"squash": "squashed to 4 x 4; resize=", "crop": "cropped to 4 x 4", "pad": "padded to 4 x 4"}[resize]
    assert told[0].startswith(f"1 image of 4 x 8 (height x width) will be {words}")
    assert len(told) == 1


def test_resizing_that_distorts_nothing_is_not_called_squashing(tmp_path: Path, save: Callable) -> None:
    for i, shape in enumerate([(30, 40), (60, 80), (6, 8), (45, 60)]):
        save(tmp_path / f"{i}.png", np.zeros(shape, np.uint8))
    told: list[str] = []
    load_images(tmp_path, size=(6, 8), report=told.append)
    assert told == ["3 images of 3 sizes from 30 x 40 to 60 x 80 (height x width) will be resized to 6 x 8."]


def test_images_of_too_many_pixels_are_refused_by_their_header(
    tmp_path: Path, save: Callable, monkeypatch: pytest.MonkeyPatch, raises_line: Callable
) -> None:
    path = save(tmp_path / "a.png", np.zeros((40, 50), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1999)
    with raises_line(path, "40 x 50 pixels", "1,999 pixels", "MAX_IMAGE_PIXELS"):
        load_images(tmp_path, size=8)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_large_jpegs_are_decoded_small(tmp_path: Path, save: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.jpg", np.full((400, 500), 90, np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 199_999)
    np.testing.assert_allclose(load_images(tmp_path, size=8)[0], 90, atol=2)
