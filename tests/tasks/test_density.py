"""The density with styles: against mixtures of whole Gaussians, written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from linear_diffusion import LinearDiffusion
from linear_diffusion.denoiser.components import WhiteComponents
from linear_diffusion.tasks.density import densities
from linear_diffusion.tasks.likelihood import class_log_densities, log_densities


def by_scipy(mixture, x, noise_std=0.0, prompt=None):
    weights, means, covariances, prompts = mixture
    own = np.ones(len(weights), bool) if prompt is None else prompts == prompt
    shares = weights[own] / (1.0 if prompt is None else weights[own].sum())
    noise = noise_std**2 * np.eye(means.shape[1])
    each = [multivariate_normal(m, S + noise).logpdf(x) for m, S in zip(means[own], covariances[own], strict=True)]
    return logsumexp(np.stack(each, axis=1), b=shares, axis=1)


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("k", [2, 4, 5])
def test_density_with_styles_is_scipys_mixture(curved, components_of, k, standardize):
    rows, labels = curved
    model = LinearDiffusion(styles=4, latent_dim=k, standardize=standardize).fit(rows, labels)
    mixture = components_of(model)
    assert len(mixture[0]) > 4
    assert_allclose(model.score_samples(rows), by_scipy(mixture, rows), rtol=2e-6, atol=2e-6)
    for c in range(2):
        assert_allclose(model.score_samples(rows, [c] * 400), by_scipy(mixture, rows, prompt=c), rtol=2e-6, atol=2e-6)
        found = log_densities(densities(model.encoder_, model.prior_, [c]), rows, 0.7)[:, 0]
        assert_allclose(found, by_scipy(mixture, rows, 0.7, prompt=c), rtol=2e-6, atol=2e-6)


def test_density_with_styles_integrates_to_one(curved):
    rows, labels = curved[0][:, :2], curved[1]
    for standardize in (True, False):
        model = LinearDiffusion(styles=4, latent_dim=1, standardize=standardize).fit(rows, labels)
        axes = [np.linspace(rows[:, i].min() - 4, rows[:, i].max() + 4, 700) for i in range(2)]
        grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
        cell = np.prod([a[1] - a[0] for a in axes])
        assert_allclose(np.exp(model.score_samples(grid)).sum() * cell, 1.0, rtol=1e-5)


@given(
    q=st.integers(1, 6), r=st.integers(0, 4), seed=st.integers(0, 1000), bulk=st.sampled_from([np.float32, np.float64])
)
def test_white_components_are_gaussians_of_identity_plus_low_rank(q, r, seed, bulk):
    rng = np.random.default_rng(seed)
    means, a, y = rng.standard_normal((3, q)), rng.standard_normal((3, q, r)), rng.standard_normal((5, q))
    components = WhiteComponents.of(np.array([0.2, 0.3, 0.5]), means, a.swapaxes(0, 1).astype, bulk)
    found, g = components.evidence(y)
    exact = np.float64 if bulk is np.float64 else np.float32
    assert components.factors.dtype == exact
    for j in range(3):
        covariance = np.eye(q) + a[j] @ a[j].T
        expected = multivariate_normal(means[j], covariance).logpdf(y) + np.log((0.2, 0.3, 0.5)[j])
        assert_allclose(found[:, j] - q / 2 * np.log(2 * np.pi), np.ravel(expected), rtol=1e-4, atol=1e-4)
        # Posterior of the factor's coordinates: (I + A' A)^-1 A' (y - m) = T g.
        coordinates = np.linalg.solve(np.eye(r) + a[j].T @ a[j], a[j].T @ (y - means[j]).T).T
        assert_allclose(g[:, j] @ components.root[j].T, coordinates, rtol=1e-3, atol=1e-4)
        weights = np.arange(1.0, q + 1)
        trace = np.trace(np.diag(weights) @ np.linalg.inv(covariance) @ np.diag(weights))
        assert_allclose(components.trace(weights)[j], trace, rtol=1e-4)


def test_factors_that_reach_far_are_worked_out_in_float64():
    a = np.array([[[1e4], [1.0]]])
    y = np.array([[3e4, 0.5]])
    found, _ = WhiteComponents.of(np.ones(1), np.zeros((1, 2)), a.swapaxes(0, 1).astype, np.float32).evidence(y)
    covariance = np.eye(2) + a[0] @ a[0].T
    expected = -0.5 * (y[0] @ np.linalg.solve(covariance, y[0]) + np.linalg.slogdet(covariance)[1])
    assert_allclose(found[0, 0], expected, rtol=1e-6)


def test_prompts_are_read_by_the_mean_log_density_of_noisy_images(curved, components_of):
    """With one component a prompt: against the mean over draws of the noise."""
    rows, labels = curved
    model = LinearDiffusion(styles=1, latent_dim=3).fit(rows, labels)
    _, means, covariances, _ = components_of(model)
    eps = 0.5 * np.random.default_rng(0).standard_normal((100_000, 5))
    found = class_log_densities(densities(model.encoder_, model.prior_, [0, 1]), rows[:2], 0.25)
    for c in range(2):
        noisy = multivariate_normal(means[c], covariances[c] + 0.25 * np.eye(5))
        expected = [noisy.logpdf(x + eps).mean() for x in rows[:2]]
        assert_allclose(found[:, c], expected, rtol=0.005)


def test_few_images_and_constant_pixels_have_a_finite_density():
    rng = np.random.default_rng(0)
    few = np.zeros((30, 50))
    few[:, :20] = rng.standard_normal((30, 20))
    labels = np.arange(30) % 2
    for settings in ({"styles": 1}, {"styles": 3}, {"styles": 3, "standardize": True}):
        model = LinearDiffusion(latent_dim=40, **settings).fit(few, labels)
        unseen = few + 0.1
        for found in (model.score_samples(few), model.score_samples(unseen), model.predict_proba(unseen)):
            assert np.isfinite(found).all()
        assert (model.score_samples(unseen) < model.score_samples(few)).all()


def test_bytes_with_styles_score_as_the_same_floats(grey):
    images, y = grey
    model = LinearDiffusion(styles=6, latent_dim=30, random_state=0).fit(images, y)
    as_floats = images[:200].astype(np.float64)
    assert_allclose(model.score_samples(images[:200]), model.score_samples(as_floats), rtol=1e-4)
    assert_allclose(model.predict_proba(images[:200]), model.predict_proba(as_floats), atol=1e-3)
