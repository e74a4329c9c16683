"""What scores approximate posteriors: the exact one, the laws of methods, and the distance between them."""

import importlib
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion import LinearDiffusion, operators
from linear_diffusion.denoiser.affine import AffineMap
from linear_diffusion.noise import Level
from linear_diffusion.research import denoiser_map, gaussian, noise_levels
from linear_diffusion.sampler import ddpm

LEVELS = noise_levels("linear", 1000)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytest.importorskip("threadpoolctl")


@pytest.fixture(scope="module")
def inverse() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("inverse")


@pytest.fixture(scope="module")
def problem(inverse: ModuleType) -> Any:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 5)) * np.array([[2.0], [1.0], [0.5]])
    turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
    A = (turn * [1.0, 0.6, 0.0]) @ turn.T
    return inverse.Problem(gaussian([1.0, -1.0, 0.5], root @ root.T / 5), A, 0.3)


@pytest.mark.parametrize(
    "operator",
    [operators.inpaint(np.arange(16).reshape(4, 4) % 3 == 0), operators.downsample(2)],
    ids=["inpaint", "downsample"],
)
def test_the_posterior_is_what_restore_gives(inverse: ModuleType, operator: Any) -> None:
    """All components are kept, so that nothing of an image lies outside the latent."""
    rng = np.random.default_rng(1)
    X = (rng.standard_normal((400, 16)) @ rng.standard_normal((16, 16)) + 3).reshape(400, 4, 4)
    model = LinearDiffusion(styles=1, latent_dim=16, tone=False, pixel_range=None).fit(X, np.repeat(["a", "b"], 200))
    problem, to_y, H = inverse.pose(model, operator, X[:5], 0.7, "a")
    seen = operator(X[:5])
    y = operators.observe(operator, seen, (4, 4))[0].y
    law, V, mean = problem.posterior(), model.components_, model.encoder_.mean
    expected, std = model.restore(seen, operator, 0.7, prompts="a", return_std=True)
    found = law((y - H @ mean) @ to_y.T) @ V / model.scaling_factor_ + mean
    assert_allclose(found, expected.reshape(5, 16), rtol=1e-7, atol=1e-7)
    own = np.linalg.norm(V.T @ law.factor / model.scaling_factor_, axis=1)
    assert_allclose(np.tile(own, (5, 1)), std.reshape(5, 16), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("level", [Level(0.8, 0.6), Level(0.1, 0.99), Level(1.0, 3.0)])
def test_with_the_true_covariance_the_score_is_the_posteriors(inverse: ModuleType, problem: Any, level: Level) -> None:
    """For a Gaussian posterior N(m, P), ``z_t | y ~ N(alpha m, alpha^2 P + sigma^2 I)``."""
    y, z = np.random.default_rng(2).standard_normal((2, 1, 3))
    law, (alpha, sigma), prior = problem.posterior(), level, problem.prior

    def score(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        of_z_t = alpha**2 * covariance + sigma**2 * np.eye(3)
        return np.linalg.solve(of_z_t, (alpha * mean - z).T).T

    at = AffineMap(np.zeros((3, 3)), z[0])
    guided = score(prior.mean, prior.covariance) + inverse.likelihood_score(problem, at, level, inverse.true)(y)
    assert_allclose(guided, score(law(y), law.factor @ law.factor.T), rtol=1e-9)


def test_for_a_prior_of_variance_one_pigdm_is_exact(inverse: ModuleType) -> None:
    problem = inverse.Problem(gaussian(np.ones(2), np.eye(2)), np.diag([1.0, 0.5]), 0.2)
    found = inverse.score(problem, inverse.law_of(inverse.by_score(inverse.isotropic), problem, LEVELS))
    exact = inverse.score(problem, inverse.law_of(inverse.by_score(inverse.true), problem, LEVELS))
    assert found == pytest.approx(exact, abs=1e-9)
    assert exact["distance"] < 0.02


@pytest.mark.parametrize("method", ["DPS", "replacement"])
def test_the_law_of_a_method_is_that_of_its_draws(inverse: ModuleType, problem: Any, method: str) -> None:
    """The loop of each, on 200,000 latents for one y."""
    rng, levels, A, y = np.random.default_rng(3), noise_levels("linear", 20), problem.A, np.array([0.5, 1.0, -2.0])
    z = rng.standard_normal((200_000, 3))
    for t, s in pairwise(levels):
        z0, go = denoiser_map(problem.prior, t), ddpm(t, s)
        new = go.z * z + go.z0 * z0(z) + go.noise * rng.standard_normal(z.shape)
        if method == "DPS":
            z = new - 0.3 * (z0(z) @ A - y) @ A @ z0.matrix
        else:
            z = new + (s.alpha * y + s.sigma * rng.standard_normal(z.shape) - new @ A) @ A
    law = inverse.law_of(inverse.by_gradient(0.3) if method == "DPS" else inverse.by_replacement, problem, levels)
    assert_allclose(law(y[None])[0], z.mean(axis=0), atol=0.01)
    assert_allclose(law.factor @ law.factor.T, np.cov(z.T), atol=0.012)


def test_scores_are_zero_one_zero_for_the_posterior_and_count_its_deviations(inverse: ModuleType, problem: Any) -> None:
    law = problem.posterior()
    assert inverse.score(problem, law) == pytest.approx({"mean": 0, "std": 1, "distance": 0}, abs=1e-6)
    whole = np.linalg.norm(law.factor)
    moved = AffineMap(law.matrix, law.shift + np.array([whole, 0, 0]), law.factor)
    assert inverse.score(problem, moved) == pytest.approx({"mean": 1, "std": 1, "distance": 1})
    wide = AffineMap(law.matrix, law.shift, 3 * law.factor)
    assert inverse.score(problem, wide) == pytest.approx({"mean": 0, "std": 3, "distance": 2})
    off = AffineMap(law.matrix + 0.1 * np.eye(3), law.shift, law.factor)
    rng, prior = np.random.default_rng(4), problem.prior
    z = rng.multivariate_normal(prior.mean, prior.covariance, 20_000)
    y = z @ problem.A + problem.noise * rng.standard_normal(z.shape)
    error = np.sqrt((((off(y) - law(y)) / whole) ** 2).sum(axis=1).mean())
    assert inverse.score(problem, off)["mean"] == pytest.approx(error, rel=0.03)
