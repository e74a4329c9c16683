"""The prior of prompts of their own: what a file keeps of it, each prompt by itself, and all together."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from linear_diffusion.denoiser.law import Law
from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.denoiser.prior import (
    ClassPrior,
    Part,
    joined,
    one_gaussian_each,
    pack_factors,
    unpack_factors,
)
from linear_diffusion.text.prompts import OneHotEncoder

TEXT, WEIGHTS = OneHotEncoder(np.array(["a", "b"])), np.array([0.3, 0.7])


def make_laws(seed: int = 0) -> list[Law]:
    """Of three components and of two, with nothing alike."""
    rng = np.random.default_rng(seed)
    return [
        Law(
            shares=rng.dirichlet(np.full(s, 4.0)),
            means=2 * rng.standard_normal((s, 4)),
            factors=rng.standard_normal((s, 4, 2)).astype(np.float32),
            basis=np.linalg.qr(rng.standard_normal((4, 4)))[0],
            variances=rng.uniform(0.05, 0.6, 4),
        )
        for s in (3, 2)
    ]


def make_prior(seed: int = 0) -> ClassPrior:
    return joined(TEXT, WEIGHTS, np.array([0.1, 0.2]), make_laws(seed), np.array([0, 0, 1, 2, 3]))


def matched(prior: ClassPrior) -> ClassPrior:
    rng = np.random.default_rng(1)
    moved = prior.component_means + rng.standard_normal((5, 4)).astype(np.float32)
    return replace(prior, gain=rng.uniform(0.5, 2, (2, 4)), matched_means=moved)


def test_laws_are_joined_and_asked_for_again() -> None:
    """As a file keeps them: means and bases in float32, factors in float16."""
    prior = make_prior()
    for j, law in enumerate(make_laws()):
        found = prior.law(j)
        assert_array_equal(found.shares, law.shares)
        assert_allclose(found.means, law.means, rtol=2**-24)
        assert_allclose(found.basis, law.basis, atol=2**-24)
        assert_allclose(found.factors, law.factors, atol=2**-10)
        assert_array_equal(found.variances, law.variances)
        assert_array_equal(prior.shares_of(j), law.shares)
        assert_allclose(prior.means[j], law.mean, rtol=1e-6)
        assert_allclose(prior.covariances[j], law.gaussian.covariance, atol=5e-3)
    assert_array_equal(prior.owner, [0, 0, 0, 1, 1])
    assert_array_equal(prior.curves, [0, 0, 1, 2, 3])
    assert_array_equal(prior.curve_owner, [0, 0, 1, 1])
    assert_array_equal(prior.curves_of(1), [2, 3])
    assert prior.size == (2, 5)


@pytest.mark.parametrize("is_matched", [False, True])
def test_what_is_kept_comes_back_bit_by_bit(is_matched: bool, same_priors: Callable) -> None:
    prior = matched(make_prior()) if is_matched else make_prior()
    arrays = prior.arrays("prior")
    assert len(arrays) == (12 if is_matched else 10)
    back = ClassPrior.read(arrays, "prior", {"p": 2, "k": 4}, text=TEXT)
    assert arrays == {}
    same_priors(back, prior)
    again = joined(TEXT, WEIGHTS, prior.residual, [prior.law(j) for j in range(2)], prior.curves)
    same_priors(again, replace(prior, gain=None, matched_means=None))  # rounding twice changes nothing


@pytest.mark.parametrize("is_matched", [False, True])
def test_one_prompts_prior_is_what_all_know_of_it(is_matched: bool) -> None:
    prior, to_pixels = make_prior(), np.random.default_rng(2).standard_normal((4, 7))
    prior = matched(prior) if is_matched else prior
    for j in range(2):
        part = prior.only(j)
        assert part.text.prompts.tolist() == [TEXT.prompts[j]]
        assert part.weights.tolist() == [1.0]
        assert_array_equal(part.owner, 0)
        assert_array_equal(part.curves_of(0), prior.curves_of(j) - prior.curves_of(j)[0])
        assert_allclose(part.shares_of(0), prior.shares_of(j), rtol=4e-16)
        pair = (p.law(i).mixture.pixel_moments(to_pixels) for p, i in ((part, 0), (prior, j)))
        for found, expected in zip(*pair, strict=True):
            assert_array_equal(found, expected)


def with_families() -> ClassPrior:
    """Prompts "a" and "c" are a family, whose components take turns with those of "b"."""
    first, second = make_laws(2)
    first = replace(first, shares=np.array([0.2, 0.3, 0.5]))
    text, owner = OneHotEncoder(np.array(["a", "b", "c"])), np.array([0, 0, 1, 1, 2])
    curves, family = np.array([0, 1, 2, 3, 1]), np.array([0, 1, 0])
    weights, leaning = np.array([0.25, 0.5, 0.25]), np.array([0.0, 0.0, 0.7])
    return joined(text, weights, np.zeros(3), [first, second], curves, owner, family, leaning)


def test_prompts_of_a_family_share_all_but_their_components() -> None:
    prior, (first, second) = with_families(), make_laws(2)
    for j, (law, own) in enumerate([(first, [0, 1]), (second, [0, 1]), (first, [2])]):
        found = prior.law(j)
        assert_allclose(found.means, law.means[own], rtol=2**-24)
        assert_allclose(found.factors, law.factors[own], atol=2**-10)
        assert_allclose(found.basis, law.basis, atol=2**-24)
        assert_array_equal(found.variances, law.variances)
        assert_allclose(found.shares.sum(), 1.0)
    assert_allclose(prior.shares_of(0), [0.4, 0.6])
    assert_array_equal(prior.components_of(0), [0, 1, 4])
    assert_array_equal(prior.curve_owner, [0, 0, 1, 1])
    assert prior.n_curves == 4
    assert_array_equal(prior.pooled_shares, [0.0, 0.0, 0.7])
    assert_array_equal(make_prior().pooled_shares, [0.0, 0.0])


def test_a_family_is_one_prompt_of_all_its_components_or_of_some() -> None:
    prior = replace(with_families(), weights=np.array([0.1, 0.4, 0.5]))
    whole, some, other = prior.only(0), prior.only(0, np.array([0, 4])), prior.only(1)
    expected = np.array([0.1 * 0.4, 0.1 * 0.6, 0.5])  # as frequent as prompts are
    assert_allclose(whole.shares, expected / 0.6)
    assert_array_equal(whole.component_means, prior.component_means[[0, 1, 4]])
    assert_array_equal(whole.curves, [0, 1, 1])
    assert_allclose(some.shares, expected[[0, 2]] / expected[[0, 2]].sum())
    assert_array_equal(some.curves, [0, 1])
    assert_array_equal(other.curves, [0, 1])
    assert_array_equal(other.basis[0], prior.basis[1])


def test_prompts_prepared_together_are_what_each_is_alone() -> None:
    prior = with_families()
    prior = replace(prior, gain=np.full((2, 4), 1.5), matched_means=prior.component_means + 1)
    alone, together = replace(prior), replace(prior)
    together.prepare(range(3))
    for j in range(3):
        for name in ("shares", "means", "directions", "variances"):
            assert_array_equal(getattr(together.components(j), name), getattr(alone.components(j), name))


def test_a_prior_with_families_comes_back_bit_by_bit(same_priors: Callable) -> None:
    prior = with_families()
    back = ClassPrior.read(prior.arrays("prior"), "prior", {"p": 3, "k": 4}, text=prior.text)
    same_priors(back, prior)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"family": np.array([0, 1, 2])}, "array 'prior.family'"),
        ({"family": np.array([1, 1, 1])}, "array 'prior.family'"),
        ({"family": np.array([1, 0, 1])}, "array 'prior.curves'"),  # a family's curves come after those before it
        ({"curves": np.array([0, 1, 1, 2, 1])}, "array 'prior.curves'"),  # one curve of two families
        ({"leaning": None}, "family and leaning go together"),
        ({"family": None}, "family and leaning go together"),
    ],
)
def test_families_that_no_prior_has_are_refused(changed: dict[str, np.ndarray], wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        replace(with_families(), **changed)


def test_all_prompts_together_are_the_mixture_of_their_laws() -> None:
    prior = make_prior()
    pooled, mean = prior.pooled(), WEIGHTS @ prior.means
    second = sum(w * (c + np.outer(m, m)) for w, c, m in zip(WEIGHTS, prior.covariances, prior.means, strict=True))
    assert_allclose(pooled.mean, mean)
    assert_allclose(pooled.covariance, second - np.outer(mean, mean), atol=1e-12)


def test_mixes_are_linear_in_moments_and_one_component_is_itself() -> None:
    prior = make_prior()
    one, other = prior.components(0).component(2), prior.components(1).component(0)
    mix = prior.component([Part(0, 2, 0.25), Part(1, 0, 0.75)])
    assert_allclose(mix.mean, 0.25 * one.mean + 0.75 * other.mean)
    assert_allclose(mix.covariance, 0.25 * one.covariance + 0.75 * other.covariance, atol=1e-6)
    alone = prior.component([Part(1, 0, 1.0)])
    assert_array_equal(alone.mean, other.mean)
    assert_array_equal(alone.variances, other.variances)
    whole = prior.gaussian(((1, 0.75), (0, 0.25)))
    assert_allclose(whole.mean, 0.75 * prior.means[1] + 0.25 * prior.means[0])
    assert_allclose(whole.covariance, 0.75 * prior.covariances[1] + 0.25 * prior.covariances[0], atol=1e-12)


def test_one_gaussian_each_has_the_moments_given() -> None:
    laws = make_laws()
    means, covariances = np.stack([law.mean for law in laws]), np.stack([law.gaussian.covariance for law in laws])
    prior = one_gaussian_each(TEXT, WEIGHTS, np.zeros(2), means, covariances)
    assert_array_equal(prior.means, means)
    assert_allclose(prior.covariances, covariances, atol=1e-12)
    for j in range(2):
        component = prior.component([Part(j, 0, 1.0)])
        assert_array_equal(component.mean, means[j])
        assert_allclose(component.covariance, covariances[j], atol=1e-12)
    assert prior.size == (4, 2)


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({"owner": np.array([0, 1, 0, 1, 1])}, "owner"),
        ({"owner": np.array([0, 0, 0, 0, 0])}, "owner"),
        ({"curves": np.array([0, 0, 1, 3, 4])}, "curves"),
        ({"curves": np.array([0, 0, 1, 1, 2])}, "curves"),  # one curve of two prompts
        ({"shares": np.array([0.5, 0.5, 0.5, 0.5, 0.5])}, "shares"),
    ],
)
def test_numbers_that_no_prior_has_are_refused(changed: dict[str, np.ndarray], wrong: str) -> None:
    with pytest.raises(ValueError, match=f"array 'prior.{wrong}'"):
        replace(make_prior(), **changed)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 100))
def test_pooling_prompts_is_the_covariance_of_all_rows(k: int, p: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(2, 9, p)
    index = np.repeat(np.arange(p), counts)
    rows = rng.standard_normal((len(index), k)) + 3 * rng.standard_normal((p, k))[index]
    own = Moments.of(rows, index, np.arange(p))
    prior = one_gaussian_each(OneHotEncoder(np.arange(p)), own.weights, np.zeros(p), own.means, own.covariances)
    assert_allclose(prior.pooled().mean, rows.mean(axis=0), atol=1e-12)
    assert_allclose(prior.pooled().covariance, np.cov(rows.T, bias=True).reshape(k, k), atol=1e-11)


# Factors in half precision


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(-40, 17), st.integers(0, 99))
def test_factors_are_packed_within_half_precision_and_packing_again_changes_nothing(
    m: int, k: int, r: int, scale: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    factors = (rng.standard_normal((m, k, r)) * 10.0**scale * np.geomspace(1, 1e-12, m)[:, None, None]).astype(
        np.float32
    )
    packed, unit = pack_factors(factors)
    assert (packed.dtype, packed.shape, unit.shape) == (np.float16, factors.shape, (m,))
    assert np.abs(packed).max() <= 1.0
    assert_array_equal(np.exp2(np.round(np.log2(unit))), unit)
    kept = unpack_factors(packed, unit)
    assert kept.dtype == np.float32
    largest = np.abs(factors).max(axis=(1, 2), keepdims=True)
    # Half a unit in the last of 11 places, and of what is 2^-14 of the largest in the last place of all.
    assert (np.abs(kept - factors) <= 2**-11 * np.abs(factors) + 2**-24 * largest + 1e-45).all()
    assert_array_equal(unpack_factors(*pack_factors(kept)), kept)


def test_factors_of_no_size_are_packed() -> None:
    for factors in (np.zeros((2, 3, 2), np.float32), np.full((2, 3, 2), 1e-45, np.float32)):
        assert_allclose(unpack_factors(*pack_factors(factors)), factors, atol=1e-44)


def test_the_variance_of_a_prompt_is_the_trace_of_its_covariance() -> None:
    prior = make_prior()
    for j in range(2):
        assert_allclose(prior.variance_of(j), np.trace(prior.covariances[j]), rtol=1e-10)
