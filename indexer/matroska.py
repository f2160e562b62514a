"""What Matroska and WebM say of their own size: tells of a copy that was cut off where they tell no duration."""

from __future__ import annotations

import os
from pathlib import Path

_SEGMENT = 0x18538067
"""The element that holds everything but the file's head."""
_HEAD_BYTES = 4096
_LONGEST_NUMBER_BYTES = 8


def missing_bytes(path: Path) -> int:
    """How many bytes a file lacks of what it says that it holds; 0 where it does not say, as a live stream."""
    try:
        with path.open("rb") as file:
            end = _end(file.read(_HEAD_BYTES))
            size = os.fstat(file.fileno()).st_size
    except OSError:  # the decoder will meet it too, and say so
        return 0
    return 0 if end is None else max(0, end - size)


def _end(head: bytes) -> int | None:
    """Where the segment ends; None where that is unknown, or the head is none of Matroska's."""
    at = 0
    while at < len(head):
        identity, at = _number(head, at, keeps_marker=True)
        size, at = _number(head, at)
        if identity is None or size is None:
            return None
        if identity == _SEGMENT:
            return at + size
        at += size
    return None


def _number(head: bytes, at: int, keeps_marker: bool = False) -> tuple[int | None, int]:
    """A number of EBML and the place after it: as many zero bits as bytes follow, a 1, the number.

    All ones mean "unknown". Names of elements keep the marker, that 1.
    """
    first = head[at] if at < len(head) else 0
    length = _LONGEST_NUMBER_BYTES + 1 - first.bit_length()
    stop = at + length
    if not first or stop > len(head):
        return None, stop
    number = int.from_bytes(head[at:stop], "big")
    if keeps_marker:
        return number, stop
    most = (1 << (7 * length)) - 1
    number &= most
    return (None if number == most else number), stop
