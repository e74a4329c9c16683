"""Reading ahead: real threads, which end whatever happens."""

import threading
import warnings
import weakref
from collections.abc import Iterator
from contextlib import closing

import pytest

from linear_diffusion.utils.ahead import read_ahead
from linear_diffusion.utils.progress import listening, tell


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read_ahead"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not readers()


@pytest.mark.parametrize("depth", [1, 3, 100])
def test_the_items_come_in_their_order(depth: int) -> None:
    assert list(read_ahead(range(50), depth)) == list(range(50))
    assert list(read_ahead([], depth)) == []
    assert list(read_ahead([None, None], depth)) == [None, None]


def test_the_next_item_is_read_while_the_caller_works_on_this_one() -> None:
    second_is_read = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        second_is_read.set()
        yield 2

    with closing(read_ahead(items())) as ahead:
        assert next(ahead) == 1
        assert second_is_read.wait(10)  # without this caller's asking for it
        assert list(ahead) == [2]


@pytest.mark.parametrize("depth", [1, 2])
def test_no_more_items_are_held_than_was_said(depth: int) -> None:
    class Item:
        pass

    alive: weakref.WeakSet[Item] = weakref.WeakSet()
    most = 0

    def items() -> Iterator[Item]:
        nonlocal most
        for _ in range(20):
            item = Item()
            alive.add(item)
            most = max(most, len(alive))
            yield item
            del item

    for item in read_ahead(items(), depth):
        del item
    assert 1 <= most <= depth + 1
    assert not alive


def test_an_error_comes_where_it_happened() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the disk is gone")

    ahead = read_ahead(items(), depth=5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(ahead)
    assert list(ahead) == []


def test_what_cannot_be_iterated_and_no_depth_are_refused() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        next(read_ahead(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="depth must be 1 or more, got 0"):
        next(read_ahead([1], depth=0))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_caller_who_stops_early_ends_the_thread_and_the_items(error: type[BaseException]) -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            ended.append(threading.current_thread().name)

    with pytest.raises(error):
        for i in read_ahead(items()):
            if i == 3:
                raise error
    assert not readers()
    for i in read_ahead(items()):
        if i == 3:
            break
    assert not readers()
    ahead = read_ahead(items())
    next(ahead)
    assert len(readers()) == 1
    ahead.close()
    assert ended == ["read_ahead"] * 3


def test_nothing_starts_before_an_item_is_asked_for() -> None:
    ahead = read_ahead(range(3))
    assert not readers()
    assert list(ahead) == [0, 1, 2]


def test_what_the_items_tell_is_heard_and_their_warnings_are_seen() -> None:
    def items() -> Iterator[int]:
        tell("reading")
        warnings.warn("half of it is missing", stacklevel=1)
        yield 1

    heard: list[str] = []
    with listening(heard.append), pytest.warns(UserWarning, match="half of it"):
        assert list(read_ahead(items())) == [1]
    assert heard == ["reading"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="half of it"):
            list(read_ahead(items()))
