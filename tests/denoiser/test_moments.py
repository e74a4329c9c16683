import json
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion, ModelFileError, Moments, NotEnoughMemoryError
from linear_diffusion.image.format import ImageFormat

Digits = tuple[np.ndarray, np.ndarray]
ABC = np.array(["a", "b", "c"])


@st.composite
def data(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, prompts, and which part each row goes to."""
    n, d = draw(st.integers(1, 30)), draw(st.integers(1, 5))
    rows = draw(hnp.arrays(np.float64, (n, d), elements=st.floats(-100, 100, width=32)))
    index = draw(hnp.arrays(np.intp, n, elements=st.integers(0, 2)))
    return rows, index, draw(hnp.arrays(np.intp, n, elements=st.integers(0, 3)))


def of(rows: np.ndarray, index: np.ndarray, *, diagonal: bool = False) -> Moments:
    """Moments that know only the prompts that are there."""
    present, position = np.unique(index, return_inverse=True)
    return Moments.of(rows, position, ABC[present], diagonal=diagonal)


def assert_same(a: Moments, b: Moments, size: float = 1.0) -> None:
    assert_array_equal(a.prompts, b.prompts)
    assert_array_equal(a.counts, b.counts)
    assert_array_equal(a.histogram, b.histogram)
    assert_allclose(a.means, b.means, rtol=1e-10, atol=1e-10 * size)
    assert_allclose(a.scatter, b.scatter, rtol=1e-10, atol=1e-9 * size**2)


@given(data(), st.booleans())
def test_moments_of_the_whole_are_the_sum_over_any_partition(
    case: tuple[np.ndarray, np.ndarray, np.ndarray], diagonal: bool
) -> None:
    rows, index, part = case
    parts = [of(rows[part == i], index[part == i], diagonal=diagonal) for i in np.unique(part)]
    total = parts[0]
    for other in parts[1:]:
        total = total + other
    assert_same(total, of(rows, index, diagonal=diagonal), size=100)


@given(data(), st.booleans())
def test_what_was_added_can_be_taken_away(case: tuple[np.ndarray, np.ndarray, np.ndarray], diagonal: bool) -> None:
    rows, index, part = case
    first, second = part == part[0], part != part[0]
    a = of(rows[first], index[first], diagonal=diagonal)
    if not second.any():
        return
    b = of(rows[second], index[second], diagonal=diagonal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # where next to nothing is left, few digits are
        assert_same((a + b) - b, a, size=100)


@given(data(), st.booleans())
def test_sums_do_not_depend_on_their_order(case: tuple[np.ndarray, np.ndarray, np.ndarray], diagonal: bool) -> None:
    rows, index, part = case
    parts = [of(rows[part == i], index[part == i], diagonal=diagonal) for i in np.unique(part)]
    a, b, c = (parts * 3)[:3]
    assert_same((a + b) + c, a + (b + c), size=100)
    assert_same(a + b, b + a, size=100)


@given(data())
def test_diagonal_moments_are_the_diagonal_of_the_full_ones(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    rows, index, _ = case
    full, own = of(rows, index), of(rows, index, diagonal=True)
    assert_allclose(own.variances, full.variances, rtol=1e-10, atol=1e-8)
    assert_allclose(own.pooled()[1], np.diag(full.pooled()[1]), rtol=1e-10, atol=1e-8)
    assert own.diagonal
    assert not full.diagonal


@given(data())
def test_moments_are_those_of_numpy(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    rows, index, _ = case
    moments = of(rows, index)
    for j, c in enumerate(np.unique(index)):
        own = rows[index == c]
        assert moments.counts[j] == len(own)
        assert_allclose(moments.means[j], own.mean(axis=0), rtol=1e-10, atol=1e-10)
        assert_allclose(moments.covariances[j], np.atleast_2d(np.cov(own.T, bias=True)), rtol=1e-9, atol=1e-8)
    mean, covariance = moments.pooled()
    assert_allclose(mean, rows.mean(axis=0), rtol=1e-10, atol=1e-10)
    assert_allclose(covariance, np.atleast_2d(np.cov(rows.T, bias=True)), rtol=1e-9, atol=1e-8)
    assert_allclose(moments.weights, np.bincount(index)[np.unique(index)] / len(rows))


def test_prompts_of_a_sum_are_the_union() -> None:
    x = np.arange(6.0)[:, None]
    ab = Moments.of(x[:3], np.array([0, 1, 0]), np.array(["a", "b"]))
    bc = Moments.of(x[3:], np.array([1, 1, 0]), np.array(["b", "c"]))
    total = ab + bc
    assert total.prompts.tolist() == ["a", "b", "c"]
    assert total.counts.tolist() == [2, 2, 2]
    assert_allclose(total.means.ravel(), [1.0, 3.0, 3.5])


@pytest.mark.parametrize("offset", [1e6, -1e6])
def test_data_far_from_zero_keeps_its_digits(offset: float) -> None:
    rng = np.random.default_rng(1)
    rows, index = rng.standard_normal((3000, 4)), rng.integers(0, 2, 3000)
    near = Moments.of(rows, index, ABC[:2])
    far = sum_of_parts([(rows[i::7] + offset, index[i::7]) for i in range(7)])
    assert_allclose(far.covariances, near.covariances, atol=1e-8)
    without = far - Moments.of(rows[::7] + offset, index[::7], ABC[:2])
    rest = np.arange(3000) % 7 != 0
    assert_allclose(without.covariances, Moments.of(rows[rest], index[rest], ABC[:2]).covariances, atol=1e-7)


def sum_of_parts(parts: list[tuple[np.ndarray, np.ndarray]]) -> Moments:
    total = Moments.empty(ABC[:2], parts[0][0].shape[1])
    for rows, index in parts:
        total = total + Moments.of(rows, index, ABC[:2])
    return total


def test_large_data_in_many_chunks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    rows, index = rng.integers(0, 256, (2000, 6)).astype(np.uint8), rng.integers(0, 3, 2000)
    whole = Moments.of(rows, index, ABC)
    monkeypatch.setattr("linear_diffusion.denoiser.moments._CHUNK_BYTES", 1)  # 256 rows a chunk
    chunked = Moments.of(rows, index, ABC)
    assert_allclose(chunked.means, whole.means, rtol=1e-12)
    assert_allclose(chunked.scatter, whole.scatter, rtol=1e-5, atol=1e-5 * whole.scatter.max())


@pytest.mark.parametrize("n_channels", [1, 3])
@pytest.mark.parametrize("d", [6, 9])
def test_histogram_counts_the_tones_of_each_channel(n_channels: int, d: int) -> None:
    rng = np.random.default_rng(3)
    rows, index = rng.integers(0, 256, (50, d)).astype(np.uint8), rng.integers(0, 2, 50)
    histogram = Moments.of(rows, index, ABC[:2], tones=lambda x: x, n_channels=n_channels).histogram
    for j, c in np.ndindex(2, n_channels):
        assert_array_equal(histogram[j, c], np.bincount(rows[index == j][:, c::n_channels].ravel(), minlength=256))


def test_histograms_add_and_subtract() -> None:
    rows, index = np.arange(40, dtype=np.uint8).reshape(10, 4), np.arange(10) % 2
    whole, part = (
        Moments.of(rows[s], index[s], ABC[:2], tones=lambda x: x, n_channels=1) for s in (slice(None), slice(4))
    )
    rest = Moments.of(rows[4:], index[4:], ABC[:2], tones=lambda x: x, n_channels=1)
    assert_array_equal((whole - part).histogram, rest.histogram)
    assert_array_equal((rest + part).histogram, whole.histogram)


def test_subtracting_more_images_than_there_are_is_refused() -> None:
    x = np.zeros((3, 1))
    few, many = Moments.of(x[:1], np.array([0]), np.array(["a"])), Moments.of(x, np.zeros(3, int), np.array(["a"]))
    with pytest.raises(ValueError, match=r"cannot subtract 3 images of prompt 'a' from the 1 that are here"):
        few - many
    with pytest.raises(ValueError, match=r"cannot subtract 1 image of prompt 'b': there is no such prompt here"):
        many - Moments.of(x[:1], np.array([0]), np.array(["b"]))
    nobody = Moments.empty(np.array(["b"]), 1)
    assert_same(many - nobody, many)


@pytest.mark.parametrize(
    "other",
    [
        Moments.of(np.ones((3, 1)), np.zeros(3, int), ABC[:1]),
        Moments.of(np.ones((3, 4)), np.zeros(3, int), ABC[:1], diagonal=True),
        Moments.empty(ABC[:1], 4, n_channels=1),
    ],
    ids=["fewer pixels", "diagonal", "with a histogram"],
)
def test_moments_of_unlike_images_do_not_combine(other: Moments) -> None:
    """numpy would broadcast some of them, to numbers that mean nothing."""
    moments = Moments.of(np.ones((3, 4)), np.zeros(3, int), ABC[:1])
    for combine in (lambda a, b: a + b, lambda a, b: b + a, lambda a, b: a - b):
        with pytest.raises(ValueError, match="moments of unlike images do not combine"):
            combine(moments, other)


@pytest.mark.parametrize("prompts", [ABC, np.array([1, 5, 9]), ABC.astype(object), np.array([0.5, 1.5, 2.5])])
@pytest.mark.parametrize("diagonal", [True, False])
def test_saved_moments_come_back_bit_by_bit(tmp_path: Path, prompts: np.ndarray, diagonal: bool) -> None:
    rng = np.random.default_rng(4)
    rows = rng.integers(0, 256, (20, 4)).astype(np.uint8)
    options = {"tones": lambda x: x, "n_channels": 1, "diagonal": diagonal}
    moments = Moments.of(rows, rng.integers(0, 3, 20), prompts, **options)
    moments.save(tmp_path / "moments.safetensors")
    loaded = Moments.load(tmp_path / "moments.safetensors")
    for name in ("prompts", "counts", "means", "scatter", "histogram"):
        saved, found = getattr(moments, name), getattr(loaded, name)
        assert found.dtype == saved.dtype
        assert_array_equal(found, saved)
    assert [p.name for p in tmp_path.iterdir()] == ["moments.safetensors"]


def test_a_damaged_or_missing_moments_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "moments.safetensors"
    with pytest.raises(ModelFileError, match=r"moments\.safetensors does not exist"):
        Moments.load(path)
    Moments.of(np.ones((3, 2)), np.zeros(3, int), np.array(["a"])).save(path)
    whole = path.read_bytes()
    for size in (0, 4, 20, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelFileError, match=r"moments\.safetensors"):
            Moments.load(path)
    for byte in (9, len(whole) // 2, len(whole) - 9, len(whole) - 1):
        path.write_bytes(whole[:byte] + bytes([whole[byte] ^ 1]) + whole[byte + 1 :])
        with pytest.raises(ModelFileError, match=r"moments\.safetensors"):
            Moments.load(path)


# Of pixels


def test_moments_of_pixels_are_those_of_their_rows_and_know_the_images(grey: Digits) -> None:
    images, y = grey
    found, rows = Moments.fit(images, y), images.reshape(-1, 64)
    assert_same(found, Moments.of(rows, y, np.arange(10), tones=lambda x: x, n_channels=1))
    assert found.image == ImageFormat.of(images)
    assert Moments.fit(images.tolist(), y.tolist()).image.shape == (8, 8)
    assert Moments.fit(rows).image.shape == (64,)
    assert Moments.fit(images).prompts.tolist() == [""]


@st.composite
def pictures(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images of bytes, their prompts, and which part each goes to."""
    n = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    images = rng.integers(0, draw(st.sampled_from([2, 256])), (n, 3, 2)).astype(np.uint8)
    return images, ABC[rng.integers(0, 3, n)], rng.integers(0, draw(st.integers(1, 5)), n)


@given(pictures())
def test_any_partition_of_images_has_the_same_moments(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    images, y, part = case
    parts = [Moments.fit(images[part == i], y[part == i]) for i in np.unique(part)]
    total = parts[0]
    for other in parts[1:]:
        total = total + other
    whole = Moments.fit(images, y)
    assert_same(total, whole, size=255)
    assert total.image == whole.image
    for other in parts[1:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            total = total - other
    assert_same(total, parts[0], size=255)
    assert total.image == whole.image


@pytest.mark.parametrize("scale", [1.0, 1e-160, 1e160])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_floats_that_span_more_have_their_sums_in_common_units(digits: Digits, scale: float, offset: float) -> None:
    order = np.arange(len(digits[1]))
    bright = 1 + order[:, None, None] // 360  # the dimmest first
    images, y = (digits[0] * bright / 5 + offset) * scale, digits[1]
    parts = [Moments.fit(images[i], y[i], (0.0, 100 * scale)) for i in np.array_split(order, 5)]
    assert len({part.image for part in parts}) > 1
    whole = Moments.fit(images, y, (0.0, 100 * scale))
    for these in (parts, parts[::-1]):
        total = these[0]
        for other in these[1:]:
            total = total + other
        assert total.image == whole.image
        assert_array_equal(total.counts, whole.counts)
        assert_allclose(total.means, whole.means, rtol=1e-10, atol=1e-10)
        assert_allclose(total.scatter, whole.scatter, rtol=1e-10, atol=1e-9)
        assert_allclose(total.histogram.sum(axis=-1), whole.histogram.sum(axis=-1))
        ramp = np.arange(256)
        assert_allclose(total.histogram @ ramp, whole.histogram @ ramp, rtol=0.02)
    last = parts[-1]
    left = total - last
    assert left.image == whole.image
    rest = np.concatenate(np.array_split(order, 5)[:-1])
    never = Moments.fit(images[rest], y[rest], (0.0, 100 * scale)).counted_in(whole.image)
    assert_allclose(left.means, never.means, rtol=1e-9, atol=1e-9)
    assert_allclose(left.scatter, never.scatter, rtol=1e-9, atol=1e-8)
    assert (left.histogram >= 0).all()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda x: Moments.fit(x[:, :4]), r"images of shape \(8, 8\) here and \(4, 8\) there; bring all to one size"),
        (lambda x: Moments.fit(x.astype(np.uint16)), "dtype uint8 here and uint16 there; give all images in one"),
        (lambda x: Moments.fit(x, pixel_range=None), r"pixel_range=\(0\.0, 255\.0\) here and pixel_range=None there"),
        (lambda x: Moments.of(x.reshape(-1, 64), np.zeros(len(x), int), np.array([""])), "only one of them says what"),
        (lambda x: Moments.fit(x, np.zeros(len(x), int)), "prompts are <U1 here and int64 there"),
    ],
)
def test_what_does_not_combine_is_named(grey: Digits, other: object, message: str) -> None:
    mine, theirs = Moments.fit(grey[0][:50]), other(grey[0][:50])
    for combine in (lambda: mine + theirs, lambda: mine - theirs):
        with pytest.raises(ValueError, match=message):
            combine()


@pytest.mark.parametrize("bytes_", [True, False])
def test_what_was_never_part_is_refused_where_it_shows(grey: Digits, digits: Digits, bytes_: bool) -> None:
    images, y = grey if bytes_ else digits
    whole = Moments.fit(images[:900], y[:900])
    with pytest.raises(ValueError, match=r"prompt .*5.* was never part of these moments"):
        whole - Moments.fit(255 * (images[:90] // 128) if bytes_ else np.round(images[:90]), np.full(90, 5))
    own = images[:900][y[:900] == 3]
    with pytest.raises(ValueError, match="was never part"):  # as many of a prompt as there are, but others
        whole - Moments.fit(images[900:][: len(own)], np.full(len(own), 3))
    with pytest.raises(ValueError, match="was never part"):  # all but one, and that one would have a variance
        whole - Moments.fit(images[900:][: len(own) - 1], np.full(len(own) - 1, 3))


def test_floats_beyond_what_pixels_span_were_never_part() -> None:
    x = np.random.default_rng(0).random((20, 3, 3))
    with pytest.raises(ValueError, match=r"has pixels from 0.* to 1\.9.*, and those here lie from .* never part"):
        Moments.fit(x, pixel_range=(0, 2)) - Moments.fit(x[:5] * 2, pixel_range=(0, 2))


@pytest.mark.parametrize(("size", "digits_left"), [(1e2, None), (1e3, None), (1e5, 6), (1e7, 2)])
def test_few_digits_that_are_left_are_reported(size: float, digits_left: int | None) -> None:
    rng = np.random.default_rng(0)
    mine, theirs = rng.standard_normal((50, 4)), size * rng.standard_normal((50, 4))
    a, b = (Moments.fit(x, np.full(50, "cat"), None) for x in (mine, theirs))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        left = ((a + b) - b).counted_in(a.image)
    error = np.abs(left.scatter - a.scatter).max() / a.scatter.max()
    assert error < 10 * size**2 * 1e-16
    if digits_left is None:
        assert not said
    else:
        text = (
            f"about {digits_left} of 16 digits are left of the moments of prompt 'cat': far more was taken away than "
        )
        assert str(said[0].message).startswith(text + "the 50 images that stay")
        assert error > size**2 * 1e-18


def test_a_pixel_that_nobody_else_used_has_no_variance_left(grey: Digits) -> None:
    """Rounding would leave some of either sign."""
    images, y = grey[0].astype(np.float32) / 3, grey[1]
    mine = images.copy()
    mine[:900, :, 3] = 7.0
    left = (Moments.fit(mine[:900], y[:900], (0, 85)) + Moments.fit(mine[900:], y[900:], (0, 85))) - Moments.fit(
        mine[900:], y[900:], (0, 85)
    )
    assert (left.variances >= 0).all()
    assert_allclose(left.variances.reshape(-1, 8, 8)[:, :, 3], 0.0, atol=1e-8)
    assert np.linalg.eigvalsh(left.covariances).min() > -1e-8
    only = (Moments.fit(images[:1]) + Moments.fit(images[1:])) - Moments.fit(images[1:])
    assert not only.scatter.any()


# Said and saved


def test_it_says_what_it_is_of(grey: Digits, digits: Digits) -> None:
    images, y = grey
    about = json.loads(json.dumps(Moments.fit(images, y).describe()))
    assert about["n_images"] == 1797
    assert about["prompts"] == {str(c): int(n) for c, n in enumerate(np.bincount(y))}
    assert about["image_shape"] == [8, 8]
    assert about["dtype"] == "uint8"
    assert about["pixel_range"] == about["pixel_span"] == [0.0, 255.0]
    assert about["n_bytes"] > 8 * 10 * 64 * 64
    assert_allclose([about["mean"], about["deviation"]], [images.mean(), images.std()], rtol=1e-10)
    far = digits[0] * 1e-160 + 5e-159  # in units of its own
    about = Moments.fit(far, y, None).describe()
    assert about["pixel_range"] is None
    assert_allclose(
        [about["mean"] / 1e-160, about["deviation"] / 1e-160], [digits[0].mean() + 50, digits[0].std()], rtol=1e-8
    )
    assert repr(Moments.fit(images, y)) == "Moments(1,797 images of 8 x 8, uint8, range 0 to 255, 10 prompts)"
    assert repr(Moments.fit(far, None, None)) == "Moments(1,797 images of 8 x 8, float64, no range, 1 prompt)"
    assert repr(of(np.ones((3, 2)), np.zeros(3, int))) == "Moments(3 rows of 2 features, 1 prompt)"
    assert Moments.of(np.ones((3, 2)), np.zeros(3, int), ABC[:1]).describe()["image_shape"] is None


def test_a_file_is_enough_for_a_model(tmp_path: Path, digits: Digits) -> None:
    images, y = digits[0] * 1e-160, digits[1]
    moments = Moments.fit(images, y, (0, 1e-160))
    moments.save(tmp_path / "m.safetensors")
    loaded, pickled = Moments.load(tmp_path / "m.safetensors"), pickle.loads(pickle.dumps(moments))
    assert loaded.image == pickled.image == moments.image
    assert loaded.image.unit != 1
    ours, theirs = (LinearDiffusion.from_moments(m, random_state=0).sample(5)[0] for m in (loaded, moments))
    assert_array_equal(ours, theirs)


def test_files_without_a_format_are_read_and_others_are_checked(tmp_path: Path) -> None:
    from safetensors.numpy import load, save

    path = tmp_path / "m.safetensors"
    Moments.fit(np.zeros((3, 2, 2), np.uint8), [1, 2, 2]).save(path)
    arrays = load(path.read_bytes())
    path.write_bytes(save(arrays))  # as they were before they knew images
    assert Moments.load(path).image is None
    for image, message in (
        ({}, "shape"),
        (
            {"shape": [2, 3], "dtype": "uint8", "span": [0, 255], "origin": 0, "unit": 1, "range": [0, 255]},
            "have other",
        ),
        ({"shape": [2, 2], "dtype": "U5", "span": [0, 255], "origin": 0, "unit": 1, "range": [0, 255]}, "none that"),
        ([], ""),
    ):
        path.write_bytes(save(arrays, {"image": json.dumps({"dtype": "str", "values": [json.dumps(image)]})}))
        with pytest.raises(ModelFileError, match=message):
            Moments.load(path)
    path.write_bytes(save(arrays | {"prompts": np.array([2, 1])}))
    with pytest.raises(ModelFileError, match="not distinct and in order"):
        Moments.load(path)
    path.write_bytes(save(arrays | {"counts": np.array([2.0, -1.0])}))
    with pytest.raises(ModelFileError, match="array 'counts' are none"):
        Moments.load(path)


# Refused before any work


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: Moments.fit(x[0, 0]), "Expected 2D array, got 1D array"),
        (lambda x: Moments.fit(x, [1, 2]), "one prompt for each of the 50 images"),
        (lambda x: Moments.fit(x, pixel_range=(1, 0)), r"pixel_range=\(1, 0\) must be"),
        (lambda x: Moments.fit(x, pixel_range="full"), r"pixel_range='full' must be"),
        (lambda x: Moments.fit(x, pixel_range=(0, 5)), "does not hold X"),
        (lambda x: Moments.fit(np.where(x > 9, np.nan, x)), "NaN"),
        (lambda x: Moments.fit(x[:0]), "0 sample"),
        (lambda x: Moments.fit(x[:, None].repeat(3, axis=1)), "channels before its rows"),
        (
            lambda x: Moments.fit(np.zeros((2, 65, 64), np.uint8)),
            r"1 matrices of 4,160 x 4,160 numbers",
        ),
    ],
)
def test_images_are_checked_as_a_fit_checks_them(grey: Digits, call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(grey[0][:50])


def test_matrices_that_do_not_fit_are_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.zeros((8, 30, 30), np.uint8)
    a, b = Moments.fit(x[:4], list("abcd")), Moments.fit(x[:4], list("efgh"))
    monkeypatch.setattr("linear_diffusion.denoiser.moments.available_memory", lambda: 40_000_000)
    with pytest.raises(NotEnoughMemoryError, match=r"keep 8 matrices of 900 x 900 numbers: .* MB are available"):
        _ = a + b
    with pytest.raises(NotEnoughMemoryError, match="8 matrices of 900 x 900"):
        Moments.fit(x, list("abcdefgh"))
