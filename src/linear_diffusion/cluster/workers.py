"""Workers: who does the tasks; threads of this process, or those of a Dask client.

total    tasks, merged in groups of eight until one result is left
each     results of tasks in their order, a few ahead of who takes them
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from ..exceptions import MissingExtraError, count
from ..utils.threads import one_thread

T = TypeVar("T")
_TOGETHER = 8
"""Results that one task merges."""
_RETRIES = 2
"""How often a task that fails is tried again: a file may be out of reach for a moment."""
_TRIES = 3
"""How often work is begun, where what all workers were given is lost with them."""
_WAIT = 5
"""Seconds until a scheduler is thought not to answer."""
_LOCAL = ("threads", "processes")


class Workers:
    """Dask's threads in this process, or the workers of a ``distributed.Client``."""

    def __init__(self, client: Any = None) -> None:
        self.client = client

    def __str__(self) -> str:
        return "threads" if self.client is None else count(len(self.client.nthreads()), "worker")

    def total(
        self,
        work: Callable[..., T],
        merge: Callable[[Any, list[T]], T],
        shared: Any,
        parts: Iterable[tuple[Any, ...]],
    ) -> T:
        """``work(shared, *part)`` of all parts, of which ``merge(shared, results)`` makes one. Neither may change what
        it is given, which is sent to each worker once."""
        delayed, parts = _delayed(), list(parts)

        def run(given: Any) -> T:
            todo = [delayed(work, pure=False)(given, *part) for part in parts]
            while len(todo) > 1:
                groups = (todo[i : i + _TOGETHER] for i in range(0, len(todo), _TOGETHER))
                todo = [delayed(merge, pure=False)(given, group) for group in groups]
            return self._result(todo[0])

        return self._sharing(shared, run)

    def each(self, work: Callable[..., T], shared: Any, parts: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """``work(shared, *part)`` of each part, in their order; without a client, one after the other."""
        if self.client is None:
            yield from (work(shared, *part) for part in parts)
            return
        from distributed import CancelledError

        def start(part: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
            return part, self.client.submit(work, given, *part, pure=False, retries=_RETRIES)

        left, waiting, given = iter(parts), deque[tuple[tuple[Any, ...], Any]](), self._share(shared)
        most, tries = 2 * max(sum(self.client.nthreads().values()), 1), _TRIES
        while True:
            waiting.extend(map(start, islice(left, most - len(waiting))))
            if not waiting:
                return
            try:
                result = waiting[0][1].result()
            except CancelledError:  # no worker is left that has what is shared
                tries -= 1
                if not tries:
                    raise
                self.client.wait_for_workers(1)
                given = self._share(shared)
                waiting = deque([start(part) for part, _ in waiting])
                continue
            waiting.popleft()
            yield result
            del result

    def _share(self, shared: Any) -> Any:
        if self.client is None:
            return _delayed()(shared, traverse=False, name=False)
        return self.client.scatter(shared, broadcast=True, hash=False)

    def _sharing(self, shared: Any, run: Callable[[Any], T]) -> T:
        if self.client is None:
            return run(self._share(shared))
        from distributed import CancelledError

        for _ in range(_TRIES - 1):
            try:
                return run(self._share(shared))
            except CancelledError:  # no worker is left that has what is shared
                self.client.wait_for_workers(1)
        return run(self._share(shared))

    def _result(self, task: Any) -> Any:
        if self.client is None:
            with one_thread():
                return task.compute(scheduler="threads")
        import dask

        # Batches of a list are part of the graph: their sender knows, and needs no warning.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"}):
            future = self.client.compute(task, retries=_RETRIES)
        try:
            return future.result()
        finally:
            future.cancel()


@contextmanager
def workers(client: Any = None) -> Iterator[Workers]:
    """Workers by the name that users give them.

    Parameters
    ----------
    client : distributed.Client or str, optional
        A client; the address of a scheduler, "tcp://host:port"; "threads" of this process, or "processes" of this
        machine, one for each core. None is the client that is active, or else threads.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    ConnectionError
        If no scheduler answers at the address, or it has no workers.
    ValueError
        If it is none of these, or a worker has another version of this package.
    """
    if client is None:
        client = _active_client()
    if client == "threads":
        yield Workers()
        return
    try:
        import distributed
    except ImportError as error:
        raise _missing() from error
    if isinstance(client, distributed.Client):
        _check_versions(client)
        yield Workers(client)
    elif client == "processes":
        with (
            distributed.LocalCluster(processes=True, threads_per_worker=1, dashboard_address=":0") as cluster,
            distributed.Client(cluster, set_as_default=False) as own,
        ):
            yield Workers(own)
    elif isinstance(client, str) and "://" in client:
        with _connected(client) as own:
            _check_versions(own)
            yield Workers(own)
    else:
        raise ValueError(
            f"client={client!r} must be a distributed.Client, the address of a scheduler such as 'tcp://host:8786', or "
            f"one of {', '.join(map(repr, _LOCAL))}."
        )


def _active_client() -> Any:
    """The client that was made last and is open, or else threads."""
    if "distributed" not in sys.modules:
        return "threads"
    from distributed import default_client

    try:
        return default_client()
    except ValueError:
        return "threads"


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    from distributed import Client

    try:
        client = Client(address, timeout=_WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"no Dask scheduler answers at {address!r} (tried for {_WAIT} s); start one with `dask scheduler`, which "
            "prints its address."
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_WAIT)
        except TimeoutError as error:
            raise ConnectionError(
                f"the Dask scheduler at {address!r} has no workers (waited {_WAIT} s); start some with `dask worker "
                f"{address}`."
            ) from error
        yield client


def _check_versions(client: Any) -> None:
    """Refuse a scheduler and workers that do not have this package, or another version of it."""

    def version() -> str:  # sent by value, since it must run where the package is not
        import importlib.metadata
        import importlib.util

        if importlib.util.find_spec("linear_diffusion") is None:
            return ""
        try:
            return importlib.metadata.version("linear-diffusion")
        except importlib.metadata.PackageNotFoundError:
            return "of an unknown version"

    address, own = client.scheduler.address, version()
    theirs = {f"the Dask scheduler at {address!r}": client.run_on_scheduler(version)}
    theirs |= {f"the worker {name!r} of {address!r}": found for name, found in client.run(version).items()}
    for where, found in theirs.items():
        if found != own:
            has = f"has linear-diffusion {found}" if found else "does not have linear-diffusion"
            raise ValueError(f"{where} {has}, and this process has {own}; install the same version on all machines.")


def _delayed() -> Any:
    try:
        from dask import delayed
    except ImportError as error:
        raise _missing() from error
    return delayed


def _missing() -> MissingExtraError:
    return MissingExtraError("workers need Dask: pip install 'linear-diffusion[dask]'")
