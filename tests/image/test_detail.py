"""Detail curves: differences of neighbouring pixels, against convolutions, sorting and blurring by scipy."""

from copy import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import convolve
from scipy.signal import correlate2d
from scipy.stats import ks_2samp

from linear_diffusion import LinearDiffusion
from linear_diffusion.image.detail import (
    N_DIFFERENCES,
    N_LEVELS,
    REACH,
    DetailCurves,
    _rearranged,
    corrected,
    count_differences,
    differences,
    fit_detail_curves,
    has_details,
)
from linear_diffusion.image.format import ImageFormat

KERNELS = [np.array(k) for k in ([[1, -1], [1, -1]], [[1, 1], [-1, -1]], [[1, -1], [-1, 1]])]
"""Across, down, diagonal."""
GREY = ImageFormat((6, 5), "uint8", (0.0, 255.0))
NONE = np.zeros((1, 3, N_DIFFERENCES), np.int16)
ALL = np.broadcast_to(-np.arange(-REACH, REACH + 1), (1, 3, N_DIFFERENCES)).astype(np.int16)
"""What takes all differences away."""
PLAIN = np.linspace(0, 255, N_LEVELS)[None].astype(np.float32)


def squares(images: np.ndarray, image: ImageFormat) -> np.ndarray:
    """Differences of grey images (n, h, w), without what stands at the rows' ends: (3, n, h - 1, w - 1)."""
    h, w = image.shape
    return differences(images.reshape(-1, h * w), image).reshape(3, -1, h - 1, w)[..., :-1]


def uint8(image: ImageFormat, n: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, image.n_pixels), dtype=np.uint8)


def edges(n: int, seed: int = 0) -> np.ndarray:
    """Images (12, 12) of one flat area on black, with a sharp edge somewhere."""
    rng = np.random.default_rng(seed)
    place, tone = rng.integers(2, 10, (n, 1, 1)), rng.integers(100, 250, (n, 1, 1))
    return np.where(np.arange(12) < place, tone, 0).repeat(12, axis=1).astype(np.uint8)


# Differences


@given(arrays(np.uint8, (2, 6, 5)))
def test_differences_are_correlations_with_haars_filters(images: np.ndarray) -> None:
    found = squares(images, GREY)
    for u, kernel in zip(found, KERNELS, strict=True):
        assert u.dtype == np.int16
        for one, image in zip(u, images, strict=True):
            assert_array_equal(one, correlate2d(image.astype(int), kernel, "valid"))


def test_channels_differ_from_themselves_alone() -> None:
    rgb = ImageFormat((6, 5, 3), "uint8", (0.0, 255.0))
    rows = uint8(rgb)
    counts = count_differences(rows, rgb)
    shift = np.random.default_rng(1).integers(-90, 90, counts.shape).astype(np.int16)
    whole = corrected(shift, rows, rgb)
    for c in range(3):
        alone = np.ascontiguousarray(rows[:, c::3])
        assert_array_equal(counts[c], count_differences(alone, GREY)[0])
        assert_array_equal(whole[:, c::3], corrected(shift[c : c + 1], alone, GREY))
    assert counts.sum() == 40 * 3 * 3 * 5 * 4


def test_counts_are_of_every_square() -> None:
    rows = uint8(GREY)
    counts = count_differences(rows, GREY)[0]
    for f, u in enumerate(squares(rows, GREY)):
        assert_array_equal(np.repeat(np.arange(-REACH, REACH + 1), counts[f].astype(int)), np.sort(u.ravel()))


# Correction


def test_no_correction_leaves_an_image_and_full_correction_blurs_it() -> None:
    """Haar's filters at all places are a tight frame: what is left without differences is a binomial blur."""
    rows = uint8(GREY)
    assert_array_equal(corrected(NONE, rows, GREY), 16 * rows.astype(int))
    images = rows.reshape(-1, 6, 5).astype(int)
    blurred = corrected(ALL, rows, GREY).reshape(images.shape)
    kernel = np.outer([1, 2, 1], [1, 2, 1])
    for one, image in zip(blurred, images, strict=True):
        assert_array_equal(one[1:-1, 1:-1], convolve(image, kernel)[1:-1, 1:-1])


def test_corrections_are_no_larger_than_differences_can_be() -> None:
    """Also where nothing that samples show is as large as what training images have; others are refused when read."""
    rng = np.random.default_rng(0)
    dull, harsh = (np.clip(128 + rng.normal(0, std, (40, 30)), 0, 255).astype(np.uint8) for std in (5, 90))
    histogram = np.bincount(harsh.ravel(), minlength=256)[None].astype(float)
    shift, _ = fit_detail_curves(dull, count_differences(harsh, GREY), histogram, GREY)
    assert np.abs(shift.astype(int)).max() == REACH


@pytest.mark.parametrize("pixel_range", [(0.0, 1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_go_the_way_of_bytes(dtype: str, pixel_range: tuple[float, float]) -> None:
    image, (low, high) = ImageFormat((6, 5), dtype, pixel_range), pixel_range
    rows = uint8(GREY)
    shift = np.random.default_rng(2).integers(-90, 90, NONE.shape).astype(np.int16)
    scaled = (low + (high - low) * rows.astype(np.float64) / 255).astype(dtype)
    assert_array_equal(corrected(shift, scaled, image), corrected(shift, rows, GREY))
    assert_array_equal(count_differences(image.tones(scaled), image), count_differences(rows, GREY))
    curves = DetailCurves(np.zeros(1, int), NONE[None], (low + (high - low) * PLAIN[None] / 255).astype(np.float32))
    assert_allclose(curves.apply(scaled, 0, image), scaled, atol=(high - low) * 1e-6)


def test_levels_stay_within_the_range() -> None:
    rows = np.where(uint8(GREY) > 128, 255, 0).astype(np.uint8)
    wild = np.random.default_rng(3).choice([-REACH, REACH], NONE.shape).astype(np.int16)
    found = corrected(wild, rows, GREY)
    assert found.min() == 0
    assert found.max() == N_LEVELS - 1


# Histograms


@given(arrays(np.int64, 300, elements=st.integers(0, 40)), arrays(np.int64, 300, elements=st.integers(0, 40)))
def test_rearranged_is_what_sorting_pairs(a: np.ndarray, b: np.ndarray) -> None:
    a, b = np.r_[a, -a], np.r_[b, -b]  # one sign is one half of either
    seen, target = (np.bincount(v[v >= 0], minlength=60).astype(float) for v in (a, b))
    target[0], seen[0] = (b == 0).sum(), (a == 0).sum()
    mapped = _rearranged(seen, target)
    assert mapped[0] == 0
    if (a != 0).any():
        pairs, places = np.sort(b), np.sort(a)
        for value in np.unique(a[a > 0]):
            paired = pairs[places == value]
            assert paired.min() - 0.5 <= mapped[value] <= paired.max() + 0.5
        assert (np.diff(mapped[np.unique(a[a >= 0])]) >= 0).all()


@given(arrays(np.int64, 50, elements=st.integers(0, 9)))
def test_a_histogram_becomes_itself_by_no_move(counts: np.ndarray) -> None:
    assert_allclose(_rearranged(counts.astype(float), counts.astype(float)), np.arange(50), atol=1e-9)


def test_what_samples_have_too_little_of_stays_and_too_much_of_goes() -> None:
    """More zeros in the target: small differences vanish. Fewer: none is made where there was none."""
    seen, target = np.zeros(20), np.zeros(20)
    seen[[0, 1, 10]], target[[0, 10]] = (100, 30, 20), (160, 20)
    assert_allclose(_rearranged(seen, target)[[0, 1, 10]], [0, 0, 10], atol=0.5)
    assert_allclose(_rearranged(target, seen)[[0, 10]], [0, 7], atol=4)


# Fit


def test_blurred_samples_come_back_to_the_differences_and_pixels_of_sharp_images() -> None:
    image = ImageFormat((12, 12), "uint8", (0.0, 255.0))
    real = edges(2000).reshape(2000, -1)
    noisy = edges(2000, seed=1).astype(float) + np.random.default_rng(2).normal(0, 12, (2000, 12, 12))
    samples = np.clip(np.rint(noisy), 0, 255).astype(np.uint8).reshape(2000, -1)
    target, histogram = count_differences(real, image), np.bincount(real.ravel(), minlength=256)[None].astype(float)
    shift, table = fit_detail_curves(samples, target, histogram, image)
    curves = DetailCurves(np.zeros(1, int), shift[None], image.cast(table[None]))
    new = edges(2000, seed=3).astype(float) + np.random.default_rng(4).normal(0, 12, (2000, 12, 12))
    new = np.clip(np.rint(new), 0, 255).astype(np.uint8).reshape(2000, -1)
    out = curves.apply(new, 0, image)
    for f in range(3):
        before, after = (
            ks_2samp(squares(rows, image)[f].ravel(), squares(real, image)[f].ravel()).statistic for rows in (new, out)
        )
        assert after < 0.5 * before
    assert ks_2samp(out.ravel(), real.ravel()).statistic < 0.03
    assert ks_2samp(new.ravel(), real.ravel()).statistic > 0.2


def test_samples_that_are_real_need_no_correction() -> None:
    image = ImageFormat((12, 12), "uint8", (0.0, 255.0))
    real = edges(500).reshape(500, -1)
    histogram = np.bincount(real.ravel(), minlength=256)[None].astype(float)
    shift, table = fit_detail_curves(real, count_differences(real, image), histogram, image)
    assert_array_equal(shift, 0)
    assert_array_equal(DetailCurves(np.zeros(1, int), shift[None], image.cast(table[None])).apply(real, 0, image), real)


@pytest.mark.parametrize("tone", [0, 70, 255])
def test_one_tone_stays_one_tone(tone: int) -> None:
    rows = np.full((9, 30), tone, np.uint8)
    histogram = np.bincount(rows.ravel(), minlength=256)[None].astype(float)
    shift, table = fit_detail_curves(uint8(GREY), count_differences(rows, GREY), histogram, GREY)
    assert_allclose(DetailCurves(np.zeros(1, int), shift[None], table[None]).apply(rows, 0, GREY), tone, atol=0.51)


# Mixtures of curves, and models


def test_mixed_curves_are_weighted_means_and_none_leaves_pixels() -> None:
    rng, owner = np.random.default_rng(4), np.array([0, 0, 1])
    shift = rng.integers(-50, 50, (2, 1, 3, N_DIFFERENCES)).astype(np.int16)
    table = np.sort(rng.uniform(0, 255, (2, 1, N_LEVELS)), axis=-1).astype(np.float32)
    curves, rows = DetailCurves(owner, shift, table), uint8(GREY)
    mix = curves.mixed([({1: 1.0}, 0.0), ({0: 0.25, 2: 0.75}, 0.0), ({2: 0.0}, 1.0)], GREY)
    assert_array_equal(mix.owner, [0, 1, 2])
    assert_array_equal(mix.apply(rows, 0, GREY), curves.apply(rows, 0, GREY))
    assert_array_equal(mix.shift[1], np.rint(0.25 * shift[0] + 0.75 * shift[1]))
    assert_allclose(mix.table[1], 0.25 * table[0] + 0.75 * table[1], rtol=1e-6)
    assert_allclose(mix.apply(rows, 2, GREY), rows, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "pixel_range", "expected"),
    [
        ((8, 8), (0.0, 1.0), True),
        ((2, 2, 3), (0.0, 1.0), True),
        ((8, 8), None, False),
        ((64,), (0.0, 1.0), False),
        ((1, 8), (0.0, 1.0), False),
        ((8, 1, 3), (0.0, 1.0), False),
    ],
)
def test_details_are_of_images_with_a_range(
    shape: tuple[int, ...], pixel_range: tuple[float, float] | None, expected: bool
) -> None:
    assert has_details(ImageFormat(shape, "float64", pixel_range)) == expected


def test_samples_of_styles_have_the_differences_of_training_images() -> None:
    noise = np.random.default_rng(5).normal(0, 3, (3000, 12, 12))
    X = np.clip(edges(3000) + noise, 0, 255).astype(np.uint8)
    model = LinearDiffusion(styles=10, latent_dim=40, random_state=0).fit(X)
    bare = copy(model)
    bare.decoder_ = model.decoder_.without_details()
    real, found, without = (
        count_differences(images.reshape(3000, -1), model.decoder_.image)[0] / (3000 * 11 * 11)
        for images in (X, model.sample(3000)[0], bare.sample(3000)[0])
    )
    assert np.abs(found - real).sum() < 0.5 * np.abs(without - real).sum()


@pytest.mark.parametrize("parameters", [{"styles": 1}, {"tone": False}, {"pixel_range": None}])
def test_there_are_none_without_styles_or_tone_curves(parameters: dict[str, object]) -> None:
    assert LinearDiffusion(**{"styles": 3, "latent_dim": 4} | parameters).fit(edges(60)).decoder_.details is None


def test_a_later_fit_without_styles_keeps_no_details() -> None:
    model = LinearDiffusion(styles=3, latent_dim=4).fit(edges(60))
    assert model.decoder_.details is not None
    assert model.set_params(styles=1).fit(edges(60)).decoder_.details is None
