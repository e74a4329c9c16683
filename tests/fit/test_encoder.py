import re
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from linear_diffusion import LinearDiffusion, NotEnoughMemoryError
from linear_diffusion.fit import encoder
from linear_diffusion.fit.encoder import Learned, Settings, Work, draw_noise, learn, training_noise
from linear_diffusion.fit.source import ArraySource
from linear_diffusion.image.format import ImageFormat
from linear_diffusion.utils.streams import BLOCK

Digits = tuple[np.ndarray, np.ndarray]


def learned(rows: np.ndarray, target: np.ndarray, latent_dim: int, *, standardize: bool) -> Learned:
    classes, index = np.unique(target, return_inverse=True)
    source = ArraySource(rows, index, classes, ImageFormat.of(rows, (0, 1)))
    return learn(source, Settings(latent_dim, standardize, rescale=True), Work.of(source))


@pytest.fixture
def dense_route(digits: Digits) -> Callable[..., Learned]:
    images, target = digits
    return lambda latent_dim, standardize: learned(images.reshape(-1, 64), target, latent_dim, standardize=standardize)


def assert_same(a: Learned, b: Learned, tolerance: float) -> None:
    assert_allclose(a.encoder.components, b.encoder.components, atol=tolerance)
    assert_allclose(a.encoder.variances, b.encoder.variances, rtol=tolerance)
    assert_allclose(a.encoder.mean, b.encoder.mean, atol=1e-12)
    assert_allclose(a.encoder.std, b.encoder.std, rtol=1e-10)
    assert_allclose(a.encoder.total_variance, b.encoder.total_variance, rtol=1e-10)
    assert_allclose(a.encoder.scale, b.encoder.scale, rtol=tolerance)
    assert_allclose(a.latents.weights, b.latents.weights)
    assert_allclose(a.latents.means, b.latents.means, atol=10 * tolerance)
    assert_allclose(a.latents.covariances, b.latents.covariances, atol=10 * tolerance)
    assert_allclose(a.residual, b.residual, rtol=10 * tolerance)
    assert_array_equal(a.histogram, b.histogram)


@pytest.mark.parametrize("standardize", [True, False])
def test_a_second_pass_over_latents_is_the_one_pass_over_pixels(
    dense_route: Callable, standardize: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_pass = dense_route(12, standardize)
    monkeypatch.setattr(encoder, "_MOST_BYTES", 0)
    assert_same(dense_route(12, standardize), one_pass, 1e-9)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("latent_dim", "tolerance"), [(54, 1e-8), (4, 5e-3)])
def test_randomised_components_give_what_the_exact_ones_give(
    dense_route: Callable,
    standardize: bool,
    latent_dim: int,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To rounding where the random directions span all pixels (54 + 10), nearly where they do not."""
    exact = dense_route(latent_dim, standardize)
    monkeypatch.setattr(encoder, "MOST_PIXELS", 63)
    assert_same(dense_route(latent_dim, standardize), exact, tolerance)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(("n", "size"), [(2, 8), (40, 8), (6, 70)])
def test_fewer_images_than_pixels_have_the_components_of_their_singular_value_decomposition(
    n: int, size: int, standardize: bool
) -> None:
    rows = np.random.default_rng(0).random((n, size * size))
    rows[:, 0] = 0.5
    model = LinearDiffusion(styles=1, standardize=standardize).fit(rows)
    std = rows.std(axis=0).clip(1e-300) if standardize else 1.0
    _, s, vectors = np.linalg.svd((rows - rows.mean(axis=0)) / std, full_matrices=False)
    assert model.latent_dim_ == n - 1
    assert_allclose(np.abs(model.components_ @ vectors[: n - 1].T), np.eye(n - 1), atol=1e-9)
    assert_allclose(model.explained_variance_ratio_, s[:-1] ** 2 / (s**2).sum(), rtol=1e-9)
    assert_allclose(model.covariances_[0], np.diag(s[:-1] ** 2 / n) * model.scaling_factor_**2, atol=1e-9)


@pytest.mark.filterwarnings("ignore:1 prompt has 1 image only")
def test_one_image_is_all_that_its_model_draws() -> None:
    image = np.random.default_rng(0).random((1, 8, 8))
    assert_allclose(LinearDiffusion(random_state=0).fit(image).sample(3)[0], np.repeat(image, 3, axis=0), atol=1 / 255)


@pytest.mark.parametrize("standardize", [True, False])
def test_moments_and_residual_are_those_of_the_encoded_images(
    dense_route: Callable, digits: Digits, standardize: bool
) -> None:
    rows, target = digits[0].reshape(-1, 64), digits[1]
    found = dense_route(12, standardize)
    z = found.encoder.encode(rows)
    left = (rows - found.encoder.decode(z)) / found.encoder.std
    for c in range(10):
        own = target == c
        assert_allclose(found.latents.means[c], z[own].mean(axis=0), atol=1e-10)
        assert_allclose(found.latents.covariances[c], np.cov(z[own].T, bias=True), atol=1e-9)
        assert_allclose(found.residual[c], (left[own] ** 2).sum(axis=1).mean(), rtol=1e-9)
        tones = np.rint(rows[own] * 255).astype(int)
        assert_array_equal(found.histogram[c, 0], np.bincount(tones.ravel(), minlength=256))


def test_drawn_moments_are_those_of_latents_and_their_noise(digits: Digits) -> None:
    rows, target = np.tile(digits[0].reshape(-1, 64), (3, 1)), np.tile(digits[1], 3)
    assert len(rows) > BLOCK
    encoder = learned(rows, target, 4, standardize=False).encoder
    joint = draw_noise(rows, target, np.arange(10), encoder, 2, entropy=7)
    both = []
    for draw in range(2):
        for block, part in enumerate((slice(0, BLOCK), slice(BLOCK, len(rows)))):
            z = encoder.encode(rows[part])
            both.append((np.hstack([z, training_noise(7, draw, block, z)]), target[part]))
    stacked, labels = np.vstack([b for b, _ in both]), np.concatenate([t for _, t in both])
    for c in range(10):
        assert_allclose(joint.means[c], stacked[labels == c].mean(axis=0), atol=1e-10)
        assert_allclose(joint.covariances[c], np.cov(stacked[labels == c].T, bias=True), atol=1e-9)
    assert joint.counts.sum() == 2 * len(rows)


def test_training_noise_is_new_for_every_draw_and_block_and_in_the_latents_precision() -> None:
    z = np.zeros((1000, 3), np.float32)
    draws = [training_noise(0, draw, block, z) for draw in range(2) for block in range(2)]
    assert {d.dtype for d in draws} == {np.dtype(np.float32)}
    assert_allclose(np.cov(np.hstack(draws).T), np.eye(12), atol=6 / np.sqrt(1000))


@pytest.mark.parametrize("styles", [1, 100])
def test_a_fit_that_does_not_fit_names_the_most_components_that_do(
    styles: int, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    available = 900_000 if styles == 1 else 34_000_000
    monkeypatch.setattr(encoder, "available_memory", lambda: available)
    message = r"10 prompts, 64 pixels and latent_dim={} needs .* latent_dim=(\d+) would fit"
    with monkeypatch.context() as patch, threadpool_limits(1, user_api="blas"):
        patch.setattr(ArraySource, "total", lambda *_, **__: pytest.fail("work has begun"))
        with pytest.raises(NotEnoughMemoryError, match=message.format(60)) as refused:
            LinearDiffusion(styles=styles, latent_dim=60).fit(*digits)
        found = re.search(message.format(60), str(refused.value))
        most = int(found[1]) if found else 0
        with pytest.raises(NotEnoughMemoryError, match=message.format(most + 1)):
            LinearDiffusion(styles=styles, latent_dim=most + 1).fit(*digits)
    with threadpool_limits(1, user_api="blas"):
        assert LinearDiffusion(styles=styles, latent_dim=most).fit(*digits).latent_dim_ == most


def test_a_fit_that_no_latent_dim_would_save_asks_for_less_data(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "available_memory", lambda: 1000)
    with pytest.raises(NotEnoughMemoryError, match="1 kB are available; use smaller images or fewer prompts"):
        LinearDiffusion().fit(digits[0], digits[1])


def test_a_system_that_does_not_tell_its_memory_refuses_nothing(
    digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoder, "available_memory", lambda: None)
    assert LinearDiffusion(styles=1, latent_dim=5).fit(*digits).latent_dim_ == 5


def test_a_share_of_variance_needs_all_components_and_says_so(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "MOST_PIXELS", 63)
    with pytest.raises(ValueError, match=r"latent_dim=0\.9 asks for a share .* above 63 pixels give a whole number"):
        LinearDiffusion(styles=1, latent_dim=0.9).fit(*digits)
