"""What was used last, as much as fits a number of bytes."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that takes memory."""

    @property
    def nbytes(self) -> int:
        """How much."""
        ...


Value = TypeVar("Value", bound=Sized)


class Recent(Generic[Value]):
    """Values by id; the one used longest ago goes first. Threads may share it.

    Args:
        most_bytes: of all values together.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._kept: dict[int, Value] = {}
        self._lock = Lock()

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def get(self, key: int) -> Value | None:
        """The value, which is the last to go from now on; None where it is not kept."""
        with self._lock:
            if (found := self._kept.pop(key, None)) is not None:
                self._kept[key] = found  # the last of the dictionary is the last to go
            return found

    def keep(self, key: int, value: Value) -> None:
        """Keep one more; a value under this key stays."""
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = value
            self._bytes += value.nbytes
            while self._bytes > self._most_bytes and self._kept:
                self._bytes -= self._kept.pop(next(iter(self._kept))).nbytes


class Remembered(Generic[Value]):
    """A function of an id whose last values are kept; threads may share it, and two may both make one.

    Args:
        make: the value of an id.
        most_bytes: of all values that are kept.
    """

    def __init__(self, make: Callable[[int], Value], most_bytes: int) -> None:
        self._make = make
        self._kept: Recent[Value] = Recent(most_bytes)

    def __contains__(self, key: object) -> bool:
        """Whether the value is there without being made."""
        return key in self._kept

    def __call__(self, key: int) -> Value:
        """The value, from memory where it is there; raises what ``make`` raises."""
        if (found := self._kept.get(key)) is not None:
            return found
        made = self._make(key)
        self._kept.keep(key, made)
        return made
