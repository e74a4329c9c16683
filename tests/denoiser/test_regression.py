"""The article's regression on drawn noise: against scikit-learn, and the exact denoiser that it tends to."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression

from linear_diffusion.denoiser.gaussian import GaussianDenoiser, eps_hat, in_latent
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.denoiser.regression import RegressionDenoiser, RegressionPrior
from linear_diffusion.noise import CLEAN, Level
from linear_diffusion.text.prompts import OneHotEncoder

LEVELS = [Level(0.999, 0.0447), Level(0.8, 0.6), Level(0.1, 0.995), Level(0.0, 1.0), Level(1.0, 3.0), Level(1.0, 80.0)]


@pytest.fixture(scope="module")
def latents() -> tuple[np.ndarray, np.ndarray]:
    """150 latents of three prompts that are not equally frequent."""
    rng = np.random.default_rng(0)
    index = np.repeat([0, 1, 2], [80, 40, 30])
    mix = rng.standard_normal((3, 3, 3))
    return 2 * rng.standard_normal((3, 3))[index] + np.einsum(
        "nd,nde->ne", rng.standard_normal((150, 3)), mix[index]
    ), index


def features(z_t: np.ndarray, index: np.ndarray) -> np.ndarray:
    """``1c (x) (1, z_t)``, row by row: the article's features with the intercept."""
    code = np.hstack([np.ones((len(index), 1)), np.eye(3)[index]])
    one_z = np.hstack([np.ones((len(index), 1)), z_t])
    return np.einsum("nq,nk->nqk", code, one_z).reshape(len(index), -1)


@pytest.mark.parametrize("level", LEVELS)
def test_general_solve_is_the_eigen_route_is_the_wiener_formula(
    latents: tuple[np.ndarray, np.ndarray], bilinear_weights: Callable[..., np.ndarray], level: Level
) -> None:
    z, index = latents
    moments = Moments.of(z, index, np.arange(3))
    weights = bilinear_weights(features(z, index), 3, level)
    z_t = level.alpha * z + level.sigma * np.random.default_rng(1).standard_normal(z.shape)
    general = features(z_t, index) @ weights
    for c in range(3):
        mean, covariance = z[index == c].mean(axis=0), np.cov(z[index == c].T, bias=True)
        noisy = level.alpha**2 * covariance + level.sigma**2 * np.eye(3)
        wiener = level.sigma * np.linalg.solve(noisy, (z_t[index == c] - level.alpha * mean).T).T
        assert_allclose(general[index == c], wiener, rtol=1e-8, atol=1e-9)
        prior = GaussianDenoiser.from_covariance(moments.means[c], moments.covariances[c])
        assert_allclose(eps_hat(prior, z_t[index == c], level), wiener, rtol=1e-9, atol=1e-10)


def test_sampled_regression_tends_to_the_exact_one_at_the_monte_carlo_rate(
    latents: tuple[np.ndarray, np.ndarray], bilinear_weights: Callable[..., np.ndarray], order_of: Callable
) -> None:
    """The article's regression, by scikit-learn: its error falls like one over the root of the number of draws."""
    z, index = latents
    level, rng = Level(0.8, 0.6), np.random.default_rng(2)
    probe = features(level.alpha * z + level.sigma * rng.standard_normal(z.shape), index)
    exact = probe @ bilinear_weights(features(z, index), 3, level)
    draws, errors = [4, 16, 64, 256], []
    for n in draws:
        squares = []
        for _ in range(6):
            eps = rng.standard_normal((n * len(z), 3))
            phi = features(level.alpha * np.tile(z, (n, 1)) + level.sigma * eps, np.tile(index, n))
            squares.append(((LinearRegression(fit_intercept=False).fit(phi, eps).predict(probe) - exact) ** 2).mean())
        errors.append(np.sqrt(np.mean(squares)))
    assert order_of(draws, errors) == pytest.approx(-0.5, abs=0.08)
    assert errors[-1] < 0.02


def test_drawn_moments_tend_to_the_exact_denoiser_at_every_level_at_the_monte_carlo_rate(
    latents: tuple[np.ndarray, np.ndarray], order_of: Callable
) -> None:
    z = latents[0][latents[1] == 0]
    prior = GaussianDenoiser.from_covariance(z.mean(axis=0), np.cov(z.T, bias=True))
    rng, draws = np.random.default_rng(3), [4, 16, 64, 256]
    errors = np.empty((len(draws), len(LEVELS)))
    for i, n in enumerate(draws):
        squares = np.zeros((8, len(LEVELS)))
        for repeat in range(8):
            both = np.hstack([np.tile(z, (n, 1)), rng.standard_normal((n * len(z), 3))])
            sampled = RegressionDenoiser(both.mean(axis=0), np.cov(both.T, bias=True))
            for j, level in enumerate(LEVELS):
                exact = in_latent(prior.z0_map(level), prior).matrix
                squares[repeat, j] = ((sampled.z0_map(level).matrix - exact) ** 2).mean()
        errors[i] = np.sqrt(squares.mean(axis=0))
    for j in range(len(LEVELS)):
        assert order_of(draws, errors[:, j]) == pytest.approx(-0.5, abs=0.12)


@pytest.mark.parametrize("level", LEVELS)
def test_regression_denoiser_is_scikit_learns_regression_on_the_same_draws(level: Level) -> None:
    rng = np.random.default_rng(4)
    z, eps = rng.standard_normal((60, 3)) @ rng.standard_normal((3, 3)) + 1.0, rng.standard_normal((60, 3))
    both = np.hstack([z, eps])
    sampled = RegressionDenoiser(both.mean(axis=0), np.cov(both.T, bias=True))
    z_t = level.alpha * z + level.sigma * eps
    assert_allclose(eps_hat(sampled, z_t, level), LinearRegression().fit(z_t, eps).predict(z_t), rtol=1e-8, atol=1e-9)
    assert_allclose(sampled.z0_map(level)(z_t), LinearRegression().fit(z_t, z).predict(z_t), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("level", LEVELS)
def test_regression_denoiser_of_exact_moments_is_the_gaussian_one(
    gaussians: tuple[np.ndarray, np.ndarray], prior: list[GaussianDenoiser], level: Level
) -> None:
    for mean, covariance, exact in zip(*gaussians, prior, strict=True):
        joint = np.block([[covariance, np.zeros((4, 4))], [np.zeros((4, 4)), np.eye(4)]])
        found = RegressionDenoiser(np.r_[mean, np.zeros(4)], joint).z0_map(level)
        expected = in_latent(exact.z0_map(level), exact)
        assert_allclose(found.matrix, expected.matrix, rtol=1e-9, atol=1e-10)
        assert_allclose(found.shift, expected.shift, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("level", LEVELS)
def test_image_and_noise_estimates_add_up_to_the_noisy_latent(
    prior: list[GaussianDenoiser], regression: list[RegressionDenoiser], level: Level
) -> None:
    z_t = 3 * np.random.default_rng(5).standard_normal((6, 4))
    for denoiser in (prior[1], regression[1]):
        z0_hat = in_latent(denoiser.z0_map(level), denoiser)(z_t)
        assert_allclose(level.alpha * z0_hat + level.sigma * eps_hat(denoiser, z_t, level), z_t, rtol=1e-10)


def test_without_noise_the_regression_is_the_identity(regression: list[RegressionDenoiser]) -> None:
    z = np.random.default_rng(5).standard_normal((6, 4))
    assert_allclose(regression[0].z0(CLEAN)(z), z, rtol=1e-12, atol=1e-12)


# Of several prompts


@pytest.fixture(scope="module")
def drawn() -> tuple[RegressionPrior, np.ndarray, np.ndarray]:
    """What sampled training finds of 20 and 40 rows, the pairs (z, eps), and their prompts."""
    rng = np.random.default_rng(4)
    both, y = rng.standard_normal((60, 4)), np.repeat([0, 1], [20, 40])
    both[y == 1, :2] += 2.0
    moments = Moments.of(both, y, np.arange(2))
    text = OneHotEncoder(np.array(["a", "b"]))
    return RegressionPrior(text, moments.weights, moments.means, moments.covariances), both, y


def test_the_pooled_denoiser_of_sampled_training_is_the_regression_without_prompts(
    drawn: tuple[RegressionPrior, np.ndarray, np.ndarray],
) -> None:
    prior, both, _ = drawn
    z, level = both[:, :2], Level(0.7, 0.6)
    z0 = prior.pooled().z0_map(level)
    features = np.column_stack([np.ones(60), 0.7 * z + 0.6 * both[:, 2:]])
    expected = np.linalg.lstsq(features, z, rcond=None)[0]
    assert_allclose(np.column_stack([z0.shift, z0.matrix]), expected.T, atol=1e-10)


def test_moments_of_a_mix_are_linear_in_the_code(drawn: tuple[RegressionPrior, np.ndarray, np.ndarray]) -> None:
    prior, both, y = drawn
    half = prior.gaussian(((1, 0.7), (0, 0.3)))
    a, b = both[y == 0], both[y == 1]
    assert_allclose(half.means, 0.3 * a.mean(axis=0) + 0.7 * b.mean(axis=0), atol=1e-12)
    assert_allclose(prior.variance_of(1), np.var(b[:, :2], axis=0).sum(), rtol=1e-12)
    assert_allclose(half.covariances, 0.3 * np.cov(a.T, bias=True) + 0.7 * np.cov(b.T, bias=True), atol=1e-12)
