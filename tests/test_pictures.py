"""Pictures hold the pixels they were given, at the places they promise."""

import errno

import numpy as np
import pytest
from PIL import Image, ImageSequence
from sklearn.datasets import load_digits

from linear_diffusion import LinearDiffusion, pictures


@pytest.fixture(scope="module")
def model():
    digits = load_digits()
    return LinearDiffusion(styles=1, latent_dim=12, random_state=0).fit(digits.images.astype(np.uint8), digits.target)


def test_tiles_span_the_pixel_range():
    np.testing.assert_array_equal(pictures.to_tiles(np.array([[[-1.0, 0.0, 1.0]]]), (-1.0, 1.0)), [[[0, 128, 255]]])
    np.testing.assert_array_equal(pictures.to_tiles(np.array([[[0.0, 0.5, 1.0]]])), [[[0, 128, 255]]])
    np.testing.assert_array_equal(pictures.to_tiles(np.array([[[-2.0, 2.0]]])), [[[0, 255]]])  # their own range
    np.testing.assert_array_equal(pictures.to_tiles(np.array([[[0, 8, 99]]], np.uint8), (0.0, 16.0)), [[[0, 128, 255]]])


@pytest.mark.parametrize("shape", [(3, 5, 4), (3, 5, 4, 3), (3, 5, 4, 1), (3, 16)])
def test_a_grid_holds_each_image_enlarged(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    tiles, zoom = pictures.as_images(images), 2
    page = pictures.grid(images, 2, zoom=zoom)
    h, w, gap, margin = tiles.shape[1] * zoom, tiles.shape[2] * zoom, 3, 12
    assert page.shape == (2 * margin + 2 * h + gap, 2 * margin + 2 * w + gap, *tiles.shape[3:])
    for i, tile in enumerate(tiles):
        y, x = margin + i // 2 * (h + gap), margin + i % 2 * (w + gap)
        np.testing.assert_array_equal(page[y : y + h : zoom, x : x + w : zoom], tile)
        np.testing.assert_array_equal(page[y + 1 : y + h : zoom, x + 1 : x + w : zoom], tile)
    assert (page[margin + h + gap :, margin + w + gap :] == 255).all()  # the place of a fourth


def test_a_small_image_is_enlarged_and_a_large_one_is_not():
    assert pictures.grid(np.zeros((1, 28, 28), np.uint8), 1).shape == (84 + 24, 84 + 24)
    assert pictures.grid(np.zeros((1, 200, 300), np.uint8), 1).shape == (200 + 24, 300 + 24)


@pytest.mark.parametrize("shape", [(4, 7), (4, 2, 2, 2), (4, 2, 2, 4), (4,), (2, 2, 2, 2, 3)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="only images"):
        pictures.grid(np.zeros(shape), 2)


def test_a_picture_too_large_is_refused():
    with pytest.raises(ValueError, match=r"write \.npz"):
        pictures.grid(np.zeros((10_000, 200, 200), np.uint8), 100)


def test_labels_stand_left_of_their_rows_and_captions_below():
    images = np.zeros((4, 28, 28), np.uint8)
    bare, labelled = pictures.grid(images, 2), pictures.grid(images, 2, labels=["a word", "b"])
    left = labelled.shape[1] - bare.shape[1]
    np.testing.assert_array_equal(labelled[:, left + 12 :], bare[:, 12:])
    ink = labelled[:, : left + 12] < 200
    assert ink[12:96].any(), "first label"
    assert ink[99:183].any(), "second label"
    assert not ink[:, :6].any(), "cut on the left"
    captioned = pictures.grid(images, 2, captions=["one", "two", "three", "four"])
    assert captioned.shape[1] == bare.shape[1]
    assert (captioned[97:112, 12:96] < 200).any()
    assert (captioned[-5:] == 255).all(), "cut below"


def test_text_too_wide_is_cut():
    long = "a prompt that goes on and on, far beyond what a page can hold beside its images"
    page = pictures.grid(np.zeros((1, 28, 28), np.uint8), 1, labels=[long], captions=[long])
    assert page.shape[1] < 420
    assert (page[:, :6] == 255).all()


def test_a_sheet_breaks_long_rows():
    images = np.zeros((2 * 7, 10, 10), np.uint8)
    one, broken = pictures.sheet(images, ["a", "b"]), pictures.sheet(images, ["a", "b"], most=4)
    assert broken.shape[0] > 1.8 * one.shape[0]  # two rows a label, four and three
    assert broken.shape[1] < one.shape[1]
    last = broken[-90:-20, -90:-20]  # the eighth place, of a label that has seven
    assert (last == 255).all()
    unnamed = pictures.sheet(images[:7], [""])
    np.testing.assert_array_equal(unnamed, pictures.grid(images[:7], 7))


def test_a_sheet_has_rows_of_any_length():
    images = [np.full((n, 28, 28), 100, np.uint8) for n in (1, 3, 2)]
    page = pictures.sheet(images, ["a", "b", "c"])
    corners = page[13::87, -3 * 87 - 8 :: 87] == 100  # inside of each place
    np.testing.assert_array_equal(corners[:3, :3], np.tri(3)[[0, 2, 1]])


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 28, 28, 3), (1, 128, 128)])
def test_a_white_image_has_an_edge(shape):
    page = pictures.grid(np.full(shape, 255, np.uint8), 1)
    assert set(page[:, page.shape[1] // 2].ravel().tolist()) == {176, 255}
    lines = np.flatnonzero((page != 255).reshape(len(page), -1).any(axis=1))
    assert (lines[0], lines[-1]) == (11, len(page) - 12)  # just outside of the image


def drawn(text, **options):
    """The ink of a label, without white around it."""
    page = pictures.grid(np.full((1, 28, 28), 255, np.uint8), 1, labels=[text], **options)
    ink = page[:, : page.shape[1] - 108] < 160
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


@pytest.mark.parametrize("text", ["äöüßñøåĳő", "Łódźěščřžșțİığ", "кошаЖщґїў", "γάταψΩώ"])
def test_every_letter_of_latin_cyrillic_and_greek_looks_like_itself(text):
    seen = [drawn(letter) for letter in text]
    assert len({(ink.shape, ink.tobytes()) for ink in seen}) == len(text)  # boxes would all be the same


def test_a_letter_that_no_font_has_is_shown_as_its_code():
    np.testing.assert_array_equal(drawn("\U00013020 x"), drawn("U+13020 x"))  # a cat in hieroglyphs
    np.testing.assert_array_equal(drawn("\ud800"), drawn("U+D800"))
    np.testing.assert_array_equal(drawn("cafe\u0301"), drawn("café"))  # an accent apart, and one letter
    np.testing.assert_array_equal(drawn("a\u200d\nb"), drawn("a b"))


@pytest.mark.parametrize(("n", "shape"), [(100, (10, 10)), (101, (10, 11)), (1000, (32, 32)), (10_000, (100, 100))])
def test_many_images_make_a_square(n, shape):
    page = pictures.grid(np.zeros((n, 8, 8), np.uint8), zoom=1)
    assert page.shape == (21 + shape[0] * 11, 21 + shape[1] * 11)
    assert max(pictures.grid(np.zeros((n, 8, 8), np.uint8)).shape) < 3000


def test_a_tall_sheet_is_not_enlarged():
    assert pictures.sheet(np.zeros((3000, 8, 8), np.uint8), range(1500)).shape[0] == 21 + 1500 * 11


def test_as_many_texts_as_there_are_places():
    images = np.zeros((4, 28, 28), np.uint8)
    with pytest.raises(ValueError, match="captions has 3 texts; give one for each image, 4 in all"):
        pictures.grid(images, 2, captions=["a", "b", "c"])
    with pytest.raises(ValueError, match="labels has 4 texts; give one for each row, 2 in all"):
        pictures.grid(images, 2, labels=[1, 2, 3, 4])


def test_show_is_what_a_notebook_shows(model):
    images, prompts = model.sample(5, random_state=0)
    shown = pictures.show(images, captions=prompts)
    np.testing.assert_array_equal(np.asarray(shown), pictures.grid(images, 10, captions=[str(p) for p in prompts]))
    assert shown._repr_png_().startswith(b"\x89PNG")


def test_a_film_strip_shows_the_first_and_the_last():
    frames = np.arange(11, dtype=np.uint8)[:, None, None] * np.ones((1, 28, 28), np.uint8) * 20
    strip = pictures.film_strip(frames, 3)
    assert [int(strip[20, 20 + i * 87]) for i in range(3)] == [0, 100, 200]
    assert pictures.pick(5, 99).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="too few"):
        pictures.pick(5, 1)


def test_signed_images_are_black_at_zero_and_mirror():
    pixels = pictures.signed(np.array([[[-2.0, 0.0, 2.0]], [[-0.1, 0.0, 0.05]], [[0.0, 0.0, 0.0]]])).astype(int)
    assert (pixels[:, 0, 1] < 16).all()
    np.testing.assert_array_equal(pixels[0, 0, 0], pixels[1, 0, 0])  # each by its own largest
    assert pixels[0, 0, 0, 2] > pixels[0, 0, 0, 0]  # cold
    assert pixels[0, 0, 2, 0] > pixels[0, 0, 2, 2]  # warm
    assert (pixels[2] < 16).all()
    np.testing.assert_array_equal(pictures.signed(np.zeros((1, 1, 1, 3)))[0, 0, 0], [128] * 3)


def test_weights_as_pictures(model):
    assert pictures.components(model, 10, 5).ndim == 3
    assert pictures.eigenvectors(model, 4).shape[0] == pictures.sheet(np.zeros((40, 8, 8)), ["0"] * 10).shape[0]
    means = pictures.prompt_means(model)
    digits = load_digits()
    zoom = 10  # 8 pixels to about 84
    shown = means[12 : 12 + 80 : zoom, 12 : 12 + 80 : zoom].astype(float)
    true = digits.images[digits.target == 0].mean(axis=0)
    assert np.abs(shown - true).max() < 2.0  # of 255; 12 components hold most of a mean


def test_side_by_side_keeps_both():
    a, b = np.full((30, 200), 10, np.uint8), np.full((30, 300), 20, np.uint8)
    page = pictures.side_by_side([a, b], ["left", "right"])
    assert page.shape == (78, 524)
    assert (page[48:, :200] == 10).all()
    assert (page[48:, 224:] == 20).all()
    assert (page[:48, :200] < 200).any()
    assert (page[:48, 224:] < 200).any()


def test_png_holds_the_picture(tmp_path):
    page = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    pictures.save_png(page, tmp_path / "a.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), page)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_gif_plays_to_its_end_rests_and_starts_again(tmp_path, channels):
    frames = np.random.default_rng(0).integers(0, 256, (7, 8, 8, *channels), dtype=np.uint8)
    pictures.save_gif(frames, tmp_path / "a.gif", frame_ms=50, last_ms=900)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 7
        assert film.info["loop"] == 0
        shown = [(np.asarray(frame.convert("RGB")), frame.info["duration"]) for frame in ImageSequence.Iterator(film)]
    assert [ms for _, ms in shown] == [50] * 6 + [900]
    if not channels:
        np.testing.assert_array_equal(shown[-1][0][::35, ::35, 0], frames[-1])


def test_captions_keep_equal_frames_apart(tmp_path):
    frames = np.zeros((5, 8, 8), np.uint8)
    pictures.save_gif(frames, tmp_path / "a.gif", captions=pictures.step_names(5), frame_ms=50, last_ms=900)
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 5
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(film)] == [50] * 4 + [900]
    pictures.save_gif(frames, tmp_path / "a.gif", frame_ms=50, last_ms=900)
    with Image.open(tmp_path / "a.gif") as film:
        assert (film.n_frames, film.info["duration"]) == (1, 1100)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    pictures.save_png(np.zeros((2, 2), np.uint8), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def fail(*_):
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match=r"disk full.*a\.png"):
        pictures.save_png(np.ones((9, 9), np.uint8), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
