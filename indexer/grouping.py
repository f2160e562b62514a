"""Things taken some at a time, by what they weigh together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Thing = TypeVar("Thing")


def grouped(
    things: Iterable[Thing], weight: Callable[[Thing], int], enough: int, most: int = sys.maxsize
) -> Iterator[list[Thing]]:
    """Groups in order, each ended once it weighs ``enough`` or holds ``most`` things; the last is what is left."""
    group: list[Thing] = []
    total = 0
    for thing in things:
        group.append(thing)
        total += weight(thing)
        if total >= enough or len(group) >= most:
            yield group
            group, total = [], 0
    if group:
        yield group
