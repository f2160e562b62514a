"""Work spread over processes that each lay ready once what all of it needs."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")


def in_processes(
    do: Callable[[Work], Result],
    works: Sequence[Work],
    workers: int,
    start: Callable[..., None],
    arguments: tuple[Any, ...],
) -> Iterator[Result]:
    """What ``do`` gives for each of ``works``, in their order; one worker is this very process.

    Args:
        do, start: functions of a module, as new processes import them. ``start(*arguments)`` comes first in each.
        works: may be pickled, as may results and arguments.
        workers: how many processes.
    """
    if workers == 1:
        start(*arguments)
        yield from map(do, works)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, start, arguments) as pool:
        yield from pool.map(do, works)  # what has not begun is cancelled where one fails or the caller stops
