"""Prompts read from images, outliers, bits per pixel."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax

from linear_diffusion import LinearDiffusion
from linear_diffusion.noise import DEQUANTISE, stream
from linear_diffusion.tasks.likelihood import log_densities

SPLIT = 1200


@pytest.fixture(scope="module")
def styled(grey):
    images, y = grey
    return LinearDiffusion(styles=10, latent_dim=40, random_state=0).fit(images[:SPLIT], y[:SPLIT])


def test_digits_are_read_off_unseen_images(styled, grey):
    images, y = grey
    unseen, truth = images[SPLIT:], y[SPLIT:]
    probability = styled.predict_proba(unseen)
    assert_allclose(probability.sum(axis=1), 1.0)
    found = styled.predict(unseen)
    assert found.dtype == styled.classes_.dtype
    assert_array_equal(found, styled.classes_[probability.argmax(axis=1)])
    assert (found == truth).mean() > 0.94
    # A temperature of 1 is too sure of itself.
    own = probability[np.arange(len(truth)), truth]
    sure = LinearDiffusion(**styled.get_params())
    sure.__dict__.update(styled.__dict__)
    sure._confidence = replace(styled._confidence, prompt_temperature=1.0)
    surer = sure.predict_proba(unseen)[np.arange(len(truth)), truth]
    assert np.log(own).mean() > np.log(np.maximum(surer, 1e-300)).mean()


def test_without_noise_and_at_temperature_one_prompts_follow_bayes_rule(styled, grey):
    plain = LinearDiffusion(**styled.get_params())
    plain.__dict__.update(styled.__dict__)
    plain._confidence = replace(styled._confidence, level2=0.0, prompt_temperature=1.0)
    images = grey[0][:50]
    by_prompt = np.stack([styled.score_samples(images, [c] * 50) for c in styled.classes_], axis=1)
    assert_allclose(plain.predict_proba(images), softmax(by_prompt + np.log(styled.weights_), axis=1), atol=1e-6)
    assert_array_equal(plain.class_noise_std_, np.zeros(64))


def test_noise_level_is_in_the_units_of_pixels(styled):
    assert styled.class_noise_std_.shape == (64,)
    assert_allclose(styled.class_noise_std_**2, styled._confidence.level2)


def test_threshold_is_a_quantile_of_training_scores_and_noise_lies_above_it(styled, grey):
    images = grey[0][:SPLIT]
    scores = styled.outlier_score(images)
    assert_array_equal(scores, -styled.score_samples(images))
    for share in (0.05, 0.5, 0.9):
        # The thousand images that the quantiles come from are most of the training images.
        assert abs((scores > styled.outlier_threshold(share)).mean() - share) < 0.03
        assert_array_equal(styled.is_outlier(images, share), scores > styled.outlier_threshold(share))
    noise = np.random.default_rng(0).integers(0, 256, (20, 8, 8)).astype(np.uint8)
    assert styled.is_outlier(noise).all()


@pytest.mark.parametrize("contamination", [-0.1, 1.5, "few", None])
def test_contamination_is_a_share(styled, contamination):
    with pytest.raises(ValueError, match=r"contamination=.* must be a share"):
        styled.outlier_threshold(contamination)


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
    log_density = log_densities(styled._densities(), real, 12**-0.5)
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
    assert loaded.outlier_threshold() == styled.outlier_threshold()


def test_a_model_saved_before_confidence_still_loads(styled, grey):
    """It reads prompts by Bayes' rule alone, and has no threshold to offer."""
    old = LinearDiffusion(**styled.get_params())
    old.__dict__.update(styled.__dict__)
    old._confidence = None
    few = grey[0][:5].astype(float)
    assert np.isfinite(old.predict_proba(few)).all()
    with pytest.raises(ValueError, match="fit it again"):
        old.outlier_threshold()
