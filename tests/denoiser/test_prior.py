"""Priors: what all prompts together are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from linear_diffusion.denoiser.moments import Moments
from linear_diffusion.denoiser.prior import one_gaussian_each
from linear_diffusion.text.prompts import OneHotEncoder


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
