from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import solve_ivp
from sklearn.linear_model import LinearRegression

from linear_diffusion.affine import AffineMap
from linear_diffusion.denoiser.gaussian import Denoiser, GaussianDenoiser, eps_hat, from_basis, to_basis
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.denoiser.regression import RegressionDenoiser
from linear_diffusion.noise import CLEAN, SCHEDULES, Level

LEVELS = [Level(0.999, 0.0447), Level(0.8, 0.6), Level(0.1, 0.995), Level(0.0, 1.0), Level(1.0, 3.0), Level(1.0, 80.0)]


def in_latent(prior: Denoiser, a: AffineMap) -> tuple[np.ndarray, np.ndarray]:
    """A diagonal map of one prompt in the denoiser's basis, as a matrix and a shift."""
    if prior.basis is None:
        return a.matrix, a.shift
    return (prior.basis * a.matrix) @ prior.basis.T, prior.basis @ a.shift


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
    prior = GaussianDenoiser.from_covariances(moments.means, moments.covariances)
    z_t = level.alpha * z + level.sigma * np.random.default_rng(1).standard_normal(z.shape)
    general = features(z_t, index) @ weights
    for c in range(3):
        mean, covariance = z[index == c].mean(axis=0), np.cov(z[index == c].T, bias=True)
        noisy = level.alpha**2 * covariance + level.sigma**2 * np.eye(3)
        wiener = level.sigma * np.linalg.solve(noisy, (z_t[index == c] - level.alpha * mean).T).T
        assert_allclose(general[index == c], wiener, rtol=1e-8, atol=1e-9)
        assert_allclose(eps_hat(prior[c], z_t[index == c], level), wiener, rtol=1e-9, atol=1e-10)


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
    prior = GaussianDenoiser.from_covariances(z.mean(axis=0), np.cov(z.T, bias=True))
    rng, draws = np.random.default_rng(3), [4, 16, 64, 256]
    errors = np.empty((len(draws), len(LEVELS)))
    for i, n in enumerate(draws):
        squares = np.zeros((8, len(LEVELS)))
        for repeat in range(8):
            both = np.hstack([np.tile(z, (n, 1)), rng.standard_normal((n * len(z), 3))])
            sampled = RegressionDenoiser(both.mean(axis=0), np.cov(both.T, bias=True))
            for j, level in enumerate(LEVELS):
                exact = in_latent(prior, prior.z0_map(level))[0]
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
    gaussians: tuple[np.ndarray, np.ndarray], prior: GaussianDenoiser, level: Level
) -> None:
    means, covariances = gaussians
    joint = np.zeros((3, 8, 8))
    joint[:, :4, :4], joint[:, 4:, 4:] = covariances, np.eye(4)
    exact = RegressionDenoiser(np.hstack([means, np.zeros((3, 4))]), joint).z0_map(level)
    for c in range(3):
        matrix, shift = in_latent(prior[c], prior[c].z0_map(level))
        assert_allclose(exact.matrix[c], matrix, rtol=1e-9, atol=1e-10)
        assert_allclose(exact.shift[c], shift, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("level", [*LEVELS, CLEAN])
def test_z0_hat_is_the_conditional_mean(
    gaussians: tuple[np.ndarray, np.ndarray], prior: GaussianDenoiser, wiener: Callable, level: Level
) -> None:
    for c in range(2):  # covariances that can be inverted
        gain, shift = wiener(gaussians[0][c], gaussians[1][c], level)
        matrix, found = in_latent(prior[c], prior[c].z0_map(level))
        assert_allclose(matrix, gain, rtol=1e-10, atol=1e-12)
        assert_allclose(found, shift, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("level", LEVELS)
def test_image_and_noise_estimates_add_up_to_the_noisy_latent(
    prior: GaussianDenoiser, regression: RegressionDenoiser, level: Level
) -> None:
    z_t = 3 * np.random.default_rng(5).standard_normal((6, 4))
    for denoiser in (prior[1], regression[1]):
        matrix, shift = in_latent(denoiser, denoiser.z0_map(level))
        z0_hat = z_t @ matrix.T + shift
        assert_allclose(level.alpha * z0_hat + level.sigma * eps_hat(denoiser, z_t, level), z_t, rtol=1e-10)


def test_denoiser_is_the_identity_at_no_noise_and_the_mean_at_infinite_noise(
    gaussians: tuple[np.ndarray, np.ndarray], prior: GaussianDenoiser
) -> None:
    means, _ = gaussians
    z_t = np.random.default_rng(6).standard_normal((5, 4))
    y = to_basis(prior[0].basis, z_t)
    for sigma in (1e-6, 1e-7):
        near = from_basis(prior[0].basis, prior[0].z0_map(Level(1.0, sigma))(y))
        assert_allclose(near, z_t, atol=1e3 * sigma**2)
    assert_allclose(from_basis(prior[0].basis, prior[0].z0_map(CLEAN)(y)), z_t, rtol=1e-12)
    assert_allclose(prior.z0_map(CLEAN).matrix, 1.0)  # where nothing varies, too
    assert_allclose(prior.z0_map(CLEAN).shift, 0.0)
    for sigma in (1e4, 1e5):
        far = from_basis(prior[0].basis, prior[0].z0_map(Level(1.0, sigma))(y))
        assert_allclose(far, np.tile(means[0], (5, 1)), atol=1e2 / sigma**2)
    assert_allclose(from_basis(prior[0].basis, prior[0].z0_map(Level(0.0, 1.0))(y)), np.tile(means[0], (5, 1)))


@pytest.mark.parametrize("level", [*LEVELS, CLEAN])
def test_marginal_has_the_mean_and_covariance_of_noised_latents(
    gaussians: tuple[np.ndarray, np.ndarray], prior: GaussianDenoiser, level: Level
) -> None:
    means, covariances = gaussians
    for c in range(3):
        root, mean = in_latent(prior[c], prior[c].marginal(level))
        assert_allclose(mean, level.alpha * means[c], atol=1e-12)
        expected = level.alpha**2 * covariances[c] + level.sigma**2 * np.eye(4)
        assert_allclose(root @ root.T, expected, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize(
    ("name", "t", "s"), [("cosine", 0.95, 0.05), ("flow", 0.9, 0.1), ("karras", 0.8, 0.2), ("cosine", 0.2, 0.7)]
)
def test_flow_map_solves_the_probability_flow_ode(
    gaussians: tuple[np.ndarray, np.ndarray], prior: GaussianDenoiser, name: str, t: float, s: float
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
    matrix, shift = in_latent(prior[0], prior[0].flow_map(*SCHEDULES[name].at([t, s])))
    assert_allclose(matrix @ start + shift, solved, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_reverse_flow_after_forward_noising_is_the_identity_in_distribution(
    gaussians: tuple[np.ndarray, np.ndarray], prior: GaussianDenoiser, name: str
) -> None:
    """Noising N(mu, S) to any level and flowing back gives N(mu, S), also from the level without signal."""
    means, covariances = gaussians
    for level in SCHEDULES[name].at([0.1, 0.5, 1.0]):
        for c in range(3):
            flow, shift = in_latent(prior[c], prior[c].flow_map(level, CLEAN))
            noised = level.alpha**2 * covariances[c] + level.sigma**2 * np.eye(4)
            assert_allclose(flow @ noised @ flow.T, covariances[c], rtol=1e-9, atol=1e-9)
            assert_allclose(flow @ (level.alpha * means[c]) + shift, means[c], rtol=1e-9, atol=1e-9)


def test_flow_maps_compose_and_invert(prior: GaussianDenoiser) -> None:
    t, s, r = SCHEDULES["cosine"].at([0.9, 0.5, 0.1])
    both, whole = prior.flow_map(s, r)(prior.flow_map(t, s)), prior.flow_map(t, r)
    assert_allclose(both.matrix, whole.matrix, rtol=1e-12)
    assert_allclose(both.shift, whole.shift, rtol=1e-11, atol=1e-12)
    there_and_back = prior.flow_map(s, t)(prior.flow_map(t, s))
    assert_allclose(there_and_back.matrix, 1.0, rtol=1e-12)
    assert_allclose(there_and_back.shift, 0.0, atol=1e-12)


def test_flow_from_no_noise_is_the_mean_where_nothing_varies() -> None:
    prior = GaussianDenoiser(np.array([2.0]), np.array([0.0]), np.eye(1))
    flow = prior.flow_map(CLEAN, Level(0.6, 0.8))
    assert_allclose([flow.matrix[0], flow.shift[0]], [0.0, 1.2])


def test_denoiser_of_one_prompt_is_that_entry_of_the_denoiser_of_all(
    prior: GaussianDenoiser, regression: RegressionDenoiser
) -> None:
    level = Level(0.8, 0.6)
    for denoiser in (prior, regression):
        whole = denoiser.z0_map(level)
        for j in (0, 2):
            assert_allclose(denoiser[j].z0_map(level).matrix, whole.matrix[j], rtol=1e-11, atol=1e-13)
            assert_allclose(denoiser[j].z0_map(level).shift, whole.shift[j], rtol=1e-11, atol=1e-13)
        assert_allclose(denoiser[np.array([2, 0])].z0_map(level).matrix, whole.matrix[[2, 0]], rtol=1e-11, atol=1e-13)


def test_basis_change_and_back_is_the_identity(prior: GaussianDenoiser) -> None:
    z = np.random.default_rng(7).standard_normal((5, 4))
    assert_allclose(from_basis(prior[0].basis, to_basis(prior[0].basis, z)), z, rtol=1e-12)
    assert_allclose(from_basis(None, to_basis(None, z)), z)
