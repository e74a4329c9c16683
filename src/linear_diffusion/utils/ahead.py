"""Reading ahead: a thread reads the next item while the caller works on this one.

for batch in stream: ...                reads, works, reads, works
for batch in read_ahead(stream): ...    works while it reads
"""

from collections.abc import Generator, Iterable, Iterator
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import Any, TypeVar

T = TypeVar("T")
_Found = tuple[BaseException | None, Any]
"""An error and nothing, or no error and an item."""


def read_ahead(items: Iterable[T], depth: int = 1) -> Generator[T, None, None]:
    """The same items in the same order, read by one thread in the background.

    The thread starts with the first item that is asked for, and is over when the iterator is: at the end of the items,
    at an error, or where the caller stops (an iterator that he keeps, he must ``close``). What it is reading then is
    read to its end.

    Parameters
    ----------
    items : iterable
        Iterated on the thread, in a copy of the caller's context. An exception that it raises is raised here, after
        the items before it. A generator is closed at the end.
    depth : int, default=1
        How many items are read beyond the one that the caller has; so memory holds ``depth + 1`` of them.

    Examples
    --------
    >>> [i * i for i in read_ahead(range(4))]
    [0, 1, 4, 9]
    """
    if depth < 1:
        raise ValueError(
            f"depth must be 1 or more, got {depth!r}; to read nothing ahead, iterate the items themselves."
        )
    found: SimpleQueue[_Found] = SimpleQueue()
    free, stopped = Semaphore(depth), Event()
    # A daemon, so that an iterator that somebody forgot does not keep the process from ending.
    work = partial(copy_context().run, _read, items, found, free, stopped)
    thread = Thread(target=work, name="read_ahead", daemon=True)
    thread.start()
    try:
        while True:
            error, item = found.get()
            if isinstance(error, _End):
                return
            if error is not None:
                raise error
            free.release()
            yield item
            del item  # before the next is waited for
    finally:
        error = None  # which would hold on to itself by its traceback
        stopped.set()
        free.release()
        if thread is not current_thread():  # the garbage collector may close this from any thread
            thread.join()


class _End(BaseException):
    """There are no more items."""


def _read(items: Iterable[Any], found: SimpleQueue[_Found], free: Semaphore, stopped: Event) -> None:
    """Read an item whenever there is room for one."""
    iterator: Iterator[Any] = iter(())
    try:
        iterator = iter(items)
        while free.acquire() and not stopped.is_set():
            found.put((None, next(iterator)))
    except StopIteration:
        found.put((_End(), None))
    except BaseException as error:  # also KeyboardInterrupt: it belongs to whoever asks for the items
        found.put((error, None))
    finally:
        if isinstance(iterator, Generator):
            iterator.close()  # here, not wherever it is collected as garbage
