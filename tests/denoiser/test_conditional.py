"""The conditional Gaussian: against least squares by other routes, the one-hot case, and a law made by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.linear_model import LinearRegression, Ridge

from linear_diffusion.denoiser.conditional import ConditionalGaussian, Regression, regress, regress_products, whiten
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.text.products import ProductCode

CODES = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]], dtype=float)


def scatter_about(z: np.ndarray, index: np.ndarray, fitted: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """The sum of residual products of each prompt."""
    residuals = [z[index == j] - fitted[j] for j in range(len(fitted))]
    return [(j, r.T @ r) for j, r in enumerate(residuals)]


def fit(z: np.ndarray, index: np.ndarray, codes: np.ndarray) -> ConditionalGaussian:
    latents = Moments.of(z, index, np.arange(len(codes)), diagonal=True)
    mean = regress(codes, latents.weights, latents.means)
    scatter = scatter_about(z, index, mean(codes))
    covariance, pooled = regress_products(codes, latents.counts, scatter, z.shape[1])
    return ConditionalGaussian(mean, covariance, pooled, 0.0)


def moments_at(model: ConditionalGaussian, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (n, k) and covariances (n, k, k)."""
    means, variances, basis = model.at(codes)
    return means, (basis * variances[:, None, :]) @ basis.swapaxes(1, 2)


@pytest.fixture(scope="module")
def latents() -> tuple[np.ndarray, np.ndarray]:
    """700 latents of five prompts that are not equally frequent."""
    rng = np.random.default_rng(0)
    index = rng.choice(5, size=700, p=[0.4, 0.2, 0.2, 0.1, 0.1])
    z = rng.standard_normal((700, 4)) @ rng.standard_normal((4, 4)) + 2 * rng.standard_normal((5, 4))[index]
    return z * (1 + 0.3 * CODES[index, :1]), index


def test_means_over_prompts_are_least_squares_over_images(latents: tuple[np.ndarray, np.ndarray]) -> None:
    """scikit-learn's regression, image by image, of latents and then of the products of its residuals."""
    z, index = latents
    model = fit(z, index, CODES)
    rows = CODES[index]
    mean = LinearRegression().fit(rows, z)
    assert_allclose(model.mean(CODES), mean.predict(CODES), rtol=1e-10, atol=1e-10)
    r = z - mean.predict(rows)
    products = LinearRegression().fit(rows, np.einsum("nk,nl->nkl", r, r).reshape(len(r), -1))
    asked = np.vstack([CODES, [[0, 1, 0]]])  # the last was not seen
    assert_allclose(model.covariance(asked).reshape(6, -1), products.predict(asked), rtol=1e-9, atol=1e-9)
    assert_allclose(model.pooled, r.T @ r / len(r), rtol=1e-10, atol=1e-10)


def test_a_one_hot_code_gives_each_prompt_its_own_gaussian(latents: tuple[np.ndarray, np.ndarray]) -> None:
    z, index = latents
    moments = Moments.of(z, index, np.arange(5))
    means, covariances = moments_at(fit(z, index, np.eye(5)), np.eye(5))
    assert_allclose(means, moments.means, rtol=0, atol=1e-10)
    assert_allclose(covariances, moments.covariances, rtol=0, atol=1e-10)


def test_a_one_hot_code_is_exact_where_a_prompt_has_few_images_or_no_variance() -> None:
    """Fewer images than dimensions, one image, and images that are all the same: nothing is lifted but rounding."""
    rng = np.random.default_rng(1)
    index = np.repeat([0, 1, 2, 3], [50, 3, 1, 5])
    z = rng.standard_normal((59, 6))
    z[index == 3] = 0.7
    moments = Moments.of(z, index, np.arange(4))
    _, covariances = moments_at(fit(z, index, np.eye(4)), np.eye(4))
    assert_allclose(covariances, moments.covariances, rtol=0, atol=1e-10)


def test_a_law_made_by_hand_is_recovered() -> None:
    """z | c ~ N(B 1c, S(c)) with S linear in c; errors fall as one over the root of the number of images."""
    rng = np.random.default_rng(2)
    slope, roots = rng.standard_normal((4, 3)), rng.standard_normal((4, 3, 3))
    parts = roots @ roots.swapaxes(1, 2)  # S(c) = S_0 + sum_w c_w S_w
    one_c = np.hstack([np.ones((5, 1)), CODES])
    means, covariances = one_c @ slope, np.tensordot(one_c, parts, axes=1)
    unseen = np.array([[0.0, 1.0, 0.0]])
    errors = []
    for n in (2_000, 200_000):
        index = np.arange(n) % 5
        roots_c = np.linalg.cholesky(covariances)
        z = means[index] + np.einsum("nkl,nl->nk", roots_c[index], rng.standard_normal((n, 3)))
        (mean,), (covariance,) = moments_at(fit(z, index, CODES), unseen)
        errors.append(np.abs(covariance - (parts[0] + parts[2])).max())
        assert_allclose(mean, slope[0] + slope[2], atol=60 / np.sqrt(n))
    assert errors[1] < 0.3 < 100 * errors[0]
    assert errors[1] < errors[0]


def test_products_are_ridge_regression_on_the_kernels_features(latents: tuple[np.ndarray, np.ndarray]) -> None:
    """Kernel ridge in its dual form, and scikit-learn's Ridge on features whose inner product is the kernel."""
    z, index = latents
    moments = Moments.of(z, index, np.arange(5))
    products = ProductCode(CODES, np.array([0.5, 0.7, -0.4]), 0.05)
    found = regress(CODES, moments.weights, moments.means, products)
    asked = np.vstack([CODES, [[0, 1, 0]]])
    values, vectors = np.linalg.eigh(products(CODES))
    features = products(asked) @ vectors / np.sqrt(values)
    sklearn = Ridge(alpha=0.05 / 5, tol=1e-12).fit(features[:5], moments.means, sample_weight=moments.weights)
    assert_allclose(found(asked), sklearn.predict(features), rtol=1e-8, atol=1e-9)


def test_a_covariance_that_is_not_positive_is_lifted_and_keeps_its_total() -> None:
    regression = Regression(None, np.eye(2), np.stack([np.diag([4.0, 1.0, 1.0]), np.diag([0.0, 0.0, -1.5])]))
    mean = Regression(None, np.eye(2), np.zeros((2, 3)))
    model = ConditionalGaussian(mean, regression, np.diag([4.0, 2.0, 1.0]), 0.0)
    _, variances, _ = model.at(np.array([[0.0], [1.0]]))
    assert_allclose(np.sort(variances[0]), [1.0, 1.0, 4.0])  # positive: as it is
    assert_allclose(np.sort(variances[1]), np.array([0.01, 1.0, 4.0]) * 4.5 / 5.01)
    assert model.share_below_zero(np.array([[0.0], [1.0]])) == pytest.approx(1 / 6)
    damped = ConditionalGaussian(mean, regression, model.pooled, 0.25)
    assert_allclose(damped.at(np.array([[0.0]]))[1].sum(), 6.75)


def test_a_covariance_that_is_negative_altogether_is_a_hundredth_of_the_pooled() -> None:
    regression = Regression(None, np.eye(2)[:, :1], -np.eye(2)[None])
    model = ConditionalGaussian(Regression(None, np.eye(2)[:, :1], np.zeros((1, 2))), regression, 2 * np.eye(2), 0.0)
    assert_allclose(model.at(np.zeros((1, 1)))[1], 0.02)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 4), st.integers(1, 4), st.integers(0, 10**6))
def test_shapes_hold_and_codes_are_white_whatever_the_codes(p: int, v: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes, counts = rng.integers(0, 2, (p, v)).astype(float), rng.integers(1, 9, p).astype(float)
    shares = counts / counts.sum()
    whitening = whiten(codes, shares)
    u = np.hstack([np.ones((p, 1)), codes]) @ whitening
    rank = np.linalg.matrix_rank(np.hstack([np.ones((p, 1)), codes]))
    assert whitening.shape == (1 + v, rank)
    assert_allclose((u * shares[:, None]).T @ u, np.eye(rank), atol=1e-8)
    mean = regress(codes, shares, rng.standard_normal((p, k)))
    roots = rng.standard_normal((p, k, 2 * k))
    sums = [(j, c * root @ root.T) for j, (c, root) in enumerate(zip(counts, roots, strict=True))]
    covariance, pooled = regress_products(codes, counts, sums, k)
    means, variances, basis = ConditionalGaussian(mean, covariance, pooled, 0.0).at(codes)
    assert means.shape == variances.shape == (p, k)
    assert basis.shape == (p, k, k)
    assert (variances >= 0).all()
