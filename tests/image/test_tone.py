import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import ndtr

from linear_diffusion import LinearDiffusion
from linear_diffusion.image.tone import _REACH, N_ENTRIES, ToneCurves, _distribution, fit_tone_curve, fit_tone_curves

Digits = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
MEANS, VARIANCES = RNG.uniform(0, 200, 50), RNG.uniform(0, 40, 50) ** 2


def draw_mixture(means: np.ndarray, variances: np.ndarray, n: int) -> np.ndarray:
    """n draws of every pixel, shape (n, d)."""
    return means + np.sqrt(variances) * np.random.default_rng(1).standard_normal((n, len(means)))


def toned(pixels: np.ndarray, curve: tuple[float, float, np.ndarray]) -> np.ndarray:
    low, step, table = curve
    return ToneCurves(np.array([[low]]), np.array([[step]]), table[None, None]).look_up((pixels - low) / step, 0)


def kolmogorov(counts: np.ndarray, histogram: np.ndarray) -> float:
    return float(np.abs(np.cumsum(counts) / counts.sum() - np.cumsum(histogram) / histogram.sum()).max())


def count(pixels: np.ndarray) -> np.ndarray:
    return np.bincount(np.rint(pixels).astype(int).ravel(), minlength=256)


histograms = st.dictionaries(st.integers(0, 255), st.integers(1, 10**6), min_size=1, max_size=20).map(
    lambda bins: np.array([float(bins.get(i, 0)) for i in range(256)])
)
mixtures = st.lists(
    st.tuples(st.floats(-1e3, 1e3), st.one_of(st.just(0.0), st.floats(1e-6, 1e6))), min_size=1, max_size=8
)


@given(histograms, mixtures, st.sampled_from([(0.0, 255.0), (0.0, 1.0), (-3.0, 5.0)]))
def test_every_curve_rises_within_the_tones_that_there_are(
    histogram: np.ndarray, mixture: list[tuple[float, float]], pixel_range: tuple[float, float]
) -> None:
    means, variances = np.array(mixture).T
    low, step, table = fit_tone_curve(means, variances, histogram, pixel_range)
    assert np.isfinite([low, step]).all()
    assert step > 0
    assert (np.diff(table) >= 0).all()
    first, last = np.flatnonzero(histogram)[[0, -1]] / 255 * (pixel_range[1] - pixel_range[0]) + pixel_range[0]
    slack = 1e-6 * np.abs(pixel_range).max()
    assert first - slack <= table[0] <= table[-1] <= last + slack
    spread = np.sqrt(variances)
    assert low <= (means - 4.9 * spread).min()
    assert low + step * N_ENTRIES >= (means + 4.9 * spread).max()


@pytest.mark.parametrize(
    "histogram",
    [
        np.r_[700.0, np.ones(254), 300.0],
        np.r_[100.0, np.geomspace(1, 50, 254), 900.0],
        np.ones(256),
        np.r_[0.0, np.zeros(99), 5.0, np.zeros(100), 3.0, np.zeros(53), 2.0],
    ],
    ids=["mostly at the bounds", "skewed", "even", "three tones only"],
)
def test_curve_pushes_the_models_pixels_onto_the_histogram(histogram: np.ndarray) -> None:
    pixels = toned(draw_mixture(MEANS, VARIANCES, 4000), fit_tone_curve(MEANS, VARIANCES, histogram, (0.0, 255.0)))
    assert kolmogorov(count(pixels), histogram) < 0.01


def test_atoms_at_both_bounds_are_hit_exactly() -> None:
    histogram = np.r_[700.0, np.ones(100), np.zeros(100), np.ones(54), 300.0]
    pixels = toned(draw_mixture(MEANS, VARIANCES, 4000), fit_tone_curve(MEANS, VARIANCES, histogram, (0.0, 1.0)))
    assert_allclose((pixels == 0.0).mean(), 700 / histogram.sum(), atol=0.01)
    assert_allclose((pixels == 1.0).mean(), 300 / histogram.sum(), atol=0.01)


def test_curve_is_the_identity_where_the_source_is_the_target_already() -> None:
    means, variances = np.array([90.0, 150.0]), np.array([20.0**2, 25.0**2])
    histogram = count(np.clip(draw_mixture(means, variances, 200_000), 0, 255)).astype(float)
    low, step, table = fit_tone_curve(means, variances, histogram, (0.0, 255.0))
    source = low + step * np.arange(N_ENTRIES)
    common = (source > 60) & (source < 200)
    assert_allclose(table[common], source[common], atol=1.0)


def test_a_narrow_pixel_beside_wide_ones_keeps_its_share() -> None:
    """A border that hardly varies is a step in the source's distribution."""
    means, variances = np.r_[np.zeros(50), MEANS], np.r_[np.full(50, 1e-4), VARIANCES]
    histogram = np.r_[6000.0, np.ones(254), 300.0]
    pixels = toned(draw_mixture(means, variances, 2000), fit_tone_curve(means, variances, histogram, (0.0, 255.0)))
    assert (pixels[:, :50] == 0.0).mean() > 0.99


def on_grid(means: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mixture in steps of the table that `fit_tone_curve` makes for it."""
    low, high = (means - _REACH * std).min(), (means + _REACH * std).max()
    step = (high - low) / (N_ENTRIES - 1)
    return (means - low) / step, std / step


def direct(means: np.ndarray, std: np.ndarray, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Share below, by the normals' own distribution functions; half of what lies at a point is below it."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(at[:, None] == means, 0.0, (at[:, None] - means) / std)
    return ndtr(z) @ (weights / weights.sum())


@settings(max_examples=25)
@given(st.integers(300, 600), st.floats(0.0, 0.99), st.floats(0.3, 3.0), st.integers(0, 99))
def test_the_distribution_is_that_of_the_mixture(m: int, still: float, spread: float, seed: int) -> None:
    """To a thousandth, as many pixels as images have, a share of which is of no variance, at any weights."""
    rng = np.random.default_rng(seed)
    means = rng.normal(100, 70, m)
    std = np.where(rng.random(m) < still, 0.0, rng.lognormal(3.0, spread, m))
    weights = rng.gamma(1.0, size=m)
    means, std = on_grid(means, std)
    found = _distribution(means, std, weights)
    assert found.shape == (N_ENTRIES,)
    assert (np.diff(found) >= 0).all()
    entry = np.arange(0.0, N_ENTRIES, 11.0)
    found = found[::11]
    # A pixel without variance is a step, which a table has within an entry of its place.
    assert (found > direct(means, std, weights, entry - 1) - 1e-3).all()
    assert (found < direct(means, std, weights, entry + 1) + 1e-3).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=5))
def test_the_distribution_of_a_few_pixels_is_near(mixture: list[tuple[float, float, float]]) -> None:
    """Two widths in the place of one cost a hundredth and a half at most, where widths lie furthest apart."""
    means, std, weights = np.array(mixture).T
    std = np.where(std < 0.1, 0.0, std)
    if std.max() == 0.0:
        std[0] = 0.5
    means, std = on_grid(means, std)
    found, entry = _distribution(means, std, weights), np.arange(N_ENTRIES, dtype=float)
    assert (np.diff(found) >= 0).all()
    assert (found > direct(means, std, weights, entry - 1) - 0.015).all()
    assert (found < direct(means, std, weights, entry + 1) + 0.015).all()


def test_the_distribution_of_equal_widths_is_exact() -> None:
    means, std = on_grid(np.array([0.0, 10.0, 30.0]), np.full(3, 5.0))
    found = _distribution(means, std, np.array([1.0, 2.0, 1.0]))
    assert_allclose(found, direct(means, std, np.array([1.0, 2.0, 1.0]), np.arange(N_ENTRIES, dtype=float)), atol=1e-5)


def test_a_mixture_of_one_tone_is_half_below_its_entry() -> None:
    found = _distribution(np.zeros(4), np.zeros(4), np.ones(4))
    # A standard deviation of a quarter of an entry is the least, and takes 3 % to each neighbour.
    assert_allclose(found[0], 0.5, atol=0.035)
    assert_allclose(found[1:], 1.0, atol=0.05)


def test_look_up_rounds_to_the_nearest_entry_and_stays_at_the_ends() -> None:
    table = np.arange(N_ENTRIES, dtype=np.float32)
    position = np.array([[-1e9, -0.6, 0.4, 0.6, 17.4, 17.6, N_ENTRIES - 1.4, N_ENTRIES + 3.0, 1e9]])
    curves = ToneCurves(np.zeros((1, 1)), np.ones((1, 1)), table[None, None])
    for dtype in (np.float32, np.float64):
        found = curves.look_up(position.astype(dtype), 0)
        assert_array_equal(found[0], [0, 0, 0, 1, 17, 18, N_ENTRIES - 1, N_ENTRIES - 1, N_ENTRIES - 1])


def test_channels_interleave_and_prompts_have_their_own_curves() -> None:
    table = np.arange(2 * 3 * N_ENTRIES, dtype=np.float32).reshape(2, 3, N_ENTRIES)
    curves = ToneCurves(np.zeros((2, 3)), np.ones((2, 3)), table)
    position = np.tile([5.0, 6.0, 7.0], (1, 2)).astype(np.float32)
    expected = np.tile([table[1, 0, 5], table[1, 1, 6], table[1, 2, 7]], (1, 2))
    assert_array_equal(curves.look_up(position, 1), expected)
    assert_array_equal(curves[np.array([1])].look_up(position, 0), expected)


def test_curves_are_fitted_channel_by_channel_and_prompt_by_group() -> None:
    means, variances = RNG.uniform(0, 1, (2, 12)), RNG.uniform(0, 0.1, (2, 12))
    histogram = RNG.integers(0, 9, (2, 3, 256)).astype(float)
    one_normal = [(m[None], v[None], np.ones(1)) for m, v in zip(means, variances, strict=True)]
    curves = fit_tone_curves(iter(one_normal), histogram, (0.0, 1.0))
    for p, c in np.ndindex(2, 3):
        low, step, table = fit_tone_curve(means[p, c::3], variances[p, c::3], histogram[p, c], (0.0, 1.0))
        assert (curves.low[p, c], curves.step[p, c]) == (low, step)
        assert_array_equal(curves.table[p, c], table)


def test_the_curve_of_a_mixture_weighs_its_normals() -> None:
    means, variances = RNG.uniform(0, 1, (3, 12)), RNG.uniform(0.01, 0.1, (3, 12))
    histogram, shares = RNG.integers(1, 9, (1, 2, 256)).astype(float), np.array([0.5, 0.2, 0.3])
    curves = fit_tone_curves([(means, variances, shares)], histogram, (0.0, 1.0))
    # Shares of 5, 2 and 3 tenths are as many copies.
    copied_means, copied_variances = (np.repeat(a, [5, 2, 3], axis=0) for a in (means, variances))
    for c in range(2):
        low, step, table = fit_tone_curve(
            copied_means[:, c::2].ravel(), copied_variances[:, c::2].ravel(), histogram[0, c], (0.0, 1.0)
        )
        assert_allclose([curves.low[0, c], curves.step[0, c]], [low, step], rtol=1e-12)
        assert_allclose(curves.table[0, c], table, atol=1e-5)


def test_positions_count_entries_of_a_prompts_own_grid() -> None:
    low, step = np.array([[0.0, 10.0], [1.0, 20.0]]), np.array([[0.5, 2.0], [0.25, 4.0]])
    curves = ToneCurves(low, step, np.zeros((2, 2, N_ENTRIES), np.float32))
    for dtype in (np.float32, np.float64):
        position = curves.position(np.array([[1.0, 20.0, 2.0, 60.0]], dtype), 1)
        assert_array_equal(position, [[0, 0, 4, 10]])
        assert position.dtype == dtype


def test_samples_of_every_prompt_have_the_pixels_of_training(grey: Digits, model: LinearDiffusion) -> None:
    images, target = grey
    plain = LinearDiffusion(styles=1, latent_dim=12, tone=False).fit(images, target)
    for prompt in range(10):
        trained = np.bincount(images[target == prompt].ravel(), minlength=256)
        drawn, raw = (m.sample(3000, prompt, random_state=0)[0] for m in (model, plain))
        assert kolmogorov(count(drawn), trained) < 0.02
        assert kolmogorov(count(raw), trained) > 0.1  # without the curve it is not so


def test_samples_have_the_pixels_of_training_channel_by_channel(rgb: np.ndarray) -> None:
    drawn, _ = LinearDiffusion(styles=1, latent_dim=20).fit(rgb).sample(4000, random_state=0)
    for c in range(3):
        assert kolmogorov(count(drawn[..., c]), count(rgb[..., c])) < 0.02


def test_curve_comes_with_a_pixel_range_only_and_leaves_the_decoder_alone(
    digits: Digits, model: LinearDiffusion
) -> None:
    images, target = digits
    rows = images.reshape(-1, 64)
    toned_rows = (
        LinearDiffusion(styles=1, latent_dim=5, pixel_range=(0, 1)).fit(rows, target).sample(50, random_state=0)[0]
    )
    free = LinearDiffusion(styles=1, latent_dim=5).fit(rows, target).sample(50, random_state=0)[0]
    assert toned_rows.min() == 0.0
    assert toned_rows.max() == 1.0
    assert free.min() < 0.0
    plain = LinearDiffusion(styles=1, latent_dim=12, tone=False).fit(*[np.rint(images * 255).astype(np.uint8), target])
    z = model.transform(np.rint(images[:9] * 255).astype(np.uint8))
    assert_array_equal(model.inverse_transform(z), plain.inverse_transform(z))
