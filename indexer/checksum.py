"""Files that tell when they are damaged: small ones begin with 16 bytes of BLAKE2b of what they hold."""

from __future__ import annotations

import hashlib
from pathlib import Path

_SIZE_BYTES = 16
_HEAD_BYTES = 1 << 20


def checked(data: bytes) -> bytes:
    """What to write for ``data``."""
    return _digest(data) + data


def unchecked(stored: bytes) -> bytes:
    """What was written; ValueError when it is damaged."""
    data = stored[_SIZE_BYTES:]
    if _digest(data) != stored[:_SIZE_BYTES]:
        raise ValueError("its checksum does not fit")
    return data


def head_sum(file: Path) -> str:
    """Length, and BLAKE2b of the first MiB: what a reader that trusts sizes in a file must be kept from."""
    with file.open("rb") as opened:
        return f"{file.stat().st_size} {_digest(opened.read(_HEAD_BYTES)).hex()}"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_SIZE_BYTES).digest()
