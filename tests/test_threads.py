"""Prompts side by side: the same numbers on any number of threads."""

import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_limits

from linear_diffusion import LinearDiffusion
from linear_diffusion._threads import blas_threads, in_parallel

Digits = tuple[np.ndarray, np.ndarray]


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_results_keep_their_order_and_blas_has_one_thread_meanwhile(n_threads: int) -> None:
    with threadpool_limits(n_threads, user_api="blas"):
        found = in_parallel(lambda i: (i, blas_threads(), threading.get_ident()), range(20))
        assert blas_threads() == n_threads
    assert [i for i, _, _ in found] == list(range(20))
    assert {threads for _, threads, _ in found} == {1}
    assert len({ident for _, _, ident in found}) <= n_threads
    assert (n_threads == 1) == (threading.get_ident() in {ident for _, _, ident in found})


def test_within_one_another_they_are_one() -> None:
    with threadpool_limits(2, user_api="blas"):
        found = in_parallel(
            lambda _: in_parallel(lambda _: threading.get_ident(), range(3)) + [threading.get_ident()], range(4)
        )
    assert all(len(set(idents)) == 1 for idents in found)


def test_an_error_is_raised_and_the_limit_is_taken_back() -> None:
    def fail(i: int) -> int:
        raise ValueError(f"item {i}")

    with threadpool_limits(2, user_api="blas"):
        with pytest.raises(ValueError, match="item 0"):
            in_parallel(fail, range(3))
        assert blas_threads() == 2
    assert in_parallel(fail, []) == []


def test_a_fit_and_its_answers_do_not_depend_on_the_number_of_threads(grey: Digits) -> None:
    images, y = grey
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            model = LinearDiffusion(styles=6, latent_dim=20, random_state=0).fit(images, y)
            found.append((model.sample(50)[0], model._calibration.means, model.denoise(images[:20] / 1.0, 9.0)))
    for one, two in zip(*found, strict=True):
        assert_array_equal(one, two)
