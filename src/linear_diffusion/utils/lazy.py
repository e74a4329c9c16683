"""What is worked out when it is first asked for."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 (read as a decorator)
    """`functools.cached_property` without its lock, which before Python 3.12 lets one thread run at a time. The lock is
    one for all objects of a class, so that prompts could not be worked on side by side. Without it two threads may work
    out the same thing of the same object; it comes out the same."""

    def __init__(self, work: Callable[[Any], T]) -> None:
        self.work, self.__doc__ = work, work.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, owner: None, kind: type) -> "lazy[T]": ...
    @overload
    def __get__(self, owner: object, kind: type) -> T: ...
    def __get__(self, owner: object | None, kind: type) -> "T | lazy[T]":
        if owner is None:
            return self
        found = owner.__dict__[self.name] = self.work(owner)
        return found
