"""The Fréchet distance in closed form, against scipy's matrix root, and from samples."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from linear_diffusion.evaluation.fidelity import frechet_distance, frechet_from_moments, prompt_accuracy


def random_covariance(k, seed):
    root = np.random.default_rng(seed).standard_normal((k, 2 * k))
    return root @ root.T / k


def test_identical_sets_are_at_zero():
    a = np.random.default_rng(0).standard_normal((200, 12))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-10)
    assert frechet_distance(a, a[::-1]) == pytest.approx(0, abs=1e-10)


def test_exact_moments_give_the_closed_form():
    # Commuting covariances: |mu|^2 + sum (s_1 - s_2)^2, whatever basis they share.
    basis = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    s, t = np.array([3.0, 2, 1, 0.5, 0, 0]), np.array([1.0, 2, 4, 0, 0, 5])
    found = frechet_from_moments(np.full(6, 2.0), basis * s**2 @ basis.T, np.full(6, -1.0), basis * t**2 @ basis.T)
    assert found == pytest.approx(6 * 9 + ((s - t) ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_it_equals_the_route_by_a_general_matrix_root(k):
    one, two = random_covariance(k, 2), random_covariance(k, 3)
    shift = np.random.default_rng(4).standard_normal(k)
    other = shift @ shift + np.trace(one + two - 2 * np.real(sqrtm(one @ two)))
    assert frechet_from_moments(shift, one, np.zeros(k), two) == pytest.approx(other, rel=1e-9)


def test_singular_covariances_are_exact():
    # Two planes at a right angle: nothing overlaps but what both vary in.
    one, two = np.diag([1.0, 4, 0, 0]), np.diag([0.0, 9, 1, 0])
    assert frechet_from_moments(np.zeros(4), one, np.zeros(4), two) == pytest.approx(1 + 1 + 1, rel=1e-12)


def test_shifted_gaussians_from_samples():
    rng = np.random.default_rng(5)
    k, n = 4, 200_000
    cov, shift = random_covariance(k, 6), np.array([1.0, 0, -2, 0.5])
    a = rng.standard_normal((n, k)) @ np.linalg.cholesky(cov).T
    b = 2 * rng.standard_normal((n, k)) @ np.linalg.cholesky(cov).T + shift
    expected = shift @ shift + np.trace(cov)  # (2 - 1)^2 tr S
    # The standard error of |mean difference|^2 rules: 2 |shift| sqrt(5 |S| / n).
    error = 2 * np.linalg.norm(shift) * np.sqrt(5 * np.linalg.norm(cov, 2) / n)
    assert frechet_distance(a, b) == pytest.approx(expected, abs=4 * error)


def test_moments_of_samples_are_those_of_numpy():
    rng = np.random.default_rng(7)
    a, b = rng.random((30, 3)).astype(np.float32), rng.random((50, 3)).astype(np.float32)
    moments = [m for x in (a.astype(float), b.astype(float)) for m in (x.mean(axis=0), np.cov(x.T))]
    assert frechet_distance(a, b) == pytest.approx(frechet_from_moments(*moments), rel=1e-12)


def test_one_image_has_no_covariance():
    with pytest.raises(ValueError, match="two images at least on either side, got 1 and 5"):
        frechet_distance(np.zeros((1, 2)), np.zeros((5, 2)))


def test_prompt_accuracy():
    assert prompt_accuracy(np.array(["a", "b", "c", "a"]), np.array(["a", "b", "a", "c"])) == 0.5
