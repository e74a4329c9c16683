import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.decomposition import PCA

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.prior import one_gaussian_each
from linear_diffusion.image.pca import PCAEncoder
from linear_diffusion.tasks.density import densities
from linear_diffusion.tasks.likelihood import log_densities
from linear_diffusion.text.prompts import OneHotEncoder

Digits = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((200, 5)) @ RNG.standard_normal((5, 5)) + np.arange(5.0)
LABELS = np.repeat([0, 1], [120, 80])
ROWS[LABELS == 1] += [2.0, -1.0, 0.0, 1.0, 0.5]


def gaussian_by_hand(rows: np.ndarray, labels: np.ndarray, prompt: int, k: int, *, standardize: bool) -> tuple:
    """Mean and covariance of a prompt's pixels: its components' Gaussian, and what they leave out spread evenly."""
    mean, std = rows.mean(axis=0), rows.std(axis=0) if standardize else np.ones(rows.shape[1])
    x = (rows - mean) / std
    V = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:k]
    own = x[labels == prompt]
    rest = own - own @ V.T @ V
    tau2 = (rest**2).sum(axis=1).mean() / max(x.shape[1] - k, 1)
    inside = V.T @ np.atleast_2d(np.cov((own @ V.T).T, bias=True)) @ V
    covariance = inside + tau2 * (np.eye(x.shape[1]) - V.T @ V)
    return mean + std * ((own @ V.T).mean(axis=0) @ V), std[:, None] * covariance * std


@pytest.mark.parametrize("k", [1, 3, 4, 5])
@pytest.mark.parametrize("standardize", [True, False])
def test_density_is_scipys_of_the_matrices_written_out(k: int, standardize: bool) -> None:
    model = LinearDiffusion(styles=1, latent_dim=k, standardize=standardize).fit(ROWS, LABELS)
    found = []
    for c in range(2):
        mean, covariance = gaussian_by_hand(ROWS, LABELS, c, k, standardize=standardize)
        expected = multivariate_normal(mean, covariance).logpdf(ROWS)
        assert_allclose(model.score_samples(ROWS, [c] * 200), expected, rtol=1e-8)
        found.append(expected)
    mixture = logsumexp(np.stack(found, axis=1), b=[0.6, 0.4], axis=1)
    assert_allclose(model.score_samples(ROWS), mixture, rtol=1e-8)
    assert_allclose(model.score(ROWS), mixture.mean(), rtol=1e-8)
    assert_allclose(model.score(ROWS, LABELS), np.where(LABELS == 0, *found).mean(), rtol=1e-8)


@pytest.mark.parametrize("k", [1, 10, 40])
def test_one_prompts_density_is_scikit_learns_pca_with_variances_over_n(digits: Digits, k: int) -> None:
    rows = digits[0].reshape(-1, 64)
    pca = PCA(k, svd_solver="full").fit(rows)
    shrink = (len(rows) - 1) / len(rows)
    pca.explained_variance_ *= shrink
    pca.noise_variance_ *= shrink
    assert_allclose(
        LinearDiffusion(styles=1, latent_dim=k).fit(rows).score_samples(rows), pca.score_samples(rows), rtol=1e-8
    )


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("k", [1, 2])
def test_density_integrates_to_one(k: int, standardize: bool) -> None:
    rows = RNG.standard_normal((60, 2)) @ np.array([[1.0, 0.6], [0.0, 0.5]]) * [1.0, 3.0]
    model = LinearDiffusion(styles=1, latent_dim=k, standardize=standardize).fit(rows, np.arange(60) % 2)
    axes = [np.linspace(-12, 12, 400) * scale for scale in rows.std(axis=0)]
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    cell = np.prod([a[1] - a[0] for a in axes])
    assert_allclose(np.exp(model.score_samples(grid)).sum() * cell, 1.0, rtol=1e-6)
    assert_allclose(np.exp(model.score_samples(grid, [0] * len(grid))).sum() * cell, 1.0, rtol=1e-6)


@pytest.mark.parametrize("standardize", [True, False])
def test_noise_on_pixels_adds_to_their_covariance(standardize: bool) -> None:
    model = LinearDiffusion(styles=1, latent_dim=3, standardize=standardize).fit(ROWS, LABELS)
    for c, density in enumerate(densities(model.encoder_, model.prior_, [0, 1])):
        mean, covariance = gaussian_by_hand(ROWS, LABELS, c, 3, standardize=standardize)
        noisy = multivariate_normal(mean, covariance + 0.49 * np.eye(5))
        assert_allclose(log_densities([density], ROWS, 0.7)[:, 0], noisy.logpdf(ROWS), rtol=1e-8)


def test_density_of_float32_and_bytes_is_solved_in_float64(grey: Digits) -> None:
    images, y = grey
    as_bytes = LinearDiffusion(styles=1, latent_dim=12).fit(images, y)
    as_floats = LinearDiffusion(styles=1, latent_dim=12).fit(images.astype(np.float64), y)
    assert as_bytes.score_samples(images[:50]).dtype == np.float64
    assert_allclose(as_bytes.score_samples(images[:50]), as_floats.score_samples(images[:50].astype(float)), rtol=1e-4)


def test_directions_without_variance_get_a_floor() -> None:
    """A millionth of the mean variance of a pixel, in the components and beyond them."""
    encoder = PCAEncoder(np.zeros(3), np.ones(3), np.eye(3)[:2], np.array([2.0, 1.0]), 3.0, 1.0)
    text = OneHotEncoder(np.array([""]))
    prior = one_gaussian_each(text, np.ones(1), np.zeros(1), np.zeros((1, 2)), np.diag([0.0, 1.0])[None])
    density = densities(encoder, prior, [0])[0]
    assert_allclose(density.tau2, 1e-6)
    assert_allclose(density.variances, [1e-6, 1.0])
    x = np.array([[1e-3, 0.5, -2e-3]])
    expected = multivariate_normal(np.zeros(3), np.diag([1e-6, 1.0, 1e-6])).logpdf(x)
    assert_allclose(log_densities([density], x)[:, 0], expected, rtol=1e-9)


def test_many_images_are_scored_in_parts() -> None:
    model = LinearDiffusion(styles=1, latent_dim=3).fit(ROWS, LABELS)
    many = np.tile(ROWS, (50, 1))
    assert_allclose(model.score_samples(many), np.tile(model.score_samples(ROWS), 50), rtol=1e-12)
    assert log_densities(densities(model.encoder_, model.prior_, [0, 1]), many).shape == (10_000, 2)


def test_mixture_survives_densities_that_underflow() -> None:
    model = LinearDiffusion(styles=1, latent_dim=2).fit(ROWS)
    far = model.score_samples(ROWS[:2] + 1e4)
    assert (far < -1e5).all()
    twice = LinearDiffusion(styles=1, latent_dim=2).fit(np.vstack([ROWS] * 4), np.repeat([0, 1], [200, 600]))
    assert_allclose(twice.score_samples(ROWS[:2] + 1e4), far, rtol=1e-9)
