"""Styles: what is learned of images that look alike, and what each has for its own."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.denoiser.law import Law
from linear_diffusion.denoiser.prior import joined
from linear_diffusion.fit.clusters import Nearest, find_centres, what_is_seen
from linear_diffusion.fit.styles import (
    LEADING,
    RANK,
    SharedScatter,
    StyleSums,
    ThinScatter,
    _own_directions,
    _smoothing,
    describe,
    families,
)
from linear_diffusion.text.prompts import OneHotEncoder


def covariance_of(law: Law, j: int) -> np.ndarray:
    """Of a style's latents, ``Q (D + F F') Q'``."""
    factor = law.factors[j].astype(np.float64)
    covariance: np.ndarray = law.basis @ (np.diag(law.variances) + factor @ factor.T) @ law.basis.T
    return covariance


# Finding styles


@pytest.mark.parametrize(("k", "r", "noise"), [(6, 2, 0.1), (40, 5, 0.05)])
def test_a_mixture_made_by_hand_is_recovered(styles_of: Callable, k: int, r: int, noise: float) -> None:
    rng, n = np.random.default_rng(9), 20_000
    shares, means = np.array([0.5, 0.3, 0.2]), 12 * np.linalg.qr(rng.standard_normal((k, 3)))[0].T
    factors = rng.standard_normal((3, k, r)) * np.linspace(1.0, 0.5, r) / np.sqrt(k / 6)
    truth = rng.choice(3, n, p=shares)
    z = means[truth] + np.einsum("nkr,nr->nk", factors[truth], rng.standard_normal((n, r)))
    z += np.sqrt(noise) * rng.standard_normal((n, k))
    found, labels = styles_of(z, 3)
    (law,) = found.laws
    match = [int(np.linalg.norm(law.means - mean, axis=1).argmin()) for mean in means]
    assert sorted(match) == [0, 1, 2]
    assert_array_equal(np.array(match)[truth], labels)
    assert_allclose(law.shares[match], np.bincount(truth) / n, rtol=1e-12)
    for j, s in enumerate(match):
        covariance = factors[j] @ factors[j].T + noise * np.eye(k)
        own = covariance_of(law, s)
        assert_allclose(law.means[s], means[j], atol=5 * np.sqrt(covariance.max() / (n * shares[j])))
        assert np.linalg.norm(own - covariance) < 0.06 * np.linalg.norm(covariance)
        assert_allclose(np.trace(own), np.trace(covariance), rtol=0.05)
    if k > RANK:  # what is not a style's own is shared, and evenly spread here
        assert_allclose(law.variances.sum(), noise * (k - RANK), rtol=0.2)


def test_one_image_apart_is_a_style_with_the_spread_of_its_neighbours(styles_of: Callable) -> None:
    z = np.r_[np.random.default_rng(12).standard_normal((60, 3)), [[500.0, 0.0, 0.0]]]
    found, labels = styles_of(z, 2)
    (law,) = found.laws
    alone = labels[-1]
    assert np.bincount(labels).tolist().count(1) == 1
    assert_allclose(law.means[alone], z[-1], atol=1e-9)
    spread = np.trace(np.cov(z[:-1].T))
    assert 0.5 * spread < np.trace(covariance_of(law, alone)) < 2 * spread


def test_ridge_and_floor_bound_the_shared_variances(styles_of: Callable) -> None:
    z = np.random.default_rng(14).standard_normal((100, 30))
    z[:, 25:] = 0.0
    plain, damped = (styles_of(z, 3, floor=1e-3, ridge=ridge)[0].laws[0] for ridge in (0.0, 0.5))
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
def test_of_what_is_described_nothing_is_lost(source_of: Callable, dtype: type) -> None:
    """Own and shared parts together have the mean of the covariances that styles were lent, beyond the leading too."""
    rng, n, k = np.random.default_rng(22), 3000, 2 * LEADING
    assert k > LEADING > RANK
    z = (rng.standard_normal((n, k)) @ rng.standard_normal((k, k)) * np.geomspace(3, 0.03, k)).astype(dtype)
    source, latents = source_of(z, np.zeros(n, np.intp))
    style_of = Nearest(what_is_seen(z[:12]), np.zeros(12, np.intp))
    (law,) = describe(source, latents, np.zeros(1, np.intp), style_of, np.zeros(12, np.intp), 1e-12).laws
    labels = style_of(z, source.index)
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


def test_a_prompt_that_varies_far_less_than_another_keeps_its_directions(styles_of: Callable) -> None:
    rng = np.random.default_rng(24)
    z = rng.standard_normal((800, 5)) * np.linspace(2, 1, 5)
    index = np.repeat([0, 1], 400)
    faint = np.where(index[:, None] == 1, 1e-6, 1.0) * z
    found, _ = styles_of(faint, 3, index, floor=1e-20)
    kept = joined(OneHotEncoder(np.arange(2)), np.full(2, 0.5), np.zeros(2), found.laws, found.curves).law(1)
    (alone,) = styles_of(z[400:], 3, floor=1e-8)[0].laws
    for j in range(len(alone.shares)):
        expected = covariance_of(alone, j)
        assert_allclose(kept.means[j], 1e-6 * alone.means[j], rtol=1e-5, atol=1e-12)
        assert_allclose(covariance_of(kept, j), 1e-12 * expected, atol=2e-3 * 1e-12 * np.trace(expected))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_in_either_precision_has_orthonormal_directions_in_float64(styles_of: Callable, dtype: type) -> None:
    rng = np.random.default_rng(25)
    found, _ = styles_of(rng.standard_normal((600, 30)).astype(dtype), 5, np.arange(600) % 2)
    for law in found.laws:
        assert law.basis.dtype == law.means.dtype == law.variances.dtype == np.float64
        assert law.factors.dtype == np.float32
        assert_allclose(law.basis.T @ law.basis, np.eye(30), atol=1e-12)


# Families: prompts of few images


FEW = np.tile([1, 2, 3, 4, 6, 7, 9], 4)
"""Images of prompts."""


def of_prompts(counts: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Latents of prompts whose covariances differ somewhat, beside what they have in common; and their prompts."""
    rng, index = np.random.default_rng(seed), np.repeat(np.arange(len(counts)), counts)
    roots = np.diag(np.geomspace(3.0, 0.3, k)) @ (np.eye(k) + 0.3 * rng.standard_normal((len(counts), k, k)))
    z = 5 * rng.standard_normal((len(counts), k))[index]
    return z + np.einsum("nk,nkl->nl", rng.standard_normal((len(index), k)), roots[index]), index


def images_of_the_family(x: list[np.ndarray], pooled: np.ndarray) -> float:
    """b, image by image: from how far products of single images, and covariances, lie from the pooled one."""
    x = [own for own in x if len(own) > 1]
    freedom = np.array([len(own) - 1 for own in x])
    apart_and_chance = [((own.T @ own / f - pooled) ** 2).sum() for own, f in zip(x, freedom, strict=True)]
    d, h = np.average(apart_and_chance, weights=freedom), len(x) / freedom.sum()
    unbiased = np.concatenate([own * np.sqrt(len(own) / (len(own) - 1)) for own in x])
    f = np.mean([(np.outer(y, y) ** 2).sum() for y in unbiased]) - (pooled**2).sum()
    v = (f - d) / (1 - h)  # d = apart + v h,  f = apart + v
    return float(v / (d - v * h))


@pytest.mark.parametrize("k", [5, 16, 40])
def test_a_prompt_of_few_images_leans_on_its_family(styles_of: Callable, k: int) -> None:
    """``((n - 1) own + b pooled) / (n - 1 + b)``, from the images themselves."""
    z, index = of_prompts(FEW, k, seed=30)
    found, _ = styles_of(z, 5, index, family=np.zeros(len(FEW), np.intp))
    (law,) = found.laws
    assert_array_equal(found.owner, np.arange(len(FEW)))
    x = [z[index == j] - z[index == j].mean(axis=0) for j in range(len(FEW))]
    scatter = np.stack([own.T @ own for own in x])
    pooled, leading = scatter.sum(axis=0) / (FEW - 1).sum(), np.linalg.eigh(scatter.sum(axis=0))[1][:, -LEADING:]
    b = images_of_the_family([own @ leading for own in x], leading.T @ pooled @ leading)
    assert 1 < b < 900  # no bound acts
    assert_allclose(found.leaning, b / (FEW - 1 + b), rtol=1e-9)
    assert_array_equal(found.leaning[FEW == 1], 1.0)
    expected = (scatter + b * pooled) / (FEW - 1 + b)[:, None, None]
    for j in range(len(FEW)):
        assert_allclose(law.means[j], z[index == j].mean(axis=0), atol=1e-9)
        factor = leading.T @ law.basis @ law.factors[j]
        values, vectors = np.linalg.eigh(leading.T @ expected[j] @ leading)
        widest = vectors[:, -RANK:] * values[-RANK:] @ vectors[:, -RANK:].T
        assert_allclose(factor @ factor.T, widest, atol=1e-5 * values[-1])
    # Own and shared parts together are the covariances, on average: of images, so that prompts count as they have them.
    own = [covariance_of(law, j) for j in range(len(FEW))]
    assert_allclose(
        np.tensordot(law.shares, own, 1), np.tensordot(law.shares, expected, 1), atol=1e-6 * np.trace(pooled)
    )


def test_prompts_with_several_styles_are_of_a_family_and_lean_on_their_own_styles(styles_of: Callable) -> None:
    counts = np.r_[FEW[:7], 45, 30]
    z, index = of_prompts(counts, 8, seed=31)
    found, labels = styles_of(z, 4, index, family=np.zeros(9, np.intp))
    (law,) = found.laws
    assert_array_equal(found.owner, np.r_[np.arange(7), np.repeat([7, 8], [4, 3])])
    assert_array_equal(found.leaning[7:], 0.0)
    assert (found.leaning[:7] > 0).all()
    x = z - np.stack([z[labels == j].mean(axis=0) for j in range(14)])[labels]
    scatter = np.stack([x[labels == j].T @ x[labels == j] for j in range(14)])
    pooled = scatter.sum(axis=0) / (found.counts - 1).sum()
    b = images_of_the_family([x[labels == j] for j in range(7)], pooled)
    assert_allclose(found.leaning[:7], min(b, 1000.0) / (counts[:7] - 1 + min(b, 1000.0)), rtol=1e-9)
    for j in (7, 8):
        own = found.owner == j
        fourth = float((np.linalg.norm(x[index == j], axis=1) ** 4).sum())
        lent = _smoothing(found.counts[own], law.means[own], scatter[own], fourth)
        for style, weights in zip(np.flatnonzero(own), lent, strict=True):
            expected = np.tensordot(weights, scatter[own], 1)
            assert_allclose(covariance_of(law, style), expected, atol=1e-5 * np.trace(expected))


def test_a_prompt_that_is_its_familys_only_one_has_the_covariance_of_its_images(styles_of: Callable) -> None:
    z, index = of_prompts(np.array([7, 5]), 4, seed=32)
    found, _ = styles_of(z, 5, index)
    assert_array_equal(found.leaning, 0.0)
    for j, law in enumerate(found.laws):
        expected = np.cov(z[index == j].T, bias=True)
        assert_allclose(covariance_of(law, 0), expected, atol=1e-5 * np.trace(expected))


@pytest.mark.parametrize(("counts", "leaning"), [([1, 1, 1], 1.0), ([2, 2, 2], 1000 / 1001), ([1, 2], None)], ids=str)
def test_where_nothing_tells_prompts_apart_they_lean_as_far_as_can_be(
    styles_of: Callable, counts: list[int], leaning: float | None
) -> None:
    z, index = of_prompts(np.array(counts), 3, seed=33)
    found, _ = styles_of(z, 5, index, floor=1e-6, family=np.zeros(len(counts), np.intp))
    assert_allclose(found.leaning, [1.0, 1000 / 1001] if leaning is None else leaning, rtol=1e-12)
    x = [z[index == j] - z[index == j].mean(axis=0) for j in range(len(counts))]
    pooled = sum(own.T @ own for own in x) / max(sum(counts) - len(counts), 1)
    for j in range(len(counts)):
        freedom = counts[j] - 1
        expected = (x[j].T @ x[j] + 1000 * pooled) / (freedom + 1000)
        assert_allclose(covariance_of(found.laws[0], j), expected, atol=1e-5 * np.trace(pooled) + 2e-6)


def test_families_are_told_by_how_many_images_prompts_have() -> None:
    assert families(np.array([9, 9, 9]), 9).tolist() == [0, 1, 2]
    assert families(np.array([8, 9, 1, 9]), 9).tolist() == [0, 1, 0, 2]
    assert families(np.array([9, 8, 9, 8]), 9).tolist() == [0, 1, 2, 1]
    assert families(np.array([1]), 1).tolist() == [0]


def test_sums_of_parts_add_up_to_sums_of_all(source_of: Callable) -> None:
    """Each pass is a sum over images, whichever are read together."""
    z, index = of_prompts(np.r_[FEW, 60], 30, seed=34)
    z = np.round(8 * z) / 8  # so that sums are exact
    source, latents = source_of(z, index)
    family = np.r_[np.zeros(len(FEW), np.intp), 1]
    labels, _ = find_centres(source, latents, family, 4, 0)
    means, weight = np.round(8 * z[:32]) / 8, np.full(32, 0.25)
    leading = np.stack([np.eye(30)[:, :LEADING]] * 2)
    makers = [
        lambda: StyleSums(latents, labels, family, None),
        lambda: ThinScatter(latents, labels, family, means, leading),
        lambda: SharedScatter(latents, labels, family, means, weight),
    ]
    for make in makers:
        whole, merged, order = make(), make(), np.random.default_rng(0).permutation(len(z))
        whole.add(z, index)
        for part in np.array_split(order, 5):
            other = make()
            other.add(z[part], index[part])
            merged.merge(other)
        for name, array in whole.arrays().items():
            assert_array_equal(merged.arrays()[name], array, err_msg=name)
