"""What speed figures are made with: the seconds that work takes, and small tables of texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What ``work`` gives, and the seconds it took."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


@dataclass(frozen=True)
class Grid:
    """A small table of texts: title, header, lines."""

    title: str
    header: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]

    def text(self, markdown: bool = False) -> str:
        """Aligned columns, or a Markdown table."""
        rows = [self.header, *self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.header))]
        cells = [
            [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
            for row in rows
        ]
        if not markdown:
            return "\n".join([self.title, *("  ".join(row).rstrip() for row in cells)])
        ruler = ["-" * w if i == 0 else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
        lines = ["| " + " | ".join(row) + " |" for row in (cells[0], ruler, *cells[1:])]
        return "\n".join([f"**{self.title}**", "", *lines])
