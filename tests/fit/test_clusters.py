"""Clusters: how a prompt's styles are found, and what of its covariance each has for its own."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.denoiser.law import Law
from linear_diffusion.denoiser.prior import joined
from linear_diffusion.fit.clusters import LEADING, RANK, _describe, _own_directions, _smoothing, fit_prompt, fit_styles
from linear_diffusion.text.prompts import OneHotEncoder


def covariance_of(law: Law, j: int) -> np.ndarray:
    """Of a style's latents, ``Q (D + F F') Q'``."""
    factor = law.factors[j].astype(np.float64)
    covariance: np.ndarray = law.basis @ (np.diag(law.variances) + factor @ factor.T) @ law.basis.T
    return covariance


# Finding styles


@pytest.mark.parametrize(("k", "r", "noise"), [(6, 2, 0.1), (40, 5, 0.05)])
def test_a_mixture_made_by_hand_is_recovered(k: int, r: int, noise: float) -> None:
    rng, n = np.random.default_rng(9), 20_000
    shares, means = np.array([0.5, 0.3, 0.2]), 12 * np.linalg.qr(rng.standard_normal((k, 3)))[0].T
    factors = rng.standard_normal((3, k, r)) * np.linspace(1.0, 0.5, r) / np.sqrt(k / 6)
    truth = rng.choice(3, n, p=shares)
    z = means[truth] + np.einsum("nkr,nr->nk", factors[truth], rng.standard_normal((n, r)))
    z += np.sqrt(noise) * rng.standard_normal((n, k))
    (law,), _, labels = fit_styles(z, np.zeros(n, np.intp), 1, 3, floor=1e-9)
    match = [int(np.linalg.norm(law.means - mean, axis=1).argmin()) for mean in means]
    assert sorted(match) == [0, 1, 2]
    assert_array_equal(np.array(match)[truth], labels)
    assert_allclose(law.shares[match], np.bincount(truth) / n, rtol=1e-12)
    for j, s in enumerate(match):
        covariance = factors[j] @ factors[j].T + noise * np.eye(k)
        found = covariance_of(law, s)
        assert_allclose(law.means[s], means[j], atol=5 * np.sqrt(covariance.max() / (n * shares[j])))
        assert np.linalg.norm(found - covariance) < 0.06 * np.linalg.norm(covariance)
        assert_allclose(np.trace(found), np.trace(covariance), rtol=0.05)
    if k > RANK:  # what is not a style's own is shared, and evenly spread here
        assert_allclose(law.variances.sum(), noise * (k - RANK), rtol=0.2)


def test_each_prompt_has_styles_of_its_own_which_are_grouped_by_neighbours() -> None:
    rng = np.random.default_rng(10)
    z, index = rng.standard_normal((1500, 4)) * 3, rng.permutation(np.repeat([0, 1, 2], [900, 590, 10]))
    laws, groups, labels = fit_styles(z, index, 3, 12, floor=1e-9)
    assert [len(law.shares) for law in laws] == [12, 12, 1]
    assert [int(group[-1]) + 1 for group in groups] == [4, 3, 1]  # at most one for three styles, and for 150 images
    for j, (law, group) in enumerate(zip(laws, groups, strict=True)):
        own = labels[index == j]
        assert_allclose(law.shares, np.bincount(own) / len(own))
        assert_allclose(law.shares.sum(), 1.0)
        assert (np.diff(group) >= 0).all()
        assert_array_equal(np.unique(group), np.arange(group[-1] + 1))
        for style, mean in enumerate(law.means):
            assert_allclose(mean, z[index == j][own == style].mean(axis=0), atol=1e-12)


def test_styles_of_a_group_look_alike() -> None:
    rng = np.random.default_rng(19)
    corner = rng.permutation(np.repeat(np.arange(4), 225))
    z = 50 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[corner] + rng.standard_normal((900, 3))
    _, group, labels = fit_prompt(z, 12, floor=1e-9)
    pairs = np.unique(np.stack([corner, group[labels]]), axis=1)
    assert_array_equal(np.sort(pairs), np.sort(np.stack([np.arange(4), pairs[1]])))
    assert len(pairs[0]) == len(np.unique(group)) == 4  # each corner is a group


def test_clusters_that_turn_out_empty_are_dropped() -> None:
    z = np.repeat(np.random.default_rng(11).standard_normal((2, 3)), 30, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (law,), (group,), labels = fit_styles(z, np.zeros(60, np.intp), 1, 5, floor=1e-6)
    assert_array_equal(law.shares, [0.5, 0.5])
    assert_array_equal(np.bincount(labels), [30, 30])
    assert_array_equal(group, [0, 0])


def test_one_image_apart_is_a_style_with_the_spread_of_its_neighbours() -> None:
    z = np.r_[np.random.default_rng(12).standard_normal((60, 3)), [[500.0, 0.0, 0.0]]]
    law, _, labels = fit_prompt(z, 2, floor=1e-9)
    alone = labels[-1]
    assert np.bincount(labels).tolist().count(1) == 1
    assert_allclose(law.means[alone], z[-1], atol=1e-9)
    spread = np.trace(np.cov(z[:-1].T))
    assert 0.5 * spread < np.trace(covariance_of(law, alone)) < 2 * spread


def test_a_prompt_has_at_most_one_style_for_ten_images() -> None:
    z = np.random.default_rng(13).standard_normal((100, 3))
    for n, expected in [(1, 1), (3, 1), (19, 1), (20, 2), (100, 10)]:
        assert len(fit_prompt(z[:n], 100, floor=1e-9)[0].shares) == expected
    assert len(fit_prompt(z, 4, floor=1e-9)[0].shares) == 4


def test_ridge_and_floor_bound_the_shared_variances() -> None:
    z = np.random.default_rng(14).standard_normal((100, 30))
    z[:, 25:] = 0.0
    plain, damped = (fit_prompt(z, 3, floor=1e-3, ridge=ridge)[0] for ridge in (0.0, 0.5))
    assert_allclose(plain.variances.min(), 1e-3)
    kept = plain.variances > 1e-3
    assert_allclose((damped.variances - plain.variances)[kept], 0.5, rtol=1e-9)
    assert_allclose(damped.variances.min(), 0.5, rtol=1e-9)


# A style's own directions


def random_covariances(m: int, k: int, rank: int, seed: int) -> np.ndarray:
    """Covariances (m, k, k), of a rank or nearly of it, whose scales are far apart."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((m, k, rank)) * np.geomspace(3.0, 0.1, rank) * np.geomspace(1.0, 30.0, m)[:, None, None]
    return root @ root.swapaxes(1, 2) / rank


def random_leading(k: int, n: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((k, k)))[0][:, :n]


@given(st.integers(1, 3), st.integers(1, 40), st.integers(1, 60), st.integers(0, 99))
def test_own_directions_are_the_leading_eigenpart_where_all_directions_lead(
    m: int, k: int, rank: int, seed: int
) -> None:
    covariance, leading = random_covariances(m, k, rank, seed), random_leading(k, k, seed)
    own = _own_directions(covariance @ leading, leading)
    assert own.shape == (m, k, min(RANK, k))
    for c, f in zip(covariance, own, strict=True):
        values, vectors = np.linalg.eigh(c)
        largest = vectors[:, -RANK:] * values[-RANK:].clip(0) @ vectors[:, -RANK:].T
        assert_allclose(f @ f.T, largest, atol=1e-5 * values[-1])  # what is 1e-6 of the widest is left out


@given(st.integers(1, 3), st.integers(2, 60), st.integers(1, 70), st.integers(1, 30), st.integers(0, 99))
def test_own_directions_never_exceed_the_covariance_and_follow_by_regression(
    m: int, k: int, rank: int, n: int, seed: int
) -> None:
    covariance, leading = random_covariances(m, k, rank, seed), random_leading(k, min(n, k), seed)
    own = _own_directions(covariance @ leading, leading)
    for c, f in zip(covariance, own, strict=True):
        assert np.linalg.eigvalsh(c - f @ f.T).min() > -1e-12 * k * np.linalg.eigvalsh(c)[-1]
    for c, f in zip(leading.T @ covariance @ leading, leading.T @ own, strict=True):
        values, vectors = np.linalg.eigh(c)
        largest = vectors[:, -RANK:] * values[-RANK:].clip(0) @ vectors[:, -RANK:].T
        assert_allclose(f @ f.T, largest, atol=1e-4 * values[-1])  # among the leading ones, they are the widest


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_of_what_is_described_nothing_is_lost(dtype: type) -> None:
    """Own and shared parts together have the mean of the covariances that styles were lent, beyond the leading too."""
    rng, n, k = np.random.default_rng(22), 3000, 2 * LEADING
    assert k > LEADING > RANK
    z = (rng.standard_normal((n, k)) @ rng.standard_normal((k, k)) * np.geomspace(3, 0.03, k)).astype(dtype)
    labels = rng.integers(0, 12, n)
    law = _describe(z, labels, 1e-12, 0.0)
    counts = np.bincount(labels).astype(float)
    means = np.stack([z[labels == j].mean(axis=0, dtype=float) for j in range(12)])
    scatter = np.stack([np.cov(z[labels == j].T.astype(float), bias=True) * counts[j] for j in range(12)])
    leading = np.linalg.eigh(scatter.sum(axis=0))[1][:, -LEADING:]
    fourth = (np.square((z - means[labels]) @ leading).sum(axis=1) ** 2).sum()
    lent = _smoothing(counts, means, leading.T @ scatter @ leading, fourth)
    expected = np.einsum("j,ji,ikl->kl", law.shares, lent, scatter)
    found = np.einsum("j,jkl->kl", law.shares, [covariance_of(law, j) for j in range(12)])
    # The shared part is diagonal in the basis, exactly.
    atol = (2e-6 if dtype == np.float32 else 1e-7) * np.trace(expected)  # factors are in float32 in either case
    assert_allclose(found, expected, atol=atol)
    assert (law.variances > 0).all()
    for j in range(12):
        assert_allclose(law.means[j], means[j], atol=1e-4)
        own = np.einsum("i,ikl->kl", lent[j], scatter)
        factor = law.basis @ law.factors[j]
        assert np.linalg.eigvalsh(own - factor @ factor.T).min() > -1e-5 * np.linalg.eigvalsh(own)[-1]


def small_scatters(
    m: int, n: int, likeness: float, seed: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray, float]:
    """Deviations of m styles of n images or more in four dimensions, and what `_smoothing` takes of them."""
    rng = np.random.default_rng(seed)
    counts, means = rng.integers(n, 3 * n, m), 9 * rng.standard_normal((m, 4))
    roots = np.diag([3.0, 2.0, 1.0, 0.5]) + (1 - likeness) * rng.standard_normal((m, 4, 4))
    x = [rng.standard_normal((c, 4)) @ root for c, root in zip(counts, roots, strict=True)]
    x = [own - own.mean(axis=0) for own in x]
    fourth = float(sum((np.linalg.norm(own, axis=1) ** 4).sum() for own in x))
    return x, counts.astype(float), means, np.stack([own.T @ own for own in x]), fourth


@pytest.mark.parametrize(("m", "n", "likeness"), [(5, 12, 0.5), (30, 20, 0.7), (12, 60, 0.2)])
def test_neighbours_lend_what_ledoit_and_wolf_say(m: int, n: int, likeness: float) -> None:
    """b, image by image: the variance of a product, over the distance of covariances beyond what chance explains."""
    x, counts, means, scatter, fourth = small_scatters(m, n, likeness, seed=23)
    covariances = [own.T @ own / len(own) for own in x]
    nearest = [np.argsort(np.linalg.norm(means - mean, axis=1))[1:9] for mean in means]
    around = []
    for near in nearest:
        theirs = np.concatenate([x[i] for i in near])
        around.append(theirs.T @ theirs / len(theirs))
    squares = [((v[:, None] * v - c) ** 2).sum() for own, c in zip(x, covariances, strict=True) for v in own]
    v = np.mean(squares)
    apart = np.mean([((c - t) ** 2).sum() for c, t in zip(covariances, around, strict=True)]) - v * np.mean(1 / counts)
    assert apart > 1e-3 * v  # the bound does not act here
    b, lent = v / apart, _smoothing(counts, means, scatter, fourth)
    for j in range(m):
        found = np.einsum("i,ikl->kl", lent[j], scatter)
        assert_allclose(found, (counts[j] * covariances[j] + b * around[j]) / (counts[j] + b), rtol=1e-9, atol=1e-9)
        strangers = np.setdiff1d(np.arange(m), [j, *nearest[j]])
        assert_array_equal(lent[j, strangers], 0.0)
    assert_allclose(lent @ counts, 1.0)  # weights of images: a covariance is a mean


def test_styles_that_differ_by_chance_alone_lend_a_thousand_images_at_most() -> None:
    _, counts, means, scatter, fourth = small_scatters(20, 15, 1.0, seed=24)
    same = np.einsum("m,kl->mkl", counts, scatter.sum(axis=0) / counts.sum())
    lent = _smoothing(counts, means, same, fourth)
    assert_allclose(lent.diagonal(), 1 / (counts + 1000), rtol=1e-9)
    assert_allclose(lent @ counts, 1.0)


def test_a_style_alone_is_lent_nothing() -> None:
    assert_array_equal(_smoothing(np.array([7.0]), np.zeros((1, 3)), np.eye(3)[None], 9.0), [[1 / 7]])


def test_a_prompt_that_varies_far_less_than_another_keeps_its_directions() -> None:
    rng = np.random.default_rng(24)
    z = rng.standard_normal((800, 5)) * np.linspace(2, 1, 5)
    index = np.repeat([0, 1], 400)
    faint = np.where(index[:, None] == 1, 1e-6, 1.0) * z
    laws, groups, _ = fit_styles(faint, index, 2, 3, floor=1e-20)
    kept = joined(OneHotEncoder(np.arange(2)), np.full(2, 0.5), np.zeros(2), laws, groups).law(1)
    alone, _, _ = fit_prompt(z[400:], 3, floor=1e-8)
    for j in range(len(alone.shares)):
        expected = covariance_of(alone, j)
        assert_allclose(kept.means[j], 1e-6 * alone.means[j], rtol=1e-5, atol=1e-12)
        assert_allclose(covariance_of(kept, j), 1e-12 * expected, atol=2e-3 * 1e-12 * np.trace(expected))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_in_either_precision_has_orthonormal_directions_in_float64(dtype: type) -> None:
    rng = np.random.default_rng(25)
    laws, _, _ = fit_styles(rng.standard_normal((600, 30)).astype(dtype), np.arange(600) % 2, 2, 5, floor=1e-9)
    for law in laws:
        assert law.basis.dtype == law.means.dtype == law.variances.dtype == np.float64
        assert law.factors.dtype == np.float32
        assert_allclose(law.basis.T @ law.basis, np.eye(30), atol=1e-12)
