import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from scipy.stats import multivariate_normal

from linear_diffusion import LinearDiffusion

Digits = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
ROWS = RNG.standard_normal((200, 5)) @ RNG.standard_normal((5, 5)) + np.arange(5.0)
LABELS = np.repeat([0, 1], [120, 80])
ROWS[LABELS == 1] += [2.0, -1.0, 0.0, 1.0, 0.5]
NOISY = ROWS[::20] + RNG.standard_normal((10, 5))


def prior_of(model: LinearDiffusion, c: int) -> tuple[np.ndarray, np.ndarray]:
    """A prompt's pixels as mean and covariance, written out from the learned numbers."""
    V, std, tau2 = model.components_, model._encoder.std, model._residual[c] / (5 - model.latent_dim_)
    inside = V.T @ model.covariances_[c] @ V / model.scaling_factor_**2
    covariance = std[:, None] * (inside + tau2 * (np.eye(5) - V.T @ V)) * std
    return model.inverse_transform(model.means_[c][None])[0], covariance


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("noise_std", [0.05, 0.7, 4.0])
def test_denoised_image_is_the_conditional_mean_of_the_joint_gaussian(standardize: bool, noise_std: float) -> None:
    """E[x | y] = m + S (S + noise_std^2 I)^-1 (y - m); without a prompt, averaged by p(prompt | y)."""
    model = LinearDiffusion(styles=1, latent_dim=3, standardize=standardize).fit(ROWS, LABELS)
    means, evidence = [], []
    for c in range(2):
        m, S = prior_of(model, c)
        noisy = S + noise_std**2 * np.eye(5)
        means.append(m + (NOISY - m) @ np.linalg.solve(noisy, S))
        evidence.append(multivariate_normal(m, noisy).logpdf(NOISY))
        assert_allclose(model.denoise(NOISY, noise_std, c), means[-1], rtol=1e-8, atol=1e-9)
    share = softmax(np.stack(evidence) + np.log([[0.6], [0.4]]), axis=0)
    expected = share[0][:, None] * means[0] + share[1][:, None] * means[1]
    assert_allclose(model.denoise(NOISY, noise_std), expected, rtol=1e-8, atol=1e-9)
    each = np.arange(10) % 2
    assert_allclose(model.denoise(NOISY, noise_std, each), np.where(each[:, None] == 0, *means), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("standardize", [True, False])
def test_no_noise_leaves_the_image_and_all_noise_leaves_the_prior_mean(standardize: bool) -> None:
    model = LinearDiffusion(styles=1, latent_dim=3, standardize=standardize).fit(ROWS, LABELS)
    assert_array_equal(model.denoise(NOISY, 0.0), NOISY)
    assert_allclose(model.denoise(NOISY, 1e-5), NOISY, atol=1e-6)
    for c in range(2):
        assert_allclose(model.denoise(NOISY, 1e6, c), np.tile(prior_of(model, c)[0], (10, 1)), atol=1e-5)
    assert_allclose(model.denoise(NOISY, 1e6), np.tile(ROWS.mean(axis=0), (10, 1)), atol=1e-5)


def test_denoising_brings_noisy_digits_closer_and_knowing_the_prompt_brings_them_closer_still(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=1, latent_dim=30).fit(images[200:], y[200:])
    noisy = images[:200] + 0.4 * np.random.default_rng(1).standard_normal((200, 8, 8))

    def error(restored: np.ndarray) -> float:
        return float(((restored - images[:200]) ** 2).mean())

    blind, told = error(model.denoise(noisy, 0.4)), error(model.denoise(noisy, 0.4, y[:200]))
    assert told < blind < 0.5 * error(noisy)


def test_bytes_come_back_as_bytes_within_their_range(grey: Digits) -> None:
    images, y = grey
    as_bytes, as_floats = (LinearDiffusion(styles=1, latent_dim=12).fit(X, y) for X in (images, images.astype(float)))
    restored = as_bytes.denoise(images[:20], 60.0)
    assert restored.dtype == np.uint8
    exact = as_floats.denoise(images[:20].astype(float), 60.0)
    assert np.abs(restored - np.clip(exact, 0, 255)).max() < 0.6
    assert_array_equal(as_bytes.denoise(images[:20], 0.0), images[:20])


def test_floating_images_may_leave_the_pixel_range(digits: Digits) -> None:
    images, y = digits
    model = LinearDiffusion(styles=1, latent_dim=12).fit(images, y)
    assert_array_equal(model.denoise(images[:2] * 3 - 1, 0.0), images[:2] * 3 - 1)
