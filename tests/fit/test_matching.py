"""Moment matching: what leaves the tone curve varies as the training images do."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion import LinearDiffusion
from linear_diffusion import draw as drawing
from linear_diffusion.denoiser.law import Law
from linear_diffusion.denoiser.prior import ClassPrior
from linear_diffusion.fit import matching
from linear_diffusion.fit.matching import (
    _CHANGE,
    _LEAST_FREEDOM,
    _RANGE,
    _SPEEDS,
    WithinComponents,
    _correction,
    _widening,
    moments_within,
)
from linear_diffusion.plan import draw_components, draw_prompts

Images = tuple[np.ndarray, np.ndarray]


def make_law(s: int, k: int, seed: int) -> Law:
    """Of which the moments read the basis and how many components there are."""
    rng = np.random.default_rng(seed)
    return Law(
        shares=rng.dirichlet(np.full(s, 4.0)),
        means=rng.standard_normal((s, k)),
        factors=rng.standard_normal((s, k, min(2, k))).astype(np.float32),
        basis=np.linalg.qr(rng.standard_normal((k, k)))[0],
        variances=rng.uniform(0.05, 0.6, k),
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
def matched(blobs: Images) -> LinearDiffusion:
    return LinearDiffusion(styles=12, latent_dim=20, random_state=0).fit(*blobs)


@pytest.fixture(scope="module")
def bare(blobs: Images) -> LinearDiffusion:
    """The same without a round of matching; its curves are fitted to its own law."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "_SPEEDS", ())
        return LinearDiffusion(styles=12, latent_dim=20, random_state=0).fit(*blobs)


def moments_of(model: LinearDiffusion, images: np.ndarray, y: np.ndarray, style: np.ndarray) -> WithinComponents:
    """Moments of images whose styles are given, of all prompts one after the other."""
    z, prior = model.transform(images), model.prior_
    laws = [prior.law(j) for j in range(len(model.classes_))]
    each = [moments_within(z[y == j] @ law.basis, style[y == j], len(law.shares)) for j, law in enumerate(laws)]
    return WithinComponents(
        *(np.concatenate([getattr(m, part) for m in each]) for part in ("means", "variances", "counts"))
    )


def nearest_styles(model: LinearDiffusion, images: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The nearest style of each training image, as k-means had it."""
    z, style = model.transform(images), np.empty(len(images), np.intp)
    for j, means in enumerate(model.style_means_):
        style[y == j] = np.linalg.norm(z[y == j][:, None] - means, axis=2).argmin(axis=1)
    return style


def sampled_moments(model: LinearDiffusion, n: int, seed: int) -> WithinComponents:
    """Moments of encoded samples, of styles as frequent as in training."""
    prompt = draw_prompts(seed, model.weights_, n)
    style = draw_components(seed, model.prior_, prompt)
    images = model.sample(prompts=model.classes_[prompt], styles=style, random_state=seed)[0]
    return moments_of(model, images, prompt, style)


# Moments


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 120), st.integers(0, 99))
def test_moments_within_are_numpys(s: int, k: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, z = rng.integers(0, s, n), 3 + rng.standard_normal((n, k))
    found = moments_within(z, labels, s)
    assert_array_equal(found.counts, np.bincount(labels, minlength=s))
    squares, freedom = np.zeros(k), 0
    for j in range(s):
        y = z[labels == j]
        assert_allclose(found.means[j], y.mean(axis=0) if len(y) else np.zeros(k), atol=1e-12)
        squares += y.var(axis=0) * len(y) if len(y) else 0.0
        freedom += max(len(y) - 1, 0)
    known = freedom >= _LEAST_FREEDOM
    assert_allclose(found.variances, squares / freedom if known else np.zeros(k), atol=1e-11)


def test_moments_of_single_precision_lose_no_digits_to_their_mean() -> None:
    rng = np.random.default_rng(1)
    labels, z = rng.integers(0, 5, 20_000), 1000 + rng.standard_normal((20_000, 4))
    single, double = (moments_within(z.astype(dtype), labels, 5) for dtype in (np.float32, np.float64))
    assert_allclose(single.means, double.means, atol=2000 * 2**-22)
    assert_allclose(single.variances, double.variances, rtol=2e-3)


# A round


def test_deviations_are_widened_towards_the_target_within_bounds() -> None:
    target = np.array([1.0, 1.21, 4.0, 1e6, 1e-9, 0.0, 5.0])
    seen = np.array([1.0, 1.0, 9.0, 1.0, 1.0, 3.0, 0.0])
    found = _widening(*(WithinComponents(np.zeros((1, 7)), variances, np.ones(1)) for variances in (target, seen)))
    assert_allclose(found, [1.0, 1.1, 2 / 3, _CHANGE, 1 / _CHANGE, 1.0, 1.0])


def test_means_move_by_what_chance_does_not_explain() -> None:
    """Drawn means that differ by chance alone stay; those that differ by more move by nearly all of it."""
    rng, k = np.random.default_rng(2), 3
    counts, variances = np.full(400, 25.0), np.full(3, 4.0)
    off = rng.standard_normal((400, k)) * [0.0, 0.4, 4.0]
    chance = rng.standard_normal((400, k)) * np.sqrt(4.0 / 25)
    target = WithinComponents(np.zeros((400, k)), variances, counts)
    moved = _correction(target, WithinComponents(off + chance, variances, counts))
    slope = -(moved * off).sum(axis=0)[1:] / (off**2).sum(axis=0)[1:]
    assert np.abs(moved[:, 0]).max() < 0.25 * np.abs(chance[:, 0]).max()
    assert_allclose(slope, [0.5, 0.99], atol=0.06)  # 0.4^2 / (0.4^2 + 4 / 25), 16 / (16 + 4 / 25)
    error = [((m * moved + off + chance - (1 - m) * chance) ** 2).mean() for m in (0, 1)]
    assert error[1] < error[0]


def test_means_stay_where_nothing_or_too_little_was_drawn() -> None:
    target = WithinComponents(np.full((2, 2), 5.0), np.ones(2), np.full(2, 20.0))

    def moved(variance: float, *counts: float) -> np.ndarray:
        return _correction(target, WithinComponents(np.zeros((2, 2)), np.full(2, variance), np.array(counts)))

    assert (moved(1.0, 30.0, 0.0)[0] > 4.8).all()
    assert_array_equal(moved(1.0, 30.0, 0.0)[1], 0.0)
    assert_array_equal(moved(0.0, 6.0, 5.0), 0.0)


# What comes of it


def test_images_vary_within_styles_as_training_images_do_and_not_without(
    blobs: Images, matched: LinearDiffusion, bare: LinearDiffusion
) -> None:
    target = moments_of(matched, *blobs, nearest_styles(matched, *blobs))
    large = target.variances > 0.02 * target.variances.max()
    assert large.sum() > 10
    found = {}
    for name, model in (("matched", matched), ("bare", bare)):
        seen = sampled_moments(model, 20_000, seed=123)
        ratio = (seen.variances / target.variances)[large]
        distance = np.linalg.norm(seen.means - target.means, axis=1).mean()
        off = np.sqrt(((ratio - 1) ** 2).mean())
        found[name] = off, np.abs(ratio - 1).max(), seen.variances.sum() / target.variances.sum(), distance
    off, most, total, distance = found["matched"]
    assert off < 0.05  # chance alone: 0.015
    assert most < 0.15
    assert_allclose(total, 1.0, atol=0.03)
    assert found["bare"][0] > 0.15
    assert found["bare"][2] < 0.87
    assert distance < 0.7 * found["bare"][3]


def test_the_law_that_was_learned_is_left_alone(matched: LinearDiffusion, bare: LinearDiffusion) -> None:
    for name in ("component_means", "factors", "unit", "basis", "variances", "shares"):
        assert_array_equal(getattr(matched.prior_, name), getattr(bare.prior_, name))
    assert_array_equal(bare.prior_.gain, 1.0)
    assert_array_equal(bare.prior_.matched_means, bare.prior_.component_means)


def test_gains_stay_within_their_range(matched: LinearDiffusion, rgb: np.ndarray) -> None:
    # Two tones far apart: no law before such a curve varies as the images do.
    hard = np.where(rgb > 250, 255, 0).astype(np.uint8)
    for model in (matched, LinearDiffusion(styles=5, latent_dim=60).fit(hard)):
        gain = model.prior_.gain
        assert gain.min() >= 1 / _RANGE
        assert gain.max() <= _RANGE
    assert len(np.unique(matched.prior_.gain)) > 20


def test_there_is_no_matching_without_a_curve_or_styles(blobs: Images) -> None:
    X, y = blobs[0][:300], blobs[1][:300]
    rows = X.reshape(300, -1) / 2.0
    for parameters, data in [({"tone": False}, X), ({}, rows), ({"styles": 1}, X)]:
        prior = LinearDiffusion(**{"styles": 4, "latent_dim": 6} | parameters).fit(data, y).prior_
        assert prior.gain is None
        assert prior.matched_means is None
    assert not isinstance(LinearDiffusion(training="sampled", styles=1, latent_dim=6).fit(X, y).prior_, ClassPrior)
    ranged = LinearDiffusion(styles=4, latent_dim=6, pixel_range=(0, 255)).fit(rows, y)
    assert ranged.prior_.gain is not None
    assert ranged.set_params(styles=1).fit(rows, y).prior_.gain is None  # nor is one left from another fit


def test_it_is_the_same_every_time_whatever_the_seed_of_samples(blobs: Images, matched: LinearDiffusion) -> None:
    again = LinearDiffusion(styles=12, latent_dim=20, random_state=9).fit(*blobs)
    assert_array_equal(again.prior_.gain, matched.prior_.gain)
    assert_array_equal(again.prior_.matched_means, matched.prior_.matched_means)
    assert_array_equal(again.decoder_.curves.table, matched.decoder_.curves.table)


def test_a_matched_model_comes_back_with_the_same_bits(matched: LinearDiffusion, tmp_path: Path) -> None:
    matched.save_pretrained(tmp_path)
    loaded = LinearDiffusion.from_pretrained(tmp_path)
    for name in ("gain", "matched_means"):
        assert_array_equal(getattr(loaded.prior_, name), getattr(matched.prior_, name))
    for options in ({}, {"sampler": "heun", "n_steps": 4}, {"sampler": "ddpm", "n_steps": 4}):
        assert_array_equal(loaded.sample(300, **options)[0], matched.sample(300, **options)[0])
    loaded.save_pretrained(tmp_path / "again")
    for path in tmp_path.glob("*.*"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_every_sampler_draws_from_the_matched_law(matched: LinearDiffusion) -> None:
    n = 1500
    exact = matched.sample(n, 0, random_state=5)[0].astype(float)
    spread = exact.std(axis=0).mean()
    for options in ({"sampler": "ddim", "n_steps": 200}, {"sampler": "heun", "n_steps": 20}):
        other = matched.sample(n, 0, random_state=6, **options)[0].astype(float)
        assert_allclose(other.std(axis=0).mean(), spread, rtol=0.04)
        assert np.sqrt(((other.mean(axis=0) - exact.mean(axis=0)) ** 2).mean()) < 3 * spread / np.sqrt(n)


def test_a_rare_prompts_means_are_not_moved_by_chance() -> None:
    """Of 20,000 drawn images 6 or so are of the rare prompt: too few to tell by what its mean is off."""
    rng = np.random.default_rng(8)
    X, y = rng.random((9003, 3, 3)), np.repeat([0, 1], [9000, 3])
    model = LinearDiffusion(styles=2).fit(X, y)
    prior = model.prior_
    assert_array_equal(prior.matched_means[-1], prior.component_means[-1])
    assert (prior.matched_means[0] != prior.component_means[0]).any()


def test_what_a_fit_draws_is_not_what_any_seed_of_samples_draws(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = set()
    original = drawing.start_noise

    def spy(entropy: int, *rest: int) -> np.ndarray:
        seeds.add(entropy)
        return original(entropy, *rest)

    monkeypatch.setattr(drawing, "start_noise", spy)
    model = LinearDiffusion(styles=3, latent_dim=8, random_state=3).fit(digits[0], digits[1])
    assert len(seeds) == len(_SPEEDS) + 1  # each round of moment matching, and detail curves
    assert min(seeds) > 2**40
    model.sample(2)
    assert 3 in seeds
