"""Components, one white Gaussian and a few directions each: against scipy's densities and solved systems."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from linear_diffusion.denoiser.components import WhiteComponents

Q, S = 5, 3
RNG = np.random.default_rng(0)
MEANS, FACTORS = 2 * RNG.standard_normal((S, Q)), RNG.standard_normal((Q, S, 2))
SHARES, Y = RNG.dirichlet(np.ones(S)), 2 * RNG.standard_normal((40, Q))


@pytest.fixture
def white() -> WhiteComponents:
    return WhiteComponents.of(SHARES, MEANS, lambda dtype: FACTORS.astype(dtype), np.float64)


@pytest.fixture
def covariances() -> list[np.ndarray]:
    return [np.eye(Q) + FACTORS[:, j] @ FACTORS[:, j].T for j in range(S)]


def test_evidence_is_scipys_density(white: WhiteComponents, covariances: list[np.ndarray]) -> None:
    expected = np.stack([multivariate_normal(*of).logpdf(Y) for of in zip(MEANS, covariances, strict=True)], axis=1)
    found, _ = white.evidence(Y)
    assert_allclose(found - Q / 2 * np.log(2 * np.pi), expected + np.log(SHARES), rtol=1e-10)


def test_precise_solves_for_each_component(white: WhiteComponents, covariances: list[np.ndarray]) -> None:
    weights = np.random.default_rng(1).dirichlet(np.ones(S), len(Y))
    solved = np.stack([np.linalg.solve(c, (Y - m).T).T for m, c in zip(MEANS, covariances, strict=True)], axis=1)
    assert_allclose(white.precise(Y, weights), np.einsum("ns,nsq->nq", weights, solved), atol=1e-12)


def test_trace_is_that_of_the_inverse(white: WhiteComponents, covariances: list[np.ndarray]) -> None:
    weights = np.random.default_rng(2).random(Q)
    expected = [np.trace(np.diag(weights) @ np.linalg.inv(c) @ np.diag(weights)) for c in covariances]
    assert_allclose(white.trace(weights), expected, rtol=1e-10)


def test_factors_that_reach_far_are_taken_in_double_precision() -> None:
    far = 1e4 * FACTORS
    single, double = (WhiteComponents.of(SHARES, MEANS, far.astype, dtype) for dtype in (np.float32, np.float64))
    assert_allclose(single.evidence(Y)[0], double.evidence(Y)[0], rtol=1e-12)
    near = WhiteComponents.of(SHARES, MEANS, FACTORS.astype, np.float32)
    assert near.factors.dtype == np.float32
