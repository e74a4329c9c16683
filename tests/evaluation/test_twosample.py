"""What cannot be told apart is not, and noise is."""

import numpy as np
import pytest
from scipy.stats import norm

from linear_diffusion.evaluation.twosample import two_sample_test


@pytest.fixture(scope="module")
def images(digits):
    return digits[0][np.random.default_rng(0).permutation(1797)]


def test_real_images_cannot_be_told_from_real_images(images):
    found = two_sample_test(images[:800], images[800:1600])
    assert found.n_test == 800
    assert found.accuracy == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(800))
    assert found.p_value > 1e-3


def test_noise_is_told_from_real_images(images):
    found = two_sample_test(np.random.default_rng(1).random((400, 8, 8)), images[:400])
    assert found.accuracy > 0.99
    assert found.p_value < 1e-50


def test_error_and_p_value():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((600, 3)), rng.standard_normal((600, 3)) + 0.3
    found = two_sample_test(a, b, seed=3)
    assert found.standard_error == pytest.approx(np.sqrt(found.accuracy * (1 - found.accuracy) / 600))
    # The paper's normal approximation, with the correction for counts.
    z = (found.accuracy - 0.5 - 0.5 / 600) / np.sqrt(1 / (4 * 600))
    assert norm.logsf(z) == pytest.approx(np.log(found.p_value), rel=0.1)
    assert 1e-20 < found.p_value < 1e-2
    assert found == two_sample_test(a, b, seed=3)


def test_unequal_sets_are_compared_in_equal_numbers():
    rng = np.random.default_rng(2)
    assert two_sample_test(rng.random((400, 5)), rng.random((40, 5))).n_test == 40


def test_too_few():
    with pytest.raises(ValueError, match="four images at least of either kind, got 3 and 9"):
        two_sample_test(np.zeros((3, 2)), np.zeros((9, 2)))
