"""Prompts read from images; bits per pixel."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from linear_diffusion import LinearDiffusion
from linear_diffusion.tasks.classify import NOISE_LEVELS
from linear_diffusion.tasks.density import densities
from linear_diffusion.tasks.likelihood import log_densities
from linear_diffusion.utils.streams import DEQUANTISE, stream

SPLIT = 1200


@pytest.fixture(scope="module")
def styled(grey):
    images, y = grey
    return LinearDiffusion(styles=10, latent_dim=40, random_state=0).fit(images[:SPLIT], y[:SPLIT])


def bayes(model, X):
    """Probabilities of prompts from densities alone."""
    by_prompt = np.stack([model.score_samples(X, [c] * len(X)) for c in model.classes_], axis=1)
    return softmax(by_prompt + np.log(model.weights_), axis=1)


def test_digits_are_read_off_unseen_images(styled, grey):
    images, y = grey
    unseen, truth = images[SPLIT:], y[SPLIT:]
    probability = styled.predict_proba(unseen)
    assert_allclose(probability.sum(axis=1), 1.0)
    found = styled.predict(unseen)
    assert found.dtype == styled.classes_.dtype
    assert_array_equal(found, styled.classes_[probability.argmax(axis=1)])
    assert (found == truth).mean() > 0.94
    own = probability[np.arange(len(truth)), truth]
    surer = bayes(styled, unseen)[np.arange(len(truth)), truth]
    assert np.log(own).mean() > np.log(np.maximum(surer, 1e-300)).mean() + 0.1


def test_a_model_that_kept_no_training_images_follows_bayes_rule(grey):
    images, y = grey
    streamed = LinearDiffusion(styles=1, latent_dim=20).partial_fit(images, y)
    assert_allclose(streamed.predict_proba(images[:50]), bayes(streamed, images[:50]), rtol=1e-6, atol=1e-9)
    assert_array_equal(streamed.class_noise_std_, np.zeros(64))


def test_bayes_rule_is_right_for_images_that_are_drawn_from_the_density():
    """Neither noise nor a temperature is chosen then."""
    rng, y = np.random.default_rng(0), np.repeat(["a", "b"], 2000)
    X = rng.standard_normal((4000, 3)) * np.where(y == "a", 1.0, 2.5)[:, None] + 0.5 * (y == "b")[:, None]
    model = LinearDiffusion(styles=1, latent_dim=3, tone=False).fit(X, y)
    assert_allclose(model.predict_proba(X[::50]), bayes(model, X[::50]), rtol=1e-6)
    assert_array_equal(model.class_noise_std_, np.zeros(3))


def test_noise_is_a_share_of_the_variance_of_a_component(styled, grey):
    variance = grey[0][:SPLIT].reshape(SPLIT, -1).var(axis=0).sum() * styled.explained_variance_ratio_.mean()
    share = styled.class_noise_std_**2 / variance
    assert share.shape == (64,)
    assert_allclose(share, min(NOISE_LEVELS, key=lambda level: abs(level - share[0])), rtol=1e-5)


def test_bits_do_not_depend_on_the_units_of_pixels(digits):
    images, y = digits
    small = LinearDiffusion(styles=3, latent_dim=20).fit(images, y)
    large = LinearDiffusion(styles=3, latent_dim=20, pixel_range=(0, 255)).fit(images * 255, y)
    bits = small.bits_per_dim(images[:50], y[:50])
    assert_allclose(bits, large.bits_per_dim(images[:50] * 255, y[:50]), rtol=1e-5)
    nats = -small.score_samples(images[:50], y[:50]) / 64 - np.log(1 / 255)
    assert_allclose(bits, nats / np.log(2), rtol=1e-9)


def test_bytes_are_made_real_numbers_by_uniform_noise(styled, grey):
    images = grey[0][:20]
    bits = styled.bits_per_dim(images, random_state=1)
    assert_array_equal(bits, styled.bits_per_dim(images, random_state=1))
    assert 0 < np.abs(bits - styled.bits_per_dim(images, random_state=2)).max() < 0.2
    noise = stream(1, DEQUANTISE).random((20, 64), dtype=np.float32) - np.float32(0.5)
    real = images.reshape(20, 64) + noise
    log_density = log_densities(densities(styled.encoder_, styled.prior_, range(10)), real, 12**-0.5)
    expected = -np.logaddexp.reduce(log_density + np.log(styled.weights_), axis=1) / 64 / np.log(2)
    assert_allclose(bits, expected, rtol=1e-9)
    assert 0 < bits.mean() < 8


def test_bits_need_a_pixel_range():
    rows = np.random.default_rng(0).standard_normal((40, 3))
    with pytest.raises(ValueError, match=r"pixel_range=\(low, high\)"):
        LinearDiffusion(latent_dim=2).fit(rows).bits_per_dim(rows)


def test_a_saved_model_reads_prompts_as_before(styled, grey, tmp_path):
    styled.save_pretrained(tmp_path / "model")
    loaded = LinearDiffusion.from_pretrained(tmp_path / "model")
    assert_array_equal(loaded.predict_proba(grey[0][:30]), styled.predict_proba(grey[0][:30]))
    assert_array_equal(loaded.class_noise_std_, styled.class_noise_std_)
