"""A prompt's law: what samples are drawn from, and the exact denoiser of a mixture, against scipy's densities."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from linear_diffusion.denoiser.gaussian import in_latent
from linear_diffusion.denoiser.law import WIDEST, Law, Mixture
from linear_diffusion.noise import CLEAN, Level

LEVELS = [Level(0.9, 0.3), Level(0.5, 0.8), Level(0.05, 1.0), Level(1.0, 2.0)]


def make_law(s: int = 3, k: int = 4, r: int = 2, seed: int = 0) -> Law:
    """Components with nothing alike."""
    rng = np.random.default_rng(seed)
    return Law(
        shares=rng.dirichlet(np.full(s, 4.0)),
        means=2 * rng.standard_normal((s, k)),
        factors=rng.standard_normal((s, k, r)).astype(np.float32),
        basis=np.linalg.qr(rng.standard_normal((k, k)))[0],
        variances=rng.uniform(0.05, 0.6, k),
    )


def own_covariance(law: Law, j: int) -> np.ndarray:
    """``Q F F' Q'``."""
    factor = law.basis @ law.factors[j]
    return factor @ factor.T


def shared_covariance(law: Law) -> np.ndarray:
    """``Q D Q'``."""
    return (law.basis * law.variances) @ law.basis.T


def log_density(mixture: Mixture, z: np.ndarray, level: Level) -> np.ndarray:
    """log p_t of each component (n, s), by scipy."""
    logs = []
    for j in range(len(mixture.shares)):
        component = mixture.component(j)
        noisy = level.alpha**2 * component.covariance + level.sigma**2 * np.eye(len(component.mean))
        logs.append(multivariate_normal(level.alpha * component.mean, noisy).logpdf(z))
    return np.stack(logs, axis=1)


def mixture_log_density(mixture: Mixture, z: np.ndarray, level: Level) -> np.ndarray:
    return logsumexp(log_density(mixture, z, level) + np.log(mixture.shares), axis=1)


# The law


@pytest.mark.parametrize(("s", "r"), [(3, 2), (1, 2), (1, 0), (4, 0)])
def test_one_gaussian_has_the_mean_and_covariance_of_all_components(s: int, r: int) -> None:
    law = make_law(s, r=r)
    covariances = np.stack([own_covariance(law, j) + shared_covariance(law) for j in range(s)])
    mean = law.shares @ law.means
    second = np.einsum("j,jkl->kl", law.shares, covariances + law.means[:, :, None] * law.means[:, None])
    assert_allclose(law.mean, mean)
    assert_allclose(law.gaussian.mean, mean)
    # Products of factors run in float32.
    assert_allclose(law.gaussian.covariance, second - np.outer(mean, mean), atol=1e-6)
    assert_allclose(law.gaussian.basis.T @ law.gaussian.basis, np.eye(4), atol=1e-12)


@pytest.mark.parametrize("r", [1, 2, 4])
def test_components_are_drawn_by_a_square_root_of_their_covariance(r: int) -> None:
    mixture = make_law(r=r).mixture
    eps = np.random.default_rng(1).standard_normal((50, 4))
    for j in range(3):
        component = mixture.component(j)
        root = in_latent(component.marginal(CLEAN), component)
        assert_allclose(root.matrix @ root.matrix.T, component.covariance, atol=1e-6)
        assert_allclose(root.shift, mixture.means[j], atol=1e-6)
        assert_allclose(component.flow(Level(0.0, 1.0), CLEAN)(eps), root(eps), atol=1e-6)


def test_turned_directions_that_are_alike_change_nothing() -> None:
    """Of equal variances any basis is one of eigenvectors; what is drawn from the same noise is the same."""
    law, turn = make_law(), np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))[0]
    equal = replace(law, variances=np.full(4, 0.3))
    factors = np.einsum("kq,mkr->mqr", turn, law.factors).astype(np.float32)
    turned = replace(equal, basis=law.basis @ turn, factors=factors)
    for j in range(3):
        one, other = (
            in_latent(component.marginal(CLEAN), component)
            for component in (mixture.component(j) for mixture in (equal.mixture, turned.mixture))
        )
        assert_allclose(one.matrix, other.matrix, atol=1e-5)
    assert_allclose(equal.gaussian.covariance, turned.gaussian.covariance, atol=1e-5)


def test_samples_have_all_variance_in_a_components_own_directions() -> None:
    law = make_law(r=3)
    wide = replace(law, factors=3 * law.factors)  # most variance along them: below the cap
    for j in range(3):
        found, own = wide.mixture.component(j), own_covariance(wide, j)
        assert_allclose(np.trace(found.covariance), np.trace(own) + wide.variances.sum(), rtol=1e-6)
        assert_allclose(found.covariance / np.trace(found.covariance), own / np.trace(own), atol=1e-6)
    assert_array_equal(wide.mixture.means, wide.means)
    assert_array_equal(wide.mixture.shares, wide.shares)
    narrow = replace(law, factors=law.factors / 100)
    for j in range(3):
        assert_allclose(narrow.mixture.component(j).covariance, WIDEST * own_covariance(narrow, j), rtol=1e-4)


def test_a_component_that_does_not_vary_is_its_mean_and_one_without_directions_varies_as_all() -> None:
    law = make_law()
    still = replace(law, factors=np.zeros_like(law.factors)).mixture
    assert_array_equal(still.variances, 0.0)
    assert np.isfinite(still.directions).all()
    assert_allclose(still.component(1).covariance, 0.0)
    bare = replace(law, factors=law.factors[:, :, :0]).mixture
    assert_allclose(bare.component(0).covariance, shared_covariance(law), atol=1e-14)


@pytest.mark.parametrize("r", [0, 2])
def test_matching_scales_deviations_along_the_basis_and_moves_means(r: int) -> None:
    law, rng = make_law(3 if r else 1, r=r), np.random.default_rng(5)
    gain, means = rng.uniform(0.5, 2, 4), rng.standard_normal(law.means.shape)
    matched = replace(law, gain=gain, matched_means=means)
    scale = law.basis * gain @ law.basis.T
    assert_array_equal(matched.mixture.means, means)
    for j in range(len(means)):
        plain = law.mixture.component(j).covariance
        assert_allclose(matched.mixture.component(j).covariance, scale @ plain @ scale, rtol=1e-5, atol=1e-5)
    assert_array_equal(matched.gaussian.covariance, law.gaussian.covariance)  # what was learned stays
    assert_array_equal(matched.mean, law.mean)
    same = replace(law, gain=np.ones(4), matched_means=law.means).mixture
    assert_allclose(same.variances, law.mixture.variances, rtol=1e-12)


def test_pixel_moments_are_those_of_decoded_latents() -> None:
    mixture, to_pixels = make_law().mixture, np.random.default_rng(3).standard_normal((4, 7))
    means, variances = mixture.pixel_moments(to_pixels)
    for j in range(3):
        component = mixture.component(j)
        assert_allclose(means[j], component.mean @ to_pixels)
        # Products of factors run in float32: 8 summands a pixel, and their squares.
        assert_allclose(variances[j], np.diag(to_pixels.T @ component.covariance @ to_pixels), rtol=1e-6)


# The denoiser of the mixture


@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_denoiser_is_tweedies_formula_on_the_mixtures_log_density(seed: int, level: Level) -> None:
    """(z_t + sigma^2 grad log p_t(z_t)) / alpha, the gradient by central differences of scipy's density."""
    mixture, z = make_law(seed=seed).mixture, 2 * np.random.default_rng(4).standard_normal((30, 4))
    step = 2e-5
    gradient = np.stack(
        [
            mixture_log_density(mixture, z + h, level) - mixture_log_density(mixture, z - h, level)
            for h in step * np.eye(4)
        ],
        axis=1,
    ) / (2 * step)
    # Differences are good to about 1e-10, which the formula multiplies by sigma^2 / alpha.
    assert_allclose(mixture.z0(level)(z), (z + level.sigma**2 * gradient) / level.alpha, atol=1e-6)


def test_the_denoiser_averages_components_by_how_likely_they_are() -> None:
    mixture, z, level = make_law().mixture, np.random.default_rng(5).standard_normal((30, 4)), LEVELS[1]
    logs = log_density(mixture, z, level) + np.log(mixture.shares)
    likely = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    assert_allclose(mixture.responsibilities(z, level), likely, atol=1e-6)
    one_by_one = np.stack([mixture.component(j).z0(level)(z) for j in range(3)], axis=1)
    assert_allclose(mixture.z0(level)(z), np.einsum("ns,nsk->nk", likely, one_by_one), atol=1e-5)


def test_without_signal_the_denoiser_gives_the_mean() -> None:
    mixture, z = make_law().mixture, np.random.default_rng(6).standard_normal((5, 4))
    found = mixture.z0(Level(0.0, 1.0))(z)
    assert_allclose(found, np.tile(mixture.shares @ mixture.means, (5, 1)), atol=1e-12)
    assert_allclose(mixture.z0(Level(1e-6, 1.0))(z), found, atol=1e-3)


@pytest.mark.parametrize("level", [*LEVELS, CLEAN, Level(0.0, 1.0)], ids=str)
@pytest.mark.parametrize("r", [0, 2])
def test_a_mixture_of_one_is_a_gaussian_denoiser(r: int, level: Level) -> None:
    mixture, z = make_law(1, r=r).mixture, np.random.default_rng(7).standard_normal((20, 4))
    # Directions of factors are kept in float32, so that they are orthonormal to about 1e-7.
    assert_allclose(mixture.z0(level)(z), mixture.component(0).z0(level)(z), atol=1e-5)


def test_far_from_all_components_the_denoiser_is_finite_and_takes_the_nearest() -> None:
    mixture, z = make_law().mixture, 1e6 * np.ones((1, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for level in LEVELS:
            assert np.isfinite(mixture.z0(level)(z)).all()
            assert_allclose(mixture.responsibilities(z, level).sum(), 1.0)


def test_the_nearest_component_is_the_one_whose_mean_is() -> None:
    mixture = make_law(5).mixture
    for z in 2 * np.random.default_rng(8).standard_normal((20, 4)):
        assert mixture.nearest(z) == np.linalg.norm(mixture.means - z, axis=1).argmin()
