"""Threads: one for small matrices, and one for each prompt where there are several.

Prompts are learned, calibrated and asked apart from each other, so each is the work of one thread. Shared out by BLAS
instead, small products gain little on an idle machine, and on a busy one threads that wait for each other at every step
take ten times as long as one alone.
"""

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache
from typing import TypeVar

import threadpoolctl  # comes with scikit-learn

T = TypeVar("T")
R = TypeVar("R")
_SHARES = 32
"""How many shares of the work a thread takes, about."""


def one_thread() -> AbstractContextManager[None]:
    """A context in which BLAS runs on one thread."""
    return _BLAS


def one_openmp_thread() -> AbstractContextManager[object]:
    """A context in which scikit-learn's loops run on this thread alone. With more, their sums depend on which thread
    ends first, and a process that is forked later hangs in them: OpenMP's threads do not come along."""
    return _controller("openmp").limit(limits=1, user_api="openmp")


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """``[work(item) for item in items]`` on as many threads as BLAS may use, with one of BLAS each. So OMP_NUM_THREADS
    and threadpoolctl limit them as they limit BLAS, and within one another they are one."""
    items = list(items)
    n_threads = min(len(items), blas_threads())
    with one_thread():
        if n_threads < 2:
            return [work(item) for item in items]
        # Thousands of small items are shared out some at a time: to hand one over takes longer than many are.
        size = max(len(items) // (_SHARES * n_threads), 1)
        shares = [items[start : start + size] for start in range(0, len(items), size)]
        with ThreadPoolExecutor(n_threads) as pool:
            return [done for each in pool.map(lambda few: [work(item) for item in few], shares) for done in each]


def blas_threads() -> int:
    """How many threads BLAS may use."""
    return max(_numbers(), default=1)


class _OneThread(AbstractContextManager[None]):
    """The process has one BLAS: the first to enter limits it, and the last to leave puts back what was."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, list[int]()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._forked
            )

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = _numbers()
                _set_numbers([1] * len(self._before))
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside = max(self._inside - 1, 0)
            if self._inside == 0:
                _set_numbers(self._before)

    def _forked(self) -> None:
        """In a forked process: whoever else was inside is not there."""
        if self._inside:
            self._inside = 0
            _set_numbers(self._before)
        self._lock.release()


_BLAS = _OneThread()


@cache
def _controller(api: str) -> threadpoolctl.ThreadpoolController:
    """What sets the number of threads of the libraries of one kind; to look for these takes milliseconds."""
    import scipy.linalg  # noqa: F401  # late: it has a BLAS of its own, which is to be found

    return threadpoolctl.ThreadpoolController().select(user_api=api)


def _numbers() -> list[int]:
    """Threads of each BLAS."""
    return [library["num_threads"] for library in _controller("blas").info()]


def _set_numbers(numbers: list[int]) -> None:
    for library, number in zip(_controller("blas").lib_controllers, numbers, strict=True):
        library.set_num_threads(number)
    # From threadpoolctl 3.8 on, only the thread that was first to set a number may set another.
    getattr(threadpoolctl.OpenBLASController, "clear_controlling_thread", lambda: None)()
