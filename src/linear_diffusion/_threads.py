"""Small matrices are decomposed on one thread.

On a machine that is busy, threads that wait for each other at every step of a small eigendecomposition take ten times
as long as one thread alone; on an idle one they gain little.
"""

from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits  # comes with scikit-learn


def one_thread() -> AbstractContextManager[object]:
    """A context in which BLAS runs on one thread."""
    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits
