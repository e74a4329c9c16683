from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import ModelFileError, Moments

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
    back = (a + b) - b
    known = np.isin(back.prompts, a.prompts)
    assert_same(
        Moments(back.prompts[known], back.counts[known], back.means[known], back.scatter[known], back.histogram[known]),
        a,
        size=100,
    )
    for left in (back.counts, back.means, back.scatter):
        assert not left[~known].any()


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
    with pytest.raises(ValueError, match=r"cannot subtract moments of 3 images from those of 1: prompt .*'a'.* fewer"):
        few - many
    with pytest.raises(ValueError, match=r"prompt .*'b'.* would have fewer than none"):
        many - Moments.of(x[:1], np.array([0]), np.array(["b"]))


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
