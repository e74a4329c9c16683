from collections.abc import Callable, Iterator
from itertools import pairwise, repeat
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion.denoiser.gaussian import GaussianDenoiser, LinearDenoiser, from_basis, in_latent, to_basis
from linear_diffusion.denoiser.regression import RegressionDenoiser
from linear_diffusion.noise import CLEAN, SCHEDULES, Level, start_std
from linear_diffusion.sampler import (
    SAMPLERS,
    Step,
    bridge,
    compile_law,
    compile_map,
    ddim,
    ddpm,
    dpmpp_2m,
    heun,
    one_step,
    trajectory,
)

NO_NOISE: Iterator[np.ndarray] = iter(())
LEVEL_PAIRS = [
    (Level(0.3, np.sqrt(0.91)), Level(0.8, 0.6)),
    (Level(1.0, 5.0), Level(1.0, 0.4)),
    (Level(0.2, 0.8), Level(0.7, 0.3)),
]
STOCHASTIC = [("ddpm", 0.0), ("ddim", 0.4), ("ddim", 1.0)]
DETERMINISTIC = sorted(set(SAMPLERS) - {"ddpm"})


Denoisers = list[LinearDenoiser]


@pytest.fixture(params=["gaussian", "regression"])
def denoisers(request: Any, prior: list[GaussianDenoiser], regression: list[RegressionDenoiser]) -> Denoisers:
    return list(prior if request.param == "gaussian" else regression)


@pytest.fixture(scope="module")
def thin() -> GaussianDenoiser:
    """A Gaussian of two directions in four dimensions."""
    rng = np.random.default_rng(4)
    return GaussianDenoiser.from_factor(rng.standard_normal(4), rng.standard_normal((4, 2)))


def dense_z0(denoiser: Any, level: Level) -> tuple[np.ndarray, np.ndarray]:
    """z0_hat as a matrix and a shift, from covariances by solving."""
    k = 4
    if isinstance(denoiser, RegressionDenoiser):
        means, joint = denoiser.means, denoiser.covariances
    else:
        means, joint = np.r_[denoiser.mean, np.zeros(k)], np.eye(2 * k)
        joint[:k, :k] = denoiser.covariance
    mix = np.hstack([level.alpha * np.eye(k), level.sigma * np.eye(k)])
    if level.sigma == 0.0:
        return np.eye(k) / level.alpha, np.zeros(k)
    gain = np.linalg.solve(mix @ joint @ mix.T, mix @ joint[:, :k]).T
    return gain, means[:k] - gain @ mix @ means


def law_on_latents(law: Any, denoiser: LinearDenoiser) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a law that is given in coordinates."""
    whole = in_latent(law, denoiser)
    return whole.shift, whole.matrix @ whole.matrix.T


@pytest.mark.parametrize(("t", "s"), LEVEL_PAIRS)
def test_ddpm_step_is_the_posterior_by_bayes_rule(t: Level, s: Level) -> None:
    """q(z_s | z_t, z_0) from the joint Gaussian given z_0, where z_t = (alpha_t / alpha_s) z_s + noise."""
    ratio = t.alpha / s.alpha
    var_s, var_t, cross = s.sigma**2, t.sigma**2, ratio * s.sigma**2
    gain = cross / var_t
    step = ddpm(t, s)
    assert_allclose([step.z, step.z0], [gain, s.alpha - gain * t.alpha], rtol=1e-12)
    assert_allclose(step.noise**2, var_s - gain * cross, rtol=1e-10)


@pytest.mark.parametrize(("t", "s"), LEVEL_PAIRS)
def test_ddim_with_eta_one_is_ddpm(t: Level, s: Level) -> None:
    one, other = ddim(t, s, None, 1.0), ddpm(t, s)
    assert_allclose([one.z, one.z0, one.noise], [other.z, other.z0, other.noise], rtol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_step_is_song_et_al_eq_12_and_16(eta: float) -> None:
    a_t, a_s = 0.2, 0.7  # alpha bar
    t, s = (Level(np.sqrt(a), np.sqrt(1 - a)) for a in (a_t, a_s))
    sigma = eta * np.sqrt((1 - a_s) / (1 - a_t)) * np.sqrt(1 - a_t / a_s)
    z_t, z0 = 1.3, -0.4
    eps = (z_t - np.sqrt(a_t) * z0) / np.sqrt(1 - a_t)
    step = ddim(t, s, None, eta)
    assert_allclose(step.z * z_t + step.z0 * z0, np.sqrt(a_s) * z0 + np.sqrt(1 - a_s - sigma**2) * eps, rtol=1e-12)
    assert_allclose(step.noise, sigma, rtol=1e-12)


@pytest.mark.parametrize(("t", "s"), LEVEL_PAIRS)
def test_ddim_without_noise_is_eulers_step_in_scaled_variables(t: Level, s: Level) -> None:
    z_t, z0 = 1.3, -0.4
    eps = (z_t - t.alpha * z0) / t.sigma
    x_s = z_t / t.alpha + (s.sigma / s.alpha - t.sigma / t.alpha) * eps  # x = z / alpha over sigma / alpha
    for step in (ddim(t, s), SAMPLERS["euler"].step(t, s, None, 1.0)):
        assert_allclose(step.z * z_t + step.z0 * z0, s.alpha * x_s, rtol=1e-12)
        assert step.noise == 0.0


@pytest.mark.parametrize(("t", "s"), LEVEL_PAIRS)
def test_heun_step_is_edms_algorithm(t: Level, s: Level, prior: list[GaussianDenoiser], wiener: Callable) -> None:
    """Karras et al. (2022), algorithm 1, in x = z / alpha with D(x, sigma / alpha) = z0_hat."""
    mean, variances = prior[0].center, prior[0].variances

    def denoise(x: np.ndarray, sigma: float) -> np.ndarray:
        gain, shift = wiener(mean, np.diag(variances), Level(1.0, sigma))
        return gain @ x + shift

    z = np.array([1.0, -2.0, 0.5, 3.0])
    x, hat, low = z / t.alpha, t.sigma / t.alpha, s.sigma / s.alpha
    d = (x - denoise(x, hat)) / hat
    guess = x + (low - hat) * d
    d_low = (guess - denoise(guess, low)) / low
    expected = s.alpha * (x + (low - hat) * (d + d_low) / 2)
    flow = compile_map(SAMPLERS["heun"], [t, s], prior[0])
    assert_allclose(flow(z[None])[0], expected, rtol=1e-10)


def test_dpmpp_2m_step_is_lu_et_al_algorithm_2() -> None:
    u, t, s = SCHEDULES["scaled_linear"].at([0.8, 0.6, 0.3])
    lam_u, lam_t, lam_s = (np.log(level.alpha / level.sigma) for level in (u, t, s))
    h, r = lam_s - lam_t, (lam_t - lam_u) / (lam_s - lam_t)
    z_t, z0, last = 1.3, -0.4, 0.9
    d = (1 + 1 / (2 * r)) * z0 - last / (2 * r)
    expected = s.sigma / t.sigma * z_t - s.alpha * (np.exp(-h) - 1) * d
    step = dpmpp_2m(t, s, u)
    assert_allclose(step.z * z_t + step.z0 * z0 + step.previous * last, expected, rtol=1e-12)


def test_multistep_and_two_stage_samplers_take_ddims_step_where_theirs_is_not_defined() -> None:
    blank, t = Level(0.0, 1.0), Level(0.6, 0.8)
    for step, (a, b) in [(heun, (blank, t)), (heun, (t, CLEAN)), (dpmpp_2m, (t, CLEAN)), (dpmpp_2m, (blank, t))]:
        assert step(a, b, None) == ddim(a, b)
    assert dpmpp_2m(t, Level(0.8, 0.6), blank).previous == 0.0


def test_one_step_subtracts_the_whole_predicted_noise() -> None:
    for t, _ in [*LEVEL_PAIRS, (Level(0.0, 1.0), CLEAN)]:
        assert one_step(t, CLEAN) == Step(z=0.0, z0=1.0)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_compiled_run_is_the_looped_run_from_the_same_noise(
    name: str, schedule: str, denoisers: Denoisers, thin: GaussianDenoiser
) -> None:
    levels = SCHEDULES[schedule].levels(1 if name == "one-step" else 12)
    eps = np.random.default_rng(0).standard_normal((5, 4))
    for denoiser in [*denoisers, thin]:
        law = compile_law(SAMPLERS[name], levels, denoiser)
        *_, last = trajectory(SAMPLERS[name], levels, denoiser, start_std(levels[0]) * eps, NO_NOISE)
        assert_allclose(from_basis(denoiser, law(to_basis(denoiser, eps))), last, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize(("name", "eta"), STOCHASTIC)
def test_compiled_noisy_run_has_the_mean_and_covariance_of_the_loop(
    name: str, eta: float, schedule: str, denoisers: Denoisers, thin: GaussianDenoiser
) -> None:
    """The loop's moments, step by step: m <- A m + b, C <- A C A' + noise^2 I, with full matrices."""
    levels = SCHEDULES[schedule].levels(12)
    for denoiser in [*denoisers, thin]:
        law = compile_law(SAMPLERS[name], levels, denoiser, eta)
        mean, covariance = np.zeros(4), start_std(levels[0]) ** 2 * np.eye(4)
        for t, s in pairwise(levels):
            gain, shift = dense_z0(denoiser, t)
            ratio = t.alpha / s.alpha
            noise = (1.0 if name == "ddpm" else eta) * np.sqrt(
                max(s.sigma**2 - (ratio * s.sigma**2 / t.sigma) ** 2, 0.0)
            )
            keep = np.sqrt(max(s.sigma**2 - noise**2, 0.0)) / t.sigma
            a = keep * np.eye(4) + (s.alpha - keep * t.alpha) * gain
            mean = a @ mean + (s.alpha - keep * t.alpha) * shift
            covariance = a @ covariance @ a.T + noise**2 * np.eye(4)
        found_mean, found_covariance = law_on_latents(law, denoiser)
        assert_allclose(found_mean, mean, rtol=1e-7, atol=1e-8)
        assert_allclose(found_covariance, covariance, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("name", "eta"), [("ddpm", 0.0), ("ddim", 0.5)])
def test_loop_draws_from_the_compiled_law(name: str, eta: float, denoisers: Denoisers) -> None:
    rng, n = np.random.default_rng(1), 40_000
    levels, denoiser = SCHEDULES["cosine"].levels(8), denoisers[0]
    mean, covariance = law_on_latents(compile_law(SAMPLERS[name], levels, denoiser, eta), denoiser)
    noise = (rng.standard_normal((n, 4)) for _ in repeat(None))
    *_, z = trajectory(SAMPLERS[name], levels, denoiser, rng.standard_normal((n, 4)), noise, eta)
    spread = np.sqrt(np.diag(covariance))
    assert_allclose((z.mean(axis=0) - mean) / spread, 0.0, atol=4 / np.sqrt(n))
    assert_allclose((np.cov(z.T) - covariance) / np.outer(spread, spread), 0.0, atol=6 / np.sqrt(n))


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize(("name", "eta"), STOCHASTIC)
def test_a_bridged_loop_ends_where_the_compiled_run_does(
    name: str, eta: float, schedule: str, prior: list[GaussianDenoiser], thin: GaussianDenoiser
) -> None:
    rng, levels = np.random.default_rng(6), SCHEDULES[schedule].levels(6)
    eps, steps = rng.standard_normal((5, 4)), rng.standard_normal((7, 5, 4))
    for denoiser in [*prior, thin]:
        start, noise = bridge(SAMPLERS[name], levels, denoiser, eps, lambda: iter(steps), eta)
        *_, last = trajectory(SAMPLERS[name], levels, denoiser, start_std(levels[0]) * start, noise, eta)
        law = compile_law(SAMPLERS[name], levels, denoiser, eta)
        assert_allclose(from_basis(denoiser, law(to_basis(denoiser, eps))), last, rtol=1e-8, atol=1e-9)


def test_the_noise_of_a_bridge_is_standard_and_independent(thin: GaussianDenoiser) -> None:
    """It is linear in the noise that it is made of, so unit vectors give its covariance exactly."""
    levels, n_noises, k = SCHEDULES["cosine"].levels(3), 4, 4  # of the start and of the two steps that add some; eps
    units = np.eye(k * n_noises).reshape(-1, n_noises, k)
    steps = [units[:, i] for i in range(1, n_noises)]
    start, noise = bridge(SAMPLERS["ddpm"], levels, thin, units[:, 0], lambda: iter(steps))
    drawn = np.hstack([start, *noise])
    assert_allclose(drawn.T @ drawn, np.eye(drawn.shape[1]), atol=1e-12)


def test_compiled_ddpm_of_a_thousand_steps_stays_a_covariance(prior: list[GaussianDenoiser]) -> None:
    """Near the truth: the linear schedule's thousand steps cost less than a tenth of any mode's variance."""
    law = compile_law(SAMPLERS["ddpm"], SCHEDULES["linear"].levels(1000), prior[0])
    assert_allclose(law.matrix**2, prior[0].variances, rtol=0.1)


@pytest.mark.parametrize(("schedule", "high", "low"), [("cosine", 0.9, 0.1), ("karras", 0.6, 0.1), ("flow", 0.8, 0.1)])
@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_steps_tend_to_the_flow_at_their_order(
    name: str, order: int, schedule: str, high: float, low: float, prior: list[GaussianDenoiser], order_of: Callable
) -> None:
    t, s = SCHEDULES[schedule].at([high, low])
    exact, sizes = [denoiser.flow_map(t, s) for denoiser in prior], [64, 128, 256, 512]
    errors = []
    for n in sizes:
        levels = SCHEDULES[schedule].at(np.linspace(high, low, n + 1))
        found = [compile_map(SAMPLERS[name], levels, denoiser) for denoiser in prior]
        off = [(a.matrix - b.matrix, a.shift - b.shift) for a, b in zip(found, exact, strict=True)]
        errors.append(np.abs([m for m, _ in off]).max() + np.abs([b for _, b in off]).max())
    assert order_of(sizes, errors) == pytest.approx(-order, abs=0.12)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_exact_law_is_the_models_gaussian_and_the_end_of_the_flow(
    name: str, gaussians: tuple[np.ndarray, np.ndarray], prior: list[GaussianDenoiser], thin: GaussianDenoiser
) -> None:
    eps, levels = np.random.default_rng(2).standard_normal((6, 4)), SCHEDULES[name].levels(5)
    means, covariances = ([*own, last] for own, last in zip(gaussians, (thin.mean, thin.covariance), strict=True))
    for denoiser, mean, covariance in zip([*prior, thin], means, covariances, strict=True):
        law = compile_law(None, levels, denoiser)
        found_mean, found_covariance = law_on_latents(law, denoiser)
        assert_allclose(found_mean, mean, rtol=1e-12)
        assert_allclose(found_covariance, covariance, rtol=1e-10, atol=1e-12)
        path = list(trajectory(None, levels, denoiser, eps, NO_NOISE))
        assert len(path) == 6
        assert_allclose(path[-1], from_basis(denoiser, law(to_basis(denoiser, eps))), rtol=1e-10, atol=1e-12)
        for level, after, z, z_after in zip(levels, levels[1:], path, path[1:], strict=False):
            assert_allclose(denoiser.flow(level, after)(z), z_after, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_loop_starts_from_noise_and_yields_every_level(name: str, denoisers: Denoisers) -> None:
    z = 80 * np.random.default_rng(3).standard_normal((2, 4))
    levels = SCHEDULES["karras"].levels(1 if name == "one-step" else 6)
    path = list(trajectory(SAMPLERS[name], levels, denoisers[0], z, repeat(np.zeros((2, 4)))))
    assert len(path) == len(levels)
    assert_allclose(path[0], z)
