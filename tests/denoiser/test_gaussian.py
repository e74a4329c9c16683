"""The Gaussian denoiser: against solving, integrating and the whole covariance."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp

from linear_diffusion.denoiser.gaussian import GaussianDenoiser, from_basis, in_latent, mixed, to_basis
from linear_diffusion.denoiser.regression import RegressionDenoiser
from linear_diffusion.noise import CLEAN, SCHEDULES, Level

Gaussians = tuple[np.ndarray, np.ndarray]
LEVELS = [Level(0.999, 0.0447), Level(0.8, 0.6), Level(0.1, 0.995), Level(0.0, 1.0), Level(1.0, 3.0), Level(1.0, 80.0)]


@pytest.mark.parametrize("level", [*LEVELS, CLEAN])
def test_z0_hat_is_the_conditional_mean(
    gaussians: Gaussians, prior: list[GaussianDenoiser], wiener: Callable, level: Level
) -> None:
    for c in range(2):  # covariances that can be inverted
        gain, shift = wiener(gaussians[0][c], gaussians[1][c], level)
        found = in_latent(prior[c].z0_map(level), prior[c])
        assert_allclose(found.matrix, gain, rtol=1e-10, atol=1e-12)
        assert_allclose(found.shift, shift, rtol=1e-10, atol=1e-11)
        z_t = np.random.default_rng(5).standard_normal((6, 4))
        assert_allclose(prior[c].z0(level)(z_t), z_t @ gain.T + shift, rtol=1e-10, atol=1e-11)


def test_denoiser_is_the_identity_at_no_noise_and_the_mean_at_infinite_noise(
    gaussians: Gaussians, prior: list[GaussianDenoiser]
) -> None:
    mean, z_t = gaussians[0][0], np.random.default_rng(6).standard_normal((5, 4))
    for sigma in (1e-6, 1e-7):
        assert_allclose(prior[0].z0(Level(1.0, sigma))(z_t), z_t, atol=1e3 * sigma**2)
    for denoiser in prior:  # where nothing varies, too
        clean = denoiser.z0_map(CLEAN)
        assert_allclose(from_basis(denoiser, clean(to_basis(denoiser, z_t))), z_t, rtol=1e-12)
        assert_allclose(denoiser.z0(CLEAN)(z_t), z_t, rtol=1e-12)
        assert_allclose(clean.matrix, 1.0)
        assert_allclose(clean.shift, 0.0)
    for sigma in (1e4, 1e5):
        assert_allclose(prior[0].z0(Level(1.0, sigma))(z_t), np.tile(mean, (5, 1)), atol=1e2 / sigma**2)
    assert_allclose(prior[0].z0(Level(0.0, 1.0))(z_t), np.tile(mean, (5, 1)))


@pytest.mark.parametrize("level", [*LEVELS, CLEAN])
def test_marginal_has_the_mean_and_covariance_of_noised_latents(
    gaussians: Gaussians, prior: list[GaussianDenoiser], level: Level
) -> None:
    means, covariances = gaussians
    for c in range(3):
        law = in_latent(prior[c].marginal(level), prior[c])
        assert_allclose(law.shift, level.alpha * means[c], atol=1e-12)
        expected = level.alpha**2 * covariances[c] + level.sigma**2 * np.eye(4)
        assert_allclose(law.matrix @ law.matrix.T, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "t", "s"), [("cosine", 0.95, 0.05), ("flow", 0.9, 0.1), ("karras", 0.8, 0.2), ("cosine", 0.2, 0.7)]
)
def test_flow_map_solves_the_probability_flow_ode(
    gaussians: Gaussians, prior: list[GaussianDenoiser], name: str, t: float, s: float
) -> None:
    """Song et al. (2021), eq. 13: z' = f z - g^2 score / 2, f = alpha'/alpha, g^2 = (sigma^2)' - 2 f sigma^2."""
    mean, covariance = gaussians[0][0], gaussians[1][0]
    path = SCHEDULES[name].path
    step = 1e-6

    def velocity(time: float, z: np.ndarray) -> np.ndarray:
        (a_low, alpha, a_high), (s_low, sigma, s_high) = path(np.array([time - step, time, time + step]))
        f = (np.log(a_high) - np.log(a_low)) / (2 * step)
        g2 = (s_high**2 - s_low**2) / (2 * step) - 2 * f * sigma**2
        score = -np.linalg.solve(alpha**2 * covariance + sigma**2 * np.eye(4), z - alpha * mean)
        return f * z - g2 * score / 2

    start = np.array([1.5, -2.0, 0.5, 3.0])
    solved = solve_ivp(velocity, (t, s), start, rtol=1e-9, atol=1e-11, method="DOP853").y[:, -1]
    ends = SCHEDULES[name].at([t, s])
    assert_allclose(in_latent(prior[0].flow_map(*ends), prior[0])(start[None])[0], solved, rtol=1e-6)
    assert_allclose(prior[0].flow(*ends)(start[None])[0], solved, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_reverse_flow_after_forward_noising_is_the_identity_in_distribution(
    gaussians: Gaussians, prior: list[GaussianDenoiser], name: str
) -> None:
    """Noising N(mu, S) to any level and flowing back gives N(mu, S), also from the level without signal."""
    means, covariances = gaussians
    for level in SCHEDULES[name].at([0.1, 0.5, 1.0]):
        for c in range(3):
            flow = in_latent(prior[c].flow_map(level, CLEAN), prior[c])
            noised = level.alpha**2 * covariances[c] + level.sigma**2 * np.eye(4)
            assert_allclose(flow.matrix @ noised @ flow.matrix.T, covariances[c], rtol=1e-9, atol=1e-9)
            assert_allclose(flow(level.alpha * means[c][None])[0], means[c], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("c", [0, 1, 2])
def test_flow_maps_compose_and_invert(prior: list[GaussianDenoiser], c: int) -> None:
    t, s, r = SCHEDULES["cosine"].at([0.9, 0.5, 0.1])
    both, whole = prior[c].flow_map(s, r)(prior[c].flow_map(t, s)), prior[c].flow_map(t, r)
    assert_allclose(both.matrix, whole.matrix, rtol=1e-12)
    assert_allclose(both.shift, whole.shift, rtol=1e-11, atol=1e-12)
    there_and_back = prior[c].flow_map(s, t)(prior[c].flow_map(t, s))
    assert_allclose(there_and_back.matrix, 1.0, rtol=1e-12)
    assert_allclose(there_and_back.shift, 0.0, atol=1e-12)


def test_flow_from_no_noise_is_the_mean_where_nothing_varies() -> None:
    prior = GaussianDenoiser(np.array([2.0]), np.array([0.0]), np.eye(1))
    flow = prior.flow_map(CLEAN, Level(0.6, 0.8))
    assert_allclose([flow.matrix[0], flow.shift[0]], [0.0, 1.2])


def test_basis_change_and_back_is_the_identity(
    prior: list[GaussianDenoiser], regression: list[RegressionDenoiser]
) -> None:
    z = np.random.default_rng(7).standard_normal((5, 4))
    for denoiser in (prior[0], regression[0]):
        assert_allclose(from_basis(denoiser, to_basis(denoiser, z)), z, rtol=1e-12)


# Of few directions


@pytest.fixture(scope="module")
def thin() -> tuple[GaussianDenoiser, GaussianDenoiser]:
    """A Gaussian by its two directions in four dimensions, one of three factors' columns depending; and by all four."""
    rng = np.random.default_rng(8)
    mean, factor = rng.standard_normal(4), rng.standard_normal((4, 2)) @ [[1.0, 0.5, 2.0], [0.0, 1.0, -1.0]]
    values, vectors = np.linalg.eigh(factor @ factor.T)
    return GaussianDenoiser.from_factor(mean, factor), GaussianDenoiser(mean, np.r_[0, 0, values[2:]], vectors)


@pytest.mark.parametrize("level", [*LEVELS, CLEAN])
def test_a_denoiser_of_few_directions_is_that_of_the_whole_covariance(
    thin: tuple[GaussianDenoiser, GaussianDenoiser], level: Level
) -> None:
    few, whole = thin
    assert_allclose(few.covariance, whole.covariance, rtol=1e-10, atol=1e-12)
    z_t = np.random.default_rng(9).standard_normal((6, 4))
    assert_allclose(few.z0(level)(z_t), whole.z0(level)(z_t), rtol=1e-9, atol=1e-9)
    if level.sigma > 0:
        in_coordinates = from_basis(few, few.z0_map(level)(to_basis(few, z_t)))
        assert_allclose(in_coordinates, few.z0(level)(z_t), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(("t", "s"), [(0.9, 0.2), (0.2, 0.9), (1.0, 0.6)])
@pytest.mark.parametrize("name", ["cosine", "karras", "flow"])
def test_the_flow_of_few_directions_is_that_of_the_whole_covariance(
    thin: tuple[GaussianDenoiser, GaussianDenoiser], name: str, t: float, s: float
) -> None:
    (few, whole), (first, last) = thin, SCHEDULES[name].at([t, s])
    z_t = 3 * np.random.default_rng(9).standard_normal((6, 4))
    for end in (last, CLEAN):
        expected = in_latent(whole.flow_map(first, end), whole)(z_t)
        assert_allclose(few.flow(first, end)(z_t), expected, rtol=1e-9, atol=1e-9)
    in_coordinates = from_basis(few, few.flow_map(first, CLEAN)(to_basis(few, z_t)))
    assert_allclose(in_coordinates, few.flow(first, CLEAN)(z_t), rtol=1e-10, atol=1e-11)


# Mixes


def random_covariances(p: int, k: int, rng: np.random.Generator) -> np.ndarray:
    root = rng.standard_normal((p, k, k))
    return root @ root.swapaxes(1, 2)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 100))
def test_a_mix_is_linear_in_means_and_covariances(k: int, p: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    means, covariances, weights = rng.standard_normal((p, k)), random_covariances(p, k, rng), rng.dirichlet(np.ones(p))
    each = [GaussianDenoiser.from_covariance(*own) for own in zip(means, covariances, strict=True)]
    half = mixed(each, weights)
    assert_allclose(half.mean, weights @ means, atol=1e-12)
    assert_allclose(half.covariance, np.tensordot(weights, covariances, 1), atol=1e-12)


@given(st.integers(3, 6), st.integers(1, 4), st.integers(1, 2), st.integers(0, 100))
def test_a_mix_of_few_directions_is_too(k: int, p: int, r: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    means, factors, weights = rng.standard_normal((p, k)), rng.standard_normal((p, k, r)), rng.dirichlet(np.ones(p))
    half = mixed([GaussianDenoiser.from_factor(*own) for own in zip(means, factors, strict=True)], weights)
    assert_allclose(half.mean, weights @ means, atol=1e-12)
    expected = np.tensordot(weights, factors @ factors.swapaxes(1, 2), 1)
    assert_allclose(half.covariance, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())
