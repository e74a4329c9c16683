"""Prompts side by side: the same numbers on any number of threads."""

import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from linear_diffusion.utils.threads import blas_threads, in_parallel, one_thread


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


def test_of_many_threads_the_last_to_leave_puts_back_what_was() -> None:
    start, first_left, n_threads = threading.Barrier(2), threading.Barrier(2), blas_threads()

    def first() -> None:
        with one_thread():
            start.wait(10)
        first_left.wait(10)

    def last() -> int:
        start.wait(10)
        with one_thread():
            first_left.wait(10)
            return blas_threads()

    with ThreadPoolExecutor(2) as pool:
        left, inside = pool.submit(first), pool.submit(last)
        left.result(), inside.result()
    assert inside.result() == 1
    assert blas_threads() == n_threads


def run_apart(program: str, **threads: str) -> str:
    """What a program prints in a process of its own, with numbers of threads that are set before numpy is read."""
    known = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    command = [sys.executable, "-c", DATA + program]
    return subprocess.run(
        command, env=known | threads, check=True, capture_output=True, text=True, timeout=60
    ).stdout.strip()


DATA = """
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from linear_diffusion import LinearDiffusion
from linear_diffusion.utils.threads import blas_threads
images, y = np.random.default_rng(0).random((60, 4, 4)), np.arange(60) % 2
def fit(y):
    return LinearDiffusion(styles=3, random_state=0).fit(images, y)
"""


def test_calls_from_many_threads_leave_blas_as_it_was() -> None:
    program = """
model, before = fit(y), blas_threads()
def calls(i):
    return fit(y).sample(20)[0] if i % 4 == 0 else [model.sample(20, random_state=i), model.predict(images[:20])]
with ThreadPoolExecutor(8) as pool:
    list(pool.map(calls, range(24)))
print(before == blas_threads())
"""
    assert run_apart(program, OPENBLAS_NUM_THREADS="2", MKL_NUM_THREADS="2") == "True"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_forked_processes_fit_after_their_parent_did() -> None:
    program = """
def samples(y):
    return fit(y).sample(10)[0]
here = [samples(y), samples(None)]
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(np.allclose(pool.map(samples, [y, None]), here, atol=1 / 255))
"""
    assert run_apart(program, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="2") == "True"


def test_prompts_without_different_images_leave_the_filters_of_warnings_alone(styles_of: Callable) -> None:
    z = np.repeat(np.random.default_rng(0).standard_normal((40, 6)), 10, axis=0)  # four images, ten times each
    for _ in range(10):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            before = list(warnings.filters)
            styles_of(z, 12, np.arange(400) // 40)
            assert warnings.filters == before
