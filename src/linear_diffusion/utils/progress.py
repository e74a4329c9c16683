"""Progress: what long work tells of itself while it runs, to whoever listens.

    with listening(show): model.fit(X, y)        -->        show("styles: prompt 3 of 10")

Where nobody listens, nothing is told. A listener hears what its own thread has started, not what others do meanwhile.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from itertools import count
from time import perf_counter
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Self = TypeVar("Self", bound=Any)
Listener = Callable[[str], None]

_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("listeners", default=())
_is_printed: ContextVar[bool] = ContextVar("is_printed", default=False)
_MOST = 10
"""Lines that a count has at most."""


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """A context in which a listener is told what work is at.

    >>> with listening(print):
    ...     tell("tone curves")
    tone curves
    """
    token = _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.reset(token)


def tell(text: str) -> None:
    """Tell what begins now."""
    for listener in _listeners.get():
        listener(text)


def counted(work: Callable[[T], R], n: int, doing: str) -> Callable[[T], R]:
    """The same work on an item, on any thread, which tells how many of n items are done; ten times at most.

    >>> with listening(print):
    ...     list(map(counted(abs, 2, "styles: prompt"), [-1, -2]))
    styles: prompt 1 of 2
    styles: prompt 2 of 2
    [1, 2]
    """
    listeners, numbers = _listeners.get(), count(1)

    def told(item: T) -> R:
        result, i = work(item), next(numbers)
        if i * _MOST // n > (i - 1) * _MOST // n:
            for listener in listeners:
                listener(f"{doing} {i:,} of {n:,}")
        return result

    return told if listeners else work


def so_far(doing: str, n: int | None = None) -> Callable[[int], None]:
    """What tells how many of n images are done, ten times at most; where n is not known, whenever twice as many are.

    >>> with listening(print):
    ...     done = so_far("scan")
    ...     for i in range(1, 7):
    ...         done(1000 * i)
    scan: 1,000 images
    scan: 2,000 images
    scan: 4,000 images
    """
    last = 0

    def told(done: int) -> None:
        nonlocal last
        if n is None and done >= 2 * last and done:
            last = done
            tell(f"{doing}: {done:,} images")
        elif n is not None and done * _MOST // n > last * _MOST // n:
            last = done
            tell(f"{doing}: {done:,} of {n:,} images")

    return told


@contextmanager
def printed(verbose: int | bool, name: str) -> Iterator[None]:
    """A context whose progress is written to stdout, a line each, as scikit-learn's ``verbose`` does; 0 is silent.
    Within another such context, that one writes it."""
    if not verbose or _is_printed.get():
        yield
        return
    start, token = perf_counter(), _is_printed.set(True)

    def write(text: str) -> None:
        sys.stdout.write(f"[{name}] {perf_counter() - start:6.1f} s  {text}\n")
        sys.stdout.flush()

    try:
        with listening(write):
            yield
        write("done")
    finally:
        _is_printed.reset(token)


def prints_progress(method: Callable[Concatenate[Self, P], R]) -> Callable[Concatenate[Self, P], R]:
    """A method of an estimator whose progress is printed as its parameter ``verbose`` says."""

    @wraps(method)
    def run(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with printed(self.verbose, type(self).__name__):
            return method(self, *args, **kwargs)

    return run
