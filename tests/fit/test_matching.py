"""Calibration: what leaves the tone curve varies as the training images do."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion, calibration, render
from linear_diffusion.denoiser.law import Styles
from linear_diffusion.draw import draw_styles
from linear_diffusion.fit.matching import _CHANGE, _RANGE, _SPEED, WithinStyles, _correction, _widening, moments_within
from linear_diffusion.plan import draw_prompts

Images = tuple[np.ndarray, np.ndarray]


def make_styles(counts: list[int], k: int, seed: int) -> Styles:
    """Prompts of that many styles each, of which the moments read owners and bases alone."""
    rng, p, m = np.random.default_rng(seed), len(counts), sum(counts)
    return Styles(
        owner=np.repeat(np.arange(p), counts),
        group=np.arange(m),
        shares=np.concatenate([rng.dirichlet(np.full(n, 4.0)) for n in counts]),
        means=rng.standard_normal((m, k)),
        factors=rng.standard_normal((m, k, min(2, k))).astype(np.float32),
        basis=np.linalg.qr(rng.standard_normal((p, k, k)))[0],
        variances=rng.uniform(0.05, 0.6, (p, k)),
    )


@pytest.fixture(scope="module")
def blobs() -> Images:
    """4,000 uint8 images (8, 8) of two prompts: bright blobs that move and grow on black, mostly at the bounds."""
    rng, n = np.random.default_rng(0), 4000
    y = np.arange(n) % 2
    row, column = (rng.normal(3.5, 0.7, n)[:, None, None] for _ in range(2))
    width = np.exp(rng.normal(np.where(y, 0.2, 0.6), 0.2))[:, None, None]
    grid = np.arange(8.0)
    square = (grid[:, None] - row) ** 2 + np.where(y, 2.0, 1.0)[:, None, None] * (grid - column) ** 2
    light = rng.uniform(400, 900, (n, 1, 1)) * np.exp(-square / (2 * width**2)) - 60
    return np.clip(light + rng.normal(0, 4, light.shape), 0, 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def calibrated(blobs: Images) -> LinearDiffusion:
    return LinearDiffusion(styles=12, latent_dim=20, random_state=0).fit(*blobs)


@pytest.fixture(scope="module")
def bare(blobs: Images) -> LinearDiffusion:
    """The same without calibration; its curves are fitted to its own law."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(calibration, "_N_ROUNDS", 0)
        return LinearDiffusion(styles=12, latent_dim=20, random_state=0).fit(*blobs)


def labels_of(model: LinearDiffusion, images: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The nearest style of each training image, as k-means had it."""
    z, labels = model.transform(images), np.empty(len(images), np.intp)
    for j, means in enumerate(model.style_means_):
        own = y == j
        labels[own] = np.linalg.norm(z[own][:, None] - means, axis=2).argmin(axis=1) + model._mixture.of(j)[0]
    return labels


def sampled_moments(model: LinearDiffusion, n: int, seed: int) -> WithinStyles:
    """Moments of encoded samples, of styles as frequent as in training."""
    prompt, first = draw_prompts(seed, model.weights_, n), model._style_ranges()[0]
    drawn = draw_styles(seed, model._mixture, prompt)
    images = model.sample(prompts=model.classes_[prompt], styles=drawn - first[prompt], random_state=seed)[0]
    return moments_within(model._mixture, model.transform(images), drawn)


# Moments


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 120), st.integers(0, 99))
def test_moments_within_are_numpys(counts: list[int], k: int, n: int, seed: int) -> None:
    styles, rng = make_styles(counts, k, seed), np.random.default_rng(seed)
    labels, z = rng.integers(0, sum(counts), n), 3 + rng.standard_normal((n, k))
    found = moments_within(styles, z, labels)
    assert_array_equal(found.counts, np.bincount(labels, minlength=sum(counts)))
    for c in range(len(counts)):
        squares, freedom = np.zeros(k), 0
        for j in styles.of(c):
            y = z[labels == j] @ styles.basis[c]
            assert_allclose(found.means[j], y.mean(axis=0) if len(y) else np.zeros(k), atol=1e-12)
            squares += y.var(axis=0) * len(y) if len(y) else 0.0
            freedom += max(len(y) - 1, 0)
        known = freedom >= calibration._LEAST_FREEDOM
        assert_allclose(found.variances[c], squares / freedom if known else np.zeros(k), atol=1e-11)


def test_moments_of_single_precision_lose_no_digits_to_their_mean() -> None:
    styles, rng = make_styles([3, 2], 4, 0), np.random.default_rng(1)
    labels, z = rng.integers(0, 5, 20_000), 1000 + rng.standard_normal((20_000, 4))
    single, double = (moments_within(styles, z.astype(dtype), labels) for dtype in (np.float32, np.float64))
    assert_allclose(single.means, double.means, atol=2000 * 2**-22)
    assert_allclose(single.variances, double.variances, rtol=2e-3)


# A round


def test_deviations_are_widened_towards_the_target_within_bounds() -> None:
    target = np.array([[1.0, 1.21, 4.0, 1e6, 1e-9, 0.0, 5.0]])
    seen = np.array([[1.0, 1.0, 9.0, 1.0, 1.0, 3.0, 0.0]])
    found = _widening(
        WithinStyles(np.zeros((1, 7)), target, np.ones(1)), WithinStyles(np.zeros((1, 7)), seen, np.ones(1))
    )
    expected = [1.0, 1.1**_SPEED, (2 / 3) ** _SPEED, _CHANGE**_SPEED, _CHANGE**-_SPEED, 1.0, 1.0]
    assert_allclose(found, [expected])


def test_means_move_by_what_chance_does_not_explain() -> None:
    """Drawn means that differ by chance alone stay; those that differ by more move by nearly all of it."""
    rng, owner, k = np.random.default_rng(2), np.zeros(400, np.intp), 3
    counts, variances = np.full(400, 25.0), np.array([[4.0, 4.0, 4.0]])
    off = rng.standard_normal((400, k)) * [0.0, 0.4, 4.0]
    chance = rng.standard_normal((400, k)) * np.sqrt(4.0 / 25)
    target = WithinStyles(np.zeros((400, k)), variances, counts)
    moved = _correction(target, WithinStyles(off + chance, variances, counts), owner)
    slope = -(moved * off).sum(axis=0)[1:] / (off**2).sum(axis=0)[1:]
    assert np.abs(moved[:, 0]).max() < 0.25 * np.abs(chance[:, 0]).max()
    assert_allclose(slope, [0.5, 0.99], atol=0.06)  # 0.4^2 / (0.4^2 + 4 / 25), 16 / (16 + 4 / 25)
    error = [((m * moved + off + chance - (1 - m) * chance) ** 2).mean() for m in (0, 1)]
    assert error[1] < error[0]


def test_means_stay_where_nothing_or_too_little_was_drawn() -> None:
    owner, counts = np.array([0, 0, 1, 1]), np.array([30.0, 0.0, 6.0, 5.0])
    target = WithinStyles(np.full((4, 2), 5.0), np.ones((2, 2)), np.full(4, 20.0))
    moved = _correction(target, WithinStyles(np.zeros((4, 2)), np.array([[1.0, 1.0], [0.0, 0.0]]), counts), owner)
    assert (moved[0] > 4.8).all()
    assert_array_equal(moved[1:], 0.0)


# What comes of it


def test_images_vary_within_styles_as_training_images_do_and_not_without(
    blobs: Images, calibrated: LinearDiffusion, bare: LinearDiffusion
) -> None:
    target = moments_within(calibrated._mixture, calibrated.transform(blobs[0]), labels_of(calibrated, *blobs))
    large = target.variances > 0.02 * target.variances.max()
    assert large.sum() > 10
    found = {}
    for name, model in (("calibrated", calibrated), ("bare", bare)):
        seen = sampled_moments(model, 20_000, seed=123)
        ratio = (seen.variances / target.variances)[large]
        distance = np.linalg.norm(seen.means - target.means, axis=1).mean()
        off = np.sqrt(((ratio - 1) ** 2).mean())
        found[name] = off, np.abs(ratio - 1).max(), seen.variances.sum() / target.variances.sum(), distance
    off, most, total, distance = found["calibrated"]
    assert off < 0.05  # chance alone: 0.015
    assert most < 0.15
    assert_allclose(total, 1.0, atol=0.03)
    assert found["bare"][0] > 0.15
    assert found["bare"][2] < 0.87
    assert distance < 0.7 * found["bare"][3]


def test_the_mixture_that_was_learned_is_left_alone(calibrated: LinearDiffusion, bare: LinearDiffusion) -> None:
    for name in ("means", "factors", "basis", "variances", "shares"):
        assert_array_equal(getattr(calibrated._mixture, name), getattr(bare._mixture, name))


def test_widened_scales_deviations_along_the_prompts_basis() -> None:
    styles, rng = make_styles([3, 2], 4, 5), np.random.default_rng(5)
    gain, means = rng.uniform(0.5, 2, (2, 4)), rng.standard_normal((5, 4))
    wide = styles.widened(calibration.Calibration(gain, means))
    assert_array_equal(wide.means, means)
    for j in range(5):
        scale = np.diag(gain[styles.owner[j]])
        covariances = [
            np.diag(s.variances[s.owner[j]]) + s.factors[j].astype(float) @ s.factors[j].T.astype(float)
            for s in (styles, wide)
        ]
        assert_allclose(covariances[1], scale @ covariances[0] @ scale, rtol=1e-5, atol=1e-6)
    same = styles.widened(calibration.Calibration(np.ones((2, 4)), styles.means))
    for name in ("means", "factors", "basis", "variances", "shares"):
        assert_array_equal(getattr(same, name), getattr(styles, name))


def test_gains_stay_within_their_range(calibrated: LinearDiffusion, rgb: np.ndarray) -> None:
    # Two tones far apart: no law before such a curve varies as the images do.
    hard = np.where(rgb > 250, 255, 0).astype(np.uint8)
    for model in (calibrated, LinearDiffusion(styles=5, latent_dim=60).fit(hard)):
        gain = model._calibration.gain
        assert gain.min() >= 1 / _RANGE
        assert gain.max() <= _RANGE
    assert len(np.unique(calibrated._calibration.gain)) > 20


def test_there_is_no_calibration_without_a_curve_or_styles(blobs: Images) -> None:
    X, y = blobs[0][:300], blobs[1][:300]
    rows = X.reshape(300, -1) / 2.0
    for parameters, data in [({"tone": False}, X), ({}, rows), ({"styles": 1}, X), ({"training": "sampled"}, X)]:
        model = LinearDiffusion(**{"styles": 4, "latent_dim": 6} | parameters).fit(data, y)
        assert model._calibration is None
    ranged = LinearDiffusion(styles=4, latent_dim=6, pixel_range=(0, 255)).fit(rows, y)
    assert ranged._calibration is not None
    assert ranged.set_params(styles=1).fit(rows, y)._calibration is None  # nor is one left from another fit
    styles = make_styles([2], 6, 0)
    generator = replace(ranged._generator(), styles=None)
    with pytest.raises(ValueError, match="calibration needs styles, and images with a pixel range"):
        calibration.calibrate(generator, np.zeros((3, 6)), np.zeros(3, np.intp), np.ones(1), np.ones((1, 1, 256)))
    assert len(styles.owner) == 2


def test_it_is_the_same_every_time_whatever_the_seed_of_samples(blobs: Images, calibrated: LinearDiffusion) -> None:
    again = LinearDiffusion(styles=12, latent_dim=20, random_state=9).fit(*blobs)
    assert_array_equal(again._calibration.gain, calibrated._calibration.gain)
    assert_array_equal(again._calibration.means, calibrated._calibration.means)
    assert_array_equal(again._curves.table, calibrated._curves.table)


def test_a_calibrated_model_comes_back_with_the_same_bits(calibrated: LinearDiffusion, tmp_path: Path) -> None:
    calibrated.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    for name in ("gain", "means"):
        assert_array_equal(getattr(loaded._calibration, name), getattr(calibrated._calibration, name))
    for options in ({}, {"sampler": "heun", "n_steps": 4}, {"sampler": "ddpm", "n_steps": 4, "styles": "mixture"}):
        assert_array_equal(loaded.sample(300, **options)[0], calibrated.sample(300, **options)[0])
    loaded.save_pretrained(tmp_path / "again")
    for path in tmp_path.glob("*.*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_every_sampler_draws_from_the_calibrated_law(calibrated: LinearDiffusion) -> None:
    n = 1500
    exact = calibrated.sample(n, 0, random_state=5)[0].astype(float)
    spread = exact.std(axis=0).mean()
    for options in ({"sampler": "ddim", "n_steps": 200}, {"sampler": "heun", "n_steps": 20, "styles": "mixture"}):
        other = calibrated.sample(n, 0, random_state=6, **options)[0].astype(float)
        assert_allclose(other.std(axis=0).mean(), spread, rtol=0.04)
        assert np.sqrt(((other.mean(axis=0) - exact.mean(axis=0)) ** 2).mean()) < 3 * spread / np.sqrt(n)


DATA: dict[str, Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]] = {
    "one, two and three images": lambda rng: (
        rng.random((66, 4, 4)),
        np.repeat([0, 1, 2, 3], [1, 2, 3, 60]),
    ),
    "a prompt a thousand times rarer": lambda rng: (rng.random((3003, 3, 3)), np.repeat([0, 1], [3000, 3])),
    "one image a style": lambda rng: (
        np.r_[np.eye(5).repeat(5, 1).reshape(5, 5, 5), np.ones((55, 5, 5)) / 2],
        np.zeros(60),
    ),
    "constant images": lambda rng: (
        np.r_[np.full((40, 4, 4), 0.5), rng.random((40, 4, 4))],
        np.arange(80) // 40,
    ),
    "black": lambda rng: (np.zeros((50, 4, 4)), np.zeros(50)),
    "RGB": lambda rng: (rng.random((60, 4, 3, 3)) ** 3, np.arange(60) % 2),
    "two tones": lambda rng: (np.round(rng.random((60, 4, 4))), np.arange(60) % 2),
}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_any_images_are_calibrated_and_stay_finite(data: str, dtype: type) -> None:
    X, y = DATA[data](np.random.default_rng(7))
    X = np.rint(255 * X).astype(np.uint8) if dtype == np.uint8 else X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore" if data.startswith("one") else "error", "(?s).* 1 image only")
        model = LinearDiffusion(random_state=0).fit(X, y)
        images = model.sample(200)[0]
    found = model._calibration
    assert np.isfinite(found.gain).all()
    assert np.isfinite(found.means).all()
    assert ((found.gain >= 1 / _RANGE) & (found.gain <= _RANGE)).all()
    assert np.isfinite(images).all()
    assert images.dtype == dtype
    few = np.bincount(y.astype(int), minlength=len(model.classes_)) <= 10
    assert_array_equal(found.gain[few], 1.0)


def test_a_rare_prompts_means_are_not_moved_by_chance() -> None:
    """Of 20,000 drawn images 6 or so are of the rare prompt: too few to tell by what its mean is off."""
    rng = np.random.default_rng(8)
    X, y = rng.random((9003, 3, 3)), np.repeat([0, 1], [9000, 3])
    model = LinearDiffusion(styles=2).fit(X, y)
    assert_array_equal(model._calibration.means[-1], model._mixture.means[-1])
    assert (model._calibration.means[0] != model._mixture.means[0]).any()


def test_what_a_fit_draws_is_not_what_any_seed_of_samples_draws(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = set()
    original = render.start_noise

    def spy(entropy: int, *rest: int) -> np.ndarray:
        seeds.add(entropy)
        return original(entropy, *rest)

    monkeypatch.setattr(render, "start_noise", spy)
    model = LinearDiffusion(styles=3, latent_dim=8, random_state=3).fit(digits[0], digits[1])
    assert len(seeds) == 9  # eight rounds of moment matching, one of detail curves
    assert min(seeds) > 2**40
    model.sample(2)
    assert 3 in seeds
