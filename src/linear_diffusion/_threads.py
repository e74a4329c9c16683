"""Threads: one for small matrices, and one a prompt where there are several.

Prompts are learned, calibrated and asked apart from each other, so each is the work of one thread. Shared out by BLAS
instead, small products gain little on an idle machine, and on a busy one threads that wait for each other at every step
take ten times as long as one alone.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from threadpoolctl import ThreadpoolController, threadpool_limits  # comes with scikit-learn

T = TypeVar("T")
R = TypeVar("R")


def one_thread() -> AbstractContextManager[object]:
    """A context in which BLAS runs on one thread."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``[work(item) for item in items]`` on as many threads as BLAS may use, with one of BLAS each.

    So OMP_NUM_THREADS and threadpoolctl limit them as they limit BLAS, and within one another they are one.
    """
    items = list(items)
    n_threads = min(len(items), blas_threads())
    with one_thread():
        if n_threads < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(n_threads, initializer=_without_openmp) as pool:
            return list(pool.map(work, items))


def blas_threads() -> int:
    """How many threads BLAS may use."""
    return max((pool["num_threads"] for pool in ThreadpoolController().info() if pool["user_api"] == "blas"), default=1)


def _without_openmp() -> None:
    """Of this thread alone: scikit-learn's k-means would start threads of its own."""
    threadpool_limits(limits=1, user_api="openmp")
