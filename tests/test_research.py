"""The researcher's door: each closed form against solving, integrating or drawing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import solve_ivp

from linear_diffusion import LinearDiffusion, research
from linear_diffusion.denoiser.gaussian import GaussianDenoiser
from linear_diffusion.denoiser.regression import RegressionDenoiser
from linear_diffusion.noise import CLEAN, SCHEDULES, Level
from linear_diffusion.research import (
    denoiser_map,
    denoiser_r2,
    denoiser_spectrum,
    flow_map,
    gaussian,
    guided,
    noise_levels,
    sampler_bias,
    sampler_law,
)
from linear_diffusion.sampler import SAMPLERS

LEVELS = [Level(0.8, 0.6), Level(1.0, 3.0), Level(0.0, 1.0), Level(1.0, 0.0)]


@pytest.fixture(scope="module")
def three() -> GaussianDenoiser:
    root = np.random.default_rng(0).standard_normal((3, 3))
    return gaussian([1.0, -2.0, 0.5], root @ root.T)


@pytest.mark.parametrize("level", LEVELS)
def test_the_denoiser_is_the_conditional_mean(three: GaussianDenoiser, wiener: Callable, level: Level) -> None:
    z0 = denoiser_map(three, level)
    matrix, shift = wiener(three.mean, three.covariance, level)
    assert_allclose(z0.matrix, matrix, atol=1e-12)
    assert_allclose(z0.shift, shift, atol=1e-12)


def test_a_fitted_model_has_all_of_it(model: LinearDiffusion) -> None:
    z = model.transform(model.sample(20, "7")[0]).astype(float)
    prior = model.denoiser("7")
    there = flow_map(prior, (1.0, 0.0), (0.6, 0.8))
    back = flow_map(prior, Level(0.6, 0.8), Level(1.0, 0.0))
    assert_allclose(back(there(z)), z, atol=1e-9)
    assert sampler_bias(prior, "heun", noise_levels("cosine", 50)).steps.shape == (12,)


@given(st.integers(1, 5), st.floats(0.01, 1.5), st.integers(0, 50))
def test_the_spectrum_is_of_the_wiener_gains(k: int, angle: float, seed: int) -> None:
    root = np.random.default_rng(seed).standard_normal((k, k))
    level = Level(np.cos(angle), np.sin(angle))
    prior = gaussian(np.zeros(k), root @ root.T)
    gains, directions = denoiser_spectrum(prior, level)
    signal = level.alpha**2 * np.linalg.eigvalsh(root @ root.T)[::-1]
    assert_allclose(gains, signal / (signal + level.sigma**2), atol=1e-9)
    assert_allclose(directions.T @ directions, np.eye(k), atol=1e-9)
    matrix = level.alpha * denoiser_map(prior, level).matrix
    assert_allclose(directions * gains @ directions.T, matrix, atol=1e-9)


def test_r2_is_the_trace_of_the_wiener_filter(three: GaussianDenoiser) -> None:
    levels = [*noise_levels("cosine", 7)[:-1], *noise_levels("karras", 5)[:-1]]
    traces = [
        np.trace(sigma**2 * np.linalg.inv(alpha**2 * three.covariance + sigma**2 * np.eye(3))) / 3
        for alpha, sigma in levels
    ]
    assert_allclose(denoiser_r2(three, levels), traces, atol=1e-9)
    assert np.isnan(denoiser_r2(three, [CLEAN])).all()


def test_r2_is_that_of_drawn_noise(three: GaussianDenoiser) -> None:
    """On a large draw from the law, on given images that are no draw from it, and for a denoiser of no Gaussian."""
    rng = np.random.default_rng(0)
    drawn = three.mean + rng.standard_normal((200_000, 3)) * np.sqrt(three.variances) @ three.basis.T
    others = rng.uniform(-2.0, 2.0, (5, 2))
    for denoiser, z, latents in ((three, drawn, None), (FLAT, others, others), (UNEVEN, others, others)):
        z = np.resize(z, (200_000, z.shape[1]))
        for level in LEVELS[:3]:
            eps = rng.standard_normal(z.shape)
            z_t = level.alpha * z + level.sigma * eps
            guess = (z_t - level.alpha * denoiser_map(denoiser, level)(z_t)) / level.sigma
            drawn_r2 = 1 - ((eps - guess) ** 2).mean() / (eps**2).mean()
            assert_allclose(denoiser_r2(denoiser, [level], latents), drawn_r2, atol=0.01)


def test_the_flow_solves_the_probability_flow_ode(three: GaussianDenoiser) -> None:
    """Song et al. (2021, eq. 13) for the flow schedule: dz/dt = eps_hat - z0_hat, integrated numerically."""
    z = np.random.default_rng(1).standard_normal(3)

    def velocity(t: float, z: np.ndarray) -> np.ndarray:
        level = Level(1 - t, t)
        z0 = denoiser_map(three, level)(z[None])[0]
        noise: np.ndarray = (z - level.alpha * z0) / level.sigma - z0
        return noise

    done = solve_ivp(velocity, (0.9, 0.1), z, rtol=1e-10, atol=1e-12)
    assert_allclose(flow_map(three, Level(0.1, 0.9), Level(0.9, 0.1))(z[None])[0], done.y[:, -1], atol=1e-8)


def test_flows_compose_and_carry_the_law(three: GaussianDenoiser) -> None:
    a, b, c = Level(0.0, 1.0), Level(0.6, 0.8), Level(1.0, 0.0)
    whole, parts = flow_map(three, a, c), flow_map(three, b, c)(flow_map(three, a, b))
    assert_allclose(parts.matrix, whole.matrix, atol=1e-12)
    assert_allclose(parts.shift, whole.shift, atol=1e-12)
    assert_allclose(whole.matrix @ whole.matrix.T, three.covariance, atol=1e-10)
    assert_allclose(whole.shift, three.mean, atol=1e-12)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", ["cosine", "karras", "linear"])
def test_the_law_is_that_of_samples(schedule: str, sampler: str) -> None:
    """Against 40,000 images of a model without bounds or tone curve."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((60, 2)) @ [[1.0, 0.4], [0.0, 0.5]] + [2.0, -1.0]
    fitted = LinearDiffusion(styles=1, latent_dim=2, schedule=schedule, random_state=0).fit(X)
    n_steps = 1 if sampler == "one-step" else 4
    mean, covariance = sampler_law(fitted.denoiser(""), sampler, noise_levels(schedule, n_steps))
    images, _ = fitted.sample(40_000, sampler=sampler, **({} if sampler == "one-step" else {"n_steps": n_steps}))
    z = fitted.transform(images)
    assert_allclose(z.mean(axis=0), mean, atol=0.02)
    assert_allclose(np.cov(z.T), covariance, atol=0.04 * max(1.0, covariance.max()))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "one-step"])
def test_the_bias_is_that_of_the_law(three: GaussianDenoiser, schedule: str, sampler: str) -> None:
    """From the true marginal, steps alone are wrong; where the start is exact, the law has their error."""
    levels = noise_levels(schedule, 8)
    bias = sampler_bias(three, sampler, levels)
    mean, covariance = sampler_law(three, sampler, levels)
    assert_array_equal(bias.variances, three.variances)
    assert_allclose((three.basis.T @ (mean - three.mean)) / np.sqrt(three.variances), bias.mean, atol=1e-9)
    if levels[0].alpha == 0.0:
        assert_allclose(bias.start, 0.0, atol=1e-12)
        along = np.diag(three.basis.T @ covariance @ three.basis)
        assert_allclose(along / three.variances - 1, bias.steps, atol=1e-9)
    assert bias.share(bias.steps) == pytest.approx(
        np.abs(bias.steps * three.variances).sum() / np.trace(three.covariance)
    )


def test_more_steps_have_less_bias(three: GaussianDenoiser, order_of: Callable) -> None:
    for sampler, order in (("ddim", 1), ("heun", 2)):
        errors = [sampler_bias(three, sampler, noise_levels("flow", n)) for n in (100, 200, 400)]
        slope = order_of([100, 200, 400], [e.share(e.steps) for e in errors])
        assert slope == pytest.approx(-order, abs=0.25)


def test_the_start_of_exploding_noise_costs_the_variance_it_leaves_out(three: GaussianDenoiser) -> None:
    bias = sampler_bias(three, "heun", noise_levels("karras", 10))
    assert_allclose(bias.start, 80.0**2 / (three.variances + 80.0**2) - 1, rtol=1e-9)


def test_guidance_has_a_law_too(three: GaussianDenoiser) -> None:
    levels = noise_levels("cosine", 20)
    alone = sampler_law(three, "heun", levels)
    same = sampler_law(guided(three, three, 5.0), "heun", levels)
    assert_allclose(same[0], alone[0], atol=1e-9)
    assert_allclose(same[1], alone[1], atol=1e-9)
    narrow = sampler_law(guided(three, gaussian(np.zeros(3), 9 * np.eye(3) + three.covariance), 2.0), "heun", levels)
    assert np.trace(narrow[1]) < np.trace(alone[1])


def test_public_names_are_documented_with_examples() -> None:
    for name in research.__all__:
        assert getattr(research, name).__doc__
        if name[0].islower():
            assert ">>>" in getattr(research, name).__doc__


FLAT = gaussian([0.0, 0.0], np.diag([0.0, 1.0]))
UNEVEN = RegressionDenoiser(np.zeros(4), np.array([[1, 0, 0.1, 0.3], [0, 2, 0, 0], [0.1, 0, 1, 0], [0.3, 0, 0, 1.0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian([0.0], np.eye(2)), r"mean has shape \(1,\) and covariance \(2, 2\)"),
        (lambda: gaussian([0.0, 0.0], [[1.0, 2.0], [0.0, 1.0]]), "the covariance symmetric"),
        (lambda: gaussian([np.nan], [[1.0]]), "must be finite"),
        (lambda: noise_levels("cos", 5), "schedule='cos' must be a Schedule, or one of 'linear'"),
        (lambda: noise_levels("cosine", 0), "n_steps=0 must be a whole number >= 1"),
        (lambda: denoiser_map(FLAT, (0.0, 0.0)), r"level=\(0.0, 0.0\) must be \(alpha, sigma\)"),
        (lambda: denoiser_map(FLAT, (-1.0, 1.0)), "must be"),
        (lambda: sampler_law(FLAT, "exact", LEVELS), "sampler='exact' must be a Sampler, or one of 'one-step'"),
        (lambda: sampler_law(FLAT, "ddim", LEVELS[:1]), "levels has 1 entries"),
        (lambda: sampler_law(FLAT, "ddim", [CLEAN, LEVELS[0]]), r"levels go from \(1.0, 0.0\) to \(0.8, 0.6\); each"),
        (lambda: sampler_law(FLAT, "heun", LEVELS, 0.5), "eta=0.5 must be between 0 and 1"),
        (lambda: sampler_bias(FLAT, "heun", LEVELS), "a mode has no variance"),
        (lambda: guided(FLAT, FLAT, -1.0), "guidance_scale=-1.0 must be"),
        (lambda: denoiser_r2(FLAT, LEVELS, np.zeros((0, 2))), r"latents has shape \(0, 2\); give \(n, k\)"),
        (lambda: denoiser_r2(FLAT, LEVELS, np.zeros((4, 3))), "latents have 3 columns, and the denoiser 2"),
        (lambda: denoiser_spectrum(UNEVEN, Level(0.8, 0.6)), "the denoiser is not symmetric"),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_what_only_gaussians_have() -> None:
    with pytest.raises(TypeError, match="flow is known for a GaussianDenoiser, not for RegressionDenoiser"):
        flow_map(UNEVEN, Level(0.6, 0.8), Level(1.0, 0.0))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"so say which images: latents=\(n, k\)"):
        denoiser_r2(UNEVEN, LEVELS)
    with pytest.raises(TypeError, match="bias is known for a GaussianDenoiser"):
        sampler_bias(UNEVEN, "heun", LEVELS)  # type: ignore[arg-type]
