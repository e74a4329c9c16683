"""Precision, recall, density and coverage, against their definitions word by word."""

import numpy as np
import pytest

from linear_diffusion.evaluation import distances
from linear_diffusion.evaluation.diversity import neighbourhoods


def by_the_book(real, fake, k, k_density):
    """The four measures in loops."""

    def radius(x, i, k):
        return sorted(np.linalg.norm(x[i] - x[j]) for j in range(len(x)) if j != i)[k - 1]

    def gap(i, j):
        return np.linalg.norm(real[i] - fake[j])

    n, m = range(len(real)), range(len(fake))
    return (
        np.mean([any(gap(i, j) <= radius(real, i, k) for i in n) for j in m]),
        np.mean([any(gap(i, j) <= radius(fake, j, k) for j in m) for i in n]),
        np.mean([sum(gap(i, j) < radius(real, i, k_density) for i in n) for j in m]) / k_density,
        np.mean([any(gap(i, j) < radius(real, i, k_density) for j in m) for i in n]),
    )


def as_tuple(found):
    return found.precision, found.recall, found.density, found.coverage


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("most", [1, 16_000_000])
def test_they_are_their_definitions(monkeypatch, seed, most):
    monkeypatch.setattr(distances, "_BLOCK", most)
    rng = np.random.default_rng(seed)
    real, fake = rng.standard_normal((17, 2)), 0.7 * rng.standard_normal((13, 2)) + rng.standard_normal(2)
    found = neighbourhoods(real, fake, k=2, k_density=4)
    np.testing.assert_allclose(as_tuple(found), by_the_book(real, fake, 2, 4), rtol=1e-12)


def test_a_hand_made_square():
    real = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])  # every ball has radius 2
    fake = np.array([[1.0, 0], [1, 1], [9, 9], [9, 10]])
    found = neighbourhoods(real, fake, k=1, k_density=1)
    # Two of four lie among the real ones. The balls of fakes have radius 1: [1, 0] reaches [0, 0] and [2, 0].
    # [1, 0] lies in the balls of the two below, [1, 1] in all four; those above at sqrt(5) > 2 from [1, 0].
    assert as_tuple(found) == (0.5, 0.5, 6 / 4, 1.0)


def test_identical_sets():
    a = np.random.default_rng(0).integers(0, 10_000, (60, 3)).astype(float)
    assert as_tuple(neighbourhoods(a, a)) == (1, 1, 1, 1)


def test_one_law_has_a_density_of_about_one():
    rng = np.random.default_rng(1)
    found = neighbourhoods(rng.standard_normal((2000, 4)), rng.standard_normal((2000, 4)))
    assert found.density == pytest.approx(1, abs=0.05)
    assert found.coverage == pytest.approx(1 - 0.5**5, abs=0.02)  # Naeem et al., eq. 9, for as many of each


def test_a_lost_mode_costs_recall_and_coverage_only():
    rng = np.random.default_rng(2)
    modes = np.array([[0.0, 0], [100, 0]])
    real = rng.standard_normal((400, 2)) + modes[np.arange(400) % 2]
    found = neighbourhoods(real, rng.standard_normal((400, 2)))
    assert found.precision > 0.95
    assert found.recall == pytest.approx(0.5, abs=0.05)
    assert found.coverage == pytest.approx(0.5, abs=0.05)
    assert found.density == pytest.approx(0.5 * 2, abs=0.3)


def test_noise_far_away_has_nothing():
    rng = np.random.default_rng(3)
    assert as_tuple(neighbourhoods(rng.random((50, 2)), rng.random((50, 2)) + 10)) == (0, 0, 0, 0)
