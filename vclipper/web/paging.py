"""Long answers in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")


def page_of(items: Sequence[Item], page: int, page_size: int) -> tuple[Sequence[Item], int]:
    """The items of ``page`` (from 1), and how many pages there are (at least 1)."""
    pages = max(1, -(-len(items) // page_size))
    return items[(page - 1) * page_size : page * page_size], pages
