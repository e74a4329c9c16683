"""The bilinear regression in one eigendecomposition: against the normal equations, and the one-hot case."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linear_diffusion.denoiser.gaussian import GaussianDenoiser, eps_hat, in_latent
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.noise import CLEAN, Level

CODES = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=float)
LEVELS = [Level(0.999, 0.0447), Level(0.8, 0.6), Level(0.1, 0.995), Level(1.0, 80.0)]
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bilinear() -> Any:
    """The class `BilinearRegression`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        return importlib.import_module("bilinear").BilinearRegression


@pytest.fixture(scope="module")
def latents() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    index = rng.choice(5, size=400, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    return rng.standard_normal((400, 3)) @ rng.standard_normal((3, 3)) + rng.standard_normal((5, 3))[index], index


@pytest.mark.parametrize("level", LEVELS)
def test_one_eigendecomposition_solves_the_normal_equations_of_every_level(
    bilinear: Any, bilinear_weights: Callable[..., np.ndarray], latents: tuple[np.ndarray, np.ndarray], level: Level
) -> None:
    z, index = latents
    one_z = np.hstack([np.ones((len(z), 1)), z])
    one_c = np.hstack([np.ones((len(z), 1)), CODES[index]])
    phi = np.einsum("nq,nk->nqk", one_c, one_z).reshape(len(z), -1)
    weights = bilinear_weights(phi, 3, level)
    regression = bilinear.of(Moments.of(z, index, np.arange(5)), CODES)
    z_t = np.random.default_rng(1).standard_normal((6, 3))
    for code in [*CODES, np.array([0.0, 1.0, 0.0])]:
        phi_t = np.einsum("q,nk->nqk", np.r_[1, code], np.hstack([np.ones((6, 1)), z_t])).reshape(6, -1)
        assert_allclose(eps_hat(regression.denoiser(code), z_t, level), phi_t @ weights, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("level", [*LEVELS, Level(0.0, 1.0), CLEAN])
def test_a_one_hot_code_gives_each_prompts_wiener_filter(
    bilinear: Any, latents: tuple[np.ndarray, np.ndarray], level: Level
) -> None:
    moments = Moments.of(*latents, np.arange(5))
    regression = bilinear.of(moments, np.eye(5))
    for code, mean, covariance in zip(np.eye(5), moments.means, moments.covariances, strict=True):
        prior = GaussianDenoiser.from_covariance(mean, covariance)
        found, expected = regression.denoiser(code).z0_map(level), in_latent(prior.z0_map(level), prior)
        assert_allclose(found.matrix, expected.matrix, rtol=1e-8, atol=1e-8)
        assert_allclose(found.shift, expected.shift, rtol=1e-8, atol=1e-8)


def test_words_that_are_not_saturated_give_a_matrix_that_no_gaussian_has(
    bilinear: Any,
    latents: tuple[np.ndarray, np.ndarray],
) -> None:
    matrix = bilinear.of(Moments.of(*latents, np.arange(5)), CODES).denoiser(CODES[1]).z0_map(LEVELS[1]).matrix
    assert np.abs(matrix - matrix.T).max() > 1e-3
